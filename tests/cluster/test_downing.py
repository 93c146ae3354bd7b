"""How nodes decide together who is down: the lease, a strategy that downs nobody, and what the decision does."""

from __future__ import annotations

import pytest
import trio

from casty_trio import DownAll, KeepLease, KeepOldest, Lease, NodeDownedError, StaticQuorum
from casty_trio.protocol.downing import DowningStrategy
from casty_trio.testing import Simulation
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
