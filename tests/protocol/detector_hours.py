"""The figures of failure detection: python -m tests.protocol.detector_hours [--hours 100] [--nodes 5] [--seeds 200]

The machines alone, on a virtual clock, with a delay of up to 200 ms for every frame: how many false accusations there are in
hours without a fault, how long a crash takes to be known, and whom a node accuses after it was paused itself.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final

from tests.pages import DOCS, write_between
from tests.protocol.detecting import Cluster

PAGE: Final = DOCS / "reliability.md"
BEGIN: Final = "<!-- detection: written by python -m tests.protocol.detector_hours --update-docs, not by hand -->"
END: Final = "<!-- end of detection -->"
PAUSES = (0.5, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(frozen=True)
class Quiet:
    """Hours without a fault."""

    hours: float
    nodes: int
    messages: int
    accusations: int
    late: int
    missing: int


def quiet(hours: float, nodes: int, seed: int, jitter: float = 0.2) -> Quiet:
    """Let a cluster run that nothing happens to."""
    cluster = Cluster(nodes, seed, jitter=jitter)
    cluster.run(hours * 3600)
    counts = [node.statistics for node in cluster.nodes.values()]
    accusations, late = sum(each.accusations for each in counts), sum(each.late for each in counts)
    return Quiet(hours, nodes, cluster.messages, accusations, late, sum(each.missing for each in counts))


def detection(seed: int, jitter: float = 0.2) -> list[float]:
    """How long it took each node that watches another one to accuse it after its crash; nobody else is accused."""
    rng = random.Random(seed)
    cluster = Cluster(rng.randint(2, 12), seed, jitter=jitter)
    cluster.run(rng.choice([rng.uniform(1, 5), rng.uniform(5, 60), rng.uniform(60, 250)]))
    victim = rng.choice([*cluster.nodes])
    watchers = {uid for uid, node in cluster.nodes.items() if victim in node.neighbours}
    cluster.crash(victim)
    start = cluster.now
    cluster.run(start + 20)
    accusers = {uid for _, uid, target in cluster.accusations() if target == victim}
    assert accusers == watchers, (seed, accusers, watchers)
    assert all(target == victim for _, _, target in cluster.accusations()), seed
    return [moment - start for moment, _, _ in cluster.accusations()]


def partition(seed: int, jitter: float = 0.2) -> list[float]:
    """How long it took each side of a cut to accuse everybody on the other one; nobody else is accused."""
    rng = random.Random(seed)
    cluster = Cluster(rng.randint(2, 20), seed, jitter=jitter)
    cluster.run(rng.uniform(1, 60))
    side = {*rng.sample([*cluster.nodes], rng.randint(1, len(cluster.nodes) - 1))}
    sides = (side, {*cluster.nodes} - side)
    cluster.cut |= {pair for one, other in (sides, sides[::-1]) for pair in product(one, other)}
    start = cluster.now
    cluster.run(start + 30)
    assert not any((uid in side) == (target in side) for _, uid, target in cluster.accusations()), seed
    known = dict[tuple[bool, int], float]()
    for moment, uid, target in cluster.accusations():
        known.setdefault((uid in side, target), moment - start)
    assert len(known) == len(cluster.nodes), seed
    return [*known.values()]


def paused(seed: int, jitter: float = 0.2) -> tuple[int, int]:
    """How many accusations a node makes that is paused three times, and how often it knew that it was late."""
    rng = random.Random(seed)
    cluster = Cluster(rng.randint(2, 9), seed, jitter=jitter)
    judge = rng.choice([*cluster.nodes])
    for _ in range(3):
        cluster.run(cluster.now + rng.uniform(5, 60))
        cluster.pause(judge)
        cluster.run(cluster.now + rng.choice([*PAUSES, rng.uniform(0.5, 30)]))
        cluster.resume(judge)
    cluster.run(cluster.now + 30)
    made = sum(uid == judge for _, uid, _ in cluster.accusations())
    return made, cluster.nodes[judge].statistics.late


def spread(what: str, seeds: int, times: list[float]) -> str:
    """The middle, the end and the worst of some times, in words."""
    times.sort()
    ends = f"{times[int(len(times) * 0.99)]:.2f} s (99 %), {times[-1]:.2f} s (worst)"
    return f"{what}: {seeds} seeds, {len(times)} accusations after {times[len(times) // 2]:.2f} s (median), {ends}"


def figures(seeds: int, hours: float, nodes: int) -> Iterator[str]:
    """Everything, a sentence each."""
    yield spread("crash", seeds, [moment for seed in range(seeds) for moment in detection(seed)])
    yield spread("partition", seeds, [moment for seed in range(seeds) for moment in partition(seed)])
    made = [paused(seed) for seed in range(seeds)]
    late, wrong = sum(late for _, late in made), sum(count for count, _ in made)
    yield f"paused judge: {seeds} seeds, 3 pauses of 0.5 to 30 s each, late {late} times, {wrong} accusations by it"
    result = quiet(hours, nodes, 1)
    counts = f"{result.accusations} accusations, {result.late} times late, {result.missing} missing answers"
    yield f"no fault: {result.hours:g} hours, {result.nodes} nodes, {result.messages} messages: {counts}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=100)
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--update-docs", action="store_true", help=f"write the figures into {PAGE.name}")
    options = parser.parse_args()
    lines: list[str] = []
    for line in figures(options.seeds, options.hours, options.nodes):
        print(line, flush=True)
        lines.append(f"- {line}")
    if options.update_docs:
        write_between(PAGE, BEGIN, END, "\n".join(lines))


if __name__ == "__main__":
    main()
