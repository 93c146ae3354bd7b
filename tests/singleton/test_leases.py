"""S8: a singleton that needs a lease runs only where that is held, whatever becomes of the lease."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import trio

from casty_trio import (
    Behaviors,
    LeaseAcquired,
    LeaseEvent,
    LeaseFailed,
    LeaseLost,
    Settings,
    SettingsError,
    SingletonSettings,
)
from casty_trio.testing import Simulation
from tests.cluster.clusters import cluster, run
from tests.sharding.test_moves import collected
from tests.sim.shop import assert_adds_up, make_node
from tests.singleton.leases import HANGS, MemoryLease
from tests.singleton.nodes import Close, Log, Note
from tests.singleton.test_singleton import THREE, Refs, formed, leave, where

QUICK = Settings(singletons=SingletonSettings(lease_interval=1.0, lease_timeout=0.5, lease_lost_after=4.0))


def test_it_runs_where_the_lease_is_held() -> None:
    """S8: it is renewed, given back when the actor moves, and had by the next without a delay."""

    async def scenario(sim: Simulation) -> None:
        log, lease = Log(), MemoryLease()
        async with formed(sim, log, *THREE, singleton={"lease": lease, "stop_message": Close()}) as (nodes, refs):
            assert await nodes.systems["n3"].ask(refs["n3"], where) == "n1"
            assert lease.holder.startswith("n1-")
            await trio.sleep(20)
            renewals = lease.times("acquire")
            assert [round(b - a, 1) for a, b in pairwise(renewals)] == [5.0] * (len(renewals) - 1)
            await leave(nodes, "n1")
            left_at = trio.current_time()
            assert await nodes.systems["n3"].ask(refs["n3"], where) == "n2"
            assert trio.current_time() - left_at < 1
            assert len(lease.times("release")) == 1
            await nodes.systems["n2"].leave()
            assert await nodes.systems["n3"].ask(refs["n3"], where) == "n3"
        assert lease.holders == [*THREE]
        assert log.homes == [*THREE]

    run(scenario)


def test_it_waits_for_a_lease_that_is_taken() -> None:
    """S8: mail waits with it; ``lease_interval`` after ``lease_interval`` it is asked for."""

    async def scenario(sim: Simulation) -> None:
        log, lease = Log(), MemoryLease()
        lease.holder, lease.until = "thief", 20.0
        async with formed(sim, log, *THREE, singleton={"lease": lease}, settings=QUICK) as (nodes, refs):
            for name in THREE:
                for number in range(3):
                    refs[name].tell(Note(name, number))
            await trio.sleep(19 - trio.current_time())
            assert log.homes == []
            assert 15 <= len(lease.calls) <= 20
            await trio.sleep(3)
            assert log.homes == ["n1"]
            assert [log.of(name) for name in THREE] == [[0, 1, 2]] * 3
            assert await nodes.systems["n3"].ask(refs["n3"], where) == "n1"

    run(scenario)


def test_a_lease_that_is_lost() -> None:
    """S8: the actor is stopped at once; what it had not handled and what comes waits, in order, until it is had again."""

    async def scenario(sim: Simulation) -> None:
        log, lease = Log(), MemoryLease()
        async with formed(sim, log, *THREE, singleton={"lease": lease}, settings=QUICK) as (nodes, refs):
            events = collected(nodes.systems["n1"], LeaseEvent)
            lease.steal(5.0)
            for number in range(40):
                refs["n2"].tell(Note("n2", number, work=0.1))
            await trio.sleep(1.6)
            assert log.running == []
            assert 0 < len(log.of("n2")) < 20
            refs["n2"].tell(Note("n2", 40))
            await trio.sleep(10)
            handled = log.of("n2")
            assert log.homes == ["n1", "n1"]
            assert handled == sorted(handled)
            assert len(set(range(41)) - set(handled)) <= 1, "but for the one that was cancelled"
            assert await nodes.systems["n3"].ask(refs["n3"], where) == "n1"
            lost, regained = events
            assert isinstance(lost, LeaseLost)
            assert (lost.name, lost.reason) == ("boss", "somebody else has it")
            assert isinstance(regained, LeaseAcquired)
            assert regained.holder == lost.holder == lease.holder

    run(scenario)


@pytest.mark.parametrize("fault", ["failing", "hanging", "deaf"])
def test_a_store_that_is_away(fault: str) -> None:
    """S8: one failure costs nothing; after ``lease_lost_after`` seconds the actor is stopped, whatever the store does."""

    async def scenario(sim: Simulation) -> None:
        log, lease = Log(), MemoryLease(ttl=6.0)
        async with formed(sim, log, *THREE, singleton={"lease": lease}, settings=QUICK) as (nodes, refs):
            events = collected(nodes.systems["n1"], LeaseEvent)
            lease.failing = fault == "failing"
            lease.hanging = fault != "failing"
            lease.deaf = fault == "deaf"
            asked_at = lease.times("acquire")[-1]
            await trio.sleep(2)
            assert log.running == ["n1"]
            if fault == "failing":
                assert "the database is away" in events[0].reason
            elif fault == "hanging":
                assert events[0].reason == "it was not had within 0.5 s"
            await trio.sleep(asked_at + 4.05 - trio.current_time())
            assert log.running == [], "before the lease ends by itself"
            [lost] = [event for event in events if isinstance(event, LeaseLost)]
            assert lost.reason == "nobody has said for 4 s that it is still had"
            lease.failing = lease.hanging = False
            assert await nodes.systems["n3"].ask(refs["n3"], where, timeout=2 * HANGS) == "n1"

    run(scenario)


def test_it_moves_though_the_lease_cannot_be_given_back() -> None:
    """S8: `lease_timeout` bounds that; the next one has it when it has ended by itself."""

    async def scenario(sim: Simulation) -> None:
        log, lease = Log(), MemoryLease(ttl=6.0)
        async with formed(sim, log, *THREE, singleton={"lease": lease}, settings=QUICK) as (nodes, refs):
            failed = collected(nodes.systems["n1"], LeaseFailed)
            await trio.sleep(0.5)
            lease.hanging = True
            begun = trio.current_time()
            await nodes.systems["n1"].leave()
            assert trio.current_time() - begun < 4
            assert failed[-1].reason == "it was not given back within 0.5 s"
            lease.hanging = False
            assert await nodes.systems["n3"].ask(refs["n3"], where, timeout=20.0) == "n2"
            assert 4 < trio.current_time() - begun < 9

    run(scenario)


def test_a_crash() -> None:
    """S8: the next waits for the removal, and for the end of the lease."""

    async def scenario(sim: Simulation) -> None:
        log, lease = Log(), MemoryLease(ttl=25.0)
        async with formed(sim, log, *THREE, singleton={"lease": lease}) as (nodes, refs):
            asked_at = lease.times("acquire")[-1]
            lease.dead.add("n1")
            nodes.sim.host("n1").crash()
            log.running.clear()
            await nodes.formed("n2", "n3", within=60.0)
            assert await nodes.systems["n3"].ask(refs["n3"], where, timeout=60.0) == "n2"
            assert 25 < trio.current_time() - asked_at < 32

    run(scenario)


def test_two_sides_that_both_go_on() -> None:
    """S8, C6: where nobody is declared down, and where operators err, the lease still lets one run."""

    async def scenario(sim: Simulation) -> None:
        log, lease, refs = Log(), MemoryLease(ttl=10.0), Refs()
        begin = log.begin(refs, lease=lease)
        async with cluster(sim, "n1", begin=begin, settings=QUICK) as one, cluster(sim, "n2", begin=begin) as other:
            await one.form("n1")
            await other.form("n2")  # a cluster of its own
            await trio.sleep(30)
            assert log.homes == ["n1"]
            lease.dead.add("n1")
            sim.host("n1").crash()
            log.running.clear()
            assert await other.systems["n2"].ask(refs["n2"], where, timeout=30.0) == "n2"
        assert log.most == 1

    run(scenario)


def test_a_node_that_was_paused() -> None:
    """S8: when it wakes its actor handles nothing, for the lease may be another's by now."""

    async def scenario(sim: Simulation) -> None:
        log, lease = Log(), MemoryLease(ttl=6.0)
        keywords: dict[str, Any] = {"settings": QUICK, "downing": None}
        async with formed(sim, log, *THREE, singleton={"lease": lease}, **keywords) as (_, refs):
            sim.host("n1").pause()
            for number in range(5):
                refs["n2"].tell(Note("n2", number))
            await trio.sleep(8)
            lease.steal(10.0)
            sim.host("n1").resume()
            await trio.sleep(5)
            assert log.lines == []
            await trio.sleep(10)
            assert log.of("n2") == [*range(5)]
            assert log.homes == ["n1", "n1"]

    run(scenario)


