"""Hooks, and what happens around a restart and an end (L8, L10, L3)."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from casty_trio import (
    ActorFailed,
    ActorRestarted,
    ActorSettings,
    ActorStarted,
    ActorStopped,
    ActorSystem,
    Backoff,
    Behavior,
    Behaviors,
    Directive,
    OneForOneStrategy,
    SystemClosedError,
)
from tests.actors.helpers import Ctx, Fail, counter, recorder
from tests.actors.lives import Boom, Story, heard, hooked, obedient, opened, supervised


def told(story: Story, what: str, seconds: float = 0) -> Any:
    """A hook that may take a while, and then writes down that it ran."""

    async def hook(ctx: Ctx, *failure: Exception) -> None:
        await trio.sleep(seconds)
        story.append(what)

    return hook


@pytest.mark.parametrize("waits", [False, True])
async def test_hooks_run_once_each_in_their_order(waits: bool) -> None:
    """L10: start, restart with the child gone in between, end; plain hooks and actors of both kinds."""
    story: Story = []

    def begin(ctx: Ctx) -> None:
        story.append("begin")
        ctx.spawn(hooked(recorder([]), story, "child "))

    async with opened() as system:
        ref = system.spawn(hooked(supervised(story, None, begin, waits=waits), story))
        for message in ("a", Boom(), "b"):
            await wait_all_tasks_blocked()
            ref.tell(message)
        await wait_all_tasks_blocked()
        await system.stop(ref)
    assert story == [
        *["pre_start", "begin", "child pre_start", "a"],
        *["pre_restart", "child post_stop", "post_restart", "begin", "child pre_start", "b"],
        *["child post_stop", "post_stop"],
    ]


async def test_a_restart_waits_for_the_children_however_slow_their_hooks(autojump_clock: MockClock) -> None:
    """L10: what follows in a restart, and the message that waits, come after the child's last hook has returned."""
    story: Story = []

    def begin(ctx: Ctx) -> None:
        story.append("begin")
        ctx.spawn(Behaviors.with_lifecycle(recorder([]), post_stop=told(story, "child post_stop", 0.5)))

    async with opened() as system:
        ref = system.spawn(hooked(supervised(story, None, begin), story))
        await wait_all_tasks_blocked()
        for message in (Boom(), "b"):
            ref.tell(message)
        await trio.sleep(10)
        assert story == ["pre_start", "begin", "pre_restart", "child post_stop", "post_restart", "begin", "b"]


async def test_hooks_may_wait(autojump_clock: MockClock) -> None:
    """L10: the order is the same, and mail waits for them."""
    story: Story = []
    behavior = Behaviors.with_lifecycle(
        supervised(story),
        pre_start=told(story, "pre_start", 1),
        post_stop=told(story, "post_stop", 0.5),
        pre_restart=told(story, "pre_restart", 1),
        post_restart=told(story, "post_restart", 1),
    )
    async with opened() as system:
        ref = system.spawn(behavior)
        for message in ("a", Boom(), "b"):
            ref.tell(message)
        await trio.sleep(10)
        await system.stop(ref)
    assert story == ["pre_start", "a", "pre_restart", "post_restart", "b", "post_stop"]


async def test_hooks_of_two_wrappers_nest() -> None:
    """L10: what begins last ends first; the failure is told to pre_restart."""
    story: Story = []
    failure = Boom()
    behavior = hooked(hooked(supervised(story), story, "inner "), story, "outer ")
    behavior = Behaviors.with_lifecycle(behavior, pre_restart=lambda ctx, error: story.append(error))
    async with opened() as system:
        ref = system.spawn(behavior)
        ref.tell(failure)
        await wait_all_tasks_blocked()
        await system.stop(ref)
    assert story == [
        *["outer pre_start", "inner pre_start", "inner pre_restart", "outer pre_restart", failure],
        *["outer post_restart", "inner post_restart", "inner post_stop", "outer post_stop"],
    ]


@pytest.mark.parametrize("how", ["stopped", "failed", "told", "left", "cancelled", "escalated"])
async def test_post_stop_runs_once_however_it_ends(how: str, autojump_clock: MockClock) -> None:
    """L10, L3: after the children, and before the stop is told."""
    story: Story = []

    def begin(ctx: Ctx) -> None:
        ctx.spawn(hooked(recorder([]), story, "child "))

    strategy = OneForOneStrategy(decider=lambda failure: Directive.escalate if how == "escalated" else Directive.stop)
    outer = Behaviors.supervise(
        Behaviors.setup(
            lambda ctx: forwarding(ctx.spawn(hooked(Behaviors.supervise(obedient(story, begin), strategy), story)))
        ),
        OneForOneStrategy(decider=lambda failure: Directive.resume),
    )
    with trio.CancelScope() as scope:
        async with opened() as system:
            ref = system.spawn(outer)
            await wait_all_tasks_blocked()
            match how:
                case "stopped":
                    ref.tell(Behaviors.stopped())
                case "failed" | "escalated":
                    ref.tell(Boom())
                case "told":
                    await system.stop(ref)
                case "cancelled":
                    scope.cancel()
                case _:
                    pass
            await wait_all_tasks_blocked()
    assert story == ["pre_start", "child pre_start", "child post_stop", "post_stop"]


