"""A node with sharded counters for a crowd of clients. It prints its port and its process, and runs until it is terminated.

python -m tests.bench.programs.crowded
"""

from __future__ import annotations

import os
import resource

import trio

from casty_trio import Behaviors, ClusteredActorSystem
from tests.bench.programs.counting import NUM_SHARDS, SHARD_TYPE, SYSTEM, counter

HOST = "127.0.0.1"
FILES = 8_192
"""A socket for each client; many systems give a process no more than 1 024 files unless it asks."""


async def main() -> None:
    async with ClusteredActorSystem(name=SYSTEM, host=HOST, port=0, node_id="node-1") as system:
        system.spawn(Behaviors.sharded(counter, num_shards=NUM_SHARDS), SHARD_TYPE)
        await system.wait_for(1)
        print(system.address.port, os.getpid(), flush=True)
        await trio.sleep_forever()


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES if hard == resource.RLIM_INFINITY else min(FILES, hard), hard))
    trio.run(main)
