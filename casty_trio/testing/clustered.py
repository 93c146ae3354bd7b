"""Clusters under test: nodes that find each other by their seeds, and what has to hold of their membership. Floor F6."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations, product
from math import inf
from typing import Any

import trio

from casty_trio.cluster import ClusteredActorSystem
from casty_trio.errors import NodeDownedError
from casty_trio.model.cluster_events import (
    ClusterState,
    MemberDowned,
    MemberExited,
    MemberLeft,
    MemberRemoved,
    UnreachableMember,
)
from casty_trio.model.events import Event
from casty_trio.model.member import MemberStatus
from casty_trio.testing.bench import Bench
from casty_trio.testing.entities import EntityTraffic, Item, Tally
from casty_trio.testing.host import NodeProgram
from casty_trio.testing.memberships import Accusations, Convergence, Membership, View
from casty_trio.testing.observer import Invariant, Life
from casty_trio.testing.services import Listed
from casty_trio.testing.singletons import SingletonTraffic
from casty_trio.testing.systems import system_of
from casty_trio.testing.traffic import MESSAGES, Traffic
from casty_trio.testing.world import SimulatedEnv

__all__ = ["MembersAccused", "OneSide", "Seen", "Spared", "Talk", "clustered", "views_of"]

PORT = 25_520

CONVERGED_WITHIN = 45.0
"""So many seconds after the last fault all nodes agree, new starts of those that were down included."""

WAKING = 5.0
"""For so many seconds a node that was paused may not know yet that it was removed."""


class MembersAccused(Accusations):
    """As `Accusations`, where members say whom they cannot reach; that a node is gone follows from that, or it has left."""

    def on_event(self, life: Life, event: Event) -> None:
        if isinstance(event, UnreachableMember) and (life.system.uid, event.member.uid) in system_of(life).observations:
            accused = self.observer.living_as(event.member.uid)
            if accused is not None:
                self.accused(life.node, accused.node)


class Seen(Membership):
    """As `Membership`, where each change of what a node sees is looked at, and not only what there is when a second ends."""

    def on_event(self, life: Life, event: Event) -> None:
        if isinstance(event, ClusterState):
            self.look(life, _view(system_of(life)))


class Spared(Invariant):
    """Nobody is declared down who does not leave, runs without a pause, and hears most of the members, and they it; those
    that leave have no vote. What a node says that goes itself counts once another has heard it; what one says that was cut
    off itself a moment ago does not: it has not heard the news.

    Parameters:
        memory: for how many seconds that has to have been so: at least as long as an accusation takes to be withdrawn.
    """

    name = "C5 spared"

    def __init__(self, memory: float = 6.0) -> None:
        self._memory = memory
        self._going: set[int] = set()

    def on_event(self, life: Life, event: Event) -> None:
        if isinstance(event, (MemberLeft, MemberExited)):
            self._going.add(event.member.uid)
        elif isinstance(event, MemberDowned) and event.member.uid not in self._going and not self._goes(life):
            self._going.add(event.member.uid)
            downed = self.observer.living_as(event.member.uid)
            if downed is not None and self._hears_most(downed) and self._hears_most(life):
                self.fail(f"it hears that {downed.node}, uid {downed.system.uid}, is down, which hears most", life.node)

    def _goes(self, life: Life) -> bool:
        return system_of(life).self_node.status >= MemberStatus.DOWN

    def _hears_most(self, life: Life) -> bool:
        members = system_of(life).members
        return 2 * sum(m.status == MemberStatus.UP and self._hear(life, m.uid) for m in members) > len(members)

    def _hear(self, life: Life, uid: int) -> bool:
        other = self.observer.living_as(uid)
        return other is not None and self.observer.undisturbed(life.node, other.node) > self._memory


class Talk(Invariant):
    """Nodes that agree have nothing to tell each other: in no second does one say more than this about membership.

    Parameters:
        most: how many messages to each other node, at the mean.

    Attributes:
        peak: how many there were at most.
    """

    name = "C1 talk"

    def __init__(self, most: float = 300.0) -> None:
        self.peak: float = 0.0
        self._most = most
        self._before: dict[int, tuple[float, int]] = {}

    def poll(self) -> None:
        now, others = trio.current_time(), len(self.observer.nodes.names) - 1
        for life in self.observer.living():
            said = system_of(life).membership_statistics().messages
            then, before = self._before.get(life.uid, (life.since, 0))
            self._before[life.uid] = now, said
            rate = (said - before) / max(now - then, 1.0) / others
            self.peak = max(self.peak, rate)
            if rate > self._most:
                self.fail(f"it has said {rate:.0f} things about membership to each other node in a second", life.node)

    def report(self) -> Mapping[str, float]:
        return {"peak talk": self.peak}


class OneSide(Invariant):
    """Of two sides that do not hear each other at most one goes on; and who is removed although it did not leave has ended
    by then, or is paused: what it hosted runs nowhere else before.

    Parameters:
        apart: for how many seconds two sides may both go on: as long as it takes to notice the other's silence, and to
            decide.

    Attributes:
        longest: for how many seconds both went on at most.
    """

    name = "C6 one side"

    def __init__(self, apart: float = 15.0) -> None:
        self.longest: float = 0.0
        self._apart = apart
        self._downed: set[int] = set()
        self._split: dict[frozenset[str], float] = {}  # since when two nodes are on two sides

    def on_event(self, life: Life, event: Event) -> None:
        if isinstance(event, MemberDowned):
            self._downed.add(event.member.uid)
        elif isinstance(event, MemberRemoved) and event.member.status == MemberStatus.DOWN:
            removed = self.observer.living_as(event.member.uid)
            if removed is not None and self.observer.hears(life.node) and self._goes_on(removed):
                self.fail(f"it has removed {removed.node}, uid {event.member.uid}, which goes on", life.node)

    def poll(self) -> None:
        now, sides = trio.current_time(), list(combinations(self.observer.weather.sides(), 2))
        pairs = [frozenset(pair) for one, other in sides for pair in product(one, other)]
        self._split = {pair: self._split.get(pair, now) for pair in pairs}  # before, they heard each other, or of each other
        for one, other in sides:
            for a, b in product(self._up(one), self._up(other)):
                steady = min(self.observer.undisturbed(life.node, life.node) for life in (a, b))
                apart = min(self.observer.weather.apart(one, other), now - self._split[frozenset((a.node, b.node))])
                if system_of(a).cluster_state.cluster == system_of(b).cluster_state.cluster:
                    self.longest = max(self.longest, min(apart, steady))
                    if self.longest > self._apart:
                        self.fail(f"it goes on, and so does {b.node}, and nothing came through for {apart:.1f} s", a.node)

    def _up(self, names: Iterable[str]) -> list[Life]:
        lives = [life for life in self.observer.living() if life.node in names]
        return [life for life in lives if system_of(life).self_node.status == MemberStatus.UP]

    def _goes_on(self, life: Life) -> bool:
        awake = life.node in self.observer.nodes.awake
        rested = trio.current_time() - self.observer.nodes.steady_since(life.node) < WAKING  # it has yet to hear of it
        system = system_of(life)
        return awake and not rested and not system.downed and not system.in_doubt  # what it hosts stands still meanwhile

    def report(self) -> Mapping[str, float]:
        return {"members downed": len(self._downed), "peak apart": self.longest}


def views_of(bench: Bench) -> dict[str, View]:
    """What each living node sees."""
    return {life.node: _view(system_of(life)) for life in bench.observer.living()}


def agreed_views_of(bench: Bench) -> dict[str, object]:
    """The same, but where a node does not know yet that all see it alike, it is no view at all."""
    views: dict[str, object] = {}
    for life in bench.observer.living():
        state = system_of(life).cluster_state
        if state.converged and state.members:
            views[life.node] = state.members
    return views


def _view(system: ClusteredActorSystem) -> View:
    state = system.cluster_state
    members = sorted((member.uid, str(member.status)) for member in state.members)
    accused = sorted(uid for observer, uid in system.observations if observer == system.uid)
    leader = state.leader.uid if state.leader is not None else 0
    unreachable = sorted(member.uid for member in state.unreachable)
    return View(tuple(members), leader, state.cluster, tuple(accused), tuple(unreachable))


def clustered(bench: Bench, *, complete: bool = False, **more: Any) -> NodeProgram:
    """Nodes of one cluster, with the usual load; a node that is down ends, and is started again.

    Parameters:
        bench: where they run.
        complete: whether every item told to an entity has to be handled: only with plans that hold planned changes alone.
        more: further arguments of each node's `ClusteredActorSystem`.

    Example::

        run_plan(clustered, Swarm().plan(seed=7))
        run_plan(partial(clustered, downing=KeepOldest()), Swarm().plan(seed=7))
    """
    traffic = Traffic(bench, port=PORT, tells=4.0, liveness=CONVERGED_WITHIN)
    entities = EntityTraffic(bench, rate=4.0 if complete else 2.0, complete=complete)
    singletons = SingletonTraffic(bench, rate=4.0 if complete else 1.0, complete=complete)
    observer = bench.observer
    observer.add(MembersAccused())
    observer.add(Seen(lambda: views_of(bench), forming=min((step.at for step in bench.plan.steps), default=inf)))
    observer.add(Spared())
    observer.add(Talk())
    observer.add(OneSide())
    listed = observer.add(Listed())
    observer.add(Convergence(lambda: agreed_views_of(bench), CONVERGED_WITHIN))
    bench.expected = (NodeDownedError,)
    link = bench.plan.knobs.link(keep_alive=1.0, dead_after=6.0)
    seeds = [(name, PORT) for name in bench.names]

    async def node(env: SimulatedEnv, name: str) -> None:
        system = ClusteredActorSystem(
            "bench",
            name,
            PORT,
            name,
            seed_nodes=seeds,
            messages=(*MESSAGES, Item, Tally),
            link=link,
            insecure=True,
            env=env,
            check_serialization=False,
            **more,
        )
        async with system, trio.open_nursery() as nursery:
            nursery.start_soon(listed.churn, system, bench.sim.rng(f"services of {name}"))
            nursery.start_soon(listed.visit, env, name, seeds, system.name)
            async with traffic.on(system, name) as life, entities.on(system, life), singletons.on(system, life):
                await bench.told_to_leave(name)
            nursery.cancel_scope.cancel()

    return node
