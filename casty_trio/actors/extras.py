"""What only some actors have: timers, a stash, watches. Floor F2; made when first used, so idle actors stay small."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from casty_trio.actors.stash import Stash
from casty_trio.actors.timers import Timers

if TYPE_CHECKING:
    from casty_trio.actors.cell import Cell
    from casty_trio.actors.refs import WatchableRef, Watcher

__all__ = ["Extras"]


class Extras:
    """The rarer half of a cell.

    Attributes:
        high: how many waiting messages are the next event; 0 before the first.
        nap: the wait before a restart, while there is one.
        stash: its stash.
        stopped: set when it has ended, for those who wait.
        timers: its timers.
        watchers: who hears of its end: actors, and asks of its callers.
        watching: whom it watches; a notice of anybody else is old, and ignored.
    """

    __slots__ = ("high", "nap", "stash", "stopped", "timers", "watchers", "watching")

    def __init__(self, cell: Cell[Any]) -> None:
        self.high: int = 0
        self.nap: trio.CancelScope | None = None
        self.stash: Stash[Any] = Stash(cell)
        self.stopped: trio.Event | None = None
        self.timers: Timers[Any] = Timers(cell)
        self.watchers: dict[Watcher, None] = {}
        self.watching: dict[WatchableRef[Any], None] = {}

    def stop(self) -> None:
        """End the timers, and a wait before a restart."""
        self.timers.cancel_all()
        if self.nap is not None:
            self.nap.cancel()
