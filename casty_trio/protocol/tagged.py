"""What msgspec does not know: tagged values, classes in parts, odd enums, and what a user's cattrs hooks serve. Floor F1.

Two directions and one description meet here, for a type that is not native: a hook to plain values for the encoder, one
back, and the *wire type*: the msgspec type of what lies between. Bytes are decoded into wire types, never into untyped
values, so a body of the wrong form ends at its first wrong item and costs no memory. A tagged value is
``[wire name, body]``, its body left undecoded until the name is known and allowed.

Native parts pass through as they are. Types that the user's hooks serve go through cattrs and are decoded untyped; what
such a hook hands on to its converter comes back here. cattrs' own hooks for containers and classes are not used for the
rest: they skip the hooks of `Any`, accept subclasses, and ask for untyped values.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Optional, Protocol, TypedDict

import cattrs
import msgspec
from msgspec import Raw
from msgspec.msgpack import Ext

from casty_trio.errors import DecodeError, EncodeError
from casty_trio.model.ref import ActorRef
from casty_trio.protocol.naming import escaped, wire_name
from casty_trio.protocol.plans import Kind, Planner, Shape, union_of
from casty_trio.protocol.shapes import Field, check_arguments, class_of, is_named_tuple, runtime_class, where

__all__ = ["Directory", "Hooks"]

Write = Callable[[Any], Any]
Read = Callable[[Any], Any]
Pair = tuple[str, Raw]


class Directory(Protocol):
    """The registered classes, as the hooks need them; the codec is one."""

    def write_tagged(self, value: Any) -> tuple[str, Any]:
        """The wire name of a value's class, and its body as plain values."""
        ...

    def read_tagged(self, name: str, body: Raw) -> Any:
        """The value of a tagged pair, by the type registered under that name."""
        ...

    def decoder(self, wire: Any) -> msgspec.msgpack.Decoder[Any]:
        """A decoder of a wire type that makes refs."""
        ...

    def recode(self, value: Any, wire: Any, read: Callable[[Any], Any]) -> Any:
        """Read a value in plain form, refs in it made already, as if it came off the wire."""
        ...


