"""A link: one framed connection over any anyio byte stream. Floor F2; it runs on Trio and on asyncio.

`open_link` makes one by the handshake. Its owner then runs `run` in a task of its own: that task reads, a second one inside
it writes, and both are gone when `run` returns. Everything else is synchronous, or waits for room in the queue.

Rules: every message of one receive is handed over before the next receive, in order, never by a task per message; what the
peer or the network does wrong ends `run` with a reason and raises nothing; closing flushes, cancelling does not.
A peer that takes no bytes blocks the writer for as long as the owner lets it: who is dead is not for a link to judge.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import inf
from ssl import SSLError
from typing import Final

import anyio
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint

from casty_trio.errors import HandshakeError, HandshakeTimeoutError, LinkClosedError, LinkError, LinkFullError, ProtocolError
from casty_trio.link.outbox import LinkStatistics, Outbox
from casty_trio.link.parking import parking_class
from casty_trio.protocol.frames import Frame, Kind
from casty_trio.protocol.handshake import escaped
from casty_trio.protocol.session import HANDSHAKING, Identity, Session, State

__all__ = ["Link", "Secure", "open_link"]

RECEIVE: Final = 128 * 1024
"""Two frames of the usual size: with what is kept between two receives, a reader holds four of them at most (W2)."""

PARTS: Final = 4
"""What came in one go is handed over in so many parts, with a turn for other tasks between two: so the first are answered,
and their answers on their way, while the last are still being read, and both ends of a connection work at the same time."""

TURN_LEAST: Final = 16
TURN_MOST: Final = 512
"""A part has at least so many messages, for a turn has its price; at most so many: a flood of tiny ones holds nobody up."""

RECEIVE_HANDSHAKE: Final = 8 * 1024
FAREWELL: Final = 0.5
"""Seconds for the last word to a peer that we refuse, or that broke the protocol."""
NAME_LIMIT: Final = 80
"""Characters of a peer's name that are shown."""
PONG_SIZE: Final = 8
LATE: Final = 0.1
"""Seconds after which who wants to judge a silent peer has come too late for it, and looks again first."""
FORCED: Final = 0.05
"""Seconds for closing when there is no time. Not 0: cancelled at once, anyio's asyncio streams would not abort."""

_OPEN = (State.READY, State.CLOSING)
_LOST = (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)


Secure = Callable[[ByteStream], Awaitable[tuple[ByteStream, tuple[str, ...]]]]
"""Makes an encrypted stream of a fresh connection; gives it with the URIs of the peer's certificate."""


async def open_link(stream: ByteStream, session: Session, secure: Secure | None = None) -> Link:
    """Shake hands; the stream belongs to the link from here on, and is closed if this fails or is cancelled.

    Args:
        stream: a fresh connection.
        session: a fresh session for this side of it; its limits hold for the link, the deadline among them.
        secure: agrees on TLS first, within the same deadline; without it the bytes go as they are.

    Raises:
        HandshakeTimeoutError: the peer did not finish in ``handshake_timeout`` seconds.
        HandshakeError: this side or the other refused; ``code`` names why.

    Example:
        >>> link = await open_link(stream, session)  # doctest: +SKIP
    """
    done = False
    try:
        early: list[Frame] = []
        with anyio.move_on_after(session.limits.handshake_timeout):
            if secure is not None:
                stream, uris = await secure(stream)
                session.certify(uris)
            early = await _shake_hands(stream, session)
        if session.state is State.READY:
            done = True
            return Link(stream, session, early)
        if session.error is None:
            timeout = session.limits.handshake_timeout
            raise HandshakeTimeoutError(f"the handshake took more than {timeout} s; {session.state.value}")
        with anyio.move_on_after(FAREWELL):
            await _send(stream, session.data_to_send())
        raise session.error
    finally:
        if not done:
            await _close_stream(stream, FORCED)


