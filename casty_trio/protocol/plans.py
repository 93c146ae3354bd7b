"""Decides, per type, how it travels: by msgspec alone, tagged, in parts, by the user's hooks, or not at all. Floor F1.

A type is native when everything its values can reach is something that msgspec restores exactly. All that is refused is
refused here, with the class, the field and the remedy. Nothing here encodes or decodes: see `tagged` and `codec`.
"""

from __future__ import annotations

import collections.abc as abc
import enum
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, Optional, TypeVar, Union, get_args, get_origin

import msgspec

from casty_trio.errors import UnsupportedTypeError
from casty_trio.model.annotations import is_union, plain, union_members
from casty_trio.model.context import ActorContext, System
from casty_trio.model.kinds import Behavior
from casty_trio.model.ref import ActorRef
from casty_trio.protocol.naming import SCALARS
from casty_trio.protocol.shapes import (
    Field,
    fields_of,
    is_data,
    is_enum,
    is_named_tuple,
    is_open_base,
    runtime_class,
    where,
)

__all__ = ["TOP", "Kind", "Planner", "Shape", "accepted", "labelled", "union_of"]


class Kind(enum.Enum):
    """How the values of a type are built."""

    SCALAR = enum.auto()
    LITERAL = enum.auto()
    REF = enum.auto()
    ENUM = enum.auto()
    DATA = enum.auto()
    LIST = enum.auto()
    SET = enum.auto()
    FROZENSET = enum.auto()
    TUPLE = enum.auto()
    ROW = enum.auto()
    DICT = enum.auto()
    OPTIONAL = enum.auto()
    PLAIN_UNION = enum.auto()
    UNION = enum.auto()
    OPEN = enum.auto()
    CUSTOM = enum.auto()


SIMPLE_KEYS = {Kind.SCALAR, Kind.LITERAL, Kind.ENUM, Kind.TUPLE, Kind.ROW, Kind.REF, Kind.OPTIONAL, Kind.PLAIN_UNION}
TAGGED = {Kind.UNION, Kind.OPEN}
HOLDERS = {Kind.LIST, Kind.SET, Kind.FROZENSET, Kind.TUPLE, Kind.ROW, Kind.DICT, Kind.OPTIONAL}
CONTAINERS: dict[Any, Kind] = {list: Kind.LIST, set: Kind.SET, frozenset: Kind.FROZENSET, dict: Kind.DICT}
# A list or a tuple may stand in a field typed `Sequence`, and comes back as what it was: they are unions of what we know.
ABSTRACT: dict[Any, tuple[Any, ...]] = {
    abc.Sequence: (list, tuple),
    abc.MutableSequence: (list,),
    abc.Set: (set, frozenset),
    abc.MutableSet: (set,),
    abc.Collection: (list, tuple, set, frozenset),
    abc.Iterable: (list, tuple, set, frozenset),
    abc.Mapping: (dict,),
    abc.MutableMapping: (dict,),
}
TOP = "a message type"
CALLABLE: Any = abc.Callable
LOCAL_ONLY: tuple[tuple[type, str], ...] = (
    (ActorContext, "it belongs to its actor; send ctx.self"),
    (System, "it belongs to its process; send a ref"),
    (Behavior, "behaviours hold functions; send what the behaviour is made from"),
)


class Shape(msgspec.Struct, frozen=True, eq=False):
    """What a type is.

    Attributes:
        kind: how its values are built.
        annotation: the type, without aliases and decoration; what hooks are looked up by.
        cls: the class of its values; for `OPEN`, the base they must have.
        parts: the types its values hold.
        fields: of `DATA`.
    """

    kind: Kind
    annotation: Any
    cls: Any = object
    parts: tuple[Any, ...] = ()
    fields: tuple[Field, ...] = ()


