"""Clusters under test: nodes that find each other by their seeds, and what has to hold of their membership. Floor F6."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import trio

from casty_trio.cluster import ClusteredActorSystem
from casty_trio.errors import NodeDownedError
from casty_trio.model.cluster_events import MemberDowned, MemberJoined, MemberRemoved, MemberUp, UnreachableMember
from casty_trio.model.events import Event
from casty_trio.model.member import Member, MemberStatus
from casty_trio.testing.bench import Bench
from casty_trio.testing.host import NodeProgram
from casty_trio.testing.invariants import Accusations, Convergence, Membership
from casty_trio.testing.observer import Invariant, Life
from casty_trio.testing.traffic import MESSAGES, Traffic
from casty_trio.testing.world import SimulatedEnv

__all__ = ["OneSide", "Watched", "clustered", "views_of"]

PORT = 25_520

CONVERGED_WITHIN = 45.0
"""So many seconds after the last fault all nodes agree, new starts of those that were down included."""


class Watched(Invariant):
    """Tells the invariants about membership what the nodes see of each other."""

    name = "membership"

    def __init__(self, accusations: Accusations, membership: Membership) -> None:
        self._accusations = accusations
        self._membership = membership

    def on_event(self, life: Life, event: Event) -> None:
        match event:
            case MemberUp(member):
                self._membership.founded()
                self._membership.up(life.node, member.uid)
            case MemberJoined(member):
                self._membership.present(life.node, member.uid)
            case MemberRemoved(member):
                self._membership.gone(life.node, member.uid)
            case UnreachableMember(member) if self._says_so_itself(life, member):
                accused = self.observer.lives.get(member.uid)
                if accused is not None and accused.until == float("inf"):
                    self._accusations.accused(life.node, accused.node)
            case _:
                pass

    def poll(self) -> None:
        views: dict[str, tuple[int, list[int]]] = {}
        for life in self.observer.living():
            state = system_of(life).cluster_state
            if state.converged and state.leader is not None:
                views[life.node] = state.leader.uid, [8 * member.uid + member.status for member in state.members]
        self._membership.leaders(views)

    def _says_so_itself(self, life: Life, member: Member) -> bool:
        return any(observer == life.uid and uid == member.uid for observer, uid in system_of(life).observations)


class MembersAccused(Accusations):
    """As `Accusations`, where members say who cannot be reached; that a node is gone follows from it, or it has left."""

    def on_event(self, life: Life, event: Event) -> None:
        return


class OneSide(Invariant):
    """Who is removed although it did not leave has ended by then, or is paused: what it hosted runs nowhere else yet."""

    name = "C6 one side"

    def __init__(self) -> None:
        self._downed: dict[int, float] = {}

    def on_event(self, life: Life, event: Event) -> None:
        if isinstance(event, MemberDowned):
            self._downed.setdefault(event.member.uid, trio.current_time())
        elif isinstance(event, MemberRemoved) and event.member.status == MemberStatus.DOWN:
            removed = self.observer.lives.get(event.member.uid)
            if removed is not None and self.observer.hears(life.node) and self._goes_on(removed):
                self.fail(f"it has removed {removed.node}, uid {removed.uid}, which goes on", life.node)

    def _goes_on(self, life: Life) -> bool:
        awake = life.node in self.observer.nodes.awake
        return life.until == float("inf") and awake and system_of(life).uid == life.uid and not system_of(life).downed

    def report(self) -> Mapping[str, float]:
        return {"members downed": len(self._downed)}


def views_of(bench: Bench) -> dict[str, Hashable]:
    """What each living node sees, where it sees it as all others do."""
    views: dict[str, Hashable] = {}
    for life in bench.observer.living():
        state = system_of(life).cluster_state
        if state.converged:
            views[life.node] = tuple((member.uid, str(member.status)) for member in state.members)
    return views


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
    traffic = Traffic(bench, port=PORT, liveness=CONVERGED_WITHIN)
    observer = bench.observer
    observer.add(Watched(observer.add(MembersAccused()), observer.add(Membership())))
    observer.add(OneSide())
    observer.add(Convergence(lambda: views_of(bench), CONVERGED_WITHIN))
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
