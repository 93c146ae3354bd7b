"""A node and its clients in one simulation, whose digest must be the same in every process; `test_canary` runs several.

Random tells and asks, classes of messages in sets, a node that is killed and comes back, time-outs and failures.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import trio

from casty_trio import CastyError, ClusterClient, Event, Lagged, ShardEnvelope
from casty_trio.testing import Conditions, Simulation, simulate
from tests.sim.shop import Carts, Fail, Fill, GetAll, Host, Ignore, Late, Leave, Name, Put, carts_of, make_client, to

CLIENTS = 8
ROUNDS = 60

KINDS: set[Callable[..., Any]] = {Put, Fill, Late, Name, GetAll, Ignore, Fail, Leave}
"""A set of classes, in the order of their addresses: whoever walks it without sorting gives the run away."""


async def scenario(sim: Simulation) -> None:
    sim.network.set_conditions(Conditions(delay=(0.001, 0.05), cut=0.5, window=4_096))
    async with trio.open_nursery() as nursery:
        host = Host(sim, nursery, messages=KINDS)
        await host.start()
        nursery.start_soon(watch, sim, host)
        async with trio.open_nursery() as clients:
            for number in range(CLIENTS):
                clients.start_soon(live, sim, number)
            await trio.sleep(3)
            await host.kill()
            await trio.sleep(2)
            await host.start()
            await trio.sleep(3)
            await host.stop()
            await trio.sleep(1)
            await host.start()
        sim.record("node", repr(host.node.statistics()))
        nursery.cancel_scope.cancel()


async def watch(sim: Simulation, host: Host) -> None:
    """Record the events of the first node."""
    async with host.node.events(Event, capacity=100_000) as events:
        async for event in events:
            sim.record(type(event).__name__, "" if isinstance(event, Lagged) else str(getattr(event, "reason", "")))


async def live(sim: Simulation, number: int) -> None:
    """One client's life."""
    rng = sim.rng(f"client {number}")
    async with make_client(sim, number, connect_timeout=60) as client, trio.open_nursery() as nursery:
        carts = carts_of(client)
        for _ in range(ROUNDS):
            await trio.sleep(rng.random() / 3)
            kind = rng.choice(sorted(KINDS, key=lambda each: each.__name__))
            entity_id = f"cart-{rng.randrange(20)}"
            if kind is Put:
                carts.tell(ShardEnvelope(entity_id, Put(rng.randrange(100))))
            elif kind is Fill:
                carts.tell(ShardEnvelope(entity_id, Fill(rng.randbytes(rng.randrange(10_000)))))
            else:
                arguments: tuple[object, ...] = (
                    (number, rng.random()) if kind is Late else ("kaputt",) if kind is Fail else ()
                )
                nursery.start_soon(ask, sim, client, carts, to(entity_id, kind, *arguments))
    sim.record(number, repr(client.statistics().dropped), client.statistics().connections)


async def ask(sim: Simulation, client: ClusterClient, carts: Carts, factory: Callable[..., Any]) -> None:
    """One ask, and how it ended."""
    try:
        reply = await client.ask(carts, factory, timeout=1.0)
    except CastyError as error:
        sim.record(type(error).__name__, str(error))
    else:
        sim.record(reply)


if __name__ == "__main__":
    result = simulate(scenario, int(sys.argv[1]))
    print(result.digest, result.steps, result.network.bytes)
