"""What nodes say to each other about the ids of entities that are remembered without a store. Floor F1: typed values.

The owner of a shard tells a few *keepers* which of its entities live. A *stamp* is the owner's fencing token and the number
of the last change that is in it; of two the higher is later. What is told is what has changed since the stamp that the
keeper has; or, from `NONE` on, everything, which counts when its last part has come.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from casty_trio.model.checks import MOST_SHARDS
from casty_trio.protocol.unpacking import Unpacker, unpacker

__all__ = [
    "CHUNK",
    "IDS_MOST",
    "LONGEST_ID",
    "NONE",
    "Ask",
    "Keep",
    "Kept",
    "Note",
    "Stamp",
    "Token",
    "Told",
    "Word",
    "cut",
    "pack",
    "unpack",
]

CHUNK: Final = 16 * 1024
"""So many bytes of ids go in one word, or a little more; further ones go in the next."""

IDS_MOST: Final = 4_096
"""So many ids are looked at for one word."""

LONGEST_ID: Final = 1_000
"""An entity with a longer id, in characters, is not remembered."""

WORDS_MOST: Final = 10_000
"""So many words go in one frame, at most."""

Natural: TypeAlias = Annotated[int, Meta(ge=0)]
Shard: TypeAlias = Annotated[int, Meta(ge=0, lt=MOST_SHARDS)]
Ids: TypeAlias = tuple[Annotated[str, Meta(min_length=1, max_length=LONGEST_ID)], ...]
Token: TypeAlias = tuple[Natural, Natural]
Stamp: TypeAlias = tuple[Natural, Natural, Natural]

NONE: Final[Stamp] = (0, 0, 0)
"""The stamp of who has nothing."""


class Ask(msgspec.Struct, array_like=True, frozen=True, tag="a"):
    """By the owner of a shard to who may keep its ids: the shard is mine by this token, what do you have, after so many?"""

    shard: Shard
    token: Token
    start: Natural = 0


class Told(msgspec.Struct, array_like=True, frozen=True, tag="t"):
    """In answer to an `Ask`.

    Attributes:
        shard: which.
        fence: the highest token that was told of the shard; when the asker's is lower, it is not the owner any more.
        stamp: what the keeper has.
        whole: whether that is everything that lived then.
        start: after how many ids these come.
        ids: of entities that live.
        more: whether there are further ones.
    """

    shard: Shard
    fence: Token
    stamp: Stamp
    whole: bool
    start: Natural
    ids: Ids = ()
    more: bool = False


class Note(msgspec.Struct, array_like=True, frozen=True, tag="n"):
    """By the owner of a shard to a keeper: what has changed from one stamp to another; from `NONE` on, who lives.

    ``more`` says that the next part follows when this one is confirmed; ``whole`` is a number that all parts have which
    tell who lives, and 0 in the others.
    """

    shard: Shard
    base: Stamp
    stamp: Stamp
    added: Ids = ()
    removed: Ids = ()
    more: bool = False
    whole: Natural = 0


class Kept(msgspec.Struct, array_like=True, frozen=True, tag="k"):
    """In answer to a `Note`.

    Attributes:
        shard: which.
        fence: as in `Told`.
        stamp: what the keeper has.
        coming: how far it has come with everything, of which parts are still to come; `NONE` where that is not so.
        whole: the number of these parts.
        missed: how many ids of the shard it had no room for.
    """

    shard: Shard
    fence: Token
    stamp: Stamp
    coming: Stamp = NONE
    whole: Natural = 0
    missed: Natural = 0


Word: TypeAlias = Ask | Told | Note | Kept


class Keep(msgspec.Struct, array_like=True, frozen=True):
    """Words on the shards of one type."""

    shard_type: Annotated[str, Meta(min_length=1, max_length=255)]
    num_shards: Annotated[int, Meta(ge=1, le=MOST_SHARDS)]
    words: Annotated[tuple[Word, ...], Meta(max_length=WORDS_MOST)]


def cut(sizes: list[int]) -> int:
    """How many of the first texts of these sizes, in bytes, go in one word: one at least, if there is any.

    Example:
        >>> cut([10_000, 7_000, 1]), cut([])
        (2, 0)
    """
    total = 0
    for number, size in enumerate(sizes):
        if total >= CHUNK:
            return number
        total += size
    return len(sizes)


pack: Final = msgspec.msgpack.Encoder().encode
unpack: Final[Unpacker[Keep]] = unpacker(Keep, "a word on remembered entities")
"""Decode words on ids that are remembered; raises `ProtocolError` where they are none."""
