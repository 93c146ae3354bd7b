"""Barriers on simulated hosts: rounds, time-outs, and what crashes meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from casty_trio import (
    BarrierCountError,
    ClusteredActorSystem,
    InvalidNameError,
    NodeDownedError,
    SettingsError,
    SystemClosedError,
    WaitTimeoutError,
)
from casty_trio.testing import Conditions, Simulation
from tests.cluster.clusters import Cluster, cluster, run

THREE = ("n1", "n2", "n3")
FIVE = ("n1", "n2", "n3", "n4", "n5")


class Parties:
    """Calls to barriers, each in a task of its own, and what became of them, in order."""

    def __init__(self, nodes: Cluster, nursery: trio.Nursery) -> None:
        self.ended: list[tuple[str, str]] = []
        self._nodes = nodes
        self.nursery = nursery

    def come(self, node: str, barrier: str = "b", n: int = 3, timeout: float = 60.0) -> trio.CancelScope:
        """Somebody comes to a barrier on a node; what cancels the call."""
        scope = trio.CancelScope()
        self.nursery.start_soon(self._wait, node, scope, barrier, n, timeout)
        return scope

    async def _wait(self, node: str, scope: trio.CancelScope, barrier: str, n: int, timeout: float) -> None:
        with scope:
            try:
                await self._nodes.systems[node].barrier(barrier, n, timeout=timeout)
            except (WaitTimeoutError, BarrierCountError, NodeDownedError, SystemClosedError) as error:
                self.ended.append((node, type(error).__name__))
            else:
                self.ended.append((node, "released"))

    def names(self, fate: str = "released") -> list[str]:
        """Where calls ended so."""
        return sorted(node for node, ended in self.ended if ended == fate)


async def form(nodes: Cluster, *names: str) -> None:
    """Let them come up in this order: the first is the host."""
    for number, name in enumerate(names, 1):
        nodes.start(name)
        await nodes.formed(*names[:number])


@asynccontextmanager
async def formed(sim: Simulation, *names: str) -> AsyncIterator[tuple[Cluster, Parties]]:
    """A cluster of these, in which parties may come."""
    async with cluster(sim) as nodes, trio.open_nursery() as nursery:
        await form(nodes, *names)
        yield nodes, Parties(nodes, nursery)


def test_nobody_goes_on_before_all_have_come() -> None:
    async def scenario(sim: Simulation) -> None:
        async with formed(sim, *THREE) as (_, parties):
            for number, name in enumerate(THREE):
                assert parties.ended == []
                assert number < 3
                parties.come(name)
                await trio.sleep(2.0)
            assert parties.names() == [*THREE]

    run(scenario)


def test_it_takes_no_longer_than_a_few_words() -> None:
    async def scenario(sim: Simulation) -> None:
        async with formed(sim, *THREE) as (_, parties):
            for name in THREE:
                parties.come(name)
            begun = trio.current_time()
            while len(parties.ended) < 3:  # noqa: ASYNC110 - virtual time
                await trio.sleep(0.001)
            assert trio.current_time() - begun < 0.2

    run(scenario)


def test_rounds_follow_each_other() -> None:
    """Nobody is a round ahead of anybody; several parties of one node count each."""

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await form(nodes, *THREE)
            came = released = 0

            async def loop(node: str) -> None:
                nonlocal came, released
                for number in range(1, 21):
                    came += 1
                    await nodes.systems[node].barrier("round", 5)
                    released += 1
                    assert came >= 5 * number
                    await trio.sleep(sim.rng(node).random())

            async with trio.open_nursery() as nursery:
                for node in ("n1", "n1", "n2", "n3", "n3"):
                    nursery.start_soon(loop, node)
            assert came == released == 100

    run(scenario)


def test_more_than_enough_wait_for_the_next_round() -> None:
    async def scenario(sim: Simulation) -> None:
        async with formed(sim, "n1", "n2") as (_, parties):
            for _ in range(7):
                parties.come("n2", n=3)
            await trio.sleep(2.0)
            assert len(parties.ended) == 6
            parties.come("n1", n=3)
            parties.come("n1", n=3)
            await trio.sleep(2.0)
            assert len(parties.ended) == 9

    run(scenario)


def test_a_party_of_one_goes_on_at_once() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await form(nodes, "n1")
            await nodes.systems["n1"].barrier("alone", 1)
            with trio.CancelScope() as scope:
                scope.cancel()
                await nodes.systems["n1"].barrier("alone", 1)
            assert scope.cancelled_caught
            await nodes.systems["n1"].barrier("alone", 1)

    run(scenario)


def test_a_timeout_withdraws_the_party_alone() -> None:
    async def scenario(sim: Simulation) -> None:
        async with formed(sim, *THREE) as (nodes, parties):
            parties.come("n2", timeout=3.0)
            parties.come("n3")
            begun = trio.current_time()
            with pytest.raises(WaitTimeoutError, match="3 parties have not come to 'c' in 2 s"):
                await nodes.systems["n1"].barrier("c", 3, timeout=2.0)
            assert trio.current_time() == begun + 2.0
            await trio.sleep(2.0)
            assert parties.ended == [("n2", "WaitTimeoutError")]
            parties.come("n1")
            await trio.sleep(2.0)
            assert parties.names() == []
            parties.come("n2")
            await trio.sleep(2.0)
            assert parties.names() == [*THREE]

    run(scenario)


def test_a_cancelled_party_is_not_counted() -> None:
    async def scenario(sim: Simulation) -> None:
        async with formed(sim, *THREE) as (_, parties):
            scope = parties.come("n2")
            parties.come("n3")
            await trio.sleep(1.0)
            scope.cancel()
            parties.come("n1")
            await trio.sleep(2.0)
            assert parties.ended == []
            parties.come("n2")
            await trio.sleep(2.0)
            assert parties.names() == [*THREE]

    run(scenario)


def test_another_number_is_refused_to_who_came_later() -> None:
    async def scenario(sim: Simulation) -> None:
        async with formed(sim, *THREE) as (nodes, parties):
            parties.come("n2", n=3)
            await trio.sleep(1.0)
            with pytest.raises(BarrierCountError, match="others wait at 'b' for 3 parties, not for 4"):
                await nodes.systems["n3"].barrier("b", 4)
            with pytest.raises(BarrierCountError, match="for 3 parties, not for 2"):
                await nodes.systems["n2"].barrier("b", 2)
            parties.come("n1", n=3)
            parties.come("n3", n=3)
            await trio.sleep(1.0)
            assert parties.names() == [*THREE]
            parties.come("n1", n=2)
            parties.come("n3", n=2)
            await trio.sleep(1.0)
            assert len(parties.names()) == 5

    run(scenario)


def test_the_parties_of_a_crashed_node_are_withdrawn() -> None:
    async def scenario(sim: Simulation) -> None:
        async with formed(sim, *THREE) as (nodes, parties):
            parties.come("n1")
            parties.nursery.start_soon(_come_and_crash, sim, nodes, "n3")
            await nodes.formed("n1", "n2")
            parties.come("n2")
            await trio.sleep(5.0)
            assert parties.names() == []
            parties.come("n2")
            await trio.sleep(1.0)
            assert parties.names() == ["n1", "n2", "n2"]

    run(scenario)


async def _come_and_crash(sim: Simulation, nodes: Cluster, name: str) -> None:
    with trio.move_on_after(1.0):
        await nodes.systems[name].barrier("b", 3)
    sim.host(name).crash()


@pytest.mark.parametrize("how", ["crash", "terminate"])
def test_the_host_goes_while_some_wait(how: str) -> None:
    async def scenario(sim: Simulation) -> None:
        async with formed(sim, *THREE) as (nodes, parties):
            parties.come("n2")
            await trio.sleep(1.0)
            getattr(sim.host("n1"), how)()
            parties.come("n3")
            await nodes.formed("n2", "n3")
            parties.come("n3")
            await trio.sleep(3.0)
            assert parties.names() == ["n2", "n3", "n3"]

    run(scenario)


def test_the_host_leaves_as_soon_as_it_is_released() -> None:
    """Nobody is left at the last barrier of a program, whoever counted the parties."""

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await form(nodes, *THREE)
            released: list[str] = []

            async def program(node: str) -> None:
                await nodes.systems[node].barrier("done", 3)
                released.append(node)
                sim.host(node).terminate()

            async with trio.open_nursery() as nursery:
                for node in THREE:
                    nursery.start_soon(program, node)
            for node in THREE:
                assert await nodes.wait_ended(node) is None
            assert sorted(released) == [*THREE]

    for seed in range(20):
        run(scenario, seed)


def test_a_node_that_is_downed_or_has_left_waits_for_nobody() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim, on_downed="rejoin") as nodes, trio.open_nursery() as nursery:
            await form(nodes, *THREE)
            parties = Parties(nodes, nursery)
            parties.come("n3")
            parties.come("n2")
            await trio.sleep(1.0)
            nodes.systems["n1"].down("n3")
            await trio.sleep(1.0)
            assert parties.ended == [("n3", "NodeDownedError")]
            await nodes.formed(*THREE)
            parties.come("n3")
            await nodes.systems["n2"].leave()
            assert parties.ended[1:] == [("n2", "SystemClosedError")]
            with pytest.raises(SystemClosedError, match="n2 has left the cluster"):
                await nodes.systems["n2"].barrier("b", 1)
            parties.come("n1")
            parties.come("n1")
            await trio.sleep(3.0)
            assert parties.names() == ["n1", "n1", "n3"]

    run(scenario)


def test_a_node_whose_block_ends_waits_for_nobody() -> None:
    async def scenario(sim: Simulation) -> None:
        async with formed(sim, "n1") as (nodes, parties):
            parties.come("n1")
            await trio.sleep(1.0)
            sim.host("n1").terminate()
            await nodes.wait_ended("n1")
            await trio.sleep(1.0)
            assert parties.ended == [("n1", "SystemClosedError")]

    run(scenario)


@pytest.mark.long
def test_words_that_are_lost_are_said_again() -> None:
    async def scenario(sim: Simulation) -> None:
        async with formed(sim, *THREE) as (_, parties):
            for name in THREE:
                parties.come(name)
            for _ in range(4):
                await trio.sleep(0.001)
                for a, b in (("n1", "n2"), ("n1", "n3")):
                    sim.network.cut(a, b)
            await trio.sleep(10.0)
            assert parties.names() == [*THREE]

    for seed in range(20):
        run(scenario, seed)


@pytest.mark.long
@pytest.mark.parametrize("block", range(4))
def test_all_or_none_when_hosts_crash(block: int) -> None:
    """On 40 seeds: rounds with as many parties as n, crashes at any moment; who is left goes on with all, or with none."""

    async def scenario(sim: Simulation) -> None:
        rng = sim.rng("plan")
        async with cluster(sim, "n1", "n2") as nodes, trio.open_nursery() as nursery:
            await nodes.form(*FIVE)
            parties = Parties(nodes, nursery)
            victims = rng.sample(FIVE, 2)
            homes = [rng.choice(FIVE) for _ in range(6)]
            for home in homes:
                parties.come(home, n=len(homes), timeout=rng.choice([4.0, 40.0, 60.0]))
                await trio.sleep(rng.random() * 0.01)
            for victim in victims:
                await trio.sleep(rng.random() * 0.02)
                sim.host(victim).crash()
            await trio.sleep(120.0)
            living = [(home, fate) for home, fate in parties.ended if home not in victims]
            assert len({fate for _, fate in living}) <= 1, living
            released = [home for home, fate in parties.ended if fate == "released"]
            assert not released or len(living) == len([home for home in homes if home not in victims])
            assert not released or {fate for _, fate in living} <= {"released"}

    for seed in range(10 * block, 10 * block + 10):
        run(scenario, seed)


def test_what_is_refused() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await form(nodes, "n1")
            system = nodes.systems["n1"]
            wrong: Any = "2"
            for n in (0, wrong, True):
                with pytest.raises(SettingsError):
                    await system.barrier("b", n)
            with pytest.raises(SettingsError):
                await system.barrier("b", 1, timeout=-1)
            for name in ("", "a/b"):
                with pytest.raises(InvalidNameError):
                    await system.barrier(name, 1)

    run(scenario)
    system = ClusteredActorSystem("shop", "127.0.0.1", 0, "n1")

    async def outside() -> None:
        with pytest.raises(SystemClosedError):
            await system.barrier("b", 1)

    trio.run(outside)


def test_a_slow_way_to_the_host_is_no_harm() -> None:
    async def scenario(sim: Simulation) -> None:
        async with formed(sim, *THREE) as (_, parties):
            sim.network.set_conditions(Conditions(delay=(0.4, 0.5)), between=("n1", "n3"))
            for name in THREE:
                parties.come(name, timeout=0.6)
            await trio.sleep(5.0)
            fates = {fate for _, fate in parties.ended}
            assert len(parties.ended) == 3
            assert len(fates) == 1

    run(scenario)
