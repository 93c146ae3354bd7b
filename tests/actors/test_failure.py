"""A failed handler changes nothing (L2), harms no sibling, and its own scopes and nurseries are its own."""

import logging
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from casty_trio import ActorFailed, ActorFailedError, ActorStopped, ActorSystem, Behavior, Behaviors
from tests.actors.helpers import Ctx, Fail, Get, async_counter, census, counter, recorder


@pytest.mark.parametrize("make", [counter, async_counter])
@pytest.mark.parametrize("boom", [ValueError("boom"), ExceptionGroup("two", [ValueError("a"), KeyError("b")])])
async def test_a_failure_is_logged_published_told_and_stops_one_actor(
    make: Any, boom: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """L2, L5: without a strategy a failed actor is logged with its traceback and stopped; siblings are not harmed."""
    seen: list[Any] = []
    async with ActorSystem() as system:
        watcher = system.spawn(recorder(seen))
        system.event_stream.subscribe(watcher, ActorFailed)
        system.event_stream.subscribe(watcher, ActorStopped)
        sibling, bad = system.spawn(make(), "sibling"), system.spawn(make(), "bad")
        sibling.tell(1)
        bad.tell(1)
        with pytest.raises(ActorFailedError, match="/bad failed") as caught:
            await system.ask(bad, lambda reply_to: Fail(boom, reply_to))
        assert caught.value.__cause__ is boom
        await system.wait_stopped(bad)
        await wait_all_tasks_blocked()
        assert seen == [ActorFailed(bad, boom), ActorStopped(bad, boom)]
        total: int = await system.ask(sibling, Get)
        assert total == 1
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert record.exc_info[1] is boom
    assert "/bad" in record.getMessage()


async def test_an_error_that_cannot_be_printed_costs_its_actor_only() -> None:
    """L2, L5: a failure whose text fails too is a failure like any other."""

    class Unprintable(Exception):  # noqa: N818 - its name is not the point
        def __str__(self) -> str:
            raise RuntimeError("no text")

    async with ActorSystem() as system:
        boom = Unprintable()
        with pytest.raises(ActorFailedError) as caught:
            await system.ask(system.spawn(counter()), lambda reply_to: Fail(boom, reply_to))
        assert caught.value.__cause__ is boom


def scoped(total: int = 0) -> Behavior[Any]:
    """Opens scopes and nurseries of every kind while it handles a message."""

    async def receive(ctx: Ctx, message: Any) -> Behavior[Any]:
        if isinstance(message, Get):
            message.reply_to.tell(total)
            return Behaviors.same()
        with trio.move_on_after(1) as outer, trio.CancelScope() as inner:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep, 0.1)
                if message == "inner":
                    inner.cancel()
                if message == "group":
                    nursery.start_soon(_raise, ValueError("in a task"))
                await trio.sleep(5 if message == "outer" else 0.2)
        assert outer.cancelled_caught == (message == "outer")
        assert inner.cancelled_caught == (message == "inner")
        return scoped(total + 1)

    return Behaviors.receive(receive)


async def _raise(error: BaseException) -> None:
    await trio.lowlevel.checkpoint()
    raise error


async def test_scopes_and_nurseries_inside_a_handler_nest(autojump_clock: MockClock) -> None:
    """L2: a handler's own scopes never corrupt the actor's; timeouts inside end the inside only."""
    async with ActorSystem() as system:
        ref = system.spawn(scoped())
        for message in ["outer", "inner", "none"] * 30:
            ref.tell(message)
        total: int = await system.ask(ref, Get, timeout=1_000)
        assert total == 90
        with pytest.raises(ActorFailedError) as caught:
            await system.ask(ref, lambda reply_to: "group")
        assert isinstance(caught.value.__cause__, ExceptionGroup)


