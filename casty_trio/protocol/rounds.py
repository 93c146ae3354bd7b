"""What nodes say to each other about barriers, as values and as bytes. Floor F1.

A *ballot* is one attempt to release one round of a barrier; it is named by the uid of the node that opened it, and a number
that this node never gives twice. `barrier` tells what is done with these words.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from casty_trio.protocol.unpacking import Unpacker, unpacker

__all__ = [
    "BOUND",
    "COMMITTED",
    "RELEASED",
    "VOID",
    "Answer",
    "Ballot",
    "Commit",
    "Committed",
    "Doubt",
    "Mismatch",
    "Outcome",
    "Propose",
    "Query",
    "Rank",
    "Told",
    "Vote",
    "Waiting",
    "Word",
    "pack",
    "unpack",
]

Ballot: TypeAlias = tuple[int, int]
Rank: TypeAlias = tuple[int, int]
VOID: Final = 0
BOUND: Final = 1
COMMITTED: Final = 2
RELEASED: Final = 3
"""How far a ballot has come: it is over, and nobody goes on; parties are bound; all were; they go on."""

Natural = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Name = Annotated[str, Meta(min_length=1, max_length=255)]


class Waiting(msgspec.Struct, array_like=True, frozen=True, tag="w"):
    """To the host: so many parties wait here, and are in no ballot; ``waited`` is for how long the first has, in seconds."""

    barrier: Name
    n: Positive
    count: Natural
    waited: Annotated[float, Meta(ge=0)]


class Mismatch(msgspec.Struct, array_like=True, frozen=True, tag="m"):
    """From the host: your parties wait for ``n``, and others were there before that wait for ``expected``."""

    barrier: Name
    n: Positive
    expected: Positive


class Propose(msgspec.Struct, array_like=True, frozen=True, tag="p"):
    """From the host: these nodes have parties for a round, so many each. Do yours still wait?

    Attributes:
        number: the ballot's.
        settled: all ballots of the host with lower numbers are over everywhere.
        barrier: which.
        n: how many the parties wait for.
        shares: how many parties of which node.
    """

    number: Positive
    settled: Positive
    barrier: Name
    n: Positive
    shares: tuple[tuple[int, Positive], ...]


class Vote(msgspec.Struct, array_like=True, frozen=True, tag="v"):
    """To the host of a ballot: whether our parties are bound to it; and how many wait here in no ballot."""

    number: Positive
    barrier: Name
    yes: bool
    left: Natural


class Outcome(msgspec.Struct, array_like=True, frozen=True, tag="o"):
    """A ballot has been decided: the round is released, or its parties go on waiting.

    Attributes:
        host: whose ballot.
        number: its number.
        turn: that of the inquiry that decided it; 0 when it was the host itself.
        released: what was decided.
        settled: as in `Propose`, from the host itself.
    """

    host: int
    number: Positive
    turn: Natural
    released: bool
    settled: Natural = 0


class Told(msgspec.Struct, array_like=True, frozen=True, tag="t"):
    """We know what became of the ballot."""

    host: int
    number: Positive


class Commit(msgspec.Struct, array_like=True, frozen=True, tag="c"):
    """The parties of all nodes were bound to the ballot: it will be released. ``turn`` as in `Outcome`."""

    host: int
    number: Positive
    turn: Natural


class Committed(msgspec.Struct, array_like=True, frozen=True, tag="k"):
    """We know that."""

    host: int
    number: Positive
    turn: Natural


class Doubt(msgspec.Struct, array_like=True, frozen=True, tag="d"):
    """To the host: parties of ours are bound to a ballot of another one; find out.

    Attributes:
        host: whose ballot.
        number: its number.
        voters: who may know more, as far as they are not gone.
        promised: turn and uid of whom we have answered last.
    """

    host: int
    number: Positive
    voters: tuple[int, ...]
    promised: Rank


class Query(msgspec.Struct, array_like=True, frozen=True, tag="q"):
    """What do you know of that ballot? Hear of it from nobody who asked before; if it is new to you, have no part in it."""

    host: int
    number: Positive
    turn: Positive


class Answer(msgspec.Struct, array_like=True, frozen=True, tag="a"):
    """To a query: how far the ballot has come, as far as we know: `VOID`, `BOUND`, `COMMITTED` or `RELEASED`."""

    host: int
    number: Positive
    turn: Positive
    known: Annotated[int, Meta(ge=VOID, le=RELEASED)]


Word: TypeAlias = Waiting | Mismatch | Propose | Vote | Commit | Committed | Outcome | Told | Doubt | Query | Answer

pack: Final = msgspec.msgpack.Encoder().encode
unpack: Final[Unpacker[Word]] = unpacker(Word, "a word on barriers")
"""Decode what a node says; raises `ProtocolError` where it is no such word."""
