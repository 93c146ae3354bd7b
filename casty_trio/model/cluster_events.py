"""What a node tells about its cluster, as typed values on its event stream. Floor F1.

Who subscribes to any of these hears of the present state first, as events of the same classes, and then of each change.
"""

from __future__ import annotations

from casty_trio.model.events import Event
from casty_trio.model.member import Member
from casty_trio.model.services import ServiceEntry

__all__ = [
    "ClusterClientEvent",
    "ClusterClientUnreachable",
    "ClusterClientUp",
    "ClusterEvent",
    "ClusterState",
    "LeaderChanged",
    "MemberDowned",
    "MemberEvent",
    "MemberExited",
    "MemberJoined",
    "MemberLeft",
    "MemberRemoved",
    "MemberUp",
    "MemberWeaklyUp",
    "ReachableMember",
    "TopologySnapshot",
    "UnreachableMember",
]


class ClusterEvent(Event, frozen=True):
    """The base of every event about the cluster."""


class ClusterState(ClusterEvent, frozen=True):
    """All that this node knows of the members; told whenever that changes.

    Attributes:
        members: sorted by address.
        leader: the member that acts for all; None while there is none.
        unreachable: those that some member cannot reach.
        converged: whether all members know the same.
        cluster: the id that the founder gave the cluster; 0 for none.
    """

    members: tuple[Member, ...] = ()
    leader: Member | None = None
    unreachable: tuple[Member, ...] = ()
    converged: bool = False
    cluster: int = 0

    def with_role(self, role: str) -> tuple[Member, ...]:
        """The members of a role."""
        return tuple(member for member in self.members if role in member.roles)


class TopologySnapshot(ClusterEvent, frozen=True):
    """Where everything is: who the members are, which of them the shards of each type live on, and who offers what.

    Attributes:
        members: sorted by address.
        leader: the member that acts for all; None while there is none.
        unreachable: those that some member cannot reach.
        shard_homes: for each sharded type, by its name, the member that each shard lives on; None where nobody knows.
        registry: the actors that offer services, sorted.
    """

    members: tuple[Member, ...] = ()
    leader: Member | None = None
    unreachable: tuple[Member, ...] = ()
    shard_homes: tuple[tuple[str, tuple[Member | None, ...]], ...] = ()
    registry: tuple[ServiceEntry, ...] = ()


class ClusterClientEvent(ClusterEvent, frozen=True):
    """Something has become of a client whose contact this node is; the base of those that tell what.

    Attributes:
        client: the name it gave itself.
        uid: its number; a client that starts anew is another one.
        host: where it says that it is.
        port: likewise.
    """

    client: str
    uid: int
    host: str
    port: int


class ClusterClientUp(ClusterClientEvent, frozen=True):
    """A client has this node for its contact."""


class ClusterClientUnreachable(ClusterClientEvent, frozen=True):
    """A client has left, has another contact, or could not be reached any more."""


class MemberEvent(ClusterEvent, frozen=True):
    """Something has become of a member; the base of those that tell what."""

    member: Member


class MemberJoined(MemberEvent, frozen=True):
    """A node has been let in; it is not up yet."""


class MemberWeaklyUp(MemberEvent, frozen=True):
    """A node that joins may work, though not all members could agree on it yet."""


class MemberUp(MemberEvent, frozen=True):
    """A member is up: all have agreed on it."""


class MemberLeft(MemberEvent, frozen=True):
    """A member wants to go."""


class MemberExited(MemberEvent, frozen=True):
    """A member goes, and all have agreed on it."""


class MemberDowned(MemberEvent, frozen=True):
    """A member was declared down."""


class MemberRemoved(MemberEvent, frozen=True):
    """A member is none any more; its status is the last that it had. This start of the node never comes back."""


class UnreachableMember(MemberEvent, frozen=True):
    """Some member cannot reach this one."""


class ReachableMember(MemberEvent, frozen=True):
    """All members can reach this one again."""


class LeaderChanged(ClusterEvent, frozen=True):
    """Another member acts for all; None while nobody does."""

    leader: Member | None
