"""One message at a time, in order (L1), whatever kind of function handles it."""

import functools
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Any

import pytest
import trio
from hypothesis import given, strategies as st
from trio.testing import wait_all_tasks_blocked

from casty_trio import (
    ActorFailed,
    ActorFailedError,
    ActorSettings,
    ActorStarted,
    ActorSystem,
    Behavior,
    Behaviors,
    UsageError,
)
from tests.actors.helpers import Ctx, Get, Ref, async_counter, census, counter, recorder, run

BATCH = ActorSettings().batch


@pytest.mark.parametrize("make", [counter, async_counter])
async def test_state_in_closures_survives_more_than_a_batch(make: Callable[[], Behavior[Any]]) -> None:
    """L1: every message is handled once, far beyond one batch."""
    async with ActorSystem() as system:
        ref = system.spawn(make())
        for _ in range(10 * BATCH + 1):
            ref.tell(1)
        total: int = await system.ask(ref, Get)
        assert total == 10 * BATCH + 1


async def test_each_sender_keeps_its_order() -> None:
    """L1: with several senders that tell and send, each one's messages arrive in its order."""
    seen: list[tuple[int, int]] = []

    async def sender(me: int, ref: Ref) -> None:
        for number in range(200):
            if (number + me) % 3:
                ref.tell((me, number))
            else:
                await ref.send((me, number))

    async with ActorSystem() as system:
        ref = system.spawn(recorder(seen))
        async with trio.open_nursery() as nursery:
            for me in range(7):
                nursery.start_soon(sender, me, ref)
        await wait_all_tasks_blocked()
    for me in range(7):
        assert [number for who, number in seen if who == me] == list(range(200))


async def test_one_message_at_a_time() -> None:
    """L1: a coroutine handler that waits holds up the actor's other mail, and nobody else's."""
    inside = most = 0
    other: list[Any] = []

    async def receive(ctx: Ctx, message: Any) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        for _ in range(message):
            await trio.lowlevel.checkpoint()
        inside -= 1

    async with ActorSystem() as system:
        busy, free = system.spawn(Behaviors.receive(receive)), system.spawn(recorder(other))
        for steps in (5, 0, 3, 9, 1):
            busy.tell(steps)
            free.tell(steps)
        await wait_all_tasks_blocked()
        assert most == 1
        assert other == [5, 0, 3, 9, 1]


async def test_a_busy_actor_lets_others_run() -> None:
    """L1: an actor that never runs out of mail does not starve the rest."""
    done = trio.Event()

    def endless(ctx: Ctx, message: Any) -> None:
        if not done.is_set():
            ctx.self.tell(message)

    async with ActorSystem() as system:
        system.spawn(Behaviors.receive(endless)).tell("again")
        for _ in range(20):
            await trio.lowlevel.checkpoint()
        done.set()


