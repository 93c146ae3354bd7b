"""The event stream of a system. Floor F2: typed values, to actors or to iterators, by class or base class.

Publishing is synchronous and never waits. An event is only made when somebody subscribed to its class. A subscriber that
stops is forgotten; an iterator that does not keep up gets a `Lagged` in the place of what it missed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar, cast

import trio

from casty_trio.actors.refs import AdapterRef, LocalRef
from casty_trio.errors import CastyError, SystemClosedError
from casty_trio.model.backlog import Backlog, check_event_type
from casty_trio.model.checks import check_given
from casty_trio.model.events import Event, Lagged
from casty_trio.model.ref import ActorRef

__all__ = ["EventStream"]

E = TypeVar("E", bound=Event)

Listener = Callable[[Any], None]


class _Iteration(AsyncIterator[E | Lagged]):
    """One iterator, which waits for what its backlog gets."""

    def __init__(self, capacity: int) -> None:
        self._backlog = Backlog[E](capacity)
        self._idle = trio.lowlevel.ParkingLot()
        self._closed = False

    def __repr__(self) -> str:
        return f"<events: {len(self._backlog)} wait>"

    def offer(self, event: E) -> None:
        self._backlog.offer(event)
        self._idle.unpark()

    def close(self) -> None:
        self._closed = True
        self._idle.unpark_all()

    async def __anext__(self) -> E | Lagged:
        await trio.lowlevel.checkpoint()
        while not self._backlog:
            if self._closed:
                raise StopAsyncIteration
            await self._idle.park()
        return self._backlog.take()


def nothing(_: type[Event]) -> Iterable[Event]:
    """What there is to tell somebody who has just subscribed, where events have no present state."""
    return ()


class EventStream:
    """Who hears of what.

    Attributes:
        present: the events that who subscribes to a class hears of first, for they tell what is the case already.
    """

    def __init__(self) -> None:
        self._listeners: dict[type[Event], dict[object, Listener]] = {}
        self._wanted: dict[object, tuple[Listener, ...]] = {}
        self._adapters: dict[ActorRef[Any], dict[AdapterRef[Any], None]] = {}
        self._iterations: dict[_Iteration[Any], None] = {}
        self._published: deque[tuple[Event, tuple[Listener, ...]]] = deque()
        self._publishing = False
        self._closed = False
        self.present: Callable[[type[Event]], Iterable[Event]] = nothing

    def subscribe(self, ref: ActorRef[E], event_type: type[E]) -> None:
        """Tell an actor every event of a class, its subclasses included, until it stops or `unsubscribe`.

        Raises:
            SettingsError: it is no ref, or no class of events.

        Example:
            >>> # system.event_stream.subscribe(ref, DeadLetter)
        """
        check_given("ref", ref, ActorRef)
        check_event_type(event_type)
        if isinstance(ref, AdapterRef | LocalRef):
            if ref.cell.ended:
                return
            if isinstance(ref, AdapterRef):
                self._adapters.setdefault(ref.cell.ref, {})[ref] = None
        self._add(event_type, ref, ref.tell)
        for event in self.present(event_type):
            ref.tell(cast("E", event))

    def unsubscribe(self, ref: ActorRef[Any], event_type: type[Event] | None = None) -> None:
        """Tell an actor no more events of a class, or of any."""
        for cls in [event_type] if event_type is not None else list(self._listeners):
            self._listeners.get(cls, {}).pop(ref, None)
        self._wanted.clear()
        if isinstance(ref, AdapterRef) and not any(ref in listeners for listeners in self._listeners.values()):
            self._adapters.get(ref.cell.ref, {}).pop(ref, None)

    @asynccontextmanager
    async def events(self, event_type: type[E], *, capacity: int = 1024) -> AsyncGenerator[AsyncIterator[E | Lagged]]:
        """Iterate over events of a class, its subclasses included, from now on.

        Parameters:
            event_type: which events.
            capacity: how many may wait for the iteration; what does not fit is counted and told as `Lagged`.
        """
        check_event_type(event_type)
        iteration = _Iteration[E](capacity)
        self._add(event_type, iteration, iteration.offer)
        self._iterations[iteration] = None
        for event in self.present(event_type):
            iteration.offer(cast("E", event))
        try:
            yield iteration
        finally:
            self._iterations.pop(iteration, None)
            self._drop(iteration)
            iteration.close()

    def publish(self, event_type: Callable[..., Event], *fields: object) -> None:
        """Make an event and tell it, if anybody listens."""
        listeners = self._wanted.get(event_type)
        if listeners is None:
            listeners = self._look_up(event_type)
        if listeners:
            self._published.append((event_type(*fields), listeners))
            if not self._publishing:
                self._tell_published()

    def forget(self, ref: ActorRef[Any]) -> None:
        """An actor has ended."""
        if self._listeners:
            self._drop(ref)
        if self._adapters:
            for adapter in self._adapters.pop(ref, ()):
                self._drop(adapter)

    def close(self) -> None:
        """End all iterations after what they have buffered; there are no new ones."""
        self._closed = True
        for iteration in list(self._iterations):
            iteration.close()
        self._listeners.clear()
        self._adapters.clear()
        self._wanted.clear()

    def _tell_published(self) -> None:
        """Tell what was published; what telling publishes in turn comes after, so that it neither nests nor overtakes."""
        self._publishing = True
        try:
            while self._published:
                event, listeners = self._published.popleft()
                for listener in listeners:
                    with suppress(CastyError):  # such as a mailbox that rejects: the loss is counted
                        listener(event)
        finally:
            self._publishing = False

    def _add(self, event_type: type[Event], key: object, listener: Listener) -> None:
        if self._closed:
            raise SystemClosedError("the system has stopped: there will be no more events")
        self._listeners.setdefault(event_type, {})[key] = listener
        self._wanted.clear()

    def _drop(self, key: object) -> None:
        for listeners in self._listeners.values():
            if listeners.pop(key, None) is not None:
                self._wanted.clear()

    def _look_up(self, event_type: Any) -> tuple[Listener, ...]:
        found: dict[object, Listener] = {}
        for cls, listeners in self._listeners.items():
            if issubclass(event_type, cls):
                found.update(listeners)
        self._wanted[event_type] = wanted = tuple(found.values())
        return wanted
