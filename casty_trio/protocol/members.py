"""What the nodes of a cluster know of its members, and how two of them come to know the same. Floor F1, pure.

A `View` is a value, a state-based CRDT (Shapiro et al. 2011): `merge` commutes, associates and is idempotent, and gives back
its first argument itself when the second holds nothing new. Statuses only rise, of two up numbers the lower stays, and who
was removed stays so. What one node says of others, whom it cannot reach and what it has seen, stands in a row that only it
writes, numbered upwards. Members and rows are sorted by uid, so equal knowledge is equal values and equal bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, TypeVar

import msgspec

from casty_trio.model.member import Count, Member, MemberStatus

__all__ = [
    "MEMBERS_MOST",
    "REMEMBERED",
    "Opinion",
    "Seen",
    "View",
    "accused",
    "converged",
    "digest",
    "fingerprint",
    "leader",
    "malformed",
    "merge",
    "observations",
    "unreachable",
]

MEMBERS_MOST: Final = 1_000
"""A cluster takes no more members than this."""

REMEMBERED: Final = 1_000
"""So many removed members are remembered, the latest; see `View.removed`."""

CONSENTING: Final = (MemberStatus.UP, MemberStatus.LEAVING)
"""Who has to have seen a view before the leader acts on it."""

GONE: Final = (MemberStatus.EXITING, MemberStatus.DOWN)
"""Whose silence holds nobody up."""


class Opinion(msgspec.Struct, frozen=True, array_like=True):
    """Whom one member cannot reach.

    Attributes:
        uid: the member that says so.
        version: the number of its word; a later one takes the place of an earlier.
        unreachable: uid and counter of those, sorted; one whose counter has grown since has refuted it.
    """

    uid: int
    version: Count
    unreachable: tuple[tuple[int, Count], ...] = ()


class Seen(msgspec.Struct, frozen=True, array_like=True):
    """Which view one member has seen last: the number of its word, and the view's digest."""

    uid: int
    version: Count
    digest: int


class View(msgspec.Struct, frozen=True, array_like=True):
    """All that a node knows of its cluster.

    Attributes:
        cluster: the id that the founder gave the cluster; views of two clusters never merge.
        members: sorted by uid.
        removed: uid and number of those that were members, sorted; the number counts removals, and of the highest
            `REMEMBERED` the uids are kept.
        opinions: sorted by uid; only of members.
        seen: likewise.
        gives_way: the id of the cluster that this one makes room for; 0 for none.
    """

    cluster: int
    members: tuple[Member, ...] = ()
    removed: tuple[tuple[int, Count], ...] = ()
    opinions: tuple[Opinion, ...] = ()
    seen: tuple[Seen, ...] = ()
    gives_way: int = 0

    def member(self, uid: int) -> Member | None:
        """The member of that uid."""
        for member in self.members:
            if member.uid == uid:
                return member
        return None

    def was_removed(self, uid: int) -> bool:
        """Whether that start of a node was a member and is none any more."""
        return any(each == uid for each, _ in self.removed)

    def opinion(self, uid: int) -> Opinion:
        """What a member says of others."""
        for opinion in self.opinions:
            if opinion.uid == uid:
                return opinion
        return Opinion(uid, 0)

    # --- What a node changes ------------------------------------------------------------------------------------------

    def with_member(self, member: Member) -> View:
        """With one more member, or with another state of one."""
        return msgspec.structs.replace(self, members=_with(self.members, member))

    def with_status(self, uid: int, status: MemberStatus) -> View:
        """With a member in a status; in none lower than it has, for that would not last."""
        member = self.member(uid)
        if member is None or status <= member.status:
            return self
        return self.with_member(msgspec.structs.replace(member, status=status))

    def with_opinion(self, uid: int, unreachable: Iterable[tuple[int, int]]) -> View:
        """With a member's word on whom it cannot reach; the same view when it says nothing new."""
        old, new = self.opinion(uid), tuple(sorted(unreachable))
        if old.unreachable == new:
            return self
        return msgspec.structs.replace(self, opinions=_with(self.opinions, Opinion(uid, old.version + 1, new)))

    def with_seen(self, uid: int, view_digest: int) -> View:
        """With a member's word on which view it has seen; the same view when it says nothing new."""
        version = 0
        for seen in self.seen:
            if seen.uid == uid:
                if seen.digest == view_digest:
                    return self
                version = seen.version
        return msgspec.structs.replace(self, seen=_with(self.seen, Seen(uid, version + 1, view_digest)))

    def without(self, uids: Iterable[int]) -> View:
        """With members removed, for good."""
        number = max((number for _, number in self.removed), default=0)
        gone = dict(self.removed)
        for uid in uids:
            number += 1
            gone[uid] = number
        return _without_removed(msgspec.structs.replace(self, removed=_latest(gone)))