class Hooks:
    """Registers hooks for every type that is not native with a converter, and makes wire types.

    Parameters:
        converter: this codec's own copy; the user's hooks in it come first.
        planner: tells what a type is.
        directory: where tagged values are looked up.
    """

    def __init__(self, converter: cattrs.Converter, planner: Planner, directory: Directory) -> None:
        self._converter = converter
        self._planner = planner
        self._directory = directory
        self._wires: dict[tuple[Any, bool], Any] = {}
        self._writers: dict[Any, Write] = {}
        self._readers: dict[Any, Read] = {}
        # For what a user's hook hands on to the converter; between each other our hooks need no look-up.
        converter.register_unstructure_hook_factory(self._serves, self.writer)
        converter.register_structure_hook_factory(self._serves, self._plain_reader)

    def writer(self, annotation: Any) -> Write:
        """From a value to plain values for the encoder."""
        shape = self._planner.shape(annotation)
        if self._planner.native(shape.annotation):
            return untouched
        if shape.kind is Kind.CUSTOM:
            hook: Write = self._converter.get_unstructure_hook(shape.annotation)
            return hook
        if shape.annotation not in self._writers:
            self._writers[shape.annotation] = self._make_writer(shape)
        return self._writers[shape.annotation]

    def reader(self, annotation: Any) -> Read:
        """From a decoded wire value to the value."""
        shape = self._planner.shape(annotation)
        if self._planner.native(shape.annotation):
            return untouched
        if shape.kind is Kind.CUSTOM:
            hook, target = self._converter.get_structure_hook(shape.annotation), shape.annotation
            return lambda value: hook(value, target)
        if shape.annotation not in self._readers:
            self._readers[shape.annotation] = self._make_reader(shape)
        return self._readers[shape.annotation]

    def wire(self, annotation: Any, *, bare_refs: bool = False) -> Any:
        """The msgspec type of what is on the wire for a type.

        Parameters:
            annotation: the type.
            bare_refs: leave refs as extensions, also in what is native: a form to check bytes by.
        """
        shape = self._planner.shape(annotation)
        if self._planner.native(shape.annotation) and not (bare_refs and self._planner.holds_refs(shape.annotation)):
            return annotation
        key = (shape.annotation, bare_refs)
        if key not in self._wires:
            if shape.kind is Kind.DATA:
                return self._wire_record(shape, bare_refs)
            self._wires[key] = self._wire_of(shape, bare_refs)
        return self._wires[key]

    def _serves(self, annotation: Any) -> bool:
        # Asked for any type a user's hook hands to the converter, also for those that are refused.
        try:
            return self._planner.shape(annotation).kind is not Kind.CUSTOM
        except TypeError:
            return False

    def _wire_of(self, shape: Shape, bare_refs: bool) -> Any:
        if shape.kind in (Kind.UNION, Kind.OPEN) or (
            shape.kind is Kind.PLAIN_UNION and not self._planner.native(shape.annotation)
        ):
            return Pair
        inner = [self.wire(part, bare_refs=bare_refs) for part in shape.parts]
        match shape.kind:
            case Kind.REF:
                return Ext
            case Kind.ENUM:
                return int if issubclass(shape.cls, enum.Flag) else str
            case Kind.LIST | Kind.SET | Kind.FROZENSET | Kind.TUPLE:
                return list[inner[0]]  # type: ignore[valid-type]  # built at run time
            case Kind.ROW:
                return tuple[tuple(inner)]  # type: ignore[misc]  # built at run time
            case Kind.DICT if self._planner.simple_keys(shape):
                return dict[inner[0], inner[1]]  # type: ignore[valid-type]  # built at run time
            case Kind.DICT:
                return list[tuple[inner[0], inner[1]]]  # type: ignore[valid-type]  # built at run time
            case Kind.OPTIONAL:
                return Optional[inner[0]]  # noqa: UP045 - a value, not an annotation
            case Kind.PLAIN_UNION:
                return union_of(inner)
            case _:
                return Any

    def _wire_record(self, shape: Shape, bare_refs: bool) -> Any:
        native = self._planner.native(shape.annotation)
        if native and _is_array(shape.cls):
            return Any
        if not native and shape.cls is not dict:
            check_arguments(shape.cls, shape.fields)

        # The record is known before its fields are looked at: a class may hold itself.
        class Record(TypedDict, total=False):
            """The fields of one class on the wire, each of which may be missing."""

        record: Any = Record
        self._wires[shape.annotation, bare_refs] = record
        names = _encoded_names(shape) if native else [field.name for field in shape.fields]
        types = {
            name: self.wire(field.annotation, bare_refs=bare_refs) for name, field in zip(names, shape.fields, strict=True)
        }
        record.__annotations__ = types
        record.__optional_keys__ = frozenset(types)
        return record

    def _plain_reader(self, annotation: Any) -> Callable[[Any, Any], Any]:
        if self._planner.native(annotation):
            return lambda value, _: msgspec.convert(value, annotation)
        wire, read, recode = self.wire(annotation), self.reader(annotation), self._directory.recode
        return lambda value, _: recode(value, wire, read)

    def _make_writer(self, shape: Shape) -> Write:
        match shape.kind:
            case Kind.OPEN:
                return self._open_writer(shape)
            case Kind.ENUM:
                return _flag_value if issubclass(shape.cls, enum.Flag) else _member_name
            case Kind.UNION | Kind.PLAIN_UNION:
                return _lazily(shape, self._union_writer)
            case Kind.DATA:
                return _lazily(shape, self._record_writer)
            case _:
                return _lazily(shape, self._container_writer)

    def _make_reader(self, shape: Shape) -> Read:
        match shape.kind:
            case Kind.OPEN:
                return self._open_reader(shape)
            case Kind.ENUM:
                return _enum_reader(shape.cls)
            case Kind.UNION | Kind.PLAIN_UNION:
                return _lazily(shape, self._union_reader)
            case Kind.DATA:
                return _lazily(shape, self._record_reader)
            case _:
                return _lazily(shape, self._container_reader)

    # --- tagged values ---

    def _open_writer(self, shape: Shape) -> Write:
        write_tagged, base = self._directory.write_tagged, shape.cls

        def write(value: Any) -> Any:
            if not isinstance(value, base):
                raise EncodeError(f"{where(type(value))} stands where {where(base)} belongs")
            return write_tagged(value)

        return write

    def _open_reader(self, shape: Shape) -> Read:
        read_tagged, base = self._directory.read_tagged, shape.cls

        def read(pair: Pair) -> Any:
            value = read_tagged(*pair)
            if not isinstance(value, base):
                raise DecodeError(f"{where(type(value))} stands where {where(base)} belongs")
            return value

        return read

    def _union_writer(self, shape: Shape) -> Write:
        open_bases: list[type] = []
        by_class = _by_class(shape, self._planner, open_bases)
        members = {cls: (wire_name(cls), self.writer(member)) for cls, member in by_class}

        def write(value: Any) -> Any:
            cls = class_of(value)
            if ActorRef in cls.__mro__:
                cls = ActorRef
            found = members.get(cls)
            if found is not None:
                return found[0], found[1](value)
            if isinstance(value, tuple(open_bases)):
                return self._directory.write_tagged(value)
            raise EncodeError(f"{where(cls)} is no member of {shape.annotation}: name the class itself in the union")

        return write

    def _union_reader(self, shape: Shape) -> Read:
        open_bases: list[type] = []
        by_class = _by_class(shape, self._planner, open_bases)
        decoder = self._directory.decoder
        members = {wire_name(cls): (decoder(self.wire(member)), self.reader(member)) for cls, member in by_class}

        def read(pair: Pair) -> Any:
            name, body = pair
            found = members.get(name)
            if found is not None:
                return found[1](found[0].decode(body))
            if open_bases:
                value = self._directory.read_tagged(name, body)
                if isinstance(value, tuple(open_bases)):
                    return value
            raise DecodeError(f"{escaped(name)} is no member of {shape.annotation}")

        return read

    # --- classes and containers whose parts are not all native ---

    def _record_writer(self, shape: Shape) -> Write:
        cls, steps = shape.cls, [(field.name, self.writer(field.annotation)) for field in shape.fields]

        def write_dict(value: Any) -> Any:
            if type(value) is not dict:
                raise EncodeError(f"{where(type(value))} stands where {where(shape.annotation)} belongs")
            return {name: write(value[name]) for name, write in steps if name in value}

        def write_object(value: Any) -> Any:
            if type(value) is not cls:
                raise EncodeError(f"{where(type(value))} stands where {where(cls)} belongs: name it in the annotation")
            return {name: write(getattr(value, name)) for name, write in steps}

        return write_dict if cls is dict else write_object

    def _record_reader(self, shape: Shape) -> Read:
        steps = [(field, self.reader(field.annotation)) for field in shape.fields]
        derived = [(field.name, read) for field, read in steps if field.derived]
        steps = [(field, read) for field, read in steps if not field.derived]

        def read(record: dict[str, Any]) -> Any:
            arguments = {field.alias: read(record[field.name]) for field, read in steps if field.name in record}
            if len(arguments) < len(steps):
                _check_complete(shape, steps, arguments)
            value = shape.cls(**arguments)
            for name, restore in derived:
                if name in record:
                    object.__setattr__(value, name, restore(record[name]))
            return value

        return read

    def _container_writer(self, shape: Shape) -> Write:
        write, *rest = [self.writer(part) for part in shape.parts]
        if shape.kind is Kind.OPTIONAL:
            return lambda value: None if value is None else write(value)
        put = self._items_writer(shape, write, rest)

        def checked(value: Any) -> Any:
            if not isinstance(value, shape.cls):
                raise EncodeError(f"{where(type(value))} stands where {where(shape.annotation)} belongs")
            return put(value)

        return checked

    def _items_writer(self, shape: Shape, write: Write, rest: list[Write]) -> Write:
        match shape.kind:
            case Kind.ROW:
                return lambda value: [each(item) for each, item in zip((write, *rest), value, strict=True)]
            case Kind.DICT if self._planner.simple_keys(shape):
                return lambda value: {key: rest[0](item) for key, item in value.items()}
            case Kind.DICT:
                return lambda value: [(write(key), rest[0](item)) for key, item in value.items()]
            case _:
                return lambda value: [write(item) for item in value]

    def _container_reader(self, shape: Shape) -> Read:
        read, *rest = [self.reader(part) for part in shape.parts]
        match shape.kind:
            case Kind.OPTIONAL:
                return lambda value: None if value is None else read(value)
            case Kind.ROW:
                return lambda row: tuple(each(item) for each, item in zip((read, *rest), row, strict=True))
            case Kind.DICT if self._planner.simple_keys(shape):
                return lambda mapping: {key: rest[0](item) for key, item in mapping.items()}
            case Kind.DICT:
                return lambda pairs: {read(key): rest[0](item) for key, item in pairs}
            case _:
                return lambda items: shape.cls(read(item) for item in items)


