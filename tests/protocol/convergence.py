"""How long nodes take to agree after the last fault.

    python -m tests.protocol.convergence --seeds 50 --results convergence.jsonl --update-docs

The machines alone, on a virtual clock, with default settings. Nobody tells them what has happened: a crash, a cut or a pause
is noticed by heartbeats, decided on by the majority, and what was declared down joins again. The figures are virtual seconds
from the last fault until all nodes that are left have the same members, all up, and know that all have.
Fifty nodes take long: what is in the results is not measured again, so a long run may be a row of slices.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from statistics import median
from typing import Final, TypeAlias

from tests import slices
from tests.pages import DOCS, write_between
from tests.protocol.whole import WholeCluster

SIZES: Final = (5, 20, 50)
MOST: Final = 300.0
"""A cluster that has not agreed after so many seconds never will."""
PAGE: Final = DOCS / "reliability.md"
BEGIN: Final = "<!-- convergence: written by python -m tests.protocol.convergence --update-docs, not by hand -->"
END: Final = "<!-- end of convergence -->"


def crash(net: WholeCluster, rng: random.Random) -> float:
    """One node, or as many as a minority, end at once."""
    for number in rng.sample(net.numbers, rng.randint(1, (net.size - 1) // 2)):
        net.crash(number)
    return net.until_agreed(MOST)


def restart(net: WholeCluster, rng: random.Random) -> float:
    """A node ends, and starts again a moment later, or when all know that it has ended."""
    victim = rng.choice(net.numbers)
    net.crash(victim)
    net.run(rng.choice([rng.uniform(0.2, 2), rng.uniform(2, 30)]))
    net.begin(victim)
    return net.until_agreed(MOST)


def pause(net: WholeCluster, rng: random.Random) -> float:
    """A node is stopped for up to a minute, and goes on."""
    victim = rng.choice(net.numbers)
    net.pause(victim)
    net.run(rng.choice([rng.uniform(0.5, 5), rng.uniform(5, 60)]))
    net.resume(victim)
    return net.until_agreed(MOST)


def sides(net: WholeCluster, rng: random.Random) -> tuple[list[int], list[int]]:
    """A minority, and the others."""
    less = rng.sample(net.numbers, rng.randint(1, (net.size - 1) // 2))
    return less, [number for number in net.numbers if number not in less]


def cut(net: WholeCluster, rng: random.Random) -> float:
    """The network is cut in two: the majority agrees on who is left."""
    less, more = sides(net, rng)
    net.cut(less, more)
    return net.until_agreed(MOST, *more)


def heal(net: WholeCluster, rng: random.Random) -> float:
    """A cut of up to a minute ends: all are one cluster again."""
    net.cut(*sides(net, rng))
    net.run(rng.choice([rng.uniform(1, 10), rng.uniform(10, 60)]))
    net.heal()
    return net.until_agreed(MOST)


def many(net: WholeCluster, rng: random.Random) -> float:
    """A minute of crashes, restarts, cuts and pauses; then all is well again, and who has crashed is started."""
    end = net.now + 60
    paused: set[int] = set()
    while net.now < end:
        one = rng.choice(net.numbers)
        match rng.randrange(5):
            case 0 if len(net.crashed) < net.size // 2 and one not in paused:
                net.crash(one)
            case 1 if net.crashed:
                net.begin(min(net.crashed))
            case 2 if one not in paused:
                net.pause(one)
                paused.add(one)
            case 3:
                net.cut(*sides(net, rng))
            case _:
                net.heal()
                for each in sorted(paused):
                    net.resume(each)
                paused.clear()
        net.run(rng.uniform(1, 15))
    net.heal()
    for each in sorted(paused):
        net.resume(each)
    for each in sorted(net.crashed):
        net.begin(each)
    return net.until_agreed(MOST)


FAULTS: Final[dict[str, Callable[[WholeCluster, random.Random], float]]] = {
    "a minority crashes": crash,
    "a node starts again": restart,
    "a paused node goes on": pause,
    "the network is cut: the majority": cut,
    "a cut heals": heal,
    "a minute of all of these ends": many,
}


Task: TypeAlias = tuple[str, int, int]
"""A kind of fault, a size, and a seed."""


def measure(kind: str, size: int, seed: int) -> float:
    """One fault in one cluster."""
    rng = random.Random(f"{kind}/{size}/{seed}")
    net = WholeCluster(size, rng.getrandbits(32))
    net.run(rng.uniform(5, 30))
    return FAULTS[kind](net, rng)


def measure_all(tasks: Sequence[Task], jobs: int | None, end: float, keep: Callable[[Task, float], None]) -> None:
    """Do one after the other, some at a time, until the time is up."""
    waiting = list(reversed(tasks))
    with ProcessPoolExecutor(jobs) as pool:
        running: dict[Future[float], Task] = {}
        while running or (waiting and time.monotonic() < end):
            while waiting and len(running) < (jobs or os.cpu_count() or 1) and time.monotonic() < end:
                task = waiting.pop()
                running[pool.submit(measure, *task)] = task
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                keep(running.pop(future), future.result())


def table(found: Mapping[Task, float], sizes: Sequence[int]) -> list[str]:
    """For the page: median and worst of each, and of how many seeds."""

    def cell(kind: str, size: int) -> str:
        times = of(found, size, kind)
        return f"{median(times):.1f} s, {max(times):.1f} s ({len(times)})" if times else "-"

    worst = [max(of(found, size), default=0.0) for size in sizes]
    return [
        f"| after | {' | '.join(f'{size} nodes: median, worst (seeds)' for size in sizes)} |",
        f"| --- |{' --- |' * len(sizes)}",
        *(f"| {kind} | {' | '.join(cell(kind, size) for size in sizes)} |" for kind in FAULTS),
        f"| worst of all | {' | '.join(f'{seconds:.1f} s' for seconds in worst)} |",
    ]


def of(found: Mapping[Task, float], size: int, kind: str = "") -> list[float]:
    """The figures of a size, and of one kind or all."""
    return [seconds for task, seconds in found.items() if task[1] == size and task[0] in (kind or task[0],)]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50, help="of each kind and size")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--jobs", type=int, help="how many processes do it (default: one for each core)")
    parser.add_argument("--minutes", type=float, default=30.0, help="how long this slice may take")
    parser.add_argument("--results", type=Path, help="where figures are appended, and found by the next slice")
    parser.add_argument("--update-docs", action="store_true", help=f"write the table into {PAGE.name}")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is not there yet, and print all."""
    options = parse(arguments)
    found: dict[Task, float] = {(kind, size, seed): seconds for kind, size, seed, seconds in slices.read(options.results)}
    tasks = [(kind, size, seed) for size in options.sizes for seed in range(options.seeds) for kind in FAULTS]

    def keep(task: Task, seconds: float) -> None:
        found[task] = seconds
        print(*task, f"{seconds:.1f} s", sep=", ", flush=True)
        slices.keep(options.results, [*task, seconds])

    end = time.monotonic() + options.minutes * 60
    measure_all([task for task in tasks if task not in found], options.jobs, end, keep)
    lines = table(found, options.sizes)
    print("\n".join(lines))
    if options.update_docs:
        write_between(PAGE, BEGIN, END, "\n".join(["Virtual seconds, with default settings.", "", *lines]))
    return int(any(seconds >= MOST for seconds in found.values()))


if __name__ == "__main__":
    sys.exit(main())
