"""Unions, rows, literals and bases without data in fields: each side keeps the class of every value (W1, W4)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NewType, TypedDict, Union

import attrs
import msgspec
import pytest

from casty_trio.errors import DecodeError, EncodeError
from casty_trio.model.ref import ActorRef
from casty_trio.protocol.codec import Codec
from tests.protocol.test_codec_laws import FakeRef, read_ref, same, there_and_back, write_ref

HERE = "tests.protocol.test_codec_unions"
Id = NewType("Id", str)


class Base:
    """No data here."""


@dataclass(frozen=True)
class First(Base):
    n: int


@dataclass(frozen=True)
class Second(Base):
    n: int


@dataclass(frozen=True)
class Alone:
    n: int


@dataclass(frozen=True)
class Mixed:
    """What msgspec knows as a union, beside a field that it does not know."""

    number: int | str | list[int] | None
    about: Any = None


@dataclass(frozen=True)
class OneClass:
    name: Union[Id, str]  # noqa: UP007 - the checkers' name and the class itself are one at run time


@dataclass(frozen=True)
class BaseOr:
    value: Base | int


@dataclass(frozen=True)
class BaseOnly:
    value: Base


@dataclass(frozen=True)
class Row:
    row: tuple[int, Any, str]
    table: dict[str, tuple[Any, int]]
    keyed: dict[tuple[int, Any], Any]


@dataclass(frozen=True)
class Choice:
    choice: Literal["a", 1] | First | Alone


@dataclass(frozen=True)
class RefOr:
    target: ActorRef[int] | str
    rows: list[tuple[ActorRef[int], int]] = field(default_factory=list)


@dataclass(frozen=True)
class Target:
    ref: ActorRef[int]
    rest: "tuple[Target | int, ...]" = ()


class Loose(TypedDict):
    what: Any


@dataclass(frozen=True)
class Inner:
    what: Any


@dataclass(frozen=True)
class Parts:
    inner: Inner
    loose: Loose
    many: list[Any]


@attrs.define
class Counted:
    what: Any
    total: int = attrs.field(init=False, default=7)


VALUES: list[Any] = [
    *(Mixed(number) for number in (1, "1", [1, 2], None)),
    Mixed(1, First(1)),
    OneClass("x"),
    BaseOr(First(1)),
    BaseOr(Second(1)),
    BaseOr(5),
    BaseOnly(Second(2)),
    Row((1, First(2), "x"), {"k": ([1], 2)}, {(1, "a"): First(1), (1, 2): None}),
    Choice("a"),
    Choice(1),
    Choice(First(1)),
    Choice(Alone(1)),
    RefOr("text"),
    RefOr(FakeRef("/a"), [(FakeRef("/b"), 1)]),
    Parts(Inner(1), {"what": First(1)}, [1, "a"]),
    Target(FakeRef("/a"), (1, Target(FakeRef("/b")))),
]
CODEC = Codec([type(value) for value in VALUES])


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_every_member_comes_back_as_itself(value: Any) -> None:
    """Also from a body so large that its form is checked before its refs are read."""
    assert same(there_and_back(CODEC, value), value)
    large = [value, "x" * 100_000]
    assert same(there_and_back(CODEC, large), large)


@pytest.mark.parametrize("count", [1, 10_000])
def test_large_native_bodies_with_refs(count: int) -> None:
    """Refs in a union and in rows, also in a class that msgspec serves alone."""
    rows = RefOr(FakeRef("/r"), [(FakeRef(f"/{number}"), number) for number in range(count)])
    assert there_and_back(CODEC, rows) == rows
    targets = Target(FakeRef("/r"), tuple(Target(FakeRef(f"/{number}"), (1,)) for number in range(count)))
    assert there_and_back(CODEC, targets) == targets


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (BaseOnly(Alone(1)), r"Alone stands where .*Base belongs"),  # type: ignore[arg-type] # on purpose, as all below
        (BaseOr("x"), r"str is no member of"),  # type: ignore[arg-type]
        (Choice(Second(1)), r"Second is no member of"),  # type: ignore[arg-type]
        (Row([1, 2, "x"], {}, {}), r"list stands where tuple.* belongs"),  # type: ignore[arg-type]
        (Parts(First(1), {"what": 1}, []), r"First stands where .*Inner belongs"),  # type: ignore[arg-type]
        (Parts(Inner(1), Alone(2), []), r"Alone stands where .*Loose belongs"),  # type: ignore[arg-type]
        (Parts(Inner(1), {"what": 1}, (1,)), r"tuple stands where list.* belongs"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_member_is_refused_at_the_sender(value: Any, match: str) -> None:
    """W4: by the class that stands there, and the type that was declared."""
    with pytest.raises(EncodeError, match=match):
        CODEC.encode(value, write_ref)


@pytest.mark.parametrize(
    ("cls", "body", "match"),
    [
        ("BaseOr", {"value": [f"{HERE}:Alone", {"n": 1}]}, "Alone' is no member of"),
        ("BaseOr", {"value": ["str", "x"]}, "str' is no member of"),
        ("BaseOnly", {"value": [f"{HERE}:Alone", {"n": 1}]}, r"Alone stands where .*Base belongs"),
        ("Choice", {"choice": ["list", []]}, "list' is no member of"),
        ("Row", {"row": [1, ["int", 1]], "table": {}, "keyed": []}, "row"),
        ("Mixed", {"number": 1.5}, "number"),
    ],
)
def test_what_is_no_member_is_refused_by_the_receiver(cls: str, body: Any, match: str) -> None:
    """W1: a peer that names a registered class in the wrong place costs itself that message."""
    with pytest.raises(DecodeError, match=match):
        CODEC.decode(f"{HERE}:{cls}", msgspec.msgpack.encode(body), read_ref)


def test_a_derived_field_that_is_missing_keeps_what_the_class_gave_it() -> None:
    """A peer of an earlier version does not send it."""
    codec = Codec([Counted, First])
    sent = Counted(First(1))
    sent.total = 9
    assert there_and_back(codec, sent).total == 9
    early = codec.decode(f"{HERE}:Counted", msgspec.msgpack.encode({"what": ["int", 1]}), read_ref)
    assert (early.what, early.total) == (1, 7)


@pytest.mark.parametrize("make", [lambda: [1], lambda: {"a": int}])
def test_what_is_no_type_at_all_is_refused_by_name(make: Callable[[], object]) -> None:
    """W4: a list of names where a type belongs."""
    with pytest.raises(TypeError, match="cannot be sent: it cannot be resolved here"):
        Codec([make()])
