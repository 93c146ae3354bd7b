"""How often something has happened, of late. Floor F1: pure.

What happens again counts as one time more; what has not happened for long is forgiven, and counts from one.
"""

from __future__ import annotations

import math
from typing import Generic, TypeVar

__all__ = ["Recurring"]

K = TypeVar("K", int, str)


class Recurring(Generic[K]):
    """Counts by key.

    Parameters:
        forgiven_after: after so many seconds without, it is as if it had never happened.
    """

    def __init__(self, forgiven_after: float) -> None:
        self._forgiven_after = forgiven_after
        self._found: dict[K, tuple[int, float]] = {}

    def happened(self, now: float, key: K) -> int:
        """It has happened now: for the first time of late, the second, and so on."""
        times, last = self.of(key)
        times = times + 1 if now - last < self._forgiven_after else 1
        self._found[key] = times, now
        return times

    def of(self, key: K) -> tuple[int, float]:
        """How often it has happened, and when last; 0 and minus infinity for never."""
        return self._found.get(key, (0, -math.inf))

    def forget(self, key: K) -> None:
        """It never has."""
        self._found.pop(key, None)

    def clear(self) -> None:
        """Nothing ever has."""
        self._found.clear()
