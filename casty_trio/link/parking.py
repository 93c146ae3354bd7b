"""Where one task waits until another wakes it: the smallest such thing each event loop has. Floor F2, on Trio and asyncio.

anyio has nothing smaller than an event, which is made anew for each wait; with it and anyio's clock, an ask costs its client
a third more. So this one module knows the two event loops by name, and all others stand on anyio alone.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError
from threading import get_ident as running_thread
from typing import Protocol

import trio
from anyio import current_effective_deadline
from anyio.lowlevel import current_token
from trio.lowlevel import Abort, Task, current_task, reschedule, wait_task_rescheduled

__all__ = ["AsyncioParking", "Parking", "TrioParking", "failure_of", "parking_class", "running_clock", "running_thread"]


class Parking(Protocol):
    """A place for one task at a time."""

    def park(self) -> Awaitable[object]:
        """Wait until `unpark` is called; calls before do not count. Await what it gives at once."""
        ...

    def unpark(self) -> None:
        """Let the task go on that is parked; does nothing when none is."""


class TrioParking:
    """A place for a Trio task."""

    __slots__ = ("_parked",)

    def __init__(self) -> None:
        self._parked: Task | None = None

    def park(self) -> Awaitable[object]:
        """As `Parking.park`."""
        self._parked = current_task()
        return wait_task_rescheduled(self._leave)  # noqa: ASYNC105 - the caller awaits it: a coroutine less per wait

    def unpark(self) -> None:
        """As `Parking.unpark`."""
        task = self._parked
        if task is not None:
            self._parked = None
            reschedule(task)

    def _leave(self, _: object) -> Abort:
        self._parked = None
        return Abort.SUCCEEDED


class AsyncioParking:
    """A place for an asyncio task."""

    __slots__ = ("_parked",)

    def __init__(self) -> None:
        self._parked: asyncio.Future[None] | None = None

    def park(self) -> Awaitable[object]:
        """As `Parking.park`."""
        self._parked = future = asyncio.get_running_loop().create_future()
        return future

    def unpark(self) -> None:
        """As `Parking.unpark`."""
        future = self._parked
        if future is not None and not future.done():
            future.set_result(None)


def parking_class() -> type[TrioParking] | type[AsyncioParking]:
    """The kind of place that tasks of the event loop that runs wait in."""
    return TrioParking if _on_trio() else AsyncioParking


def running_clock() -> Callable[[], float]:
    """What ``anyio.current_time`` looks up at each call: the clock of the event loop that runs."""
    return trio.current_time if _on_trio() else asyncio.get_running_loop().time


def failure_of(error: BaseException) -> Exception | None:
    """What a program's function has failed with; None when its task is cancelled, or the process is to end.

    On asyncio, who awaits a task or future that somebody else has cancelled gets a cancellation although nobody cancels its
    own task. A task group takes that for the end of a task, and ends in silence. It is a failure, and becomes one here.
    """
    if isinstance(error, Exception):
        return error
    if not isinstance(error, asyncio.CancelledError):
        return None
    task = asyncio.current_task()
    if (task is not None and task.cancelling()) or current_effective_deadline() == -math.inf:
        return None
    failure = CancelledError("what was awaited was cancelled by somebody else")
    failure.__cause__ = error
    return failure


def _on_trio() -> bool:
    loop: object = current_token().native_token
    return not isinstance(loop, asyncio.AbstractEventLoop)
