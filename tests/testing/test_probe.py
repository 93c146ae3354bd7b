"""A probe takes what it is told, in order; what is wrong, missing or late is an `AssertionError` that says so."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import trio
import trio.testing

from casty_trio import ActorContext, ActorRef, ActorSystem, Behavior, Behaviors, SettingsError, UsageError
from casty_trio.testing import Simulation, TestProbe, simulate


@dataclass(frozen=True)
class Added:
    amount: int


@dataclass(frozen=True)
class Removed:
    amount: int


Change = Added | Removed


def echo(to: ActorRef[str], *, after: float = 0.0) -> Behavior[str]:
    async def receive(ctx: ActorContext[str], text: str) -> Behavior[str]:
        await trio.sleep(after)
        if text == "stop":
            return Behaviors.stopped()
        if text == "fail":
            raise ValueError(text)
        to.tell(text)
        return Behaviors.same()

    return Behaviors.receive(receive)


async def test_expects_a_value_a_class_a_union_or_what_a_function_accepts() -> None:
    async with ActorSystem("test") as system:
        probe: TestProbe[Change] = TestProbe(system, "probe")
        for amount in range(4):
            probe.ref.tell(Added(amount))
        assert probe.ref.path == "/probe"
        assert await probe.expect(Added(0)) == Added(0)
        assert (await probe.expect(Added)).amount == 1
        assert await probe.expect(Added | Removed) == Added(2)
        assert await probe.expect(lambda change: change.amount > 2) == Added(3)
        assert probe.received == tuple(map(Added, range(4)))
        assert repr(probe) == "<TestProbe /probe: 0 wait of 4>"


async def test_expects_what_is_generic_optional_or_callable_itself() -> None:
    async with ActorSystem("test") as system:
        probe = TestProbe(system)
        for message in ([1], None, print):
            probe.ref.tell(message)
        assert await probe.expect(list[int]) == [1]
        await probe.expect(None)
        await probe.expect(print)


async def test_a_wrong_message_is_shown_with_those_around_it() -> None:
    async with ActorSystem("test") as system:
        probe = TestProbe(system, "probe", message_type=int)
        for number in range(4):
            probe.ref.tell(number)
        assert await probe.expect(0) == 0
        with pytest.raises(AssertionError) as caught:
            await probe.expect(7)
        expected = "/probe expected 7, but got 1; before it came:\n    0\nand after it:\n    2\n    3"
        assert str(caught.value) == expected
        assert await probe.expect(2) == 2  # the wrong one is taken


async def test_a_long_history_is_cut() -> None:
    async with ActorSystem("test") as system:
        probe = TestProbe(system)
        for number in range(25):
            probe.ref.tell(number)
            await probe.expect(number)
        with pytest.raises(AssertionError, match=r"\(5 more\)\n    5\n"):
            await probe.expect(str, within=0.01)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (Added, "an instance of Added"),
        (Added | Removed, r"an instance of .*Added \| .*Removed"),
        (callable, "what callable acc"),
    ],
)
async def test_a_missing_message_is_told(wanted: object, words: str, autojump_clock: trio.testing.MockClock) -> None:
    async with ActorSystem("test") as system:
        probe = TestProbe(system)
        with pytest.raises(AssertionError, match=rf"expected {words}.*, but nothing came within 3 s; before.*: nothing"):
            await probe.expect(wanted)
        assert trio.current_time() == 3.0


async def test_expect_waits_for_a_message_that_comes_in_time(autojump_clock: trio.testing.MockClock) -> None:
    async with ActorSystem("test") as system:
        probe = TestProbe(system)
        slow = system.spawn(echo(probe.ref, after=60))
        slow.tell("at last")
        await probe.expect("at last", within=60.1)
        assert trio.current_time() == 60.0


async def test_expect_none(autojump_clock: trio.testing.MockClock) -> None:
    async with ActorSystem("test") as system:
        probe = TestProbe(system)
        system.spawn(echo(probe.ref, after=1)).tell("late")
        await probe.expect_none()
        assert trio.current_time() == pytest.approx(0.1)
        with pytest.raises(AssertionError, match="expected no message, but got 'late'"):
            await probe.expect_none(within=5)
        assert trio.current_time() == 1.0
        await probe.expect("late")


async def test_the_end_of_an_actor_comes_after_what_it_told(autojump_clock: trio.testing.MockClock) -> None:
    async with ActorSystem("test") as system:
        probe = TestProbe(system)
        ref = system.spawn(echo(probe.ref))
        ref.tell("last words")
        ref.tell("stop")
        terminated = await probe.expect_terminated(ref)
        assert terminated.ref == ref
        assert terminated.failure is None
        assert probe.received == ("last words",)
        await probe.expect_terminated(ref)  # it is dead for ever


async def test_the_end_of_a_watched_actor_brings_its_failure(autojump_clock: trio.testing.MockClock) -> None:
    async with ActorSystem("test") as system:
        probe = TestProbe(system)
        ref, other = system.spawn(echo(probe.ref)), system.spawn(echo(probe.ref), "other")
        probe.watch(ref)
        ref.tell("fail")
        terminated = await probe.expect_terminated(ref)
        assert isinstance(terminated.failure, ValueError)
        with pytest.raises(AssertionError, match="expected the end of <LocalRef /other>, but nothing came within 2 s"):
            await probe.expect_terminated(other, within=2)
        with pytest.raises(UsageError):
            probe.watch(probe.ref)


async def test_within_bounds_a_block_and_the_waits_in_it(autojump_clock: trio.testing.MockClock) -> None:
    async with ActorSystem("test") as system:
        probe = TestProbe(system)
        ref = system.spawn(echo(probe.ref, after=4))
        ref.tell("one")
        ref.tell("two")
        with probe.within(8.5):
            await probe.expect("one")  # longer than a wait of its own may take
            await probe.expect("two")
        with (
            pytest.raises(AssertionError, match=r"'three', but it did not come about .*; before.*\n.*one"),
            probe.within(2),
        ):
            await probe.expect("three")
        with pytest.raises(AssertionError, match="expected 'three', but nothing came within 1 s"), probe.within(2):
            await probe.expect("three", within=1)
        with pytest.raises(AssertionError, match="expected the block to be done, but"), probe.within(2):
            await trio.sleep(3)
        with pytest.raises(AssertionError, match="within 3 s"):
            await probe.expect("three")


async def test_what_a_block_raises_leaves_it() -> None:
    async with ActorSystem("test") as system:
        probe = TestProbe(system)
        with pytest.raises(KeyError), probe.within(2):
            raise KeyError


async def test_a_cancelled_wait_is_cancelled() -> None:
    async with ActorSystem("test") as system:
        probe = TestProbe(system)
        with trio.move_on_after(0.01) as scope:
            await probe.expect("nothing")
        assert scope.cancelled_caught
        probe.ref.tell("something")
        await probe.expect("something")


def test_a_probe_in_a_simulation() -> None:
    async def scenario(sim: Simulation) -> str:
        async with ActorSystem("test", env=sim.env("node")) as system:
            probe = TestProbe(system)
            system.spawn(echo(probe.ref, after=2)).tell("hello")
            text: str = await probe.expect(str)
        return text

    assert simulate(scenario, 1).value == "hello"


@pytest.mark.parametrize("bad", [math.nan, -0.001, True, "1"])
async def test_what_is_no_time_is_refused_at_once(bad: Any) -> None:
    async with ActorSystem() as system:
        probe: TestProbe[str] = TestProbe(system)
        other: TestProbe[str] = TestProbe(system)
        probe.ref.tell("kept")
        await trio.testing.wait_all_tasks_blocked()
        before = trio.current_time()
        waits: list[Callable[[], Awaitable[object]]] = [
            lambda: probe.expect("kept", within=bad),
            lambda: probe.expect_none(within=bad),
            lambda: probe.expect_terminated(other.ref, within=bad),
        ]
        for wait in waits:
            with pytest.raises(SettingsError, match="within must be seconds, 0 or more, not "):
                await wait()
        with pytest.raises(SettingsError, match="within must be seconds, 0 or more, not "), probe.within(bad):
            pytest.fail("it was entered")
        assert trio.current_time() - before < 0.5
        await probe.expect("kept", within=math.inf)
