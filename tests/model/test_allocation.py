"""S4: allocation strategies settle, move little, and say the same everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, strategies as st

from casty_trio import AllocationStrategy, ExplicitShards, LeastShards, RendezvousHash, SettingsError, ShardHost
from casty_trio.model.allocation import moves_of, place_of

NAMES = ("a", "b", "c", "d", "e")
STRATEGIES: tuple[AllocationStrategy, ...] = (
    LeastShards(),
    LeastShards(spread=3, parallel=2),
    RendezvousHash(),
    ExplicitShards({0: "b", 3: "e"}),
    ExplicitShards({1: "a"}, otherwise=LeastShards(), parallel=1),
)


def hosts_of(homes: dict[int, int], count: int) -> list[ShardHost]:
    """The first so many hosts, with their shards."""
    return [
        ShardHost(NAMES[place], place + 1, tuple(sorted(s for s, home in homes.items() if home == place + 1)))
        for place in range(count)
    ]


def settle(strategy: AllocationStrategy, homes: dict[int, int], count: int) -> tuple[dict[int, int], int]:
    """Move until nothing moves; where all is then, and how many moves that took."""
    moved = 0
    for _ in range(1_000):
        moves = strategy.rebalance(hosts_of(homes, count), 0)
        if not moves:
            return homes, moved
        moved += len(moves)
        homes = homes | {shard: host.uid for shard, host in moves.items()}
    raise AssertionError("it never settles")


def allocate(strategy: AllocationStrategy, shards: int, count: int) -> dict[int, int]:
    homes: dict[int, int] = {}
    for shard in range(shards):
        homes[shard] = strategy.allocate(shard, hosts_of(homes, count)).uid
    return homes


@given(st.sampled_from(STRATEGIES), st.integers(1, 40), st.integers(1, 5), st.integers(1, 5))
def test_every_strategy_settles(strategy: AllocationStrategy, shards: int, before: int, after: int) -> None:
    """S4: from any cluster to any other, and then nothing moves."""
    homes = {shard: min(uid, after) for shard, uid in allocate(strategy, shards, before).items()}
    settled, _ = settle(strategy, homes, after)
    assert sorted(settled) == list(range(shards))
    assert not strategy.rebalance(hosts_of(settled, after), 0)


@given(st.integers(0, 60), st.integers(1, 5))
def test_least_shards_end_at_a_spread_of_one(shards: int, count: int) -> None:
    """S4: and no more of them moves than has to."""
    homes, moved = settle(LeastShards(), dict.fromkeys(range(shards), 1), count)
    loads = [len(host.shards) for host in hosts_of(homes, count)]
    assert max(loads) - min(loads) <= 1
    assert moved == shards - loads[0]


def test_sixty_four_shards_on_three_nodes_stop_moving() -> None:
    """S4: the case that never settles where the spread may not be one."""
    homes, _ = settle(LeastShards(), allocate(LeastShards(), 64, 2), 3)
    assert sorted(len(host.shards) for host in hosts_of(homes, 3)) == [21, 21, 22]


def test_moves_at_one_time_are_limited() -> None:
    """S4: those that are on their way count; with a wider spread nothing begins."""
    hosts = hosts_of(dict.fromkeys(range(20), 1), 2)
    assert len(LeastShards(parallel=3).rebalance(hosts, 0)) == 3
    assert len(LeastShards(parallel=3).rebalance(hosts, 2)) == 1
    assert LeastShards(spread=20).rebalance(hosts, 0) == {}
    assert len(RendezvousHash(parallel=3).rebalance(hosts, 1)) == 2
    assert len(ExplicitShards(dict.fromkeys(range(20), "b"), parallel=2).rebalance(hosts, 0)) == 2
    assert len(ExplicitShards({}, otherwise=LeastShards(), parallel=2).rebalance(hosts, 0)) == 2


def test_a_node_that_joins_takes_its_share_and_nothing_else_moves() -> None:
    """S4: from three to four at most a quarter and two per cent moves with rendezvous hashing."""
    strategy, shards = RendezvousHash(parallel=10_000), 10_000
    before = {shard: strategy.allocate(shard, hosts_of({}, 3)).uid for shard in range(shards)}
    after, moved = settle(strategy, before, 4)
    assert moved <= shards * 0.27
    assert all(after[shard] == 4 for shard in before if before[shard] != after[shard])


def test_a_node_started_anew_gets_its_shards_back() -> None:
    """Its name counts, and not the number of the start."""

    def names(hosts: Sequence[ShardHost]) -> list[str]:
        return [RendezvousHash().allocate(shard, hosts).node_id for shard in range(50)]

    assert names([ShardHost("a", 1), ShardHost("b", 2)]) == names([ShardHost("b", 7), ShardHost("a", 9)])


def test_what_cannot_be_is_refused() -> None:
    """Settings are checked where they are given."""
    for make in (
        lambda: LeastShards(spread=0),
        lambda: LeastShards(parallel=0),
        lambda: RendezvousHash(parallel=0),
        lambda: ExplicitShards({}, parallel=0),
        lambda: ExplicitShards({-1: "a"}),
        lambda: ExplicitShards({1: ""}),
        lambda: ExplicitShards(["a"]),  # type: ignore[arg-type]
        lambda: ExplicitShards({}, otherwise=LeastShards),  # type: ignore[arg-type]
    ):
        with pytest.raises(SettingsError):
            make()


class Broken(LeastShards):
    """A program's own strategy, that answers what nobody can use."""

    def allocate(self, shard: int, hosts: Sequence[ShardHost]) -> ShardHost:
        if shard:
            return ShardHost("stranger", 77, ())
        raise RuntimeError("no idea")

    def rebalance(self, hosts: Sequence[ShardHost], moving: int) -> dict[int, ShardHost]:
        nonsense: dict[int, Any] = {0: "b"}
        return nonsense


