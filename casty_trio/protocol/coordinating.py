"""What the coordinator of a sharded type works with, and what comes of it. Floor F1, values."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from casty_trio.protocol.placing import Say

__all__ = ["Began", "Candidate", "Effect", "Ended", "Failed", "Timing"]


class Timing(msgspec.Struct, frozen=True):
    """How patient a coordinator is, in seconds.

    Attributes:
        retry: what was not answered is said again after this.
        hand_off: a move that takes longer is called off.
        rebalance: how often it is asked whether shards are to move; also how long after a change.
        stay: how long a shard that has moved again and again stays, at most, before it may move once more.
    """

    retry: float = 0.5
    hand_off: float = 15.0
    rebalance: float = 1.0
    stay: float = 60.0


class Candidate(msgspec.Struct, frozen=True):
    """A member, as far as shards go; `up` says whether it may host any."""

    uid: int
    node_id: str
    up: bool


class Began(msgspec.Struct, frozen=True):
    """A shard begins to move."""

    shard: int
    owner: int
    target: int


class Ended(msgspec.Struct, frozen=True):
    """A move has ended; `owner` is whoever has the shard now, 0 when nobody has."""

    shard: int
    owner: int
    target: int
    seconds: float


class Failed(msgspec.Struct, frozen=True):
    """The program's strategy has failed, or named nobody who can host; another was asked."""

    error: Exception


Effect: TypeAlias = Say | Began | Ended | Failed
