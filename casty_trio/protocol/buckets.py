"""What nodes say to each other about what is registered on them. Floor F1: typed values, strictly decoded.

Each start of a node has one bucket, which only it writes. All of this may be lost, doubled or late: versions tell what is
news. Sizes are bounded, for what one node says all others keep.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from casty_trio.protocol.unpacking import Unpacker, unpacker

__all__ = [
    "LONGEST_NAME",
    "LONGEST_PATH",
    "MOST_ENTRIES",
    "MOST_TEXT",
    "Delta",
    "Entry",
    "Full",
    "Status",
    "Uid",
    "Want",
    "Word",
    "pack",
    "unpack",
]

LONGEST_NAME: Final = 255
"""So many characters a key, a topic or a group may have."""

LONGEST_PATH: Final = 4_096
"""So many characters the path of a registered actor may have."""

MOST_ENTRIES: Final = 20_000
"""So many entries a bucket may have, whatever its node was told."""

MOST_TEXT: Final = 2**20
"""So many bytes of text all entries of a bucket may have together: it always fits into a message of the usual size."""

MOST_NODES: Final = 10_000

Name: TypeAlias = Annotated[str, Meta(max_length=LONGEST_NAME)]
Uid: TypeAlias = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Version: TypeAlias = Annotated[int, Meta(ge=0, le=2**62)]


class Entry(msgspec.Struct, frozen=True, array_like=True, order=True):
    """An actor that is registered.

    Attributes:
        key: under what: the name of a service, or a topic; a topic that is empty stands for the actor's path.
        path: where it lives on its node.
        incarnation: which one lives there.
        group: of which group of subscribers it is one; empty for none.
    """

    key: Name
    path: Annotated[str, Meta(min_length=1, max_length=LONGEST_PATH)]
    incarnation: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    group: Name = ""

    @property
    def size(self) -> int:
        """How many bytes of text it has."""
        return sum(len(text.encode()) for text in (self.key, self.path, self.group))


Entries: TypeAlias = Annotated[tuple[Entry, ...], Meta(max_length=MOST_ENTRIES)]


class Full(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A whole bucket, from its node or from another that has it."""

    uid: Uid
    version: Version
    entries: Entries


class Delta(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """What has become of the sender's own bucket, since the version that is its base."""

    base: Version
    version: Version
    added: Entries
    removed: Entries


class Status(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """Which versions the sender has.

    Attributes:
        versions: uid and version of buckets that are not empty from the start.
        whole: whether these are all that it has; else it only tells of these.
    """

    versions: Annotated[tuple[tuple[Uid, Version], ...], Meta(max_length=MOST_NODES)]
    whole: bool


class Want(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """The sender wants these buckets."""

    uids: Annotated[tuple[Uid, ...], Meta(max_length=MOST_NODES)]


Word: TypeAlias = Full | Delta | Status | Want

pack: Final = msgspec.msgpack.Encoder().encode
unpack: Final[Unpacker[Word]] = unpacker(Word, "a word on what is registered")
"""Decode what a node says; raises `ProtocolError` where it is no such word, or larger than any may be."""
