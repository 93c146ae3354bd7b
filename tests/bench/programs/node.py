"""A node with sharded counters. It prints its port and runs until it is terminated.

python -m tests.bench.programs.node [NUMBER PORT]

The second node, and each further one, is told its number and the port of another; it prints its own when so many have
shards.
"""

from __future__ import annotations

import sys

import trio

from casty_trio import Behaviors, ClusteredActorSystem, ShardHomeChanged
from tests.bench.programs.counting import NUM_SHARDS, SHARD_TYPE, SYSTEM, counter

HOST = "127.0.0.1"


def hosts(system: ClusteredActorSystem) -> int:
    """How many nodes have shards; 0 as long as a shard has no home."""
    homes = system.shard_homes(SHARD_TYPE)
    return len({home.uid for home in homes if home is not None}) if None not in homes else 0


async def main(number: int, seeds: list[tuple[str, int]]) -> None:
    async with ClusteredActorSystem(name=SYSTEM, host=HOST, port=0, node_id=f"node-{number}", seed_nodes=seeds) as system:
        async with system.events(ShardHomeChanged) as moves:
            system.spawn(Behaviors.sharded(counter, num_shards=NUM_SHARDS), SHARD_TYPE)
            await system.wait_for(number)
            while hosts(system) < number:
                await anext(moves)
        print(system.address.port, flush=True)
        await trio.sleep_forever()


if __name__ == "__main__":
    joins = len(sys.argv) > 1
    trio.run(main, int(sys.argv[1]) if joins else 1, [(HOST, int(sys.argv[2]))] if joins else [])
