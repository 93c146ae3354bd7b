"""S8: one actor in the cluster, at most one on a side; mail waits while it moves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from casty_trio import (
    ActorRef,
    Behaviors,
    MailboxFullError,
    NodeDownedError,
    Settings,
    SingletonSettings,
    UnknownMessageTypeError,
    UsageError,
)
from casty_trio.testing import Conditions, Simulation
from tests.cluster.clusters import Cluster, cluster, run
from tests.sim.shop import assert_adds_up, make_node
from tests.singleton.nodes import Close, Log, Msg, Note, Where

THREE = ("n1", "n2", "n3")
Refs = dict[str, ActorRef[Msg]]


@asynccontextmanager
async def formed(
    sim: Simulation, log: Log, *names: str, singleton: dict[str, Any] | None = None, **keywords: Any
) -> AsyncIterator[tuple[Cluster, Refs]]:
    """A cluster of these, oldest first, with the singleton on each."""
    refs: Refs = {}
    begin = log.begin(refs, **(singleton or {}))
    async with cluster(sim, begin=begin, **keywords) as nodes:
        for number, name in enumerate(names, 1):
            nodes.start(name)
            await nodes.formed(*names[:number])
        await trio.sleep(3)
        yield nodes, refs
        for system in nodes.systems.values():
            assert_adds_up(system.statistics())
    assert log.most <= 1


def where(reply_to: ActorRef[str]) -> Msg:
    return Where(reply_to)


async def leave(nodes: Cluster, name: str) -> None:
    """End a node's block in good order."""
    nodes.sim.host(name).terminate()
    await nodes.wait_ended(name)


def test_the_oldest_runs_it_and_all_reach_it() -> None:
    """S8: by tell, send and ask, from each node."""

    async def scenario(sim: Simulation) -> None:
        log = Log()
        async with formed(sim, log, *THREE) as (nodes, refs):
            for name in THREE:
                assert await nodes.systems[name].ask(refs[name], where) == "n1"
                refs[name].tell(Note(name, 1))
                await refs[name].send(Note(name, 2))
            await trio.sleep(1)
            assert [log.of(name) for name in THREE] == [[1, 2]] * 3
            assert log.homes == ["n1"]

    run(scenario)


def test_all_start_at_once() -> None:
    """S8: at start-up too never two, whoever is first; what is sent before anybody runs it is not lost."""
    for seed in range(12):

        async def scenario(sim: Simulation) -> None:
            log, refs = Log(), Refs()
            async with cluster(sim, *THREE, begin=log.begin(refs)) as nodes:
                nodes.start(*THREE)
                while len(refs) < 3:  # noqa: ASYNC110 - several systems have to bring it about
                    await trio.sleep(0.01)
                for name in THREE:
                    for number in range(5):
                        refs[name].tell(Note(name, number))
                await nodes.formed(*THREE)
                await trio.sleep(5)
                assert [log.of(name) for name in THREE] == [[0, 1, 2, 3, 4]] * 3
                assert len(log.homes) == 1
            assert log.most == 1

        run(scenario, seed)


def test_it_moves_when_its_node_leaves() -> None:
    """S8: nothing that was sent is lost, and each sender's messages stay in order; never two run at a time."""
    for seed in range(3):

        async def scenario(sim: Simulation) -> None:
            log = Log()
            async with formed(sim, log, *THREE) as (nodes, refs), trio.open_nursery() as nursery:

                async def feed(name: str) -> None:
                    for number in range(400):
                        refs[name].tell(Note(name, number, work=0.001))
                        await trio.sleep(0.01)

                for name in ("n2", "n3"):
                    nursery.start_soon(feed, name)
                await trio.sleep(1.5)
                assert await nodes.systems["n3"].ask(refs["n3"], where) == "n1"
                await leave(nodes, "n1")
                assert await nodes.systems["n3"].ask(refs["n3"], where) == "n2"
                await trio.sleep(5)
                for name in ("n2", "n3"):
                    assert log.of(name) == list(range(400))
                assert log.homes == ["n1", "n2"]

        run(scenario, seed)


