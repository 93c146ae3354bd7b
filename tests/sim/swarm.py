"""Runs many seeds of the bench, in slices that can be gone on with, and prints what was done.

    python -m tests.sim.swarm --seeds 0..1000 --minutes 30 --results swarm.jsonl
    python -m tests.sim.swarm --seconds 120                       (what CI spends, on as many seeds as that is)

Each seed that was run is a line of JSON in the results; what is there is not run again. So a long run is a row of slices.
One seed in fifty is run twice, and has to give the same digest. The end of the output is the sum over all lines.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from casty_trio.testing import Report, Setup, Swarm, faults, run_plan
from casty_trio.testing.__main__ import STANDARD, load_setup, silence, told
from casty_trio.testing.handoffs import HAND_OFFS, kind_of
from tests.pages import DOCS, write_between
from tests.slices import keep, read

PAGE = DOCS / "reliability.md"
BEGIN = "<!-- simulation: written by python -m tests.sim.swarm --update-docs, not by hand -->"
END = "<!-- end of simulation -->"

REPLAYED = 50
"""One seed in so many is run twice."""

RARER = 15
"""It takes so many times as many seeds until each crash in the midst of a hand-off has to be there: a plan has few."""

FIRST, LAST = 0, 1_000
LONGEST = 30.0

WORST = ("convergence", "liveness")
"""Figures of which the worst counts; of all others the sum does, and of peaks the highest."""


def run_seed(setup: Setup, swarm: Swarm, seed: int) -> dict[str, Any]:
    """One line of the results."""
    plan = swarm.plan(seed)
    began, cpu = time.perf_counter(), time.process_time()
    line: dict[str, Any] = {"seed": seed, "nodes": plan.nodes, "failure": None, "replayed": False}
    try:
        report = run_plan(setup, plan)
        line |= {"virtual": report.seconds, "bytes": report.bytes, "faults": report.faults, "figures": report.figures}
        line |= {"in_flight": report.in_flight if report.faults.total() > 1 else None, "ends": ends(report)}
        line |= {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}
        if seed % REPLAYED == 0:
            line["replayed"] = True
            again = run_plan(setup, plan).digest
            if again != report.digest:
                line["failure"] = f"I19 replayability: the digests are {report.digest} and {again}"
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        line["failure"] = told(error)
        line |= {"virtual": 0.0, "seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}
    return line


def ends(report: Report) -> dict[str, int]:
    """How programs of nodes ended."""
    return dict(Counter(f"{each.how} {type(each.error).__name__}" if each.error else each.how for each in report.endings))


@dataclass
class Sum:
    """What all lines say together."""

    seeds: int = 0
    failed: list[int] = field(default_factory=list)
    replayed: int = 0
    virtual: float = 0.0
    seconds: float = 0.0
    cpu: float = 0.0
    bytes: int = 0
    nodes: Counter[int] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    figures: dict[str, float] = field(default_factory=dict)
    in_flight: float = float("inf")

    def add(self, line: dict[str, Any]) -> None:
        self.seeds += 1
        self.replayed += line["replayed"]
        if line["failure"] is not None:
            self.failed.append(line["seed"])
        self.virtual += line["virtual"]
        self.seconds += line["seconds"]
        self.cpu += line["cpu"]
        self.bytes += line.get("bytes", 0)
        self.nodes[line["nodes"]] += 1
        self.faults.update(line.get("faults", {}))
        self.ends.update(line.get("ends", {}))
        self.in_flight = min(self.in_flight, line.get("in_flight") or self.in_flight)
        for name, value in line.get("figures", {}).items():
            most = name in WORST or name.startswith("peak")
            before = self.figures.get(name, 0.0)
            self.figures[name] = max(before, value) if most else before + value

    @property
    def unhit(self) -> list[str]:
        """Kinds of faults that never took place."""
        return [kind.__name__ for kind in faults.KINDS if not self.faults[kind.__name__]]

    @property
    def unhit_in_hand_offs(self) -> list[str]:
        """The same of crashes in the midst of hand-offs and take-overs."""
        return [kind for kind in (kind_of(*each) for each in HAND_OFFS) if not self.faults[kind]]

    def _plain(self) -> str:
        """The faults that a plan has a time for."""
        waiting = {kind_of(*each) for each in HAND_OFFS}
        return ", ".join(f"{kind} {count}" for kind, count in sorted(self.faults.items()) if kind not in waiting)

    def _in_hand_offs(self) -> Iterator[tuple[str, str]]:
        """The crashes in the midst of each step, by whom they hit."""
        for step in dict.fromkeys(step for step, _ in HAND_OFFS):
            parts = [part for each, part in HAND_OFFS if each == step]
            yield step, ", ".join(f"{part} {self.faults[kind_of(step, part)]}" for part in parts)

    def lines(self) -> Iterator[str]:
        speed = self.virtual / self.cpu if self.cpu else 0.0
        nodes = ", ".join(f"{count} of {size}" for size, count in sorted(self.nodes.items()))
        yield f"{self.seeds} seeds ({nodes} nodes), {len(self.failed)} failed, {self.replayed} replayed"
        hours = f"{self.virtual / 3600:.2f} virtual hours in {self.seconds / 60:.1f} min"
        yield f"{hours}, {speed:.0f} times as fast as real time on one core"
        yield f"asks in flight at each fault: {self.in_flight:g} or more"
        yield f"faults: {self._plain()}"
        for step, counts in self._in_hand_offs():
            yield f"crash at hand-off {step} of the: {counts}"
        yield f"nodes ended: {', '.join(f'{how} {count}' for how, count in sorted(self.ends.items()))}"
        sums = {name: value for name, value in self.figures.items() if name not in WORST}
        yield f"{', '.join(f'{name} {value:g}' for name, value in sums.items())}, bytes {self.bytes}"
        for name in WORST:
            if name in self.figures:
                yield f"worst {name} after the last fault: {self.figures[name]:.1f} s"

    def table(self) -> Iterator[str]:
        """The same for the documents."""
        yield "The last run:\n"
        yield "| | |"
        yield "| --- | --- |"
        yield f"| seeds, of which failed | {self.seeds}, {len(self.failed)} |"
        yield f"| virtual time | {self.virtual / 3600:.1f} h |"
        yield f"| against real time, on one core | {self.virtual / self.cpu if self.cpu else 0.0:.0f} times as fast |"
        yield f"| messages told, asks | {self.figures.get('told', 0):.0f}, {self.figures.get('asked', 0):.0f} |"
        yield f"| asks in flight at each fault, at least | {self.in_flight:g} |"
        yield f"| faults | {self._plain()} |"
        for step, counts in self._in_hand_offs():
            yield f"| crash at hand-off {step} of the | {counts} |"
        yield f"| worst time until all agree, after the last fault | {self.figures.get('convergence', 0):.1f} s |"
        yield f"| worst time until all answer all | {self.figures.get('liveness', 0):.1f} s |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a slice."""
    options = parse(arguments)
    with silence():
        return run_slice(options)


