"""What a node keeps of barriers, and what it wants to be done. Floor F1: values, for `barrier`."""

from __future__ import annotations

import msgspec

from casty_trio.protocol.rounds import Rank, Word

__all__ = ["Bound", "Effect", "GiveUp", "Opened", "Party", "Refuse", "Release", "Report", "Say"]


class Say(msgspec.Struct, frozen=True):
    """Tell another node something, if there is a way to it."""

    uid: int
    word: Word


class Release(msgspec.Struct, frozen=True):
    """A party of this node goes on."""

    party: int


class GiveUp(msgspec.Struct, frozen=True):
    """A party of this node whose time was over has no part in its round any more: the ballot was void."""

    party: int


class Refuse(msgspec.Struct, frozen=True):
    """A party of this node waits for another number than those who were there before it."""

    party: int
    expected: int


Effect = Say | Release | GiveUp | Refuse


class Party(msgspec.Struct):
    """Somebody who waits on this node."""

    number: int
    barrier: str
    n: int
    since: float
    late: bool = False  # its time was over while it was bound
    abandoned: bool = False  # nobody waits any more, but it is bound: it counts as having come


class Bound(msgspec.Struct):
    """Parties of this node in a ballot."""

    parties: list[Party]
    voters: tuple[int, ...]
    committed: bool = False
    promised: Rank = (0, 0)  # who may tell what becomes of it: the host itself, and then whoever has asked last


class Report(msgspec.Struct):
    """What the host knows of the parties of a node."""

    n: int
    count: int
    since: float


class Opened(msgspec.Struct):
    """A ballot on which not all have voted, at its host."""

    number: int
    barrier: str
    n: int
    shares: dict[int, int]
    yes: dict[int, None] = msgspec.field(default_factory=dict[int, None])
