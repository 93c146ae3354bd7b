"""Clusters under test: nodes that find each other by their seeds, and what has to hold of their membership. Floor F6."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

import trio

from casty_trio.cluster import ClusteredActorSystem
from casty_trio.errors import NodeDownedError
from casty_trio.model.cluster_events import MemberDowned, MemberRemoved, UnreachableMember
from casty_trio.model.events import Event
from casty_trio.model.member import MemberStatus
from casty_trio.testing.bench import Bench
from casty_trio.testing.host import NodeProgram
from casty_trio.testing.memberships import Accusations, Convergence, Membership, View
from casty_trio.testing.observer import Invariant, Life
from casty_trio.testing.traffic import MESSAGES, Traffic
from casty_trio.testing.world import SimulatedEnv

__all__ = ["MembersAccused", "OneSide", "clustered", "views_of"]

PORT = 25_520

CONVERGED_WITHIN = 45.0
"""So many seconds after the last fault all nodes agree, new starts of those that were down included."""

WAKING = 5.0
"""For so many seconds a node that was paused may not know yet that it was removed."""


class MembersAccused(Accusations):
    """As `Accusations`, where members say whom they cannot reach; that a node is gone follows from that, or it has left."""

    def on_event(self, life: Life, event: Event) -> None:
        if isinstance(event, UnreachableMember) and (life.uid, event.member.uid) in system_of(life).observations:
            accused = self.observer.lives.get(event.member.uid)
            if accused is not None and accused.until == inf:
                self.accused(life.node, accused.node)


class OneSide(Invariant):
    """Who is removed although it did not leave has ended by then, or is paused: what it hosted runs nowhere else before."""

    name = "C6 one side"

    def __init__(self) -> None:
        self._downed: set[int] = set()

    def on_event(self, life: Life, event: Event) -> None:
        if isinstance(event, MemberDowned):
            self._downed.add(event.member.uid)
        elif isinstance(event, MemberRemoved) and event.member.status == MemberStatus.DOWN:
            removed = self.observer.lives.get(event.member.uid)
            if removed is not None and self.observer.hears(life.node) and self._goes_on(removed):
                self.fail(f"it has removed {removed.node}, uid {removed.uid}, which goes on", life.node)

    def _goes_on(self, life: Life) -> bool:
        awake = life.node in self.observer.nodes.awake
        rested = trio.current_time() - self.observer.nodes.steady_since(life.node) < WAKING  # it has yet to hear of it
        mine = system_of(life).uid == life.uid and not system_of(life).downed
        return life.until == inf and awake and mine and not rested

    def report(self) -> Mapping[str, float]:
        return {"members downed": len(self._downed)}


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
    return View(tuple(members), state.leader.uid if state.leader is not None else 0, state.cluster, tuple(accused))


def system_of(life: Life) -> ClusteredActorSystem:
    """The system of a start of a node."""
    system: Any = life.system
    assert isinstance(system, ClusteredActorSystem), "nodes of these benches are of no other kind"
    return system


def clustered(bench: Bench) -> NodeProgram:
    """Nodes of one cluster, with the usual load; a node that is down ends, and is started again.

    Example::

        run_plan(clustered, Swarm().plan(seed=7))
    """
    traffic = Traffic(bench, port=PORT, tells=4.0, liveness=CONVERGED_WITHIN)
    observer = bench.observer
    observer.add(MembersAccused())
    observer.add(Membership(lambda: views_of(bench)))
    observer.add(OneSide())
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
            messages=MESSAGES,
            link=link,
            insecure=True,
            env=env,
            check_serialization=False,
        )
        async with system:
            await traffic.run(system, name)

    return node
