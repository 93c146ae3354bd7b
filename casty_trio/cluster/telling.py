"""What there is to tell of the cluster: to programs as a value, to clients as bytes. Floor F4."""

from __future__ import annotations

from collections.abc import Iterable

from casty_trio.model.cluster_events import ClusterState, TopologySnapshot
from casty_trio.model.member import Member
from casty_trio.model.services import ServiceEntry
from casty_trio.protocol import wire

__all__ = ["pack_state", "topology_of"]


def topology_of(
    state: ClusterState, shard_types: Iterable[wire.ShardTypeState], registry: tuple[ServiceEntry, ...]
) -> TopologySnapshot:
    """The members, where their shards are, and which services there are."""
    homes = tuple(
        (shards.name, tuple(state.members[home] if 0 <= home < len(state.members) else None for home in shards.homes))
        for shards in shard_types
    )
    return TopologySnapshot(state.members, state.leader, state.unreachable, homes, registry)


def pack_state(
    version: int, state: ClusterState, me: Member, shard_types: tuple[wire.ShardTypeState, ...], contact_role: str
) -> bytes:
    """The same as the body of a STATE frame, and who takes clients; services go by themselves."""
    members = state.members or (me,)  # a node serves its clients before it is in a cluster, too
    silent = {member.uid for member in state.unreachable}
    rows = tuple(
        wire.MemberState(m.node_id, m.host, m.port, m.uid, str(m.status), m.roles, m.uid in silent) for m in members
    )
    leader = state.members.index(state.leader) if state.leader is not None else -1
    return wire.pack(wire.StateFrame(version, rows, leader, shard_types, contact_role))