class Planner:
    """The shapes of types, remembered, and what follows from them.

    Parameters:
        customised: tells the types that the user's own cattrs hooks serve.
    """

    def __init__(self, customised: Callable[[Any], bool]) -> None:
        self._customised = customised
        self._shapes: dict[Any, Shape] = {}
        self._reach: dict[Any, dict[int, Shape]] = {}
        self._stubborn: set[Any] = set()

    def shape(self, annotation: Any, context: str = TOP) -> Shape:
        """The shape of a type.

        Parameters:
            annotation: the type.
            context: where it stands, for the error.

        Raises:
            UnsupportedTypeError: values of it cannot be sent.
        """
        try:
            key = plain(annotation)
            # Literal[1] equals Literal[True] by value, and is told apart by its text.
            known = self._shapes.get((key, str(key)))
            if known is None:
                known = self._shapes[key, str(key)] = self._look(key, context)
        except (NameError, TypeError, AttributeError) as problem:
            if isinstance(problem, UnsupportedTypeError):
                raise
            raise refusal(context, annotation, f"it cannot be resolved here ({problem})") from problem
        return known

    def reach(self, annotation: Any) -> list[Shape]:
        """The shapes of a type and of everything its values hold, however deep; tagged members too.

        Raises:
            UnsupportedTypeError: one of them cannot be sent.
        """
        first = self.shape(annotation)
        found = self._reach.get(first.annotation)
        if found is None:
            found = {}
            todo = [first]
            while todo:
                shape = todo.pop()
                if id(shape) not in found:
                    found[id(shape)] = shape
                    todo += [self.shape(part, label) for part, label in labelled(shape, TOP)]
            self._reach[first.annotation] = found
        return list(found.values())

    def native(self, annotation: Any) -> bool:
        """Whether msgspec alone serves a type exactly."""
        return all(self._local(shape) for shape in self.reach(annotation))

    def holds_refs(self, annotation: Any) -> bool:
        """Whether values of a type can hold refs where msgspec finds them."""
        return any(shape.kind is Kind.REF for shape in self.reach(annotation))

    def deep(self, annotation: Any) -> bool:
        """Whether values of a type can be nested without bound."""
        shapes = self.reach(annotation)
        if any(shape.kind in TAGGED or shape.kind is Kind.CUSTOM for shape in shapes):
            return True
        return any(shape in self.reach(part) for shape in shapes for part in shape.parts)

    def exact(self, annotation: Any) -> Iterator[type]:
        """Data classes that values of a type hold untagged, however deep."""
        for shape in self.reach(annotation):
            for part in shape.parts if shape.kind in (Kind.DATA, *HOLDERS) else ():
                yield from self.held(part)

    def held(self, annotation: Any) -> Iterator[type]:
        """Data classes that a field holds untagged: there an instance of a subclass would be sliced."""
        shape = self.shape(annotation)
        if shape.kind is Kind.DATA and shape.cls is not dict:
            yield shape.cls
        elif shape.kind in HOLDERS or (shape.kind is Kind.PLAIN_UNION and self.native(annotation)):
            for part in shape.parts:
                yield from self.held(part)

    def distrust(self, annotation: Any) -> None:
        """Never again take a type for native: msgspec has refused it."""
        self._stubborn.add(self.shape(annotation).annotation)

    def _local(self, shape: Shape) -> bool:
        kind = shape.kind
        if kind in TAGGED or kind is Kind.CUSTOM or shape.annotation in self._stubborn:
            return False
        if kind is Kind.ENUM:
            return not issubclass(shape.cls, enum.Flag) and accepted(shape.annotation)
        if kind is Kind.DICT:
            return self.simple_keys(shape)
        return kind is not Kind.DATA or plain_fields(shape)

    def simple_keys(self, shape: Shape) -> bool:
        """Whether the keys of a dict can be keys on the wire."""
        return all(key.kind in SIMPLE_KEYS and self._local(key) for key in self.reach(shape.parts[0]))

    def _look(self, annotation: Any, context: str) -> Shape:
        origin = get_origin(annotation) or annotation
        if self._customised(annotation):
            return Shape(Kind.CUSTOM, annotation, origin)
        if is_union(annotation):
            return self._union(annotation, context)
        if annotation is Any or annotation is object or isinstance(annotation, TypeVar):
            return Shape(Kind.OPEN, annotation)
        if origin in ABSTRACT:
            arguments = get_args(annotation) or (Any,) * (2 if issubclass(origin, abc.Mapping) else 1)
            return self.shape(union_of(_filled(cls, arguments) for cls in ABSTRACT[origin]), context)
        if origin in CONTAINERS:
            arguments = get_args(annotation) or (Any,) * (2 if origin is dict else 1)
            return Shape(CONTAINERS[origin], annotation, origin, arguments)
        if origin is tuple:
            return _tuple(annotation)
        if origin is Literal:
            if not accepted(annotation):
                raise refusal(
                    context, annotation, "a Literal may hold None, bools, ints and strings; or use the enum itself"
                )
            return Shape(Kind.LITERAL, annotation, tuple(map(type, get_args(annotation))))
        return _of_class(annotation, origin, context)

    def _union(self, annotation: Any, context: str) -> Shape:
        members = union_members(annotation)
        whole = union_of(members)
        rest = tuple(member for member in members if member is not type(None))
        shapes = [self.shape(member, context) for member in rest]
        if len(rest) == 1 and len(members) == 2:
            return Shape(Kind.OPTIONAL, Optional[rest[0]], parts=rest)  # noqa: UP045 - a value, not an annotation
        if len(members) == 1:
            return shapes[0]
        if any(shape.kind is Kind.OPEN and shape.cls is object for shape in shapes):
            return Shape(Kind.OPEN, whole)
        if sum(shape.kind is Kind.DATA for shape in shapes) < 2 and accepted(whole):
            return Shape(Kind.PLAIN_UNION, whole, parts=members)
        _check_distinct(members, context)
        return Shape(Kind.UNION, whole, parts=members)


