"""Forms, kills, stops and cuts clusters of real processes, and prints what came of it.

    python -m tests.cluster.chaos --minutes 20 --results chaos.jsonl --update-docs

Each step is a line of JSON in the results. It goes on with the round after the last one there, for so many minutes, and the
end of the output is the sum over all lines: a long run may be a row of short ones.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import trio

from tests.bench.machine import describe
from tests.cluster.chaos.rounds import one_round
from tests.cluster.chaos.steps import Figures, Limits
from tests.cluster.chaos.tally import PAGE, Tally, update_page
from tests.slices import keep, read

MINUTES = 20.0


class OverError(Exception):
    """This round does not go on."""


class Session:
    """Steps, until the time is up."""

    def __init__(self, results: Path | None, minutes: float, failures: int) -> None:
        self.lines: list[dict[str, Any]] = read(results) if results is not None else []
        self._results = results
        self._end = time.monotonic() + minutes * 60
        self._failures = failures
        self._round = Tally(self.lines).rounds

    async def run(self) -> None:
        """Round after round."""
        failed = len(Tally(self.lines).failed)
        while time.monotonic() < self._end and len(Tally(self.lines).failed) - failed < self._failures:
            self._round += 1
            try:
                await one_round(self._round, self._tell, Limits())
            except* OverError:
                pass

    async def _tell(self, kind: str, step: Coroutine[Any, Any, Figures]) -> None:
        if time.monotonic() >= self._end:
            step.close()
            raise OverError
        begun = time.monotonic()
        line: dict[str, Any] = {"round": self._round, "kind": kind, "figures": {}, "failure": None}
        try:
            line["figures"] = await step
        except Exception as error:
            line["failure"] = f"{type(error).__name__}: {error}"
            raise OverError from error
        finally:
            line["seconds"] = time.monotonic() - begun
            self._keep(line)

    def _keep(self, line: dict[str, Any]) -> None:
        self.lines.append(line)
        keep(self._results, line)
        figures = ", ".join(f"{name} {value:.2f}" for name, value in line["figures"].items())
        print(f"{line['round']}: {line['kind']}: {line['failure'] or figures}", flush=True)


def where() -> str:
    """The machine, in a line."""
    machine: dict[str, Any] = describe()
    load = f"load {machine['load'][0]:.1f} at the end"
    return (
        f"Python {machine['python']}, {machine['system']}, {machine['cores']} cores ({machine['processor']}), {load}, "
        f"{datetime.now(UTC):%Y-%m-%d}; default settings"
    )


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser("python -m tests.cluster.chaos", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=MINUTES, help="how long; 0 only sums up what is there")
    parser.add_argument("--results", type=Path, help="where lines are appended, and found by the next run")
    parser.add_argument("--failures", type=int, default=3, help="after how many failures it stops")
    parser.add_argument("--update-docs", action="store_true", help=f"write the table into {PAGE.name}")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run for a while."""
    options = parse(arguments)
    session = Session(options.results, options.minutes, options.failures)
    trio.run(session.run)
    tally = Tally(session.lines)
    print("\n".join([*tally.table(), *tally.sentences()]))
    if options.update_docs:
        update_page(PAGE, tally, where())
    bad = [f"round {line['round']}: {line['kind']} failed" for line in tally.failed]
    bad += [f"{kind} was never done" for kind in tally.missing]
    for each in bad:
        print(each)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
