"""A store of entities in memory, with the faults of a real one."""

from __future__ import annotations

from collections.abc import Collection

import trio

from casty_trio import EntityStore, ShardClaim, StaleOwnerError


class MemoryStore(EntityStore):
    """What it holds outlives the nodes.

    Attributes:
        ids: who lives, by shard.
        failing: how many of the next calls fail.
        delay: how long each call takes, in seconds.
        calls: how many there were.
    """

    def __init__(self) -> None:
        self.ids: dict[int, set[str]] = {}
        self.owners: dict[int, ShardClaim] = {}
        self.failing = 0
        self.delay = 0.01
        self.calls = 0

    async def claim(self, claim: ShardClaim) -> Collection[str]:
        await self._work()
        owner = self.owners.get(claim.shard)
        if owner is not None and owner.cluster == claim.cluster and owner.token > claim.token:
            raise StaleOwnerError(f"{claim}")
        self.owners[claim.shard] = claim
        return sorted(self.ids.get(claim.shard, ()))

    async def update(self, claim: ShardClaim, started: Collection[str], stopped: Collection[str]) -> None:
        await self._work()
        owner = self.owners.get(claim.shard)
        if owner is not None and (owner.cluster != claim.cluster or owner.token > claim.token):
            raise StaleOwnerError(f"{claim}")
        self.ids.setdefault(claim.shard, set()).update(started)
        self.ids[claim.shard].difference_update(stopped)

    def all(self) -> set[str]:
        """Who lives."""
        return {each for ids in self.ids.values() for each in ids}

    async def _work(self) -> None:
        self.calls += 1
        await trio.sleep(self.delay)
        if self.failing:
            self.failing -= 1
            raise OSError("the disk is full")
