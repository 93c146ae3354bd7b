"""What programs ask of the runtime that cannot be: it is refused at once, by name (L5, L13)."""

import math
from collections.abc import Callable
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from casty_trio import (
    ActorFailed,
    ActorSystem,
    Behavior,
    Behaviors,
    DeadLetter,
    SettingsError,
    UsageError,
)
from tests.actors.helpers import Ctx, Get, Ref, assert_adds_up, recorder, silent
from tests.actors.lives import Boom, Story, heard, obedient, opened, parent, supervised

# --- Times (which values none of them may have: tests/test_arguments.py) ------------------------------------------------


@pytest.mark.parametrize("seconds", [math.nan, -1.0, True, "5"])
async def test_an_actor_that_is_refused_a_stop_lives_on(seconds: Any) -> None:
    """What is wrong with it is seen first."""
    async with opened() as system:
        ref = system.spawn(silent())
        with pytest.raises(SettingsError, match="grace must be seconds, 0 or more, not"):
            await system.stop(ref, grace=seconds)
        assert system.lookup(ref.path) == ref


@pytest.mark.parametrize("kind", ["once", "periodic"])
async def test_a_timer_that_cannot_be_is_a_failure_of_its_actor(kind: str) -> None:
    """L8: like any other."""
    async with opened() as system:
        failures = heard(system, ActorFailed)
        ref = system.spawn(obedient([]))
        ref.tell(lambda ctx: getattr(ctx.timers, kind)("t", math.nan, 1))
        await system.wait_stopped(ref)
        await wait_all_tasks_blocked()
        assert [type(event.failure) for event in failures] == [SettingsError]


async def test_whole_numbers_are_times(autojump_clock: MockClock) -> None:
    """As are no seconds at all, and those without end."""
    async with opened() as system:
        ref = system.spawn(recorder([]))
        assert await system.ask_or_none(ref, Get, timeout=1) is None
        assert await system.ask_or_none(ref, Get, timeout=0) is None
        await system.stop(ref, grace=math.inf)


# --- Waiting for who waits for oneself --------------------------------------------------------------------------------


async def in_a_nursery(wait: Callable[[], Any]) -> None:
    """Call it in a task that its caller waits for."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)


@pytest.mark.parametrize("how", ["stop", "wait_stopped"])
@pytest.mark.parametrize("whom", ["/top", "/top/middle", "/top/middle/leaf"])
@pytest.mark.parametrize("nested", [False, True])
async def test_a_handler_cannot_wait_for_its_own_end_or_an_ancestors(how: str, whom: str, nested: bool) -> None:
    """It is told at once, instead of when the grace is over."""
    async with opened() as system:
        story: Story = []

        async def wait(ctx: Ctx) -> None:
            target: Any = system.lookup(whom)
            try:
                if nested:
                    await in_a_nursery(lambda: getattr(system, how)(target))
                else:
                    await getattr(system, how)(target)
            except* UsageError as group:
                story.append(str(group.exceptions[0]))

        system.spawn(parent({"middle": parent({"leaf": obedient([])})}), "top").tell(("middle", ("leaf", wait)))
        await wait_all_tasks_blocked()
        [text] = story
        assert text.startswith(f"/top/middle/leaf would wait for {'itself' if whom.endswith('leaf') else whom}")
        assert system.lookup("/top/middle/leaf") is not None  # nobody was stopped


async def test_a_background_task_and_a_stranger_may() -> None:
    """A task of `start_soon` is cancelled with its actor; a sibling's child, or a namesake's, waits for somebody else."""
    async with opened() as system:
        other = system.spawn(silent(), "to")
        top = system.spawn(parent({"leaf": obedient([])}), "top")

        async def stop_other(ctx: Ctx) -> None:
            await system.stop(other)

        top.tell(("leaf", stop_other))
        await system.wait_stopped(other)
        top.tell(("leaf", lambda ctx: ctx.start_soon(system.stop, top)))
        await system.wait_stopped(top)


# --- After the end ----------------------------------------------------------------------------------------------------


async def test_what_is_put_aside_after_the_end_is_a_dead_letter() -> None:
    """L4: who kept the context can see it; the counts hold."""
    async with opened() as system:
        letters: list[Any] = heard(system, DeadLetter)
        contexts: list[Ctx] = []
        ref = system.spawn(obedient([]))
        ref.tell(lambda ctx: contexts.append(ctx))
        await wait_all_tasks_blocked()
        await system.stop(ref)
        contexts[0].stash.add("late")
        contexts[0].stash.unstash_all()
        await wait_all_tasks_blocked()
        assert [(letter.message, letter.recipient) for letter in letters] == [("late", ref)]
        assert len(contexts[0].stash) == 0
        assert_adds_up(system.statistics())


@pytest.mark.parametrize("restarted", [False, True])
async def test_an_observer_that_has_ended_is_told_no_more(restarted: bool) -> None:
    """Nor does what it would have been told become dead letters, also of children that come later."""
    async with opened() as system:
        letters = heard(system, DeadLetter)
        story: Story = []
        observers: list[Ref] = [system.spawn(recorder(story)), system.spawn(obedient([]))]
        adapters: list[Ref] = []
        observers[1].tell(lambda ctx: adapters.append(ctx.adapter(str)))
        await wait_all_tasks_blocked()
        spied: Any = supervised([])
        for observer in (observers[0], adapters[0]):
            spied = Behaviors.spy(spied, observer, spy_children=True)
        ref: Any = system.spawn(spied)
        ref.tell("seen")
        await wait_all_tasks_blocked()
        assert len(story) == 1
        for observer in observers:
            await system.stop(observer)
        if restarted:
            ref.tell(Boom())
        ref.tell(lambda ctx: ctx.spawn(recorder([]), "child").tell("unseen"))
        ref.tell("unseen")
        await wait_all_tasks_blocked()
        assert letters == []
        assert ref.cell.blueprint.observers == ref.cell.blueprint.spied_children == ()


async def test_subscriptions_of_adapters_end_with_their_actor() -> None:
    """Nothing is left of them, and there are no dead letters for ever."""
    async with ActorSystem() as system:
        stream: Any = system.event_stream
        adapters: list[Ref] = []
        ref = system.spawn(obedient([]))
        for _ in range(3):
            ref.tell(lambda ctx: adapters.append(ctx.adapter(str)))
        await wait_all_tasks_blocked()
        for adapter in adapters:
            system.event_stream.subscribe(adapter, ActorFailed)
            system.event_stream.subscribe(adapter, DeadLetter)
        system.event_stream.unsubscribe(adapters[0], ActorFailed)
        system.event_stream.unsubscribe(adapters[1])
        await system.stop(ref)
        system.event_stream.subscribe(adapters[2], DeadLetter)  # too late: it is not wanted any more
        assert not any(stream._listeners.values())
        assert not stream._adapters
        before = system.statistics().dead_letters
        system.dead_letters.tell("one")
        assert system.statistics().dead_letters == before + 1


@pytest.mark.parametrize(
    "behavior", [Behaviors.receive(cast("Any", 3)), Behaviors.setup(cast("Any", 3))], ids=["receive", "setup"]
)
async def test_what_cannot_be_called_is_refused_where_it_is_spawned(behavior: Behavior[str]) -> None:
    """Not on the first message, where nobody remembers who has written it."""
    async with opened() as system:
        with pytest.raises(UsageError, match="of a behaviour must be a function, not 3"):
            system.spawn(behavior, "three")
        assert system.lookup("/three") is None
