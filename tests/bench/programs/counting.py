"""The counter of the remote programs, and its messages: a module of its own, for both processes name the types by it."""

from __future__ import annotations

import msgspec

from casty_trio import ActorContext, ActorRef, Behavior, Behaviors

SYSTEM = "bench"
SHARD_TYPE = "counter"
NUM_SHARDS = 100


class Add(msgspec.Struct, frozen=True):
    amount: int


class Get(msgspec.Struct, frozen=True):
    reply_to: ActorRef[int]


Message = Add | Get


def counter(entity_id: str, total: int = 0) -> Behavior[Message]:
    def receive(ctx: ActorContext[Message], message: Message) -> Behavior[Message]:
        match message:
            case Add(amount):
                return counter(entity_id, total + amount)
            case Get(reply_to):
                reply_to.tell(total)
                return Behaviors.same()

    return Behaviors.receive(receive)