def test_it_moves_on_and_on() -> None:
    """S8: until the last one has it."""

    async def scenario(sim: Simulation) -> None:
        log = Log()
        async with formed(sim, log, *THREE) as (nodes, refs):
            for number, name in enumerate(("n1", "n2")):
                refs["n3"].tell(Note("n3", number))
                await leave(nodes, name)
            assert await nodes.systems["n3"].ask(refs["n3"], where) == "n3"
            assert log.homes == [*THREE]
            assert log.of("n3") == [0, 1]

    run(scenario)


def test_asks_wait_for_the_next() -> None:
    """S8 and L5: an ask while nobody runs it is answered when somebody does."""

    async def scenario(sim: Simulation) -> None:
        log = Log(linger=3.0)
        async with formed(sim, log, *THREE, singleton={"stop_message": Close()}) as (nodes, refs):
            nodes.sim.host("n1").terminate()
            await trio.sleep(1)
            assert log.running == ["n1"]
            assert await nodes.systems["n3"].ask(refs["n3"], where, timeout=20.0) == "n2"
            assert log.closed == ["n1"]

    run(scenario)


def test_what_it_had_not_handled_goes_along() -> None:
    """S8: in order, asks included, when the actor does not come to it."""

    async def scenario(sim: Simulation) -> None:
        log = Log()
        settings = Settings(singletons=SingletonSettings(stop_timeout=0.5))
        async with formed(sim, log, *THREE, settings=settings, singleton={"stop_message": Note("stop", 0)}) as (nodes, refs):
            refs["n2"].tell(Note("n2", 1, work=1.0))
            refs["n2"].tell(Note("n2", 2))
            await trio.sleep(0.5)
            nodes.sim.host("n1").terminate()
            await trio.sleep(0.1)
            refs["n2"].tell(Note("n2", 3))
            assert await nodes.systems["n2"].ask(refs["n2"], where, timeout=20.0) == "n2"
            assert log.of("n2") == [1, 2, 3]
            assert log.of("stop") == [0]

    run(scenario)


def test_its_node_crashes() -> None:
    """S8: the next runs it when the dead one is removed, and not before; a message in time is handled by it."""
    for seed in range(5):

        async def scenario(sim: Simulation) -> None:
            log = Log()
            async with formed(sim, log, *THREE) as (nodes, refs):
                nodes.sim.host("n1").crash()
                log.running.clear()
                begun = trio.current_time()
                await nodes.formed("n2", "n3", within=60.0)
                assert await nodes.systems["n3"].ask(refs["n3"], where, timeout=30.0) == "n2"
                assert 3 < trio.current_time() - begun < 30
                assert log.homes == ["n1", "n2"]

        run(scenario, seed)


def test_a_partition() -> None:
    """S8 and C6: the side that lost stops its own before the other starts one."""
    for seed in range(5):

        async def scenario(sim: Simulation) -> None:
            log = Log()
            async with formed(sim, log, *THREE, on_downed="rejoin") as (nodes, refs):
                nodes.split(["n1"], ["n2", "n3"])
                await nodes.formed("n2", "n3", within=60.0)
                assert await nodes.systems["n3"].ask(refs["n3"], where, timeout=30.0) == "n2"
                assert log.running == ["n2"]
                nodes.heal(["n1"], ["n2", "n3"])
                await nodes.formed(*THREE, within=60.0)
                await trio.sleep(5)
                assert await nodes.systems["n1"].ask(refs["n1"], where, timeout=30.0) == "n2"
                assert log.homes == ["n1", "n2"]

        run(scenario, seed)


def test_what_is_still_on_the_way_stays_in_order() -> None:
    """S8: over links that are slow between the host and the next one, and quick to everybody else."""
    for seed in range(4):

        async def scenario(sim: Simulation) -> None:
            log = Log()
            async with formed(sim, log, *THREE) as (nodes, refs), trio.open_nursery() as nursery:
                sim.network.set_conditions(Conditions(delay=(0.4, 0.4)), between=("n1", "n2"))
                sim.network.set_conditions(Conditions(delay=(0.1, 0.1)), between=("n1", "n3"))

                async def feed() -> None:
                    for number in range(600):
                        refs["n3"].tell(Note("n3", number))
                        await trio.sleep(0.01)

                nursery.start_soon(feed)
                await trio.sleep(1)
                await nodes.systems["n1"].stop(refs["n1"])
                await trio.sleep(10)
                assert log.of("n3") == [*range(600)]
                assert log.homes == ["n1", "n2"]

        run(scenario, seed)


