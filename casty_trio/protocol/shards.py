"""Which shard an entity belongs to. Floor F1, pure.

The function is part of the protocol: every node and client, of any version, has to compute the same shard for an id. So it
is fixed (CRC-32 of the UTF-8 bytes, as in Redis Cluster's use of a CRC for hash slots), and never Python's `hash`.
"""

from __future__ import annotations

import zlib
from functools import cache
from typing import Final

from casty_trio.model.checks import check_count
from casty_trio.model.daemons import DAEMONS_MOST, TAIL

__all__ = ["daemon_id", "shard_of"]

PLAIN: Final = "0" * 12
"""The tail of an id as it is written first, in octal digits: so many that each CRC can be made of them."""


def shard_of(entity_id: str, num_shards: int) -> int:
    """The shard of an entity.

    Example:
        >>> shard_of("user-1", 10), shard_of("user-2", 10)
        (4, 0)
    """
    return zlib.crc32(entity_id.encode()) % num_shards


def daemon_id(index: int, count: int) -> str:
    """The entity id of one worker of `Behaviors.daemons`: its number, and a tail that puts it into the shard of that number.

    The tail is calculated, not searched for. To flip a bit of the tail flips the same bits of the CRC whatever stands in
    front of it, so some flips bring the CRC to any number that is wanted: to that of the worker.

    Parameters:
        index: which worker, from 0 on.
        count: how many there are. The ids do not depend on it, as long as there is such a worker.

    Raises:
        SettingsError: there is no such worker.

    Example:
        >>> daemon_id(3, 4)
        '3~006414423300'
        >>> [shard_of(daemon_id(index, 4), 4) for index in range(4)]
        [0, 1, 2, 3]
    """
    check_count("the number of workers", count, 1, DAEMONS_MOST)
    check_count("the index of a worker", index, 0, count - 1)
    head = f"{index}{TAIL}"
    wrong = zlib.crc32(f"{head}{PLAIN}".encode()) ^ index
    flips, steps = 0, _steps()
    while wrong:
        changed, flipped = steps[wrong.bit_length()]
        wrong ^= changed
        flips ^= flipped
    return f"{head}{flips:0{len(PLAIN)}o}"


@cache
def _steps() -> dict[int, tuple[int, int]]:
    """For each length, in bits, a number of that length: how the CRC changes by flips of bits of `PLAIN`, and which."""
    steps: dict[int, tuple[int, int]] = {}
    plain = zlib.crc32(PLAIN.encode())
    for bit in range(3 * len(PLAIN)):
        flipped = 1 << bit
        changed = zlib.crc32(f"{flipped:0{len(PLAIN)}o}".encode()) ^ plain
        while changed and changed.bit_length() in steps:
            other = steps[changed.bit_length()]
            changed, flipped = changed ^ other[0], flipped ^ other[1]
        if changed:
            steps[changed.bit_length()] = changed, flipped
    return steps
