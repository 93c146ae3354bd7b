"""What a peer's bytes can do: cost a `DecodeError`, and nothing else (W1, W2)."""

import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from casty_trio.errors import DecodeError, EncodeError, UnknownTypeNameError
from casty_trio.model.ref import ActorRef
from casty_trio.protocol.codec import Codec
from casty_trio.protocol.depth import deeper_than
from casty_trio.protocol.naming import wire_name
from tests.protocol.test_codec_laws import CODEC, MESSAGES, FakeRef, OpenAttrs, Simple, Tree, Unions, read_ref, write_ref

MIB = 1024 * 1024


def decode_or_refuse(name: str, body: bytes | memoryview) -> None:
    try:
        CODEC.decode(name, body, read_ref)
    except DecodeError:
        return


@given(st.sampled_from(CODEC.names), st.binary(max_size=60))
def test_garbage_gives_only_decode_errors(name: str, body: bytes) -> None:
    """Random bytes under any registered name."""
    decode_or_refuse(name, body)


@given(MESSAGES, st.sampled_from(CODEC.names))
def test_a_body_under_another_name_gives_only_decode_errors(value: Any, name: str) -> None:
    """Well-formed bytes of one type, read as another."""
    decode_or_refuse(name, CODEC.encode(value, write_ref)[1])


@given(MESSAGES, st.data())
def test_mutated_bodies_give_only_decode_errors(value: Any, data: st.DataObject) -> None:
    """A few bytes changed, dropped or put in."""
    name, encoded = CODEC.encode(value, write_ref)
    body = bytearray(encoded)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(body)))
        body[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    decode_or_refuse(name, bytes(body))


@given(MESSAGES, st.data())
def test_truncated_bodies_are_refused(value: Any, data: st.DataObject) -> None:
    """A body cut anywhere is none."""
    name, body = CODEC.encode(value, write_ref)
    with pytest.raises(DecodeError):
        CODEC.decode(name, body[: data.draw(st.integers(0, len(body) - 1))], read_ref)


@given(MESSAGES, st.binary(min_size=1, max_size=3))
def test_trailing_bytes_are_refused(value: Any, more: bytes) -> None:
    """A body is one value, and no more."""
    name, body = CODEC.encode(value, write_ref)
    with pytest.raises(DecodeError):
        CODEC.decode(name, body + more, read_ref)


@given(MESSAGES)
def test_a_body_may_be_a_view(value: Any) -> None:
    """A memoryview of a receive buffer decodes as bytes do, and nothing keeps it."""
    name, body = CODEC.encode(value, write_ref)
    buffer = bytearray(body)
    decoded = CODEC.decode(name, memoryview(buffer), read_ref)
    buffer[:] = bytes(len(buffer))
    assert decoded == CODEC.decode(name, body, read_ref)


@pytest.mark.parametrize("name", ["os:system", "builtins:eval", "", "int\n", "x" * 10_000, "tests.protocol:\x1b[31m", "ü"])
def test_unknown_names_are_refused_and_shown_safely(name: str) -> None:
    """The name is escaped and cut, the remedy is in the text, and nothing is imported."""
    with pytest.raises(UnknownTypeNameError) as caught:
        CODEC.decode(name, b"\xc0", read_ref)
    text = str(caught.value)
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < 600
    assert "@message" in text


def test_an_unknown_name_in_a_field_is_named_too() -> None:
    """Tagged values are looked up the same way."""
    body = msgspec.msgpack.encode({"anything": ["os:system", ["true"]]})
    with pytest.raises(UnknownTypeNameError, match="os:system"):
        CODEC.decode(wire_name(OpenAttrs), body, read_ref)


def test_a_registered_class_that_is_no_member_of_the_union_is_refused() -> None:
    """A union takes its members, not whatever is registered."""
    name, body = CODEC.encode(Unions(1, [], {}, None, b"", [], _added()), write_ref)
    fields = msgspec.msgpack.decode(body)
    fields["several"] = [[wire_name(Simple), {"name": "x"}]]
    with pytest.raises(DecodeError, match="no member"):
        CODEC.decode(name, msgspec.msgpack.encode(fields), read_ref)
    fields["several"], fields["base"] = [], [wire_name(Simple), {"name": "x"}]
    with pytest.raises(DecodeError, match="belongs"):
        CODEC.decode(name, msgspec.msgpack.encode(fields), read_ref)


def _added() -> Any:
    from tests.protocol.test_codec_laws import Added

    return Added("a")


class BoomError(Exception):
    """No ValueError, so msgspec lets it through."""


@dataclass
class Picky:
    n: int
    any: Any = None

    def __post_init__(self) -> None:
        if self.n < 0:
            raise BoomError("negative")


@dataclass
class PickyInParts:
    n: int
    more: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.n < 0:
            raise KeyError(self.n)


@pytest.mark.parametrize("cls", [Picky, PickyInParts])
def test_what_a_class_raises_becomes_a_decode_error(cls: Any) -> None:
    """The cause is chained."""
    codec = Codec([cls])
    with pytest.raises(DecodeError) as caught:
        codec.decode(wire_name(cls), msgspec.msgpack.encode({"n": -1}), read_ref)
    assert isinstance(caught.value.__cause__, BoomError | KeyError)


def test_a_bad_ref_is_a_decode_error() -> None:
    """Whatever the reader of refs raises."""

    def refuse(code: int, payload: memoryview) -> ActorRef[Any]:
        raise DecodeError("no such ref")

    name, body = CODEC.encode([FakeRef("/a")], write_ref)
    with pytest.raises(DecodeError, match="no such ref"):
        CODEC.decode(name, body, refuse)


@pytest.mark.parametrize("wrong", ["x", None, 1.5, [1], {"a": 1}, True, b"x"])
def test_wrong_types_in_a_body_are_refused(wrong: Any) -> None:
    """Text for an int is refused, not converted."""
    with pytest.raises(DecodeError):
        CODEC.decode(wire_name(Simple), msgspec.msgpack.encode({"name": "n", "count": wrong}), read_ref)


# --- depth ---


def test_the_limit_of_depth_is_the_same_for_both_sides() -> None:
    """What one side may send the other may read: 64 containers within each other."""
    codec = Codec([Tree])
    deepest = Tree(0)
    for _ in range(31):
        deepest = Tree(0, [deepest])
    name, body = codec.encode(deepest, write_ref)
    assert codec.decode(name, body, read_ref) == deepest
    with pytest.raises(EncodeError, match="nested deeper"):
        codec.encode(Tree(0, [deepest]), write_ref)
    with pytest.raises(DecodeError, match="nested deeper"):
        Codec([Tree], max_depth=10).decode(name, body, read_ref)


@pytest.mark.parametrize("levels", [40, 500, 100_000])
def test_deep_values_are_refused_at_the_sender(levels: int) -> None:
    """However deep; and a list that holds itself."""
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    with pytest.raises(EncodeError):
        CODEC.encode(value, write_ref)
    value.append(value)
    with pytest.raises(EncodeError):
        CODEC.encode(OpenAttrs(value), write_ref)


@pytest.mark.parametrize("name", CODEC.names)
@pytest.mark.parametrize("opener", [b"\x91", b"\x81\x01", b"\x81", b"\x92\xa4list\x91"])
def test_nesting_bombs_are_refused(name: str, opener: bytes) -> None:
    """Half a megabyte of openers, as a whole body and in a field nobody knows."""
    bomb = opener * (MIB // 2 // len(opener))
    for body in (bomb + b"\xc0", b"\x81\xa1?" + bomb + b"\xc0"):
        with pytest.raises(DecodeError):
            CODEC.decode(name, body, read_ref)


def items(depth: int) -> st.SearchStrategy[Any]:
    leaf: st.SearchStrategy[Any] = (
        st.none() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=40) | st.binary(max_size=300)
    )
    leaf |= st.builds(msgspec.msgpack.Ext, st.integers(0, 9), st.binary(max_size=20))
    return st.recursive(
        leaf, lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=3), inner), max_leaves=40
    )