@pytest.mark.parametrize("sender", ["n2", "n3"])
def test_what_goes_along_is_ahead_of_what_waits(sender: str) -> None:
    """S8: mail that the host holds until the slowest has answered, and what its sender has told meanwhile."""
    for seed in range(4):

        async def scenario(sim: Simulation) -> None:
            log = Log()
            async with formed(sim, log, *THREE) as (nodes, refs), trio.open_nursery() as nursery:
                sim.network.set_conditions(Conditions(delay=(0.1, 0.1)), between=("n1", "n2"))
                sim.network.set_conditions(Conditions(delay=(0.5, 0.5)), between=("n1", "n3"))

                async def feed() -> None:
                    for number in range(600):
                        refs[sender].tell(Note(sender, number))
                        await trio.sleep(0.01)

                nursery.start_soon(feed)
                await trio.sleep(1)
                await nodes.systems["n1"].stop(refs["n1"])
                await trio.sleep(10)
                assert log.of(sender) == [*range(600)]
                assert log.homes == ["n1", "n2"]

        run(scenario, seed)


def test_a_node_that_wakes_when_it_was_removed_handles_nothing() -> None:
    """S8, C6: the actor runs elsewhere by then; be it mail of its own node, or what has come in since."""
    for seed in range(4):

        async def scenario(sim: Simulation) -> None:
            log = Log()
            async with formed(sim, log, *THREE) as (nodes, refs):
                sim.host("n1").pause()
                log.running.clear()
                for number in range(5):
                    refs["n1"].tell(Note("n1", number))
                    refs["n2"].tell(Note("n2", number))
                await trio.sleep(0.1)
                await nodes.formed("n2", "n3", within=60.0)
                assert await nodes.systems["n3"].ask(refs["n3"], where, timeout=30.0) == "n2"
                log.running.append("n1")  # for the hook that ends it there
                log.most = 0
                sim.host("n1").resume()
                assert isinstance(await nodes.wait_ended("n1"), NodeDownedError)
                assert [node for node, _, _ in log.lines if node == "n1"] == []
                log.most = 1

        run(scenario, seed)


def test_a_role() -> None:
    """S8: only nodes with the role run it, the others send to it."""

    async def scenario(sim: Simulation) -> None:
        log, refs = Log(), Refs()
        async with cluster(sim, begin=log.begin(refs, role="worker")) as nodes:
            nodes.start("n1")
            await nodes.formed("n1")
            nodes.start("n2", roles={"worker"})
            await nodes.formed("n1", "n2")
            nodes.start("n3", roles={"worker"})
            await nodes.formed(*THREE)
            await trio.sleep(3)
            for name in THREE:
                assert await nodes.systems[name].ask(refs[name], where) == "n2"
            await leave(nodes, "n2")
            assert await nodes.systems["n1"].ask(refs["n1"], where, timeout=20.0) == "n3"
            await leave(nodes, "n3")
            assert await nodes.systems["n1"].ask_or_none(refs["n1"], where, timeout=20.0) is None
        assert log.most == 1

    run(scenario)


def test_one_that_has_it_later() -> None:
    """S8: the oldest runs it as soon as it knows of it; never two at a time."""

    async def scenario(sim: Simulation) -> None:
        log, refs = Log(), Refs()
        begin = log.begin(refs)
        async with cluster(sim) as nodes:
            nodes.start("n1")
            await nodes.formed("n1")
            nodes.start("n2", begin=begin)
            await nodes.formed("n1", "n2")
            await trio.sleep(3)
            assert await nodes.systems["n2"].ask(refs["n2"], where) == "n2"
            for number in range(10):
                refs["n2"].tell(Note("n2", number))
            begin(nodes.systems["n1"])
            for number in range(10, 20):
                refs["n2"].tell(Note("n2", number))
            await trio.sleep(5)
            assert await nodes.systems["n2"].ask(refs["n2"], where) == "n1"
            assert log.of("n2") == [*range(20)]
        assert log.most == 1

    run(scenario)


