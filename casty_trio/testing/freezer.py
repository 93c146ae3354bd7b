"""Keeps some of the tasks of a run from running, as SIGSTOP does with a process. Floor F6.

Whatever such a task waits for may come, its time included; it just does not get its turn before it is thawed. So nothing
under test has to know of it: neither a behaviour of a user's nor a timer of the library's.
"""

from __future__ import annotations

from collections import deque

import trio

from casty_trio.testing.determinism import run_queue

__all__ = ["Freezer"]


class Freezer(trio.abc.Instrument):
    """Holds the tasks below frozen ones, each with these themselves. It costs nothing while there are none."""

    def __init__(self) -> None:
        self._held: dict[trio.lowlevel.Task, list[trio.lowlevel.Task]] = {}
        self._queue: deque[trio.lowlevel.Task] = deque()

    def __repr__(self) -> str:
        return f"<Freezer of {len(self._held)} processes>"

    def freeze(self, root: trio.lowlevel.Task) -> None:
        """Let a task, and all below it, not run any more. What was about to run at this moment still does, one step."""
        if not self._held:
            self._queue = run_queue()
            trio.lowlevel.add_instrument(self)
        self._held.setdefault(root, [])
        waiting = [*self._queue]
        self._queue.clear()
        self._queue.extend(task for task in waiting if not self._hold(task))

    def thaw(self, root: trio.lowlevel.Task) -> None:
        """Let them run again; what became due meanwhile is due now."""
        held = self._held.pop(root, None)
        if held is None:
            return
        if not self._held:
            trio.lowlevel.remove_instrument(self)
        self._queue.extend(held)

    def task_scheduled(self, task: trio.lowlevel.Task) -> None:
        """Called by Trio, right after it has queued the task."""
        if self._hold(task):
            self._queue.pop()

    def _hold(self, task: trio.lowlevel.Task) -> bool:
        above: trio.lowlevel.Task | None = task
        while above is not None:
            if above in self._held:
                self._held[above].append(task)
                return True
            above = above.parent_nursery.parent_task if above.parent_nursery is not None else None
        return False
