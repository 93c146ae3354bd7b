"""What a change of the view means, as events. Floor F4, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from casty_trio.model import cluster_events as events
from casty_trio.model.cluster_events import ClusterEvent, ClusterState
from casty_trio.model.member import Member, MemberStatus
from casty_trio.protocol.members import View, converged, leader, unreachable

__all__ = ["Announcement", "between", "present", "state_of"]

Announcement = tuple[Callable[..., ClusterEvent], tuple[Any, ...]]
"""A class of events and what to make one with, for an event is made only if somebody listens."""

_TOLD: Final[dict[MemberStatus, Callable[[Member], ClusterEvent]]] = {
    MemberStatus.JOINING: events.MemberJoined,
    MemberStatus.WEAKLY_UP: events.MemberWeaklyUp,
    MemberStatus.UP: events.MemberUp,
    MemberStatus.LEAVING: events.MemberLeft,
    MemberStatus.EXITING: events.MemberExited,
    MemberStatus.DOWN: events.MemberDowned,
}


def state_of(view: View | None, me: int) -> ClusterState:
    """A view as programs see it."""
    if view is None:
        return ClusterState()
    silent = unreachable(view)
    members = tuple(sorted(view.members, key=_by_address))
    return ClusterState(
        members, leader(view, me), tuple(m for m in members if m.uid in silent), converged(view), view.cluster
    )


def between(old: ClusterState, new: ClusterState) -> Iterator[Announcement]:
    """What has become of the members from one state to the next: statuses first, then who is reachable, then the leader."""
    before = {member.uid: member for member in old.members}
    after = {member.uid: member for member in new.members}
    for member in new.members:
        yield from _steps(before.get(member.uid), member)
    for member in old.members:
        if new.members and member.uid not in after:  # a node that knows of no members any more was removed itself
            yield events.MemberRemoved, (member,)
    was, now = {m.uid for m in old.unreachable}, {m.uid for m in new.unreachable}
    for member in new.members:
        if member.uid in now and member.uid not in was:
            yield events.UnreachableMember, (member,)
        elif member.uid in was and member.uid not in now:
            yield events.ReachableMember, (member,)
    if _uid(old.leader) != _uid(new.leader):
        yield events.LeaderChanged, (new.leader,)


def present(state: ClusterState) -> Iterator[Announcement]:
    """The state as events, for somebody who listens from now on: for each member the last that was told of it."""
    for member in state.members:
        yield _TOLD[member.status], (member,)
    for member in state.unreachable:
        yield events.UnreachableMember, (member,)
    if state.leader is not None:
        yield events.LeaderChanged, (state.leader,)


def _steps(old: Member | None, new: Member) -> Iterator[Announcement]:
    """Every step of a member that is news, also those that were passed between two views: programs wait for them."""
    reached = old.status if old is not None else 0
    told = [MemberStatus.JOINING] if not reached else []
    if reached < MemberStatus.UP <= new.status and new.up_number:
        told.append(MemberStatus.UP)
    if reached < MemberStatus.LEAVING and new.status == MemberStatus.EXITING:
        told.append(MemberStatus.LEAVING)
    if new.status > reached and new.status not in told:
        told.append(new.status)
    for status in told:
        yield _TOLD[status], (new,)


def _by_address(member: Member) -> tuple[str, int, int]:
    return member.host, member.port, member.uid


def _uid(member: Member | None) -> int:
    return member.uid if member is not None else 0
