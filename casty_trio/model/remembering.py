"""Where the ids of living entities are kept, so that they live again after a crash. Floor F1: a contract and its values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection

import msgspec

__all__ = ["EntityStore", "ShardClaim"]


class ShardClaim(msgspec.Struct, frozen=True):
    """By which right a node reads and writes the ids of a shard.

    Attributes:
        shard_type: the name of the type.
        shard: which shard of it.
        num_shards: how many there are; the same id is in another shard when this is another.
        cluster: the id of the cluster. One that was founded later may begin with lesser tokens.
        token: the shard's fencing token in that cluster; later owners have greater ones.
    """

    shard_type: str
    shard: int
    num_shards: int
    cluster: int
    token: tuple[int, int]


class EntityStore(ABC):
    """Keeps the ids of the entities that live, for types that are spawned with ``remember_entities=store``.

    All nodes have to reach the same ids. `SqliteEntityStore` is one for nodes of one machine; implement this for the
    database that you have. Each call is one transaction. What it raises is logged, and it is called again after a while, for
    longer and longer; so is one that takes more than ``EntitySettings.store_timeout`` seconds, which is cancelled, and must
    not change anything later. Only a `StaleOwnerError` says that this node has nothing to say any more.

    For one type a node makes one call at a time. The other shards do not wait for one that has failed, or whose call takes
    more than a second: it is called beside them.
    """

    @abstractmethod
    async def claim(self, claim: ShardClaim) -> Collection[str]:
        """From now on the shard belongs to this claim; give the ids that are in it.

        Raises:
            StaleOwnerError: a later owner of this cluster has claimed it already.
        """

    @abstractmethod
    async def update(self, claim: ShardClaim, started: Collection[str], stopped: Collection[str]) -> None:
        """Entities live from now on, and others do not any more.

        Raises:
            StaleOwnerError: somebody else has claimed the shard since; nothing was changed.
        """
