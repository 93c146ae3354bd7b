"""From bytes to a message of one type, or a `ProtocolError` that says what was malformed. Floor F1, pure.

Each module of words and frames makes its functions here, so that the same bytes are the peer's fault everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from casty_trio.errors import ProtocolError

__all__ = ["MALFORMED", "Unpacker", "unpacker"]

T = TypeVar("T")

Unpacker: TypeAlias = Callable[[memoryview | bytes], T]
"""Decodes a body; raises `ProtocolError` where it is none of its type."""

MALFORMED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises on bytes that are no such message: also text that is no UTF-8, and nests without end."""


def unpacker(kind: Any, what: str) -> Unpacker[Any]:
    """A function that decodes one type, or a union of tagged ones.

    Args:
        kind: the type.
        what: what it is called in the error.
    """
    decode = msgspec.msgpack.Decoder[Any](kind).decode

    def unpack(body: memoryview | bytes) -> Any:
        try:
            return decode(body)
        except MALFORMED as error:
            raise ProtocolError(f"{what} is malformed: {error}") from error

    return unpack