def test_it_is_stopped_on_its_node() -> None:
    """S8: the next one runs it; mail there becomes dead letters."""

    async def scenario(sim: Simulation) -> None:
        log = Log()
        async with formed(sim, log, *THREE) as (nodes, refs):
            await nodes.systems["n1"].stop(refs["n1"])
            assert await nodes.systems["n3"].ask(refs["n3"], where, timeout=20.0) == "n2"
            refs["n1"].tell(Note("n1", 1))
            await trio.sleep(1)
            assert log.of("n1") == []
            assert nodes.systems["n1"].statistics().dead_letters == 1

    run(scenario)


def test_the_buffer_is_bounded() -> None:
    """S8: of more than fit the oldest is a dead letter, and an ask among them fails at once."""

    async def scenario(sim: Simulation) -> None:
        log = Log()
        settings = Settings(singletons=SingletonSettings(buffer=3))
        async with make_node(sim, settings=settings, seed_nodes=[("nowhere", 1)]) as node:
            boss = node.spawn(Behaviors.singleton(log.behavior("n1")), "boss")
            async with trio.open_nursery() as nursery:

                async def ask() -> None:
                    with pytest.raises(MailboxFullError, match="3 messages wait"):
                        await node.ask(boss, where, timeout=1000.0)

                nursery.start_soon(ask)
                await trio.sleep(0.1)
                for number in range(4):
                    boss.tell(Note("n1", number))
            assert node.statistics().dead_letters == 2
            assert_adds_up(node.statistics())

    run(scenario)


def test_an_instance_that_stops_by_itself() -> None:
    """L5: it stays stopped until it moves: what it is told are dead letters, as with any actor."""

    async def scenario(sim: Simulation) -> None:
        log = Log()
        async with formed(sim, log, "n1", "n2") as (nodes, refs):
            refs["n1"].tell(Close())
            await trio.sleep(1)
            refs["n1"].tell(Note("n1", 1))
            await trio.sleep(1)
            assert log.lines == []
            assert nodes.systems["n1"].statistics().dead_letters == 1
            await leave(nodes, "n1")
            assert await nodes.systems["n2"].ask(refs["n2"], where, timeout=20.0) == "n2"

    run(scenario)


def test_alone() -> None:
    """S8: a cluster of one node runs it at once; leaving ends it."""

    async def scenario(sim: Simulation) -> None:
        log = Log()
        async with make_node(sim) as node:
            boss = node.spawn(Behaviors.singleton(log.behavior("n1"), stop_message=Close()), "boss")
            assert await node.ask(boss, where) == "n1"
            assert node.lookup("/boss/instance") is not None
            begun = trio.current_time()
        assert trio.current_time() - begun < 1
        assert log.closed == ["n1"]
        assert log.running == []

    run(scenario)


def test_leaving_without_ending_the_block() -> None:
    """S8: `leave()` hands it over as well."""

    async def scenario(sim: Simulation) -> None:
        log = Log()
        async with formed(sim, log, *THREE) as (nodes, refs):
            await nodes.systems["n1"].leave()
            assert await nodes.systems["n3"].ask(refs["n3"], where, timeout=20.0) == "n2"
            assert log.running == ["n2"]

    run(scenario)


def test_misuse() -> None:
    """L14: each mistake is told."""

    async def scenario(sim: Simulation) -> None:
        log = Log()
        async with make_node(sim) as node:
            boss = Behaviors.singleton(log.behavior("n1"))
            with pytest.raises(UsageError, match="needs a name"):
                node.spawn(boss)
            with pytest.raises(UnknownMessageTypeError, match="annotate its handler"):
                node.spawn(Behaviors.singleton(Behaviors.receive(lambda ctx, message: None)), "other")
            with pytest.raises(UsageError, match="spread over the cluster already"):
                Behaviors.singleton(boss)

    run(scenario)
