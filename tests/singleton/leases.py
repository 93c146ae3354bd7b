"""A lease in memory, with the faults of a real one."""

from __future__ import annotations

import math

import trio

from casty_trio import Lease

HANGS = 30.0
"""How long a call hangs, in seconds."""


class MemoryLease(Lease):
    """What all nodes of a simulation can reach.

    Attributes:
        ttl: after how many seconds it ends by itself.
        delay: how long each call takes, in seconds.
        failing: whether calls fail.
        hanging: whether they take very long.
        deaf: whether they cannot even be cancelled, then.
        dead: nodes that were crashed: what they ask while they unwind, no process would.
        holder: who has it.
        holders: who has had it, in order.
        calls: what was asked, by whom.
    """

    def __init__(self, ttl: float = 30.0, delay: float = 0.01) -> None:
        self.ttl = ttl
        self.delay = delay
        self.failing = self.hanging = self.deaf = False
        self.dead: set[str] = set()
        self.holder = ""
        self.until = -math.inf
        self.holders: list[str] = []
        self.calls: list[tuple[float, str, str]] = []

    async def acquire(self, holder: str) -> bool:
        await self._work("acquire", holder)
        now = trio.current_time()
        if self.holder not in ("", holder) and now < self.until:
            return False
        if self.holder != holder:
            self.holders.append(holder.split("-")[0])
        self.holder, self.until = holder, now + self.ttl
        return True

    async def release(self, holder: str) -> None:
        await self._work("release", holder)
        if self.holder == holder:
            self.holder = ""

    def times(self, what: str) -> list[float]:
        """When something was asked."""
        return [at for at, each, _ in self.calls if each == what]

    def steal(self, seconds: float) -> None:
        """Somebody else has it for a while."""
        self.holder, self.until = "thief", trio.current_time() + seconds

    async def _work(self, what: str, holder: str) -> None:
        self.calls.append((trio.current_time(), what, holder))
        with trio.CancelScope(shield=self.deaf):
            await trio.sleep(HANGS if self.hanging else self.delay)
        if self.failing or holder.partition("-")[0] in self.dead:
            raise OSError("the database is away")
