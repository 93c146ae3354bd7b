"""The names of types on the wire: ``module:qualname``, a short name of a builtin, or what `message` gave. Floor F1.

A class has one name in every process that can import it, so ``__main__`` is never part of one: it stands for the module the
program really is. Names given with `message` hold for the whole process, and are the only process-wide state here; which
classes a peer may send is up to each `Codec`.
"""

from __future__ import annotations

import datetime
import decimal
import sys
from collections.abc import Callable
from pathlib import PurePath
from typing import Any, TypeVar
from uuid import UUID  # noqa: TID251 - the type, not a source of ids

from casty_trio.errors import UnsupportedTypeError
from casty_trio.model.ref import ActorRef

__all__ = ["BUILTINS", "SCALARS", "escaped", "message", "named_class", "real_module", "wire_name"]

C = TypeVar("C", bound=type)

NAME_LIMIT = 200
_ATTRIBUTE = "__casty_wire_name__"

SCALARS: tuple[type, ...] = (
    *(type(None), bool, int, float, str, bytes, bytearray),
    *(datetime.datetime, datetime.date, datetime.time, datetime.timedelta, UUID, decimal.Decimal),
)
BUILTINS: dict[type, str] = {
    **{cls: cls.__name__ for cls in (*SCALARS, list, dict, tuple, set, frozenset, ActorRef)},
    type(None): "None",
}
"""Classes that every system knows, and their names on the wire."""

_named: dict[str, type] = {}


def message(name: str) -> Callable[[C], C]:
    """Give a class a wire name of its own, which stays when the class moves or is renamed, in every system of the process.

    It works above and below ``@dataclass`` and ``@attrs.frozen``. A subclass does not inherit the name.

    Parameters:
        name: 1 to 200 printable characters, unique in the program.

    Raises:
        UnsupportedTypeError: another class has the name, or the name is unusable. A class made again (the same module and
            qualified name: a reloaded module, a notebook cell run twice) takes it over.

    Example:
        >>> from dataclasses import dataclass
        >>> @message("shop.AddItem")
        ... @dataclass(frozen=True)
        ... class AddItem:
        ...     item: str
        >>> wire_name(AddItem)
        'shop.AddItem'
    """
    if not name or len(name) > NAME_LIMIT or not name.isprintable() or name in BUILTINS.values():
        raise UnsupportedTypeError(
            f"{name!r} is no wire name: use 1 to {NAME_LIMIT} printable characters, no builtin's name"
        )

    def give(cls: C) -> C:
        other = _named.get(name)
        if other is not None and _place(other) != _place(cls):
            raise UnsupportedTypeError(f"{_place(cls)} and {_place(other)} both ask for the wire name {name!r}: rename one")
        setattr(cls, _ATTRIBUTE, name)
        _named[name] = cls
        return cls

    return give


def named_class(name: str) -> type | None:
    """The class that `message` gave a name to, or None."""
    cls = _named.get(name)
    if cls is None:
        return None
    # ``dataclass(slots=True)`` and attrs make a second class out of the first; above `message` we only saw that one.
    current: Any = sys.modules.get(cls.__module__)
    for part in cls.__qualname__.split("."):
        current = getattr(current, part, None)
    if isinstance(current, type) and current.__dict__.get(_ATTRIBUTE) == name:
        return current
    return cls


def wire_name(cls: type) -> str:
    """The name of a class on the wire.

    Example:
        >>> wire_name(int), wire_name(UnsupportedTypeError)
        ('int', 'casty_trio.errors:UnsupportedTypeError')
    """
    builtin = BUILTINS.get(cls)
    if builtin is not None:
        return builtin
    given: str | None = cls.__dict__.get(_ATTRIBUTE)
    return given if given is not None else f"{real_module(cls.__module__)}:{cls.__qualname__}"


def real_module(module: str) -> str:
    """The name under which others import a module: ``__main__`` has another one for them."""
    if module != "__main__":
        return module
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name)
    file = getattr(main, "__file__", None)
    return PurePath(file).stem if file else module


def escaped(text: str) -> str:
    """A peer's text, fit for a log line: quoted, in ASCII, and cut to 200 characters."""
    return ascii(text[:NAME_LIMIT])[: NAME_LIMIT + 2]


def _place(cls: type) -> str:
    return f"{real_module(cls.__module__)}.{cls.__qualname__}"
