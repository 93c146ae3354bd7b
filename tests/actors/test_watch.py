"""A watch ends once (L6), and what is told before it comes before it (L7)."""

from contextlib import suppress
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from casty_trio import (
    ActorFailed,
    ActorFailedError,
    ActorStopped,
    ActorSystem,
    Behavior,
    Behaviors,
    DeathPactError,
    Directive,
    Mailbox,
    MailboxFullError,
    OneForOneStrategy,
    Terminated,
    UnhandledMessage,
    UsageError,
)
from tests.actors.helpers import Ctx, Fail, Gated, Get, Ref, assert_adds_up, counter, hung, recorder
from tests.actors.lives import Boom, Story, heard, obedient, opened, supervised


def forwarding(ref: Ref) -> Behavior[Any]:
    """Passes everything on."""
    return Behaviors.receive(lambda ctx, message: ref.tell(message))


def watch(*refs: Any) -> Any:
    """What to tell an obedient actor."""
    return lambda ctx: [ctx.watch(ref) for ref in refs] and None


def unwatch(*refs: Any) -> Any:
    """The contrary."""
    return lambda ctx: [ctx.unwatch(ref) for ref in refs] and None


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("times", [1, 3])
async def test_the_end_of_a_stranger_is_told_once(waits: bool, times: int) -> None:
    """L6: of any actor of the system, however often it is watched, and with why it ended."""
    story: Story = []
    async with opened() as system:
        targets = [system.spawn(counter()) for _ in range(3)]
        nested = system.spawn(Behaviors.setup(lambda ctx: recorder([ctx.spawn(counter(), "child")])), "top")
        await wait_all_tasks_blocked()
        child = system.lookup("/top/child")
        assert child is not None
        ref = system.spawn(obedient(story, waits=waits))
        for _ in range(times):
            ref.tell(watch(*targets, child))
        await wait_all_tasks_blocked()
        assert story == []
        failure = Boom()
        targets[0].tell(Fail(failure))
        await system.wait_stopped(targets[0])
        await system.stop(targets[1])
        await system.stop(nested)
        await wait_all_tasks_blocked()
        assert story == [Terminated(targets[0], failure), Terminated(targets[1]), Terminated(child)]


@pytest.mark.parametrize("failed", [False, True])
async def test_a_late_watch_is_told_at_once(failed: bool) -> None:
    """L6: also when nothing is left of the actor but the ref; with the failure in words."""
    story: Story = []
    async with opened() as system:
        target = system.spawn(counter(), "gone")
        if failed:
            target.tell(Fail(Boom("why")))
            await system.wait_stopped(target)
        else:
            await system.stop(target)
        system.spawn(counter(), "gone")  # a namesake is somebody else
        ref = system.spawn(obedient(story))
        ref.tell(watch(target))
        await wait_all_tasks_blocked()
        (signal,) = story
        assert signal.ref == target
        assert isinstance(signal.failure, ActorFailedError) == failed
        assert not failed or "/gone failed: Boom" in str(signal.failure)


async def test_it_comes_after_everything_the_actor_had_told() -> None:
    """L7: also when it watched late, is busy, and when the mailbox is small."""
    for mailbox in (None, Mailbox(1_000)):
        story: Story = []
        async with opened() as system:
            watcher = system.spawn(obedient(story), mailbox=mailbox)
            target = system.spawn(forwarding(watcher))
            watcher.tell(watch(target))
            for number in range(200):
                target.tell(number)
            target.tell("last")
            await wait_all_tasks_blocked()
            target.tell("very last")
            await system.stop(target)
            await wait_all_tasks_blocked()
            told = [entry for entry in story if not isinstance(entry, Terminated)]
            assert story == [*told, Terminated(target)]
            assert told[:201] == [*range(200), "last"]


