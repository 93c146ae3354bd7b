"""What a sender is told about a value that cannot travel, and what a codec does with odd classes (W1, W4)."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import attrs
import msgspec
import pytest
from msgspec.msgpack import Ext

from casty_trio.errors import DecodeError, EncodeError, UnsupportedTypeError
from casty_trio.model.ref import ActorRef
from casty_trio.protocol import naming
from casty_trio.protocol.codec import Codec, message
from tests.protocol.test_codec_laws import FakeRef, read_ref, there_and_back, write_ref
from tests.protocol.wrapped import Wrapped, handing_on

HERE = "tests.protocol.test_codec_faults"
BAD = 2**64
"""No integer of MessagePack."""


@dataclass
class Plain:
    n: int


@dataclass
class Grown(Plain):
    """It makes `Plain` a class with a subclass, so values of it are looked at before they are sent."""

    more: int = 0


@dataclass
class Order:
    first: Plain
    rest: list[Plain] = field(default_factory=list)
    named: dict[str, Plain] = field(default_factory=dict)


@dataclass(frozen=True)
class Note:
    about: Any


class Numbers(msgspec.Struct):
    n: Any


@attrs.define
class Box:
    content: Any


@dataclass(slots=True)
class Slotted:
    one: int
    two: int


# --- the path to what is wrong ---


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({BAD: 1}, r"Note\.about\.key\(18446744073709551616\) cannot"),
        ({"a": {"b": BAD}}, r"Note\.about\['a'\]\['b'\] cannot"),
        ({1, BAD}, r"Note\.about\.item\(18446744073709551616\) cannot"),
        ((1, [BAD]), r"Note\.about\[1\]\[0\] cannot"),
        (Numbers(BAD), r"Note\.about\.n cannot"),
        (Box([BAD]), r"Note\.about\.content\[0\] cannot"),
    ],
)
def test_the_error_tells_the_way_to_the_fault(value: Any, path: str) -> None:
    """W4: as Python would write it, through containers and each kind of class."""
    codec = Codec([Note, Numbers, Box, Plain])
    with pytest.raises(EncodeError, match=path):
        codec.encode(Note(value), write_ref)
    assert there_and_back(codec, Note([1])) == Note([1])


def test_a_field_that_was_never_set_does_not_hide_the_error() -> None:
    """W4: the fault is found behind it."""
    broken = Slotted.__new__(Slotted)
    broken.two = BAD
    with pytest.raises(EncodeError, match=r"Slotted\.two cannot"):
        Codec([Slotted]).encode(broken, write_ref)


def test_a_fault_too_deep_to_be_told_is_told_without_its_path() -> None:
    """W4: nobody reads a path of fifty steps."""
    value: Any = BAD
    for _ in range(50):
        value = [value]
    with pytest.raises(EncodeError, match=r"test_codec_faults\.Note cannot be encoded"):
        Codec([Note]).encode(Note(value), write_ref)


def test_what_stands_in_a_value_twice_is_sent_twice() -> None:
    """Looking for sliced subclasses ends, whatever is shared, and finds one that stands behind something shared."""
    codec = Codec([Order])
    shared = Plain(1)
    order = Order(shared, [shared, shared], {"a": shared, "b": Plain(2)})
    assert there_and_back(codec, order) == order
    with pytest.raises(EncodeError, match="Grown"):
        codec.encode(Order(shared, [shared, Grown(2)]), write_ref)


# --- depth ---


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_large_bodies_are_measured_too() -> None:
    """W2: the depth of what may be deep is checked in a body of any size."""
    deep, shallow = Codec([Note], max_depth=1_000), Codec([Note], max_depth=64)
    padding = "x" * 100_000
    name, body = deep.encode(Note([nested(70), padding]), write_ref)
    assert deep.decode(name, body, read_ref) == Note([nested(70), padding])
    with pytest.raises(DecodeError, match="nested deeper than 64 levels"):
        shallow.decode(name, body, read_ref)
    assert there_and_back(shallow, padding) == padding
    assert there_and_back(shallow, Note([nested(10), padding])) == Note([nested(10), padding])


# --- classes that do not work ---


@dataclass
class WrongBound:
    """msgspec has no bounds for text."""

    name: Annotated[str, msgspec.Meta(ge=1)]


@pytest.fixture
def names() -> Iterator[None]:
    """Names given in a test are gone after it."""
    before = dict(naming._named)
    yield
    naming._named.clear()
    naming._named.update(before)


def test_an_annotation_that_msgspec_refuses_is_refused_by_name() -> None:
    """W4: when the type is registered, as a misuse, and nothing of that call stays."""
    codec = Codec()
    before = codec.names
    with pytest.raises(UnsupportedTypeError, match=r"WrongBound cannot be sent: .*ge"):
        codec.register(Plain, WrongBound)
    assert codec.names == before
    assert there_and_back(codec, Plain(1)) == Plain(1)


@pytest.mark.usefixtures("names")
def test_a_named_class_that_cannot_travel_costs_a_peer_its_message() -> None:
    """W1: it is known by its name, and refused with the reason, not with an error of ours."""

    @message("test.Hopeless")
    @dataclass
    class Hopeless:
        number: complex

    with pytest.raises(DecodeError, match=r"test\.Hopeless: .*complex"):
        Codec().decode("test.Hopeless", msgspec.msgpack.encode({"number": 1}), read_ref)
    assert Hopeless(1j).number == 1j


@pytest.mark.usefixtures("names")
def test_a_named_class_need_not_be_found_in_its_module() -> None:
    """One that is local to a function, too."""

    @message("test.Local")
    @dataclass(frozen=True)
    class Local:
        n: int

    assert Codec().decode(*Codec().encode(Local(1), write_ref), read_ref) == Local(1)


def test_refs_are_made_only_while_a_message_is_read() -> None:
    """W1: a decoder by itself belongs to no link, so it has nobody to ask for a ref."""
    codec = Codec()
    body = msgspec.msgpack.encode(Ext(5, b"/a"))
    assert codec.decode("ActorRef", body, read_ref) == FakeRef("/a")
    with pytest.raises(EncodeError, match="only while a message is encoded or decoded"):
        codec.decoder(ActorRef[int]).decode(body)


def test_a_codec_tells_how_much_it_knows() -> None:
    """In its `repr`."""
    codec = Codec()
    known = len(codec.names)
    assert repr(codec) == f"<Codec of {known} types>"
    codec.register(Plain)
    assert repr(codec) == f"<Codec of {known + 1} types>"


# --- a user's hooks ---


@pytest.mark.parametrize(
    ("kind", "parts"),
    [(list[int], [1, 2]), (deque[int], deque([1, 2])), (dict[str, Plain], {"a": Plain(1)}), (list[Any], [Plain(1), {2}])],
    ids=str,
)
def test_a_hook_may_hand_on_any_kind(kind: Any, parts: Any) -> None:
    """What msgspec knows, what only cattrs knows, and what the codec tags."""
    codec = Codec([Wrapped, Plain], converter=handing_on(kind))
    assert there_and_back(codec, Wrapped(parts)).parts == parts
