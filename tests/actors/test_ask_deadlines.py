"""An ask ends at its timeout, or when its caller gives up (L5)."""

import math
from typing import Any

import pytest
import trio
from hypothesis import given, strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from casty_trio import ActorSystem, AskTimeoutError, Behaviors, DeadLetter, UsageError
from tests.actors.helpers import Ctx, Gated, Get, Ref, ask_into, assert_adds_up, counter, recorder, run, silent


@given(st.lists(st.integers(0, 800).map(lambda eighths: eighths / 8), min_size=1, max_size=30))
def test_timeouts_are_exact(timeouts: list[float]) -> None:
    """L5: each ask ends at its own timeout, in virtual time, in whatever order they come."""

    async def program() -> None:
        async def asking(timeout: float) -> None:
            begun = trio.current_time()
            with pytest.raises(AskTimeoutError) as caught:
                await system.ask(ref, Get, timeout=timeout)
            assert isinstance(caught.value, TimeoutError)
            assert trio.current_time() == begun + timeout

        async with ActorSystem() as system:
            ref = system.spawn(silent())
            async with trio.open_nursery() as nursery:
                for timeout in timeouts:
                    nursery.start_soon(asking, timeout)
            assert system.statistics().asks == 0

    run(program)


async def test_thousands_of_asks_time_out_at_once(autojump_clock: MockClock) -> None:
    """L5: all at the same moment, and nothing is left."""
    results: list[Any] = []
    async with ActorSystem() as system:
        ref = system.spawn(silent())
        async with trio.open_nursery() as nursery:
            for _ in range(5_000):
                nursery.start_soon(ask_into, results, system, ref, 7.0)
        assert trio.current_time() == 7
        assert {type(each) for each in results} == {AskTimeoutError}
        assert len(results) == 5_000
        assert system.statistics().asks == 0


@pytest.mark.parametrize("timeout", [math.nan, -1.0, -math.inf])
async def test_a_timeout_that_is_none_is_refused(timeout: float) -> None:
    """L5: nothing is sent, and the deadlines of others are not disturbed."""
    async with ActorSystem() as system:
        ref = system.spawn(counter())
        with pytest.raises(UsageError, match="timeout"):
            await system.ask(ref, Get, timeout=timeout)
        assert system.statistics().sent == 0
        with pytest.raises(AskTimeoutError):
            await system.ask(system.spawn(silent()), Get, timeout=0)


async def test_a_cancelled_caller_leaves_a_message_that_is_skipped(autojump_clock: MockClock) -> None:
    """L5, L4: what still waits is a dead letter ("gave up"), what is in hand gets its reply as a dead letter."""
    gated, letters = Gated(), list[DeadLetter]()
    async with ActorSystem() as system:
        system.event_stream.subscribe(system.spawn(recorder(letters)), DeadLetter)
        ref = system.spawn(gated.behavior)
        with trio.move_on_after(1) as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask_into, [], system, ref, 5.0, "in hand")
                await gated.begun.wait()
                nursery.start_soon(ask_into, [], system, ref, 5.0, "queued")
        assert scope.cancelled_caught
        assert trio.current_time() == 1
        assert system.statistics().asks == 0
        gated.gate.set()
        await wait_all_tasks_blocked()
        assert [message.tag for message in gated.handled] == ["in hand"]
        late, skipped = letters
        assert late.message == "in hand"
        assert "late" in late.reason
        assert isinstance(skipped.message, Get)
        assert skipped.recipient == ref
        assert "gave up" in skipped.reason
        assert_adds_up(system.statistics())


async def test_a_caller_cancelled_before_it_waits() -> None:
    """L5: an ask in a scope that is cancelled already sends, gives up, and is skipped."""
    seen: list[Any] = []
    async with ActorSystem() as system:
        ref = system.spawn(recorder(seen))
        with trio.CancelScope() as scope:
            scope.cancel()
            await system.ask(ref, Get)
        assert scope.cancelled_caught
        await wait_all_tasks_blocked()
        assert seen == []
        assert system.statistics().dead == 1


async def test_late_and_second_replies_are_dead_letters(autojump_clock: MockClock) -> None:
    """L5: only the first reply counts, and only in time; the rest is seen with the reply ref as its recipient."""
    letters: list[DeadLetter] = []
    refs: list[Ref] = []

    def receive(ctx: Ctx, message: Get) -> None:
        refs.append(message.reply_to)
        if message.tag == "twice":
            message.reply_to.tell(1)
            message.reply_to.tell(2)

    async with ActorSystem() as system:
        system.event_stream.subscribe(system.spawn(recorder(letters)), DeadLetter)
        ref = system.spawn(Behaviors.receive(receive))
        first: int = await system.ask(ref, lambda reply_to: Get(reply_to, "twice"))
        assert first == 1
        with pytest.raises(AskTimeoutError):
            await system.ask(ref, Get, timeout=1)
        await refs[1].send(3)
        await wait_all_tasks_blocked()
        assert [(letter.message, letter.recipient) for letter in letters] == [(2, refs[0]), (3, refs[1])]
        assert system.statistics().dead_letters == 2
        assert_adds_up(system.statistics())


async def test_an_ask_without_end(autojump_clock: MockClock) -> None:
    """L5: `math.inf` waits as long as it takes, is counted meanwhile, and does not delay the timeouts of others."""
    gated, results = Gated(), list[Any]()
    async with ActorSystem() as system, trio.open_nursery() as nursery:
        ref = system.spawn(gated.behavior)
        nursery.start_soon(ask_into, results, system, ref, math.inf, "answer")
        nursery.start_soon(ask_into, results, system, system.spawn(silent()), 50.0)
        await wait_all_tasks_blocked()
        assert system.statistics().asks == 2
        await trio.sleep(80_000)
        assert [type(each) for each in results] == [AskTimeoutError]
        gated.gate.set()
        await wait_all_tasks_blocked()
        assert results[1:] == ["answer"]


async def test_timeouts_hold_while_everything_is_cancelled(autojump_clock: MockClock) -> None:
    """L5, L3: a shielded ask, in a system that is being cancelled, still ends at its timeout."""
    results: list[Any] = []

    async def receive(ctx: Ctx, mute: Ref) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await ask_into(results, system, mute, 0.5)

    with trio.move_on_after(1):
        async with ActorSystem() as system:
            system.spawn(Behaviors.receive(receive)).tell(system.dead_letters)
            other = system.spawn(Behaviors.receive(receive))
            other.tell(system.spawn(silent()))
            await trio.sleep_forever()
    assert len(results) == 2
    assert trio.current_time() <= 1.5
