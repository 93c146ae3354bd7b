"""What is done to nodes with entities, and what has to come of it. Each step gives its figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import trio

from tests.cluster.chaos.processes import ChaosError, Processes
from tests.sharding.processes.front import Asks, Front, percentile
from tests.sharding.processes.items import ROLE

__all__ = ["Figures", "Limits", "form", "kill", "restart"]

Figures = dict[str, float]


@dataclass(frozen=True)
class Limits:
    """How much there is, how long things may take, in seconds, and with which settings the nodes run.

    Attributes:
        nodes: how many host entities.
        entities: how many there are.
        rate: how many of them are asked in a second, all the time.
        join: from the start of a node until it is up.
        answer: from a crash until all entities answer.
        p99: from a crash until 99 of 100 of the entities that it has hit answer again.
        settings: as in a file.
    """

    nodes: int = 5
    entities: int = 10_000
    rate: float = 200.0
    join: float = 60.0
    answer: float = 60.0
    p99: float = 15.0
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)


async def start(cluster: Processes, name: str, limits: Limits) -> None:
    """Start a node, as whatever watches over processes would."""
    await cluster.start(name, cluster.all_names, settings=limits.settings, roles=[ROLE])


async def form(cluster: Processes, limits: Limits) -> None:
    """Start all nodes."""
    for name in cluster.all_names:
        await start(cluster, name, limits)


async def restart(cluster: Processes, front: Front, limits: Limits) -> Figures:
    """S2, C8: each node leaves and is started again, one after the other; no ask fails meanwhile."""
    begun = trio.current_time()
    async with front.load(limits.rate) as asks:
        for name in cluster.all_names:
            await cluster.say(name, "leave")
            await cluster.wait(partial(_has_ended, cluster, name), limits.join, f"{name} to leave")
            if cluster.nodes[name].how != "left":
                raise ChaosError(f"{name} did not leave in order\n{cluster.told()}")
            await start(cluster, name, limits)
            await front.system.wait_for(1 + limits.nodes, timeout=limits.join)
        seconds = trio.current_time() - begun
        await front.spread(cluster.all_names, limits.join)
    figures = {"seconds": seconds, **counted(asks)}
    if asks.lost:
        raise ChaosError(f"asks failed while nodes were restarted: {dict(asks.failed)}, {figures}\n{cluster.told()}")
    return figures


async def kill(cluster: Processes, front: Front, limits: Limits, *, oldest: bool = False) -> Figures:
    """S3: the entities of a node that is killed answer again, soon, and those of the others go on."""
    coordinator, homes = front.coordinator, front.homes()
    name = coordinator if oldest else next(each for each in cluster.all_names if each != coordinator)
    hit = [entity for entity, home in homes.items() if home == name]
    spared = [entity for entity, home in homes.items() if home != name][:: max(1, len(homes) // 500)]
    found: dict[str, Mapping[str, float]] = {}

    async def measure(which: str, entities: list[str], begun: float) -> None:
        found[which] = await front.answers(entities, begun, limits.answer)

    async with front.load(limits.rate) as asks:
        begun = trio.current_time()
        await cluster.kill(name)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(measure, "hit", hit, begun)
            nursery.start_soon(measure, "spared", spared, begun)
        await start(cluster, name, limits)
        await front.system.wait_for(1 + limits.nodes, timeout=limits.join)
        await front.spread(cluster.all_names, limits.join)
    times = list(found["hit"].values())
    figures = {"hit": float(len(hit)), "p50": percentile(times, 0.5), "p99": percentile(times, 0.99), "max": max(times)}
    figures |= {"spared": max(found["spared"].values()), **counted(asks)}
    if figures["p99"] > limits.p99:
        raise ChaosError(f"{name} was killed, and entities took long to answer again: {figures}\n{cluster.told()}")
    return figures


def _has_ended(cluster: Processes, name: str) -> bool:
    return name in cluster.ended


def counted(asks: Asks) -> Figures:
    """What has come of the asks of the load."""
    figures = {"asks": float(asks.answered + asks.lost), "failed": float(asks.lost), "longest": asks.longest}
    return figures | {f"failed with {name}": float(count) for name, count in sorted(asks.failed.items())}
