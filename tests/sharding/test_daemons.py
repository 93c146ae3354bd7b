"""Daemons: so many workers, each alive once in the cluster, without any message and whatever happens to nodes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import trio

from casty_trio import (
    ActorContext,
    ActorRef,
    ActorStoppedError,
    Behavior,
    Behaviors,
    ClusteredActorSystem,
    DaemonsRef,
    EntitySettings,
    Settings,
    SettingsError,
    ShardCountError,
    ShardEnvelope,
    UnknownActorError,
    UnknownMessageTypeError,
    daemon_id,
)
from casty_trio.model.daemons import DAEMONS_MOST
from casty_trio.protocol.shards import shard_of
from casty_trio.testing import Simulation
from tests.cluster.clusters import PORT, Cluster, cluster, run
from tests.sim.shop import assert_adds_up, make_client

THREE = ("n1", "n2", "n3")
COUNT = 6


@dataclass(frozen=True)
class Who:
    """Wants to know which worker it is, and where."""

    reply_to: ActorRef[tuple[int, str]]


@dataclass(frozen=True)
class End:
    """Ends the worker: with a failure, or without."""

    fail: bool = False


@dataclass(frozen=True)
class Close:
    """The stop message."""


Msg = Who | End | Close


class Roster:
    """Which workers live where.

    Attributes:
        living: the nodes on which each worker lives.
        started: when which worker was started, and where.
        closed: which workers were told the stop message.
    """

    def __init__(self) -> None:
        self.living: dict[int, list[str]] = {index: [] for index in range(COUNT)}
        self.started: list[tuple[float, int, str]] = []
        self.closed: list[int] = []

    def factory(self, node: str) -> Callable[[int, int], Behavior[Msg]]:
        """The workers of a node."""

        def worker(index: int, count: int) -> Behavior[Msg]:
            assert count == COUNT

            def begin(_: ActorContext[Any]) -> None:
                self.living[index].append(node)
                self.started.append((trio.current_time(), index, node))
                assert len(self.living[index]) == 1, f"S1: worker {index} lives on {self.living[index]}"

            def end(_: ActorContext[Any]) -> None:
                self.living[index].remove(node)

            def receive(ctx: ActorContext[Any], message: Msg) -> Behavior[Msg]:
                match message:
                    case Who(reply_to):
                        assert ctx.entity.entity_id == daemon_id(index, count)
                        assert ctx.entity.shard == index
                        reply_to.tell((index, node))
                    case End(fail=True):
                        raise ValueError("worn out")
                    case _:
                        if isinstance(message, Close):
                            self.closed.append(index)
                        return Behaviors.stopped()
                return Behaviors.same()

            return Behaviors.with_lifecycle(Behaviors.receive(receive), pre_start=begin, post_stop=end)

        return worker

    @property
    def spread(self) -> dict[str, int]:
        """How many workers live on each node; each lives somewhere."""
        assert all(len(nodes) == 1 for nodes in self.living.values()), self.living
        return dict(Counter(nodes[0] for nodes in self.living.values()))

    def starts(self, index: int) -> list[float]:
        """When a worker was started."""
        return [at for at, each, _ in self.started if each == index]


Refs = dict[str, DaemonsRef[Msg]]


@asynccontextmanager
async def formed(
    sim: Simulation, roster: Roster, *names: str, daemons: dict[str, Any] | None = None, **keywords: Any
) -> AsyncIterator[tuple[Cluster, Refs]]:
    """A cluster of these, oldest first, with the daemons on each."""
    refs: Refs = {}

    def begin(system: ClusteredActorSystem) -> None:
        given = {"count": COUNT, **(daemons or {})}
        refs[system.node_id] = system.spawn(Behaviors.daemons(roster.factory(system.node_id), **given), "workers")

    async with cluster(sim, begin=begin, **keywords) as nodes:
        for number, name in enumerate(names, 1):
            nodes.start(name)
            await nodes.formed(*names[:number])
        await trio.sleep(8)
        yield nodes, refs
        for system in nodes.systems.values():
            assert_adds_up(system.statistics())


async def all_answer(nodes: Cluster, refs: Refs) -> None:
    """Each worker answers each node."""
    for name, system in nodes.systems.items():
        for index in range(COUNT):
            found, _ = await system.ask(refs[name].worker(index), Who)
            assert found == index


def test_each_lives_once_and_is_spread_without_a_message() -> None:
    """S1, S4: over all nodes, evenly; each is reached from each, and from a client."""

    async def scenario(sim: Simulation) -> None:
        roster = Roster()
        async with formed(sim, roster, *THREE) as (nodes, refs):
            assert roster.spread == {"n1": 2, "n2": 2, "n3": 2}
            await all_answer(nodes, refs)
            system, ref = nodes.systems["n1"], refs["n3"]
            assert ref.count == COUNT
            assert system.entity_ref("workers", daemon_id(4, COUNT)) == refs["n1"].worker(4)
            found: tuple[int, str] = await system.ask(refs["n1"], lambda r: ShardEnvelope(daemon_id(4, COUNT), Who(r)))
            assert found[0] == 4
            async with make_client(sim, contacts=[("n1", PORT)]) as client:
                workers: ActorRef[ShardEnvelope[Msg]] = client.entity_ref("workers", num_shards=COUNT)
                for index in range(COUNT):
                    found = await client.ask(workers, lambda r, i=index: ShardEnvelope(daemon_id(i, COUNT), Who(r)))
                    assert found[0] == index
            before = list(roster.started)
            await trio.sleep(60)
            assert roster.started == before, "nothing moves or starts while nothing changes"

    run(scenario)


def test_one_node_has_all() -> None:
    async def scenario(sim: Simulation) -> None:
        roster = Roster()
        async with formed(sim, roster, "n1") as (nodes, refs):
            assert roster.spread == {"n1": COUNT}
            await all_answer(nodes, refs)

    run(scenario)


def test_a_crash() -> None:
    """S3: the workers of a node that is gone are started on others; never two at a time."""
    for seed, victim in enumerate((*THREE, *THREE)):

        async def scenario(sim: Simulation, victim: str = victim) -> None:
            roster = Roster()
            async with formed(sim, roster, *THREE) as (nodes, refs):
                for lives in roster.living.values():
                    if lives == [victim]:
                        lives.clear()
                sim.host(victim).crash()
                rest = tuple(name for name in THREE if name != victim)
                await nodes.wait_ended(victim)
                await nodes.formed(*rest)
                await trio.sleep(10)
                assert roster.spread == dict.fromkeys(rest, 3)
                await all_answer(nodes, refs)

        run(scenario, seed)


def test_a_leave_and_a_rolling_restart() -> None:
    """S2: each worker gets the stop message where it leaves, and lives elsewhere then; nodes that come get their share."""

    async def scenario(sim: Simulation) -> None:
        roster = Roster()
        async with formed(sim, roster, *THREE, daemons={"stop_message": Close()}) as (nodes, refs):
            for name in THREE:
                roster.closed.clear()
                there = {index for index, lives in roster.living.items() if lives == [name]}
                sim.host(name).terminate()
                await nodes.wait_ended(name)
                assert set(roster.closed) >= there
                await trio.sleep(5)
                assert name not in roster.spread
                del nodes.errors[name]
                nodes.start(name)
                await nodes.formed(*THREE)
                await trio.sleep(10)
                assert roster.spread == {"n1": 2, "n2": 2, "n3": 2}
            await all_answer(nodes, refs)

    run(scenario)


def test_a_partition() -> None:
    """C6: the smaller side's workers end before the others start them."""

    async def scenario(sim: Simulation) -> None:
        roster = Roster()
        async with formed(sim, roster, *THREE, on_downed="rejoin") as (nodes, refs):
            nodes.split(("n1",), ("n2", "n3"))
            await trio.sleep(30)
            assert roster.spread == {"n2": 3, "n3": 3}
            nodes.heal(("n1",), ("n2", "n3"))
            await nodes.formed(*THREE, within=60)
            await trio.sleep(10)
            assert roster.spread == {"n1": 2, "n2": 2, "n3": 2}
            await all_answer(nodes, refs)

    run(scenario)


