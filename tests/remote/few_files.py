"""A node whose process may hardly open files, and a crowd that connects and says nothing; `test_listening` runs it."""

from __future__ import annotations

import logging
import math
import resource
import socket

import trio

from casty_trio import ClusterClient, ClusteredActorSystem
from tests.sim.shop import NAME, SHARDS, Carts, GetAll, open_shop, to

CROWD = 40


def crowd(port: int) -> list[socket.socket]:
    """Connections that the node will not find files for."""
    return [socket.create_connection(("127.0.0.1", port)) for _ in range(CROWD)]


class Complaints(logging.Handler):
    """What the node has to say, a stream of it."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._put, self.told = trio.open_memory_channel[str](math.inf)

    def emit(self, record: logging.LogRecord) -> None:
        self._put.send_nowait(record.getMessage())


async def main() -> None:
    complaints = Complaints()
    log = logging.getLogger("casty_trio")
    log.addHandler(complaints)
    log.propagate = False
    async with ClusteredActorSystem(NAME, "127.0.0.1", 0, "node-1") as node:
        open_shop(node)
        port = node.address.port or 0
        async with ClusterClient([("127.0.0.1", port)], NAME) as client:
            carts: Carts = client.entity_ref("cart", num_shards=SHARDS)
            await client.ask(carts, to("a", GetAll))
            print("served")
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            strangers = crowd(port)
            highest = max(stranger.fileno() for stranger in strangers)
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 5, hard))
            for _ in range(3):
                assert "cannot accept connections" in await complaints.told.receive()
                await client.ask(carts, to("a", GetAll))
            print("meanwhile")
            for stranger in strangers:
                stranger.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            async with ClusterClient([("127.0.0.1", port)], NAME) as another:
                await another.ask(another.entity_ref("cart", num_shards=SHARDS), to("a", GetAll))
            print("again")


if __name__ == "__main__":
    trio.run(main)
