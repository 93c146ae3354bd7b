"""What a node tells of its cluster, as programs see it. Floor: client, pure."""

from __future__ import annotations

from casty_trio.errors import ProtocolError
from casty_trio.model.cluster_events import TopologySnapshot
from casty_trio.model.member import Member, MemberStatus
from casty_trio.protocol import wire

__all__ = ["topology_of"]

_STATUSES = {str(status): status for status in MemberStatus}


def topology_of(state: wire.StateFrame) -> TopologySnapshot:
    """The members and what there is to know of them.

    Raises:
        ProtocolError: a status that there is not.
    """
    members = tuple(_member(row) for row in state.members)
    leader = members[state.leader] if 0 <= state.leader < len(members) else None
    silent = tuple(member for member, row in zip(members, state.members, strict=True) if row.unreachable)
    homes = tuple(
        (shards.name, tuple(members[home] if 0 <= home < len(members) else None for home in shards.homes))
        for shards in state.shard_types
    )
    return TopologySnapshot(members, leader, silent, homes)


def _member(row: wire.MemberState) -> Member:
    status = _STATUSES.get(row.status)
    if status is None:
        raise ProtocolError(f"{row.status!r:.50} is no status of a member")
    return Member(row.uid, row.host, row.port, row.node_id, row.roles, status)
