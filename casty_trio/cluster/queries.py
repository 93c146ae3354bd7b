"""What a node tells of its sharded types: where their shards and entities are, and how many. Floor F4.

All of it is as this node knows it now; another may know more. It asks nobody, and waits for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from casty_trio.cluster.extension import Extension
from casty_trio.cluster.member import MemberNode
from casty_trio.cluster.telling import topology_of
from casty_trio.errors import UnknownActorError, UsageError
from casty_trio.model.cluster_events import TopologySnapshot
from casty_trio.model.envelope import is_entity_id
from casty_trio.model.member import Member
from casty_trio.model.ref import ActorRef
from casty_trio.model.services import ServiceEntry
from casty_trio.model.statistics import RegionState, ShardingStatistics
from casty_trio.protocol import wire
from casty_trio.protocol.shards import shard_of

__all__ = ["QueriedNode"]

T = TypeVar("T")


class QueriedNode(MemberNode):
    """The part of a clustered system that answers these questions; see `ClusteredActorSystem` for the parameters."""

    _extensions: list[Extension]

    def entity_ref(self, shard_type: str, entity_id: str) -> ActorRef[Any]:
        """The ref of one entity by type and id, wherever it lives, and whether or not it does.

        Parameters:
            shard_type: the name under which the type was spawned; on this node, too, if only as a proxy.
            entity_id: which of its entities.

        Raises:
            UnknownActorError: no such type was spawned on this node.
            UsageError: the id is no text, or empty.
            SystemClosedError: the system is used outside its block.

        Example:
            >>> # system.entity_ref("cart", "user-1").tell(AddItem("tea"))
        """
        self._check_open()
        self._check_type(shard_type)
        found = (extension.resolve_entity(shard_type, entity_id) for extension in self._extensions)
        return self._first_of(found, shard_type)

    def shard_homes(self, shard_type: str) -> tuple[Member | None, ...]:
        """Where the shards of a type are, as this node knows it; None for one without a home, or on its way.

        Raises:
            UnknownActorError: no such type was spawned on this node.
        """
        for name, homes in self._topology().shard_homes:
            if name == shard_type:
                return homes
        raise self._no_type(shard_type)

    def entity_home(self, shard_type: str, entity_id: str) -> Member | None:
        """Where an entity is, or would be, as this node knows it.

        Raises:
            UnknownActorError: no such type was spawned on this node.
            UsageError: the id is no text, or empty.
        """
        if not is_entity_id(entity_id):
            raise UsageError(f"an entity id is a text that is not empty, not {entity_id!r:.200}")
        homes = self.shard_homes(shard_type)
        return homes[shard_of(entity_id, len(homes))]

    def sharding_statistics(self, shard_type: str) -> ShardingStatistics:
        """Count what there is of a sharded type on this node.

        Raises:
            UnknownActorError: no such type was spawned on this node.
        """
        self._check_type(shard_type)
        found = (extension.sharding_statistics(shard_type) for extension in self._extensions)
        return self._first_of(found, shard_type)

    def region_state(self, shard_type: str) -> RegionState:
        """Which entities of a sharded type run on this node.

        It takes time for each of them: for counts, `sharding_statistics` is cheaper.

        Raises:
            UnknownActorError: no such type was spawned on this node.

        Example:
            >>> # system.region_state("cart").shards
            >>> # {3: (), 7: ("user-1", "user-9")}
        """
        self._check_type(shard_type)
        found = (extension.region_state(shard_type) for extension in self._extensions)
        return self._first_of(found, shard_type)

    def _check_type(self, shard_type: object) -> None:
        if not isinstance(shard_type, str):  # nor anything that cannot be looked up
            raise self._no_type(shard_type)

    def _first_of(self, found: Iterable[T | None], shard_type: str) -> T:
        for each in found:
            if each is not None:
                return each
        raise self._no_type(shard_type)

    def _no_type(self, shard_type: object) -> UnknownActorError:
        return UnknownActorError(
            f"{self.node_id} has no sharded type {shard_type!r:.300}: spawn it here, too, as a proxy if it is to route only"
        )

    def _topology(self) -> TopologySnapshot:
        registry: tuple[ServiceEntry, ...] = ()
        for extension in self._extensions:
            registry += extension.services()  # of one only: it is the very same tuple as before
        return topology_of(self.cluster_state, self._shard_types(), registry)

    def _shard_types(self) -> tuple[wire.ShardTypeState, ...]:
        return tuple(state for extension in self._extensions for state in extension.shard_types())
