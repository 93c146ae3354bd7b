"""Who goes down when members cannot reach each other: the strategies, and when they decide. Floor F1, pure.

Every node decides by its own view and applies what comes out, to itself as well. Nothing in a decision depends on which node
makes it, so all nodes of one side decide alike; and two sides of a cut never both go on, though their views may differ by
what was under way when it began. A strategy therefore counts for its own side only who is surely up (not who is joining,
leaving or going), and for the other one everybody who may be: also who is joining there, if somebody there could have
admitted it, and who was declared down and is not removed yet, for the others may not have heard of that.

Rules: a side that is not sure goes. It says so of itself alone, never of whom it cannot see: once the network heals, its
word must not end those who go on. Members that see each other in part only (accuse others, and are accused, and all still
hear of it) are on this side when it is counted, and go when it stays. What a down member observed does not count.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final

from casty_trio.model.checks import check_count, check_flag, check_instance, check_seconds, refuse
from casty_trio.model.lease import Lease
from casty_trio.model.member import Member, MemberStatus

__all__ = [
    "Decision",
    "DownAll",
    "Downing",
    "DowningStrategy",
    "KeepLease",
    "KeepMajority",
    "KeepOldest",
    "Situation",
    "StaticQuorum",
    "stable_after",
]

STABLE_AFTER: Final = ((10, 3.0), (20, 5.0), (50, 8.0), (100, 12.0), (1000, 20.0), (math.inf, 30.0))
"""Up to so many members, their view has to be unchanged for so many seconds before anybody is downed."""
LEAST_EXTRA: Final = 4.0
"""A view that goes on changing is left this many seconds more, at least."""


def stable_after(members: int) -> float:
    """For how many seconds the view of a cluster of this size has to be unchanged before somebody is downed.

    Example:
        >>> [stable_after(members) for members in (2, 10, 11, 50, 100, 1_000, 5_000)]
        [3.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0]
    """
    return next(seconds for most, seconds in STABLE_AFTER if members <= most)


@dataclass(frozen=True, slots=True)
class Situation:
    """What one node knows when it decides.

    Attributes:
        self_uid: the node.
        members: all that are in its view, itself too, in any order.
        unreachable: the uids of those that anybody sees as unreachable, sorted.
        observations: who sees whom as unreachable, as pairs of uids, observer first, sorted.
    """

    self_uid: int
    members: tuple[Member, ...]
    unreachable: tuple[int, ...] = ()
    observations: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """Who is to be declared down.

    Attributes:
        down: the uids, sorted; the deciding node may be among them.
        why: the reason, for people.
        ask_lease: empty, or in whose name the lease has to be asked for first; all nodes of a side ask in the same name.
            ``down`` is what follows if it is granted.
        delay: for how many seconds to wait before asking.
        otherwise: who is to be declared down if the lease is refused, or cannot be asked for.
    """

    down: tuple[int, ...]
    why: str
    ask_lease: str = ""
    delay: float = 0.0
    otherwise: tuple[int, ...] = ()


def _place(member: Member) -> tuple[tuple[str, int], int]:
    return member.address, member.uid


def _uids(members: Iterable[Member]) -> tuple[int, ...]:
    """Those that can still be declared down; who is exiting goes anyway."""
    return tuple(sorted(member.uid for member in members if member.status < MemberStatus.EXITING))


def _plays(member: Member, role: str | None) -> bool:
    return role is None or role in member.roles


def _apart(situation: Situation) -> tuple[frozenset[int], frozenset[int]]:
    """Who is on the other side; and who on this one accuses others, and is accused by some who are here."""
    alive = {member.uid for member in situation.members if member.status < MemberStatus.DOWN}
    seen = [pair for pair in situation.observations if pair[0] in alive]
    void = {subject for _, subject in situation.observations} - {subject for _, subject in seen}
    mixed = {observer for observer, _ in seen} & {subject for _, subject in seen}
    cut = {subject for observer, subject in seen if observer not in mixed or subject not in mixed}
    away = frozenset(uid for uid in situation.unreachable if uid not in void and (uid in cut or uid not in mixed))
    return away, frozenset(subject for observer, subject in seen if subject in mixed - away and observer not in away)


class _Sides:
    """A situation, seen from all who share the view: who is here, who is there, and whose vote counts.

    Attributes:
        here: this side.
        there: whom it cannot see.
        mixed: those here that see, and are seen, in part only.
        sure: who counts here, however far the view of others is.
        possible: who may count there.
    """

    def __init__(self, situation: Situation, role: str | None = None) -> None:
        members = sorted(situation.members, key=_place)
        away, mixed = _apart(situation)
        self.here: list[Member] = [member for member in members if member.uid not in away]
        self.there: list[Member] = [member for member in members if member.uid in away]
        self.mixed: list[Member] = [member for member in members if member.uid in mixed]
        admitted = any(MemberStatus.UP <= member.status <= MemberStatus.DOWN for member in self.there)
        counted = {MemberStatus.UP, MemberStatus.LEAVING, MemberStatus.DOWN}
        if admitted:
            counted |= {MemberStatus.JOINING, MemberStatus.WEAKLY_UP}
        self.sure: list[Member] = [
            member for member in self.here if member.status is MemberStatus.UP and _plays(member, role)
        ]
        self.possible: list[Member] = [member for member in self.there if member.status in counted and _plays(member, role)]

    @property
    def lowest_is_here(self) -> bool:
        """Whether the member with the lowest address of all that may count is on this side."""
        voters = [*self.sure, *self.possible]
        return bool(voters) and min(voters, key=_place) in self.sure

    @property
    def kept(self) -> list[Member]:
        """Who goes on if this side stays."""
        return [member for member in self.here if member not in self.mixed]

    @property
    def count(self) -> str:
        """How the votes are, for people."""
        return f"{len(self.sure)} surely up here, {len(self.possible)} possibly up there"

    def stay(self) -> tuple[int, ...]:
        """Who goes down if this side stays."""
        return _uids([*self.there, *self.mixed])

    def leave(self) -> tuple[int, ...]:
        """Who goes down if this side goes."""
        return _uids(self.here)


class DowningStrategy(ABC):
    """Decides who goes down. Derive from it for a rule of your own: a frozen value that depends on nothing else."""

    @abstractmethod
    def decide(self, situation: Situation) -> Decision:
        """Who is to be declared down; called when the situation has been the same for long enough. Must not block."""


class _Voting(DowningStrategy):
    """A strategy in which one side of a cut stays; where there is no cut, all do but those that see each other in part."""

    def decide(self, situation: Situation) -> Decision:
        sides = self._sides(situation)
        if not sides.kept:
            return Decision(sides.leave(), "all see each other in part only")
        stays, why = self._stays(sides) if sides.there else (True, "some see each other in part only")
        return Decision(sides.stay() if stays else sides.leave(), f"{why}: {'the others go' if stays else 'this side goes'}")

    @abstractmethod
    def _sides(self, situation: Situation) -> _Sides: ...

    @abstractmethod
    def _stays(self, sides: _Sides) -> tuple[bool, str]:
        """Whether this side stays, for sure, and why."""


@dataclass(frozen=True, slots=True)
class KeepMajority(_Voting):
    """The larger side stays; of two halves, the one with the lowest address.

    In a cluster of two, the loss of the lower address therefore downs the other node as well.

    Attributes:
        role: count only members of this role; `None` counts all.
    """

    role: str | None = None

    def __post_init__(self) -> None:
        check_instance("KeepMajority.role", self.role, str)

    def _sides(self, situation: Situation) -> _Sides:
        return _Sides(situation, self.role)

    def _stays(self, sides: _Sides) -> tuple[bool, str]:
        here, there = len(sides.sure), len(sides.possible)
        if here == there:
            return sides.lowest_is_here, f"{sides.count}, the lowest address is {'here' if sides.lowest_is_here else 'not'}"
        return here > there, sides.count


@dataclass(frozen=True, slots=True)
class KeepOldest(_Voting):
    """The side of the oldest member stays, which is where singletons and coordinators are.

    Attributes:
        role: only members of this role count, and the oldest of them is meant; `None` is all.
        down_if_alone: whether an oldest member that is all alone goes instead, if there are two or more others.
    """

    role: str | None = None
    down_if_alone: bool = True

    def __post_init__(self) -> None:
        check_instance("KeepOldest.role", self.role, str)
        check_flag("KeepOldest.down_if_alone", self.down_if_alone)

    def _sides(self, situation: Situation) -> _Sides:
        return _Sides(situation, self.role)

    def _stays(self, sides: _Sides) -> tuple[bool, str]:
        voters = [*sides.sure, *sides.possible]
        if not voters:
            return False, "no member counts"
        oldest = min(voters, key=lambda member: member.age)
        here, there = len(sides.sure), len(sides.possible)
        if oldest in sides.sure:
            alone = self.down_if_alone and here == 1 and there > 1
            return not alone, f"the oldest, {oldest}, is here{' and alone' if alone else ''}"
        alone = self.down_if_alone and there == 1 and here > 1
        return alone, f"the oldest, {oldest}, is not here{' but alone' if alone else ''}"


@dataclass(frozen=True, slots=True)
class StaticQuorum(_Voting):
    """A side of ``size`` or more members stays, unless another one may be as large.

    With a size of more than half of all members there is always one at most. In a cluster that has outgrown twice the size,
    a cut may end both sides; the loss of fewer than ``size`` members does not.

    Attributes:
        size: how many members it takes.
        role: count only members of this role; `None` counts all.
    """

    size: int
    role: str | None = None

    def __post_init__(self) -> None:
        check_count("StaticQuorum.size", self.size, 1)
        check_instance("StaticQuorum.role", self.role, str)

    def _sides(self, situation: Situation) -> _Sides:
        return _Sides(situation, self.role)

    def _stays(self, sides: _Sides) -> tuple[bool, str]:
        here, there = len(sides.sure), len(sides.possible)
        return here >= self.size > there, f"{sides.count}, the quorum is {self.size}"


@dataclass(frozen=True, slots=True)
class DownAll(DowningStrategy):
    """Everybody goes, on all sides: for clusters that something outside starts again."""

    def decide(self, situation: Situation) -> Decision:
        return Decision(_uids(situation.members), "somebody is unreachable: all go")


@dataclass(frozen=True, slots=True)
class KeepLease(DowningStrategy):
    """The side that gets a lease from a third party stays; a store that all can reach, for instance.

    Attributes:
        acquire: a `Lease`, or a function like its ``acquire``: asks for the lease in the name it is called with, and says
            whether that name holds it now. All nodes of a side ask, in the same name, so asking again in the name of the
            holder has to be granted. A lease should end by itself after a while (40 seconds, say), for it is not given
            back, and the next cut would find it taken. An exception is a refusal.
        role: which members decide who is the larger side; `None` is all.
        minority_delay: how many seconds the smaller side waits before it asks, so that the larger one is first.
    """

    acquire: Lease | Callable[[str], Awaitable[bool]]
    role: str | None = None
    minority_delay: float = 2.0

    def __post_init__(self) -> None:
        if not isinstance(self.acquire, Lease) and not callable(self.acquire):
            refuse("KeepLease.acquire", self.acquire, "a Lease, or an async function of a name")
        check_instance("KeepLease.role", self.role, str)
        check_seconds("KeepLease.minority_delay", self.minority_delay, finite=True)

    async def ask(self, name: str) -> bool:
        """Ask for the lease in that name; whether it is had."""
        acquire = self.acquire.acquire if isinstance(self.acquire, Lease) else self.acquire
        return await acquire(name)

    def decide(self, situation: Situation) -> Decision:
        sides = _Sides(situation, self.role)
        if not sides.kept:
            return Decision(sides.leave(), "all see each other in part only")
        here, there = len(sides.sure), len(sides.possible)
        first = here > there or (here == there and sides.lowest_is_here)
        name = str(min(sides.kept, key=_place).uid)
        why = f"{sides.count}: the side with the lease stays"
        return Decision(sides.stay(), why, name, 0.0 if first else self.minority_delay, sides.leave())


def _essence(situation: Situation, sides: _Sides) -> object:
    """What has to stay the same before somebody decides.

    That is all a decision may depend on. Members that join and can be reached change nothing, and are left out: however many
    join one after another, they do not put a decision off.
    """
    away = {member.uid for member in sides.there}
    settled = [member for member in situation.members if member.uid in away or member.status >= MemberStatus.UP]
    return sorted((member.uid, member.status) for member in settled), sorted(away), [member.uid for member in sides.mixed]


class Downing:
    """When to decide: after the view was the same for a while, with somebody unreachable in it.

    Who would go itself by what it sees now waits for the whole time only since it first missed anybody, and for a third of
    it since the last change: one side of a cut may notice at once, and the other bit by bit, and what goes has to be gone
    before what stays takes over.

    A view that goes on changing, with nobody knowing who will be left, ends in everybody going: when three times or more
    somebody was missed who was not before, and three quarters of the stable time (4 seconds at least) beyond it. Who is seen
    again makes it no less clear who is left: of two nodes that fail at a time, one may come back, and the rest go on.

    Args:
        strategy: who goes; `None` never downs anybody.
        stable_after: for how many seconds the view has to be the same; `None` is by the size of the cluster, as the function
            of that name says.

    Example:
        >>> members = tuple(Member(uid, "10.0.0.1", uid, f"node-{uid}", status=MemberStatus.UP) for uid in (1, 2, 3))
        >>> downing = Downing(KeepMajority())
        >>> downing.observe(0.0, Situation(1, members, (3,), ((1, 3), (2, 3))))
        >>> downing.next_wakeup, downing.tick(2.9), downing.tick(3.0).down
        (3.0, None, (3,))
    """

    def __init__(self, strategy: DowningStrategy | None, stable_after: float | None = None) -> None:
        if stable_after is not None:
            check_seconds("stable_after", stable_after, positive=True)
        check_instance("strategy", strategy, DowningStrategy)
        self._strategy = strategy
        self._stable_after = stable_after
        self._situation: Situation | None = None
        self._essence: object = None
        self._suspects: tuple[int, ...] = ()
        self._since = self._first = math.inf
        self._changes = 0
        self._decided = self._goes = False

    @property
    def decided(self) -> bool:
        """Whether `tick` has decided, and the situation is the same still."""
        return self._situation is not None and self._decided

    @property
    def next_wakeup(self) -> float:
        """When `tick` has to be called; infinity while there is nothing to decide."""
        if self._situation is None or self._decided:
            return math.inf
        return min(self._settled, self._enough)

    def observe(self, now: float, situation: Situation) -> None:
        """The view of this node has changed, or may have."""
        statuses = {member.uid: member.status for member in situation.members}
        going = statuses.get(situation.self_uid, MemberStatus.REMOVED) >= MemberStatus.EXITING
        sides = _Sides(situation)
        suspects = sides.stay()
        if self._strategy is None or going or not suspects:
            self._situation = self._essence = None
            self._suspects = ()
            return
        essence = _essence(situation, sides)
        if self._situation is None or self._decided:
            self._first, self._changes = now, 0
        if essence != self._essence:
            self._since, self._decided = now, False
            verdict = self._strategy.decide(situation)
            self._goes = situation.self_uid in verdict.down and not verdict.ask_lease
            self._changes += not set(suspects) <= set(self._suspects)
        self._situation, self._essence, self._suspects = situation, essence, suspects

    def tick(self, now: float) -> Decision | None:
        """Decide, if it is time: once, until the view changes."""
        situation = self._situation
        if situation is None or self._strategy is None or now < self.next_wakeup:
            return None
        self._decided = True
        if now >= self._settled:
            return self._strategy.decide(situation)
        return Decision(_uids(situation.members), f"the view changes for {now - self._first:.1f} s on end: all go")

    def excuse(self, now: float) -> None:
        """This node was itself late or paused: wait from now on as if the view had just changed.

        Its view is as old as the pause was long. By the clock a decision may be due, but the others may have been reachable
        all the time, and those it would down are perhaps those that go on. So it hears the news first. As much as it must
        not judge, it must not go on as if nothing had been: it may have been removed meanwhile. What it hosts has to stand
        still, from before the first handler runs until it has heard from the others or this machine decides.
        """
        self._since = self._first = now
        self._changes = 0

    @property
    def _stable(self) -> float:
        if self._stable_after is not None:
            return self._stable_after
        return stable_after(len(self._situation.members)) if self._situation is not None else math.inf

    @property
    def _settled(self) -> float:
        """When the view has been the same for long enough: for a node that goes by what it sees now, sooner."""
        stable = self._stable
        settled = self._since + stable
        return min(settled, max(self._first + stable, self._since + stable / 3)) if self._goes else settled

    @property
    def _enough(self) -> float:
        """When a view that goes on changing is given up."""
        if self._changes < 3:
            return math.inf
        return self._first + self._stable + max(LEAST_EXTRA, 0.75 * self._stable)
