"""What nodes say to each other about the homes of shards, as values and as bytes. Floor F1.

A *coordinator* of a sharded type speaks in a *term*, a number and its uid; regions obey the highest they reported to.
What it wants of a shard is an `Entry`; entries are numbered upwards within a term, and a later one of a shard replaces an
earlier. A shard's *epoch*, (term, coordinator, number), is that of the entry by which it was given to its owner.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from casty_trio.protocol.unpacking import Unpacker, unpacker

__all__ = [
    "Answer",
    "Entry",
    "Epoch",
    "Handover",
    "Hello",
    "Leftover",
    "Marker",
    "Phase",
    "Plan",
    "Query",
    "Refuse",
    "Report",
    "Term",
    "Typed",
    "Word",
    "pack",
    "raw",
    "unpack",
    "unpack_handover",
    "unpack_leftover",
    "unpack_marker",
]

Natural: TypeAlias = Annotated[int, Meta(ge=0)]
Uid: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=255)]
Term: TypeAlias = tuple[Natural, Uid]
"""The number of a term, and the uid of its coordinator; of two the higher is obeyed."""
Epoch: TypeAlias = tuple[Natural, Uid, Natural]


class Phase:
    """How it stands with a shard. Plain integers, for they travel with every entry.

    Attributes:
        FREE: nobody hosts it, and nobody can.
        START: the target is to host it at once.
        SETTLED: the owner hosts it.
        HOLD: it moves from the owner to the target; mail for it is held.
        OFF: it was to move and is not: the target takes it no more, if it has not.
        BACK: and so the owner hosts it again.
    """

    FREE = 0
    START = 1
    SETTLED = 2
    HOLD = 3
    OFF = 4
    BACK = 5


class Entry(msgspec.Struct, array_like=True, frozen=True):
    """What is to be known of one shard.

    In the phase BACK a target may have had the shard for a while; in SETTLED it is the one that handed it over.
    """

    shard: Natural
    number: Natural
    phase: Annotated[int, Meta(ge=Phase.FREE, le=Phase.BACK)]
    owner: Uid = 0
    target: Uid = 0


class Hello(msgspec.Struct, array_like=True, frozen=True, tag="h"):
    """To whom coordinates, as far as we know: there is a region here that hears from no coordinator; its term so far.

    Also to who asks as the coordinator of another shape: the type is here in this one. ``incumbent`` says that it is in use:
    the region has had a plan, or the coordinator that is here decides.
    """

    term: Term
    num_shards: Natural
    role: str = ""
    incumbent: bool = False


class Query(msgspec.Struct, array_like=True, frozen=True, tag="q"):
    """To every member: from now on I coordinate the type, in this term: what do you host, and hold?"""

    term: Term
    num_shards: Natural
    role: str = ""


class Report(msgspec.Struct, array_like=True, frozen=True, tag="r"):
    """To a coordinator whose term is obeyed, or that has to know of a higher one: everything about the shards here.

    Attributes:
        term: the highest that was reported to.
        upto: all entries up to this number are known.
        routes: whether messages are, or were, sent from here; not so where the type was never known.
        ended: whether the type has ended here: then nothing is taken on any more.
        hosts: whether it may be given shards.
        hosted: the shards that run here, with the epochs by which they were given.
        kept: the shards that were handed over, or are about to be, and to whom; whether they came to run is not known.
        serial: the region's number for the report; it is repeated until a plan names it.
        since: the epochs by which the shards that are kept were given, in their order.
    """

    term: Term
    serial: Natural = 0
    upto: Natural = 0
    routes: bool = False
    hosts: bool = False
    hosted: tuple[tuple[Natural, Epoch], ...] = ()
    kept: tuple[tuple[Natural, Uid], ...] = ()
    ended: bool = False
    since: tuple[Epoch, ...] = ()


class Refuse(msgspec.Struct, array_like=True, frozen=True, tag="x"):
    """To a region: it does not fit to those of the other nodes, and this is why."""

    reason: Annotated[str, Meta(max_length=500)]


class Plan(msgspec.Struct, array_like=True, frozen=True, tag="p"):
    """To a region: entries from after ``base`` up to ``upto``, in the order of their numbers, and who has regions.

    ``heard`` is the number of the last report that came from it; ``able`` says whether any region may be given shards.
    """

    term: Term
    heard: Natural
    base: Natural
    upto: Natural
    entries: tuple[Entry, ...] = ()
    regions: tuple[Uid, ...] = ()
    able: bool = False


class Answer(msgspec.Struct, array_like=True, frozen=True, tag="a"):
    """To a plan, and when something has come of it: all up to this number is known, and these of the shards run here."""

    term: Term
    upto: Natural
    hosting: tuple[Natural, ...] = ()


Word: TypeAlias = Hello | Query | Report | Refuse | Plan | Answer


class Typed(msgspec.Struct, array_like=True, frozen=True):
    """A word on one sharded type."""

    shard_type: Name
    word: Word


class Marker(msgspec.Struct, array_like=True, frozen=True):
    """To the owner of a shard that moves, behind all messages for it: no more will come from here."""

    shard_type: Name
    shard: Natural
    epoch: Epoch


class Leftover(msgspec.Struct, array_like=True, frozen=True):
    """To the new owner of a shard: a message that the old one had accepted and not handled; ``index`` counts them from 0."""

    shard_type: Name
    shard: Natural
    epoch: Epoch
    index: Natural
    ask: int
    budget: float | None
    entity_id: Annotated[str, Meta(min_length=1)]
    name: str
    body: msgspec.Raw


class Handover(msgspec.Struct, array_like=True, frozen=True):
    """To the new owner of a shard, behind the leftovers: the old one has let go, and this many were left."""

    shard_type: Name
    shard: Natural
    epoch: Epoch
    count: Natural


pack: Final = msgspec.msgpack.Encoder().encode
raw: Final = msgspec.Raw
"""Bytes that are encoded already, as the body of a `Leftover`."""

WHAT: Final = "a word on shards"

unpack: Final[Unpacker[Typed]] = unpacker(Typed, WHAT)
"""Decode a word on shards; raises `ProtocolError` where it is no such word."""

unpack_marker: Final[Unpacker[Marker]] = unpacker(Marker, WHAT)
"""Decode a marker; likewise."""

unpack_leftover: Final[Unpacker[Leftover]] = unpacker(Leftover, WHAT)
"""Decode a message that was left; likewise."""

unpack_handover: Final[Unpacker[Handover]] = unpacker(Handover, WHAT)
"""Decode the end of what was left; likewise."""
