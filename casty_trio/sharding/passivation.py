"""Who of a type's entities has not been told anything for a while. Floor F5.

Nothing is noted per message: every actor counts what it is told anyhow, and now and then its count is looked at. The actors
stand in a ring of slots; one slot is looked at per tick, and each actor four times in the time after which it is idle. All
of it hangs on one deadline of the system's, which is only set while there are entities.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from casty_trio.actors.system import ActorSystem
    from casty_trio.sharding.entities import EntityCell

__all__ = ["IdleWatch"]

LOOKS: Final = 4
"""So often in its idle time an actor is looked at: it is found between that time and a quarter more."""

SLOTS: Final = 16
LEAST_TICK: Final = 0.01
"""Nobody is looked for more often, in seconds."""


class IdleWatch:
    """Tells which actors are idle.

    Parameters:
        system: whose deadlines wake it.
        idle: after how many seconds an actor is.
        found: called with each that is; it is looked at no more.

    Attributes:
        closed: whether nothing is waited for; for the system's deadlines.
        deadline: when the next slot is due; likewise.
    """

    def __init__(self, system: ActorSystem, idle: float, found: Callable[[EntityCell], None]) -> None:
        round_ = max(idle / LOOKS, LEAST_TICK)
        slots = max(1, min(SLOTS, int(round_ / LEAST_TICK)))
        self.closed: bool = True
        self.deadline: float = 0.0
        self._system = system
        self._found = found
        self._tick = round_ / slots
        self._ring: list[dict[EntityCell, None]] = [{} for _ in range(slots)]
        self._at = 0
        self._count = 0

    def add(self, cell: EntityCell) -> None:
        """Look at an actor from now on."""
        cell.ring = self._ring[self._at]
        cell.ring[cell] = None
        cell.uses = -1
        self._count += 1
        if self.closed:
            self.closed = False
            self._wait()

    def remove(self, cell: EntityCell) -> None:
        """Look at it no more."""
        if cell.ring is not None:
            del cell.ring[cell]
            cell.ring = None
            self._count -= 1

    def expire(self) -> None:
        """The next slot is due."""
        self._at = (self._at + 1) % len(self._ring)
        for cell in list(self._ring[self._at]):
            uses = cell.ref.sent - cell.apart
            if uses != cell.uses or cell.busy_since is not None or cell.queued > 0:
                cell.uses, cell.quiet = uses, 0
                continue
            cell.quiet += 1
            if cell.quiet >= LOOKS:
                self.remove(cell)
                self._found(cell)
        self.closed = not self._count
        if not self.closed:
            self._wait()

    def _wait(self) -> None:
        self.deadline = trio.current_time() + self._tick
        self._system.watch_deadline(self)
