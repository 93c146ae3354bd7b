"""The event stream of a system. Floor F2: typed values, to actors or to iterators, by class or base class.

Publishing is synchronous and never waits. An event is only made when somebody subscribed to its class. A subscriber that
stops is forgotten; an iterator that does not keep up gets a `Lagged` in the place of what it missed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

import trio

from casty_trio.model.events import Event, Lagged
from casty_trio.model.ref import ActorRef

__all__ = ["EventStream"]

E = TypeVar("E", bound=Event)

Listener = Callable[[Any], None]


class _Iteration(Generic[E]):
    """The bounded buffer of one iterator."""

    __slots__ = ("_lost", "_outbox", "inbox")

    def __init__(self, capacity: int) -> None:
        self._outbox, self.inbox = trio.open_memory_channel[Any](capacity)
        self._lost = 0

    def offer(self, event: Event) -> None:
        try:
            if self._lost:
                self._outbox.send_nowait(Lagged(self._lost))
                self._lost = 0
            self._outbox.send_nowait(event)
        except trio.WouldBlock:
            self._lost += 1

    def close(self) -> None:
        self._outbox.close()


class EventStream:
    """Who hears of what."""

    def __init__(self) -> None:
        self._listeners: dict[type[Event], dict[object, Listener]] = {}
        self._wanted: dict[object, tuple[Listener, ...]] = {}
        self._iterations: set[_Iteration[Any]] = set()

    def subscribe(self, ref: ActorRef[E], event_type: type[E]) -> None:
        """Tell an actor every event of a class, its subclasses included, until it stops or `unsubscribe`.

        Example:
            >>> # system.event_stream.subscribe(ref, DeadLetter)
        """
        self._add(event_type, ref, ref.tell)

    def unsubscribe(self, ref: ActorRef[Any], event_type: type[Event] | None = None) -> None:
        """Tell an actor no more events of a class, or of any."""
        for cls in [event_type] if event_type is not None else list(self._listeners):
            self._listeners.get(cls, {}).pop(ref, None)
        self._wanted.clear()

    @asynccontextmanager
    async def events(self, event_type: type[E], *, capacity: int = 1024) -> AsyncGenerator[AsyncIterator[E | Lagged]]:
        """Iterate over events of a class, its subclasses included, from now on.

        Parameters:
            event_type: which events.
            capacity: how many may wait for the iteration; what does not fit is counted and told as `Lagged`.
        """
        iteration = _Iteration[E](capacity)
        self._add(event_type, iteration, iteration.offer)
        self._iterations.add(iteration)
        try:
            with iteration.inbox:
                yield iteration.inbox
        finally:
            self._iterations.discard(iteration)
            self._drop(iteration)
            iteration.close()

    def publish(self, event_type: Callable[..., Event], *fields: object) -> None:
        """Make an event and tell it, if anybody listens."""
        listeners = self._wanted.get(event_type)
        if listeners is None:
            listeners = self._look_up(event_type)
        if listeners:
            event = event_type(*fields)
            for listener in listeners:
                listener(event)

    def forget(self, ref: ActorRef[Any]) -> None:
        """An actor has ended."""
        if self._listeners:
            self._drop(ref)

    def close(self) -> None:
        """End all iterations after what they have buffered."""
        for iteration in list(self._iterations):
            iteration.close()
        self._listeners.clear()
        self._wanted.clear()

    def _add(self, event_type: type[Event], key: object, listener: Listener) -> None:
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
