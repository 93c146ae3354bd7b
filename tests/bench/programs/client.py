"""A client that asks and tells sharded counters in other processes. The counterpart of `limits/remote.py`.

python -m tests.bench.programs.client {trio,asyncio} [NODES]
"""

from __future__ import annotations

import sys
from contextlib import ExitStack

import anyio

from casty_trio import ActorRef, ClusterClient, ShardEnvelope
from tests.bench.programs.calling import concurrent, sequential, tells, warm_up
from tests.bench.programs.counting import NUM_SHARDS, SHARD_TYPE, SYSTEM, Add, Get, Message
from tests.bench.programs.measuring import Result, print_result
from tests.bench.programs.serving import server

NODE = "tests.bench.programs.node"


async def measure(port: int) -> None:
    result: Result = {}
    async with ClusterClient(contact_points=[("127.0.0.1", port)], system_name=SYSTEM) as client:
        counters: ActorRef[ShardEnvelope[Message]] = client.entity_ref(SHARD_TYPE, num_shards=NUM_SHARDS)

        async def ask(entity: str) -> int:
            total: int = await client.ask(counters, lambda r: ShardEnvelope(entity, Get(r)), timeout=60.0)
            return total

        await warm_up(ask, counters, lambda: ShardEnvelope("warm-up", Add(1)))
        await sequential(ask, result)
        await concurrent(ask, result)
        await tells(ask, counters, lambda: ShardEnvelope("c", Add(1)), result)
    print_result(result)


if __name__ == "__main__":
    with ExitStack() as nodes:
        first = nodes.enter_context(server("-m", NODE))
        for number in range(2, int(sys.argv[2]) + 1 if len(sys.argv) > 2 else 2):
            nodes.enter_context(server("-m", NODE, str(number), first))
        anyio.run(measure, int(first), backend=sys.argv[1])
