"""Which shards' calls of a store are due. Floor F1, a pure machine.

A shard has one call at a time, and so many shards have one at once. One whose call has failed waits, for longer and longer,
and is then called beside the others, until it works again; beside them a call goes on that takes long, too. Those whose
calls work wait for neither.
"""

from __future__ import annotations

import math
from collections.abc import Callable

__all__ = ["Turns"]


class Turns:
    """The calls of one store.

    Parameters:
        most: of how many shards calls are made at once.
        beside: of how many shards that have failed, or whose calls take long, beside these.
        slow: a call takes long after this, in seconds.
        wait: how long a shard waits that has failed so many times in a row, in seconds.
    """

    def __init__(self, most: int, beside: int, slow: float, wait: Callable[[int], float]) -> None:
        self._most = most
        self._beside = beside
        self._slow = slow
        self._wait = wait
        self._due: dict[int, None] = {}
        self._again: dict[int, None] = {}  # due, and they have failed
        self._waiting: dict[int, float] = {}  # until when
        self._failures: dict[int, int] = {}
        self._running: dict[int, float] = {}  # until when the others wait for it
        self._aside: dict[int, None] = {}  # calls beside those

    @property
    def next_wakeup(self) -> float:
        """When `take` may give something that nothing else brings about."""
        slow = self._running.values() if self._due and len(self._aside) < self._beside else ()
        return min(*self._waiting.values(), *slow, math.inf, math.inf)

    def add(self, shard: int) -> None:
        """There is something to call for a shard."""
        if shard not in self._failures:
            self._due[shard] = None
        elif shard not in self._waiting:
            self._again[shard] = None

    def take(self, now: float) -> list[int]:
        """Which shards are to be called now; each ends with `done` or `failed`."""
        for shard in [shard for shard, until in self._waiting.items() if until <= now]:
            del self._waiting[shard]
            self._again[shard] = None
        for shard in [shard for shard, until in self._running.items() if until <= now]:
            if len(self._aside) < self._beside:
                del self._running[shard]
                self._aside[shard] = None
        taken = self._pick(self._due, self._most - len(self._running))
        self._running.update(dict.fromkeys(taken, now + self._slow))
        again = self._pick(self._again, self._beside - len(self._aside))
        self._aside.update(dict.fromkeys(again))
        return taken + again

    def done(self, shard: int) -> None:
        """A call has worked."""
        self._end(shard)
        self._failures.pop(shard, None)
        if shard in self._again:
            del self._again[shard]
            self._due[shard] = None

    def failed(self, shard: int, now: float) -> None:
        """A call has not: it is made again after a while."""
        self._end(shard)
        self._due.pop(shard, None)
        self._again.pop(shard, None)
        self._failures[shard] = self._failures.get(shard, 0) + 1
        self._waiting[shard] = now + self._wait(self._failures[shard])

    def drop(self, shard: int) -> None:
        """There is nothing to call for a shard any more, and it has never failed; a call of it may go on."""
        for each in (self._due, self._again, self._waiting, self._failures):
            each.pop(shard, None)

    def _end(self, shard: int) -> None:
        self._running.pop(shard, None)
        self._aside.pop(shard, None)

    def _pick(self, queue: dict[int, None], room: int) -> list[int]:
        taken: list[int] = []
        for shard in queue:
            if len(taken) >= room:
                break
            if shard not in self._running and shard not in self._aside:
                taken.append(shard)
        for shard in taken:
            del queue[shard]
        return taken