@pytest.mark.parametrize("overflow", ["drop_new", "drop_oldest", "reject"])
async def test_a_full_mailbox_drops_no_signal(overflow: Any) -> None:
    """L7, L6: all that end are told, in the order in which they ended, and no message takes their place."""
    story: Story = []
    async with opened() as system:
        gated = Gated()
        targets = [system.spawn(counter()) for _ in range(5)]

        async def receive(ctx: Ctx, message: Any) -> None:
            if message == "begin":
                for target in targets:
                    ctx.watch(target)
                gated.begun.set()
                await gated.gate.wait()

        behavior: Behavior[Any] = Behaviors.receive(
            receive,
            lambda ctx, signal: story.append(signal.ref),  # type: ignore[attr-defined] # a Terminated
        )
        watcher = system.spawn(behavior, mailbox=Mailbox(1, overflow=overflow))
        watcher.tell("begin")
        await gated.begun.wait()
        for target in targets:
            with suppress(*[MailboxFullError] if overflow == "reject" else []):
                watcher.tell("fills")
            await system.stop(target)
        gated.gate.set()
        await wait_all_tasks_blocked()
        assert story == targets
        assert_adds_up(system.statistics())


async def test_signals_stay_behind_what_was_put_back() -> None:
    """L7: a mailbox that drops its oldest does not let a Terminated overtake mail that was unstashed."""
    story: Story = []
    async with opened() as system:
        target = system.spawn(Behaviors.receive(lambda ctx, message: watcher.tell(message)))
        watcher: Any = None
        gate, begun = trio.Event(), trio.Event()

        async def hold(ctx: Ctx) -> None:
            ctx.stash.unstash_all()
            begun.set()
            await gate.wait()

        watcher = system.spawn(obedient(story), mailbox=Mailbox(2, overflow="drop_oldest"))
        watcher.tell(watch(target))
        watcher.tell(lambda ctx: [ctx.stash.add("from target") for _ in range(3)] and None)
        await wait_all_tasks_blocked()
        watcher.tell(hold)
        await begun.wait()
        await system.stop(target)
        for number in range(2):
            watcher.tell(number)
        gate.set()
        await wait_all_tasks_blocked()
        assert story == ["from target", Terminated(target), 0, 1]


@pytest.mark.parametrize("when", ["before", "ended", "queued"])
async def test_unwatch_is_the_end_of_it(when: str) -> None:
    """L6: also when the notice is on its way."""
    story: Story = []
    async with opened() as system:
        target = system.spawn(counter())
        watcher = system.spawn(obedient(story))
        watcher.tell(watch(target))
        await wait_all_tasks_blocked()
        match when:
            case "before":
                watcher.tell(unwatch(target))
                await wait_all_tasks_blocked()
                await system.stop(target)
            case "ended":
                watcher.tell(unwatch(target))
                await system.stop(target)
            case _:
                gate, begun = trio.Event(), trio.Event()

                async def hold(ctx: Ctx) -> None:
                    begun.set()
                    await gate.wait()
                    ctx.unwatch(target)

                watcher.tell(hold)
                await begun.wait()
                await system.stop(target)
                gate.set()
        await wait_all_tasks_blocked()
        assert story == []


async def test_watching_anew_while_the_old_notice_is_on_its_way() -> None:
    """L6: one watch, one notice."""
    story: Story = []
    async with opened() as system:
        target = system.spawn(counter())
        watcher = system.spawn(obedient(story))
        watcher.tell(watch(target))
        gate, begun = trio.Event(), trio.Event()

        async def hold(ctx: Ctx) -> None:
            begun.set()
            await gate.wait()
            for _ in range(3):
                ctx.unwatch(target)
                ctx.watch(target)

        watcher.tell(hold)
        await begun.wait()
        await system.stop(target)
        gate.set()
        await wait_all_tasks_blocked()
        assert story == [Terminated(target)]
        watcher.tell(watch(target))
        await wait_all_tasks_blocked()
        assert story == [Terminated(target)] * 2  # another watch, another notice


async def test_no_notice_of_the_living() -> None:
    """L6: a restart, with back-off, is no end; neither is a resume."""
    story: Story = []
    async with opened() as system:
        target = system.spawn(supervised([]))
        watcher = system.spawn(obedient(story))
        watcher.tell(watch(target))
        await wait_all_tasks_blocked()
        for _ in range(3):
            target.tell(Boom())
            await wait_all_tasks_blocked()
            assert story == []
        target.tell(failure := Boom("too many"))
        await wait_all_tasks_blocked()
        assert story == [Terminated(target, failure)]


