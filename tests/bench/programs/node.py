"""A node with sharded counters. It prints its port and runs until it is terminated.

python -m tests.bench.programs.node
"""

import trio

from casty_trio import Behaviors, ClusteredActorSystem
from tests.bench.programs.counting import NUM_SHARDS, SHARD_TYPE, SYSTEM, counter


async def main() -> None:
    async with ClusteredActorSystem(name=SYSTEM, host="127.0.0.1", port=0, node_id="node-1") as system:
        system.spawn(Behaviors.sharded(counter, num_shards=NUM_SHARDS), SHARD_TYPE)
        await system.wait_for(1)
        print(system.address.port, flush=True)
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main)