async def _shake_hands(stream: ByteStream, session: Session) -> list[Frame]:
    frames: list[Frame] = []
    await _send(stream, session.start())
    while session.state in HANDSHAKING:
        data = await _receive(stream, RECEIVE_HANDSHAKE)  # also from one that takes nothing: it may have said why
        if data:
            frames = session.receive_data(data)
        else:
            session.receive_eof()
        if session.state is not State.ERROR:
            await _send(stream, session.data_to_send())
    return frames


async def _send(stream: ByteStream, data: bytes) -> None:
    with suppress(*_LOST):
        if data:
            await stream.send(data)


async def _receive(stream: ByteStream, size: int) -> bytes:
    """What came, or nothing at the end of the stream, however it ended.

    Raises:
        HandshakeError: TLS ended it. In TLS 1.3 a dialer is ready before the acceptor has looked at its certificate.
    """
    try:
        return await stream.receive(size)
    except (anyio.EndOfStream, *_LOST) as error:
        if isinstance(error.__cause__, SSLError):
            raise HandshakeError("tls", str(error)) from error
        return b""


async def _close_stream(stream: ByteStream, grace: float) -> None:
    """Close, politely (TLS says goodbye) for as long as the grace lasts; never waits longer, whoever is cancelled."""
    with anyio.move_on_after(grace, shield=True), suppress(*_LOST):
        await stream.aclose()