def test_what_a_strategy_does_wrong_is_told_and_ends_nothing() -> None:
    """S3: shards have to be somewhere, whatever a program's own strategy answers."""
    hosts = hosts_of({0: 1, 1: 1, 2: 2}, 2)
    assert isinstance(place_of(Broken(), 0, hosts), RuntimeError)
    assert isinstance(place_of(Broken(), 1, hosts), LookupError)
    assert isinstance(moves_of(Broken(), hosts, 0), AttributeError)
    assert place_of(LeastShards(), 3, hosts) == 1
    assert moves_of(ExplicitShards({0: "b", 1: "a", 2: "b"}), hosts, 0) == [(0, 2)]


class Whole(int):
    """A number of somebody else's: no message takes it."""


class Unspeakable:
    """No host, and nothing that can be told of."""

    uid = -1

    def __repr__(self) -> str:
        raise RuntimeError("no words")


class Careless(LeastShards):
    """One that takes hosts out of what it is given, names nobody that can be named, and counts in numbers of its own."""

    def allocate(self, shard: int, hosts: Sequence[ShardHost]) -> ShardHost:
        careless: Any = hosts if shard else Unspeakable()
        found: ShardHost = careless.pop() if shard else careless
        return found

    def rebalance(self, hosts: Sequence[ShardHost], moving: int) -> dict[int, ShardHost]:
        key: Any = [Whole(0), True, 0.0, "0"][moving]
        return {key: ShardHost("b", Whole(2))}


def test_what_a_strategy_is_given_and_gives_is_not_used_as_it_is() -> None:
    """S3: its numbers go into messages, and its errors into the log; the hosts are asked about again after it."""
    hosts = hosts_of({0: 1, 1: 1, 2: 2}, 2)
    assert isinstance(place_of(Careless(), 0, hosts), RuntimeError)
    assert isinstance(place_of(Careless(), 1, hosts), AttributeError)
    assert [host.uid for host in hosts] == [1, 2]
    for moving, shard in enumerate((0, 1)):
        moves = moves_of(Careless(), hosts, moving)
        assert moves == [(shard, 2)]
        assert {type(number) for move in moves for number in move} == {int}
    assert isinstance(moves_of(Careless(), hosts, 2), TypeError)
    assert isinstance(moves_of(Careless(), hosts, 3), TypeError)
