"""Restarts and kills nodes that host entities, while all of these are asked, and prints what came of it.

    python -m tests.sharding.processes --rounds 3 --results entities.jsonl --update-docs

Five nodes, 10 000 entities, default settings. A round is a rolling restart of all nodes, then a crash of a node that does
not coordinate, and one of the node that does. Each step is a line of JSON in the results; a run goes on after the last round
there, and the end of the output is the sum over all lines: a long run may be a row of short ones.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import trio

from tests.cluster.chaos.__main__ import where
from tests.cluster.chaos.processes import Processes, processes
from tests.sharding.processes.child import MODULE
from tests.sharding.processes.front import Front, front_of
from tests.sharding.processes.steps import Figures, Limits, form, kill, restart
from tests.sharding.processes.tally import KINDS, PAGE, Tally, update_page
from tests.slices import keep, read

RELIABLE = Limits()


class Session:
    """Rounds, each with nodes of its own."""

    def __init__(self, results: Path | None) -> None:
        self.lines: list[dict[str, Any]] = read(results)
        self._results = results

    async def run(self, rounds: int) -> None:
        """So many more rounds."""
        for number in range(Tally(self.lines).rounds + 1, Tally(self.lines).rounds + rounds + 1):
            await self._round(number)

    async def _round(self, number: int) -> None:
        async with processes(RELIABLE.nodes, seed=number, module=MODULE) as cluster:
            await form(cluster, RELIABLE)
            async with front_of(cluster, RELIABLE.entities, RELIABLE.settings) as front:
                steps: list[Callable[[Processes, Front, Limits], Awaitable[Figures]]]
                steps = [restart, kill, partial(kill, oldest=True)]
                for kind, step in zip(KINDS, steps, strict=True):
                    await self._tell(number, kind, partial(step, cluster, front, RELIABLE))

    async def _tell(self, number: int, kind: str, step: Callable[[], Awaitable[Figures]]) -> None:
        line: dict[str, Any] = {"round": number, "kind": kind, "figures": {}, "failure": None}
        try:
            line["figures"] = await step()
        except AssertionError as error:  # the next step may be more telling
            line["failure"] = f"{type(error).__name__}: {error}"
        self.lines.append(line)
        keep(self._results, line)
        figures = ", ".join(f"{name} {value:.2f}" for name, value in line["figures"].items())
        print(f"{number}: {kind}: {line['failure'] or figures}", flush=True)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser("python -m tests.sharding.processes", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=1, help="how many more; 0 only sums up what is there")
    parser.add_argument("--results", type=Path, help="where lines are appended, and found by the next run")
    parser.add_argument("--update-docs", action="store_true", help=f"write the table into {PAGE.name}")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run some rounds."""
    options = parse(arguments)
    session = Session(options.results)
    trio.run(session.run, options.rounds)
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
    logging.getLogger("casty_trio").setLevel("ERROR")  # it is no news that nodes which were killed cannot be reached
    sys.exit(main())
