"""What nodes say to each other when a publication is to be confirmed. Floor F1: typed values, strictly decoded."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from casty_trio.errors import ProtocolError
from casty_trio.protocol.buckets import MOST_ENTRIES

__all__ = ["Deliver", "Delivered", "pack", "raw", "unpack_deliver", "unpack_delivered"]


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


raw: Final = msgspec.Raw
pack: Final = msgspec.msgpack.Encoder().encode
_deliver: Final = msgspec.msgpack.Decoder(Deliver).decode
_delivered: Final = msgspec.msgpack.Decoder(Delivered).decode
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
