"""Spies: told of each message before it is handled, in every nesting, and never a burden (L8, L4)."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from casty_trio import ActorFailed, ActorFailedError, Behavior, Behaviors, Mailbox, OneForOneStrategy, SpyEvent, Terminated
from tests.actors.helpers import Ctx, Fail, Get, async_counter, counter, recorder
from tests.actors.lives import Boom, Story, heard, obedient, opened


@pytest.mark.parametrize("make", [counter, async_counter])
async def test_a_spy_hears_before_the_actor_handles(make: Any, autojump_clock: MockClock) -> None:
    """L8: of tells, asks, failing messages and what comes after a restart, with path and time."""
    spied: list[Any] = []
    async with opened() as system:
        observer = system.spawn(recorder(spied))
        behavior = Behaviors.supervise(Behaviors.spy(make(), observer), OneForOneStrategy())
        ref = system.spawn(behavior, "worker")
        await trio.sleep(3)
        failing = Fail(Boom())
        ref.tell(1)
        with pytest.raises(ActorFailedError):
            await system.ask(ref, lambda reply_to: failing)
        total: int = await system.ask(ref, Get)
        await wait_all_tasks_blocked()
        assert total == 0
        assert spied[:2] == [SpyEvent("/worker", 1, 3.0), SpyEvent("/worker", failing, 3.0)]
        assert isinstance(spied[2].event, Get)


async def test_a_spy_hears_signals_timers_and_adapted_messages(autojump_clock: MockClock) -> None:
    """L8: all that the actor gets."""
    spied: list[Any] = []
    async with opened() as system:
        target = system.spawn(counter())
        ref = system.spawn(Behaviors.spy(obedient([]), system.spawn(recorder(spied))))
        ref.tell(lambda ctx: ctx.watch(target))
        ref.tell(lambda ctx: ctx.timers.once("t", 1, "tick"))
        ref.tell(lambda ctx: ctx.adapter(str).tell(7))
        await trio.sleep(2)
        await system.stop(target)
        await wait_all_tasks_blocked()
        assert [event.event for event in spied[3:]] == ["7", "tick", Terminated(target)]


def family(depth: int) -> Behavior[Any]:
    """A line of actors that pass messages down."""

    def begin(ctx: Ctx) -> Behavior[Any]:
        child = ctx.spawn(family(depth - 1), "child") if depth else ctx.system.dead_letters
        return Behaviors.receive(lambda ctx, message: child.tell(message))

    return Behaviors.setup(begin)


@pytest.mark.parametrize("children", [False, True])
@pytest.mark.parametrize("again", ["no", "inside", "outside"])
async def test_spying_on_children(children: bool, again: str) -> None:
    """L8: at every depth, or not at all; a second wrapper of the same observer changes nothing, wherever it stands."""
    spied: list[Any] = []
    async with opened() as system:
        observer = system.spawn(recorder(spied))
        behavior = Behaviors.spy(family(2), observer) if again == "inside" else family(2)
        behavior = Behaviors.spy(behavior, observer, spy_children=children)
        behavior = Behaviors.spy(behavior, observer) if again == "outside" else behavior
        system.spawn(behavior, "top").tell("x")
        await wait_all_tasks_blocked()
        paths = ["/top", "/top/child", "/top/child/child"]
        assert [event.actor_path for event in spied] == (paths if children else paths[:1])


@pytest.mark.parametrize("overflow", ["drop_new", "drop_oldest", "reject"])
async def test_a_full_or_dead_spy_harms_nobody(overflow: Any) -> None:
    """L4, L8: what it misses is counted, and the spied actor goes on."""
    async with opened() as system:
        failures = heard(system, ActorFailed)
        observer = system.spawn(recorder([]), mailbox=Mailbox(1, overflow))
        ref = system.spawn(Behaviors.spy(counter(), observer))
        for _ in range(10):
            ref.tell(1)
        total: int = await system.ask(ref, Get)
        assert total == 10
        await system.stop(observer)
        ref.tell(1)
        total = await system.ask(ref, Get)
        assert (total, failures) == (11, [])


async def test_a_spy_that_would_spy_on_itself_does_not() -> None:
    """L3: no endless talk."""
    story: Story = []

    def begin(ctx: Ctx) -> Behavior[Any]:
        return Behaviors.spy(obedient(story), ctx.self)

    async with opened() as system:
        system.spawn(Behaviors.setup(begin)).tell("x")
        await wait_all_tasks_blocked()
        assert story == ["x"]
