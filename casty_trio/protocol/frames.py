"""Frames: how bytes on a stream are cut into messages. Floor F1, pure.

A frame is a big-endian u32 length (of all that follows), a u8 kind and a body. A message that does not fit into one frame
is split: all its frames but the last carry the `MORE` bit. Control frames may stand between its pieces, nothing else.

Rules: a length is judged before a byte of its body is kept; any cut of the bytes gives the same frames and the same
fault; frames that came before a fault are still handed out; after a fault nothing is.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from casty_trio.errors import ProtocolError

__all__ = [
    "CONTROL_KINDS",
    "HANDSHAKE_KINDS",
    "HEADER_SIZE",
    "LENGTH_SIZE",
    "MORE",
    "RUNNING_KINDS",
    "USER_KINDS",
    "Frame",
    "FrameReader",
    "Kind",
    "encode_frame",
    "is_control",
    "kind_name",
    "pack_header",
    "unpack_header",
]

Frame = tuple[int, memoryview]
"""A kind, and a read-only view of the body. The view stays good for as long as it is kept."""

HEADER_SIZE = 5
LENGTH_SIZE = 4
MORE = 0x80
"""Set in a kind: another piece of the same message follows."""

_HEADER = Struct(">IB")
_LENGTH = Struct(">I")
pack_header: Callable[[int, int], bytes] = _HEADER.pack
unpack_header: Callable[..., tuple[int, int]] = _HEADER.unpack_from  # of a buffer, at an offset


NOTABLE_AT_ONCE = 100
"""So many frames of notable kinds may come together."""


class Kind:
    """What a frame is. Plain integers, for they are compared once per message."""

    HELLO = 1
    WELCOME = 2
    CONFIRM = 3
    READY = 4
    REFUSE = 5

    PING = 8
    PONG = 9
    GOODBYE = 10
    CANCEL = 11
    NACK = 12
    SUBSCRIBE = 13
    MEMBERSHIP = 14
    SHARDS = 15
    DELIVERED = 16
    REFRESH = 19

    ENTITY = 32
    ACTOR = 33
    REPLY = 34
    TERMINATED = 35
    STATE = 36
    WATCH = 37
    UNWATCH = 38
    VIEW = 39
    BARRIER = 40
    PLACEMENT = 41
    MARKER = 42
    LEFTOVER = 43
    HANDOVER = 44
    SERVICES = 45
    TOPICS = 46
    DELIVER = 47
    SEND = 48
    LISTINGS = 49
    LEAVING = 51
    SINGLETON = 54
    KEEPING = 57


# Upper case only: since Python 3.13 a class has integers of its own.
_NAMES: dict[int, str] = {value: name for name, value in vars(Kind).items() if name.isupper()}

HANDSHAKE_KINDS = frozenset(kind for kind in _NAMES if kind < 8)
CONTROL_KINDS = frozenset(kind for kind in _NAMES if 8 <= kind < 32)
USER_KINDS = frozenset(kind for kind in _NAMES if kind >= 32)
RUNNING_KINDS = CONTROL_KINDS | USER_KINDS


def is_control(kind: int) -> bool:
    """Whether frames of this kind may stand between the pieces of a split message (and so are never split themselves).

    Example:
        >>> is_control(Kind.PING), is_control(Kind.ACTOR)
        (True, False)
    """
    return kind in CONTROL_KINDS


def kind_name(kind: int) -> str:
    """The name of a kind for people, also of one that does not exist.

    Example:
        >>> kind_name(Kind.PING), kind_name(99)
        ('PING', 'kind 99')
    """
    return _NAMES.get(kind, f"kind {kind}")


def encode_frame(kind: int, body: bytes, max_frame: int) -> tuple[bytes, ...]:
    """The bytes of one message: one chunk per frame, and control frames may be written between the chunks.

    Args:
        kind: one of `Kind`; only a kind of the user lane may need more than one frame.
        body: the encoded message.
        max_frame: the largest length a frame may declare, in bytes.

    Example:
        >>> encode_frame(Kind.PING, b"!", 1024)
        (b'\\x00\\x00\\x00\\x02\\x08!',)
    """
    room = max_frame - 1
    if len(body) <= room:
        return (pack_header(len(body) + 1, kind) + body,)
    if kind not in USER_KINDS:
        raise ValueError(f"a {kind_name(kind)} frame cannot be split, and {len(body)} bytes exceed {room}")
    last = (len(body) - 1) // room * room
    pieces = [pack_header(max_frame, kind | MORE) + body[start : start + room] for start in range(0, last, room)]
    return (*pieces, pack_header(len(body) - last + 1, kind) + body[last:])


class FrameReader:
    """Cuts a stream of bytes into frames, incrementally.

    Args:
        max_frame: the largest length a frame may declare, in bytes.
        max_message: the largest body a split message may have, in bytes.
        notable: kinds whose arrival sets `noted`, so that nobody has to look at every frame to find a rare one. More than
            a hundred of them at once are a fault: a peer waits for answers before it sends so many.

    Attributes:
        fault: why reading ended for good, or `None`.
        noted: whether the last `feed` returned a frame of a notable kind.

    Example:
        >>> reader = FrameReader(1024, 4096)
        >>> [(kind, bytes(body)) for kind, body in reader.feed(b"\\0\\0\\0\\x03\\x21hi\\0\\0")]
        [(33, b'hi')]
    """

    __slots__ = (
        "_max_frame",
        "_max_message",
        "_notable",
        "_notes",
        "_partial",
        "_plain",
        "_rest",
        "_split",
        "fault",
        "noted",
    )

    def __init__(self, max_frame: int, max_message: int, notable: frozenset[int] = frozenset()) -> None:
        self._max_frame = max_frame
        self._max_message = max_message
        self._notable = notable
        self._plain = RUNNING_KINDS - notable  # what needs no second look right now; less while a message is in pieces
        self._rest = bytearray()  # the frame that has not come completely, header first
        self._split = 0  # the kind of the message that is coming in pieces, or 0
        self._partial = bytearray()  # its pieces so far
        self.fault: ProtocolError | None = None
        self.noted: bool = False
        self._notes = 0  # how many notable frames the present `feed` has met

    def feed(self, data: bytes) -> list[Frame]:
        """The messages that these bytes complete, in order.

        Look at `fault` afterwards: when it is set, the messages before it were returned, and no more will come.

        Args:
            data: what one receive returned. The views point into it, so it must not change: hence bytes.
        """
        frames: list[Frame] = []
        self.noted = False
        self._notes = 0
        if self.fault is not None:
            return frames
        offset = self._resume(data, frames) if self._rest else 0
        view, end, plain, max_frame, append = memoryview(data), len(data), self._plain, self._max_frame, frames.append
        last = end - HEADER_SIZE
        while offset <= last:
            length, kind = unpack_header(data, offset)
            stop = offset + length + 4
            if kind in plain and length and length <= max_frame and stop <= end:
                append((kind, view[offset + 5 : stop]))  # plain numbers are constants to Python, names are look-ups
            else:  # rare: a fault, a cut frame, a piece, or a notable kind
                if not self._allows(length, kind) or stop > end:
                    break
                self._accept(kind, view[offset + HEADER_SIZE : stop], frames)
                if self.fault is not None:
                    break
                plain = self._plain
            offset = stop
        if offset < end and self.fault is None:
            self._keep(view[offset:])
        return frames

    def _resume(self, data: bytes, frames: list[Frame]) -> int:
        """Complete the frame that the last bytes cut; tells where the next one begins."""
        rest, view = self._rest, memoryview(data)
        offset = max(0, HEADER_SIZE - len(rest))
        self._keep(view[:offset])
        if self.fault is not None or len(rest) < HEADER_SIZE:
            return len(data)
        length, kind = unpack_header(rest)
        if offset and not self._allows(length, kind):
            return len(data)
        stop = offset + LENGTH_SIZE + length - len(rest)
        rest += view[offset:stop]
        if len(rest) < LENGTH_SIZE + length:
            return len(data)
        self._rest = bytearray()
        self._accept(kind, memoryview(rest).toreadonly()[HEADER_SIZE:], frames)
        return stop

    def _keep(self, part: memoryview) -> None:
        self._rest += part
        if len(self._rest) == LENGTH_SIZE:  # with the kind as well, `_allows` judges both
            (length,) = _LENGTH.unpack_from(self._rest)
            self._judge_length(length)

    def _judge_length(self, length: int) -> None:
        if length == 0:
            self._fail("a frame declares length 0")
        elif length > self._max_frame:
            self._fail(f"a frame declares {length} bytes; {self._max_frame} are allowed")

    def _allows(self, length: int, kind: int) -> bool:
        """Judge a header before its body is kept; sets `fault` when it must not be here."""
        self._judge_length(length)
        base = kind & ~MORE
        if self.fault is not None:
            pass
        elif base not in RUNNING_KINDS:
            self._fail(f"a frame of {kind_name(base)} is not allowed here")
        elif base in CONTROL_KINDS:
            if kind & MORE:
                self._fail(f"a {kind_name(base)} frame cannot be split")
        elif self._split and base != self._split:
            self._fail(f"a {kind_name(base)} frame stands between the pieces of a split {kind_name(self._split)}")
        elif kind & MORE and length == 1:
            self._fail(f"a piece of a split {kind_name(base)} is empty")
        elif len(self._partial) + length - 1 > self._max_message:
            self._fail(f"a split {kind_name(base)} exceeds {self._max_message} bytes")
        return self.fault is None

    def _accept(self, kind: int, body: memoryview, frames: list[Frame]) -> None:
        """Take a frame whose header was judged."""
        if kind & MORE:
            self._split = kind & ~MORE
            self._plain = CONTROL_KINDS - self._notable
            self._partial += body
            return
        if kind == self._split:
            self._partial += body
            body, self._partial = memoryview(self._partial).toreadonly(), bytearray()
            self._split, self._plain = 0, RUNNING_KINDS - self._notable
        frames.append((kind, body))
        if kind in self._notable:
            self.noted = True
            self._notes += 1
            if self._notes > NOTABLE_AT_ONCE:
                self._fail(f"more than {NOTABLE_AT_ONCE} {kind_name(kind)} frames and the like at once")

    def _fail(self, why: str) -> None:
        self.fault = ProtocolError(why)
        self._rest, self._partial = bytearray(), bytearray()