def forwarding(ref: Any) -> Behavior[Any]:
    """Passes everything on."""
    return Behaviors.receive(lambda ctx, message: ref.tell(message))


async def test_a_hook_that_hangs_is_cancelled(autojump_clock: MockClock) -> None:
    """L10, L3: after ActorSettings.hook_timeout, all hooks of the actor together, also while everything is cancelled."""
    story: Story = []
    behavior = Behaviors.with_lifecycle(counter(), post_stop=told(story, "outer"))
    behavior = Behaviors.with_lifecycle(behavior, post_stop=told(story, "inner", 1_000))
    async with opened(settings=ActorSettings(hook_timeout=3)) as system:
        await system.stop(system.spawn(behavior))
        assert trio.current_time() == 3
        with trio.CancelScope() as scope:
            scope.cancel()
            await trio.lowlevel.checkpoint()
    assert story == ["outer"]


async def test_a_failing_post_stop_is_seen_and_the_others_run() -> None:
    """L8, L10: it is logged, published, and what the watchers hear when nothing else had failed."""
    story: Story = []

    def fails(ctx: Ctx) -> None:
        raise Boom("in post_stop")

    behavior = Behaviors.with_lifecycle(counter(), post_stop=fails)
    async with opened() as system:
        events = heard(system, ActorFailed, ActorStopped)
        ref = system.spawn(hooked(behavior, story))
        await wait_all_tasks_blocked()
        await system.stop(ref)
        await wait_all_tasks_blocked()
        assert [(type(event), str(event.failure)) for event in events] == [
            (ActorFailed, "in post_stop"),
            (ActorStopped, "in post_stop"),
        ]
    assert story == ["pre_start", "post_stop"]


async def test_what_ended_the_actor_is_told_even_when_post_stop_fails() -> None:
    """L8: the first failure is the reason, the second is published."""

    def fails(ctx: Ctx) -> None:
        raise Boom("second")

    async with opened() as system:
        stops, failures = heard(system, ActorStopped), heard(system, ActorFailed)
        ref = system.spawn(Behaviors.with_lifecycle(counter(), post_stop=fails))
        ref.tell(Fail(Boom("first")))
        await system.wait_stopped(ref)
        await wait_all_tasks_blocked()
        assert [str(event.failure) for event in stops] == ["first"]
        assert [str(event.failure) for event in failures] == ["first", "second"]


async def test_a_hook_whose_task_fails_when_it_is_out_of_time(autojump_clock: MockClock) -> None:
    """L3, L8: the failure beside the cancellation is the actor's, and does not end the system."""

    async def fails_when_cancelled() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise Boom

    async def post_stop(ctx: Ctx) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fails_when_cancelled)
            nursery.start_soon(trio.sleep_forever)

    async with opened() as system:
        stops = heard(system, ActorStopped)
        await system.stop(system.spawn(Behaviors.with_lifecycle(counter(), post_stop=post_stop)))
        await wait_all_tasks_blocked()
        assert len(stops) == 1
        assert isinstance(stops[0].failure, ExceptionGroup)


@pytest.mark.parametrize("how", ["stopped", "told", "failed"])
@pytest.mark.parametrize("what", ["spawn", "start_soon"])
async def test_post_stop_starts_nothing(what: str, how: str) -> None:
    """L10, L3: nothing begins below an actor that ends, however it came to that."""
    refused: Story = []

    def post_stop(ctx: Ctx) -> None:
        with pytest.raises(SystemClosedError):
            ctx.spawn(counter()) if what == "spawn" else ctx.start_soon(trio.sleep_forever)
        refused.append(what)

    async with opened() as system:
        ref = system.spawn(Behaviors.with_lifecycle(obedient([]), post_stop=post_stop))
        await wait_all_tasks_blocked()
        match how:
            case "stopped":
                ref.tell(Behaviors.stopped())
            case "failed":
                ref.tell(Boom())
            case _:
                pass
        if how == "told":
            await system.stop(ref)
        else:
            await system.wait_stopped(ref)
    assert refused == [what]


async def test_started_and_restarted_are_told_when_the_behaviour_is_in_place(autojump_clock: MockClock) -> None:
    """L8, L14: ActorStarted once, ActorRestarted once for each restart that came through."""
    tries = iter([None, Boom("again"), None])

    async def begin(ctx: Ctx) -> Behavior[Any]:
        await trio.sleep(1)
        error = next(tries)
        if error is not None:
            raise error
        return counter()

    async with opened() as system:
        events = heard(system, ActorStarted, ActorRestarted)
        events.clear()
        ref = system.spawn(Behaviors.supervise(Behaviors.setup(begin), OneForOneStrategy()))
        first, second = Boom("first"), "again"
        ref.tell(Fail(first))
        await trio.sleep(0.5)
        assert ActorStarted(ref) not in events
        await trio.sleep(10)
        restarts = [event for event in events if isinstance(event, ActorRestarted)]
        assert ActorStarted(ref) in events
        assert [str(event.failure) for event in restarts] == [second]


