"""How nodes decide together who is down: the lease, a strategy that downs nobody, and what the decision does."""

from __future__ import annotations

import pytest
import trio

from casty_trio import (
    Behaviors,
    ClusteredActorSystem,
    ClusterState,
    DownAll,
    KeepLease,
    KeepOldest,
    Lease,
    MemberRemoved,
    NodeDownedError,
    StaticQuorum,
)
from casty_trio.protocol.downing import DowningStrategy
from casty_trio.testing import Conditions, Simulation
from tests.cluster.clusters import cluster, run
from tests.remote.nodes import sink

ALL = ("n1", "n2", "n3", "n4", "n5")
ONE, OTHER = ("n1", "n2"), ("n3", "n4", "n5")


class OneName(Lease):
    """A third party that all can reach; it belongs to who asks first."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.broken = False

    async def acquire(self, name: str) -> bool:
        await trio.sleep(0.1)
        if self.broken:
            raise OSError("the store is gone")
        self.asked.append(name)
        return name == self.asked[0]

    async def release(self, name: str) -> None:
        raise AssertionError("nobody gives back what decides who stays")


@pytest.mark.parametrize(
    ("strategy", "staying"),
    [(StaticQuorum(3), OTHER), (KeepOldest(), ONE), (DownAll(), ())],
    ids=["quorum", "oldest", "all"],
)
def test_c6_one_side_stays(strategy: DowningStrategy, staying: tuple[str, ...]) -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim, downing=strategy) as nodes:
            await nodes.form("n1")
            nodes.start(*ALL[1:])
            await nodes.formed(*ALL)
            await trio.sleep(5)
            nodes.split(ONE, OTHER)
            for name in ALL:
                if name not in staying:
                    assert isinstance(await nodes.wait_ended(name), NodeDownedError)
            if staying:
                await nodes.formed(*staying)

    run(scenario)


@pytest.mark.parametrize("whole", [True, False])
def test_the_side_with_the_lease_stays(whole: bool) -> None:
    """C6: be it given a lease, or the function alone."""
    lease = OneName()

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim, downing=KeepLease(lease if whole else lease.acquire)) as nodes:
            await nodes.form(*ALL)
            nodes.split(ONE, OTHER)
            for name in ONE:
                assert isinstance(await nodes.wait_ended(name), NodeDownedError)
            await nodes.formed(*OTHER)
            assert len(set(lease.asked)) == 2, "both sides have asked, each in one name"

    run(scenario)


def test_who_cannot_ask_for_the_lease_goes() -> None:
    lease = OneName()
    lease.broken = True

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim, downing=KeepLease(lease.acquire)) as nodes:
            await nodes.form(*ALL)
            nodes.split(ONE, OTHER)
            for name in ALL:
                assert isinstance(await nodes.wait_ended(name), NodeDownedError)

    run(scenario)


def test_without_a_strategy_everybody_waits() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim, downing=None) as nodes:
            await nodes.form(*ALL)
            nodes.split(ONE, OTHER)
            await trio.sleep(60)
            assert sorted(nodes.systems) == sorted(ALL)
            assert [member.node_id for member in nodes.systems["n1"].cluster_state.unreachable] == list(OTHER)
            nodes.heal(ONE, OTHER)
            await nodes.formed(*ALL)

    run(scenario)


def test_the_actors_of_a_downed_node_stop() -> None:
    """C6: at once, whatever the body of its block does meanwhile."""

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await nodes.form("n1", "n2", "n3")
            system = nodes.systems["n3"]

            ref = system.spawn(sink([]), "worker")
            nodes.systems["n1"].down("n3")
            await system.wait_stopped(ref)
            assert isinstance(await nodes.wait_ended("n3"), NodeDownedError)

    run(scenario)


@pytest.mark.parametrize("head_start", [0.0, 1.0, 2.0, 3.0])
def test_who_is_removed_stands_still_by_then(head_start: float) -> None:
    """C6: also a node that has not been heard for some time when the network splits, so that the others are ahead of it.

    It counts on nodes that are on the other side, for it has heard of them until the split: it asks them before it decides.
    """
    removed: list[bool] = []

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await nodes.form("n1")
            nodes.start(*ALL[1:])
            await nodes.formed(*ALL)
            await trio.sleep(5)
            lone = nodes.systems["n2"]

            def look(ctx: object, event: MemberRemoved) -> None:
                removed.append(lone.downed or lone.in_doubt)

            for name in ("n1", *OTHER):
                system = nodes.systems[name]
                system.event_stream.subscribe(system.spawn(Behaviors.receive(look)), MemberRemoved)
            for name in ("n3", "n4"):
                sim.network.set_conditions(Conditions(stalled=True), one_way=("n2", name))
            await trio.sleep(head_start)
            nodes.split(["n2", "n5"], ["n1", "n3", "n4"])
            await nodes.formed("n1", "n3", "n4")

    run(scenario)
    assert removed
    assert all(removed)


def test_who_hears_of_a_member_may_count_on_a_connection_to_it() -> None:
    """W7: it is the cluster that decides when a member is gone, from the moment it is one."""
    heard: list[bool] = []

    def watch(system: ClusteredActorSystem) -> None:
        def look(ctx: object, state: ClusterState) -> None:
            others = [member for member in state.members if member.uid != system.uid]
            heard.extend(system.peers.at(*member.address).member for member in others)

        system.event_stream.subscribe(system.spawn(Behaviors.receive(look)), ClusterState)

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await nodes.form("n1")
            nodes.start("n2", "n3", begin=watch)
            await nodes.formed("n1", "n2", "n3")

    run(scenario)
    assert len(heard) > 2
    assert all(heard)
