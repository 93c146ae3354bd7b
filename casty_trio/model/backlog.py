"""What waits for an iterator over events. Floor F1: bounded; what is lost is counted in its place, and takes no room.

Who waits for it, and how, is the business of the event stream: Trio's in a system, either library's in a client.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Generic, TypeVar, cast

from casty_trio.model.checks import check_count, refuse
from casty_trio.model.events import Event, Lagged

__all__ = ["Backlog", "check_event_type"]

E = TypeVar("E", bound=Event)


class Backlog(Generic[E]):
    """Events in the order they came, with a `Lagged` where some are missing.

    Args:
        capacity: how many events may wait; at least one.
    """

    def __init__(self, capacity: int) -> None:
        check_count("capacity", capacity, 1)
        self._capacity = capacity
        self._items: deque[E | Lagged] = deque()
        self._events = 0

    def __len__(self) -> int:
        return len(self._items)

    def offer(self, event: E) -> None:
        """Keep an event, or count it as lost."""
        if self._events < self._capacity:
            self._items.append(event)
            self._events += 1
        elif type(last := self._items[-1]) is Lagged:
            self._items[-1] = Lagged(last.count + 1)
        else:
            self._items.append(Lagged(1))

    def take(self) -> E | Lagged:
        """Give out what came first; there has to be something."""
        item = self._items.popleft()
        if type(item) is not Lagged:
            self._events -= 1
        return item


def check_event_type(value: Any, base: type[Event] = Event) -> None:
    """See that a value is a class of events that come here: of any other nothing would ever come.

    Parameters:
        base: that of all events that come here.

    Raises:
        SettingsError: it is none.
    """
    kind: type[Any] | None = cast("type[Any]", value) if isinstance(value, type) else None
    if kind is None or not (issubclass(kind, base) or (issubclass(kind, Event) and issubclass(base, kind))):
        refuse("event_type", value, f"{base.__name__} or a subclass of it")