async def test_plain_then_scoped_then_plain(autojump_clock: MockClock) -> None:
    """L2: the scope that the first awaitable brings stays in its place when plain handlers follow, children and all."""

    def plain(left: int) -> Behavior[Any]:
        def receive(ctx: Ctx, message: Any) -> Behavior[Any]:
            ctx.spawn(async_counter()).tell(1)
            return waiting(left)

        return Behaviors.receive(receive)

    def waiting(left: int) -> Behavior[Any]:
        async def receive(ctx: Ctx, message: Any) -> Behavior[Any]:
            with trio.move_on_after(0.5):
                await trio.sleep_forever()
            if not left:
                message.reply_to.tell("through")
            return plain(left - 1)

        return Behaviors.receive(receive)

    before = census()
    async with ActorSystem() as system:
        ref = system.spawn(plain(20))
        for _ in range(41):
            ref.tell("next")
        answer: str = await system.ask(ref, Get, timeout=100)
        assert answer == "through"
    assert census() == before


async def test_failure_of_a_handlers_task_while_it_is_cancelled(autojump_clock: MockClock) -> None:
    """L2, L3: what fails beside a cancellation at shutdown is a failure of the actor, not of the system."""
    seen: list[Any] = []

    async def fails_when_cancelled() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise KeyError("while cancelled")

    async def receive(ctx: Ctx, message: Any) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fails_when_cancelled)
            nursery.start_soon(trio.sleep_forever)

    before = census()
    async with ActorSystem() as system:
        system.event_stream.subscribe(system.spawn(recorder(seen)), ActorFailed)
        ref = system.spawn(Behaviors.receive(receive))
        ref.tell("go")
        await wait_all_tasks_blocked()
        await system.stop(ref, grace=1)
        await wait_all_tasks_blocked()
    assert census() == before
    (event,) = seen
    assert isinstance(event.failure, ExceptionGroup)
    assert event.failure.split(KeyError)[1] is None


async def test_failure_of_a_handlers_task_while_everything_is_cancelled(autojump_clock: MockClock) -> None:
    """L2, L3: the same when the cancellation comes from outside: it goes on, the failure stays with the actor."""
    stopped: list[Exception | None] = []

    async def fails_when_cancelled() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise KeyError("while cancelled")

    async def receive(ctx: Ctx, message: Any) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fails_when_cancelled)
            nursery.start_soon(trio.sleep_forever)

    system = ActorSystem()
    original = system.publish

    def listening(event_type: Any, *fields: Any) -> None:
        if event_type is ActorStopped:
            stopped.append(fields[1])
        original(event_type, *fields)

    system.publish = listening  # type: ignore[method-assign] # every actor is being cancelled: none could listen
    with trio.move_on_after(1) as scope:
        async with system:
            system.spawn(Behaviors.receive(receive)).tell("go")
            await trio.sleep_forever()
    assert scope.cancelled_caught
    (failure,) = stopped
    assert isinstance(failure, ExceptionGroup)


@pytest.mark.parametrize("make", [counter, async_counter])
@pytest.mark.parametrize("boom", [KeyboardInterrupt(), SystemExit(3)])
async def test_an_exception_that_ends_programs_ends_the_system(make: Any, boom: BaseException) -> None:
    """L3, L12: it leaves the block by itself, not in a group, and nothing is left."""
    before = census()
    with pytest.raises(type(boom)) as caught:  # noqa: PT012 - what leaves the block
        async with ActorSystem() as system:
            parent = system.spawn(Behaviors.setup(lambda ctx: _parent_of(ctx, make)))
            parent.tell(Fail(boom))
            await trio.sleep_forever()
    assert caught.value is boom
    assert census() == before


def _parent_of(ctx: Ctx, make: Any) -> Behavior[Any]:
    child = ctx.spawn(make())
    for _ in range(3):
        ctx.spawn(make())
    return Behaviors.receive(lambda ctx, message: child.tell(message))


async def test_a_handler_that_swallows_its_cancellation_still_stops(autojump_clock: MockClock) -> None:
    """L7: the stop that cancelled it is obeyed when it returns."""
    handled: list[Any] = []

    async def receive(ctx: Ctx, message: Any) -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            handled.append(message)

    async with ActorSystem() as system:
        ref = system.spawn(Behaviors.receive(receive))
        ref.tell(1)
        ref.tell(2)
        await wait_all_tasks_blocked()
        await system.stop(ref, grace=2)
        assert trio.current_time() == 2
        assert handled == [1]
        assert system.statistics().dead == 1
