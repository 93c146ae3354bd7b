"""Which member is to host which shard: allocation strategies. Floor F1, pure.

A strategy is a value. The coordinator asks it where a shard goes that nobody hosts, and from time to time which shards are
to move; it never moves one by itself. What it says has to follow from what it is told alone, so that every coordinator says
the same, and moves have to come to an end while nothing changes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from operator import index

from casty_trio.errors import SettingsError
from casty_trio.model.checks import check_count, check_given

__all__ = ["AllocationStrategy", "ExplicitShards", "LeastShards", "RendezvousHash", "ShardHost", "moves_of", "place_of"]


@dataclass(frozen=True, slots=True)
class ShardHost:
    """A member that may host shards of a type.

    Attributes:
        node_id: its name, which a new start of it has again.
        uid: this start's number.
        shards: what it hosts, or is about to.
    """

    node_id: str
    uid: int
    shards: Sequence[int] = ()


class AllocationStrategy(ABC):
    """Where shards are to be. Make your own by these two methods; they are called with hosts sorted by age, oldest first.

    A strategy should settle: with the same hosts it wants no more moves after a while. What it moves again and again has to
    stay longer in between each time: `ShardingSettings.rebalance_interval` at first, and up to ``longest_stay``.
    """

    @abstractmethod
    def allocate(self, shard: int, hosts: Sequence[ShardHost]) -> ShardHost:
        """Who gets a shard that nobody hosts.

        Parameters:
            shard: which.
            hosts: who may get it; at least one.
        """

    @abstractmethod
    def rebalance(self, hosts: Sequence[ShardHost], moving: int) -> Mapping[int, ShardHost]:
        """Which shards are to move by now, and to whom; none when all is well.

        Parameters:
            hosts: who may host shards, at least one; a shard that moves is counted where it goes.
            moving: how many are on their way already.
        """


@dataclass(frozen=True, slots=True)
class LeastShards(AllocationStrategy):
    """A shard goes to the host with the fewest, and shards move until no two hosts differ by more than one.

    Parameters:
        spread: moves begin when the fullest and the emptiest host differ by more than this; once begun they go on until it
            is one.
        parallel: how many shards are on their way at the same time at most.

    Example:
        >>> hosts = [ShardHost("a", 1, (0, 1, 2)), ShardHost("b", 2)]
        >>> LeastShards().allocate(3, hosts).node_id, sorted(LeastShards().rebalance(hosts, 0))
        ('b', [2])
    """

    spread: int = 1
    parallel: int = 10

    def __post_init__(self) -> None:
        check_count("LeastShards.spread", self.spread, 1)
        check_count("LeastShards.parallel", self.parallel, 1)

    def allocate(self, shard: int, hosts: Sequence[ShardHost]) -> ShardHost:
        return min(hosts, key=_load)

    def rebalance(self, hosts: Sequence[ShardHost], moving: int) -> Mapping[int, ShardHost]:
        loads = {host.uid: list(host.shards) for host in hosts}
        spread = 1 if moving else self.spread
        moves: dict[int, ShardHost] = {}
        while moving + len(moves) < self.parallel:
            fullest = max(hosts, key=lambda host: len(loads[host.uid]))
            emptiest = min(hosts, key=lambda host: len(loads[host.uid]))
            if len(loads[fullest.uid]) - len(loads[emptiest.uid]) <= spread:
                break
            own = [shard for shard in loads[fullest.uid] if shard not in moves]
            shard = own[-1]
            loads[fullest.uid].remove(shard)
            loads[emptiest.uid].append(shard)
            moves[shard] = emptiest
            spread = 1
        return moves


@dataclass(frozen=True, slots=True)
class RendezvousHash(AllocationStrategy):
    """Each shard has its own order of preference among node ids, and is with the first of them that is there (Thaler and
    Ravishankar, 1998): a node that joins takes its share and nothing else moves; one started anew gets its shards back.

    Parameters:
        parallel: how many shards are on their way at the same time at most.
    """

    parallel: int = 10

    def __post_init__(self) -> None:
        check_count("RendezvousHash.parallel", self.parallel, 1)

    def allocate(self, shard: int, hosts: Sequence[ShardHost]) -> ShardHost:
        return _preferred(shard, hosts)

    def rebalance(self, hosts: Sequence[ShardHost], moving: int) -> Mapping[int, ShardHost]:
        moves: dict[int, ShardHost] = {}
        for shard, present in _homes(hosts):
            if moving + len(moves) >= self.parallel:
                break
            wanted = _preferred(shard, hosts)
            if wanted.uid != present.uid:
                moves[shard] = wanted
        return moves


@dataclass(frozen=True, slots=True)
class ExplicitShards(AllocationStrategy):
    """You say which node has which shard; one that is not named, or whose node is away, goes where another strategy says.

    Parameters:
        homes: node ids by shard.
        otherwise: for the rest; `RendezvousHash` when left out, which moves nothing needlessly.
        parallel: how many shards are on their way at the same time at most.

    Raises:
        SettingsError: a shard is no number from 0, a home no text, or ``otherwise`` no strategy.

    Example:
        >>> there = ExplicitShards({0: "berlin", 1: "paris"})
        >>> there.allocate(1, [ShardHost("berlin", 1), ShardHost("paris", 2)]).node_id
        'paris'
    """

    homes: Mapping[int, str]
    otherwise: AllocationStrategy = field(default_factory=RendezvousHash)
    parallel: int = 10

    def __post_init__(self) -> None:
        check_count("ExplicitShards.parallel", self.parallel, 1)
        check_given("ExplicitShards.otherwise", self.otherwise, AllocationStrategy)
        check_given("ExplicitShards.homes", self.homes, Mapping)
        for shard, node in self.homes.items():
            check_count("a shard in ExplicitShards", shard, 0)
            if not isinstance(node, str) or not node:
                raise SettingsError(f"the home of shard {shard} must be a node's id, not {node!r:.100}")

    def allocate(self, shard: int, hosts: Sequence[ShardHost]) -> ShardHost:
        return self._named(shard, hosts) or self.otherwise.allocate(shard, hosts)

    def rebalance(self, hosts: Sequence[ShardHost], moving: int) -> Mapping[int, ShardHost]:
        moves: dict[int, ShardHost] = {}
        named: set[int] = set()
        for shard, present in _homes(hosts):
            wanted = self._named(shard, hosts)
            if wanted is None:
                continue
            named.add(shard)
            if wanted.uid != present.uid and moving + len(moves) < self.parallel:
                moves[shard] = wanted
        free = [ShardHost(host.node_id, host.uid, tuple(s for s in host.shards if s not in named)) for host in hosts]
        for shard, host in sorted(self.otherwise.rebalance(free, moving + len(moves)).items()):
            if moving + len(moves) < self.parallel:
                moves[shard] = host
        return moves

    def _named(self, shard: int, hosts: Sequence[ShardHost]) -> ShardHost | None:
        node_id = self.homes.get(shard)
        return next((host for host in hosts if host.node_id == node_id), None)


def place_of(strategy: AllocationStrategy, shard: int, hosts: Sequence[ShardHost]) -> int | Exception:
    """Which of the hosts a strategy gives a shard to, or what is wrong with the strategy: it is the program's own."""
    try:
        found = strategy.allocate(shard, tuple(hosts))
        place = next((place for place, host in enumerate(hosts) if host.uid == found.uid), None)
        return (
            place if place is not None else LookupError(f"{strategy!r} gives shard {shard} to {found!r}, which is no host")
        )
    except Exception as error:  # noqa: BLE001 - it is told, and another strategy asked
        return error


def moves_of(strategy: AllocationStrategy, hosts: Sequence[ShardHost], moving: int) -> list[tuple[int, int]] | Exception:
    """Which shards a strategy moves, and to whose uid; or what is wrong with it.

    What only equals a number, as those of other packages do, becomes one: it goes into messages.
    """
    try:
        moves = strategy.rebalance(tuple(hosts), moving)
        return sorted((index(shard), index(host.uid)) for shard, host in moves.items())
    except Exception as error:  # noqa: BLE001 - it is told, and nothing moves
        return error


def _load(host: ShardHost) -> int:
    return len(host.shards)


def _homes(hosts: Sequence[ShardHost]) -> list[tuple[int, ShardHost]]:
    """Each shard and where it is, by shard."""
    return sorted(((shard, host) for host in hosts for shard in host.shards), key=lambda pair: (pair[0], pair[1].uid))


def _preferred(shard: int, hosts: Sequence[ShardHost]) -> ShardHost:
    return max(hosts, key=lambda host: (_score(shard, host.node_id), host.uid))


def _score(shard: int, node_id: str) -> bytes:
    return blake2b(f"{shard}/{node_id}".encode(), digest_size=8).digest()