def untouched(value: Any) -> Any:
    """The hook of what msgspec takes and gives as it is."""
    return value


def _flag_value(value: enum.Flag) -> Any:
    return value.value


def _enum_reader(cls: Any) -> Read:
    by_name: Read = cls.__getitem__
    return cls if issubclass(cls, enum.Flag) else by_name


def _member_name(value: enum.Enum) -> str:
    return value.name


def _by_class(shape: Shape, planner: Planner, open_bases: list[type]) -> Iterator[tuple[type, Any]]:
    """The members of a union by the class of their values; bases without data go to ``open_bases``."""
    for member in shape.parts:
        inner = planner.shape(member)
        if inner.kind is Kind.OPEN:
            open_bases.append(inner.cls)
        elif inner.kind is Kind.REF:
            yield ActorRef, ActorRef
        elif inner.kind is Kind.LITERAL:
            yield from ((cls, member) for cls in inner.cls)
        else:
            yield runtime_class(member), member


def _is_array(cls: type) -> bool:
    if issubclass(cls, msgspec.Struct):
        return cls.__struct_config__.array_like
    return is_named_tuple(cls)


def _encoded_names(shape: Shape) -> Iterable[str]:
    if issubclass(shape.cls, msgspec.Struct):
        names: tuple[str, ...] = shape.cls.__struct_encode_fields__
        return names
    return [field.name for field in shape.fields]


def _check_complete(shape: Shape, steps: list[tuple[Field, Read]], arguments: dict[str, Any]) -> None:
    missing = [field.name for field, _ in steps if field.required and field.alias not in arguments]
    if missing:
        raise DecodeError(f"{where(shape.annotation)} lacks {', '.join(missing)}")


def _lazily(shape: Shape, make: Callable[[Shape], Callable[[Any], Any]]) -> Callable[[Any], Any]:
    """A hook that looks the hooks of its parts up when the first value comes: a type may hold itself."""
    made: list[Callable[[Any], Any]] = []

    def hook(value: Any) -> Any:
        if not made:
            made.append(make(shape))
        return made[0](value)

    return hook
