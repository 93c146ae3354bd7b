"""The virtual clock of a simulation: time passes when no task can run, and then up to the next thing that is due. Floor F6.

Rules: it jumps where Trio asks how long to sleep, which Trio does only when every task waits; so a jump costs no round of
the loop. Besides Trio's deadlines it knows alarms, which wake one task each. A connection that waits for bytes has one: it
costs a fraction of a cancel scope, whose exception Trio has to throw and to catch again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from heapq import heappop, heappush
from math import inf

import trio

from casty_trio.testing.determinism import idle_watch

__all__ = ["Parking", "VirtualClock", "sleep"]

FOR_EVER = 999_999_999.0
"""Seconds of real time: what Trio is told when only something from outside could wake a task."""


class VirtualClock(trio.abc.Clock):
    """A clock for one `trio.run`.

    Attributes:
        now: the virtual time in seconds; what `trio.current_time` says.
    """

    def __init__(self) -> None:
        self.now: float = 0.0
        self._alarms: list[tuple[float, int, Parking]] = []  # a heap; the number keeps their order
        self._number = 0
        self._is_idle_awaited: Callable[[], bool] = bool

    def __repr__(self) -> str:
        return f"<VirtualClock {self.now:.6f} s, {len(self._alarms)} alarms>"

    def start_clock(self) -> None:
        """Called by Trio."""
        self._is_idle_awaited = idle_watch()

    def current_time(self) -> float:
        """Called by Trio."""
        return self.now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Called by Trio when no task can run: let the time of the next deadline or alarm come."""
        alarm = self.next_alarm
        due = min(alarm, deadline)
        if due > self.now:
            if due == inf or self._is_idle_awaited():
                return FOR_EVER
            self.now = due
        if alarm <= self.now:
            self._ring()
        return 0.0

    @property
    def next_alarm(self) -> float:
        """When the next alarm rings that somebody still waits for; infinity when there is none."""
        alarms = self._alarms
        while alarms and alarms[0][2].alarm != alarms[0][1]:
            heappop(alarms)
        return alarms[0][0] if alarms else inf

    def set_alarm(self, moment: float, parking: Parking) -> None:
        """Let who waits there be woken then, in place of what was set before."""
        if moment <= self.now:
            parking.wake()
        elif moment < inf:
            self._number = parking.alarm = self._number + 1
            heappush(self._alarms, (moment, self._number, parking))
        else:
            parking.alarm = 0

    def _ring(self) -> None:
        while self.next_alarm <= self.now:
            heappop(self._alarms)[2].wake()


class Parking:
    """The place where one task waits until it is woken, or until a moment that may still be changed.

    Attributes:
        alarm: the number of the clock's alarm that wakes who waits; 0 when there is none.
    """

    __slots__ = ("_clock", "_task", "alarm")

    def __init__(self, clock: VirtualClock) -> None:
        self.alarm: int = 0
        self._clock = clock
        self._task: trio.lowlevel.Task | None = None

    def wait(self, until: float = inf) -> Awaitable[object]:
        """Wait for `wake`, or the virtual time ``until``. Await what it gives at once."""
        if until <= self._clock.now:
            return trio.lowlevel.checkpoint()  # noqa: ASYNC105 - the caller awaits it, here and below
        self._task = trio.lowlevel.current_task()
        self._clock.set_alarm(until, self)
        return trio.lowlevel.wait_task_rescheduled(self._give_up)  # noqa: ASYNC105

    def wake(self) -> None:
        """Wake who waits; nothing happens if nobody does."""
        task = self._task
        if task is not None:
            self._task, self.alarm = None, 0
            trio.lowlevel.reschedule(task)

    def move(self, until: float) -> None:
        """Let who waits be woken at another moment than it asked for."""
        if self._task is not None:
            self._clock.set_alarm(until, self)

    def _give_up(self, _: object) -> trio.lowlevel.Abort:
        self._task, self.alarm = None, 0  # it is scheduled now, and must not be woken twice
        return trio.lowlevel.Abort.SUCCEEDED


async def sleep(seconds: float) -> None:
    """As `trio.sleep`, for what a simulation does itself: at a third of the price."""
    clock = trio.lowlevel.current_clock()
    if isinstance(clock, VirtualClock):
        await Parking(clock).wait(clock.now + seconds)
    else:
        await trio.sleep(seconds)
