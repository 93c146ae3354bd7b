"""What always has to hold of the members that nodes see, as checks for the observer of a bench. Floor F6.

They know nothing of how a cluster does it: a function of the scenario says what each node sees at a moment, and the bench
knows which nodes live, and which could hear each other for how long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from math import inf

import trio

from casty_trio.model.events import Event, NodeGone
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
    """

    members: tuple[tuple[int, str], ...]
    leader: int = 0
    cluster: int = 0
    accuses: tuple[int, ...] = ()


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
    """Nobody says of a node that it does not answer, while both run without a pause, and hear each other.

    Parameters:
        memory: for how many seconds after a disturbance that may be the cause: at least as long as a verdict takes, and as
            it takes to be withdrawn.

    Attributes:
        heard: how many accusations there were.
    """

    name = "I9 accuracy"

    def __init__(self, memory: float = 20.0) -> None:
        self.heard: int = 0
        self._memory = memory

    def accused(self, by: str, whom: str, why: str = "") -> None:
        """A node accuses another; for the scenario to call in the moment that it does so."""
        if not self.observer.hears(by):
            return
        self.heard += 1
        fair = self.observer.undisturbed(by, whom)
        if fair > self._memory:
            self.fail(f"it accuses {whom}, and they heard each other for {fair:.1f} s{f': {why}' if why else ''}", by)

    def on_event(self, life: Life, event: Event) -> None:
        if isinstance(event, NodeGone):
            accused = self.observer.lives.get(event.uid)
            if accused is not None and accused.until == inf:
                self.accused(life.node, accused.node, event.reason)

    def report(self) -> Mapping[str, float]:
        return {"accusations": self.heard}


class Membership(Invariant):
    """Nobody is up, or leads, before there is a cluster; who was removed never returns; a side has one leader; and in the
    end exactly those are up that live.

    Parameters:
        views: what each living node sees.
        settle: for how many seconds two nodes that hear each other may both believe that they lead.
    """

    name = "C2, C4 members"

    def __init__(self, views: Views, settle: float = 15.0) -> None:
        self._views = views
        self._settle = settle
        self._seen: dict[int, set[int]] = {}  # by the uid of who sees them
        self._removed: dict[int, set[int]] = {}
        self._both_lead: dict[tuple[int, int], float] = {}

    def poll(self) -> None:
        views = self._views()
        for node, view in sorted(views.items()):
            life = self.observer.life_of(node)
            if life is not None:
                self._check_cluster(node, view)
                self._check_removed(life, view)
        self._check_leaders(views)

    def at_rest(self) -> None:
        self.poll()
        living = sorted(life.uid for life in self.observer.living())
        for node, view in sorted(self._views().items()):
            up = sorted(uid for uid, status in view.members if status == "up")
            if up != living:
                self.fail(f"it sees {up} up, and {living} live", node)
                return

    def _check_cluster(self, node: str, view: View) -> None:
        if not view.cluster and (view.leader or any(status != "joining" for _, status in view.members)):
            self.fail(f"it is in no cluster, and sees {view}", node)

    def _check_removed(self, life: Life, view: View) -> None:
        """Whom it has seen, and then not, it has removed."""
        now = {uid for uid, status in view.members if status != "removed"}
        removed = self._removed.setdefault(life.uid, set())
        back = now & removed
        if back:
            self.fail(f"it had removed {sorted(back)}, and sees {'them' if len(back) > 1 else 'it'} again", life.node)
        removed |= self._seen.get(life.uid, set()) - now
        self._seen[life.uid] = now

    def _check_leaders(self, views: Mapping[str, View]) -> None:
        lead = [life for life in self.observer.living() if life.node in views and views[life.node].leader == life.uid]
        now, before = trio.current_time(), self._both_lead
        self._both_lead = {(a.uid, b.uid): before.get((a.uid, b.uid), now) for a, b in combinations(lead, 2)}
        for one, other in combinations(lead, 2):
            fair = self.observer.undisturbed(one.node, other.node)
            if min(fair, now - self._both_lead[one.uid, other.uid]) > self._settle:
                self.fail(f"it believes that it leads, and so does {other.node}, and they hear each other", one.node)
