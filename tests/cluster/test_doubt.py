"""A node that was late, out of touch, or is to decide on others, asks whether it is still a member; fresh answers count."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import pytest
import trio

from casty_trio import DetectorSettings, Settings
from casty_trio.cluster.doubt import Doubt
from casty_trio.protocol.downing import Decision, DowningStrategy, Situation
from casty_trio.protocol.monitoring import Ping, Pong
from casty_trio.testing import Conditions, Simulation, simulate
from tests.cluster.clusters import cluster


class Operator(DowningStrategy):
    """Leaves it to a person."""

    def decide(self, situation: Situation) -> Decision:
        return Decision((), "somebody has to look")


def doubt_of(up: Sequence[int], now: float = 10.0) -> Doubt:
    """One of node 1, which goes by answers to what was asked within four seconds."""
    return Doubt(now, up, 3.0, 4.0, count(1_000))


def answer(doubt: Doubt, now: float, uid: int) -> bool:
    """Somebody answers the last question; whether that is enough."""
    doubt.answered(uid, Pong(doubt.ping.seq))
    return doubt.resolved(now)


def test_most_have_to_answer_what_was_asked_since() -> None:
    """C6, S1: this node is one of five that are up; two others make three."""
    doubt = doubt_of([1, 2, 3, 4, 5])
    assert doubt.ask(10.0) == [1, 2, 3, 4, 5]
    doubt.answered(2, Pong(7))
    assert not doubt.resolved(10.0), "that was asked before"
    doubt.answered(3, doubt.ping)
    assert not doubt.resolved(10.0)
    assert not answer(doubt, 10.1, 4)
    assert not answer(doubt, 10.2, 4), "it counts once"
    assert answer(doubt, 10.3, 5)
    assert doubt.ask(10.5) == [1, 2, 3]


def test_an_answer_to_what_was_asked_long_ago_does_not_count() -> None:
    """C6: it came on a slow way, and whoever sent it may have removed this node since."""
    doubt = doubt_of([1, 2, 3])
    doubt.ask(10.0)
    first = doubt.ping
    for tenths in range(105, 155, 5):
        doubt.ask(tenths / 10)
        assert doubt.ping != first
    doubt.answered(2, Pong(first.seq))
    assert not doubt.resolved(15.0)
    assert answer(doubt, 15.1, 3)
    assert not doubt.resolved(19.1), "by then it is as old"
    assert doubt.ask(19.1) == [1, 2, 3]


def test_it_ends_when_everybody_would_have_been_decided_on() -> None:
    """C6: no node stands still for ever; each question has a number of its own."""
    numbers = count(1_000)
    doubt = Doubt(10.0, [1, 2], 3.0, 4.0, numbers)
    doubt.ask(10.0)
    assert (doubt.ask_at, doubt.until) == (10.5, 22.0)
    assert isinstance(doubt.ping, Ping)
    assert doubt.ping != Doubt(10.0, [1, 2], 3.0, 4.0, numbers).ping


def test_who_is_to_be_down_is_not_asked() -> None:
    """S1: but counts among those of whom most have to answer, for they may be on the other side with others."""
    doubt = doubt_of([1, 2, 3, 4, 5, 6, 7])
    doubt.decide(12.0, [6, 7, 9])
    assert not doubt.resolved(12.0)
    assert (doubt.ask_at, doubt.until) == (12.0, 24.0)
    assert doubt.ask(12.0) == [1, 2, 3, 4, 5]
    assert not answer(doubt, 12.1, 2)
    assert not answer(doubt, 12.1, 3)
    assert answer(doubt, 12.1, 4)


def test_where_most_are_to_be_down_most_of_the_others_have_to_answer() -> None:
    """C6: as by age, or where two are left of which one goes."""
    doubt = doubt_of([1, 2, 3, 4, 5])
    doubt.decide(10.0, [3, 4, 5])
    doubt.ask(10.0)
    assert not doubt.resolved(10.0)
    assert answer(doubt, 10.1, 2)
    alone = doubt_of([1, 2])
    alone.decide(10.0, [2])
    assert alone.resolved(10.0)


def test_who_is_declared_down_meanwhile_does_not_count() -> None:
    """S3: three of six are down by the word of somebody else; two of the others make three, and enough."""
    doubt = doubt_of([1, 2, 3, 4, 5, 6])
    doubt.ask(10.0)
    assert not answer(doubt, 10.1, 2)
    assert not answer(doubt, 10.1, 3)
    doubt.settle(10.2, {1, 2, 3, 7})
    assert doubt.resolved(10.2)
    assert doubt.ask_at == 10.2
    assert doubt.ask(10.2) == [1]


def test_another_situation_other_answers() -> None:
    """C6: what was to be decided is not; all are asked again."""
    doubt = doubt_of([1, 2, 3])
    doubt.decide(10.0, [3])
    doubt.decide(11.0, [])
    assert doubt.ask(11.0) == [1, 2, 3]
    assert answer(doubt, 11.1, 3)


def test_who_is_cut_off_from_all_stands_still_before_the_others_can_have_removed_it() -> None:
    """C6, S1: however patient it has become with others; and who is with most of them goes on after a moment."""

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim, "n1", "n2", "n3") as nodes:
            await nodes.form("n1", "n2", "n3")
            nodes.split(["n1"], ["n2", "n3"])
            cut = trio.current_time()
            with trio.fail_after(8):
                while not nodes.systems["n1"].in_doubt:  # noqa: ASYNC110 - no event says so
                    await trio.sleep(0.05)
            assert trio.current_time() > cut + 4.0
            await trio.sleep(0.5)
            assert nodes.systems["n1"].in_doubt
            assert len(nodes.systems["n2"].members) == 3
            assert not nodes.systems["n2"].in_doubt
            assert not nodes.systems["n3"].in_doubt
            await nodes.wait_ended("n1")

    simulate(scenario, 1)


def test_who_hears_from_most_again_goes_on() -> None:
    """S3: as soon as they have answered."""

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim, "n1", "n2", "n3") as nodes:
            await nodes.form("n1", "n2", "n3")
            nodes.split(["n1"], ["n2", "n3"])
            await trio.sleep(6.5)
            assert nodes.systems["n1"].in_doubt
            nodes.heal(["n1"], ["n2", "n3"])
            await trio.sleep(1.5)
            assert not nodes.systems["n1"].in_doubt
            await nodes.formed("n1", "n2", "n3")

    simulate(scenario, 1)


def test_who_is_reached_through_another_does_not_stand_still_for_ever() -> None:
    """S3: two nodes hear nothing of each other, but a third vouches for both: nobody is accused, nothing is decided."""

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim, "n1", "n2", "n3") as nodes:
            await nodes.form("n1", "n2", "n3", "n4")
            nodes.split(["n1"], ["n2", "n3"])
            doubting = 0
            for _ in range(120):
                await trio.sleep(1)
                doubting += nodes.systems["n1"].in_doubt
            assert doubting < 20
            assert len(nodes.systems["n4"].members) == 4

    simulate(scenario, 1)


def test_a_node_that_starts_again_at_once_is_not_waited_for() -> None:
    """S3: of two one was killed, and is there again before anything was decided: the other goes on with it at once."""

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim, "n1", "n2") as nodes:
            await nodes.form("n1", "n2")
            nodes.sim.host("n2").crash()
            await trio.sleep(5.5)
            assert nodes.systems["n1"].in_doubt
            nodes.start("n2")
            await trio.sleep(2)
            assert not nodes.systems["n1"].in_doubt

    simulate(scenario, 1)


@pytest.mark.parametrize("pause", [0.0, 0.1])
def test_an_impatient_detector_is_no_reason_for_doubt(pause: float) -> None:
    """S3: answers that take longer than it likes are no old ones."""
    settings = Settings(detector=DetectorSettings(heartbeat=0.2, pause=pause))

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim, "n1", "n2", "n3", settings=settings) as nodes:
            await nodes.form("n1", "n2", "n3")
            sim.network.set_conditions(Conditions(delay=(0.2, 0.2)))
            await trio.sleep(10)
            assert not any(system.in_doubt for system in nodes.systems.values())

    simulate(scenario, 1)


def test_a_strategy_that_waits_for_somebody_stops_nothing_for_ever() -> None:
    """C6: it downs nobody; the node stands still for a while, and goes on as it was told to."""

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim, "n1", "n2", "n3", downing=Operator()) as nodes:
            await nodes.form("n1", "n2", "n3", "n4")
            nodes.split(["n1", "n2"], ["n3", "n4"])
            await trio.sleep(30)
            assert not any(system.in_doubt for system in nodes.systems.values())
            assert all(len(system.members) == 4 for system in nodes.systems.values())

    simulate(scenario, 1)
