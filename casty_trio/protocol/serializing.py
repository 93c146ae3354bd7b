"""A program's own encoding of some of its types, as a converter for the codec. Floor F1, pure.

What a serializer writes travels as bytes inside the message, so sizes and the registration of types hold as for any field.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import cattrs

from casty_trio.errors import SettingsError
from casty_trio.model.checks import check_given

__all__ = ["Serializer", "as_converter"]


@runtime_checkable
class Serializer(Protocol):
    """Encodes and decodes values of some classes: where these have a form of their own already, Protocol Buffers say.

    Both ends need the same: a client takes it as ``serializer=``, a node as ``converter=as_converter(serializer)``.
    """

    @property
    def types(self) -> Iterable[type]:
        """The classes that it serves; each exactly, not those derived from it."""
        ...

    def encode(self, value: Any) -> bytes:
        """A value of one of the classes, as bytes."""
        ...

    def decode(self, data: bytes, kind: type[Any]) -> Any:
        """The value of the class that the bytes are; what it raises makes them a message that cannot be decoded."""
        ...


def as_converter(serializer: Serializer, base: cattrs.Converter | None = None) -> cattrs.Converter:
    """A converter that serves the serializer's types by it.

    Parameters:
        serializer: whose types are served.
        base: a converter with hooks for other types; it is copied.

    Raises:
        SettingsError: it is no serializer, or a base is no converter.

    Example:
        >>> # ClusteredActorSystem("shop", host, 25520, "node-1", converter=as_converter(ProtobufSerializer()))
    """
    if base is not None:
        check_given("base", base, cattrs.Converter)
    if not isinstance(serializer, Serializer):
        raise SettingsError(f"serializer must have types, encode(value) and decode(data, kind), not {serializer!r:.200}")
    converter = base.copy() if base is not None else cattrs.Converter()

    def write(value: Any) -> bytes:
        data: object = serializer.encode(value)
        if type(data) is not bytes:
            raise TypeError(f"{serializer!r:.100} gave {type(data).__name__} for a {type(value).__name__}, not bytes")
        return data

    def read(data: Any, kind: type[Any]) -> Any:
        if type(data) is not bytes:
            raise ValueError(f"a {kind.__name__} travels as bytes, not as {type(data).__name__}")
        value = serializer.decode(data, kind)
        if not isinstance(value, kind):
            raise TypeError(f"{serializer!r:.100} gave {type(value).__name__} for a {kind.__name__}")
        return value

    for kind in serializer.types:
        if not isinstance(kind, type):
            raise SettingsError(f"each of a serializer's types must be a class, not {kind!r:.200}")
        converter.register_unstructure_hook(kind, write)
        converter.register_structure_hook(kind, read)
    return converter
