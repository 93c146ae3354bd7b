"""A task that wakes machines when their time has come. Floor F2.

A machine is pure: it says when it next has something to do, and somebody has to call it then. That is one task for each
`Clockwork`, which sleeps until the earliest of those times, in the clock of the machines. Whoever has fed a machine calls
`Clockwork.wake`, for something may be due earlier now.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

__all__ = ["Clockwork"]

LEAST_NAP: Final = 1e-6
"""It sleeps so long at least, in seconds: two clocks that differ in their last digits else agree that it is not time yet."""


class Clockwork:
    """Calls a function whenever something is due.

    Parameters:
        now: the clock of the machines; it may drift against the scheduler's.
        due: when something is to be done next, by that clock; infinity for not at all.
        do: does all that is due. What it raises ends `run`.
    """

    def __init__(self, now: Callable[[], float], due: Callable[[], float], do: Callable[[], object]) -> None:
        self._now = now
        self._due = due
        self._do = do
        self._nap = trio.CancelScope()

    async def run(self) -> None:
        """Do what is due, until it is cancelled; what is due at once is done when others have run."""
        while True:
            with trio.CancelScope() as self._nap:
                self._nap.deadline = self._wakeup()
                await trio.sleep_forever()
            self._do()

    def wake(self) -> None:
        """Something may be due earlier than it was."""
        if self._nap.deadline > trio.current_time():  # else it has been woken
            wakeup = self._wakeup()
            if wakeup < self._nap.deadline:  # which costs much to set
                self._nap.deadline = wakeup

    def _wakeup(self) -> float:
        wait = self._due() - self._now()
        return trio.current_time() + (max(LEAST_NAP, wait) if wait > 0 else 0.0)
