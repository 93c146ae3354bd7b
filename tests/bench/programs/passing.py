"""A million entities on one node, of which 50 000 may live at a time: what that takes, and how many are told in a second.

python -m tests.bench.programs.passing [ENTITIES [LIMIT]]
"""

from __future__ import annotations

import gc
import sys

import trio

from casty_trio import (
    ActorContext,
    ActorRef,
    Behavior,
    Behaviors,
    ClusteredActorSystem,
    Passivation,
    ShardEnvelope,
)
from tests.bench.programs.calling import BURST
from tests.bench.programs.counting import NUM_SHARDS, SHARD_TYPE, SYSTEM, Add, Get, Message
from tests.bench.programs.measuring import Result, check, print_result, resident_kib, timed

ENTITIES = 1_000_000
LIMIT = 50_000
MOST_KIB = 1024 * 1024
"""More than this is a leak: as many as live at a time take less than half of it."""


class Ledger:
    """What is left of entities when they have gone.

    Attributes:
        told: how often they were told something.
        instances: how many there have been.
    """

    def __init__(self) -> None:
        self.told: int = 0
        self.instances: int = 0

    def entity(self, entity_id: str) -> Behavior[Message]:
        """An entity that keeps nothing itself."""
        self.instances += 1

        def receive(ctx: ActorContext[Message], message: Message) -> None:
            match message:
                case Add(amount):
                    self.told += amount
                case Get(reply_to):
                    reply_to.tell(self.told)

        return Behaviors.receive(receive)


async def main(entities: int, limit: int) -> None:
    result: Result = {}
    ledger = Ledger()
    async with ClusteredActorSystem(name=SYSTEM, host="127.0.0.1", port=0, node_id="node-1") as system:
        sharded = Behaviors.sharded(ledger.entity, num_shards=NUM_SHARDS, passivation=Passivation(limit=limit))
        counters: ActorRef[ShardEnvelope[Message]] = system.spawn(sharded, SHARD_TYPE)
        await system.wait_for(1)
        gc.collect()
        most = live = 0.0
        with timed(result, "entities_per_s", entities):
            for number in range(entities):
                entity_id = f"entity-{number}"
                counters.tell(ShardEnvelope(entity_id, Add(1)))
                if number % BURST == BURST - 1 or number == entities - 1:
                    await system.ask(counters, lambda r, one=entity_id: ShardEnvelope(one, Get(r)), timeout=60.0)
                    live = max(live, system.sharding_statistics(SHARD_TYPE).entities)
                    most = max(most, resident_kib())
        check(ledger.told, entities)
        check(ledger.instances, entities)
        result["most_live"], result["most_mib"] = live, most / 1024
        if most > MOST_KIB:
            raise AssertionError(f"{entities} entities, {limit} at a time, take {most / 1024:.0f} MiB")
        print_result(result)


if __name__ == "__main__":
    entities = int(sys.argv[1]) if len(sys.argv) > 1 else ENTITIES
    trio.run(main, entities, int(sys.argv[2]) if len(sys.argv) > 2 else LIMIT)
