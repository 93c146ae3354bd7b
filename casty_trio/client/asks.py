"""The asks of a client that wait for their reply. Floor: client, on anyio.

As on a node, there is no cancel scope per ask: all deadlines stand in one heap, and one task sleeps until the earliest; and
a reply wakes the asking task directly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
from anyio.lowlevel import checkpoint

from casty_trio.errors import AskTimeoutError
from casty_trio.link.parking import Parking
from casty_trio.model.address import ActorAddress
from casty_trio.model.deadlines import DeadlineHeap
from casty_trio.model.ref import ActorRef

if TYPE_CHECKING:
    from casty_trio.client.client import ClusterClient

__all__ = ["ClientAsk", "Deadlines"]


class ClientAsk(ActorRef[Any]):
    """The reply ref of one ask of this client."""

    __slots__ = ("asker", "closed", "error", "number", "parking", "target", "timeout", "value")

    def __init__(self, asker: ClusterClient, number: int, target: ActorRef[Any], timeout: float, parking: Parking) -> None:
        self.asker: ClusterClient = asker
        self.number: int = number
        self.target: ActorRef[Any] = target
        self.timeout: float = timeout
        self.closed: bool = False
        self.value: Any = None
        self.error: Exception | None = None
        self.parking: Parking = parking  # where the asking task waits

    @property
    def address(self) -> ActorAddress:
        return self.asker.address_of(f"/$asks/{self.number}", self.number)

    def tell(self, message: Any) -> None:
        if self.closed:
            self.asker.drop(message, "the ask is over: a late or second reply")
            return
        self.value = message
        self.closed = True
        self.parking.unpark()

    async def send(self, message: Any) -> None:
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


class Deadlines:
    """Ends asks whose deadline has come; one task for all of a client's."""

    def __init__(self) -> None:
        self._heap: DeadlineHeap[ClientAsk] = DeadlineHeap()
        self._scope: anyio.CancelScope | None = None

    def add(self, deadline: float, ask: ClientAsk) -> None:
        """Watch an ask's deadline, in the event loop's time."""
        if self._heap.add(deadline, ask) and self._scope is not None:
            self._scope.deadline = deadline

    async def run(self) -> None:
        """The task that ends asks; runs until it is cancelled."""
        while True:
            with anyio.CancelScope(deadline=self._heap.earliest) as self._scope:
                await anyio.sleep_forever()
            for ask in self._heap.due(anyio.current_time()):
                ask.expire()
