"""The end of an actor that is told to stop by a message of its own. Floor F2: one deadline of the system's, and no task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

if TYPE_CHECKING:
    from casty_trio.actors.cell import Cell
    from casty_trio.actors.mail import Finish

__all__ = ["Limit"]


class Limit:
    """Sees to it that an actor stops, some time after it has handled the message that tells it to.

    Parameters:
        cell: the actor.
        finish: its last item of mail, which has the message.
        timeout: how long after that it is stopped as any actor, in seconds.

    Attributes:
        closed: whether the actor has ended; for the system's deadlines.
        deadline: when it is looked at; likewise.
    """

    __slots__ = ("_cell", "_finish", "_timeout", "closed", "deadline")

    def __init__(self, cell: Cell[Any], finish: Finish, timeout: float) -> None:
        self._cell = cell
        self._finish = finish
        self._timeout = timeout
        self.closed: bool = False
        self.deadline: float = trio.current_time() + self._timeout
        cell.system.watch_deadline(self)

    def expire(self) -> None:
        """The actor ought to have stopped, if it has come to that message."""
        reached_at = self._finish.reached_at
        due = (trio.current_time() if reached_at is None else reached_at) + self._timeout
        if due > self.deadline:
            self.deadline = due
            self._cell.system.watch_deadline(self)
        else:
            self._cell.stop(self._cell.system.settings.grace)
