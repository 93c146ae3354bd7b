"""Nodes on a bench that know each other by address, without members: what links carry when nobody judges."""

from __future__ import annotations

from math import inf

from casty_trio.cluster import ClusteredActorSystem
from casty_trio.testing.bench import Bench
from casty_trio.testing.host import NodeProgram
from casty_trio.testing.memberships import Accusations
from casty_trio.testing.traffic import MESSAGES, Traffic
from casty_trio.testing.world import SimulatedEnv

__all__ = ["links"]

PORT = 25_520


def links(bench: Bench) -> NodeProgram:
    """Nodes that know each other by address, and carry `Traffic`.

    Example::

        run_plan(links, Swarm().plan(seed=7))
    """
    traffic = Traffic(bench, port=PORT)
    bench.observer.add(Accusations())
    # Without members nobody decides that a node is gone for good: they wait for each other for as long as it takes.
    link = bench.plan.knobs.link(keep_alive=1.0, dead_after=6.0, gone_after=inf)

    async def node(env: SimulatedEnv, name: str) -> None:
        system = ClusteredActorSystem(
            "bench", name, PORT, name, messages=MESSAGES, link=link, insecure=True, env=env, check_serialization=False
        )
        async with system:
            await traffic.run(system, name)

    return node
