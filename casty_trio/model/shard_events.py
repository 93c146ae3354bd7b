"""What a node tells about the homes of shards, as typed values on its event stream. Floor F1."""

from __future__ import annotations

from casty_trio.model.events import Event
from casty_trio.model.member import Member

__all__ = ["HandOffFinished", "HandOffStarted", "RememberingFull", "ShardEvent", "ShardHomeChanged"]


class ShardEvent(Event, frozen=True):
    """The base of every event about shards.

    Attributes:
        shard_type: the name of the sharded type.
        shard: which shard of it.
    """

    shard_type: str
    shard: int


class ShardHomeChanged(ShardEvent, frozen=True):
    """This node sends messages for a shard to another home from now on; every node with the type tells it for itself.

    Attributes:
        home: where the shard is hosted.
    """

    home: Member | None


class HandOffStarted(ShardEvent, frozen=True):
    """A shard begins to move; told on the node that coordinates the type.

    Attributes:
        source: where it is hosted.
        target: where it is to be.
    """

    source: Member | None
    target: Member | None


class HandOffFinished(ShardEvent, frozen=True):
    """A shard has moved, or its move was called off; told on the node that coordinates the type.

    Attributes:
        home: where it is hosted now; None when nobody does.
        moved: whether it is where it was to be.
        duration: how long it took, in seconds.
    """

    home: Member | None
    moved: bool
    duration: float


class RememberingFull(ShardEvent, frozen=True):
    """With ``remember_entities=True`` there are more entities than are remembered; told once on each node with some.

    Attributes:
        shard: the first that had one too many.
        most: how many are remembered of a type.
    """

    most: int
