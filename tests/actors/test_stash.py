"""The stash: bounded, in order, ahead of newer mail, and nothing in it vanishes (L1, L4, L5)."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from casty_trio import (
    ActorFailed,
    ActorFailedError,
    ActorSettings,
    ActorStoppedError,
    Behavior,
    Behaviors,
    DeadLetter,
    Mailbox,
    MailboxFullError,
    OneForOneStrategy,
    StashFullError,
    Terminated,
)
from tests.actors.helpers import Ctx, Get, assert_adds_up, counter
from tests.actors.lives import Boom, Story, heard, obedient, opened


def stashing(story: Story, *, waits: bool = False) -> Behavior[Any]:
    """Puts all aside until "open"; then takes all, answers asks; "stop" and exceptions as told."""

    def act(ctx: Ctx, message: Any) -> Any:
        if isinstance(message, Exception):
            raise message
        if message == "open":
            ctx.stash.unstash_all()
            return Behaviors.receive(take)
        if message == "stop":
            return Behaviors.stopped()
        ctx.stash.add(message)
        return None

    def take(ctx: Ctx, message: Any) -> Any:
        if isinstance(message, Exception):
            raise message
        if isinstance(message, Get):
            message.reply_to.tell((message.tag, ctx.deadline))
        story.append(message.tag if isinstance(message, Get) else message)
        return None

    async def act_later(ctx: Ctx, message: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return act(ctx, message)

    return Behaviors.receive(act_later if waits else act)


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("count", [0, 1, 5, 200])
async def test_they_come_back_in_order_ahead_of_newer_mail(waits: bool, count: int) -> None:
    """L1, L4: more than a batch too; the counts hold before, meanwhile and after."""
    story: Story = []
    async with opened() as system:
        ref = system.spawn(stashing(story, waits=waits))
        for number in range(count):
            ref.tell(number)
        await wait_all_tasks_blocked()
        assert system.statistics().queued == count
        ref.tell("open")
        for number in range(count, count + 100):
            ref.tell(number)
            if number % 10 == 0:
                assert_adds_up(system.statistics())
        await wait_all_tasks_blocked()
        assert story == list(range(count + 100))
        assert system.statistics().queued == 0


async def test_asks_wait_in_it(autojump_clock: MockClock) -> None:
    """L5: they are answered when they come back, with their own deadline; those given up are skipped."""
    story: Story = []
    answers: list[Any] = []
    async with opened() as system:
        ref = system.spawn(stashing(story))

        async def ask(tag: str, timeout: float) -> None:
            answers.append(await system.ask_or_none(ref, lambda reply_to: Get(reply_to, tag), timeout=timeout))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, "short", 1)
            nursery.start_soon(ask, "long", 100)
            await trio.sleep(2)
            assert answers == [None]
            ref.tell("open")
        assert answers == [None, ("long", 100.0)]
        assert story == ["long"]


@pytest.mark.parametrize("end", ["stop", "told", Boom("end")])
async def test_what_is_in_it_at_the_end_becomes_dead_letters(end: Any) -> None:
    """L4, L5: with the mail, in the order it would have been handled; asks fail at once."""
    async with opened() as system:
        letters = heard(system, DeadLetter)
        ref = system.spawn(stashing([]))
        async with trio.open_nursery() as nursery:

            async def ask() -> None:
                with pytest.raises(ActorStoppedError):
                    await system.ask(ref, Get)

            nursery.start_soon(ask)
            await wait_all_tasks_blocked()
            for message in (1, 2, 3):
                ref.tell(message)
            await wait_all_tasks_blocked()
            if end == "told":
                await system.stop(ref)
            else:
                ref.tell(end)
                ref.tell("after")
        await wait_all_tasks_blocked()
        told = [letter.message for letter in letters if not isinstance(letter.message, Get)]
        assert told == [1, 2, 3] + ([] if end == "told" else ["after"])


async def test_a_full_stash_is_a_failure() -> None:
    """L8, L4: StashFullError; what was put aside waits, or comes back at the restart."""
    story: Story = []
    async with opened(settings=ActorSettings(stash_capacity=2)) as system:
        failures = heard(system, ActorFailed)
        ref = system.spawn(Behaviors.supervise(stashing(story), OneForOneStrategy()))
        for message in (1, 2, 3):
            ref.tell(message)
        await wait_all_tasks_blocked()
        assert [type(event.failure) for event in failures] == [StashFullError]
        ref.tell("open")
        await wait_all_tasks_blocked()
        assert story == [1, 2]


async def test_a_restart_brings_it_back_ahead_of_newer_mail() -> None:
    """L8, L1: what was put aside by the incarnation that failed is handled by the next one, in order."""
    story: Story = []
    async with opened() as system:
        strategy = OneForOneStrategy()
        ref = system.spawn(Behaviors.supervise(stashing(story), strategy))
        for message in (1, 2, Boom(), 3, "open", 4):
            ref.tell(message)
        await wait_all_tasks_blocked()
        assert story == [1, 2, 3, 4]


async def test_an_ask_stashed_by_a_message_that_then_fails() -> None:
    """L5: it fails with the handler, and its message is skipped when it comes back."""

    def receive(ctx: Ctx, message: Any) -> None:
        ctx.stash.add(message)
        raise Boom

    async with opened() as system:
        ref = system.spawn(Behaviors.supervise(Behaviors.receive(receive), OneForOneStrategy()))
        with pytest.raises(ActorFailedError):
            await system.ask(ref, Get)
        await wait_all_tasks_blocked()
        assert system.statistics().dead == 1


@pytest.mark.parametrize("overflow", ["drop_new", "drop_oldest", "reject"])
async def test_it_makes_room_in_a_bounded_mailbox_and_takes_it_back(overflow: Any) -> None:
    """L4: what is put aside does not wait in the mailbox; what comes back does."""
    story: Story = []
    async with opened() as system:
        ref = system.spawn(stashing(story), mailbox=Mailbox(2, overflow))
        for number in range(6):
            ref.tell(number)
            await wait_all_tasks_blocked()
        ref.tell("open")
        await wait_all_tasks_blocked()
        assert story == list(range(6))
        for number in range(2):
            ref.tell(number)
        if overflow == "reject":
            with pytest.raises(MailboxFullError):
                ref.tell("too many")
        await wait_all_tasks_blocked()
        assert_adds_up(system.statistics())


async def test_counts_hold_for_whatever_is_put_aside(autojump_clock: MockClock) -> None:
    """L4: twice the same, a signal, a message made up, a timer's, an adapter's."""
    story: Story = []

    def on_signal(ctx: Ctx, signal: Any) -> None:
        ctx.stash.add(signal)

    def receive(ctx: Ctx, message: Any) -> Any:
        if message == "open":
            ctx.stash.unstash_all()
            return obedient(story)
        if callable(message):
            return message(ctx)
        for what in (message, message, "made up"):
            ctx.stash.add(what)
        return None

    async with opened() as system:
        target = system.spawn(counter())
        ref = system.spawn(Behaviors.receive(receive, on_signal))
        ref.tell(lambda ctx: ctx.watch(target))
        ref.tell(lambda ctx: ctx.adapter(str).tell(7))
        ref.tell(lambda ctx: ctx.timers.once("t", 1, "tick"))
        await trio.sleep(2)
        await system.stop(target)
        await wait_all_tasks_blocked()
        assert_adds_up(system.statistics())
        assert system.statistics().queued == 7
        ref.tell("open")
        await wait_all_tasks_blocked()
        assert story == ["7", "7", "made up", "tick", "tick", "made up", Terminated(target)]


async def test_unstashing_from_a_background_task_wakes_the_actor() -> None:
    """L4: nothing waits for the next message to come."""
    story: Story = []

    async def later(ctx: Ctx, gate: trio.Event) -> None:
        await gate.wait()
        ctx.stash.unstash_all()

    gate = trio.Event()
    async with opened() as system:
        ref = system.spawn(obedient(story))
        ref.tell(lambda ctx: ctx.stash.add("aside"))
        ref.tell(lambda ctx: ctx.start_soon(later, ctx, gate))
        await wait_all_tasks_blocked()
        gate.set()
        await wait_all_tasks_blocked()
        assert story == ["aside"]
