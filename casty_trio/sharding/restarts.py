"""Starts of what has failed: after longer and longer. Floor F5: deadlines of the system's, and no task."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import trio

from casty_trio.model.deadlines import Due
from casty_trio.model.recurring import Recurring
from casty_trio.model.strategies import Backoff

if TYPE_CHECKING:
    from casty_trio.cluster import ClusteredActorSystem

__all__ = ["Restarts"]

K = TypeVar("K", int, str)

FORGIVEN: Final = 2.0
"""What has lived so many times the longest wait since it last failed begins with the shortest one again."""


class Restarts(Generic[K]):
    """Who is to start again, and when; each has one time at most, the last that was said.

    Parameters:
        system: whose settings and deadlines these are.
        start: called with the key of one whose time has come.
    """

    def __init__(self, system: ClusteredActorSystem, start: Callable[[K], None]) -> None:
        self._system = system
        self._start: Callable[[K], None] = start
        settings = system.all_settings.entities
        longest = settings.restart_most
        self._backoff = Backoff(initial=settings.restart_least, maximum=longest)
        self._failures: Recurring[K] = Recurring(FORGIVEN * longest)
        self._waiting: dict[K, Due] = {}

    def failed(self, key: K) -> None:
        """It has failed: it waits longer than the last time, unless that was long ago."""
        times = self._failures.happened(trio.current_time(), key)
        self.start_later(key, self._backoff.delay(times, self._system.env.rng))

    def start_later(self, key: K, delay: float) -> None:
        """It starts after so many seconds; infinity for never."""
        self.call_off(key)
        if delay < math.inf:
            due = self._waiting[key] = Due(trio.current_time() + delay, lambda: self._begin(key))
            self._system.watch_deadline(due)

    def call_off(self, key: K) -> None:
        """It is not to start by itself."""
        if (due := self._waiting.pop(key, None)) is not None:
            due.closed = True

    def forget(self, key: K) -> None:
        """Nor is it known any more that it has failed."""
        self._failures.forget(key)
        self.call_off(key)

    def _begin(self, key: K) -> None:
        del self._waiting[key]
        self._start(key)
