"""Planned changes only: nodes join, leave, and are restarted in turn, and shards are spread anew; so nothing may be lost.

    python -m tests.sim.planned --seeds 0..200 --minutes 30 --results planned.jsonl

Every item that an entity is told has to be handled, once, and in order for each sender (S2). Each seed that was run is a
line of JSON in the results; what is there is not run again. The end of the output is the sum over all lines.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from casty_trio.testing import Plan, run_plan
from casty_trio.testing.__main__ import silence, told
from casty_trio.testing.clustered import clustered
from casty_trio.testing.faults import Leave, Step
from tests.pages import DOCS, write_between
from tests.slices import keep, read

PAGE: Final = DOCS / "reliability.md"
BEGIN: Final = "<!-- planned: written by python -m tests.sim.planned --update-docs, not by hand -->"
END: Final = "<!-- end of planned -->"

FIRST, LAST = 0, 200
LONGEST = 30.0

ROLLING: Final = "rolling restart"
GROWING: Final = "nodes join"
SHRINKING: Final = "nodes leave"

planned = partial(clustered, complete=True)
"""The usual cluster, where every item that an entity is told has to be handled, once (S2)."""


def rolling(seed: int) -> Plan:
    """Every node of a cluster is restarted, in some order; sometimes two at the same time."""
    rng = random.Random(seed)
    nodes = rng.choice((3, 4, 5, 5))
    steps: list[Step] = []
    at = 10.0
    for number in rng.sample(range(1, nodes + 1), nodes):
        away = rng.uniform(3.0, 15.0)
        steps.append(Leave(at=at, node=f"node-{number}", seconds=away))
        at += rng.choice((away + 5.0, away + 15.0, 1.0 if nodes > 3 else away + 10.0))
    return Plan(seed=seed, nodes=nodes, steps=tuple(steps), length=at + 20.0, calm=45.0)


def growing(seed: int) -> Plan:
    """A cluster of two or three grows to five: the others, gone early, join one after the other, or at the same time."""
    rng = random.Random(f"{seed}:growing")
    late = rng.sample(range(1, 6), rng.choice((2, 3)))
    at, steps = 30.0, list[Step]()
    for place, number in enumerate(late):
        begin = 8.0 + place
        steps.append(Leave(at=begin, node=f"node-{number}", seconds=at - begin))
        at += rng.choice((0.0, rng.uniform(0.1, 2.0), rng.uniform(5.0, 15.0)))
    return Plan(seed=seed, nodes=5, steps=tuple(steps), length=at + 25.0, calm=45.0)


def shrinking(seed: int) -> Plan:
    """Five nodes become two or three, one after the other or at the same time; they are back at the end."""
    rng = random.Random(f"{seed}:shrinking")
    steps: list[Step] = []
    at = 10.0
    for number in rng.sample(range(1, 6), rng.choice((2, 3))):
        steps.append(Leave(at=round(at, 2), node=f"node-{number}"))
        at += rng.choice((0.0, rng.uniform(0.1, 2.0), rng.uniform(5.0, 15.0)))
    return Plan(seed=seed, nodes=5, steps=tuple(steps), length=at + 30.0, calm=45.0)


PLANS: Final[dict[str, Callable[[int], Plan]]] = {ROLLING: rolling, GROWING: growing, SHRINKING: shrinking}


def kind_of(seed: int) -> str:
    """What happens in a seed: every second one is a rolling restart."""
    return (ROLLING, GROWING, ROLLING, SHRINKING)[seed % 4]


def run_seed(seed: int) -> dict[str, Any]:
    """One line of the results."""
    kind = kind_of(seed)
    plan = PLANS[kind](seed)
    began, cpu = time.perf_counter(), time.process_time()
    line: dict[str, Any] = {"seed": seed, "kind": kind, "nodes": plan.nodes, "failure": None, "virtual": 0.0}
    try:
        report = run_plan(planned, plan)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        line["failure"] = told(error)
    else:
        line |= {"virtual": report.seconds, "figures": report.figures, "leaves": report.faults["Leave"]}
    return line | {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}


class Sum:
    """What all lines say together."""

    def __init__(self) -> None:
        self.seeds: Counter[str] = Counter()
        self.large: int = 0
        self.failed: list[int] = []
        self.virtual: float = 0.0
        self.leaves: int = 0
        self.figures: Counter[str] = Counter()

    def add(self, line: dict[str, Any]) -> None:
        """Count a line."""
        self.seeds[line["kind"]] += 1
        self.large += line["kind"] == ROLLING and line["nodes"] == 5
        if line["failure"] is not None:
            self.failed.append(line["seed"])
        self.virtual += line["virtual"]
        self.leaves += line.get("leaves", 0)
        self.figures.update({name: int(value) for name, value in line.get("figures", {}).items()})

    @property
    def unhit(self) -> list[str]:
        """What never took place."""
        return [kind for kind in PLANS if not self.seeds[kind]] + ([] if self.figures["hand-offs"] else ["move of a shard"])

    def lines(self) -> Iterator[tuple[str, str]]:
        """What was done, by name."""
        yield "seeds, of which failed", f"{self.seeds.total()}, {len(self.failed)}"
        yield "of these", ", ".join(f"{kind} {count}" for kind, count in sorted(self.seeds.items()))
        yield "rolling restarts of five nodes", f"{self.large}"
        yield "virtual time", f"{self.virtual / 3600:.1f} h"
        yield "nodes that left, and joined again", f"{self.leaves}"
        yield "shards moved, moves called off", f"{self.figures['hand-offs']}, {self.figures['hand-offs called off']}"
        yield "items told, handled once each and in order", f"{self.figures['items told']}, {self.figures['items handled']}"

    def table(self) -> Iterator[str]:
        """The same for the documents."""
        yield "| | |"
        yield "| --- | --- |"
        for name, value in self.lines():
            yield f"| {name} | {value} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a slice of seeds; 1 when one has failed."""
    options = _parse(arguments)
    with silence():
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    total, lines = Sum(), read(options.results)
    for line in lines:
        total.add(line)
    done = {line["seed"] for line in lines}
    first, _, last = options.seeds.partition("..")
    end = time.monotonic() + options.minutes * 60
    for seed in range(int(first), int(last)):
        if time.monotonic() > end or len(total.failed) >= options.failures:
            break
        if seed not in done:
            line = run_seed(seed)
            total.add(line)
            keep(options.results, line)
            if line["failure"] is not None:
                print(f"seed {seed}: {line['failure']}", flush=True)
    print("\n".join(f"{name}: {value}" for name, value in total.lines()))
    if options.update_docs:
        write_between(PAGE, BEGIN, END, "\n".join(total.table()))
    bad = [f"seed {seed} failed" for seed in total.failed]
    bad += [f"no {kind} took place" for kind in total.unhit] if total.seeds.total() >= len(PLANS) + 1 else []
    print("\n".join(bad), end="\n" if bad else "")
    return 1 if bad else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.sim.planned", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", default=f"{FIRST}..{LAST}", metavar="A..B", help="which, B left out")
    parser.add_argument("--minutes", type=float, default=LONGEST, help="how long this slice may take")
    parser.add_argument("--results", type=Path, help="where lines are appended, and found by the next slice")
    parser.add_argument("--failures", type=int, default=5, help="after how many failures it stops")
    parser.add_argument("--update-docs", action="store_true", help=f"write the table into {PAGE.name}")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
