"""Which shard an entity belongs to. Floor F1, pure.

The function is part of the protocol: every node and client, of any version, has to compute the same shard for an id. So it
is fixed (CRC-32 of the UTF-8 bytes, as in Redis Cluster's use of a CRC for hash slots), and never Python's `hash`.
"""

from __future__ import annotations

import zlib
from itertools import count as numbers

from casty_trio.model.daemons import TAIL

__all__ = ["daemon_id", "shard_of"]


def shard_of(entity_id: str, num_shards: int) -> int:
    """The shard of an entity.

    Example:
        >>> shard_of("user-1", 10), shard_of("user-2", 10)
        (4, 0)
    """
    return zlib.crc32(entity_id.encode()) % num_shards


def daemon_id(index: int, count: int) -> str:
    """The entity id of one worker of `Behaviors.daemons`: of those that begin with its number the first of its shard.

    Parameters:
        index: which worker, from 0 on.
        count: how many there are.

    Example:
        >>> [daemon_id(index, 4) for index in range(4)]
        ['0~1', '1~0', '2~1', '3~0']
        >>> [shard_of(daemon_id(index, 4), 4) for index in range(4)]
        [0, 1, 2, 3]
    """
    for number in numbers():
        entity_id = f"{index}{TAIL}{number}"
        if shard_of(entity_id, count) == index:
            return entity_id
    raise AssertionError("numbers do not end")
