"""What is said of publications: by nodes, when one is to be confirmed, and by clients. Floor F1: typed values."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from casty_trio.protocol.buckets import MOST_ENTRIES
from casty_trio.protocol.unpacking import Unpacker, unpacker

__all__ = [
    "PUBLISH",
    "RECEPTIONIST",
    "SEND",
    "SEND_LOCALLY",
    "SEND_TO_ALL",
    "Deliver",
    "Delivered",
    "SendFrame",
    "pack",
    "raw",
    "unpack_deliver",
    "unpack_delivered",
    "unpack_send",
]

SEND: Final = 0
"""To one actor at a path."""
SEND_LOCALLY: Final = 1
"""To one actor at a path, on the client's contact where there is one."""
SEND_TO_ALL: Final = 2
"""To all actors at a path."""
PUBLISH: Final = 3
"""To all that have subscribed to a topic, and one of each group."""

RECEPTIONIST: Final = "receptionist"
"""The name of the receptionist that clients talk to, unless they say otherwise."""


class Deliver(msgspec.Struct, frozen=True, array_like=True):
    """Give a message to these actors, and say to how many it was given.

    Attributes:
        number: the sender's own, for the answer.
        targets: path and incarnation of each.
        name: the wire name of the message's type.
        body: the message.
    """

    number: int
    targets: Annotated[tuple[tuple[str, int], ...], Meta(max_length=MOST_ENTRIES)]
    name: str
    body: msgspec.Raw


class Delivered(msgspec.Struct, frozen=True, array_like=True):
    """The answer to a `Deliver`: so many have it."""

    number: int
    count: Annotated[int, Meta(ge=0, le=MOST_ENTRIES)]


class SendFrame(msgspec.Struct, frozen=True, array_like=True):
    """A client's message to whoever is registered with a receptionist for clients.

    Attributes:
        ask: the client's number for the ask; 0 for a tell.
        budget: how long the asker waits from now, in seconds; None for as long as it takes.
        how: `SEND`, `SEND_LOCALLY`, `SEND_TO_ALL` or `PUBLISH`.
        receptionist: which.
        target: a path or a topic.
        name: the wire name of the message's type.
        body: the message.
    """

    ask: int
    budget: float | None
    how: Annotated[int, Meta(ge=SEND, le=PUBLISH)]
    receptionist: Annotated[str, Meta(max_length=255)]
    target: Annotated[str, Meta(max_length=255)]
    name: str
    body: msgspec.Raw


raw: Final = msgspec.Raw
pack: Final = msgspec.msgpack.Encoder().encode
unpack_deliver: Final[Unpacker[Deliver]] = unpacker(Deliver, "a publication")
"""Decode a publication; raises `ProtocolError` where it is none."""

unpack_delivered: Final[Unpacker[Delivered]] = unpacker(Delivered, "the answer to a publication")
"""Decode the answer to one; likewise."""

unpack_send: Final[Unpacker[SendFrame]] = unpacker(SendFrame, "a client's message to a path or topic")
"""Decode a client's message to who is registered for clients; likewise."""