async def test_a_watch_survives_the_watchers_restart_but_not_of_its_children() -> None:
    """L6, L10: strangers are watched on; the children end with the incarnation that had them, unheard."""
    story: Story = []

    def begin(ctx: Ctx) -> None:
        for _ in range(3):
            ctx.watch(ctx.spawn(counter()))

    async with opened() as system:
        stranger = system.spawn(counter())
        watcher = system.spawn(supervised(story, None, begin))
        watcher.tell(watch(stranger))
        watcher.tell(Boom())
        await wait_all_tasks_blocked()
        assert story == []
        await system.stop(stranger)
        await wait_all_tasks_blocked()
        assert story == [Terminated(stranger)]


async def test_a_child_that_ended_before_the_restart_is_not_heard_of_after_it() -> None:
    """L6, L10: the new incarnation never knew it."""
    story: Story = []

    async def fails_after_its_child(ctx: Ctx) -> None:
        child = ctx.spawn(counter())
        ctx.watch(child)
        ctx.stop(child)
        await ctx.system.wait_stopped(child)
        raise Boom

    async with opened() as system:
        watcher = system.spawn(supervised(story))
        watcher.tell(fails_after_its_child)
        await wait_all_tasks_blocked()
        assert story == []


async def test_a_watcher_that_dies_hears_nothing_and_harms_nobody(autojump_clock: MockClock) -> None:
    """L6, L4: before, while and after what it watches ends."""
    story: Story = []
    async with opened() as system:
        for late in (False, True):
            target = system.spawn(counter())
            watcher = system.spawn(obedient(story))
            watcher.tell(watch(target))
            await wait_all_tasks_blocked()
            async with trio.open_nursery() as nursery:
                for ref in [watcher, target] if late else [target, watcher]:
                    nursery.start_soon(system.stop, ref)
        busy, target = system.spawn(hung()), system.spawn(counter())
        busy.tell("for long")
        await wait_all_tasks_blocked()
        await system.stop(target)
        await system.stop(busy, grace=1)
        assert system.statistics().dead == 0
    assert len(story) <= 1


async def test_stopping_in_a_handler_is_heard_of_when_it_has_ended(autojump_clock: MockClock) -> None:
    """L6, L7: not before the handler, the children and the hooks are through."""
    story: Story = []

    async def post_stop(ctx: Ctx) -> None:
        await trio.sleep(0.5)
        story.append("post_stop")

    async def receive(ctx: Ctx, message: Any) -> None:
        await trio.sleep(2)
        story.append("handled")

    async with opened() as system:
        target = system.spawn(Behaviors.with_lifecycle(Behaviors.receive(receive), post_stop=post_stop))
        target.tell("go")
        watcher = system.spawn(obedient(story))
        watcher.tell(watch(target))
        await wait_all_tasks_blocked()
        await system.stop(target)
        await wait_all_tasks_blocked()
        assert trio.current_time() == 2.5
        assert story == ["handled", "post_stop", Terminated(target)]


async def test_a_thousand_watchers() -> None:
    """L6: each hears once, and the target forgets them."""
    stories: list[Story] = [[] for _ in range(1_000)]
    async with opened() as system:
        target: Any = system.spawn(counter())
        watchers = [system.spawn(obedient(story)) for story in stories]
        for watcher in watchers:
            watcher.tell(watch(target))
        await wait_all_tasks_blocked()
        for watcher in watchers[::2]:
            await system.stop(watcher)
        assert len(target.cell.extras.watchers) == 500
        await system.stop(target)
        await wait_all_tasks_blocked()
    assert [len(story) for story in stories] == [0, 1] * 500


async def test_a_thousand_targets() -> None:
    """L6: in the order in which they ended."""
    story: Story = []
    async with opened() as system:
        targets = [system.spawn(counter()) for _ in range(1_000)]
        watcher: Any = system.spawn(obedient(story))
        watcher.tell(watch(*targets))
        await wait_all_tasks_blocked()
        for target in targets:
            await system.stop(target)
        await wait_all_tasks_blocked()
        assert [signal.ref for signal in story] == targets
        assert not watcher.cell.extras.watching


