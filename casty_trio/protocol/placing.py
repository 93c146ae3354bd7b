"""What the machine of a node's part in the homes of shards wants to be done. Floor F1: values; `homes` tells of them."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from casty_trio.protocol.homing import Epoch, Word

__all__ = [
    "Drain",
    "Drop",
    "Effect",
    "Forget",
    "Gain",
    "Hand",
    "Hold",
    "Mark",
    "Open",
    "Refused",
    "Say",
    "Source",
]


class Say(msgspec.Struct, frozen=True):
    """Tell a node something; it may be lost."""

    uid: int
    word: Word


class Mark(msgspec.Struct, frozen=True):
    """Send a marker to the owner of a shard, behind the messages for it."""

    uid: int
    shard: int
    epoch: Epoch


class Hold(msgspec.Struct, frozen=True):
    """Hold messages for the shard."""

    shard: int


class Open(msgspec.Struct, frozen=True):
    """Send messages for the shard to that node, first those that were held."""

    shard: int
    uid: int


class Source:
    """Where messages are that a shard begins with: nowhere, here, or among those that the old owner has sent."""

    NONE = 0
    KEPT = 1
    SENT = 2


class Gain(msgspec.Struct, frozen=True):
    """Host the shard, by that epoch; its entities get the messages of the source first. What was kept here else is lost."""

    shard: int
    epoch: Epoch
    source: int


class Drain(msgspec.Struct, frozen=True):
    """Let the shard's entities finish what was accepted, and stop; `Homes.drained` is told when they have."""

    shard: int


class Hand(msgspec.Struct, frozen=True):
    """Send what was left of the shard, and a handover, to its new owner."""

    shard: int
    uid: int
    epoch: Epoch


class Forget(msgspec.Struct, frozen=True):
    """The shard has come to its new owner with all that was left."""

    shard: int


class Drop(msgspec.Struct, frozen=True):
    """Stop the shard's entities at once: it is given to another."""

    shard: int


class Refused(msgspec.Struct, frozen=True):
    """The others want nothing of this region."""

    reason: str


Effect: TypeAlias = Say | Mark | Hold | Open | Gain | Drain | Hand | Forget | Drop | Refused