def test_who_fails_starts_again() -> None:
    """After ``restart_least`` seconds, then twice as long, up to ``restart_most``; from the beginning after a good while."""
    settings = Settings(entities=EntitySettings(restart_least=2.0, restart_most=5.0))

    async def scenario(sim: Simulation) -> None:
        roster = Roster()
        async with formed(sim, roster, *THREE, settings=settings) as (_, refs):
            for expected in (2.0, 4.0, 5.0):
                failed_at = trio.current_time()
                refs["n1"].worker(0).tell(End(fail=True))
                await trio.sleep(7)
                assert roster.starts(0)[-1] - failed_at == pytest.approx(expected, rel=0.25, abs=0.1)
            await trio.sleep(20)
            failed_at = trio.current_time()
            refs["n1"].worker(0).tell(End(fail=True))
            await trio.sleep(7)
            assert roster.starts(0)[-1] - failed_at == pytest.approx(2.0, rel=0.25, abs=0.1)

    run(scenario)


@pytest.mark.parametrize("pause", [3.0, math.inf])
def test_who_stops_by_itself_is_kept_alive(pause: float) -> None:
    """After ``keep_alive`` seconds, or by the next message."""

    async def scenario(sim: Simulation) -> None:
        roster = Roster()
        async with formed(sim, roster, *THREE, daemons={"keep_alive": pause}) as (nodes, refs):
            worker, begun, before = refs["n2"].worker(5), trio.current_time(), len(roster.starts(5))
            worker.tell(End())
            await trio.sleep(20)
            if pause < math.inf:
                assert roster.starts(5)[before:] == pytest.approx([begun + pause], abs=0.1)
            else:
                assert roster.living[5] == []
            worker.tell(End())
            await trio.sleep(0.5)
            starts = len(roster.starts(5))
            assert (await nodes.systems["n2"].ask(worker, Who))[0] == 5
            assert len(roster.starts(5)) == starts + 1, "a message does not wait"
            await trio.sleep(20)
            assert len(roster.starts(5)) == starts + 1, "and nothing starts it twice"

    run(scenario)


