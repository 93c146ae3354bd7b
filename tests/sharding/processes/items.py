"""The entities that are asked, and their messages: a module of its own, for all processes name the types by it."""

from __future__ import annotations

from dataclasses import dataclass

from casty_trio import ActorContext, ActorRef, Behavior, Behaviors

__all__ = ["NUM_SHARDS", "ROLE", "SHARD_TYPE", "Touch", "item"]

SHARD_TYPE = "item"
NUM_SHARDS = 100
ROLE = "host"


@dataclass(frozen=True)
class Touch:
    """How often the instance has been touched is the reply."""

    reply_to: ActorRef[int]


def item(entity_id: str, count: int = 0) -> Behavior[Touch]:
    """Something that counts."""

    def receive(ctx: ActorContext[Touch], message: Touch) -> Behavior[Touch]:
        message.reply_to.tell(count + 1)
        return item(entity_id, count + 1)

    return Behaviors.receive(receive)
