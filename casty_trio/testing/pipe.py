"""One direction of one simulated connection: bytes on their way, and how they end. Floor F6.

Rules: bytes leave in the order they came in, each piece after its own delay and never before the piece ahead of it.
What was sent and not yet received is bounded by the window; a sender waits for room. A receiver is woken exactly when
something arrives, with no task in between: the clock's alarm for it is the arrival.
A direction ends as in TCP: in order, with an end of file; or by a reset, which may overtake (and so lose) what is
still on its way. Who sends to an end that closed learns so one round trip later. An end whose host is off is `silence`d and
`desert`ed: it says nothing any more, not even that it has ended, and takes what comes for as long as the window lasts.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from math import inf

import anyio
import trio

from casty_trio.model.checks import check_count, check_flag, check_number, refuse
from casty_trio.testing.clock import Parking, VirtualClock

__all__ = ["Conditions", "Pipe", "Route"]

PACKET = 1_460
"""Where a way carries so many bytes a second, they come in pieces of this size, as in Ethernet."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """How one direction between two hosts behaves.

    Parameters:
        delay: the least and the most seconds that something is on its way; drawn evenly, for each send.
        cut: the probability that a receive gets only a part (any prefix) of what has arrived.
        window: bytes that may be sent and not yet received, on each connection.
        rate: bytes a second that the way carries, for all connections together; ``math.inf`` is no limit.
        stalled: nothing arrives, and nobody is told: neither bytes, nor the end of a connection, nor dials. When it is over,
            what was sent on connections that both ends still hold arrives after all, as with TCP.

    Raises:
        SettingsError: a value that cannot be.

    Example::

        slow = Conditions(delay=(0.08, 0.12))
    """

    delay: tuple[float, float] = (0.0001, 0.002)
    cut: float = 0.25
    window: int = 65_536
    rate: float = inf
    stalled: bool = False

    def __post_init__(self) -> None:
        match self.delay:
            case (float() | int() as least, float() | int() as most) if 0 <= least <= most < inf:
                pass
            case _:
                refuse("Conditions.delay", self.delay, "the least and the most seconds")
        check_number("Conditions.cut", self.cut, "a number from 0 to 1", 0, 1)
        check_count("Conditions.window", self.window, 1)
        check_number("Conditions.rate", self.rate, "bytes a second, 1 or more", 1)
        check_flag("Conditions.stalled", self.stalled)


class Route:
    """The way from one host to another, which all connections between them share.

    Delays and cuts come from generators of their own: a delay never depends on how many bytes were sent or received.
    """

    def __init__(self, source: str, target: str, conditions: Conditions, seed: str, clock: VirtualClock) -> None:
        self.source: str = source
        self.target: str = target
        self.clock: VirtualClock = clock
        self.conditions = conditions
        self.pipes: dict[Pipe, None] = {}  # a dict, for its order is fixed
        self.bytes = 0
        self.chunks = 0
        self.fuse: float = inf  # so many more bytes, and the connection that carries them breaks
        self._busy_until = 0.0  # until then it is occupied with what was sent earlier
        self._delays = random.Random(f"{seed}:delays").random
        self._cuts = random.Random(f"{seed}:cuts").random

    def __repr__(self) -> str:
        return f"<Route {self.source} -> {self.target}, {len(self.pipes)} pipes>"

    def delay(self) -> float:
        """Seconds until what leaves now is there."""
        if self.conditions.stalled:
            return inf
        least, most = self.conditions.delay
        return least + (most - least) * self._delays()

    def departure(self, size: int) -> float:
        """When the last of so many bytes has left, behind those that were sent before."""
        now, rate = self.clock.now, self.conditions.rate
        if rate == inf:
            return now
        self._busy_until = max(now, self._busy_until) + size / rate
        return self._busy_until

    def cut(self, size: int) -> int:
        """How many of ``size`` bytes the next receive gets."""
        cut, draw = self.conditions.cut, self._cuts()
        return size if draw >= cut else 1 + int(draw / cut * size)


class Pipe:
    """Bytes on their way along a route, for one connection.

    Parameters:
        route: the way they go.
        back: the way the other direction goes, which is how the sender learns that nobody listens.

    Attributes:
        other: the connection's other direction.
    """

    other: Pipe

    def __init__(self, route: Route, back: Route) -> None:
        self._route, self._back, self._clock = route, back, route.clock
        self._coming: deque[tuple[float, bytes]] = deque()
        self._arrived = bytearray()
        self._in_flight = 0  # bytes that were sent and not received
        self._last_arrival = 0.0
        self._ends_at = inf
        self._reset = False
        self._broken_at = inf
        self._sender_closed = self._receiver_closed = False
        self._silent = self._deserted = False  # the host of the sender is off, or that of the receiver
        self._refusing = False  # what comes to a deserted end is answered with a reset
        self._late_end: bool | None = None  # the direction has ended while nothing arrived: with a reset, or without
        self._sender, self._receiver = Parking(self._clock), Parking(self._clock)
        route.pipes[self] = None

    def __repr__(self) -> str:
        return f"<Pipe {self._route.source} -> {self._route.target}, {self._in_flight} bytes in flight>"

    # --- the sender's end ---

    async def send(self, data: bytes) -> None:
        """Take all bytes, as soon as there is room.

        Raises:
            anyio.ClosedResourceError: this end is closed.
            anyio.BrokenResourceError: the other end is, and this one knows; or the end of file was sent already.
        """
        self._check_sendable()
        await trio.lowlevel.checkpoint()
        start = 0
        while not self._silent:
            self._check_sendable()
            room = self._route.conditions.window - self._in_flight
            if start >= len(data):
                return
            if room > 0:
                piece = room if self._route.conditions.rate == inf else min(room, PACKET)
                self._put(data[start : start + piece])
                start += piece
            else:
                await self._sender.wait(self._broken_at)

    def _check_sendable(self) -> None:
        if self._silent:
            return
        if self._sender_closed:
            raise anyio.ClosedResourceError
        if self._ends_at < inf or self._clock.now >= self._broken_at:
            raise anyio.BrokenResourceError

    def _put(self, data: bytes) -> None:
        route = self._route
        if len(data) >= route.fuse:
            data = data[: int(route.fuse)]
        size = len(data)
        route.fuse -= size
        route.bytes += size
        route.chunks += 1
        arrival = self._last_arrival = max(route.departure(size) + route.delay(), self._last_arrival)
        self._in_flight += size
        if self._deserted:
            if self._refusing:
                self._refuse(arrival + self._back.delay())
        elif self._receiver_closed:  # what nobody will receive fills the window all the same, as with TCP
            self._broken_at = min(self._broken_at, arrival + self._back.delay())
        else:
            self._coming.append((arrival, data))
            if len(self._coming) == 1 and not self._arrived:
                self._receiver.move(arrival)
        if route.fuse <= 0:
            route.fuse = inf
            self.tear()

    def finish(self) -> None:
        """End the direction after what is on its way; what is sent from now on is refused."""
        if self._ends_at == inf and not self._silent:
            self._ends_at = max(self._clock.now + self._route.delay(), self._last_arrival)
            self._late_end = False if self._ends_at == inf else None
            self._expect()

    def tear(self) -> None:
        """Break the connection under both its ends: what was sent still arrives, and then a reset."""
        for pipe in (self, self.other):
            pipe.break_at(self._clock.now)
            if pipe._ends_at == inf and pipe._late_end is None:
                pipe._reset, pipe._ends_at = True, max(self._clock.now, pipe._last_arrival)
                pipe._late_end = True if pipe._ends_at == inf else None
                pipe._expect()

    def resume(self) -> None:
        """Nothing has arrived for a while, and now everything does."""
        self._last_arrival = 0.0
        for _ in range(len(self._coming)):
            arrival, data = self._coming.popleft()
            self._last_arrival = max(min(arrival, self._clock.now + self._route.delay()), self._last_arrival)
            self._coming.append((self._last_arrival, data))
        self._refuse_waiting()
        self.other._refuse_waiting()
        late_end, self._late_end = self._late_end, None
        if late_end is not None:
            self._reset = late_end
            self._ends_at = max(self._clock.now + self._route.delay(), self._last_arrival)
        if late_end:
            self.other.break_at(self._ends_at)
        self._expect()

    def reset(self) -> float:
        """End the direction abruptly: what arrives after the reset is lost. Returns when it arrives."""
        if self._silent:
            return inf
        arrival = self._clock.now + self._route.delay()
        if arrival < self._ends_at:
            self._reset, self._ends_at = True, arrival
            while self._coming and self._coming[-1][0] > arrival:
                self._in_flight -= len(self._coming.pop()[1])
            self._expect()
        elif arrival == inf:
            self._late_end = True
        return arrival

    def break_at(self, moment: float) -> None:
        """Let the sender find the pipe broken from then on."""
        if moment < self._broken_at:
            self._broken_at = moment
            self._sender.move(moment)

    def close_sender(self) -> None:
        """Nobody sends any more; what is on its way still arrives."""
        self._sender_closed = True
        self._sender.wake()
        self._forget()

    # --- hosts that are off ---

    def silence(self) -> None:
        """The sender's host is off: what is on its way still arrives, and then nothing any more, not even an end."""
        self._silent = self._sender_closed = True
        self._forget()

    def desert(self, *, refusing: bool) -> None:
        """The receiver's host is off: nobody takes what comes, or, if it is ``refusing``, it is answered with a reset."""
        self._deserted, self._refusing = True, refusing
        self._coming.clear()
        self._arrived.clear()
        self._receiver.move(inf)
        self._forget()

    def refuse(self) -> None:
        """The receiver's host is on again, and knows nothing of the connection."""
        if self._deserted:
            self._refusing = True
            self._refuse_waiting()

    def _refuse_waiting(self) -> None:
        """What was sent and never taken is sent again and again; now it can be answered."""
        if self._deserted and self._refusing and self._in_flight:
            self._refuse(self._clock.now + self._route.delay() + self._back.delay())

    def _refuse(self, moment: float) -> None:
        """Let the sender be told then that there is no such connection: both its ways end."""
        self.break_at(moment)
        other = self.other
        if moment < other._ends_at:
            other._reset, other._ends_at = True, moment
            other._expect()

    # --- the receiver's end ---

    async def receive(self, max_bytes: int) -> bytes:
        """Wait until something arrived, and return it or a part of it.

        Raises:
            anyio.EndOfStream: the sender finished, and everything was received.
            anyio.BrokenResourceError: the sender reset the connection.
            anyio.ClosedResourceError: this end is closed.
        """
        if self._readable_at() <= self._clock.now:
            await trio.lowlevel.checkpoint()
        while (moment := self._readable_at()) > self._clock.now:
            await self._receiver.wait(moment)
        if self._receiver_closed:
            raise anyio.ClosedResourceError
        self._unload()
        if not self._arrived:
            raise anyio.BrokenResourceError if self._reset else anyio.EndOfStream
        return self._take(max_bytes)

    def _readable_at(self) -> float:
        """When a receive has something to tell, if only the end."""
        if self._receiver_closed:
            return -inf
        return -inf if self._arrived and not self._deserted else self._next_arrival()

    def _next_arrival(self) -> float:
        if self._deserted:
            return inf
        return self._coming[0][0] if self._coming else self._ends_at

    def _unload(self) -> None:
        now = self._clock.now
        while self._coming and self._coming[0][0] <= now:
            self._arrived += self._coming.popleft()[1]

    def _take(self, max_bytes: int) -> bytes:
        size = self._route.cut(min(len(self._arrived), max_bytes))
        arrived = self._arrived
        if size == len(arrived):
            data = bytes(arrived)
            arrived.clear()
        else:
            data = bytes(arrived[:size])
            del arrived[:size]
        self._in_flight -= size
        # Half a window at a time, as sockets do: else a sender would be woken for every byte that is taken.
        if self._in_flight <= self._route.conditions.window // 2:
            self._sender.wake()
        return data

    def _expect(self) -> None:
        self._receiver.move(self._next_arrival())

    def close_receiver(self) -> bool:
        """Nobody receives any more. Returns whether something had arrived that nobody will read."""
        self._receiver_closed = True
        if self._deserted:
            self._receiver.wake()
            self._forget()
            return False
        self._unload()
        unread = bool(self._arrived)
        if self._coming and self._coming[0][0] < inf:
            self.break_at(self._coming[0][0] + self._back.delay())
        self._coming.clear()
        self._arrived.clear()
        self._receiver.wake()
        self._forget()
        return unread

    def _forget(self) -> None:
        if self._sender_closed and (self._receiver_closed or self._deserted):
            self._route.pipes.pop(self, None)
