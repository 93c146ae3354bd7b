"""Whole clusters on simulated hosts: they form, detect, decide, heal, and end."""

from __future__ import annotations

import math

import pytest
import trio
import trio.testing

from casty_trio import (
    ClusteredActorSystem,
    ClusterState,
    LinkSettings,
    MemberStatus,
    NodeDownedError,
    SystemClosedError,
    WaitTimeoutError,
)
from casty_trio.testing import Simulation
from tests.cluster.clusters import PORT, cluster, run


def test_c2_five_nodes_form_one_cluster() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim, "n1", "n2", "n3") as nodes:
            nodes.start("n4", "n2", "n5", "n1", "n3")
            assert await nodes.formed("n1", "n2", "n3", "n4", "n5") < 1.0
            assert nodes.leaders("n1", "n2", "n3", "n4", "n5") == {"n1"}

    run(scenario)


@pytest.mark.long
def test_c1_an_idle_cluster_makes_no_new_versions() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await nodes.form("n1", "n2", "n3")
            await trio.sleep(10)
            before = {name: system.membership_statistics().versions for name, system in nodes.systems.items()}
            await trio.sleep(600)
            assert {name: s.membership_statistics().versions for name, s in nodes.systems.items()} == before

    run(scenario)


def test_a_crashed_node_is_removed_and_comes_back_as_another_member() -> None:
    """C4; the crash is noticed within 6 s, decided on 3 s later, and the margin is 3 s more."""

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim, "n1", "n2", "n3") as nodes:
            await nodes.form("n1", "n2", "n3")
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
            await nodes.form("n1", "n2", "n3")
            sim.host("n1").crash()
            await nodes.formed("n2", "n3")
            assert nodes.leaders("n2", "n3") == {"n2"}

    run(scenario)


def test_c6_the_smaller_side_of_a_split_ends_and_the_larger_goes_on() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim, "n1", "n2", "n3") as nodes:
            await nodes.form("n1", "n2", "n3", "n4", "n5")
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
            await nodes.form("n1", "n2", "n3", "n4", "n5")
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
            await nodes.form("n1", "n2", "n3")
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
            await nodes.form("n1", "n2", "n3")
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
            await nodes.form("n1", "n2")
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
            await nodes.form("n1", "n2", "n3")
            nodes.systems["n1"].down("n3")
            assert isinstance(await nodes.wait_ended("n3"), NodeDownedError)
            await nodes.formed("n1", "n2")

    run(scenario)


def test_leaving_while_the_block_goes_on() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await nodes.form("n1", "n2", "n3")
            await nodes.systems["n2"].leave()
            await nodes.formed("n1", "n3")
            assert nodes.systems["n2"].running
            assert MemberStatus.UP not in {m.status for m in nodes.systems["n2"].members if m.node_id == "n2"}

    run(scenario)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_down_by_name_means_every_start_of_a_node(seed: int) -> None:
    """For a moment there are two of a node that was started again, and the first of them is down already."""

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await nodes.form("n1", "n2", "n3")
            sim.host("n2").crash(reset=True)
            await sim.host("n2").wait_ended()
            nodes.start("n2")
            n1 = nodes.systems["n1"]
            uids: set[int] = set()
            async with n1.events(ClusterState) as states:
                while len(uids) < 2:
                    await anext(states)
                    uids = {member.uid for member in n1.members if member.node_id == "n2"}
            n1.down("n2")
            assert {m.status for m in n1.members if m.uid in uids} <= {MemberStatus.DOWN}

    run(scenario, seed)


def test_nobody_waits_for_members_after_the_node_has_left() -> None:
    """Nobody will ever come: that is told at once, also to who was waiting already, and without end."""

    async def scenario(sim: Simulation) -> None:
        system = ClusteredActorSystem("shop", "n1", PORT, "n1", insecure=True, env=sim.env("n1"))
        with pytest.raises(SystemClosedError, match="outside its block"):
            await system.wait_for(1)
        with pytest.raises(SystemClosedError, match="outside its block"):
            await system.leave()
        async with system, trio.open_nursery() as nursery:
            nursery.start_soon(_wait_in_vain, system)
            await trio.testing.wait_all_tasks_blocked()
            await system.leave()
            await _wait_in_vain(system)
            await system.leave()
        with pytest.raises(SystemClosedError, match="outside its block"):
            await system.wait_for(1)
        await system.leave()
        assert trio.current_time() < 1.0

    run(scenario)


async def _wait_in_vain(system: ClusteredActorSystem) -> None:
    with pytest.raises(SystemClosedError, match="has left the cluster"):
        await system.wait_for(2, timeout=math.inf)


def test_nobody_waits_for_members_after_the_node_was_declared_down() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await nodes.form("n1", "n2", "n3")
            system = nodes.systems["n3"]
            nodes.systems["n1"].down("n3")
            with pytest.raises(NodeDownedError, match="n3 is down"):
                await system.wait_for(4)
            assert isinstance(await nodes.wait_ended("n3"), NodeDownedError)

    run(scenario)


def test_a_view_that_is_too_large_to_be_told_does_not_end_who_cannot_tell_it(caplog: pytest.LogCaptureFixture) -> None:
    """The cluster cannot grow any more, and says so; what was there before goes on."""

    async def scenario(sim: Simulation) -> None:
        link = LinkSettings(max_frame=1_024, max_message=1_024, queue=8_192)
        async with cluster(sim, link=link) as nodes:
            nodes.start("n1", roles=["r" * 60 + str(number) for number in range(10)])
            await nodes.formed("n1")
            nodes.start("n2", roles=["s" * 60 + str(number) for number in range(10)])
            assert isinstance(await nodes.wait_ended("n2"), NodeDownedError)  # it could not be told that it is a member
            await nodes.formed("n1")

    run(scenario)
    assert "cannot tell the members what it knows: a message of" in caplog.text