class Link(Outbox):
    """One connection to one peer. Made by `open_link`; `write`, `send` and `write_control` come from `Outbox`.

    Attributes:
        session: the session; `session.peer` is who the other end is.
        peer_name: the peer's own name, fit for errors and logs, whatever it holds.
        error: what ended the link, if it was a fault.
        reason: why it ended, for people; empty while it lives.

    Example:
        >>> async with anyio.create_task_group() as tasks:  # doctest: +SKIP
        ...     tasks.start_soon(link.run, on_frame)
        ...     link.write(Kind.ACTOR, b"...")
        ...     link.close("done")
    """

    def __init__(self, stream: ByteStream, session: Session, early: list[Frame]) -> None:
        super().__init__(session)
        assert session.peer is not None  # a session is not READY without
        self.session = session
        self.peer: Identity = session.peer
        self.peer_name: str = escaped(session.peer.node_id, NAME_LIMIT)
        self.error: LinkError | None = None
        self.reason: str = ""
        self._stream = stream
        self._early = early  # messages that came with the last bytes of the handshake
        self._scope: anyio.CancelScope | None = None  # while `run` does
        self._ran = False
        self._lost = ""  # how the connection broke, if it did
        self._bytes_in = self._frames_in = 0
        self._confirmed = 0  # bytes of messages that the peer has read, as its last PONG says
        self._keeper = anyio.CancelScope()  # around the watch for a silent peer

    def __repr__(self) -> str:
        state = self.reason or ("closing" if self._ending else "open")
        return f"<Link {self.session.identity.node_id!r} to '{self.peer_name}': {state}>"

    def statistics(self) -> LinkStatistics:
        """What this link has carried so far."""
        return LinkStatistics(
            bytes_in=self._bytes_in,
            bytes_out=self._bytes_out,
            frames_in=self._frames_in,
            frames_out=self._frames_out,
            queued=self.pending_bytes,
            peak=max(self._peak, self.pending_bytes),
            waiting=len(self._waiters),
            refused=self._refused,
            unconfirmed=self.unconfirmed,
        )

    @property
    def unconfirmed(self) -> int:
        """Bytes of messages that the stream has taken and the peer may not have read; an upper bound."""
        return self._messages_out + self._flying - self._confirmed

    @property
    def useful(self) -> bool:
        """Whether the peer has sent a message, or confirmed one."""
        return self._frames_in > 0 or self._confirmed > 0

    def close(self, reason: str) -> None:
        """Ask for an orderly end: what is queued is flushed, then a goodbye, then `run` returns.

        `run` still hands over what the peer has sent, until the peer's end of the stream, and at most for
        ``close_timeout`` seconds from now. From here on nothing can be queued. Does nothing when the link ends already.
        """
        if self._ending or self.session.state is not State.READY:
            return
        goodbye = self.session.goodbye(reason)
        self._shut(self.session.reason)
        self._end_with(goodbye, flush=True)
        self._limit_time(self.session.limits.close_timeout)

    async def run(self, on_frame: Callable[[int, memoryview], None], pace: Callable[[int], float] | None = None) -> str:
        """Read and write until the link ends, and tell why; `error` is set if a fault ended it.

        Args:
            on_frame: called with kind and body of every message and control frame, in order. It must not block. A
                `ProtocolError` from it is the peer's fault: it ends the link, as a bad frame does, and the peer is told.
                Anything else it raises ends the link and leaves from here. PING, PONG and GOODBYE do not reach it.
            pace: told after each receive how many bytes it was; returns how many seconds to wait before the next one.

        Cancel it to end the link at once; what is queued then can be had from `take_unsent`.
        """
        if self._ran:
            raise RuntimeError("a link runs once")
        self._ran = True
        failure: BaseException | None = None
        try:
            await self._run_tasks(on_frame, pace)
        except BaseExceptionGroup as group:
            [failure, *others] = group.exceptions  # raised below, where the group does not become its context
            if others:
                raise
        finally:
            grace = FAREWELL if self.reason else FORCED
            self.reason = self.reason or "the link was cancelled, or its owner failed"
            self._shut(self.reason)
            await _close_stream(self._stream, grace)
        if failure is not None:
            raise failure
        return self.reason

    async def _run_tasks(self, on_frame: Callable[[int, memoryview], None], pace: Callable[[int], float] | None) -> None:
        async with anyio.create_task_group() as tasks:
            self._scope = tasks.cancel_scope
            if self._ending:
                self._limit_time(self.session.limits.close_timeout)
            tasks.start_soon(self._write, name=f"{self!r} writer")
            tasks.start_soon(self._keep_alive, name=f"{self!r} keep-alive")
            await self._read(on_frame, pace)
            self._keeper.cancel()
            if self._lost or not self._ending:  # else the writer still has something to say, for a limited time
                tasks.cancel_scope.cancel()
        self.error, self.reason = self._verdict()

    async def _read(self, on_frame: Callable[[int, memoryview], None], pace: Callable[[int], float] | None) -> None:
        stream, session = self._stream, self.session
        self._hand_over(self._early, on_frame)
        while session.quiet or session.state in _OPEN:
            try:
                data = await stream.receive(RECEIVE)
            except anyio.EndOfStream:
                self._lose("the peer closed the connection without a goodbye")
                return
            except _LOST as error:
                self._lose(f"the connection was lost: {_describe(error)}")
                return
            self._bytes_in += len(data)
            frames = session.receive_data(data)
            self._frames_in += len(frames)
            if len(frames) <= TURN_LEAST:
                self._hand_over(frames, on_frame)
            else:
                await self._take_turns(frames, on_frame)
            if pace is not None and (pause := pace(len(data))) > 0:
                await anyio.sleep(pause)
        self._shut(session.reason)
        if session.state is State.ERROR and self._ending:
            await self._discard()

    async def _take_turns(self, frames: list[Frame], on_frame: Callable[[int, memoryview], None]) -> None:
        """Hand over what came at once in a few parts, between which others have their turn."""
        turn = min(max(len(frames) // PARTS, TURN_LEAST), TURN_MOST)
        while len(frames) > turn and self._hand_over(frames[:turn], on_frame):
            del frames[:turn]
            await checkpoint()
        if len(frames) <= turn:
            self._hand_over(frames, on_frame)

    def _hand_over(self, frames: list[Frame], on_frame: Callable[[int, memoryview], None]) -> bool:
        """Whether all of them meant something."""
        session, fine = self.session, True
        try:
            for kind, body in frames:
                on_frame(kind, body)
        except ProtocolError as error:
            session.fault(error)
            fine = False
        if not session.quiet:
            self._answer(session.data_to_send())
        return fine

    async def _discard(self) -> None:
        """Drop what still comes, for the limited time that is left.

        A socket that is closed with bytes unread is reset, and our last word may be lost with it.
        """
        with suppress(anyio.EndOfStream, *_LOST):
            while True:
                await self._stream.receive(RECEIVE)

    def _answer(self, answers: bytes) -> None:
        """Send what the session has to say: PONGs, or after a fault the reason for ending."""
        if len(self.session.pong) == PONG_SIZE:
            self._confirmed = max(self._confirmed, min(int.from_bytes(self.session.pong, "big"), self._messages_out))
        if not answers:
            return
        if self.session.state is State.ERROR:
            self._shut(self.session.reason)
            self._end_with(answers, flush=False)
            self._limit_time(FAREWELL)
        elif not self._ending:
            self._put_control(answers)  # a peer that takes no answers goes without

    async def _write(self) -> None:
        parking = parking_class()()
        self._rouse = parking.unpark
        while True:
            data = self._take()
            if data:
                try:
                    await self._stream.send(data)
                except _LOST as error:
                    # What the peer wrote before it left is still there to read, its goodbye perhaps.
                    self._lose(f"the connection was lost: {_describe(error)}")
                    self._limit_time(self.session.limits.close_timeout)
                    return
                self._taken()
            elif self._ending:
                return
            else:
                await parking.park()  # for as long as nobody writes; ended by `run`

    async def _keep_alive(self) -> None:
        """Ask a silent peer for a sign of life, and give the connection up when none comes.

        Who looks too late, because the process was paused or a handler blocked it, judges nobody for that time: what the
        peer said meanwhile may not have been read yet.
        """
        settings = self.session.limits
        heard, quiet_since, asked_at = self._bytes_in, anyio.current_time(), inf
        with self._keeper:
            while True:
                dead_at = max(quiet_since + settings.dead_after, asked_at + settings.keep_alive)
                due = min(anyio.current_time() + settings.keep_alive, dead_at)
                await anyio.sleep_until(due)
                now = anyio.current_time()
                if self._bytes_in != heard:
                    heard, quiet_since, asked_at = self._bytes_in, now, inf
                    if not self.unconfirmed:
                        continue
                elif now - due > LATE:
                    quiet_since, asked_at = quiet_since + now - due, asked_at + now - due
                elif now >= dead_at:
                    self._lose(f"nothing came from the peer for {now - quiet_since:.1f} s")
                    self._limit_time(0)
                    return
                self._ping()
                asked_at = min(asked_at, now)

    def _ping(self) -> None:
        with suppress(LinkClosedError, LinkFullError):  # then it has other reasons to answer
            self.write_control(Kind.PING, self._messages_out.to_bytes(8, "big"))

    def abandon(self, reason: str) -> None:
        """End at once, without a goodbye; `take_unsent` may be called before `run` returns."""
        self._lose(reason)
        self._limit_time(0)

    def _lose(self, why: str) -> None:
        self._lost = self._lost or why
        self._shut(why)

    def _limit_time(self, seconds: float) -> None:
        if self._scope is not None:
            self._scope.deadline = min(self._scope.deadline, anyio.current_time() + seconds)

    def _verdict(self) -> tuple[LinkError | None, str]:
        session = self.session
        if session.error is not None:
            return session.error, f"protocol error: {session.reason}"
        if session.state is State.CLOSING or self._ending:
            unsent = self._queued()
            return None, session.reason + (f"; {unsent} bytes could not be flushed" if unsent else "")
        if session.state is State.CLOSED:
            return None, session.reason
        return LinkClosedError(self._lost), self._lost


def _describe(error: Exception) -> str:
    return escaped(str(error)) or type(error).__name__
