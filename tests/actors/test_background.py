"""Background tasks, pipes and adapters: they live and die with their actor (L13), and fail as it (L8)."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from casty_trio import (
    ActorFailed,
    ActorFailedError,
    ActorRestarted,
    ActorStopped,
    ActorSystem,
    Behaviors,
    DeadLetter,
    Directive,
    Mailbox,
    OneForOneStrategy,
    SystemClosedError,
)
from tests.actors.helpers import Ctx, Get, assert_adds_up, census, counter, recorder
from tests.actors.lives import Boom, Story, heard, obedient, opened, supervised


async def wait_and_tell(story: Story, gate: trio.Event | None = None) -> str:
    """Writes down that it ended, and how."""
    try:
        await (trio.Event() if gate is None else gate).wait()
    except trio.Cancelled:
        story.append("cancelled")
        raise
    story.append("done")
    return "result"


async def raise_it(error: Exception) -> None:
    """Fails."""
    await trio.lowlevel.checkpoint()
    raise error


@pytest.mark.parametrize("with_child", [False, True])
async def test_a_task_runs_beside_its_actor(with_child: bool) -> None:
    """L13: from the first one on, in an actor with and without children; mail is handled meanwhile."""
    story: Story = []
    gate = trio.Event()
    async with opened() as system:
        ref = system.spawn(obedient(story, (lambda ctx: ctx.spawn(counter()) and None) if with_child else None))
        ref.tell(lambda ctx: ctx.start_soon(wait_and_tell, story, gate))
        ref.tell("mail")
        await wait_all_tasks_blocked()
        assert story == ["mail"]
        assert any(f"{ref.path} (wait_and_tell)" in task.name for task in census())
        gate.set()
        await wait_all_tasks_blocked()
        assert story == ["mail", "done"]


@pytest.mark.parametrize("how", ["stop", "own stop", "failure", "restart", "leave"])
@pytest.mark.parametrize("pipe", [False, True])
async def test_tasks_end_with_the_actor_and_its_restart(how: str, pipe: bool) -> None:
    """L13: they are cancelled, before its hooks run, and what they piped is never handled."""
    story: Story = []

    def begin(ctx: Ctx) -> None:
        if pipe:
            ctx.pipe_to_self(wait_and_tell(story))
        else:
            ctx.start_soon(wait_and_tell, story)

    behavior = supervised(story, OneForOneStrategy(max_restarts=0 if how == "failure" else 3), begin)
    behavior = Behaviors.with_lifecycle(
        behavior, post_stop=lambda ctx: story.append("post_stop"), post_restart=lambda ctx: story.append("post_restart")
    )
    async with opened() as system:
        ref = system.spawn(behavior)
        await wait_all_tasks_blocked()
        match how:
            case "stop":
                await system.stop(ref)
            case "own stop":
                ref.tell(Behaviors.stopped())
            case "failure" | "restart":
                ref.tell(Boom())
            case _:
                pass
        await wait_all_tasks_blocked()
    restarted = ["cancelled", "post_restart"] if how == "restart" else []
    assert story == [*restarted, "cancelled", "post_stop"]


@pytest.mark.parametrize("restart", [False, True])
async def test_a_task_ends_in_time(restart: bool, autojump_clock: MockClock) -> None:
    """L13: at once, when its actor stops or restarts; neither waits for it."""
    story: Story = []
    with trio.fail_after(1):  # around all, for a task that did not end would keep the system from leaving its block
        async with opened() as system:
            ref = system.spawn(supervised(story))
            ref.tell(lambda ctx: ctx.start_soon(wait_and_tell, story))
            await wait_all_tasks_blocked()
            if restart:
                ref.tell(Boom())
            else:
                await system.stop(ref)
            await wait_all_tasks_blocked()
            assert story == ["cancelled"]


@pytest.mark.parametrize("directive", list(Directive))
async def test_the_failure_of_a_task_is_the_actors(directive: Directive) -> None:
    """L8, L11: its strategy decides."""
    failure = Boom()
    async with opened() as system:
        events = heard(system, ActorFailed, ActorRestarted, ActorStopped)
        strategy = OneForOneStrategy(decider=lambda error: directive)
        top = Behaviors.setup(lambda ctx: recorder([ctx.spawn(supervised([], strategy), "child")]))
        top = Behaviors.supervise(top, OneForOneStrategy(decider=lambda error: Directive.resume))
        system.spawn(top, "top")
        await wait_all_tasks_blocked()
        child = system.lookup("/top/child")
        assert child is not None
        child.tell(lambda ctx: ctx.start_soon(raise_it, failure))
        await wait_all_tasks_blocked()
        expected = {
            Directive.restart: [ActorFailed(child, failure), ActorRestarted(child, failure)],
            Directive.resume: [ActorFailed(child, failure)],
            Directive.stop: [ActorFailed(child, failure), ActorStopped(child, failure)],
        }
        told = [event for event in events if event.ref == child]
        assert told == expected.get(directive, [ActorFailed(child, failure), ActorStopped(child, failure)])


async def test_a_task_that_fails_while_it_is_cancelled_is_seen_and_decides_nothing(autojump_clock: MockClock) -> None:
    """L13, L8: at a stop and at a restart: it belongs to what has ended."""

    async def fails_when_cancelled() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise Boom("late")

    async def fails_in_a_nursery() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fails_when_cancelled)
            nursery.start_soon(trio.sleep_forever)

    for run in (fails_when_cancelled, fails_in_a_nursery):
        async with opened() as system:
            failures, restarts = heard(system, ActorFailed), heard(system, ActorRestarted)
            begun: Story = []

            def begin(ctx: Ctx, run: Any = run, begun: Story = begun) -> None:
                begun.append(1)
                if len(begun) == 1:
                    ctx.start_soon(run)

            ref = system.spawn(supervised([], None, begin))
            ref.tell(Boom("first"))
            await trio.sleep(1)
            assert (len(restarts), len(failures), len(begun)) == (1, 2, 2)
            ref.tell(lambda ctx, run=run: ctx.start_soon(run))
            await wait_all_tasks_blocked()
            await system.stop(ref)
            await wait_all_tasks_blocked()
            assert len(failures) == 3


async def test_a_task_that_fails_while_everything_is_cancelled(autojump_clock: MockClock) -> None:
    """L3, L12: the cancellation goes on as one; the failure stays with the actor."""

    async def fails_when_cancelled() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_and_fail)
            nursery.start_soon(trio.sleep_forever)

    async def wait_and_fail() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise Boom

    before = census()
    with trio.move_on_after(1) as scope:
        async with ActorSystem() as system:
            system.spawn(obedient([])).tell(lambda ctx: ctx.start_soon(fails_when_cancelled))
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert census() == before


async def test_what_an_actor_that_ends_cannot_start_leaves_no_warning() -> None:
    """L13: start_soon and pipe_to_self raise, and the coroutine is closed."""
    refused: Story = []

    async def busy(ctx: Ctx) -> None:
        await gate.wait()
        with pytest.raises(SystemClosedError):
            ctx.start_soon(trio.sleep_forever)
        with pytest.raises(SystemClosedError):
            ctx.pipe_to_self(give(1))
        refused.append("both")

    gate = trio.Event()
    async with opened() as system, trio.open_nursery() as nursery:
        ref = system.spawn(obedient([]))
        ref.tell(busy)
        await wait_all_tasks_blocked()
        nursery.start_soon(system.stop, ref)
        await wait_all_tasks_blocked()
        gate.set()
    assert refused == ["both"]


# --- Pipes ------------------------------------------------------------------------------------------------------------


async def give(value: Any) -> Any:
    """A result."""
    await trio.lowlevel.checkpoint()
    if isinstance(value, Exception):
        raise value
    return value


async def test_results_and_failures_become_messages() -> None:
    """L8, L4: with a mapper and without; a mapper's failure goes to on_failure too."""
    story: Story = []
    failure, broken = Boom(), LookupError("mapper")

    def bad(result: Any) -> Any:
        raise broken

    async with opened() as system:
        ref = system.spawn(obedient(story))
        for pipe in (
            lambda ctx: ctx.pipe_to_self(give(1)),
            lambda ctx: ctx.pipe_to_self(give(2), mapper=str),
            lambda ctx: ctx.pipe_to_self(give(failure), on_failure=lambda error: ("failed", error)),
            lambda ctx: ctx.pipe_to_self(give(3), mapper=bad, on_failure=lambda error: ("failed", error)),
        ):
            ref.tell(pipe)
            await wait_all_tasks_blocked()
        assert story == [1, "2", ("failed", failure), ("failed", broken)]
        now = system.statistics()
        assert (now.sent, now.handled, now.dead) == (8, 8, 0)