def run_slice(options: argparse.Namespace) -> int:
    """Run the seeds that are missing, as long as there is time."""
    setup, swarm, total = load_setup(options.program), Swarm(), Sum()
    lines = read(options.results)
    for line in lines:
        total.add(line)
    done = {line["seed"] for line in lines}
    first, _, last = options.seeds.partition("..")
    end = time.monotonic() + (options.seconds or options.minutes * 60)
    for seed in range(int(first), int(last)):
        if time.monotonic() > end or len(total.failed) >= options.failures:
            break
        if seed not in done:
            line = run_seed(setup, swarm, seed)
            total.add(line)
            keep(options.results, line)
            if line["failure"] is not None:
                print(f"seed {seed}: {line['failure']}", flush=True)
    print("\n".join(total.lines()))
    if options.update_docs:
        write_between(PAGE, BEGIN, END, "\n".join(total.table()))
    return verdict(total, options.enough)


def verdict(total: Sum, enough: int) -> int:
    """What the process ends with; of few seeds not every kind of fault is asked for."""
    bad = [f"seed {seed} failed" for seed in total.failed]
    bad += [f"no {kind} took place" for kind in total.unhit] if total.seeds >= enough else []
    bad += [f"no {kind} took place" for kind in total.unhit_in_hand_offs] if total.seeds >= RARER * enough else []
    for each in bad:
        print(each)
    return 1 if bad else 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser("python -m tests.sim.swarm", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", default=f"{FIRST}..{LAST}", metavar="A..B", help="which, B left out")
    parser.add_argument("--minutes", type=float, default=LONGEST, help="how long this slice may take")
    parser.add_argument("--seconds", type=float, help="the same in seconds")
    parser.add_argument("--results", type=Path, help="where lines are appended, and found by the next slice")
    parser.add_argument("--program", default=STANDARD, metavar="MODULE:FUNCTION", help="the setup of what is tested")
    parser.add_argument("--failures", type=int, default=5, help="after how many failures it stops")
    parser.add_argument("--update-docs", action="store_true", help=f"write the table into {PAGE.name}")
    parser.add_argument("--enough", type=int, default=20, help="from how many seeds on each kind of fault has to be there")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