async def test_watching_one_another() -> None:
    """L6: no cycle keeps an actor alive; the survivor hears of the other."""
    story: Story = []
    async with opened() as system:
        first, second = system.spawn(obedient(story)), system.spawn(obedient(story))
        first.tell(watch(second))
        second.tell(watch(first))
        await wait_all_tasks_blocked()
        await system.stop(first)
        await wait_all_tasks_blocked()
        assert story == [Terminated(first)]


async def test_without_an_on_signal_the_watcher_ends_too() -> None:
    """L6, L8: by DeathPactError, which its strategy may decide about."""
    async with opened() as system:
        stops = heard(system, ActorStopped)
        target = system.spawn(counter())
        plain: Ref = system.spawn(Behaviors.receive(lambda ctx, message: ctx.watch(target)))
        forgiving: Ref = system.spawn(
            Behaviors.supervise(
                Behaviors.receive(lambda ctx, message: ctx.watch(target)),
                OneForOneStrategy(decider=lambda failure: Directive.resume),
            )
        )
        for ref in (plain, forgiving):
            ref.tell("watch")
        await wait_all_tasks_blocked()
        await system.stop(target)
        await system.wait_stopped(plain)
        await wait_all_tasks_blocked()
        assert [(event.ref, type(event.failure)) for event in stops] == [(target, type(None)), (plain, DeathPactError)]
        assert system.lookup(forgiving.path) == forgiving


async def test_an_on_signal_may_change_the_behaviour_and_stop() -> None:
    """L6: what it returns is taken like a handler's answer."""
    story: Story = []

    async def on_signal(ctx: Ctx, signal: Any) -> Behavior[Any]:
        await trio.lowlevel.checkpoint()
        return recorder(story)

    async with opened() as system:
        unhandled = heard(system, UnhandledMessage)
        target = system.spawn(counter())
        changing = system.spawn(Behaviors.receive(lambda ctx, message: ctx.watch(target), on_signal))
        stopping = system.spawn(
            Behaviors.receive(lambda ctx, message: ctx.watch(target), lambda ctx, signal: Behaviors.stopped())
        )
        refusing = system.spawn(
            Behaviors.receive(lambda ctx, message: ctx.watch(target), lambda ctx, signal: Behaviors.unhandled())
        )
        for ref in (changing, stopping, refusing):
            ref.tell("watch")
        await wait_all_tasks_blocked()
        await system.stop(target)
        await system.wait_stopped(stopping)
        changing.tell("changed")
        await wait_all_tasks_blocked()
        assert story == ["changed"]
        assert unhandled == [UnhandledMessage(Terminated(target), refusing)]


async def test_what_cannot_be_watched_is_refused() -> None:
    """L6: no false answer; the call raises, and is the caller's failure."""
    async with opened() as system, ActorSystem("another") as another:
        stranger = another.spawn(counter())
        for what in (lambda ctx: ctx.self, lambda ctx: stranger, lambda ctx: system.dead_letters, lambda ctx: "ref"):

            def receive(ctx: Ctx, message: Any, what: Any = what) -> None:
                with pytest.raises(UsageError):
                    ctx.watch(what(ctx))
                message.reply_to.tell("refused")

            answer: str = await system.ask(system.spawn(Behaviors.receive(receive)), Get)
            assert answer == "refused"


async def test_watchers_of_the_failed_hear_why() -> None:
    """L6, L8: the exception itself, when it is heard at the time; published once."""
    story: Story = []
    async with opened() as system:
        failures = heard(system, ActorFailed)
        target = system.spawn(counter())
        watcher = system.spawn(obedient(story))
        watcher.tell(watch(target))
        await wait_all_tasks_blocked()
        target.tell(Fail(failure := Boom()))
        await wait_all_tasks_blocked()
        assert story == [Terminated(target, failure)]
        assert [event.failure for event in failures] == [failure]
