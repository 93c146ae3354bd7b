"""An actor's timers: messages to itself, later. Floor F2.

No task per timer: all stand in the heap of the system's deadlines. A timer belongs to its actor, by name, and ends with it
or with its restart. A periodic timer whose last message still waits in the mailbox puts no second one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import trio

from casty_trio.model import context
from casty_trio.model.checks import check_seconds

if TYPE_CHECKING:
    from casty_trio.actors.cell import Cell

__all__ = ["Timer", "Timers"]

M = TypeVar("M")


class Timer(Generic[M]):
    """One timer that runs; also what stands in the mailbox when it has fired."""

    __slots__ = ("_cell", "closed", "deadline", "interval", "message", "name", "queued")

    def __init__(self, cell: Cell[M], name: str, delay: float, message: M, interval: float | None) -> None:
        self._cell = cell
        self.name: str = name
        self.message: M = message
        self.interval: float | None = interval
        self.deadline: float = trio.current_time() + delay
        self.closed: bool = False
        self.queued: bool = False

    def close(self) -> None:
        """End it. The heap may keep it for a while: only itself."""
        if not self.closed:
            self.closed = True
            del self._cell, self.message

    def expire(self) -> None:
        """Its time has come."""
        if self.closed or self._cell.ended:
            return  # it was started after the end, by who kept the context
        if not self.queued:
            self.queued = True
            self._cell.ref.put(self)
        if self.interval is not None:
            # Reckoned from when it was due, so it does not drift; what was missed is not made up for.
            late = trio.current_time() - self.deadline
            self.deadline += self.interval * (1 + late // self.interval)
            self._cell.system.watch_deadline(self)


class Timers(context.Timers[M]):
    """The timers of one actor, by name; ``ctx.timers``.

    Example:
        >>> # ctx.timers.once("expire", 30.0, Expire())
        >>> # ctx.timers.periodic("tick", 1.0, Tick())
    """

    __slots__ = ("_cell", "_running")

    def __init__(self, cell: Cell[M]) -> None:
        self._cell = cell
        self._running: dict[str, Timer[M]] = {}

    def __len__(self) -> int:
        return len(self._running)

    def once(self, name: str, delay: float, message: M) -> None:
        self._start(name, delay, message, None)

    def periodic(self, name: str, interval: float, message: M) -> None:
        check_seconds(f"the interval of timer {name!r}", interval, positive=True)
        self._start(name, interval, message, interval)

    def cancel(self, name: str) -> bool:
        timer = self._running.pop(name, None)
        if timer is None:
            return False
        timer.close()
        return True

    def is_active(self, name: str) -> bool:
        return name in self._running

    def cancel_all(self) -> None:
        """End all timers of this actor."""
        for timer in self._running.values():
            timer.close()
        self._running.clear()

    def fired(self, timer: Timer[M]) -> None:
        """Its message is being handled now."""
        timer.queued = False
        if timer.interval is None and self._running.get(timer.name) is timer:
            del self._running[timer.name]

    def _start(self, name: str, delay: float, message: M, interval: float | None) -> None:
        check_seconds(f"the delay of timer {name!r}", delay)
        self.cancel(name)
        timer = self._running[name] = Timer(self._cell, name, delay, message, interval)
        self._cell.system.watch_deadline(timer)