def measured(value: Any) -> int:
    if isinstance(value, list):
        return 1 + max(map(measured, value), default=0)
    return 1 + max(map(measured, value.values()), default=0) if isinstance(value, dict) else 0


@given(items(4), st.integers(0, 6))
def test_depth_is_found_without_decoding(value: Any, limit: int) -> None:
    """The walk over the bytes agrees with the decoded value."""
    assert deeper_than(limit, msgspec.msgpack.encode(value)) == (measured(value) > limit)


@given(st.binary(max_size=80), st.integers(0, 3))
def test_depth_of_garbage_is_harmless(body: bytes, limit: int) -> None:
    """No MessagePack at all still has an answer."""
    assert deeper_than(limit, body) in (True, False)


# --- memory ---


@dataclass(frozen=True)
class Everything:
    anything: Any = None
    several: tuple["Simple | Everything", ...] = ()
    ref: ActorRef[int] | None = None


@dataclass(frozen=True)
class RefOnly:
    ref: ActorRef[int]
    rest: dict[str, ActorRef[int]] = field(default_factory=dict)


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.parametrize("filler", [b"\x80", b"\x90", b"\xc0", b"\xe0", b"\xa0"], ids=bytes.hex)
@pytest.mark.parametrize(
    ("cls", "name"), [(Everything, "anything"), (Everything, "several"), (Everything, "ref"), (RefOnly, "ref")]
)
@pytest.mark.usefixtures("traced")
def test_a_megabyte_of_empty_values_takes_no_memory(cls: type, name: str, filler: bytes) -> None:
    """msgspec's untyped decoding of empty maps would take 72 MiB for each: typed, it ends at the first item."""
    codec = Codec([cls])
    bomb = b"\x81" + msgspec.msgpack.encode(name) + b"\xdd" + MIB.to_bytes(4, "big") + filler * MIB
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    with pytest.raises(DecodeError):
        codec.decode(wire_name(cls), bomb, read_ref)
    assert tracemalloc.get_traced_memory()[1] - before < 2 * MIB


@pytest.mark.usefixtures("traced")
def test_declared_sizes_allocate_nothing() -> None:
    """Four billion items are announced, and none comes."""
    for name in CODEC.names:
        before = tracemalloc.get_traced_memory()[0]
        for body in (b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xc9\xff\xff\xff\xff\x05"):
            with pytest.raises(DecodeError):
                CODEC.decode(name, body, read_ref)
        assert tracemalloc.get_traced_memory()[1] - before < MIB
