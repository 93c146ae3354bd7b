"""What a node keeps of barriers, and what it wants to be done. Floor F1: values, for `barrier`."""

from __future__ import annotations

from dataclasses import dataclass, field

from casty_trio.protocol.rounds import Rank, Word

__all__ = ["Bound", "Effect", "GiveUp", "Opened", "Party", "Refuse", "Release", "Report", "Say"]


@dataclass(frozen=True, slots=True)
class Say:
    """Tell another node something, if there is a way to it."""

    uid: int
    word: Word


@dataclass(frozen=True, slots=True)
class Release:
    """A party of this node goes on."""

    party: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """A party of this node whose time was over has no part in its round any more: the ballot was void."""

    party: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """A party of this node waits for another number than those who were there before it."""

    party: int
    expected: int


Effect = Say | Release | GiveUp | Refuse


@dataclass(slots=True)
class Party:
    """Somebody who waits on this node."""

    number: int
    barrier: str
    n: int
    since: float
    late: bool = False  # its time was over while it was bound
    abandoned: bool = False  # nobody waits any more, but it is bound: it counts as having come


@dataclass(slots=True)
class Bound:
    """Parties of this node in a ballot."""

    parties: list[Party]
    voters: tuple[int, ...]
    committed: bool = False
    promised: Rank = (0, 0)  # who may tell what becomes of it: the host itself, and then whoever has asked last


@dataclass(slots=True)
class Report:
    """What the host knows of the parties of a node."""

    n: int
    count: int
    since: float


@dataclass(slots=True)
class Opened:
    """A ballot on which not all have voted, at its host."""

    number: int
    barrier: str
    n: int
    shares: dict[int, int]
    yes: dict[int, None] = field(default_factory=dict[int, None])
