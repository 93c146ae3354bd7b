"""How long nodes take to agree after the last fault: python -m tests.protocol.convergence [--seeds 50] [--update-docs]

The machines alone, on a virtual clock, with default settings. Nobody tells them what has happened: a crash, a cut or a pause
is noticed by heartbeats, decided on by the majority, and what was declared down joins again. The figures are virtual seconds
from the last fault until all nodes that are left have the same members, all up, and know that all have.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Final

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


@dataclass(frozen=True)
class Row:
    """What came of one kind of fault, for each size; sorted."""

    kind: str
    times: dict[int, list[float]]

    def cells(self) -> list[str]:
        """Median and worst."""
        return [f"{median(times):.1f} s, {times[-1]:.1f} s" for times in self.times.values()]


def measure(kind: str, size: int, seed: int) -> float:
    """One fault in one cluster."""
    rng = random.Random(f"{kind}/{size}/{seed}")
    net = WholeCluster(size, rng.getrandbits(32))
    net.run(rng.uniform(5, 30))
    return FAULTS[kind](net, rng)


def table(rows: Sequence[Row]) -> list[str]:
    """For the page: median and worst of each."""
    sizes = list(rows[0].times)
    worst = [max(row.times[size][-1] for row in rows) for size in sizes]
    return [
        f"| after | {' | '.join(f'{size} nodes: median, worst' for size in sizes)} |",
        f"| --- |{' --- |' * len(sizes)}",
        *(f"| {row.kind} | {' | '.join(row.cells())} |" for row in rows),
        f"| worst of all | {' | '.join(f'{seconds:.1f} s' for seconds in worst)} |",
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure everything, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50, help="of each kind and size")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--jobs", type=int, help="how many processes do it (default: one for each core)")
    parser.add_argument("--update-docs", action="store_true", help=f"write the table into {PAGE.name}")
    options = parser.parse_args(arguments)
    rows = [Row(kind, {size: [] for size in options.sizes}) for kind in FAULTS]
    for row in rows:
        for size, times in row.times.items():
            begun = time.perf_counter()
            with ProcessPoolExecutor(options.jobs) as pool:
                times.extend(sorted(pool.map(partial(measure, row.kind, size), range(options.seeds))))
            print(f"{row.kind}, {size} nodes: {times[-1]:.1f} s at worst; {time.perf_counter() - begun:.0f} s", flush=True)
    lines = table(rows)
    print("\n".join(lines))
    if options.update_docs:
        told = f"{options.seeds} seeds of each, in virtual seconds, with default settings."
        write_between(PAGE, BEGIN, END, "\n".join([told, "", *lines]))
    return int(any(times[-1] >= MOST for row in rows for times in row.times.values()))


if __name__ == "__main__":
    sys.exit(main())
