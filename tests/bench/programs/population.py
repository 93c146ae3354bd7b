"""Many entities on one node: how many start in a second, and what each of them takes while it is idle.

python -m tests.bench.programs.population
"""

from __future__ import annotations

import gc
import sys

import trio

from casty_trio import ActorRef, Behaviors, ClusteredActorSystem, ShardEnvelope
from tests.bench.programs.calling import BURST
from tests.bench.programs.counting import NUM_SHARDS, SHARD_TYPE, SYSTEM, Add, Get, Message, counter
from tests.bench.programs.measuring import MANY_ENTITIES, Result, check, print_result, resident_kib, timed

MOST_KIB = 1024 * 1024
"""A process with all of them fits in one GiB."""

Counters = ActorRef[ShardEnvelope[Message]]


async def wake(system: ClusteredActorSystem, counters: Counters, count: int) -> None:
    """Tell so many entities something, each for the first time, and wait until all have handled it."""
    for number in range(count):
        entity_id = f"entity-{number}"
        counters.tell(ShardEnvelope(entity_id, Add(1)))
        if number % BURST == BURST - 1 or number == count - 1:
            total: int = await system.ask(counters, lambda r, one=entity_id: ShardEnvelope(one, Get(r)), timeout=60.0)
            check(total, 1)


async def main(count: int) -> None:
    result: Result = {}
    async with ClusteredActorSystem(name=SYSTEM, host="127.0.0.1", port=0, node_id="node-1") as system:
        counters: Counters = system.spawn(Behaviors.sharded(counter, num_shards=NUM_SHARDS), SHARD_TYPE)
        await system.wait_for(1)
        gc.collect()
        before = resident_kib()
        with timed(result, "entities_per_s", count):
            await wake(system, counters, count)
        check(system.sharding_statistics(SHARD_TYPE).entities, count)
        after = resident_kib()
        result["entity_kib_per_actor"] = (after - before) / count
        if after > MOST_KIB:
            raise AssertionError(f"{count} entities take {after / 1024:.0f} MiB")
        print_result(result)  # the end of so many is not measured


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else MANY_ENTITIES)
