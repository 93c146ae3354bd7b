"""Tells to an actor of this node, and to an entity of this node, in turns; as a ref by its id, and in envelopes.

python -m tests.bench.programs.entities
"""

from __future__ import annotations

import time
from collections.abc import Callable

import trio

from casty_trio import ActorRef, Behaviors, ClusteredActorSystem, ShardEnvelope
from tests.bench.programs.counting import NUM_SHARDS, SHARD_TYPE, SYSTEM, Add, Get, Message, counter
from tests.bench.programs.measuring import ENTITY_TURNS, TELLS, Result, check, print_result

TURN = TELLS // ENTITY_TURNS
"""So many tells make a turn: what drifts on the machine hits all three alike."""

Tells = Callable[[], None]


def told(ref: ActorRef[Message]) -> Tells:
    """A turn of tells."""

    def tells() -> None:
        for _ in range(TURN):
            ref.tell(Add(1))

    return tells


def enclosed(counters: ActorRef[ShardEnvelope[Message]], entity_id: str) -> Tells:
    """A turn of tells in envelopes."""

    def tells() -> None:
        for _ in range(TURN):
            counters.tell(ShardEnvelope(entity_id, Add(1)))

    return tells


async def measure(system: ClusteredActorSystem) -> Result:
    counters = system.spawn(Behaviors.sharded(counter, num_shards=NUM_SHARDS), SHARD_TYPE)
    await system.wait_for(1)
    plain: ActorRef[Message] = system.spawn(counter("plain"))
    entity: ActorRef[Message] = system.entity_ref(SHARD_TYPE, "a")
    other: ActorRef[Message] = system.entity_ref(SHARD_TYPE, "b")
    ways: dict[str, tuple[ActorRef[Message], Tells]] = {
        "plain_tell_per_s": (plain, told(plain)),
        "entity_tell_per_s": (entity, told(entity)),
        "envelope_tell_per_s": (other, enclosed(counters, "b")),
    }
    seconds = dict.fromkeys(ways, 0.0)
    for turn in range(1 + ENTITY_TURNS):  # the first is the warm-up
        for key, (ref, tells) in ways.items():
            start = time.perf_counter()
            tells()
            total: int = await system.ask(ref, Get, timeout=60.0)
            seconds[key] += (time.perf_counter() - start) if turn else 0.0
            check(total, TURN * (turn + 1))
    return {key: TELLS / spent for key, spent in seconds.items()}


async def main() -> None:
    async with ClusteredActorSystem(name=SYSTEM, host="127.0.0.1", port=0, node_id="node-1") as system:
        result = await measure(system)
    print_result(result)


if __name__ == "__main__":
    trio.run(main)
