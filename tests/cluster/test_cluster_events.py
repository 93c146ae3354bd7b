"""What a node tells about its cluster: the present first, then each change, and nothing when nothing changes."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from casty_trio import (
    Behaviors,
    ClusteredActorSystem,
    ClusterEvent,
    ClusterState,
    Event,
    LeaderChanged,
    MemberDowned,
    MemberEvent,
    MemberExited,
    MemberJoined,
    MemberLeft,
    MemberRemoved,
    MemberStatus,
    MemberUp,
    ReachableMember,
    SettingsError,
    SystemClosedError,
    TopologySnapshot,
    UnreachableMember,
    UsageError,
)
from casty_trio.testing import Conditions, Simulation
from tests.cluster.clusters import cluster, run
from tests.remote.nodes import sink
from tests.sim.shop import cart


def told(heard: list[Any], node: str) -> list[str]:
    """What was told of one member, in short."""
    return [type(event).__name__ for event in heard if isinstance(event, MemberEvent) and event.member.node_id == node]


def test_the_present_comes_first_and_then_every_step() -> None:
    async def scenario(sim: Simulation) -> None:
        heard: list[Any] = []
        async with cluster(sim) as nodes:
            await nodes.form("n1", "n2")
            system = nodes.systems["n1"]
            system.event_stream.subscribe(system.spawn(sink(heard), "ear"), MemberEvent)
            await trio.sleep(0.1)
            assert [(type(event), event.member.node_id) for event in heard] == [(MemberUp, "n1"), (MemberUp, "n2")]
            nodes.start("n3")
            await nodes.formed("n1", "n2", "n3")
            sim.host("n3").terminate()
            await nodes.formed("n1", "n2")
            await trio.sleep(1)
            assert told(heard, "n3") == ["MemberJoined", "MemberUp", "MemberLeft", "MemberExited", "MemberRemoved"]
            heard.clear()
            await trio.sleep(600)
            assert heard == []

    run(scenario)


def test_a_crash_is_told_step_by_step() -> None:
    async def scenario(sim: Simulation) -> None:
        heard: list[Any] = []
        async with cluster(sim) as nodes:
            await nodes.form("n1", "n2", "n3")
            system = nodes.systems["n1"]
            system.event_stream.subscribe(system.spawn(sink(heard), "ear"), MemberEvent)
            sim.host("n3").crash()
            await nodes.formed("n1", "n2")
            await trio.sleep(1)
            assert told(heard, "n3") == ["MemberUp", "UnreachableMember", "MemberDowned", "MemberRemoved"]
            removed = [event.member for event in heard if isinstance(event, MemberRemoved)]
            assert [member.status for member in removed] == [MemberStatus.DOWN]

    run(scenario)


def test_who_was_cut_off_for_a_moment_is_reachable_again() -> None:
    async def scenario(sim: Simulation) -> None:
        heard: list[Any] = []
        async with cluster(sim, downing=None) as nodes:
            await nodes.form("n1", "n2", "n3")
            system = nodes.systems["n1"]
            system.event_stream.subscribe(system.spawn(sink(heard), "ear"), UnreachableMember)
            system.event_stream.subscribe(system.lookup("/ear") or system.dead_letters, ReachableMember)
            nodes.split(["n3"], ["n1", "n2"])
            await trio.sleep(10)
            nodes.heal(["n3"], ["n1", "n2"])
            await nodes.formed("n1", "n2", "n3")
            await trio.sleep(1)
            assert told(heard, "n3")[0] == "UnreachableMember"
            assert told(heard, "n3")[-1] == "ReachableMember"

    run(scenario)


def test_the_leader_is_told_when_it_changes() -> None:
    async def scenario(sim: Simulation) -> None:
        heard: list[Any] = []
        async with cluster(sim, "n2") as nodes:
            await nodes.form("n2")
            system = nodes.systems["n2"]
            system.event_stream.subscribe(system.spawn(sink(heard), "ear"), LeaderChanged)
            nodes.start("n1")
            await nodes.formed("n1", "n2")
            assert [event.leader.node_id for event in heard] == ["n2", "n1"]

    run(scenario)


def test_state_and_topology_are_told_on_change_only() -> None:
    async def scenario(sim: Simulation) -> None:
        states: list[Any] = []
        async with cluster(sim) as nodes:
            await nodes.form("n1")
            system = nodes.systems["n1"]
            async with system.events(ClusterState) as events, system.events(TopologySnapshot) as snapshots:
                states.append(await anext(events))
                first = await anext(snapshots)
                assert isinstance(first, TopologySnapshot)
                assert first.shard_homes == ()
                system.spawn(Behaviors.sharded(cart, num_shards=2), "cart")
                second = await anext(snapshots)
                assert isinstance(second, TopologySnapshot)
                assert second.shard_homes == (("cart", (system.self_node, system.self_node)),)
                with trio.move_on_after(600) as scope:
                    states.append(await anext(events))
                assert scope.cancelled_caught, "no member has changed"
            assert [state.members for state in states] == [system.members]
            assert states[0].with_role("backend") == ()

    run(scenario)


def test_whoever_subscribes_to_all_events_hears_no_present() -> None:
    """Only who asks for events of the cluster wants to know what is the case."""

    async def scenario(sim: Simulation) -> None:

        async with cluster(sim) as nodes:
            await nodes.form("n1")
            system = nodes.systems["n1"]
            async with system.events(Event) as events:
                with trio.move_on_after(1) as scope:
                    await anext(events)
                assert scope.cancelled_caught
            async with system.events(ClusterEvent) as events:
                kinds = [type(await anext(events)) for _ in range(4)]
            assert kinds == [MemberUp, LeaderChanged, ClusterState, TopologySnapshot]

    run(scenario)


def test_seeds_may_come_from_a_function_that_is_asked_again() -> None:
    """C2: also when it knows nothing at first, and fails now and then."""
    asked: list[int] = []

    async def seeds() -> list[tuple[str, int]]:
        asked.append(len(asked))
        if len(asked) % 3 == 1:
            raise OSError("the directory is gone")
        return [("n1", 2_000)] if len(asked) > 4 else []

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            nodes.start("n1", seed_nodes=[("n1", 2_000)])
            await nodes.formed("n1")
            nodes.start("n2", seed_nodes=seeds)
            await nodes.formed("n1", "n2", within=60)

    run(scenario)


def test_c2_nothing_is_founded_before_the_function_has_named_somebody() -> None:
    """Else every node that waits for the directory is a cluster of its own, and up in it."""

    async def seeds() -> list[tuple[str, int]]:
        await trio.sleep(3)
        return [] if trio.current_time() < 6 else [("n1", 2_000), ("n2", 2_000), ("n3", 2_000)]

    async def scenario(sim: Simulation) -> None:
        founded: set[int] = set()
        entered: list[float] = []

        def begin(system: ClusteredActorSystem) -> None:
            entered.append(trio.current_time())
            founded.add(system.cluster_state.cluster)

        async with cluster(sim, seed_nodes=seeds, required_quorum=1) as nodes:
            nodes.start("n1", "n2", "n3", begin=begin)
            await nodes.formed("n1", "n2", "n3")
        assert min(entered) > 6
        assert len(founded) == 1

    run(scenario)


@pytest.mark.parametrize("on_downed", ["raise", "rejoin"])
def test_two_clusters_of_one_name_that_meet_become_one(on_downed: str) -> None:
    """C6: the nodes of the one that makes room join the other, whatever becomes of nodes that are declared down."""

    async def scenario(sim: Simulation) -> None:
        away = Conditions(stalled=True)
        async with cluster(sim, on_downed=on_downed) as nodes:
            sim.network.set_conditions(away, between=("n3", "n4"))
            nodes.start("n1", "n2", "n3", seed_nodes=[("n1", 2_000)])
            nodes.start("n4", seed_nodes=[])
            await nodes.formed("n1", "n2", "n3")
            await nodes.formed("n4")
            nodes.start("n5", seed_nodes=[("n4", 2_000)])
            await nodes.formed("n4", "n5")
            before = {nodes.systems[name].cluster_state.cluster for name in ("n1", "n4")}
            assert len(before) == 2
            nodes.start("n6", seed_nodes=[("n1", 2_000), ("n4", 2_000)])
            await nodes.formed("n1", "n2", "n3", "n4", "n5", "n6", within=60)
            assert {system.cluster_state.cluster for system in nodes.systems.values()} < before

    run(scenario)


def test_roles_are_sorted_and_known_to_all() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            nodes.start("n1")
            nodes.start("n2", roles=["web", "backend", "web"])
            await nodes.formed("n1", "n2")
            state = nodes.systems["n1"].cluster_state
            assert [member.roles for member in state.members] == [(), ("backend", "web")]
            assert [member.node_id for member in state.with_role("web")] == ["n2"]

    run(scenario)


def test_down_names_a_member() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await nodes.form("n1")
            with pytest.raises(UsageError, match="n7 is no member"):
                nodes.systems["n1"].down("n7")

    run(scenario)


def test_statistics_are_of_a_node_that_runs() -> None:
    with pytest.raises(SystemClosedError):
        ClusteredActorSystem("shop", "127.0.0.1", 0, "n1").membership_statistics()


@pytest.mark.parametrize(
    ("keywords", "what"),
    [
        ({"seed_nodes": "n1:2000"}, "seed_nodes"),
        ({"seed_nodes": ["n1:2000"]}, "seed_nodes"),
        ({"seed_nodes": [("n1", 0)]}, "port in seed_nodes"),
        ({"seed_nodes": [(1, 2_000)]}, "host in seed_nodes"),
        ({"roles": "web"}, "roles"),
        ({"roles": [1]}, "roles"),
        ({"roles": [""]}, "roles"),
        ({"roles": [str(number) for number in range(65)]}, "at most 64 names"),
        ({"required_quorum": 0}, "required_quorum"),
        ({"downing": "keep-majority"}, "downing"),
        ({"on_downed": "restart"}, "on_downed"),
    ],
)
def test_wrong_arguments_are_named(keywords: dict[str, Any], what: str) -> None:
    with pytest.raises(SettingsError, match=what):
        ClusteredActorSystem("shop", "127.0.0.1", 0, "n1", **keywords)


def test_every_event_of_the_cluster_is_told() -> None:
    """L14: the classes that are documented are those that the tests here, and `MemberWeaklyUp` elsewhere, have heard."""
    assert {cls.__name__ for cls in MemberEvent.__subclasses__()} == {
        each.__name__
        for each in (
            MemberDowned,
            MemberExited,
            MemberJoined,
            MemberLeft,
            MemberRemoved,
            MemberUp,
            ReachableMember,
            UnreachableMember,
        )
    } | {"MemberWeaklyUp"}
