"""Looks into values that an encoder will not take, or would slice. Floor F1.

Runs after a failure, or when there is a reason to look: never on the path of a message that goes out as it should.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Collection, Iterator
from typing import Any

import attrs
import msgspec

from casty_trio.errors import EncodeError
from casty_trio.protocol.shapes import class_of, is_named_tuple, where

__all__ = ["check_classes", "find_fault"]

DEPTH = 40
"""Paths longer than this help nobody; and a value that holds itself has one without end."""


def find_fault(value: object, encode: Callable[[Any], object], failures: tuple[type[Exception], ...]) -> str:
    """The path of the deepest part of a value that cannot be encoded by itself, such as ``.items[2].price``; else ""."""
    path = ""
    for _ in range(DEPTH):
        for label, part in _parts(value):
            try:
                encode(part)
            except failures:
                value, path = part, path + label
                break
        else:
            return path
    return ""


def check_classes(value: object, known: Collection[type]) -> None:
    """See that every data object in a value is of a registered class: msgspec would send one of a subclass as its base.

    Raises:
        EncodeError: one is not.
    """
    todo: list[Any] = [value]
    seen: set[int] = set()
    while todo:
        part = todo.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if _is_object(part) and type(part) not in known:
            raise EncodeError(
                f"{where(type(part))} is not registered, and would arrive as the class its field is typed with: annotate "
                "the field with a union that names it, or with a base class that has no fields"
            )
        todo += [inner for _, inner in _parts(part)]


def _is_object(value: object) -> bool:
    cls = type(value)
    return _has_fields(cls) or is_named_tuple(cls)


def _has_fields(cls: Any) -> bool:
    return dataclasses.is_dataclass(cls) or attrs.has(cls) or issubclass(cls, msgspec.Struct)


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """What a value holds directly, each with how Python would write the way to it."""
    cls = class_of(value)
    if issubclass(cls, dict):
        for key, item in value.items():
            yield f"[{key!r}]", item
            yield f".key({key!r})", key
    elif issubclass(cls, list | tuple):
        yield from ((f"[{index}]", item) for index, item in enumerate(value))
    elif issubclass(cls, set | frozenset):
        yield from ((f".item({item!r})", item) for item in value)
    elif _has_fields(cls) and not issubclass(cls, enum.Enum):
        for name in _field_names(cls):
            if hasattr(value, name):
                yield f".{name}", getattr(value, name)


def _field_names(cls: Any) -> Iterator[str]:
    if issubclass(cls, msgspec.Struct):
        yield from cls.__struct_fields__
    elif dataclasses.is_dataclass(cls):
        yield from (field.name for field in dataclasses.fields(cls))
    else:
        yield from (field.name for field in attrs.fields(cls))