def test_a_partition_and_rejoining() -> None:
    """S8 and C6: the side that lost gives the lease back, so the other has it at once."""

    async def scenario(sim: Simulation) -> None:
        log, lease = Log(), MemoryLease(ttl=1_000.0)
        async with formed(sim, log, *THREE, on_downed="rejoin", singleton={"lease": lease}) as (nodes, refs):
            nodes.split(["n1"], ["n2", "n3"])
            await nodes.formed("n2", "n3", within=60.0)
            assert await nodes.systems["n3"].ask(refs["n3"], where, timeout=30.0) == "n2"
            nodes.heal(["n1"], ["n2", "n3"])
            await nodes.formed(*THREE, within=60.0)
            await leave(nodes, "n2")
            await leave(nodes, "n3")
            assert await nodes.systems["n1"].ask(refs["n1"], where, timeout=30.0) == "n1"
            assert log.homes == [*THREE, "n1"]

    run(scenario)


def test_it_is_stopped_while_it_waits() -> None:
    """S8: what nobody needs is not asked for any more."""

    async def scenario(sim: Simulation) -> None:
        log, lease = Log(), MemoryLease()
        lease.holder, lease.until = "thief", 1e9
        async with make_node(sim, settings=QUICK) as node:
            boss = node.spawn(Behaviors.singleton(log.behavior("n1"), lease=lease), "boss")
            boss.tell(Note("n1", 1))
            await trio.sleep(5)
            await node.stop(boss)
            count = len(lease.calls)
            await trio.sleep(5)
            assert len(lease.calls) == count
            assert log.homes == []
            assert node.statistics().dead_letters == 1
            assert_adds_up(node.statistics())

    run(scenario)


