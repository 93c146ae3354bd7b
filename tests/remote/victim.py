"""A node in a process of its own, for `test_hostile`: prints its port, logs to stderr, and leaves when its input ends."""

from __future__ import annotations

import logging
import sys

import trio

from casty_trio import ClusteredActorSystem
from tests.sim.shop import NAME, open_shop


async def main() -> None:
    async with ClusteredActorSystem(NAME, "127.0.0.1", 0, "node-1") as node:
        open_shop(node)
        print(node.address.port, flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)
        print(node.access_statistics(), flush=True)


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(name)s %(message)s")
    trio.run(main)
