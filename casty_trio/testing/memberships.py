"""What always has to hold of the members that nodes see, as checks for the observer of a bench. Floor F6.

They know nothing of how a cluster does it: a function of the scenario says what each node sees at a moment, and the bench
knows which nodes live, and which could hear each other for how long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations, permutations
from math import inf

import trio

from casty_trio.model.events import Event, NodeGone
from casty_trio.model.member import MemberStatus
from casty_trio.testing.nodes import Change
from casty_trio.testing.observer import Invariant, Life

__all__ = ["Accusations", "Convergence", "Membership", "View", "Views"]


@dataclass(frozen=True, slots=True)
class View:
    """What one node sees of its cluster.

    Parameters:
        members: the uids of all members, each with its status in words (``up``, ``joining``, ``down`` and so on), sorted.
        leader: the uid of the leader; 0 for none.
        cluster: the number of the cluster; 0 while it is in none.
        accuses: the uids of the members that it says itself do not answer.
        unreachable: the uids of those of which anybody says so.
    """

    members: tuple[tuple[int, str], ...]
    leader: int = 0
    cluster: int = 0
    accuses: tuple[int, ...] = ()
    unreachable: tuple[int, ...] = ()


ORDER = tuple(str(status) for status in MemberStatus)
"""Statuses in words, as they follow on each other."""

Views = Callable[[], Mapping[str, View]]
"""Says what each living node sees now, by its name."""


class Convergence(Invariant):
    """Some time after the last fault all nodes see the same.

    Parameters:
        views: what each living node sees, by its name; what is equal has converged.
        within: how many seconds after the last fault.

    Attributes:
        worst: how many seconds it took; infinity when it did not come about, or has not lasted.
    """

    name = "I8 convergence"

    def __init__(self, views: Callable[[], Mapping[str, object]], within: float) -> None:
        self.worst: float = inf
        self._views = views
        self._within = within
        self._over = False

    def poll(self) -> None:
        observer = self.observer
        if observer.healed_at == inf or self._over:
            return
        seconds = trio.current_time() - observer.healed_at
        views = dict(self._views())
        first, *others = views.values() or [None]
        if set(views) >= set(observer.nodes.names) and all(view == first for view in others):
            self.worst = min(self.worst, seconds)
            return
        self.worst = inf
        if seconds > self._within:
            self._complain(seconds)

    def at_rest(self) -> None:
        self.poll()
        self._over = True  # nodes that leave see less and less alike
        if self.worst == inf:
            self._complain(trio.current_time() - self.observer.healed_at)

    def _complain(self, seconds: float) -> None:
        self.fail(f"{seconds:.0f} s after the last fault the nodes see: {dict(sorted(self._views().items()))}")

    def report(self) -> Mapping[str, float]:
        return {"convergence": self.worst}


class Accusations(Invariant):
    """Nobody says of a node that it does not answer, while both run without a pause, and hear each other; and whoever wakes
    from a pause says so of nobody for a while, whatever there was before.

    Parameters:
        memory: for how many seconds after a disturbance that may be the cause: at least as long as a verdict takes, and as
            it takes to be withdrawn.
        waking: for how many seconds a node accuses nobody that was paused for longer than that.

    Attributes:
        heard: how many accusations there were.
    """

    name = "I9 accuracy"

    def __init__(self, memory: float = 20.0, waking: float = 2.0) -> None:
        self.heard: int = 0
        self._memory = memory
        self._waking = waking
        self._paused: dict[str, float] = {}  # since when
        self._woken: dict[str, float] = {}

    def on_change(self, node: str, change: Change) -> None:
        now = trio.current_time()
        if change == "paused":
            self._paused[node] = now
        elif change == "resumed" and now - self._paused[node] > self._waking:
            self._woken[node] = now
        elif change == "started":
            self._woken.pop(node, None)

    def accused(self, by: str, whom: str, why: str = "") -> None:
        """A node accuses another; for the scenario to call in the moment that it does so."""
        if not self.observer.hears(by):
            return
        self.heard += 1
        because = f": {why}" if why else ""
        fair = self.observer.undisturbed(by, whom)
        if fair > self._memory:
            self.fail(f"it accuses {whom}, and they heard each other for {fair:.1f} s{because}", by)
        woken = trio.current_time() - self._woken.get(by, -inf)
        if woken < self._waking:
            self.fail(f"it accuses {whom}, and was itself paused until {woken:.1f} s ago{because}", by)

    def on_event(self, life: Life, event: Event) -> None:
        if isinstance(event, NodeGone):
            accused = self.observer.living_as(event.uid)
            if accused is not None:
                self.accused(life.node, accused.node, event.reason)

    def report(self) -> Mapping[str, float]:
        return {"accusations": self.heard}


class Membership(Invariant):
    """Nobody is up, or leads, before there is a cluster; nodes that nothing befalls found only one; statuses only rise; who
    hears that it is unreachable refutes it; who was removed is so for all, and never returns; a side has one leader; and in
    the end exactly those are up that live.

    Parameters:
        views: what each living node sees.
        settle: for how many seconds two nodes that hear each other may see it differently who leads, or was removed.
        forming: for how many seconds nothing befalls the nodes at first.
    """

    name = "C2, C4, C5 members"

    def __init__(self, views: Views, settle: float = 15.0, forming: float = 0.0) -> None:
        self._views = views
        self._settle = settle
        self._forming = forming
        self._founded: set[int] = set()
        self._statuses: dict[tuple[int, int], dict[int, int]] = {}  # by the uid of who sees them, and its cluster
        self._seen: dict[tuple[int, int], set[int]] = {}  # likewise
        self._removed: dict[tuple[int, int], dict[int, float]] = {}  # and when
        self._both_lead: dict[tuple[int, int], float] = {}

    def look(self, life: Life, view: View) -> None:
        """See what one start of a node sees; the scenario may call it whenever that changes, or leave it to the polls."""
        self._check_cluster(life.node, view)
        self._check_founded(life.node, view)
        self._check_statuses(life, view)
        self._check_refuted(life, view)
        self._check_removed(life, view)

    def poll(self) -> None:
        views = self._views()
        for node, view in sorted(views.items()):
            life = self.observer.life_of(node)
            if life is not None:
                self.look(life, view)
        self._check_leaders(views)
        self._check_gone(views)

    def at_rest(self) -> None:
        self.poll()
        living = sorted(life.system.uid for life in self.observer.living())
        for node, view in sorted(self._views().items()):
            up = sorted(uid for uid, status in view.members if status == "up")
            if up != living:
                self.fail(f"it sees {up} up, and {living} live", node)
                return

    def _check_cluster(self, node: str, view: View) -> None:
        if not view.cluster and (view.leader or any(status != "joining" for _, status in view.members)):
            self.fail(f"it is in no cluster, and sees {view}", node)

    def _check_founded(self, node: str, view: View) -> None:
        if view.cluster and trio.current_time() < self._forming:
            self._founded.add(view.cluster)
            if len(self._founded) > 1:
                self.fail(f"it is in cluster {view.cluster}, and nothing had befallen another one", node)

    def _check_statuses(self, life: Life, view: View) -> None:
        known = self._statuses.setdefault((life.uid, view.cluster), {})
        for uid, status in view.members:
            rank = ORDER.index(status) if status in ORDER else -1
            before = known.setdefault(uid, rank)
            if rank < before:
                self.fail(f"it sees {uid} {status}, and has seen it {ORDER[before]}", life.node)
            known[uid] = rank

    def _check_refuted(self, life: Life, view: View) -> None:
        if life.system.uid in view.unreachable and (life.system.uid, "down") not in view.members:
            self.fail("it hears that it is unreachable, and lets that stand", life.node)

    def _check_removed(self, life: Life, view: View) -> None:
        """Whom it has seen, and then not, it has removed; in another cluster the same start may be a member all the same."""
        now = {uid for uid, status in view.members if status != "removed"}
        removed = self._removed.setdefault((life.uid, view.cluster), {})
        back = sorted(now & removed.keys())
        if back:
            self.fail(f"it had removed {back}, and sees {'them' if len(back) > 1 else 'it'} again", life.node)
        removed |= dict.fromkeys(self._seen.get((life.uid, view.cluster), set()) - now, trio.current_time())
        self._seen[life.uid, view.cluster] = now

    def _check_gone(self, views: Mapping[str, View]) -> None:
        """Whom one node has removed, those that hear it soon see no more."""
        now, lives = trio.current_time(), [life for life in self.observer.living() if life.node in views]
        for one, other in permutations(lives, 2):
            fair = self.observer.undisturbed(one.node, other.node)
            if fair > self._settle and views[one.node].cluster == views[other.node].cluster:
                removed = self._removed.get((one.uid, views[one.node].cluster), {})
                left = [uid for uid, _ in views[other.node].members if now - removed.get(uid, inf) > self._settle]
                if left:
                    self.fail(f"it sees {left}, which {one.node} has removed, and they hear each other", other.node)

    def _check_leaders(self, views: Mapping[str, View]) -> None:
        lead = [life for life in self.observer.living() if life.node in views and views[life.node].leader == life.system.uid]
        now, before = trio.current_time(), self._both_lead
        self._both_lead = {(a.uid, b.uid): before.get((a.uid, b.uid), now) for a, b in combinations(lead, 2)}
        for one, other in combinations(lead, 2):
            fair = self.observer.undisturbed(one.node, other.node)
            if min(fair, now - self._both_lead[one.uid, other.uid]) > self._settle:
                self.fail(f"it believes that it leads, and so does {other.node}, and they hear each other", one.node)
