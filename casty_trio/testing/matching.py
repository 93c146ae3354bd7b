"""What a test may expect: a value, a class, or a function that says yes. Floor F6; probes and kits share it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import UnionType
from typing import Any, Union, cast, get_origin

__all__ = ["describe", "listing", "matches"]

SHOWN = 20


def matches(wanted: object, value: object) -> bool:
    """Whether a value is what was wanted: an instance of a class or union, accepted by a function, or equal."""
    origin: Any = get_origin(wanted)
    if origin is Union or isinstance(wanted, (type, UnionType)):
        return isinstance(value, cast("type", wanted))
    if origin is not None:
        return isinstance(value, origin)
    if callable(wanted) and wanted is not value:
        return bool(cast("Callable[[object], object]", wanted)(value))
    return bool(wanted == value)


def describe(wanted: object) -> str:
    """What was wanted, in words."""
    if isinstance(wanted, type):
        return f"an instance of {wanted.__qualname__}"
    if isinstance(wanted, UnionType) or get_origin(wanted) is not None:
        return f"an instance of {wanted}"
    if callable(wanted):
        return f"what {getattr(wanted, '__qualname__', repr(wanted))} accepts"
    return repr(wanted)


def listing(values: Sequence[object]) -> str:
    """The last values of some, a line each; or the word nothing."""
    left_out = [f"    ({len(values) - SHOWN} more)"] if len(values) > SHOWN else []
    lines = [f"    {value!r}" for value in values[-SHOWN:]]
    return "\n".join(["", *left_out, *lines]) if lines else " nothing"
