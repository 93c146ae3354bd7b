"""The event stream of a client. Floor: client, on anyio. As a node's, but for the library it runs on.

Publishing is synchronous and never waits. An iterator that does not keep up gets a `Lagged` in the place of what it missed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from anyio.lowlevel import checkpoint

from casty_trio.errors import CastyError, SystemClosedError
from casty_trio.link.parking import Parking, parking_class
from casty_trio.model.backlog import Backlog, check_event_type
from casty_trio.model.checks import check_given
from casty_trio.model.client_events import ClientEvent, MessageDropped
from casty_trio.model.events import Event, Lagged
from casty_trio.model.ref import ActorRef

__all__ = ["ClientEventStream"]

E = TypeVar("E", bound=Event)

Listener = Callable[[Any], None]


class _Iteration(AsyncIterator[E | Lagged]):
    """One iterator, which waits for what its backlog gets."""

    def __init__(self, capacity: int) -> None:
        self._backlog = Backlog[E](capacity)
        self._parking: Parking = parking_class()()
        self._closed = False

    def offer(self, event: E) -> None:
        self._backlog.offer(event)
        self._parking.unpark()

    def close(self) -> None:
        self._closed = True
        self._parking.unpark()

    async def __anext__(self) -> E | Lagged:
        await checkpoint()
        while not self._backlog:
            if self._closed:
                raise StopAsyncIteration
            await self._parking.park()
        return self._backlog.take()


class ClientEventStream:
    """Who hears of what.

    Args:
        present: the events that who subscribes hears of first, for they tell what is the case already.
    """

    def __init__(self, present: Callable[[], Iterable[ClientEvent]]) -> None:
        self._present = present
        self._listeners: dict[tuple[object, type[Event]], Listener] = {}
        self._iterations: dict[_Iteration[Any], None] = {}
        self._publishing = False
        self._closed = False

    def subscribe(self, ref: ActorRef[E], event_type: type[E]) -> None:
        """Tell an actor every event of a class, its subclasses included, until `unsubscribe`; the present state first.

        Parameters:
            ref: an actor of this client, say.
            event_type: `ClientEvent`, or one of its subclasses.

        Raises:
            SettingsError: it is no ref, or no class of events.

        Example:
            >>> # client.event_stream.subscribe(ref, Disconnected)
        """
        check_given("ref", ref, ActorRef)
        check_event_type(event_type, ClientEvent)
        self._add(ref, event_type, ref.tell)

    def unsubscribe(self, ref: ActorRef[Any], event_type: type[Event] | None = None) -> None:
        """Tell an actor no more events of a class, or of any."""
        for key in list(self._listeners):
            if key[0] == ref and event_type in (None, key[1]):
                del self._listeners[key]

    @asynccontextmanager
    async def events(self, event_type: type[E], *, capacity: int = 1024) -> AsyncGenerator[AsyncIterator[E | Lagged]]:
        """As `ClusterClient.events`."""
        check_event_type(event_type, ClientEvent)
        iteration = _Iteration[E](capacity)
        if self._closed:
            raise SystemClosedError("the client has left its block: there will be no more events")
        self._iterations[iteration] = None
        self._add(iteration, event_type, iteration.offer)
        try:
            yield iteration
        finally:
            self._iterations.pop(iteration, None)
            self._listeners.pop((iteration, event_type), None)
            iteration.close()

    def publish(self, event: ClientEvent) -> None:
        """Tell whoever listens."""
        if self._publishing and isinstance(event, MessageDropped):
            return  # an event its subscriber missed makes no event again
        hearing = {who: listener for (who, wanted), listener in self._listeners.items() if isinstance(event, wanted)}
        before, self._publishing = self._publishing, True
        try:
            for listener in hearing.values():
                with suppress(CastyError):  # such as one that cannot be sent: it must not keep the others from hearing
                    listener(event)
        finally:
            self._publishing = before

    def close(self) -> None:
        """End all iterations after what they have buffered."""
        self._closed = True
        for iteration in list(self._iterations):
            iteration.close()
        self._listeners.clear()

    def _add(self, key: object, event_type: type[Event], listener: Listener) -> None:
        self._listeners[key, event_type] = listener
        for event in self._present():
            if isinstance(event, event_type):
                listener(event)
