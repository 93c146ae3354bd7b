"""What is said of publications: by nodes, when one is to be confirmed, and by clients. Floor F1: typed values."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from casty_trio.errors import ProtocolError
from casty_trio.protocol.buckets import MOST_ENTRIES

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
_deliver: Final = msgspec.msgpack.Decoder(Deliver).decode
_delivered: Final = msgspec.msgpack.Decoder(Delivered).decode
_send: Final = msgspec.msgpack.Decoder(SendFrame).decode
_MALFORMED: Final[tuple[Any, ...]] = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def unpack_deliver(body: memoryview | bytes) -> Deliver:
    """Decode a publication.

    Raises:
        ProtocolError: it is none.
    """
    try:
        return _deliver(body)
    except _MALFORMED as error:
        raise ProtocolError(f"a publication is malformed: {error}") from error


def unpack_delivered(body: memoryview | bytes) -> Delivered:
    """Decode the answer to one.

    Raises:
        ProtocolError: it is none.
    """
    try:
        return _delivered(body)
    except _MALFORMED as error:
        raise ProtocolError(f"the answer to a publication is malformed: {error}") from error


def unpack_send(body: memoryview | bytes) -> SendFrame:
    """Decode a client's message to who is registered for clients.

    Raises:
        ProtocolError: it is none.
    """
    try:
        return _send(body)
    except _MALFORMED as error:
        raise ProtocolError(f"a client's message to a path or topic is malformed: {error}") from error
