"""Which shard an entity belongs to. Floor F1, pure.

The function is part of the protocol: every node and client, of any version, has to compute the same shard for an id. So it
is fixed (CRC-32 of the UTF-8 bytes, as in Redis Cluster's use of a CRC for hash slots), and never Python's `hash`.
"""

from __future__ import annotations

import zlib

__all__ = ["shard_of"]


def shard_of(entity_id: str, num_shards: int) -> int:
    """The shard of an entity.

    Example:
        >>> shard_of("user-1", 10), shard_of("user-2", 10)
        (4, 0)
    """
    return zlib.crc32(entity_id.encode()) % num_shards