def merge(one: View, other: View) -> View:
    """What both know together; ``one`` itself when the other holds nothing new.

    Raises:
        ValueError: they are views of two clusters.
    """
    if one is other or one == other:
        return one
    if one.cluster != other.cluster:
        raise ValueError(f"views of two clusters, {one.cluster} and {other.cluster}, never merge")
    removed = _latest(_merged(dict(one.removed), dict(other.removed), max))
    together = _without_removed(
        View(
            one.cluster,
            _merge_rows(one.members, other.members, _merge_members),
            removed,
            _merge_rows(one.opinions, other.opinions, _later),
            _merge_rows(one.seen, other.seen, _later),
            min(one.gives_way, other.gives_way) or max(one.gives_way, other.gives_way),
        )
    )
    return one if together == one else together


def malformed(view: View) -> str | None:
    """Why a view cannot have come from this module; None for a good one."""
    if len(view.members) > MEMBERS_MOST or len(view.removed) > REMEMBERED:
        return "more than there can be"
    uids = [member.uid for member in view.members]
    rows = (uids, [opinion.uid for opinion in view.opinions], [seen.uid for seen in view.seen], [u for u, _ in view.removed])
    if any(row != sorted(set(row)) for row in rows):
        return "its rows are not sorted, or doubled"
    if not set(uids).issuperset(rows[1]) or not set(uids).issuperset(rows[2]):
        return "somebody who is no member says something"
    if not set(uids).isdisjoint(rows[3]):
        return "a member that was removed"
    if any(member.status == MemberStatus.REMOVED for member in view.members):
        return "a member with the status of none"
    if view.cluster <= 0 or any(uid <= 0 for uid in uids) or any(member.counter < 0 for member in view.members):
        return "a number below its least"
    return None


def digest(view: View) -> int:
    """A number for all that members have to agree on: equal digests, equal members and opinions."""
    return _digest(view)[0]


def fingerprint(view: View) -> int:
    """A number for that and for who has seen it: equal fingerprints, nothing to tell each other."""
    return _digest(view)[1]


@lru_cache(maxsize=1_024)
def _digest(view: View) -> tuple[int, int]:
    agreed = (view.cluster, view.members, view.opinions, view.gives_way)
    return _number(agreed), _number((agreed, view.seen))


def _number(value: Any) -> int:
    return int.from_bytes(blake2b(_encode(value), digest_size=7).digest(), "big")


_encode: Final = msgspec.msgpack.Encoder().encode


# --- What follows from a view -----------------------------------------------------------------------------------------


def observations(view: View) -> tuple[tuple[int, int], ...]:
    """Who cannot reach whom, as pairs of uids, sorted: what members say that are not down, and what was not refuted."""
    members = {member.uid: member for member in view.members}
    found: list[tuple[int, int]] = []
    for opinion in view.opinions:
        if members[opinion.uid].status < MemberStatus.DOWN:
            for subject, counter in opinion.unreachable:
                if subject in members and members[subject].counter <= counter:
                    found.append((opinion.uid, subject))
    return tuple(found)


