"""A client that asks and tells sharded counters in another process. The counterpart of `limits/remote.py`.

python -m tests.bench.programs.client {trio,asyncio}
"""

from __future__ import annotations

import sys

import anyio
import anyio.lowlevel

from casty_trio import ActorRef, ClusterClient, ShardEnvelope
from tests.bench.programs.counting import NUM_SHARDS, SHARD_TYPE, SYSTEM, Add, Get, Message
from tests.bench.programs.measuring import (
    CALLERS,
    CALLS,
    REMOTE_ASKS,
    REMOTE_TELLS,
    WARM_UP,
    Result,
    check,
    print_result,
    timed,
)
from tests.bench.programs.serving import server

BURST = 500
"""After so many tells the client waits for room, and lets its writer run: as often as the limit does."""

Counters = ActorRef[ShardEnvelope[Message]]


async def ask(client: ClusterClient, counters: Counters, entity: str) -> int:
    total: int = await client.ask(counters, lambda r: ShardEnvelope(entity, Get(r)))
    return total


async def warm_up(client: ClusterClient, counters: Counters) -> None:
    for i in range(WARM_UP):
        counters.tell(ShardEnvelope("warm-up", Add(1)))
        check(await ask(client, counters, "warm-up"), i + 1)


async def sequential(client: ClusterClient, counters: Counters, result: Result) -> None:
    await ask(client, counters, "a")
    with timed(result, "ask_per_s", REMOTE_ASKS):
        for _ in range(REMOTE_ASKS):
            await ask(client, counters, "a")


async def concurrent(client: ClusterClient, counters: Counters, result: Result) -> None:
    """64 tasks, each asks an entity of its own."""
    answered = 0

    async def call(entity: str) -> None:
        nonlocal answered
        for _ in range(CALLS):
            await ask(client, counters, entity)
            answered += 1

    with timed(result, "ask_64_per_s", CALLERS * CALLS):
        async with anyio.create_task_group() as tasks:
            for i in range(CALLERS):
                tasks.start_soon(call, f"b{i}")
    check(answered, CALLERS * CALLS)


async def tells(client: ClusterClient, counters: Counters, result: Result) -> None:
    """Tells to one entity, until its count says that it has handled them all."""
    handled = 0
    with timed(result, "tell_per_s", REMOTE_TELLS):
        for i in range(REMOTE_TELLS):
            if i % BURST:
                counters.tell(ShardEnvelope("c", Add(1)))
            else:
                await counters.send(ShardEnvelope("c", Add(1)))
        while handled < REMOTE_TELLS:
            handled = await ask(client, counters, "c")
    check(handled, REMOTE_TELLS)


async def measure(port: int) -> None:
    result: Result = {}
    async with ClusterClient(contact_points=[("127.0.0.1", port)], system_name=SYSTEM) as client:
        counters: Counters = client.entity_ref(SHARD_TYPE, num_shards=NUM_SHARDS)
        await warm_up(client, counters)
        for run in (sequential, concurrent, tells):
            await run(client, counters, result)
    print_result(result)


if __name__ == "__main__":
    with server("-m", "tests.bench.programs.node") as port:
        anyio.run(measure, int(port), backend=sys.argv[1])
