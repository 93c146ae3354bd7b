"""What a class is made of: its kind, and its fields with their types resolved. Floor F1.

Five kinds of class carry data: dataclasses, attrs classes, msgspec structs, named tuples and typed dicts. Here they look the
same: a list of `Field`. The type variables of a generic are replaced by what they stand for, through all its bases.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import typing
from collections.abc import Callable
from typing import Any, TypeVar, get_args, get_origin

import attrs
import msgspec

from casty_trio.errors import UnsupportedTypeError
from casty_trio.model.annotations import plain

__all__ = [
    "Field",
    "check_arguments",
    "class_of",
    "fields_of",
    "is_data",
    "is_enum",
    "is_named_tuple",
    "is_open_base",
    "runtime_class",
    "subclasses",
    "where",
]


class Field(msgspec.Struct, frozen=True):
    """One field of a class.

    Attributes:
        name: its name, in the class and on the wire.
        alias: its name as an argument of the class.
        annotation: its type.
        required: whether it must be given.
        derived: it is no argument (``init=False``), and is restored after the class has been called.
    """

    name: str
    alias: str
    annotation: Any
    required: bool = True
    derived: bool = False


def is_named_tuple(cls: Any) -> bool:
    """Whether it is a class made with ``NamedTuple`` or ``namedtuple``, or a subclass of one."""
    names = ("_fields", "_field_defaults")
    return isinstance(cls, type) and tuple in cls.__mro__ and all(hasattr(cls, name) for name in names)


def is_data(cls: Any) -> bool:
    """Whether it is a class whose fields are its data, of any of the five kinds."""
    if not inspect.isclass(cls):
        return False
    return _own_kind(cls) or is_named_tuple(cls) or typing.is_typeddict(cls)


def is_enum(cls: Any) -> bool:
    """Whether it is an enumeration with members."""
    return isinstance(cls, enum.EnumType) and len(cls.__members__) > 0


def _own_kind(cls: Any) -> bool:
    # A plain subclass of a data class is none: what it adds would be lost.
    if issubclass(cls, msgspec.Struct):
        return cls is not msgspec.Struct
    own = cls.__dict__
    return "__dataclass_fields__" in own or "__attrs_attrs__" in own or _adds_nothing(cls)


def _adds_nothing(cls: Any) -> bool:
    # Such as ``class Created(Event): pass`` below a dataclass: it has the fields of its base and is its own type.
    inherited = hasattr(cls, "__dataclass_fields__") or hasattr(cls, "__attrs_attrs__")
    return inherited and not inspect.get_annotations(cls) and "__init__" not in cls.__dict__


class_of: Callable[[object], Any] = type
"""The exact class of a value; what a value says of itself in ``__class__`` does not count."""


def subclasses(cls: type) -> tuple[type, ...]:
    """All classes below a class that exist now, in the order they were made."""
    found: dict[type, None] = {}
    direct: list[type] = type.__subclasses__(cls)
    for below in direct:
        found[below] = None
        found.update(dict.fromkeys(subclasses(below)))
    return tuple(found)


def is_open_base(cls: Any) -> bool:
    """Whether it is a class without data of its own that others with data derive from: an ABC, a protocol, a marker."""
    if not isinstance(cls, type) or is_data(cls) or isinstance(cls, enum.EnumType):
        return False
    return inspect.isabstract(cls) or any(map(is_data, subclasses(cls)))


def where(cls: Any, field: str | None = None) -> str:
    """A class, or a field of it, as an error names it."""
    name = f"{cls.__module__}.{cls.__qualname__}" if isinstance(cls, type) else str(cls)
    return name if field is None else f"{name}.{field}"


def fields_of(annotation: Any) -> tuple[Field, ...]:
    """The fields of a data class, or of a generic one with its arguments.

    Raises:
        UnsupportedTypeError: a type cannot be resolved, or the class needs what is not kept in a field.
    """
    cls = get_origin(annotation) or annotation
    hints = _hints(cls, annotation)
    if typing.is_typeddict(cls):
        required = cls.__required_keys__
        return tuple(Field(name, name, hint, name in required) for name, hint in hints.items())
    if issubclass(cls, msgspec.Struct):
        listed = msgspec.structs.fields(cls)
        return tuple(Field(f.name, f.name, hints.get(f.name, f.type), f.required) for f in listed)
    if is_named_tuple(cls):
        defaults = cls._field_defaults
        return tuple(Field(name, name, hints.get(name, Any), name not in defaults) for name in cls._fields)
    if dataclasses.is_dataclass(cls):
        return tuple(_dataclass_fields(cls, hints))
    return tuple(_attrs_fields(cls, hints))


def _dataclass_fields(cls: Any, hints: dict[str, Any]) -> typing.Iterator[Field]:
    if any(isinstance(hint, dataclasses.InitVar) for hint in hints.values()):
        raise UnsupportedTypeError(
            f"{where(cls)} has an InitVar: its value is gone when the object is made; make it a field"
        )
    missing = dataclasses.MISSING
    for f in dataclasses.fields(cls):
        required = f.init and f.default is missing and f.default_factory is missing
        yield Field(f.name, f.name, hints[f.name], required, derived=not f.init)


def _attrs_fields(cls: Any, hints: dict[str, Any]) -> typing.Iterator[Field]:
    for f in attrs.fields(cls):
        hint = hints.get(f.name, f.type)
        if hint is None:
            raise UnsupportedTypeError(f"{where(cls, f.name)} has no type: annotate it")
        alias = f.alias or f.name
        yield Field(f.name, alias, hint, f.init and f.default is attrs.NOTHING, derived=not f.init)


def check_arguments(cls: Any, fields: tuple[Field, ...]) -> None:
    """See that a class can be called with its fields; msgspec needs that not, but who makes it in parts does.

    Raises:
        UnsupportedTypeError: it has an ``__init__`` of another form.
    """
    given = {field.alias: None for field in fields if not field.derived}
    try:
        inspect.signature(cls).bind(**given)
    except (TypeError, ValueError) as problem:
        raise UnsupportedTypeError(
            f"{where(cls)} cannot be made from its fields ({problem}): leave its __init__ to dataclass or attrs, and make "
            "another way in a classmethod"
        ) from problem


def _hints(cls: Any, annotation: Any) -> dict[str, Any]:
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
        bound = _bound(cls, annotation)
    except (NameError, AttributeError, TypeError, SyntaxError) as problem:
        raise UnsupportedTypeError(
            f"a type in {where(cls)} cannot be resolved ({problem}): define it at the top of a module, and import it for "
            "real, not under TYPE_CHECKING"
        ) from problem
    owners = {name: owner for owner in reversed(cls.__mro__) for name in inspect.get_annotations(owner)}
    return {name: _substitute(hint, bound.get(owners.get(name, cls), {})) for name, hint in hints.items()}


def _bound(cls: Any, annotation: Any) -> dict[Any, dict[Any, Any]]:
    """For each generic class among the bases: what its type variables stand for."""
    bound: dict[Any, dict[Any, Any]] = {cls: dict(zip(_parameters(cls), get_args(annotation), strict=False))}
    for owner in cls.__mro__:
        for base in owner.__dict__.get("__orig_bases__", ()):
            origin = get_origin(base)
            if origin is not None and origin is not typing.Generic:
                arguments = [_substitute(argument, bound.get(owner, {})) for argument in get_args(base)]
                bound.setdefault(origin, dict(zip(_parameters(origin), arguments, strict=False)))
    return bound


def _parameters(cls: Any) -> tuple[Any, ...]:
    return getattr(cls, "__parameters__", ())


def _substitute(hint: Any, bound: dict[Any, Any]) -> Any:
    if isinstance(hint, TypeVar):
        return bound.get(hint, hint)
    parameters = _parameters(hint)
    if not bound or not parameters or isinstance(hint, type):
        return hint
    return hint[tuple(bound.get(parameter, parameter) for parameter in parameters)]


def runtime_class(annotation: Any) -> Any:
    """The class that values of a type have; of a typed dict, ``dict``."""
    annotation = plain(annotation)
    cls = get_origin(annotation) or annotation
    return dict if typing.is_typeddict(cls) else cls
