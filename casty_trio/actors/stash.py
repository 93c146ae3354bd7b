"""Messages put aside for later. Floor F2: bounded; they come back in order, ahead of newer mail, each with its ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import trio

from casty_trio.actors.mail import Asked
from casty_trio.errors import StashFullError
from casty_trio.model import context

if TYPE_CHECKING:
    from casty_trio.actors.cell import Cell

__all__ = ["Stash"]

M = TypeVar("M")


class Stash(context.Stash[M]):
    """The stash of one actor; ``ctx.stash``.

    Example:
        >>> # while not ready:  ctx.stash.add(message); return Behaviors.same()
        >>> # once ready:       ctx.stash.unstash_all(); return ready()
    """

    __slots__ = ("_cell", "_items", "since")

    def __init__(self, cell: Cell[M]) -> None:
        self._cell = cell
        self._items: list[object] = []
        self.since: float = 0.0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def capacity(self) -> int:
        return self._cell.system.settings.stash_capacity

    def add(self, message: M) -> None:
        if self._cell.ended:  # it was put aside by who kept the context
            self._cell.ref.sent += 1
            self._cell.discard(message, "put aside by an actor that has stopped")
            return
        if len(self._items) >= self.capacity:
            raise StashFullError(f"the stash of {self._cell.path} is full: {self.capacity} messages wait in it")
        if not self._items:
            self.since = trio.current_time()
        slot = self._cell.slot
        self._items.append(message if slot is None else Asked(message, slot))
        self._cell.apart += 1
        self._cell.ref.sent += 1  # by the actor to itself: it is handled once more when it comes back

    def unstash_all(self) -> None:
        if self._items:
            since = self._cell.since
            self._cell.since = self.since if since is None else min(self.since, since)
        self._cell.put_front(self._items)
        self._items.clear()

    def take_all(self) -> list[object]:
        """What is in it, for the runtime: the actor ends."""
        items = list(self._items)
        self._items.clear()
        return items
