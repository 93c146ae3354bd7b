"""What the leader of a cluster does when all members have seen the same. Floor F1, pure.

Any member may come to lead, so each keeps track of how long things have lasted. Nodes that join come up, in the order of
their addresses and numbered; who leaves exits, and is removed once it knows; who is down is removed when the margin has
passed, in which what it hosted stops by its own clock. Without agreement for long, joining nodes may work *weakly up*.
"""

from __future__ import annotations

import math

from msgspec.structs import replace

from casty_trio.model.cluster_settings import ClusterSettings
from casty_trio.model.member import Member, MemberStatus
from casty_trio.protocol.downing import stable_after
from casty_trio.protocol.members import View, converged, digest, leader, unreachable

__all__ = ["Leading"]


class Leading:
    """The leader's duties, as one member would do them.

    Parameters:
        uid: the member.
        settings: how patient it is.
    """

    def __init__(self, uid: int, settings: ClusterSettings) -> None:
        self._uid = uid
        self._settings = settings
        self._since: dict[tuple[int, MemberStatus], float] = {}
        self._apart_since = math.inf

    def step(self, now: float, view: View) -> View:
        """The view after what the leader does about it; the same one when this member does not lead or nothing is due."""
        agreed = converged(view)
        self._keep_time(now, view, agreed)
        head = leader(view, self._uid)
        if head is None or head.uid != self._uid:
            return view
        if agreed:
            return self._remove(now, self._move_on(view))
        if now - self._apart_since >= self._settings.weakly_up_after:
            return self._let_work(view)
        return view

    def _keep_time(self, now: float, view: View, agreed: bool) -> None:
        since = {(member.uid, member.status): now for member in view.members}
        self._since = {key: self._since.get(key, then) for key, then in since.items()}
        self._apart_since = math.inf if agreed else min(self._apart_since, now)

    def _move_on(self, view: View) -> View:
        number = max((member.up_number for member in view.members), default=0)
        for member in sorted(view.members, key=_by_address):
            if member.status in (MemberStatus.JOINING, MemberStatus.WEAKLY_UP):
                number += 1
                view = view.with_member(replace(member, status=MemberStatus.UP, up_number=number))
            elif member.status == MemberStatus.LEAVING:
                view = view.with_status(member.uid, MemberStatus.EXITING)
        return view

    def _remove(self, now: float, view: View) -> View:
        silent = unreachable(view)
        now_known = digest(view)
        knows = {each.uid for each in view.seen if each.digest == now_known}
        gone = [
            member.uid
            for member in view.members
            if (member.status == MemberStatus.DOWN and self._is_past(now, view, member))
            or (
                member.status == MemberStatus.EXITING
                and (member.uid in silent or member.uid in knows or self._waited(now, member))
            )
        ]
        return view.without(gone) if gone else view

    def _is_past(self, now: float, view: View, member: Member) -> bool:
        """Whether what a member that is down has hosted has stopped."""
        if any(each.address == member.address and each.uid != member.uid for each in view.members):
            return True  # another start of the node: the process of this one is over, or it has let go of everything
        margin, stable = self._settings.removal_margin, self._settings.stable_after
        if margin == "auto":
            margin = stable_after(len(view.members)) if stable == "auto" else stable
        return now - self._since.get((member.uid, member.status), now) >= margin

    def _waited(self, now: float, member: Member) -> bool:
        return now - self._since.get((member.uid, member.status), now) >= self._settings.exit_after

    def _let_work(self, view: View) -> View:
        silent = unreachable(view)
        for member in view.members:
            if member.status == MemberStatus.JOINING and member.uid not in silent:
                view = view.with_status(member.uid, MemberStatus.WEAKLY_UP)
        return view


def _by_address(member: Member) -> tuple[str, int, int]:
    return member.host, member.port, member.uid
