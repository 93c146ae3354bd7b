"""What waits to be written to one connection: a control lane and a user lane, bounded in bytes. Floor F2, no I/O.

Rules: control goes first, and messages keep their order; everything queued leaves in one piece, but no piece holds more than
`SLICE` bytes of messages, so control never waits long; bytes count as queued until the stream has taken them; who waits for
room gets it in the order of waiting; a full queue refuses at once, by name, and counts it.

The user lane ends in a list of headers and bodies, the open slice; it is sealed, that is joined, when it is taken, or has
grown to the size of a frame. One counter, `_room`, says what the next message may measure there; it is below zero while
nothing may be queued. So that is all `write` has to test.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import anyio
import anyio.lowlevel

from casty_trio.errors import LinkClosedError, LinkFullError
from casty_trio.protocol.frames import HEADER_SIZE, LENGTH_SIZE, Frame, FrameReader, is_control, kind_name, pack_header
from casty_trio.protocol.session import Session, State

__all__ = ["SLICE", "LinkStatistics", "Outbox"]

SLICE: Final = 256 * 1024
CONTROL_FRAMES: Final = 4
"""How many frames of the largest size fit into the control lane."""


@dataclass(frozen=True, slots=True)
class LinkStatistics:
    """What one connection has carried so far. A split message counts as one frame.

    Attributes:
        bytes_in: bytes received after the handshake.
        bytes_out: bytes the stream has taken after the handshake.
        frames_in: messages handed over.
        frames_out: messages that have left the queue, and control frames.
        queued: bytes that wait to be written, with those the stream is taking now.
        peak: the most bytes that ever waited at one time, as seen whenever some were taken.
        waiting: how many callers of `send` wait for room.
        refused: how many messages and control frames found no room.
        unconfirmed: bytes of messages that were written, and that the peer is not known to have read.
    """

    bytes_in: int
    bytes_out: int
    frames_in: int
    frames_out: int
    queued: int
    peak: int
    waiting: int
    refused: int
    unconfirmed: int


class _Waiter:
    """A caller of `send`, and what it wants to have queued."""

    __slots__ = ("chunks", "queued", "size", "turn")

    def __init__(self, chunks: tuple[bytes, ...], size: int) -> None:
        self.chunks = chunks
        self.size = size
        self.queued = False
        self.turn = anyio.Event()


class Outbox:
    """The queue of one connection; `Link` is one, for a call in between would cost a fifth of `write`.

    Args:
        session: a session that is `READY`; it cuts messages into frames, and knows how large they may be.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._limit = session.limits.queue
        self._slice = LENGTH_SIZE + session.max_frame  # no room for more than one frame, so `write` need not ask for that
        self._parts: list[bytes] = []  # the open slice: a header and a body for each message
        self._sealed: deque[tuple[bytes, int]] = deque()  # before it: joined bytes, and how many messages they are
        self._control: list[bytes] = []
        self._control_size = 0
        self._held = 0  # bytes of messages that are sealed or being taken by the stream
        self._cut = False  # whether what was taken last ends within a split message
        self._flying = self._flying_control = 0  # bytes of messages, and of control, that the stream is taking
        self._opened = self._room = 0
        self._waiters: deque[_Waiter] = deque()
        self._rouse: Callable[[], object] = _nobody  # wakes the writer if it waits for something to write
        self._kept: deque[tuple[bytes, int]] = deque()  # what will not be flushed before the last word
        self._ending = False  # nothing more is queued; the writer ends when it has written what is
        self._closed = ""  # why nothing may be queued any more
        self._messages_out = self._bytes_out = self._frames_out = self._peak = self._refused = 0
        self._open()

    # --- for everybody ---------------------------------------------------------------------------------------------

    @property
    def pending_bytes(self) -> int:
        """Bytes that wait to be written, with those the stream is taking now."""
        return self._queued() + self._control_size + self._flying_control

    def write(self, kind: int, body: bytes) -> None:
        """Queue one message. It leaves with everything else that is queued by the time the writer runs.

        Args:
            kind: a kind of the user lane.
            body: the encoded message; it must not change afterwards.

        Raises:
            LinkFullError: it does not fit into the queue, or others wait for room already.
            LinkClosedError: the link is closed, or closing.
            MessageTooLargeError: the peer would not take it.

        Example:
            >>> link.write(Kind.ACTOR, b"...")  # doctest: +SKIP
        """
        length = len(body) + 1
        room = self._room - LENGTH_SIZE - length
        if room < 0:
            self._write_slowly(kind, body)
            return
        self._room = room
        parts = self._parts
        if not parts:
            self._rouse()
        parts.append(pack_header(length, kind))
        parts.append(body)

    async def send(self, kind: int, body: bytes) -> None:
        """Queue one message, after waiting for room if there is none. Callers get room in the order they came.

        When it is cancelled nothing was queued, with one exception: asyncio's own ``task.cancel()`` (not a cancel scope)
        that hits in the very moment the message's turn has come. How long it waits is up to the peer; bound it yourself.

        Raises:
            LinkClosedError: the link is closed, or was closed meanwhile.
            MessageTooLargeError: the peer would not take it.
        """
        await anyio.lowlevel.checkpoint_if_cancelled()
        if len(body) + HEADER_SIZE <= self._room:
            self.write(kind, body)
            await anyio.lowlevel.cancel_shielded_checkpoint()
            return
        chunks = self._frames_of(kind, body)
        waiter = _Waiter(chunks, sum(map(len, chunks)))
        self._waiters.append(waiter)
        self._admit()
        if waiter.queued:
            await anyio.lowlevel.cancel_shielded_checkpoint()
            return
        try:
            await waiter.turn.wait()
        finally:
            if waiter in self._waiters:  # cancelled; the next one may be small enough
                self._waiters.remove(waiter)
                self._admit()
        if not waiter.queued:
            raise LinkClosedError(self._closed)

    def write_control(self, kind: int, body: bytes) -> None:
        """Queue one control frame. It leaves before all messages, also between the pieces of a split one.

        Raises:
            LinkFullError: the control lane is full: the peer takes nothing any more.
            LinkClosedError: the link is closed, or closing.
            MessageTooLargeError: it does not fit into one frame.
        """
        if not is_control(kind):
            raise ValueError(f"a {kind_name(kind)} frame is not a control frame")
        [frame] = self._frames_of(kind, body)
        if not self._put_control(frame):
            raise LinkFullError(f"no room for a {kind_name(kind)} frame: {self._control_size} bytes of control wait")

    def take_unsent(self) -> list[Frame]:
        """What was never handed to the stream, once the link has ended: the messages to send on the next connection.

        A message of which any part was written is not among them. Control frames and the goodbye are left out.
        """
        self._seal()
        reader = FrameReader(self._session.max_frame, self._session.max_message)
        frames: list[Frame] = []
        for data, count in (*self._kept, *self._sealed):
            if not self._cut:
                frames += reader.feed(data)
            elif count:
                self._cut = False
        self._kept.clear()
        self._sealed.clear()
        self._held = self._flying
        return [(kind, body) for kind, body in frames if not is_control(kind)]

    # --- for the writer --------------------------------------------------------------------------------------------

    def _take(self) -> bytes:
        """Everything that may leave in one go. Empty when nothing waits; else `_taken` has to follow."""
        if self._sealed or self._control:
            return self._take_pieces()
        parts = self._parts
        if not parts:
            return b""
        data = b"".join(parts)  # the common case: the open slice is all there is, and another begins
        self._parts = []
        self._frames_out += len(parts) // 2
        self._flying = size = len(data)
        self._held += size
        self._cut = False
        if self._held > self._peak:
            self._peak = self._held
        self._opened = self._room
        self._open()
        return data

    def _take_pieces(self) -> bytes:
        self._seal()
        self._peak = max(self._peak, self.pending_bytes)
        chunks, self._control, self._flying_control, self._control_size = self._control, [], self._control_size, 0
        self._frames_out += len(chunks)
        while self._sealed and (not self._flying or self._flying + len(self._sealed[0][0]) <= SLICE):
            chunk, count = self._sealed.popleft()
            chunks.append(chunk)
            self._flying += len(chunk)
            self._frames_out += count
            self._cut = count == 0
        return b"".join(chunks)

    def _taken(self) -> None:
        """The stream has taken what `_take` returned."""
        self._held -= self._flying
        self._messages_out += self._flying
        self._bytes_out += self._flying + self._flying_control
        self._flying = self._flying_control = 0
        if self._waiters:
            self._admit()
        else:
            self._open()

    def _put_control(self, frame: bytes) -> bool:
        if self._control_size + len(frame) > CONTROL_FRAMES * self._session.limits.max_frame:
            self._refused += 1
            return False
        self._control.append(frame)
        self._control_size += len(frame)
        self._rouse()
        return True

    def _end_with(self, last: bytes, *, flush: bool) -> None:
        """Queue the last word, after everything that is queued or instead of it."""
        self._seal()
        if not flush:
            self._kept, self._sealed = self._sealed, deque()
        self._sealed.append((last, 1))
        self._held += len(last)
        self._ending = True
        self._open()
        self._rouse()

    def _shut(self, reason: str) -> None:
        """Take no more; those who wait for room hear why."""
        self._closed = self._closed or reason
        self._open()
        while self._waiters:
            self._waiters.popleft().turn.set()

    # --- room ------------------------------------------------------------------------------------------------------

    def _queued(self) -> int:
        return self._held + self._opened - self._room

    def _open(self) -> None:
        """Say how much more the open slice may take."""
        used = self._opened - self._room
        if self._closed or self._waiters:
            self._room = -1
        else:
            left = self._limit - self._held
            self._room = (self._slice if left > self._slice else left) - used
        self._opened = self._room + used

    def _seal(self) -> None:
        """Close the open slice, and begin another."""
        if self._parts:
            data = b"".join(self._parts)
            self._sealed.append((data, len(self._parts) // 2))
            self._parts = []
            self._held += len(data)
            self._opened = self._room
        self._open()

    def _write_slowly(self, kind: int, body: bytes) -> None:
        chunks = self._frames_of(kind, body)
        size = sum(map(len, chunks))
        if self._waiters or not self._fits(size):
            self._refused += 1
            raise LinkFullError(f"no room for {kind_name(kind)}, {size} bytes: {self._queued()} of {self._limit} wait")
        self._append(chunks)

    def _frames_of(self, kind: int, body: bytes) -> tuple[bytes, ...]:
        if self._closed or self._session.state is not State.READY:
            raise LinkClosedError(self._closed or self._session.reason)
        return self._session.frame(kind, body)

    def _fits(self, size: int) -> bool:
        queued = self._queued()
        return queued == 0 or queued + size <= self._limit  # the headers of a split message never keep it out for ever

    def _append(self, chunks: tuple[bytes, ...]) -> None:
        """Queue one message without asking for room; a chunk is a whole frame, so control may go before each."""
        self._seal()
        if len(chunks) == 1 and len(chunks[0]) <= self._room:
            self._parts += (chunks[0], b"")
            self._room -= len(chunks[0])
        else:
            self._sealed.extend((piece, 0) for piece in chunks[:-1])
            self._sealed.append((chunks[-1], 1))
            self._held += sum(map(len, chunks))
            self._open()
        self._rouse()

    def _admit(self) -> None:
        """Queue for those who wait, in their order, as long as there is room."""
        while self._waiters and self._fits(self._waiters[0].size):
            waiter = self._waiters.popleft()
            self._append(waiter.chunks)
            waiter.queued = True
            waiter.turn.set()
        self._open()


def _nobody() -> None:
    """There is no writer yet; it looks before it waits."""