@pytest.mark.parametrize("what", ["awaitable", "mapper", "on_failure"])
async def test_a_failure_that_nobody_maps_is_the_actors(what: str) -> None:
    """L8: of any of the three."""

    def fails(_: object) -> Any:
        raise Boom(what)

    pipes = {
        "awaitable": lambda ctx: ctx.pipe_to_self(give(Boom(what))),
        "mapper": lambda ctx: ctx.pipe_to_self(give(1), mapper=fails),
        "on_failure": lambda ctx: ctx.pipe_to_self(give(LookupError()), on_failure=fails),
    }
    async with opened() as system:
        restarts = heard(system, ActorRestarted)
        system.spawn(supervised([])).tell(pipes[what])
        await wait_all_tasks_blocked()
        assert [str(event.failure) for event in restarts] == [what]


async def test_an_ask_may_be_piped() -> None:
    """L5: the actor is free meanwhile, also to answer whom it asks."""
    story: Story = []
    async with opened() as system:
        other = system.spawn(counter(5))
        ref = system.spawn(obedient(story))
        ref.tell(lambda ctx: ctx.pipe_to_self(ctx.ask(other, Get), mapper=lambda total: f"total {total}"))
        await wait_all_tasks_blocked()
        assert story == ["total 5"]


# --- Adapters ---------------------------------------------------------------------------------------------------------