def test_roles_and_proxies() -> None:
    """Only members with the role have workers, and none of those that route only."""

    async def scenario(sim: Simulation) -> None:
        roster, refs = Roster(), Refs()

        def begin(system: ClusteredActorSystem) -> None:
            behavior = Behaviors.daemons(roster.factory(system.node_id), COUNT, role="work", proxy=system.node_id == "n3")
            refs[system.node_id] = system.spawn(behavior, "workers")

        async with cluster(sim, begin=begin) as nodes:
            nodes.start("n1")
            nodes.start("n2", "n3", "n4", roles={"work"})
            await nodes.formed("n1", "n2", "n3", "n4")
            await trio.sleep(8)
            assert roster.spread == {"n2": 3, "n4": 3}
            await all_answer(nodes, refs)

    run(scenario)


def test_who_is_no_worker_is_told() -> None:
    """An id that `daemon_id` does not give is no worker's: nothing is started for it."""

    async def scenario(sim: Simulation) -> None:
        roster = Roster()
        async with formed(sim, roster, *THREE) as (nodes, refs):
            system = nodes.systems["n2"]
            for wrong in ("3", "x~1", "7~0", "-1~0", f"{daemon_id(2, COUNT)}0", f" {daemon_id(2, COUNT)}"):
                with pytest.raises(UnknownActorError, match="daemon_id"):
                    await system.ask(refs["n2"], lambda r, i=wrong: ShardEnvelope(i, Who(r)))
            for index in (-1, COUNT, "1", True):
                with pytest.raises(SettingsError, match="index"):
                    refs["n2"].worker(index)  # type: ignore[arg-type]
            assert len(roster.started) == len({each for _, each, _ in roster.started}) + 4, "moved, and else started once"

    run(scenario)


def test_the_type_ends_on_a_node() -> None:
    """Whoever stops it there has its workers elsewhere, and it can be spawned again."""

    async def scenario(sim: Simulation) -> None:
        roster = Roster()
        async with formed(sim, roster, *THREE) as (nodes, refs):
            system = nodes.systems["n3"]
            await system.stop(refs["n3"])
            await trio.sleep(10)
            assert roster.spread == {"n1": 3, "n2": 3}
            with pytest.raises(ActorStoppedError):
                await system.ask(refs["n3"].worker(0), Who)
            refs["n3"] = system.spawn(Behaviors.daemons(roster.factory("n3"), COUNT), "workers")
            await trio.sleep(10)
            assert roster.spread == {"n1": 2, "n2": 2, "n3": 2}
            await all_answer(nodes, refs)

    run(scenario)


def test_counts_have_to_agree() -> None:
    """By name, as for any sharded type."""

    async def scenario(sim: Simulation) -> None:
        roster = Roster()
        async with formed(sim, roster, "n1", "n2") as (nodes, _):
            nodes.start("n3", begin=lambda system: None)
            await nodes.formed(*THREE)
            system = nodes.systems["n3"]
            other = system.spawn(Behaviors.daemons(roster.factory("n3"), COUNT + 1), "workers")
            await trio.sleep(5)
            with pytest.raises(ShardCountError):
                await system.ask(other.worker(0), Who)
            assert roster.spread == {"n1": 3, "n2": 3}

    run(scenario)


def test_misuse() -> None:
    """What does not tell its messages cannot be sent to."""

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await nodes.form("n1")
            with pytest.raises(UnknownMessageTypeError, match="workers"):
                nodes.systems["n1"].spawn(Behaviors.daemons(lambda index, count: Behaviors.ignore(), 2), "workers")

    run(scenario)


@pytest.mark.parametrize("count", [1, 2, 7, 100, 1_000, DAEMONS_MOST])
def test_ids_are_spread_one_to_a_shard(count: int) -> None:
    """S4: so no two members differ by more than one worker."""
    assert [shard_of(daemon_id(index, count), count) for index in range(count)] == list(range(count))


@pytest.mark.parametrize(
    ("index", "count", "text"),
    [
        (4, 4, "0 to 3, not 4"),
        (-1, 4, "0 to 3, not -1"),
        (True, 4, "not True"),
        (0, 0, "1 to 10000, not 0"),
        ("0", 1, "not '0'"),
    ],
)
def test_there_is_no_id_of_no_worker(index: Any, count: Any, text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        daemon_id(index, count)