async def test_a_stop_during_each_step_of_a_restart(autojump_clock: MockClock) -> None:
    """L10, L3: whichever it meets, what began ends, once, and the actor is gone when its grace is over."""
    for moment in range(1, 12):
        story: Story = []
        behavior = Behaviors.with_lifecycle(
            supervised(
                story,
                OneForOneStrategy(backoff=Backoff(2.0, 2.0, jitter=0.0)),
                lambda ctx: ctx.spawn(Behaviors.with_lifecycle(counter(), post_stop=told([], "", 0.9))) and None,
            ),
            pre_restart=told(story, "pre_restart", 2),
            post_restart=told(story, "post_restart", 2),
            post_stop=told(story, "post_stop"),
        )
        async with opened(settings=ActorSettings(grace=0.5)) as system:
            ref = system.spawn(behavior)
            ref.tell(Boom())
            await trio.sleep(moment * 0.75)
            start = trio.current_time()
            await system.stop(ref)
            assert trio.current_time() - start <= 2.0
        assert story.count("post_stop") == 1
        assert story.count("pre_restart") <= 1
        assert story.count("post_restart") <= 1


async def test_hooks_that_a_setup_brings() -> None:
    """L8, L10: they are not lost: pre_start runs; after a restart it is the new ones that run, once each."""
    story: Story = []
    numbers = iter(range(10))

    def begin(ctx: Ctx) -> Behavior[Any]:
        return hooked(obedient(story), story, f"{next(numbers)} ")

    async with opened() as system:
        ref = system.spawn(Behaviors.supervise(hooked(Behaviors.setup(begin), story), OneForOneStrategy()))
        for message in ("a", Boom(), "b", Boom(), "c"):
            ref.tell(message)
        await wait_all_tasks_blocked()
        await system.stop(ref)
    assert story == [
        *["pre_start", "0 pre_start", "a"],
        *["0 pre_restart", "pre_restart", "post_restart", "0 post_restart", "b"],
        *["1 pre_restart", "pre_restart", "post_restart", "1 post_restart", "c"],
        *["2 post_stop", "post_stop"],
    ]


async def test_setups_within_setups_all_bring_their_wrappers() -> None:
    """L8: hooks, strategies and spies of each level hold."""
    story: Story = []
    spied: Story = []
    async with opened() as system:
        observer = system.spawn(recorder(spied))

        def inner(ctx: Ctx) -> Behavior[Any]:
            return Behaviors.supervise(hooked(obedient(story), story, "inner "), OneForOneStrategy())

        def outer(ctx: Ctx) -> Behavior[Any]:
            return Behaviors.spy(hooked(Behaviors.setup(inner), story, "outer "), observer)

        ref = system.spawn(Behaviors.setup(outer))
        for message in ("a", Boom(), "b"):
            ref.tell(message)
        await wait_all_tasks_blocked()
        assert len(spied) == 3
        await system.stop(ref)
    assert story == [
        *["outer pre_start", "inner pre_start", "a", "inner pre_restart", "outer pre_restart"],
        *["outer post_restart", "inner post_restart", "b", "inner post_stop", "outer post_stop"],
    ]


async def test_hooks_returned_with_each_behaviour_do_not_pile_up() -> None:
    """L8, L10: those of the spawn stay, of the later ones the last ones hold; the same function runs once."""
    story: Story = []

    def cleanup(ctx: Ctx) -> None:
        story.append("cleanup")

    def stateful(total: int) -> Behavior[Any]:
        def receive(ctx: Ctx, message: Any) -> Behavior[Any]:
            return stateful(total + 1)

        return Behaviors.with_lifecycle(Behaviors.receive(receive), post_stop=cleanup)

    async with opened() as system:
        ref = system.spawn(stateful(0))
        for _ in range(100):
            ref.tell(1)
        await wait_all_tasks_blocked()
        await system.stop(ref)
    assert story == ["cleanup"]


async def test_a_parent_ends_last_however_deep_and_slow_the_hooks(autojump_clock: MockClock) -> None:
    """L10: under a cancellation, too, with hooks that use all their time at every level."""
    ended: list[int] = []

    def level(depth: int) -> Behavior[Any]:
        async def slow(ctx: Ctx) -> None:
            await trio.sleep(0.9)
            ended.append(depth)

        def begin(ctx: Ctx) -> Behavior[Any]:
            if depth:
                ctx.spawn(level(depth - 1))
            return Behaviors.ignore()

        return Behaviors.with_lifecycle(Behaviors.setup(begin), post_stop=slow)

    with trio.move_on_after(1):
        async with ActorSystem() as system:
            system.spawn(level(5))
            await trio.sleep_forever()
    assert ended == [0, 1, 2, 3, 4, 5]
