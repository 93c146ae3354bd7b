"""The asks of a client that wait for their reply, and whatever else has a deadline. Floor: client, on anyio.

As on a node, there is no cancel scope per ask: all deadlines stand in one heap, and one task sleeps until the earliest; and
a reply wakes the asking task directly.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import TYPE_CHECKING, Any, Protocol

import anyio
from anyio.lowlevel import checkpoint

from casty_trio.errors import AskTimeoutError
from casty_trio.link.parking import Parking, running_thread
from casty_trio.model.address import ActorAddress
from casty_trio.model.deadlines import DeadlineHeap
from casty_trio.model.ref import ActorRef

if TYPE_CHECKING:
    from casty_trio.client.client import ClusterClient

__all__ = ["Alarm", "Asks", "ClientAsk", "Deadlines"]


class ClientAsk(ActorRef[Any]):
    """The reply ref of one ask of this client.

    Attributes:
        via: the stream it was handed to.
        pin: what is told that it was answered.
    """

    __slots__ = ("asker", "closed", "error", "number", "parking", "pin", "target", "timeout", "value", "via")

    def __init__(self, asker: ClusterClient, number: int, target: ActorRef[Any], timeout: float, parking: Parking) -> None:
        self.asker: ClusterClient = asker
        self.number: int = number
        self.target: ActorRef[Any] = target
        self.timeout: float = timeout
        self.closed: bool = False
        self.value: Any = None
        self.error: Exception | None = None
        self.parking: Parking = parking  # where the asking task waits
        self.via: Any = None
        self.pin: Any = None

    @property
    def address(self) -> ActorAddress:
        return self.asker.address_of(f"/$asks/{self.number}", self.number)

    def tell(self, message: Any) -> None:
        if running_thread() != self.asker.thread:  # `check_thread`, without the call
            raise self.asker.used_elsewhere()
        if self.closed:
            self.asker.drop(message, "the ask is over: a late or second reply")
            return
        self.value = message
        self.closed = True
        if self.pin is not None:
            self.pin.answered(self.number)
        self.parking.unpark()

    async def send(self, message: Any) -> None:
        self.asker.check_thread()
        await checkpoint()
        self.tell(message)

    def fail(self, error: Exception) -> None:
        """End the ask with an error; without effect when it is over."""
        if not self.closed:
            self.error = error
            self.closed = True
            self.parking.unpark()

    def expire(self) -> None:
        """The deadline has come."""
        self.fail(AskTimeoutError(f"no reply from {self.target!r} within {self.timeout:g} s"))
        self.asker.give_up(self)

    def result(self) -> Any:
        """The reply.

        Raises:
            CastyError: there is none; the subclass says why.
        """
        error = self.error
        if error is None:
            return self.value
        try:
            raise error
        finally:
            self.error = error = None  # the traceback refers to this frame: leave no cycle


class Asks:
    """Those that are open.

    Attributes:
        open: by their numbers.
        asked: how many there have been.
    """

    __slots__ = ("asked", "open")

    def __init__(self) -> None:
        self.open: dict[int, ClientAsk] = {}
        self.asked: int = 0

    def get(self, number: int) -> ClientAsk | None:
        """An open one."""
        return self.open.get(number)

    def is_over(self, number: int) -> bool:
        """Whether nobody waits for the ask of this number any more; never so for a tell, whose number is 0."""
        ask = self.open.get(number)
        return number != 0 and (ask is None or ask.closed)

    def move(self, number: int, via: object) -> None:
        """Its message goes out on another stream than it was meant for."""
        ask = self.open.get(number)
        if ask is not None:
            ask.via = via

    def lose_written(self, via: object, kept: Set[int], error: Exception) -> None:
        """A connection ended: fail the asks that were written to it."""
        for number, ask in list(self.open.items()):
            if ask.via is via and number not in kept:
                ask.fail(type(error)(*error.args))

    def fail_all(self, error: Exception) -> None:
        """None of them will be answered."""
        for ask in list(self.open.values()):
            ask.fail(type(error)(*error.args))


class Alarm:
    """A function that is called once, later, unless it is closed before."""

    __slots__ = ("_call", "closed")

    def __init__(self, call: Callable[[], object]) -> None:
        self._call: Callable[[], object] | None = call
        self.closed: bool = False

    def close(self) -> None:
        """Do not call it any more."""
        self.closed = True
        self._call = None  # the heap may keep the alarm for a while, but not what it would have called

    def expire(self) -> None:
        """The time has come."""
        call = self._call
        self.close()
        if call is not None:
            call()


class Timed(Protocol):
    """What has a deadline."""

    @property
    def closed(self) -> bool:
        """Whether it does not matter any more."""
        ...

    def expire(self) -> None:
        """The deadline has come."""


class Deadlines:
    """Ends asks, and calls alarms, when their time has come; one task for all of a client's."""

    def __init__(self) -> None:
        self._heap: DeadlineHeap[Timed] = DeadlineHeap()
        self._scope: anyio.CancelScope | None = None

    def add(self, deadline: float, entry: Timed) -> None:
        """Watch a deadline, in the event loop's time."""
        if self._heap.add(deadline, entry) and self._scope is not None:
            self._scope.deadline = deadline

    async def run(self) -> None:
        """The task that ends asks; runs until it is cancelled."""
        while True:
            with anyio.CancelScope(deadline=self._heap.earliest) as self._scope:
                await anyio.sleep_forever()
            for entry in self._heap.due(anyio.current_time()):
                entry.expire()
