"""The faults that this library was written to exclude: each is tried here the way it once showed."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from casty_trio import (
    ActorFailed,
    ActorRestarted,
    ActorStarted,
    ActorStopped,
    ActorStoppedError,
    AskTimeoutError,
    Behavior,
    Behaviors,
    DeadLetter,
    Directive,
    Event,
    Mailbox,
    MailboxFullError,
    MailboxHighWater,
    NameInUseError,
    OneForOneStrategy,
    Terminated,
    UnhandledMessage,
)
from tests.actors.helpers import Ctx, Fail, Gated, Get, Ref, counter, hung, recorder
from tests.actors.lives import Boom, Story, heard, hooked, obedient, opened, supervised


@pytest.mark.parametrize("where", ["setup", "pre_start"])
async def test_fault_setup_failure(where: str) -> None:
    """L8, L6: was: an actor that is neither running nor stopped, takes mail, and nobody hears of it."""

    def fails(ctx: Ctx) -> Any:
        raise Boom

    story: Story = []
    behavior = Behaviors.setup(fails) if where == "setup" else Behaviors.with_lifecycle(counter(), pre_start=fails)
    async with opened() as system:
        events = heard(system, ActorFailed, ActorStopped)
        letters = heard(system, DeadLetter)
        ref = system.spawn(behavior, "broken")
        system.spawn(obedient(story)).tell(lambda ctx: ctx.watch(ref))
        ref.tell("mail")
        await wait_all_tasks_blocked()
        assert [type(event) for event in events] == [ActorFailed, ActorStopped]
        assert len(story) == 1
        assert [letter.message for letter in letters] == ["mail"]
        with pytest.raises(ActorStoppedError):
            await system.ask(ref, Get)
        system.spawn(counter(), "broken")


async def test_fault_setup_failure_under_a_strategy() -> None:
    """L8: was: no strategy is asked about a setup."""
    begins: Story = []

    def begin(ctx: Ctx) -> None:
        begins.append(1)
        if len(begins) < 3:
            raise Boom

    async with opened() as system:
        ref = system.spawn(supervised([], None, begin))
        await wait_all_tasks_blocked()
        assert len(begins) == 3
        assert system.lookup(ref.path) == ref


async def test_fault_watch_outside_the_family() -> None:
    """L6: was: a Terminated at once for any actor that is not a child or sibling, though it lives."""
    story: Story = []
    async with opened() as system:
        top = Behaviors.setup(lambda ctx: recorder([ctx.spawn(counter(), "cousin")]))
        root, nested = system.spawn(counter()), system.spawn(top, "top")
        await wait_all_tasks_blocked()
        cousin = system.lookup("/top/cousin")
        assert cousin is not None
        deep = Behaviors.setup(lambda ctx: recorder([ctx.spawn(obedient(story), "watcher")]))
        system.spawn(deep, "other")
        await wait_all_tasks_blocked()
        watcher = system.lookup("/other/watcher")
        assert watcher is not None
        for target in (root, nested, cousin):
            watcher.tell(lambda ctx, target=target: ctx.watch(target))
        await wait_all_tasks_blocked()
        assert story == []
        await system.stop(cousin)
        await wait_all_tasks_blocked()
        assert story == [Terminated(cousin)]


@pytest.mark.parametrize("lifecycle_outside", [False, True])
async def test_fault_wrapper_nesting(lifecycle_outside: bool) -> None:
    """L8, L10: was: one nesting loses post_restart, and supervision after a change of state; the other pre_restart."""
    story: Story = []
    strategy = OneForOneStrategy()
    if lifecycle_outside:
        behavior = hooked(Behaviors.supervise(counter(), strategy), story)
    else:
        behavior = Behaviors.supervise(hooked(counter(), story), strategy)
    async with opened() as system:
        ref = system.spawn(behavior)
        for message in (1, Fail(Boom()), 1, Fail(Boom())):
            ref.tell(message)
        total: int = await system.ask(ref, Get)
        assert total == 0
    assert story == ["pre_start", *["pre_restart", "post_restart"] * 2, "post_stop"]


@pytest.mark.parametrize("end", ["stop", "failure"])
async def test_fault_reused_names(end: str) -> None:
    """L9: was: the name of a stopped actor is taken for ever."""
    async with opened() as system:
        for _ in range(3):
            ref = system.spawn(counter(), "worker")
            if end == "failure":
                ref.tell(Fail(Boom()))
                await system.wait_stopped(ref)
            else:
                await system.stop(ref)
        assert system.lookup("/worker") is None


async def test_fault_duplicate_names() -> None:
    """L9, L10: was: a second child of a name takes the place of the first, which then outlives its parent."""
    story: Story = []

    def twice(ctx: Ctx) -> None:
        first = ctx.spawn(hooked(recorder(story), story, "first "), "child")
        with pytest.raises(NameInUseError):
            ctx.spawn(hooked(recorder(story), story, "second "), "child")
        first.tell("alive")

    async with opened() as system:
        ref = system.spawn(hooked(obedient(story, twice), story))
        await wait_all_tasks_blocked()
        assert story == ["pre_start", "first pre_start", "alive"]
        await system.stop(ref)
        assert story[3:] == ["first post_stop", "post_stop"]


async def test_fault_stop_during_a_handler() -> None:
    """L10, L7: was: post_stop runs while the handler is suspended, and then the handler is cancelled."""
    story: Story = []
    gated = Gated()

    async def post_stop(ctx: Ctx) -> None:
        story.append(("post_stop", list(gated.handled)))

    def begin(ctx: Ctx) -> Behavior[Any]:
        child = ctx.spawn(Behaviors.with_lifecycle(gated.behavior, post_stop=post_stop), "child")
        child.tell("in hand")
        return Behaviors.receive(lambda ctx, message: ctx.stop(child))

    async with opened() as system:
        parent = system.spawn(Behaviors.setup(begin), "parent")
        await gated.begun.wait()
        parent.tell("stop it")
        await wait_all_tasks_blocked()
        assert story == []
        gated.gate.set()
        await wait_all_tasks_blocked()
        assert story == [("post_stop", ["in hand"])]


async def test_fault_mail_left_at_stop() -> None:
    """L4, L5: was: what waits in the mailbox disappears without a dead letter, and its askers wait for their timeout."""
    async with opened() as system:
        letters = heard(system, DeadLetter)
        gated = Gated()
        ref = system.spawn(gated.behavior)
        ref.tell("in hand")
        await gated.begun.wait()
        for number in range(3):
            ref.tell(number)
        async with trio.open_nursery() as nursery:

            async def ask() -> None:
                with pytest.raises(ActorStoppedError):
                    await system.ask(ref, Get)

            nursery.start_soon(ask)
            await wait_all_tasks_blocked()
            nursery.start_soon(system.stop, ref)
            await wait_all_tasks_blocked()
            gated.gate.set()
        await wait_all_tasks_blocked()
        assert [letter.message for letter in letters][:3] == [0, 1, 2]
        assert all(letter.recipient == ref and letter.reason for letter in letters)
        assert len(letters) == 4


async def test_fault_reject_overflow() -> None:
    """L5, L4: was: "reject" rejects nothing that anybody sees."""
    async with opened() as system:
        letters = heard(system, DeadLetter)
        gated = Gated()
        ref = system.spawn(gated.behavior, mailbox=Mailbox(1, overflow="reject"))
        ref.tell("in hand")
        await gated.begun.wait()
        ref.tell("waits")
        with pytest.raises(MailboxFullError):
            ref.tell("rejected")
        with pytest.raises(MailboxFullError):
            await system.ask(ref, lambda reply_to: "asked")
        gated.gate.set()
        await wait_all_tasks_blocked()
        assert gated.handled == ["in hand", "waits"]
        assert [letter.message for letter in letters] == ["rejected", "asked"]


async def test_fault_dead_subscribers() -> None:
    """L4, L14: was: events are told to stopped actors for ever, and each is a dead letter."""
    async with opened() as system:
        refs = [system.spawn(recorder([])) for _ in range(10)]
        for ref in refs:
            system.event_stream.subscribe(ref, Event)
        for ref in refs:
            await system.stop(ref)
        before = system.statistics().dead_letters  # what waited in their mailboxes
        system.event_stream.subscribe(refs[0], Event)  # also too late
        for _ in range(5):
            await system.stop(system.spawn(counter()))
        await wait_all_tasks_blocked()
        assert system.statistics().dead_letters == before
        assert not any(system.event_stream._listeners.values())


async def test_fault_promised_events() -> None:
    """L14: was: documented events that no line of code emits; see also `test_promises.py`."""
    async with opened() as system:
        seen = heard(system, Event)
        ref = system.spawn(supervised([], OneForOneStrategy(max_restarts=1)))
        await wait_all_tasks_blocked()
        ref.tell(Behaviors.unhandled())
        for _ in range(system.settings.high_water + 2_000):
            ref.tell("much")
        ref.tell(Boom())
        ref.tell(Boom())
        ref.tell("left")
        await system.wait_stopped(ref)
        await wait_all_tasks_blocked()
        assert {type(event) for event in seen} >= {
            *(ActorStarted, ActorStopped, ActorFailed, ActorRestarted),
            *(DeadLetter, UnhandledMessage, MailboxHighWater),
        }


async def test_fault_lost_hooks() -> None:
    """L10, L8: was: a restart forgets the hooks, and fires no post_stop for the children it ends."""
    story: Story = []

    def begin(ctx: Ctx) -> None:
        ctx.spawn(hooked(recorder([]), story, "child "))

    async with opened() as system:
        ref = system.spawn(hooked(supervised([], None, begin), story))
        for _ in range(2):
            await wait_all_tasks_blocked()
            ref.tell(Boom())
        await wait_all_tasks_blocked()
        await system.stop(ref)
    again = ["pre_restart", "child post_stop", "post_restart", "child pre_start"]
    assert story == ["pre_start", "child pre_start", *again, *again, "child post_stop", "post_stop"]


async def test_fault_escalation_that_nobody_hears() -> None:
    """L11: was: escalate only stops the actor itself; no parent ever gets anything."""
    failure = Boom()
    story: Story = []

    def begin(ctx: Ctx) -> None:
        strategy = OneForOneStrategy(decider=lambda error: Directive.escalate)
        child = ctx.spawn(supervised([], strategy), "child")
        if not story:
            child.tell(failure)
        story.append("begin")

    async with opened() as system:
        restarts = heard(system, ActorRestarted)
        parent = system.spawn(supervised([], None, begin))
        await wait_all_tasks_blocked()
        assert restarts == [ActorRestarted(parent, failure)]
    assert story == ["begin"] * 2


async def test_fault_orphaned_pipes() -> None:
    """L13: was: a pipe outlives its actor, and its result is a dead letter."""
    gate = trio.Event()

    async def slow() -> str:
        await gate.wait()
        return "too late"

    async with opened() as system:
        ref = system.spawn(obedient([]))
        ref.tell(lambda ctx: ctx.pipe_to_self(slow()))
        await wait_all_tasks_blocked()
        await system.stop(ref)
        gate.set()
        await wait_all_tasks_blocked()
        assert system.statistics().dead_letters == 0


async def test_fault_timers_in_one_key_space(autojump_clock: MockClock) -> None:
    """L13: was: one scheduler with one space of names, whose ticks to dead actors never end."""
    stories: list[Story] = [[], []]
    refs: list[Ref] = []
    async with opened() as system:
        for story in stories:
            refs.append(system.spawn(obedient(story)))
            refs[-1].tell(lambda ctx: ctx.timers.periodic("heartbeat", 1, "tick"))
        await trio.sleep(2.5)
        await system.stop(refs[0])
        await trio.sleep(1)
        assert stories == [["tick"] * 2, ["tick"] * 3]
        assert system.statistics().dead_letters == 0


async def test_fault_asks_that_leave_a_trace(autojump_clock: MockClock) -> None:
    """L5: was: each ask leaves an entry behind; and a request given up is handled all the same."""
    async with opened() as system:
        busy: Any = system.spawn(hung())
        busy.tell("hang")
        for _ in range(500):
            with pytest.raises(AskTimeoutError):
                await system.ask(busy, Get, timeout=0.01, watch=True)
        assert not busy.cell.extras.watchers
        assert len(system._asks._heap) < 200
        assert system.statistics().asks == 0
