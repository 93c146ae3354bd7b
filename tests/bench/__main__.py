"""Measure, in turns: casty_trio, the limits, pykka and xoscar.

python -m tests.bench --quick                         two rounds, a few minutes at most
python -m tests.bench --json run.json                 seven rounds
python -m tests.bench --rows 'tell*' ask --rounds 15  some rows, often
python -m tests.bench --python /path/to/python        with another Python, in whose environment they are installed
python -m tests.bench --update-docs run.json          keep earlier runs, and write all kept ones into docs/performance.md
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.bench.catalog import Program, Row, programs_of, select
from tests.bench.report import PAGE, as_text, update_page
from tests.bench.results import Results, collect, keep, kept_runs, load, save
from tests.bench.runner import Runner, limits_folder

ROUNDS = 7
QUICK_ROUNDS = 2


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("tests.bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds only")
    parser.add_argument("--rounds", type=int, help=f"how many (default: {ROUNDS})")
    parser.add_argument("--rows", nargs="+", default=[], metavar="PATTERN", help="which rows (default: all)")
    parser.add_argument("--backend", choices=["both", "trio", "asyncio"], default="both", help="what the client runs on")
    parser.add_argument("--python", default=sys.executable, help="the Python that is measured (default: this one)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write figures, spreads and ratios there")
    parser.add_argument(
        "--update-docs", nargs="*", type=Path, metavar="FILE", help="put these runs, or this one, into the docs"
    )
    options = parser.parse_args(arguments)
    try:
        options.rows = select(options.rows, options.backend)
    except ValueError as error:
        parser.error(str(error))
    return options


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def measure(rows: Sequence[Row], python: str, rounds: int) -> Results:
    """Run what these rows need, as far as it is there."""
    limits = limits_folder()
    runner = Runner(python, limits, say)
    machine = runner.machine()

    def is_there(program: Program) -> bool:
        match program.source:
            case "casty_trio":
                return True
            case "limit":
                return limits is not None
            case peer:
                return machine["packages"][peer] is not None

    measured = runner.rounds(list(filter(is_there, programs_of(rows))), rounds)
    return Results(
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine,
        rounds=rounds,
        has_limits=limits is not None,
        rows=[collect(row, measured) for row in rows],
    )


def publish(runs: Sequence[Results]) -> None:
    """Keep the runs, one for each Python, and write those parts of the page that they tell something of."""
    for part in dict.fromkeys(part for run in runs for part in keep(run)):
        update_page(PAGE, kept_runs(part), part)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    if options.update_docs:
        publish([load(path) for path in options.update_docs])
        return 0
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    results = measure(options.rows, options.python, rounds)
    print(as_text(results))
    if options.json:
        save(results, options.json)
    if options.update_docs is not None:
        publish([results])
    return int(any(row.failures for row in results.rows))


if __name__ == "__main__":
    sys.exit(main())