class Awaiting:
    """Something that can be awaited and is no coroutine."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __await__(self) -> Generator[Any, Any, Any]:
        yield from trio.lowlevel.checkpoint().__await__()  # noqa: ASYNC105 - it is what awaits
        return self._value


class Handler:
    """A callable object; a plain call that gives an awaitable."""

    def __init__(self, seen: list[Any]) -> None:
        self._seen = seen

    def __call__(self, ctx: Ctx, message: Any) -> Awaitable[None]:
        self._seen.append(message)
        return Awaiting(None)


async def _tagged(tag: str, seen: list[Any], ctx: Ctx, message: Any) -> None:
    await trio.lowlevel.checkpoint()
    seen.append(message)


class Methods:
    """Handlers that are methods."""

    def __init__(self, seen: list[Any]) -> None:
        self._seen = seen

    async def receive(self, ctx: Ctx, message: Any) -> None:
        self._seen.append(message)


HANDLERS: dict[str, Callable[[list[Any]], Any]] = {
    "callable that gives an awaitable": Handler,
    "partial of a coroutine function": lambda seen: functools.partial(_tagged, "x", seen),
    "lambda that gives a coroutine": lambda seen: lambda ctx, message: _tagged("x", seen, ctx, message),
    "bound method": lambda seen: Methods(seen).receive,
    "lambda that gives None": lambda seen: lambda ctx, message: seen.append(message),
}


@pytest.mark.parametrize("kind", HANDLERS)
async def test_any_callable_handles(kind: str) -> None:
    """L1: what counts is what a handler returns, not how it was written."""
    seen: list[Any] = []
    async with ActorSystem() as system:
        ref = system.spawn(Behaviors.receive(HANDLERS[kind](seen)))
        for number in range(3 * BATCH):
            ref.tell(number)
        await wait_all_tasks_blocked()
        assert seen == list(range(3 * BATCH))


@given(st.lists(st.sampled_from(["plain", "async", "waits", "setup", "async setup"]), max_size=200))
def test_kinds_of_behaviour_may_change_with_every_message(kinds: list[str]) -> None:
    """L1: plain and coroutine behaviours and setups follow one another in one actor, in order."""

    async def program() -> list[int]:
        seen: list[int] = []

        def become(number: int) -> Behavior[Any]:
            kind = kinds[number] if number < len(kinds) else "plain"

            def plain(ctx: Ctx, message: int) -> Behavior[Any]:
                seen.append(message)
                return become(number + 1)

            async def waits(ctx: Ctx, message: int) -> Behavior[Any]:
                if kind == "waits":
                    await trio.sleep(1)
                return plain(ctx, message)

            async def later(ctx: Ctx) -> Behavior[Any]:
                await trio.lowlevel.checkpoint()
                return Behaviors.receive(waits)

            match kind:
                case "plain":
                    return Behaviors.receive(plain)
                case "setup" | "async setup":
                    return Behaviors.setup(later if kind == "async setup" else lambda ctx: Behaviors.receive(plain))
                case _:
                    return Behaviors.receive(waits)

        async with ActorSystem() as system:
            ref = system.spawn(become(0))
            for number in range(len(kinds)):
                ref.tell(number)
            await trio.sleep(len(kinds) + 1)
        return seen

    assert run(program) == list(range(len(kinds)))


async def test_setup_runs_inside_before_the_first_message() -> None:
    """L1: setups nest, plain and coroutine; the context is the actor's own, and mail waits."""
    order: list[Any] = []

    async def outer(ctx: Ctx) -> Behavior[Any]:
        order.append(("outer", ctx.self.path))
        await trio.lowlevel.checkpoint()
        return Behaviors.setup(inner)

    def inner(ctx: Ctx) -> Behavior[Any]:
        order.append(("inner", ctx.self.path))
        return recorder(order)

    async with ActorSystem() as system:
        ref = system.spawn(Behaviors.setup(outer), "nested")
        ref.tell("mail")
        assert order == []  # it starts in its own task
        await wait_all_tasks_blocked()
        assert order == [("outer", "/nested"), ("inner", "/nested"), "mail"]


@pytest.mark.parametrize("how", ["plain", "async"])
async def test_started_is_published_when_the_first_behaviour_is_in_place(how: str) -> None:
    """`ActorStarted` comes after setup, and not at all when setup fails."""
    gate, seen = trio.Event(), list[Any]()

    async def later(ctx: Ctx) -> Behavior[Any]:
        await gate.wait()
        seen.append("set up")
        return recorder([])

    def now(ctx: Ctx) -> Behavior[Any]:
        seen.append("set up")
        return recorder([])

    async with ActorSystem() as system:
        system.event_stream.subscribe(system.spawn(recorder(seen), "watcher"), ActorStarted)
        await wait_all_tasks_blocked()
        system.spawn(Behaviors.setup(later if how == "async" else now), "actor")
        await wait_all_tasks_blocked()
        gate.set()
        await wait_all_tasks_blocked()
        begun = [event if event == "set up" else event.ref.path for event in seen]
        assert begun == ["/watcher", "set up", "/actor"]


