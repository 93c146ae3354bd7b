"""Messages to bytes and back, for registered types only. Floor F1.

Each class has one entry: its wire name, and how its values are written and read, decided when it is registered. What msgspec
knows goes straight through it; the rest goes through a cattrs converter (see `tagged`). A codec belongs to one system and
one thread. No class is ever imported, made or called on a peer's word: a wire name is looked up among the registered ones,
and decoding raises `DecodeError` and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar, get_args

import cattrs
import msgspec
from msgspec.msgpack import Decoder, Encoder, Ext

from casty_trio.errors import DecodeError, EncodeError, UnknownTypeNameError, UnsupportedTypeError
from casty_trio.model.ref import ActorRef
from casty_trio.protocol.blame import check_classes, find_fault
from casty_trio.protocol.customised import customised_by
from casty_trio.protocol.depth import deeper_than
from casty_trio.protocol.naming import BUILTINS, escaped, message, named_class, wire_name
from casty_trio.protocol.plans import TOP, Kind, Planner, Shape, accepted, labelled, refusal
from casty_trio.protocol.shapes import class_of, is_data, subclasses, where
from casty_trio.protocol.tagged import Hooks, untouched

__all__ = ["Codec", "RefReader", "RefWriter", "message"]

RefWriter = Callable[[ActorRef[Any]], tuple[int, bytes]]
"""The MessagePack extension code and payload of a ref, for the link it leaves on."""
RefReader = Callable[[int, memoryview], ActorRef[Any]]
"""The ref of an extension that came in on a link; raises `DecodeError` for a bad one."""

LARGE = 64 * 1024
"""From this size on the form of a body is checked before refs are read: msgspec reads what stands for a ref untyped, and
1 byte of an empty map takes 72 bytes of memory."""

TEXT_LIMIT = 500
UNENCODABLE = (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError, AttributeError, LookupError)


class Entry:
    """How one registered class travels."""

    __slots__ = ("annotation", "check", "cls", "decode", "deep", "encode", "name", "plain", "watched", "write")

    def __init__(self, cls: type, annotation: Any) -> None:
        self.cls: type = cls
        self.name: str = wire_name(cls)
        self.annotation: Any = annotation
        self.write: Callable[[Any], Any] = untouched
        self.encode: Callable[[Any], bytes]
        self.decode: Callable[[Any], Any]
        self.check: Callable[[Any], Any] | None = None
        self.deep: bool = False
        self.plain: bool = False  # msgspec does it all, and no ref can be in it
        self.watched: tuple[type, ...] = ()


class Codec:
    """The registered types of one system, and their way to bytes and back.

    Parameters:
        types: what to register at once; see `register`.
        converter: a `cattrs.Converter` whose hooks serve types that could not travel otherwise, or travel in another form;
            it is copied. Its hooks turn values into None, bools, numbers, text, bytes, lists and dicts. A hook that
            hands parts on to its converter is made by a hook factory that takes the converter, so that it meets the copy.
        max_depth: how deep the containers of a body may be nested; a tagged value is one container more.

    Example:
        >>> codec = Codec()
        >>> name, body = codec.encode(["a", 1], lambda ref: (0, b""))
        >>> name, codec.decode(name, body, lambda code, payload: None)
        ('list', ['a', 1])
    """

    def __init__(
        self, types: Iterable[object] = (), *, converter: cattrs.Converter | None = None, max_depth: int = 64
    ) -> None:
        self.max_depth = max_depth
        self._write_ref: RefWriter = _no_link
        self._read_ref: RefReader = _no_link
        self._encoder = Encoder(enc_hook=self._encode_other)
        self._planner = Planner(customised_by(converter))
        own = cattrs.Converter(detailed_validation=False) if converter is None else converter.copy()
        self._hooks = Hooks(own, self._planner, self)
        self._by_class: dict[type, Entry] = {}
        self._by_name: dict[str, Entry] = {}
        self._exact: dict[type, str] = {}
        self.register(*BUILTINS)
        self.register(*types)

    def register(self, *types: object) -> None:
        """Let types travel, with all types that their fields reach, and the replies of the refs in them.

        Parameters:
            types: classes, unions, aliases, generics, ``Annotated``; a base class without data stands for all classes that
                derive from it now. Registering a type again does nothing.

        Raises:
            UnsupportedTypeError: one of them, or a field, cannot be sent faithfully, or two classes have one wire name (two
                runs of a function that defines a class make two classes). Then none of this call is registered.

        Example:
            >>> codec = Codec()
            >>> codec.register(int | list[str])
        """
        fresh: dict[type, Entry] = {}
        exact: dict[type, str] = {}
        for annotation in types:
            self._gather(annotation, fresh, exact)
        self._check_names(fresh)
        self._check_slicing(fresh, exact)
        for entry in fresh.values():
            self._distrust_refused(entry)
        for entry in fresh.values():
            try:
                self._prepare(entry)
            except (TypeError, ValueError) as problem:  # constraints in an `Annotated` that cannot be, say
                if isinstance(problem, UnsupportedTypeError):
                    raise
                raise refusal(TOP, entry.annotation, f"msgspec refuses it: {problem}") from problem
        self._by_class.update(fresh)
        self._by_name.update({entry.name: entry for entry in fresh.values()})
        self._exact.update(exact)

    def encode(self, message: object, write_ref: RefWriter) -> tuple[str, bytes]:
        """The wire name and the body of a message, by its exact class; an unknown class is registered first.

        Parameters:
            message: the message.
            write_ref: turns the refs in it into extensions.

        Raises:
            EncodeError: a value in it cannot be encoded; the error says where.
            UnsupportedTypeError: its class can never be sent.
        """
        entry = self._by_class.get(type(message)) or self._learn(type(message))
        before, self._write_ref = self._write_ref, write_ref
        try:
            if entry.plain:
                return entry.name, entry.encode(message)
            if entry.watched:
                self._watch(entry, message)
            body = entry.encode(message)
        except EncodeError:
            raise
        except UNENCODABLE as problem:
            raise self._encode_error(message, problem) from problem
        finally:
            self._write_ref = before
        if entry.deep and deeper_than(self.max_depth, body):
            raise EncodeError(f"{where(type(message))}: its value is nested deeper than {self.max_depth} levels")
        return entry.name, body

    def decode(self, name: str, body: bytes | memoryview, read_ref: RefReader) -> Any:
        """The message of a wire name and a body.

        Parameters:
            name: the wire name.
            body: the bytes that `encode` made.
            read_ref: turns extensions back into refs.

        Raises:
            UnknownTypeNameError: no type is registered under the name.
            DecodeError: the body is not what the type says. Nothing else is raised.
        """
        entry = self._by_name.get(name) or self._entry_named(name)
        before, self._read_ref = self._read_ref, read_ref
        try:
            if entry.plain:
                return entry.decode(body)
            if len(body) > LARGE:
                return self._decode_large(entry, body)
            if entry.deep:
                self._check_depth(name, body)
            return entry.decode(body)
        except DecodeError:
            raise
        except Exception as problem:  # a class's own __post_init__ may raise anything, on a peer's bytes
            reason = ascii(str(problem))[1:-1][:TEXT_LIMIT]
            raise DecodeError(f"{name}: {type(problem).__name__}: {reason}") from problem
        finally:
            self._read_ref = before

    @property
    def names(self) -> tuple[str, ...]:
        """The registered wire names, sorted."""
        return tuple(sorted(self._by_name))

    def __repr__(self) -> str:
        return f"<Codec of {len(self._by_name)} types>"

    # --- what the hooks need ---

    def write_tagged(self, value: Any) -> tuple[str, Any]:
        """The wire name of a value's class, and its body as plain values.

        Raises:
            EncodeError: its class is not registered.
        """
        cls = class_of(value)
        entry = self._by_class.get(cls)
        if entry is None:
            if ActorRef not in cls.__mro__:
                raise EncodeError(
                    f"{where(cls)} stands in a field of any type, and is not registered: name it in messages=[...] "
                    "or with @message"
                )
            entry = self._by_class[ActorRef]
        if entry.watched:
            self._watch(entry, value)
        return entry.name, entry.write(value)

    def read_tagged(self, name: str, body: msgspec.Raw) -> Any:
        """The value of a tagged pair.

        Raises:
            UnknownTypeNameError: no type is registered under the name.
        """
        return (self._by_name.get(name) or self._entry_named(name)).decode(body)

    def decoder(self, wire: Any) -> Decoder[Any]:
        """A decoder of a wire type that makes refs with the reader of the running `decode`."""
        return Decoder(wire, ext_hook=self._decode_extension)

    def recode(self, value: Any, wire: Any, read: Callable[[Any], Any]) -> Any:
        """Read a value that a user's hook holds in plain form, refs in it made already, as if it came off the wire."""
        refs: list[ActorRef[Any]] = []

        def keep(ref: ActorRef[Any]) -> tuple[int, bytes]:
            refs.append(ref)
            return 1, (len(refs) - 1).to_bytes(4, "big")

        before = self._write_ref, self._read_ref
        self._write_ref, self._read_ref = keep, lambda code, payload: refs[int.from_bytes(payload, "big")]
        try:
            return read(self.decoder(wire).decode(self._encoder.encode(value)))
        finally:
            self._write_ref, self._read_ref = before

    def _decode_large(self, entry: Entry, body: bytes | memoryview) -> Any:
        # The walk for the depth takes 0.1 to 0.3 s for a MiB of small items; what has the wrong form never gets there.
        if entry.check is not None:
            entry.check(body)
        message = entry.decode(body)
        if entry.deep:
            self._check_depth(entry.name, body)
        return message

    def _check_depth(self, name: str, body: bytes | memoryview) -> None:
        if deeper_than(self.max_depth, bytes(body)):
            raise DecodeError(f"{name}: the body is nested deeper than {self.max_depth} levels")

    def _encode_other(self, value: Any) -> Ext:
        cls = class_of(value)
        if ActorRef in cls.__mro__:
            return Ext(*self._write_ref(value))
        raise EncodeError(f"{where(cls)} cannot be encoded: its field does not say so")

    def _decode_extension(self, code: int, payload: memoryview) -> Any:
        return self._read_ref(code, payload)

    # --- registration ---

    def _gather(self, annotation: Any, fresh: dict[type, Entry], exact: dict[type, str]) -> None:
        """Entries for the classes a type reaches that have none yet; ``exact``: data classes that fields hold untagged."""
        todo, seen = [(annotation, TOP)], dict[int, Shape]()
        while todo:
            further, place = todo.pop()
            shape = self._planner.shape(further, place)
            if id(shape) in seen:
                continue
            seen[id(shape)] = shape
            cls = shape.cls
            if _is_entry(shape) and cls not in self._by_class and cls not in fresh:
                fresh[cls] = Entry(cls, cls if shape.kind is not Kind.CUSTOM else shape.annotation)
                todo.append((fresh[cls].annotation, place))
            todo += [*labelled(shape, place), *((known, place) for known in _beyond(shape))]
        for shape in seen.values():
            for field in shape.fields:
                for held in self._planner.held(field.annotation):
                    exact.setdefault(held, where(shape.annotation, field.name))

    def _check_names(self, fresh: dict[type, Entry]) -> None:
        taken = {name: entry.cls for name, entry in self._by_name.items()}
        for cls, entry in fresh.items():
            other = taken.setdefault(entry.name, cls)
            if other is not cls:
                raise UnsupportedTypeError(
                    f"{cls!r} and {other!r} are two classes of one wire name, {entry.name!r}: define the class once, at "
                    'the top of a module, or give each a name of its own with @message("...")'
                )

    def _check_slicing(self, fresh: dict[type, Entry], exact: dict[type, str]) -> None:
        classes = [*self._by_class, *fresh]
        for base, place in (self._exact | exact).items():
            for cls in classes if base in exact else fresh:
                if cls is not base and base in cls.__mro__ and is_data(cls):
                    raise UnsupportedTypeError(
                        f"{place} is typed {where(base)}, and {where(cls)} derives from it: it would arrive as its base; "
                        f"annotate the field {base.__name__} | {cls.__name__}, or with a base class that has no fields"
                    )

    def _distrust_refused(self, entry: Entry) -> None:
        # What we hold for native and msgspec refuses after all goes in parts, and so does all that holds it.
        if self._planner.native(entry.annotation) and not accepted(entry.annotation):
            self._planner.distrust(entry.annotation)

    def _prepare(self, entry: Entry) -> None:
        planner, annotation = self._planner, entry.annotation
        decode = self.decoder(self._hooks.wire(annotation)).decode
        if planner.native(annotation):
            entry.encode, entry.decode = self._encoder.encode, decode
        else:
            entry.write = self._hooks.writer(annotation)
            entry.encode = _chain(entry.write, self._encoder.encode)
            entry.decode = _chain(decode, self._hooks.reader(annotation))
        if planner.holds_refs(annotation):
            entry.check = Decoder(self._hooks.wire(annotation, bare_refs=True)).decode
        entry.deep = planner.deep(annotation)
        entry.watched = tuple(dict.fromkeys(planner.exact(annotation)))
        entry.plain = planner.native(annotation) and not (entry.check or entry.deep or entry.watched)

    def _learn(self, cls: type) -> Entry:
        if ActorRef in cls.__mro__:
            return self._by_class[ActorRef]
        self.register(cls)
        entry = self._by_class.get(cls)
        if entry is None:  # it stands for others: `object`, or a base without data
            raise UnsupportedTypeError(
                f"a plain {where(cls)} cannot be sent: it has no fields; send one of a class below it"
            )
        return entry

    def _entry_named(self, name: str) -> Entry:
        cls = named_class(name)
        if cls is not None:
            try:
                return self._learn(cls)
            except UnsupportedTypeError as problem:
                raise DecodeError(f"{name}: {problem}") from problem
        raise UnknownTypeNameError(
            f"no type is registered here under the wire name {escaped(name)}: name its class in messages=[...], in the "
            'return annotation of its factory, or give it a name with @message("...") and import its module'
        )

    def _watch(self, entry: Entry, message: object) -> None:
        for cls in entry.watched:
            if type.__subclasses__(cls):
                check_classes(message, self._by_class)
                return

    def _encode_error(self, message: object, problem: Exception) -> EncodeError:
        deep = isinstance(problem, RecursionError)
        place = "" if deep else find_fault(message, self._encoder.encode, UNENCODABLE)
        return EncodeError(f"{where(type(message))}{place} cannot be encoded: {problem}")


def _chain(first: Callable[[Any], Any], then: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: then(first(value))


def _no_link(*_: Any) -> Any:
    raise EncodeError("refs travel only while a message is encoded or decoded")


def _is_entry(shape: Shape) -> bool:
    return isinstance(shape.cls, type) and shape.kind not in (
        Kind.OPEN,
        Kind.LITERAL,
        Kind.UNION,
        Kind.PLAIN_UNION,
        Kind.OPTIONAL,
    )


def _beyond(shape: Shape) -> Iterator[Any]:
    """Types that a type leads to, beside what its values hold: a ref's messages, the classes below a base without data."""
    if shape.kind is Kind.REF:
        yield from (told for told in get_args(shape.annotation) if not isinstance(told, TypeVar))
    elif shape.kind is Kind.OPEN and shape.cls is not object:
        yield from filter(is_data, subclasses(shape.cls))
