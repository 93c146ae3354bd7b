"""How often a shard moves because the allocation strategy says so. Floor F1: pure.

A strategy that settles moves a shard once after the members have changed, and nothing here holds it up. One that does not,
for it follows loads that swing, or has a bug, would move shards as fast as hand-offs are: so a shard that moves again and
again while the members are the same has to stay longer and longer in between.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Final

from casty_trio.model.recurring import Recurring

__all__ = ["Pacing"]

FORGIVEN: Final = 2.0
"""A shard that has stayed so many times as long as it has to at most begins anew."""


class Pacing:
    """Which shards of a type may move.

    Parameters:
        least: how long a shard has to stay after its first move, in seconds; then twice as long, and so on.
        most: how long it has to stay at most.
    """

    def __init__(self, least: float, most: float) -> None:
        self._least = least
        self._most = most
        self._hosts: AbstractSet[int] = frozenset()
        self._moved: Recurring[int] = Recurring(FORGIVEN * most)

    def meet(self, hosts: AbstractSet[int]) -> None:
        """Those may host shards now: where they are others than before, all may move at once."""
        if hosts != self._hosts:
            self._hosts = hosts
            self._moved.clear()

    def ended(self, now: float, shard: int, *, moved: bool) -> None:
        """A hand-off has come to its end; one that was called off does not count."""
        if moved:
            self._moved.happened(now, shard)

    def lets(self, now: float, shard: int) -> bool:
        """Whether a shard may move again."""
        times, last = self._moved.of(shard)
        return not times or now - last >= min(self._least * 2.0 ** min(times - 1, 30), self._most)
