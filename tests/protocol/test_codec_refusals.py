"""Types that cannot work are refused when they are registered, by name and with a remedy (W4)."""

import enum
import io
import threading
import types
import typing
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import InitVar, dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, Protocol, TypedDict, TypeVar

import attrs
import msgspec
import pytest

from casty_trio.errors import UnsupportedTypeError
from casty_trio.model.context import ActorContext
from casty_trio.model.kinds import Behavior
from casty_trio.model.ref import ActorRef
from casty_trio.protocol.codec import Codec

if TYPE_CHECKING:
    from fractions import Fraction

T = TypeVar("T")


class Colour(enum.Enum):
    RED = 1


class NoFields:
    def __init__(self) -> None:
        self.hidden = 1


class Duck(Protocol):
    def quack(self) -> None: ...


@dataclass
class Data:
    n: int


class Grown(Data):
    """Not a data class by itself: what it adds would be lost."""

    more: int = 0

    def __init__(self, n: int, more: int) -> None:
        super().__init__(n)
        self.more = more


@dataclass
class OwnInit:
    n: Any

    def __init__(self, n: int, m: int) -> None:
        self.n = n + m


@dataclass
class Needs:
    n: InitVar[int]


@dataclass
class OnlyForCheckers:
    share: "Fraction"


@dataclass
class Misspelt:
    n: "itn"  # type: ignore[name-defined]  # noqa: F821 - on purpose


@attrs.define
class Untyped:
    n = attrs.field()  # type: ignore[var-annotated]  # on purpose


@attrs.define
class AttrsBad:
    handle: io.BytesIO


class StructBad(msgspec.Struct):
    callback: Callable[[int], int]


class TupleBad(NamedTuple):
    lock: threading.Event


class DictBad(TypedDict):
    module: types.ModuleType


@dataclass
class Boxed(Generic[T]):
    content: T


@dataclass
class Inner:
    deep: dict[str, list[complex]]


@dataclass
class Outer:
    inner: tuple[Inner, ...]


@dataclass
class TwoLists:
    items: list[int] | list[str]


BAD_FIELDS: list[Any] = [
    Callable[[int], int],
    Callable,
    ActorContext[int],
    Behavior[int],
    NoFields,
    Duck,
    Grown,
    complex,
    range,
    memoryview,
    slice,
    type,
    type[int],
    types.ModuleType,
    types.FunctionType,
    io.TextIOWrapper,
    typing.IO[str],
    typing.TextIO,
    Generator[int, None, None],
    Iterator[int],
    deque[int],
    defaultdict[str, int],
    OrderedDict[str, int],
    BaseException,
    ValueError,
    Literal[Colour.RED],
    Literal[b"x"],
    typing.Never,
    TwoLists,
    Inner,
    Outer,
    Needs,
    OwnInit,
    OnlyForCheckers,
    Misspelt,
    Untyped,
    AttrsBad,
    StructBad,
    TupleBad,
    DictBad,
    Boxed[complex],
    ActorRef[complex],
    ActorRef[NoFields],
    list[complex],
    dict[complex, int],
    tuple[int, complex],
    complex | None,
    int | complex,
]


def shown(annotation: Any) -> str:
    return getattr(annotation, "__name__", str(annotation))


@pytest.mark.parametrize("annotation", BAD_FIELDS, ids=shown)
def test_what_cannot_be_restored_is_refused_at_registration(annotation: Any) -> None:
    """As a type by itself, and as the type of a field, deep inside; the error names the class and the field."""
    codec = Codec()
    before = codec.names
    with pytest.raises(UnsupportedTypeError):
        codec.register(annotation)
    holder = attrs.make_class("Holder", {"place": attrs.field(type=annotation)})
    with pytest.raises(UnsupportedTypeError) as caught:
        codec.register(dict[str, list[holder]])  # type: ignore[valid-type]  # made at run time
    assert codec.names == before
    places = (
        "Holder.place",
        "OwnInit",
        "Needs",
        "OnlyForCheckers",
        "Misspelt",
        "Untyped",
        "Bad.",
        "Inner.deep",
        "TwoLists.items",
        "Boxed",
    )
    assert any(place in str(caught.value) for place in places)


@pytest.mark.parametrize(
    ("annotation", "texts"),
    [
        (Outer, ["Inner.deep", "complex", "frozen dataclass"]),
        (StructBad, ["StructBad.callback", "functions do not travel"]),
        (AttrsBad, ["AttrsBad.handle", "BytesIO"]),
        (OnlyForCheckers, ["OnlyForCheckers", "Fraction", "TYPE_CHECKING"]),
        (Needs, ["Needs", "InitVar"]),
        (TwoLists, ["TwoLists.items", "same class at run time"]),
        (OwnInit, ["OwnInit", "__init__"]),
        ("Data", ["text"]),
        (7, ["7"]),
    ],
)
def test_the_refusal_says_what_and_what_to_do(annotation: Any, texts: list[str]) -> None:
    """The class, the field, and the remedy."""
    with pytest.raises(UnsupportedTypeError) as caught:
        Codec([annotation])
    for text in texts:
        assert text in str(caught.value)


def test_fields_that_are_no_arguments_are_restored_and_not_refused() -> None:
    """Even where ``__post_init__`` would compute another value."""

    @dataclass
    class Counted:
        base: int
        count: int = field(init=False)

        def __post_init__(self) -> None:
            self.count = self.base

    value = Counted(1)
    value.count = 7
    codec = Codec([Counted])
    name, body = codec.encode(value, lambda ref: (0, b""))
    assert codec.decode(name, body, lambda code, payload: pytest.fail("no refs here")).count == 7
