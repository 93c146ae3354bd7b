"""Whole clusters on simulated hosts: they form, detect, decide, heal, and end."""

from __future__ import annotations

import pytest
import trio

from casty_trio import MemberStatus, NodeDownedError, WaitTimeoutError
from casty_trio.testing import Simulation
from tests.cluster.clusters import cluster, run


def test_c2_five_nodes_form_one_cluster() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim, "n1", "n2", "n3") as nodes:
            nodes.start("n4", "n2", "n5", "n1", "n3")
            assert await nodes.formed("n1", "n2", "n3", "n4", "n5") < 1.0
            assert nodes.leaders("n1", "n2", "n3", "n4", "n5") == {"n1"}

    run(scenario)


def test_c1_an_idle_cluster_makes_no_new_versions() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            nodes.start("n1", "n2", "n3")
            await nodes.formed("n1", "n2", "n3")
            await trio.sleep(10)
            before = {name: system.membership_statistics().versions for name, system in nodes.systems.items()}
            await trio.sleep(600)
            assert {name: s.membership_statistics().versions for name, s in nodes.systems.items()} == before

    run(scenario)


def test_a_crashed_node_is_removed_and_comes_back_as_another_member() -> None:
    """C4; the crash is noticed within 6 s, decided on 3 s later, and the margin is 3 s more."""

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim, "n1", "n2", "n3") as nodes:
            nodes.start("n1", "n2", "n3")
            await nodes.formed("n1", "n2", "n3")
            await trio.sleep(20)
            old = nodes.systems["n3"].uid
            sim.host("n3").crash()
            assert await nodes.formed("n1", "n2") < 13.5
            nodes.start("n3")
            assert await nodes.formed("n1", "n2", "n3") < 5.0
            assert nodes.systems["n3"].uid != old

    run(scenario)


def test_the_leader_crashes_and_another_leads() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim, "n1", "n2", "n3") as nodes:
            nodes.start("n1", "n2", "n3")
            await nodes.formed("n1", "n2", "n3")
            sim.host("n1").crash()
            await nodes.formed("n2", "n3")
            assert nodes.leaders("n2", "n3") == {"n2"}

    run(scenario)


def test_c6_the_smaller_side_of_a_split_ends_and_the_larger_goes_on() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim, "n1", "n2", "n3") as nodes:
            nodes.start("n1", "n2", "n3", "n4", "n5")
            await nodes.formed("n1", "n2", "n3", "n4", "n5")
            await trio.sleep(10)
            nodes.split(["n1", "n2"], ["n3", "n4", "n5"])
            begun = trio.current_time()
            for name in ("n1", "n2"):
                assert isinstance(await nodes.wait_ended(name), NodeDownedError)
            ended = trio.current_time() - begun
            await nodes.formed("n3", "n4", "n5")
            assert ended < 12
            assert trio.current_time() - begun > ended, "it has ended before the others take over"

    run(scenario)


def test_c6_after_healing_nodes_that_rejoin_are_one_cluster_with_the_rest() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim, "n1", "n2", "n3", on_downed="rejoin") as nodes:
            nodes.start("n1", "n2", "n3", "n4", "n5")
            await nodes.formed("n1", "n2", "n3", "n4", "n5")
            uids = {name: system.uid for name, system in nodes.systems.items()}
            nodes.split(["n1", "n2"], ["n3", "n4", "n5"])
            await nodes.formed("n3", "n4", "n5")
            await trio.sleep(20)
            assert nodes.systems["n1"].members == (), "a minority founds nothing"
            nodes.heal(["n1", "n2"], ["n3", "n4", "n5"])
            await nodes.formed("n1", "n2", "n3", "n4", "n5")
            assert nodes.systems["n1"].uid != uids["n1"]
            assert nodes.systems["n3"].uid == uids["n3"]

    run(scenario)


@pytest.mark.parametrize("pause", [0.5, 2.0, 5.0])
def test_c5_a_node_that_was_paused_accuses_nobody(pause: float) -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim, "n1", "n2", "n3") as nodes:
            nodes.start("n1", "n2", "n3")
            await nodes.formed("n1", "n2", "n3")
            await trio.sleep(20)
            uids = [system.uid for system in nodes.systems.values()]
            sim.host("n2").pause()
            await trio.sleep(pause)
            sim.host("n2").resume()
            await trio.sleep(30)
            assert nodes.agreed("n1", "n2", "n3")
            assert [system.uid for system in nodes.systems.values()] == uids

    run(scenario)


def test_c8_a_node_that_leaves_its_block_is_seen_to_leave() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            nodes.start("n1", "n2", "n3")
            await nodes.formed("n1", "n2", "n3")
            begun = trio.current_time()
            sim.host("n2").terminate()
            assert await nodes.wait_ended("n2") is None
            assert trio.current_time() - begun < 2.0
            await nodes.formed("n1", "n3")
            assert trio.current_time() - begun < 5.0

    run(scenario)


def test_c8_a_cancelled_node_is_seen_to_leave() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            nodes.start("n1", "n2")
            await nodes.formed("n1", "n2")
            async with trio.open_nursery() as nursery:
                nodes._nursery, outer = nursery, nodes._nursery
                nodes.start("n3")
                await nodes.formed("n1", "n2", "n3")
                nursery.cancel_scope.cancel()
            nodes._nursery = outer
            assert await nodes.formed("n1", "n2") < 5.0

    run(scenario)


def test_required_quorum_lets_nobody_in_before() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim, "n1", "n2", required_quorum=3) as nodes:
            nodes.start("n1", "n2")
            await trio.sleep(30)
            assert nodes.systems == {}
            nodes.start("n3")
            await nodes.formed("n1", "n2", "n3")

    run(scenario)


def test_a_quorum_that_does_not_come_about_ends_the_node() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim, required_quorum=2) as nodes:
            nodes.start("n1")
            assert isinstance(await nodes.wait_ended("n1"), WaitTimeoutError)
            nodes.start("n1", required_quorum=1)
            await nodes.formed("n1")

    run(scenario)


def test_down_by_hand() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            nodes.start("n1", "n2", "n3")
            await nodes.formed("n1", "n2", "n3")
            nodes.systems["n1"].down("n3")
            assert isinstance(await nodes.wait_ended("n3"), NodeDownedError)
            await nodes.formed("n1", "n2")

    run(scenario)


def test_leaving_while_the_block_goes_on() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            nodes.start("n1", "n2", "n3")
            await nodes.formed("n1", "n2", "n3")
            await nodes.systems["n2"].leave()
            await nodes.formed("n1", "n3")
            assert nodes.systems["n2"].running
            assert MemberStatus.UP not in {m.status for m in nodes.systems["n2"].members if m.node_id == "n2"}

    run(scenario)
