"""Cuts a client off from its cluster again and again, with real sockets, and counts what is left behind.

A proxy between the client and its node holds everything back, and then lets it through. `python -m tests.client.isolation`
does it a hundred times for a minute each, at default settings, which takes two hours; `test_isolation.py` for as long
as it takes a client with short deadlines to notice.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import time
import tracemalloc
from array import array
from dataclasses import dataclass
from statistics import median

import trio
import trio.testing

from casty_trio import ClusterClient, ClusteredActorSystem, Connected, Disconnected, LinkSettings, Settings, ShardEnvelope
from casty_trio.testing import FaultProxy
from tests.sim.shop import NAME, Carts, Name, Put, carts_of, open_shop, to

ASKS = 100
"""Deadlines of asks that are over are forgotten some dozens at a time: after so many, no earlier connection's are left."""


@dataclass(frozen=True)
class Left:
    """What there is after each cycle: tasks, files, connections, asks, held messages and streams; and bytes of memory."""

    counts: set[tuple[int, ...]]
    memory: array[int]

    @property
    def growth(self) -> float:
        """How many bytes the last quarter of the cycles has more than the second one, by their medians."""
        quarter = max(len(self.memory) // 4, 1)
        return median(self.memory[-quarter:]) - median(self.memory[quarter : 2 * quarter] or self.memory)


def open_files() -> int:
    """How many files, and so sockets, this process has open."""
    return len(os.listdir("/proc/self/fd"))


async def isolate(proxy: FaultProxy, client: ClusterClient, carts: Carts, seconds: float) -> None:
    """Cut it off for so long, and at least until it has noticed and dialled in vain; heal, and see that it works again."""
    async with client.events(Disconnected) as ends, client.events(Connected) as connections:
        await anext(connections)  # the present one
        dialled, until = proxy.connections, trio.current_time() + seconds
        proxy.hold()
        await anext(ends)
        carts.tell(ShardEnvelope("a", Put(1)))
        while proxy.connections == dialled:  # noqa: ASYNC110 - the proxy tells nobody
            await trio.sleep(0.01)
        await trio.sleep_until(until)
        proxy.heal()
        await anext(connections)
    for _ in range(ASKS):
        assert await client.ask(carts, to("a", Name)) == "a"


async def counted(node: ClusteredActorSystem, client: ClusterClient, proxy: FaultProxy, patience: float) -> tuple[int, ...]:
    """Tasks, files, connections and asks, once what has broken is gone."""
    with trio.fail_after(patience):
        while len(node.connections) != 1 or proxy.open_connections != 1:  # noqa: ASYNC110 - neither tells anybody
            await trio.sleep(0.01)
    await trio.testing.wait_all_tasks_blocked()
    statistics = client.statistics()
    tasks = trio.lowlevel.current_statistics().tasks_living
    return tasks, open_files(), len(node.connections), statistics.asks, statistics.held, statistics.streams


async def isolations(cycles: int, settings: Settings, seconds: float = 0.0, *, patience: float = 10.0) -> Left:
    """Do it so many times, for so long each; it works after each as the same client, and no message is dropped."""
    left = Left(set(), array("q", bytes(8 * cycles)))  # neither grows itself
    async with ClusteredActorSystem(NAME, "127.0.0.1", 0, "node-1", settings=Settings(link=settings.link)) as node:
        open_shop(node)
        async with FaultProxy("127.0.0.1", node.address.port or 0) as proxy:
            client = ClusterClient(
                [("127.0.0.1", node.address.port or 0)],
                NAME,
                address_map=lambda host, port: ("127.0.0.1", proxy.port),
                settings=settings,
            )
            async with client:
                carts = carts_of(client)
                assert await client.ask(carts, to("a", Name)) == "a"
                tracemalloc.start()
                try:
                    for cycle in range(cycles):
                        await isolate(proxy, client, carts, seconds)
                        left.counts.add(await counted(node, client, proxy, patience))
                        gc.collect()
                        left.memory[cycle] = tracemalloc.get_traced_memory()[0]
                finally:
                    tracemalloc.stop()
                assert client.statistics().dropped == 0
    return left


def main() -> None:
    """Do it at default settings, and print what is left."""
    parser = argparse.ArgumentParser("tests.client.isolation", description=__doc__)
    parser.add_argument("--cycles", type=int, default=100, help="how many (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each (default: %(default)s)")
    options = parser.parse_args()
    logging.getLogger("casty_trio").setLevel(logging.CRITICAL)
    began = time.monotonic()
    left = trio.run(lambda: isolations(options.cycles, Settings(link=LinkSettings()), options.seconds, patience=60.0))
    minutes = (time.monotonic() - began) / 60
    print(
        f"{options.cycles} isolations of {options.seconds:g} s each, healed {options.cycles} times, in {minutes:.0f} minutes"
    )
    print("tasks, files, connections, asks, held, streams after each:", *sorted(left.counts))
    print(f"memory of the last quarter against the second: {left.growth:+.0f} bytes")


if __name__ == "__main__":
    main()