def test_a_late_release_does_not_take_the_lease_from_the_next_on_the_node() -> None:
    """S8: it is done by the store long after it was given up; the type has been stopped and spawned again meanwhile."""

    async def scenario(sim: Simulation) -> None:
        log, lease = Log(), MemoryLease()
        async with make_node(sim, settings=QUICK) as node:
            boss = node.spawn(Behaviors.singleton(log.behavior("n1"), lease=lease), "boss")
            await trio.sleep(1)
            lease.hanging = lease.deaf = True
            await node.stop(boss)
            await trio.sleep(1)
            lease.hanging = lease.deaf = False
            node.spawn(Behaviors.singleton(log.behavior("n1"), lease=lease), "boss")
            for _ in range(80):
                await trio.sleep(0.5)
                assert lease.holder or not log.running
            assert log.homes == ["n1", "n1"]
            assert log.running == ["n1"]

    run(scenario)


def test_an_instance_that_stops_by_itself_is_not_started_by_the_lease() -> None:
    """L5: it stays stopped until it moves, whatever becomes of the lease."""

    async def scenario(sim: Simulation) -> None:
        log, lease = Log(), MemoryLease()
        async with formed(sim, log, "n1", "n2", singleton={"lease": lease}, settings=QUICK) as (nodes, refs):
            refs["n1"].tell(Close())
            await trio.sleep(1)
            lease.steal(3.0)
            await trio.sleep(10)
            assert log.homes == ["n1"]
            await leave(nodes, "n1")
            assert await nodes.systems["n2"].ask(refs["n2"], where, timeout=20.0) == "n2"

    run(scenario)


def test_settings() -> None:
    with pytest.raises(SettingsError, match="lease_lost_after"):
        SingletonSettings(lease_interval=5.0, lease_lost_after=5.0)
    with pytest.raises(SettingsError, match="lease"):
        Behaviors.singleton(Behaviors.ignore(), lease=5)  # type: ignore[arg-type]
