"""What an entity knows of itself. Floor F1: a value."""

from __future__ import annotations

import msgspec

__all__ = ["EntityInfo"]


class EntityInfo(msgspec.Struct, frozen=True):
    """Who an entity is, and by which right this actor of it acts; ``ctx.entity``.

    Attributes:
        shard_type: the name of its type.
        entity_id: which of them it is.
        shard: the shard that its id belongs to.
        fencing_token: what orders the owners that the shard has had: a later one has a greater token. A store that refuses
            writes with a lesser token than the last one it saw cannot be written by an owner that does not know yet that it
            is none any more.
    """

    shard_type: str
    entity_id: str
    shard: int
    fencing_token: tuple[int, int] = (0, 0)
