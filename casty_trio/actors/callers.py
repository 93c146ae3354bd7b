"""Who calls: an actor cannot wait for what waits for it. Floor F2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from casty_trio.actors.refs import LocalRef
from casty_trio.errors import UsageError

if TYPE_CHECKING:
    from casty_trio.actors.cell import Cell
    from casty_trio.actors.system import ActorSystem

__all__ = ["refuse_waiting"]


def refuse_waiting(cell: Cell[Any]) -> None:
    """An actor cannot wait in a handler for its own end, nor for that of an ancestor: these wait for the handler.

    Raises:
        UsageError: the caller would.
    """
    caller = _caller(cell.system)
    if cell.ended or caller is None:
        return
    if caller is cell:
        raise UsageError(f"{cell.path} would wait for itself: an actor stops itself by returning Behaviors.stopped()")
    if caller.path.startswith(f"{cell.path}/"):
        raise UsageError(
            f"{caller.path} would wait for {cell.path}, which ends after it: send that a message, or wait in a task "
            "of ctx.start_soon(...), which ends with its actor"
        )


def _caller(system: ActorSystem) -> Cell[Any] | None:
    """The actor in whose handler this is called, also from a task that the handler has started and waits for."""
    task: trio.lowlevel.Task | None = trio.lowlevel.current_task()
    while task is not None:
        ref = system.lookup(task.name) if task.name.startswith("/") else None
        if isinstance(ref, LocalRef) and ref.cell.task is task:
            return ref.cell
        task = task.parent_nursery.parent_task if task.parent_nursery is not None else None
    return None