@pytest.mark.parametrize("how", ["plain", "async", "nested"])
async def test_failure_in_setup_is_seen(how: str) -> None:
    """L5, L9: an actor whose setup fails is stopped, not half alive: asks end with the cause, the name is free."""
    boom, seen = ValueError("boom"), list[Any]()

    async def later(ctx: Ctx) -> Behavior[Any]:
        await trio.lowlevel.checkpoint()
        raise boom

    def now(ctx: Ctx) -> Behavior[Any]:
        raise boom

    factory: Any = {"plain": now, "async": later, "nested": lambda ctx: Behaviors.setup(later)}[how]
    async with ActorSystem() as system:
        for event in (ActorStarted, ActorFailed):
            system.event_stream.subscribe(system.spawn(recorder(seen)), event)
        await wait_all_tasks_blocked()
        seen.clear()
        ref = system.spawn(Behaviors.setup(factory), "bad")
        ref.tell("left")
        await system.wait_stopped(ref)
        await wait_all_tasks_blocked()
        assert seen == [ActorFailed(ref, boom)]
        assert system.statistics().dead == 1
        total: int = await system.ask(system.spawn(counter(), "bad"), Get)
        assert total == 0


async def _generator(ctx: Ctx, message: Any) -> AsyncGenerator[int, None]:
    yield 1


BAD_RESULTS: dict[str, Any] = {
    "a number": lambda ctx, message: 42,
    "a function": lambda ctx, message: counter,
    "an async generator": lambda ctx, message: _generator(ctx, message),
}


@pytest.mark.parametrize("kind", BAD_RESULTS)
async def test_a_handler_that_returns_something_else_fails(kind: str) -> None:
    """L5: what is no behaviour is a failure of the actor on that message, told to its asker."""
    async with ActorSystem() as system:
        ref = system.spawn(Behaviors.receive(BAD_RESULTS[kind]))
        with pytest.raises(ActorFailedError) as caught:
            await system.ask(ref, Get)
        assert isinstance(caught.value.__cause__, UsageError)
        assert "return a Behavior" in str(caught.value)


@pytest.mark.parametrize("first", [counter, 42, None, Behaviors.sharded(lambda entity_id: counter())])
async def test_what_cannot_begin_is_refused_where_it_is_spawned(first: Any) -> None:
    """A forgotten call is told to the one who spawns, at the top and below, and nothing is left of it."""
    refused: list[UsageError] = []

    def parent(ctx: Ctx) -> Behavior[Any]:
        with pytest.raises(UsageError) as caught:
            ctx.spawn(first, "child")
        refused.append(caught.value)
        return counter()

    async with ActorSystem() as system:
        before = len(census())
        with pytest.raises(UsageError):
            system.spawn(first, "bad")
        assert system.statistics().actors == 0
        total: int = await system.ask(system.spawn(Behaviors.setup(parent), "bad"), Get)
        assert total == 0
        assert len(refused) == 1
        assert system.lookup("/bad/child") is None
        assert len(census()) <= before + 3  # the actor, and the supervisor of its children


async def test_an_actor_that_begins_stopped_stops() -> None:
    """A setup may decide to stop at once: mail is dead letters."""
    async with ActorSystem() as system:
        ref = system.spawn(Behaviors.setup(lambda ctx: Behaviors.stopped()))
        ref.tell("left")
        await system.wait_stopped(ref)
        assert (system.statistics().actors, system.statistics().dead) == (0, 1)


async def test_stop_iteration_in_a_handler_is_a_failure() -> None:
    """L2: no exception a handler may raise confuses the loop."""

    def receive(ctx: Ctx, message: Any) -> None:
        raise StopIteration

    async with ActorSystem() as system:
        with pytest.raises(ActorFailedError):
            await system.ask(system.spawn(Behaviors.receive(receive)), Get)
