"""Laws of the codec: what is encoded is decoded equal, for a spread of types (W1, W4, W8)."""

import datetime as dt
import enum
import math
from collections.abc import Callable, Collection, Mapping, Sequence, Set as AbstractSet
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, NotRequired, Optional, TypedDict, TypeVar
from uuid import UUID

import attrs
import msgspec
import pytest
from hypothesis import given, strategies as st
from hypothesis.strategies import SearchStrategy

from casty_trio.model.address import ActorAddress
from casty_trio.model.envelope import ShardEnvelope
from casty_trio.model.ref import ActorRef
from casty_trio.protocol.codec import Codec

T = TypeVar("T")
CODE = 5


class FakeRef(ActorRef[Any]):
    """A ref that goes nowhere, equal to others of its path."""

    def __init__(self, path: str) -> None:
        self._address = ActorAddress("test", path)

    @property
    def address(self) -> ActorAddress:
        return self._address

    def tell(self, message: Any) -> None:
        raise AssertionError("nobody tells a fake")

    async def send(self, message: Any) -> None:
        raise AssertionError("nobody tells a fake")


def write_ref(ref: ActorRef[Any]) -> tuple[int, bytes]:
    return CODE, ref.path.encode()


def read_ref(code: int, payload: memoryview) -> ActorRef[Any]:
    assert code == CODE
    return FakeRef(bytes(payload).decode())


def there_and_back(codec: Codec, value: object) -> Any:
    name, body = codec.encode(value, write_ref)
    return codec.decode(name, body, read_ref)


