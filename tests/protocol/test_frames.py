"""Frames: any cut of the bytes gives the same messages, and a bad length costs nothing (W2)."""

import tracemalloc

import pytest
from hypothesis import given, strategies as st

from casty_trio.protocol.frames import (
    CONTROL_KINDS,
    HANDSHAKE_KINDS,
    MORE,
    RUNNING_KINDS,
    USER_KINDS,
    FrameReader,
    Kind,
    encode_frame,
    is_control,
    kind_name,
    pack_header,
)
from tests.protocol.sessions import cut

MAX_FRAME, MAX_MESSAGE = 16, 64

messages = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(sorted(USER_KINDS)), st.binary(max_size=MAX_MESSAGE)),
        st.tuples(st.sampled_from(sorted(CONTROL_KINDS)), st.binary(max_size=MAX_FRAME - 1)),
    ),
    max_size=12,
)
cuts = st.lists(st.integers(1, 40), max_size=30)


def read(chunks: list[bytes]) -> tuple[list[tuple[int, bytes]], str | None]:
    reader = FrameReader(MAX_FRAME, MAX_MESSAGE)
    frames = [(kind, bytes(body)) for chunk in chunks for kind, body in reader.feed(chunk)]
    return frames, None if reader.fault is None else str(reader.fault)


@given(messages, cuts, st.data())
def test_any_cut_gives_the_same_messages_with_control_between_pieces(
    sent: list[tuple[int, bytes]], sizes: list[int], data: st.DataObject
) -> None:
    """W2: control frames go anywhere between the pieces; messages and control each keep their order."""
    user = [frame for kind, body in sent if not is_control(kind) for frame in encode_frame(kind, body, MAX_FRAME)]
    control = [frame for kind, body in sent if is_control(kind) for frame in encode_frame(kind, body, MAX_FRAME)]
    for frame in reversed(control):
        user.insert(data.draw(st.integers(0, len(user))), frame)
    whole = b"".join(user)
    frames, fault = read([whole])
    assert fault is None
    assert sorted(frames) == sorted(sent)
    assert [frame for frame in frames if not is_control(frame[0])] == [f for f in sent if not is_control(f[0])]
    assert read(cut(whole, sizes)) == (frames, None)
    assert read([whole[i : i + 1] for i in range(len(whole))]) == (frames, None)


@given(messages, st.binary(max_size=40), cuts)
def test_any_cut_gives_the_same_fault(sent: list[tuple[int, bytes]], junk: bytes, sizes: list[int]) -> None:
    """W2: whatever comes after good frames, they are handed out, and the fault is the same."""
    whole = b"".join(frame for kind, body in sent for frame in encode_frame(kind, body, MAX_FRAME)) + junk
    assert read(cut(whole, sizes)) == read([whole]) == read([whole[i : i + 1] for i in range(len(whole))])
    assert read([whole])[0][: len(sent)] == sent


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\0\0\0\0", "length 0"),
        (pack_header(MAX_FRAME + 1, Kind.ACTOR), "declares 17 bytes"),
        (b"\xff\xff\xff\xff", "declares 4294967295 bytes"),
        (pack_header(1, 99), "kind 99"),
        (pack_header(1, 0), "kind 0"),
        (pack_header(1, Kind.HELLO), "HELLO"),
        (pack_header(2, Kind.PING | MORE), "PING frame cannot be split"),
        (pack_header(1, Kind.ACTOR | MORE), "is empty"),
        (pack_header(2, Kind.ACTOR | MORE) + b"a" + pack_header(2, Kind.REPLY), "between the pieces"),
        (pack_header(2, Kind.ACTOR | MORE) + b"a" + pack_header(2, Kind.REPLY | MORE), "between the pieces"),
        ((pack_header(16, Kind.ACTOR | MORE) + bytes(15)) * 4 + pack_header(6, Kind.ACTOR), "exceeds 64 bytes"),
    ],
)
def test_bad_frames_are_named_before_their_body_comes(data: bytes, why: str) -> None:
    frames, fault = read([data])
    assert frames == []
    assert fault is not None
    assert why in fault
    assert read([data[i : i + 1] for i in range(len(data))]) == (frames, fault)


@pytest.mark.parametrize("size", [0, 1, 14, 15, 16, 29, 30, 31, 64])
def test_a_message_of_any_size_fits_its_frames(size: int) -> None:
    body = bytes(range(size))
    chunks = encode_frame(Kind.ENTITY, body, MAX_FRAME)
    assert all(5 <= len(chunk) <= 4 + MAX_FRAME for chunk in chunks)
    assert len(chunks) == max(1, -(-size // (MAX_FRAME - 1)))
    assert read(list(chunks)) == ([(Kind.ENTITY, body)], None)


def test_control_is_never_split() -> None:
    with pytest.raises(ValueError, match="NACK frame cannot be split"):
        encode_frame(Kind.NACK, bytes(MAX_FRAME), MAX_FRAME)


def test_nothing_is_read_after_a_fault() -> None:
    reader = FrameReader(MAX_FRAME, MAX_MESSAGE)
    [frame] = encode_frame(Kind.ACTOR, b"a", MAX_FRAME)
    assert len(reader.feed(frame + b"\0\0\0\0" + frame)) == 1
    assert reader.feed(frame) == []
    assert reader.fault is not None


def test_notable_kinds_are_noted_for_one_feed() -> None:
    reader = FrameReader(MAX_FRAME, MAX_MESSAGE, frozenset({Kind.PING}))
    ping, actor = (encode_frame(kind, b"a", MAX_FRAME)[0] for kind in (Kind.PING, Kind.ACTOR))
    assert [kind for kind, _ in reader.feed(actor + ping + actor)] == [Kind.ACTOR, Kind.PING, Kind.ACTOR]
    assert reader.noted
    reader.feed(actor)
    assert not reader.noted
    reader.feed(ping[:3])
    reader.feed(ping[3:])
    assert reader.noted


def test_bodies_are_read_only_and_outlive_the_reader() -> None:
    reader = FrameReader(MAX_FRAME, MAX_MESSAGE)
    whole = b"".join(encode_frame(Kind.ACTOR, bytes(40), MAX_FRAME)) + encode_frame(Kind.REPLY, b"abc", MAX_FRAME)[0]
    frames = [*reader.feed(whole[:-2]), *reader.feed(whole[-2:])]
    del reader
    assert all(body.readonly for _, body in frames)
    assert [bytes(body) for _, body in frames] == [bytes(40), b"abc"]


def test_a_declared_length_allocates_nothing() -> None:
    """W2: the largest frame and the largest message are only declared; what is kept is what came."""
    reader = FrameReader(2**30, 2**30)
    tracemalloc.start()
    try:
        reader.feed(pack_header(2**30, Kind.ACTOR | MORE) + b"a")
        reader.feed(b"b")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert reader.fault is None
    assert peak < 16 * 1024


def test_kinds_are_told_apart() -> None:
    assert (sorted(HANDSHAKE_KINDS), sorted(CONTROL_KINDS)) == ([1, 2, 3, 4, 5], [*range(8, 17), 19])
    assert sorted(USER_KINDS) == [*range(32, 50), 51, 54, 57]
    assert not HANDSHAKE_KINDS & RUNNING_KINDS
    assert not CONTROL_KINDS & USER_KINDS
    assert all(kind < MORE for kind in HANDSHAKE_KINDS | RUNNING_KINDS)
    assert kind_name(Kind.TERMINATED) == "TERMINATED"