def unreachable(view: View) -> tuple[int, ...]:
    """Whom some member cannot reach, sorted."""
    return tuple(sorted({subject for _, subject in observations(view)}))


def accused(view: View, uid: int) -> int | None:
    """The counter with which a member is accused of being unreachable; None when it is not."""
    counters = [
        counter
        for observer, subject in observations(view)
        if subject == uid
        for each, counter in view.opinion(observer).unreachable
        if each == uid
    ]
    return max(counters, default=None)


def leader(view: View, me: int) -> Member | None:
    """The member that acts for all: the lowest address of those up or leaving, as one of them sees who is reachable.

    While nobody is that, it is the lowest of those that are joining or exiting.
    """
    silent = unreachable(view)
    present = [m for m in view.members if m.status < MemberStatus.DOWN and (m.uid == me or m.uid not in silent)]
    return min(present, key=_rank, default=None)


def _rank(member: Member) -> tuple[bool, str, int, int]:
    return (member.status not in CONSENTING, member.host, member.port, member.uid)


def converged(view: View) -> bool:
    """Whether all who count have seen this very view, and nobody is silent but who goes anyway."""
    now = digest(view)
    seen = {each.uid: each.digest for each in view.seen}
    silent = unreachable(view)
    for member in view.members:
        if member.uid in silent and member.status not in GONE:
            return False
        if member.status in CONSENTING and seen.get(member.uid) != now:
            return False
    return True


# --- Rows -------------------------------------------------------------------------------------------------------------

R = TypeVar("R", Member, Opinion, Seen)
K = TypeVar("K")
V = TypeVar("V")


def _with(rows: tuple[R, ...], row: R) -> tuple[R, ...]:
    others = [each for each in rows if each.uid != row.uid]
    others.append(row)
    return tuple(sorted(others, key=_uid))


def _merge_rows(one: tuple[R, ...], other: tuple[R, ...], pick: Callable[[R, R], R]) -> tuple[R, ...]:
    if one is other or one == other:
        return one
    found = _merged({row.uid: row for row in one}, {row.uid: row for row in other}, pick)
    return tuple(sorted(found.values(), key=_uid))


def _merged(one: dict[K, V], other: dict[K, V], pick: Callable[[V, V], V]) -> dict[K, V]:
    for key, value in other.items():
        one[key] = pick(one[key], value) if key in one else value
    return one


def _uid(row: Member | Opinion | Seen) -> int:
    return row.uid


def _later(one: R, other: R) -> R:
    """Of two words of one member the later; nobody says two things under one number, and if so the order is fixed."""
    return max(one, other, key=msgspec.structs.astuple)


def _merge_members(one: Member, other: Member) -> Member:
    if one == other:
        return one
    fixed = max(one, other, key=_fixed)
    return msgspec.structs.replace(
        fixed,
        status=max(one.status, other.status),
        up_number=min(one.up_number, other.up_number) or max(one.up_number, other.up_number),
        counter=max(one.counter, other.counter),
    )


def _fixed(member: Member) -> tuple[str, int, str, tuple[str, ...]]:
    """What never changes in the life of a member."""
    return member.host, member.port, member.node_id, member.roles


def _latest(removed: dict[int, int]) -> tuple[tuple[int, int], ...]:
    if len(removed) > REMEMBERED:
        kept = sorted(removed.items(), key=_number_first)[-REMEMBERED:]
        return tuple(sorted(kept))
    return tuple(sorted(removed.items()))


def _number_first(entry: tuple[int, int]) -> tuple[int, int]:
    return entry[1], entry[0]


def _without_removed(view: View) -> View:
    gone = {uid for uid, _ in view.removed}
    if not any(member.uid in gone for member in view.members):
        return view
    return msgspec.structs.replace(
        view,
        members=tuple(each for each in view.members if each.uid not in gone),
        opinions=tuple(each for each in view.opinions if each.uid not in gone),
        seen=tuple(each for each in view.seen if each.uid not in gone),
    )