def labelled(shape: Shape, place: str) -> Iterator[tuple[Any, str]]:
    """The parts of a shape, each with the words that name its place: the nearest field around it."""
    if shape.kind is Kind.DATA:
        for field in shape.fields:
            yield field.annotation, where(shape.annotation, field.name)
    else:
        for part in shape.parts:
            yield part, place


def accepted(annotation: Any) -> bool:
    """Whether msgspec can decode a type at all."""
    try:
        msgspec.msgpack.Decoder(annotation)
    except (TypeError, ValueError, NameError, AttributeError, RecursionError):
        return False
    return True


def plain_fields(shape: Shape) -> bool:
    """Whether msgspec restores every field of a data class."""
    if issubclass(shape.cls, msgspec.Struct | dict) or is_named_tuple(shape.cls):
        return True
    # It leaves private fields of attrs classes out, and runs __post_init__ over fields that are no arguments.
    return not any(field.derived or field.name.startswith("_") for field in shape.fields)


def refusal(context: str, annotation: Any, reason: str) -> UnsupportedTypeError:
    """The error for a type that cannot be sent."""
    return UnsupportedTypeError(f"{context}: {where(annotation)} cannot be sent: {reason}")


def union_of(members: Iterable[Any]) -> Any:
    """The union of types that are only known at run time."""
    union: Any = Union  # the special form, for checkers take no variables in it
    return union[tuple(members)]


def _filled(cls: Any, arguments: tuple[Any, ...]) -> Any:
    generic: Any = cls
    return generic[(*arguments, ...) if cls is tuple else arguments]


def _tuple(annotation: Any) -> Shape:
    arguments = get_args(annotation)
    if not arguments and get_origin(annotation) is None:
        arguments = (Any, ...)
    if len(arguments) == 2 and arguments[1] is ...:
        return Shape(Kind.TUPLE, annotation, tuple, arguments[:1])
    return Shape(Kind.ROW, annotation, tuple, arguments)


def _of_class(annotation: Any, cls: Any, context: str) -> Shape:
    if cls in SCALARS:
        return Shape(Kind.SCALAR, annotation, cls)
    for local, remedy in LOCAL_ONLY:
        if isinstance(cls, type) and issubclass(cls, local):
            raise refusal(context, annotation, remedy)
    if isinstance(cls, type) and issubclass(cls, ActorRef):
        return Shape(Kind.REF, annotation, ActorRef)
    if is_enum(cls):
        return Shape(Kind.ENUM, annotation, cls)
    if is_data(cls):
        fields = fields_of(annotation)
        return Shape(Kind.DATA, annotation, runtime_class(annotation), tuple(f.annotation for f in fields), fields)
    if is_open_base(cls) and cls.__module__.partition(".")[0] not in sys.stdlib_module_names:
        return Shape(Kind.OPEN, annotation, cls)
    raise refusal(context, annotation, _reason(cls))


def _reason(cls: Any) -> str:
    if cls is CALLABLE:
        return "functions do not travel; send an enum, a name or a ref"
    if cls is type:
        return "classes do not travel; send an enum or a name"
    if isinstance(cls, str):
        return "its annotation is text; pass the type itself"
    if not isinstance(cls, type):
        return "it is no type whose values could be restored"
    return (
        "it has no fields and no data class derives from it; make it a frozen dataclass, an attrs class or a "
        "msgspec.Struct, or give the codec a cattrs converter with both hooks for it"
    )


def _check_distinct(members: tuple[Any, ...], context: str) -> None:
    """Members are told apart by the class of the value."""
    seen: dict[Any, Any] = {}
    for member in members:
        cls = runtime_class(member)
        if cls is not Literal and not (isinstance(cls, type) and issubclass(cls, ActorRef)) and cls in seen:
            raise refusal(
                context,
                union_of(members),
                f"{where(member)} and {where(seen[cls])} are the same class at run time; use one of them",
            )
        seen[cls] = member
