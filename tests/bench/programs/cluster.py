"""What a cluster of processes on one machine costs: how long it takes to form, and what it says and burns when idle.

python -m tests.bench.programs.cluster form NODES
python -m tests.bench.programs.cluster idle
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

import trio

from tests.bench.programs.measuring import IDLE_NODES, IDLE_SECONDS, TURNS, Result, check, print_result
from tests.cluster.chaos.processes import Processes, processes

SEEDS = 3
SETTLING = 12.0
"""Nodes say more for some seconds after a change."""
MOST = 60.0
"""No change takes so many seconds."""

Reports = Mapping[str, Mapping[str, Any]]


async def form(cluster: Processes, names: list[str]) -> tuple[float, float]:
    """Start nodes all at once; how many seconds the first process's, and the last node's, start was before all agreed."""
    begun = time.monotonic()
    for name in names:
        await cluster.start(name, names[:SEEDS])
    agreed = await cluster.agreed(*names, within=MOST)
    return agreed - begun, agreed - max(cluster.nodes[name].listening_at for name in names)


async def measure_forming(count: int) -> None:
    """Until all agree."""
    async with processes(count, seed=time.monotonic_ns()) as cluster:
        first, last = await form(cluster, cluster.all_names)
    print_result({f"form_{count}_first_s": first, f"form_{count}_last_s": last})


async def measure_idling() -> None:
    """An idle minute, in part; then another node joins and leaves, again and again."""
    result: Result = {}
    async with processes(IDLE_NODES + 1, seed=time.monotonic_ns()) as cluster:
        *names, visitor = cluster.all_names
        await form(cluster, names)
        await trio.sleep(SETTLING)
        begun, before = time.monotonic(), await cluster.asked(*names)
        await trio.sleep(IDLE_SECONDS)
        after = await cluster.asked(*names)
        seconds = time.monotonic() - begun
        check(grown(before, after, "versions"), 0)
        result["idle_cpu_s"] = grown(before, after, "cpu") / IDLE_NODES / seconds * 60
        result["idle_bytes"] = grown(before, after, "bytes") / IDLE_NODES / seconds
        begun = time.monotonic()
        for _ in range(TURNS):
            await cluster.start(visitor, names[:SEEDS])
            await cluster.agreed(*names, visitor, within=MOST)
            await cluster.say(visitor, "leave")
            await cluster.agreed(*names, within=MOST)
            await cluster.wait(lambda: visitor not in cluster.names, MOST, "the visitor to be gone")
        changed = await cluster.asked(*names)
        result["changing_bytes"] = grown(after, changed, "bytes") / IDLE_NODES / (time.monotonic() - begun)
    print_result(result)


def grown(before: Reports, after: Reports, key: str) -> Any:
    """How much more of something all nodes together had."""
    return sum(after[name][key] - before[name][key] for name in before)


if __name__ == "__main__":
    if sys.argv[1] == "form":
        trio.run(measure_forming, int(sys.argv[2]))
    else:
        trio.run(measure_idling)
