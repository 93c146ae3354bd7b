"""Which shard an id belongs to is the same in every process and version (S5)."""

from collections import Counter

import pytest

from casty_trio.protocol.shards import shard_of

FIXED = [("", 0), ("user-1", 24), ("user-2", 50), ("Zoë", 78), ("客", 42), ("a/b c", 34)]


@pytest.mark.parametrize(("entity_id", "shard"), FIXED)
def test_the_function_never_changes(entity_id: str, shard: int) -> None:
    """Old and new nodes route to the same owner: these numbers are part of the protocol."""
    assert shard_of(entity_id, 100) == shard


@pytest.mark.parametrize("num_shards", [1, 2, 10, 100, 65_536])
def test_shards_are_in_range_and_evenly_used(num_shards: int) -> None:
    """No shard of ids as programs have them gets much more than its part."""
    found = Counter(shard_of(f"user-{number}", num_shards) for number in range(20_000))
    assert set(found) <= set(range(num_shards))
    assert max(found.values()) <= 2 * 20_000 / num_shards + 10
