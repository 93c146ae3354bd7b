"""What a node tells about the homes of shards, as typed values on its event stream. Floor F1."""

from __future__ import annotations

from typing import Literal

from casty_trio.model.events import Event
from casty_trio.model.member import Member

__all__ = [
    "HandOffAdvanced",
    "HandOffFinished",
    "HandOffStarted",
    "RememberingFull",
    "ShardEvent",
    "ShardHomeChanged",
    "TakeOverAdvanced",
]


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


class HandOffAdvanced(ShardEvent, frozen=True):
    """A move has come a step further; told on the node that took the step, so that a move which hangs shows where.

    Attributes:
        step: "held": this node holds mail for the shard, and has told its home that no more is on the way. "flushed": all
            have, so the entities here finish what was accepted. "stopped": they have ended, and what is left goes to the
            new home. "started": this node is the new home, and has taken that on.
    """

    step: Literal["held", "flushed", "stopped", "started"]


class TakeOverAdvanced(Event, frozen=True):
    """A node becomes the coordinator of a sharded type, step by step; told on that node.

    Attributes:
        shard_type: the name of the sharded type.
        step: "asks": it asks every member what is hosted there. "hears": one more has answered, or is gone. "decides": all
            have, and it coordinates the type from now on.
        term: which of the type's terms this is.
        missing: how many members have not answered yet.
    """

    shard_type: str
    step: Literal["asks", "hears", "decides"]
    term: int
    missing: int


class RememberingFull(ShardEvent, frozen=True):
    """With ``remember_entities=True`` there are more entities than are remembered; told once on each node with some.

    Attributes:
        shard: the first that had one too many.
        most: how many are remembered of a type.
    """

    most: int
