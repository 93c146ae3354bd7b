"""A client that a proxy cuts off from its cluster by holding everything back, with real sockets, and heals again."""

from __future__ import annotations

import gc
import logging
import os
import tracemalloc
from array import array
from statistics import median

import pytest
import trio
import trio.testing

from casty_trio import (
    ClientSettings,
    ClusterClient,
    ClusteredActorSystem,
    Connected,
    Disconnected,
    LinkSettings,
    Settings,
    ShardEnvelope,
)
from casty_trio.testing import FaultProxy
from tests.sim.shop import NAME, Carts, Name, Put, carts_of, open_shop, to

CYCLES = 100
PART = 25
"""What is kept for some seconds goes up and down within so many cycles."""
ASKS = 100
"""Deadlines of asks that are over are forgotten some dozens at a time: after so many, no earlier connection's are left."""
LEAK = 256
"""A cycle that left something behind would leave an object of hundreds of bytes; so many bytes may one differ."""

QUICK = LinkSettings(handshake_timeout=0.5, close_timeout=0.1, keep_alive=0.05, dead_after=0.15)
SETTINGS = Settings(link=QUICK, client=ClientSettings(establishing=0.5))


def open_files() -> int:
    """How many files, and so sockets, this process has open."""
    return len(os.listdir("/proc/self/fd"))


async def isolate(proxy: FaultProxy, client: ClusterClient, carts: Carts) -> None:
    """Cut it off until it has noticed and dialled in vain, heal, and see that it works again."""
    async with client.events(Disconnected) as ends, client.events(Connected) as connections:
        await anext(connections)  # the present one
        dialled = proxy.connections
        proxy.hold()
        await anext(ends)
        carts.tell(ShardEnvelope("a", Put(1)))
        while proxy.connections == dialled:  # noqa: ASYNC110 - the proxy tells nobody
            await trio.sleep(0.01)
        proxy.heal()
        await anext(connections)
    for _ in range(ASKS):
        assert await client.ask(carts, to("a", Name)) == "a"


async def counted(node: ClusteredActorSystem, client: ClusterClient, proxy: FaultProxy) -> tuple[int, ...]:
    """Tasks, files, connections and asks, once what has broken is gone."""
    with trio.fail_after(10):
        while len(node.connections) != 1 or proxy.open_connections != 1:  # noqa: ASYNC110 - neither tells anybody
            await trio.sleep(0.01)
    await trio.testing.wait_all_tasks_blocked()
    statistics = client.statistics()
    tasks = trio.lowlevel.current_statistics().tasks_living
    return tasks, open_files(), len(node.connections), statistics.asks, statistics.held, statistics.streams


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(400)
async def test_a_hundred_isolations_leave_no_task_socket_or_memory_behind(caplog: pytest.LogCaptureFixture) -> None:
    """K3: it works after each, as the same client; tasks, files, connections and asks are as many as after the first, and
    memory does not grow from cycle to cycle."""
    caplog.set_level(logging.CRITICAL, "casty_trio")  # what is logged is kept for the report
    held, memory = set[tuple[int, ...]](), array("q", bytes(8 * CYCLES))  # which do not grow themselves
    async with ClusteredActorSystem(NAME, "127.0.0.1", 0, "node-1", settings=Settings(link=QUICK)) as node:
        open_shop(node)
        async with FaultProxy("127.0.0.1", node.address.port or 0) as proxy:
            client = ClusterClient(
                [("127.0.0.1", node.address.port or 0)],
                NAME,
                address_map=lambda host, port: ("127.0.0.1", proxy.port),
                settings=SETTINGS,
            )
            async with client:
                carts = carts_of(client)
                assert await client.ask(carts, to("a", Name)) == "a"
                tracemalloc.start()
                try:
                    for cycle in range(CYCLES):
                        await isolate(proxy, client, carts)
                        held.add(await counted(node, client, proxy))
                        gc.collect()
                        memory[cycle] = tracemalloc.get_traced_memory()[0]
                finally:
                    tracemalloc.stop()
                assert client.statistics().dropped == 0
    assert len(held) == 1
    assert median(memory[-PART:]) - median(memory[PART : 2 * PART]) < LEAK * (CYCLES - 2 * PART), memory