async def test_an_adapter_speaks_for_its_actor() -> None:
    """L1, L4: in order with the other mail, in the actor's own turn; `send` and bounded mailboxes as well."""
    for mailbox in (None, Mailbox(10)):
        story: Story = []
        turns: Story = []
        adapters: list[Any] = []

        def adapt(number: int, turns: Story = turns) -> str:
            turns.append(trio.lowlevel.current_task().name)
            return f"adapted {number}"

        async with opened() as system:
            ref = system.spawn(obedient(story), "worker", mailbox=mailbox)
            ref.tell(lambda ctx, adapters=adapters, adapt=adapt: adapters.append(ctx.adapter(adapt)))
            await wait_all_tasks_blocked()
            (adapter,) = adapters
            ref.tell("before")
            adapter.tell(1)
            await adapter.send(2)
            ref.tell("after")
            await wait_all_tasks_blocked()
            assert story == ["before", "adapted 1", "adapted 2", "after"]
            assert turns == ["/worker"] * 2
            assert adapter.address != ref.address
            assert adapter.address.path.startswith("/worker/")


async def test_a_failing_adapter_fails_its_actor_and_counts() -> None:
    """L8, L4: its message was handled, though the handler never saw it."""
    story: Story = []
    async with opened() as system:
        adapters: list[Any] = []
        ref = system.spawn(supervised(story))
        ref.tell(lambda ctx: adapters.append(ctx.adapter(int)))
        await wait_all_tasks_blocked()
        adapters[0].tell("no number")
        adapters[0].tell("7")  # the adapter is of the actor, not of one life of it
        await wait_all_tasks_blocked()
        assert story == [7]
        assert_adds_up(system.statistics())
        assert system.statistics().queued == 0


async def test_asking_through_an_adapter() -> None:
    """L5: the ask travels with the message: the reply, a failure, and a stop reach the asker."""
    async with opened() as system:
        adapters: list[Any] = []

        def receive(ctx: Ctx, message: Any) -> Any:
            if message == "adapter":
                adapters.append(ctx.adapter(lambda wrapped: wrapped["inner"]))
            elif isinstance(message, Get):
                message.reply_to.tell("reply")
            else:
                raise Boom
            return None

        letters = heard(system, DeadLetter)
        ref = system.spawn(Behaviors.supervise(Behaviors.receive(receive), OneForOneStrategy()))
        ref.tell("adapter")
        await wait_all_tasks_blocked()
        (adapter,) = adapters
        answer: str = await system.ask(adapter, lambda reply_to: {"inner": Get(reply_to)})
        assert answer == "reply"
        with pytest.raises(ActorFailedError):
            await system.ask(adapter, lambda reply_to: {"inner": "fails"})
        with pytest.raises(ActorFailedError):
            await system.ask(adapter, lambda reply_to: {"wrong": "fails"})
        assert_adds_up(system.statistics())
        await system.stop(ref)
        adapter.tell({"inner": "too late"})
        await wait_all_tasks_blocked()
        assert [letter.message for letter in letters] == [{"inner": "too late"}]