def same(left: Any, right: Any) -> bool:
    """Equal, and of equal classes all the way down; ``1``, ``1.0`` and ``True`` are three things."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float) and math.isnan(left):
        return math.isnan(right)
    if isinstance(left, dict):
        return len(left) == len(right) and all(
            any(same(key, other) and same(item, right[other]) for other in right) for key, item in left.items()
        )
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, set | frozenset):
        return len(left) == len(right) and all(any(same(item, other) for other in right) for item in left)
    return bool(left == right)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Shape(enum.Enum):
    ROUND = (1, 2)
    SQUARE = 1.5


class Access(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


class Point(NamedTuple):
    x: int
    y: float = 0.0


class Tagged(NamedTuple):
    label: str
    value: Any


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


class Loose(TypedDict, total=False):
    what: Any
    ref: ActorRef[int]


@dataclass(frozen=True)
class Simple:
    name: str
    count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalars:
    flag: bool
    whole: int
    real: float
    text: str
    raw: bytes
    nothing: None
    at: dt.datetime
    day: dt.date
    clock: dt.time
    span: dt.timedelta
    uuid: UUID
    price: Decimal


@dataclass
class Containers:
    items: list[int]
    table: dict[str, list[float]]
    unique: frozenset[str]
    row: tuple[int, str]
    many: tuple[Simple, ...]
    maybe: Simple | None
    keyed: dict[tuple[int, str], bytes]
    nested: list[dict[int, set[str]]]


@attrs.frozen
class Attrs:
    amount: int
    _secret: str
    colour: Colour = Colour.RED


@attrs.define
class OpenAttrs:
    anything: Any
    level: Level = Level.LOW


class Native(msgspec.Struct, frozen=True, array_like=True):
    n: int
    ref: ActorRef[Simple]
    choice: Literal["a", "b", 3]


class Camel(msgspec.Struct, rename="camel", tag=True):
    first_name: str
    last_ref: ActorRef[int] | None = None


@dataclass(frozen=True)
class Box(Generic[T]):
    content: T


@dataclass(frozen=True)
class Crate(Generic[T]):
    content: list[T]
    spare: T | None


@dataclass(frozen=True)
class IntBox(Crate[int]):
    label: str


@dataclass(frozen=True)
class Generics:
    numbers: "Box[int]"
    names: Box[list[str]]
    free: Box[Any]
    choice: Box[Simple | Attrs]


class Marker:
    """A base without data."""


@dataclass(frozen=True)
class Added(Marker):
    item: str


@dataclass(frozen=True)
class Removed(Marker):
    item: str
    why: Any = None


@dataclass(frozen=True)
class Unions:
    command: Added | Removed | Attrs | int
    several: list[Added | Removed]
    deep: dict[str, tuple[Added | Removed | None, ...]]
    when: dt.datetime | str | None
    ids: UUID | bytes | str
    mixed: list[int] | set[int] | Simple
    base: Marker


@dataclass(frozen=True)
class Abstract:
    sequence: Sequence[int]
    mapping: Mapping[str, int]
    bag: Collection[str]
    unique: AbstractSet[int]


@dataclass(frozen=True)
class Tree:
    value: int
    children: "list[Tree]" = field(default_factory=list)


@dataclass(frozen=True)
class AnyTree:
    value: Any
    left: Optional["AnyTree"] = None
    right: Optional["AnyTree"] = None


@dataclass(frozen=True)
class Add:
    left: "Expression"
    right: "Expression"


@dataclass(frozen=True)
class Negate:
    inner: "Expression"


Expression = Add | Negate | int
UserId = NewType("UserId", str)


@dataclass(frozen=True)
class Refs:
    one: ActorRef[int]
    bare: ActorRef  # type: ignore[type-arg]  # users leave it out
    maybe: ActorRef[Simple] | None
    either: ActorRef[int] | int | Simple
    many: dict[str, list[ActorRef[str]]]
    keys: dict[ActorRef[int], int]
    own: FakeRef


@dataclass(frozen=True)
class Odd:
    shape: Shape
    access: Access
    user: UserId
    small: Annotated[int, msgspec.Meta(ge=0)]
    movie: Movie
    loose: Loose
    where: Tagged
    pairs: dict[Simple, Any]
    marks: dict[Any, Colour]


@dataclass(frozen=True)
class Derived:
    base: int
    double: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "double", self.base * 2)


def awares() -> SearchStrategy[dt.datetime]:
    return st.datetimes(dt.datetime(1, 1, 3), dt.datetime(9999, 12, 29), timezones=st.just(dt.UTC))


INT = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(max_size=5)
FLOAT = st.floats(allow_nan=False)
REF = st.builds(FakeRef, st.sampled_from(["/a", "/b", "/ü"]))
SIMPLE = st.builds(Simple, TEXT, INT)
POINT = st.builds(Point, INT, FLOAT)
ATTRS = st.builds(Attrs, INT, TEXT, st.sampled_from(Colour))
DATETIME = st.one_of(st.datetimes(), awares())
SPAN = st.timedeltas(dt.timedelta(days=-10_000), dt.timedelta(days=10_000))
DECIMAL = st.decimals(allow_nan=False)
SCALAR = st.one_of(
    *(st.none(), st.booleans(), INT, FLOAT, TEXT, st.binary(max_size=5), DATETIME, st.dates(), st.times(), SPAN),
    *(st.uuids(), DECIMAL, st.sampled_from(Colour), st.sampled_from(Level), st.sampled_from(Shape), REF),
)
HASHABLE = st.one_of(INT, TEXT, st.booleans(), FLOAT, SIMPLE, st.tuples(INT, TEXT), st.sampled_from(Colour), REF)
ANY: SearchStrategy[Any] = st.recursive(
    st.one_of(SCALAR, SIMPLE, POINT, ATTRS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(HASHABLE, inner, max_size=3),
        st.sets(HASHABLE, max_size=3),
        st.frozensets(HASHABLE, max_size=3),
        st.builds(Box, inner),
    ),
    max_leaves=8,
)
ADDED = st.builds(Added, TEXT)
REMOVED = st.builds(Removed, TEXT, ANY)
TREE: SearchStrategy[Tree] = st.recursive(
    st.builds(Tree, INT), lambda inner: st.builds(Tree, INT, st.lists(inner, max_size=3)), max_leaves=8
)
ANY_TREE: SearchStrategy[AnyTree] = st.recursive(
    st.builds(AnyTree, ANY), lambda inner: st.builds(AnyTree, SCALAR, inner, st.none() | inner), max_leaves=4
)
EXPRESSION: SearchStrategy[Any] = st.recursive(
    INT, lambda inner: st.builds(Negate, inner) | st.builds(Add, inner, inner), max_leaves=8
)
LOOSE = st.fixed_dictionaries({}, optional={"what": ANY, "ref": REF})
MOVIE = st.fixed_dictionaries({"title": TEXT}, optional={"year": INT})

SAMPLES: dict[type, SearchStrategy[Any]] = {
    Simple: SIMPLE,
    Scalars: st.builds(
        Scalars,
        flag=st.booleans(),
        whole=INT,
        real=FLOAT,
        text=TEXT,
        raw=st.binary(max_size=9),
        nothing=st.none(),
        at=DATETIME,
        day=st.dates(),
        clock=st.times(),
        span=SPAN,
        uuid=st.uuids(),
        price=DECIMAL,
    ),
    Containers: st.builds(
        Containers,
        st.lists(INT, max_size=3),
        st.dictionaries(TEXT, st.lists(FLOAT, max_size=2), max_size=3),
        st.frozensets(TEXT, max_size=3),
        st.tuples(INT, TEXT),
        st.lists(SIMPLE, max_size=2).map(tuple),
        st.none() | SIMPLE,
        st.dictionaries(st.tuples(INT, TEXT), st.binary(max_size=3), max_size=2),
        st.lists(st.dictionaries(INT, st.sets(TEXT, max_size=2), max_size=2), max_size=2),
    ),
    Attrs: ATTRS,
    OpenAttrs: st.builds(OpenAttrs, ANY, st.sampled_from(Level)),
    Native: st.builds(Native, INT, REF, st.sampled_from(["a", "b", 3])),
    Camel: st.builds(Camel, TEXT, st.none() | REF),
    Point: POINT,
    Tagged: st.builds(Tagged, TEXT, ANY),
    Box: st.builds(Box, ANY),
    IntBox: st.builds(IntBox, st.lists(INT, max_size=2), st.none() | INT, TEXT),
    Unions: st.builds(
        Unions,
        st.one_of(ADDED, REMOVED, ATTRS, INT),
        st.lists(ADDED | REMOVED, max_size=3),
        st.dictionaries(TEXT, st.lists(st.none() | ADDED | REMOVED, max_size=2).map(tuple), max_size=2),
        DATETIME | TEXT | st.none(),
        st.uuids() | st.binary(max_size=3) | TEXT,
        st.lists(INT, max_size=3) | st.sets(INT, max_size=3) | SIMPLE,
        ADDED | REMOVED,
    ),
    Abstract: st.builds(
        Abstract,
        st.lists(INT, max_size=3) | st.lists(INT, max_size=3).map(tuple),
        st.dictionaries(TEXT, INT, max_size=2),
        st.lists(TEXT, max_size=3) | st.sets(TEXT, max_size=3) | st.frozensets(TEXT, max_size=3),
        st.sets(INT, max_size=3) | st.frozensets(INT, max_size=3),
    ),
    Tree: TREE,
    AnyTree: ANY_TREE,
    Add: st.builds(Add, EXPRESSION, EXPRESSION),
    Refs: st.builds(
        Refs,
        *(REF, REF, st.none() | REF, REF | INT | SIMPLE),
        st.dictionaries(TEXT, st.lists(REF, max_size=2), max_size=2),
        st.dictionaries(REF, INT, max_size=2),
        REF,
    ),
    Odd: st.builds(
        Odd,
        st.sampled_from(Shape),
        st.sampled_from([Access.READ, Access.WRITE, Access.READ | Access.WRITE, Access(0)]),
        TEXT,
        st.integers(0, 9),
        MOVIE,
        LOOSE,
        st.builds(Tagged, TEXT, ANY),
        st.dictionaries(SIMPLE, ANY, max_size=2),
        st.dictionaries(HASHABLE, st.sampled_from(Colour), max_size=2),
    ),
    Derived: st.builds(Derived, st.integers(-9, 9)),
    ShardEnvelope: st.builds(ShardEnvelope, TEXT, ANY),
    Colour: st.sampled_from(Colour),
    Access: st.sampled_from([Access.READ, Access.READ | Access.WRITE]),
}

CODEC = Codec([*SAMPLES, Generics, Level, Shape])
MESSAGES = st.one_of(*SAMPLES.values(), ANY)


@pytest.mark.parametrize("cls", SAMPLES, ids=lambda cls: cls.__name__)
def test_what_is_encoded_is_decoded_equal(cls: type) -> None:
    """For every kind of class, and whatever its fields hold."""

    @given(SAMPLES[cls])
    def law(value: Any) -> None:
        assert there_and_back(CODEC, value) == value

    law()


@given(ANY)
def test_untyped_values_come_back_as_exactly_what_they_were(value: Any) -> None:
    """List, tuple or set; int, float or bool; dicts with any keys; refs and enums: nothing changes its class."""
    assert same(there_and_back(CODEC, OpenAttrs(value)).anything, value)
    assert same(there_and_back(CODEC, value), value)


@given(st.builds(Box, INT), st.builds(Box, st.lists(TEXT)), st.builds(Box, ANY), st.builds(Box, SIMPLE | ATTRS))
def test_generic_fields_come_back_equal(numbers: Any, names: Any, free: Any, choice: Any) -> None:
    """A parametrised generic goes by its arguments."""
    value = Generics(numbers, names, free, choice)
    assert there_and_back(CODEC, value) == value


@pytest.mark.long
@given(MESSAGES)
def test_two_codecs_agree(value: Any) -> None:
    """The order of registration changes nothing on the wire."""
    other = Codec([Shape, Level, Generics, *reversed(SAMPLES)])
    name, body = CODEC.encode(value, write_ref)
    assert other.decode(name, body, read_ref) == CODEC.decode(name, body, read_ref)


@given(awares(), st.integers(-23, 23))
def test_an_aware_datetime_keeps_its_instant(at: dt.datetime, hours: int) -> None:
    """The zone becomes UTC: an instant is what travels."""
    local = at.astimezone(dt.timezone(dt.timedelta(hours=hours)))
    assert there_and_back(CODEC, local) == at


@pytest.mark.parametrize(
    "number", [math.nan, math.inf, -math.inf, -0.0, Decimal("NaN"), Decimal("-Infinity"), Decimal("-0.10")]
)
def test_odd_numbers_come_back(number: Any) -> None:
    """Those that do not equal themselves, too."""
    assert str(there_and_back(CODEC, number)) == str(there_and_back(CODEC, [number])[0]) == str(number)


def test_refs_go_through_the_functions_of_the_call() -> None:
    """A ref is written by the writer of the call, and read by the reader of the call."""
    seen: list[str] = []

    def writer(mark: str) -> Callable[[ActorRef[Any]], tuple[int, bytes]]:
        def write(ref: ActorRef[Any]) -> tuple[int, bytes]:
            seen.append(mark)
            return write_ref(ref)

        return write

    CODEC.encode(Native(1, FakeRef("/x"), 3), writer("first"))
    CODEC.encode(OpenAttrs([FakeRef("/x")]), writer("second"))
    assert seen == ["first", "second"]
