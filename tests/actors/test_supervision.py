"""Who decides about a failure, and what follows: strategies, windows, back-off, the nesting of wrappers (L2, L8)."""

from itertools import permutations
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from casty_trio import (
    ActorFailed,
    ActorFailedError,
    ActorRestarted,
    ActorStopped,
    AllForOneStrategy,
    Backoff,
    Behavior,
    Behaviors,
    Directive,
    OneForOneStrategy,
    RestForOneStrategy,
    SupervisionStrategy,
)
from tests.actors.helpers import Ctx, Fail, Get, async_counter, counter, recorder
from tests.actors.lives import Boom, Story, always, heard, hooked, opened, supervised

# --- One actor --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [counter, async_counter])
async def test_restart_begins_again_and_keeps_ref_and_mail(make: Any) -> None:
    """L2, L8: the state is the initial one, the failing message is not run again, what waited is handled."""
    async with opened() as system:
        events = heard(system, ActorFailed, ActorRestarted, ActorStopped)
        ref = system.spawn(Behaviors.supervise(make(), OneForOneStrategy()), "worker")
        failure = Boom("once")
        for message in (1, 2, Fail(failure), 10, 20):
            ref.tell(message)
        total: int = await system.ask(ref, Get)
        assert total == 30
        assert system.lookup("/worker") == ref
        await wait_all_tasks_blocked()
        assert events == [ActorFailed(ref, failure), ActorRestarted(ref, failure)]


@pytest.mark.parametrize("make", [counter, async_counter])
async def test_resume_goes_on_with_the_state_before_the_message(make: Any) -> None:
    """L2: the handler that raised changed nothing."""
    async with opened() as system:
        ref = system.spawn(Behaviors.supervise(make(), always(Directive.resume)))
        for message in (1, 2, Fail(Boom()), 10, Fail(Boom()), 20):
            ref.tell(message)
        total: int = await system.ask(ref, Get)
        assert total == 33


@pytest.mark.parametrize("make", [counter, async_counter])
async def test_stop_stops(make: Any) -> None:
    """L8: the strategy may say so."""
    async with opened() as system:
        events = heard(system, ActorStopped)
        ref = system.spawn(Behaviors.supervise(make(), always(Directive.stop)))
        ref.tell(Fail(failure := Boom()))
        ref.tell("left")
        await system.wait_stopped(ref)
        await wait_all_tasks_blocked()
        assert events == [ActorStopped(ref, failure)]


@pytest.mark.parametrize("directive", [Directive.restart, Directive.resume, Directive.stop])
async def test_an_ask_on_the_failing_message_fails_at_once(directive: Directive) -> None:
    """L5, L8: whatever the strategy decides."""
    async with opened() as system:
        ref = system.spawn(Behaviors.supervise(counter(), always(directive)))
        with pytest.raises(ActorFailedError) as caught:
            await system.ask(ref, lambda reply_to: Fail(Boom(), reply_to))
        assert isinstance(caught.value.__cause__, Boom)


async def test_asks_that_wait_survive_a_restart(autojump_clock: MockClock) -> None:
    """L5, L8: their messages wait in the mailbox, through the back-off as well."""
    async with opened() as system:
        strategy = OneForOneStrategy(backoff=Backoff(1.0, 1.0, jitter=0.0))
        ref = system.spawn(Behaviors.supervise(counter(), strategy))
        ref.tell(Fail(Boom()))
        ref.tell(5)
        total: int = await system.ask(ref, Get)
        assert total == 5
        assert trio.current_time() == 1.0


async def test_too_many_restarts_stop_the_actor() -> None:
    """L8: the window counts."""
    async with opened() as system:
        events = heard(system, ActorRestarted, ActorStopped)
        ref = system.spawn(Behaviors.supervise(counter(), OneForOneStrategy(max_restarts=2)))
        for _ in range(3):
            ref.tell(Fail(Boom()))
        await system.wait_stopped(ref)
        await wait_all_tasks_blocked()
        assert [type(event) for event in events] == [ActorRestarted, ActorRestarted, ActorStopped]


async def test_old_restarts_leave_the_window(autojump_clock: MockClock) -> None:
    """L8: within is within."""
    async with opened() as system:
        restarts = heard(system, ActorRestarted)
        ref = system.spawn(Behaviors.supervise(counter(), OneForOneStrategy(max_restarts=1, within=10.0)))
        for _ in range(5):
            ref.tell(Fail(Boom()))
            await trio.sleep(10.0)
        assert len(restarts) == 5
        for _ in range(2):
            ref.tell(Fail(Boom()))
        await system.wait_stopped(ref)


async def test_no_restarts_at_all() -> None:
    """L8: max_restarts=0 is a strategy that stops."""
    async with opened() as system:
        ref = system.spawn(Behaviors.supervise(counter(), OneForOneStrategy(max_restarts=0)))
        ref.tell(Fail(Boom()))
        await system.wait_stopped(ref)


async def test_backoff_grows_and_holds_mail(autojump_clock: MockClock) -> None:
    """L8: waits of 1, 2, 4, 4 seconds, and nothing is handled meanwhile."""
    times: list[float] = []
    async with opened() as system:
        strategy = OneForOneStrategy(max_restarts=4, backoff=Backoff(1.0, 4.0, jitter=0.0))
        ref = system.spawn(supervised([], strategy, lambda ctx: times.append(trio.current_time())))
        for _ in range(4):
            ref.tell(Boom())
        await wait_all_tasks_blocked()
        assert "waiting to restart, 3 queued" in system.tree()
        await trio.sleep(20)
    assert times == [0.0, 1.0, 3.0, 7.0, 11.0]


async def test_restarts_without_backoff_let_others_run() -> None:
    """L8: an actor that cannot begin, and may try for ever, takes no more than its turns."""
    begun = 0

    def begin(ctx: Ctx) -> Behavior[Any]:
        nonlocal begun
        begun += 1
        raise Boom

    async with opened() as system:
        events = heard(system, ActorStopped)
        ref = system.spawn(Behaviors.supervise(Behaviors.setup(begin), OneForOneStrategy(max_restarts=500)))
        while begun < 5:
            await trio.lowlevel.checkpoint()
        assert begun < 10
        await system.stop(ref)
        await wait_all_tasks_blocked()
        assert begun < 20
        assert events == [ActorStopped(ref, None)]


async def test_a_stop_cuts_the_backoff_short(autojump_clock: MockClock) -> None:
    """L10, L3: no initial behaviour again, but post_stop."""
    story: Story = []
    async with opened() as system:
        strategy = OneForOneStrategy(backoff=Backoff(1_000.0, 1_000.0))
        ref = system.spawn(hooked(supervised(story, strategy, lambda ctx: story.append("begin")), story))
        ref.tell(Boom())
        ref.tell("left")
        await trio.sleep(1)
        await system.stop(ref)
        assert trio.current_time() == 1
        assert system.statistics().dead == 1
    assert story == ["pre_start", "begin", "pre_restart", "post_stop"]


async def test_leaving_cuts_the_backoff_short(autojump_clock: MockClock) -> None:
    """L3: a block does not wait for a back-off."""
    async with opened() as system:
        strategy = OneForOneStrategy(backoff=Backoff(1_000.0, 1_000.0))
        system.spawn(supervised([], strategy)).tell(Boom())
        await trio.sleep(1)
    assert trio.current_time() == 1


async def test_a_decider_that_raises_stops() -> None:
    """L8: nobody decided, so it is the end of the actor, by its own failure."""

    def decide(failure: Exception) -> Directive:
        raise LookupError("in the decider")

    async with opened() as system:
        stops = heard(system, ActorStopped)
        ref = system.spawn(Behaviors.supervise(counter(), OneForOneStrategy(decider=decide)))
        ref.tell(Fail(failure := Boom()))
        await system.wait_stopped(ref)
        await wait_all_tasks_blocked()
        assert stops == [ActorStopped(ref, failure)]


@pytest.mark.parametrize("verdict", [None, "restart", True])
async def test_a_decider_that_decides_nothing_stops(verdict: Any) -> None:
    """L8: what is no directive is an error of the decider, and never an escalation."""
    async with opened() as system:
        stops = heard(system, ActorStopped)
        ref = system.spawn(Behaviors.supervise(counter(), OneForOneStrategy(decider=lambda failure: verdict)))
        ref.tell(Fail(failure := Boom()))
        await system.wait_stopped(ref)
        await wait_all_tasks_blocked()
        assert stops == [ActorStopped(ref, failure)]


@pytest.mark.parametrize("where", ["setup", "async setup", "pre_start", "post_restart", "pre_restart"])
async def test_failures_before_the_first_behaviour_reach_the_strategy(where: str) -> None:
    """L8: of a setup and of every hook that can; each is told once, and the attempt after them works."""
    tries = {"left": 2}

    def may_fail(*_: Any) -> None:
        if tries["left"]:
            tries["left"] -= 1
            raise Boom(where)

    async def begin_later(ctx: Ctx) -> Behavior[Any]:
        await trio.lowlevel.checkpoint()
        may_fail()
        return counter()

    behavior = counter()
    if where == "setup":
        behavior = supervised([], None, may_fail)
    elif where == "async setup":
        behavior = Behaviors.setup(begin_later)
    else:
        behavior = Behaviors.with_lifecycle(counter(), **{where: may_fail})
    async with opened() as system:
        failures = heard(system, ActorFailed)
        ref = system.spawn(Behaviors.supervise(behavior, OneForOneStrategy(max_restarts=5)))
        if "restart" in where:
            ref.tell(Fail(Boom("first")))
        await wait_all_tasks_blocked()
        told = [where] if where == "pre_start" else [where, where]  # a restart has post_restart instead
        assert [str(event.failure) for event in failures if str(event.failure) != "first"] == told
        assert system.lookup(ref.path) == ref


async def test_resume_before_the_first_behaviour_stops() -> None:
    """L8: there is nothing to go on with."""

    def begin(ctx: Ctx) -> None:
        raise Boom

    async with opened() as system:
        ref = system.spawn(supervised([], always(Directive.resume), begin))
        await system.wait_stopped(ref)


async def test_a_failure_of_on_signal_reaches_the_strategy() -> None:
    """L8, L6: and is no second Terminated."""
    heard_signals: Story = []

    def on_signal(ctx: Ctx, signal: Any) -> None:
        heard_signals.append(signal)
        raise Boom

    behavior = Behaviors.receive(lambda ctx, message: message(ctx), on_signal)
    async with opened() as system:
        restarts = heard(system, ActorRestarted)
        target = system.spawn(counter())
        ref = system.spawn(Behaviors.supervise(behavior, OneForOneStrategy()))
        ref.tell(lambda ctx: ctx.watch(target))
        await wait_all_tasks_blocked()
        await system.stop(target)
        await wait_all_tasks_blocked()
        assert len(heard_signals) == len(restarts) == 1


async def test_a_failure_while_told_to_stop_just_stops(autojump_clock: MockClock) -> None:
    """L8, L3: no restart of what has to end."""
    story: Story = []

    async def receive(ctx: Ctx, message: Any) -> None:
        await trio.sleep(1)
        raise Boom

    async with opened() as system:
        restarts = heard(system, ActorRestarted)
        ref = system.spawn(hooked(Behaviors.supervise(Behaviors.receive(receive), OneForOneStrategy()), story))
        ref.tell("go")
        await wait_all_tasks_blocked()
        await system.stop(ref)
        assert restarts == []
    assert story == ["pre_start", "post_stop"]


# --- What waits at the head of the line survives --------------------------------------------------------------------


@pytest.mark.parametrize("directive", [Directive.restart, Directive.resume])
@pytest.mark.parametrize("waits", [False, True])
async def test_unstashed_mail_behind_a_failure_is_handled(directive: Directive, waits: bool) -> None:
    """L4, L8: also when nothing else is told to the actor, whichever way it goes on."""
    story: Story = []
    async with opened() as system:
        ref = system.spawn(supervised(story, always(directive), waits=waits))
        ref.tell(lambda ctx: [ctx.stash.add(message) for message in (Boom(), "a", Boom(), "b")] and None)
        ref.tell(lambda ctx: ctx.stash.unstash_all())
        await wait_all_tasks_blocked()
        assert story == ["a", "b"]


async def test_mail_at_hand_when_the_group_restarts_is_handled() -> None:
    """L4, L8: the order to restart comes ahead of the message, and the message is not forgotten."""
    story: Story = []
    strategy = AllForOneStrategy()
    async with opened() as system:
        first = system.spawn(supervised([], strategy), "first")
        second = system.spawn(supervised(story, strategy), "second")
        await wait_all_tasks_blocked()
        second.tell("at hand")
        first.tell(Boom())
        await wait_all_tasks_blocked()
        assert story == ["at hand"]


# --- Nesting ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(permutations(["supervise", "lifecycle", "spy", "supervise outer"])))
async def test_the_order_of_wrappers_does_not_matter(order: tuple[str, ...]) -> None:
    """L8: strategy, hooks and spy hold in every nesting, through changes of behaviour and restarts."""
    story: Story = []
    spied: Story = []
    async with opened() as system:
        observer = system.spawn(recorder(spied))
        behavior = counter()
        strategy = OneForOneStrategy(max_restarts=2)
        for wrapper in order:
            if wrapper == "lifecycle":
                behavior = hooked(behavior, story)
            elif wrapper == "spy":
                behavior = Behaviors.spy(behavior, observer)
            else:
                behavior = Behaviors.supervise(behavior, strategy)
        ref = system.spawn(behavior)
        for _ in range(2):
            for message in (1, 2, Fail(Boom()), 3):
                ref.tell(message)
            total: int = await system.ask(ref, Get)
            assert total == 3
        ref.tell(Fail(Boom()))
        await system.wait_stopped(ref)
        await wait_all_tasks_blocked()
        assert len(spied) == 11
    assert story == ["pre_start", *["pre_restart", "post_restart"] * 2, "post_stop"]


async def test_strategies_decide_from_the_inside_out() -> None:
    """L8: the inner one is asked first, what it escalates the outer one decides."""
    asked: Story = []

    def strategy(name: str, directive: Directive) -> SupervisionStrategy:
        return OneForOneStrategy(decider=lambda failure: asked.append(name) or directive)  # type: ignore[func-returns-value]

    inner, outer = strategy("inner", Directive.escalate), strategy("outer", Directive.resume)
    async with opened() as system:
        for behavior in (
            Behaviors.supervise(Behaviors.supervise(counter(7), inner), outer),
            Behaviors.supervise(Behaviors.setup(lambda ctx: Behaviors.supervise(counter(7), inner)), outer),
        ):
            asked.clear()
            ref = system.spawn(behavior)
            ref.tell(Fail(Boom()))
            total: int = await system.ask(ref, Get)
            assert (total, asked) == (7, ["inner", "outer"])


@pytest.mark.parametrize("kind", [OneForOneStrategy, AllForOneStrategy, RestForOneStrategy])
async def test_a_strategy_made_in_a_setup_counts_on(kind: type[SupervisionStrategy]) -> None:
    """L8: a setup that makes its strategy anew at each restart does not make the limit endless."""
    begins: Story = []

    def begin(ctx: Ctx) -> Behavior[Any]:
        begins.append(1)
        ctx.self.tell(Fail(Boom()))
        return Behaviors.supervise(counter(), kind(max_restarts=3))

    async with opened() as system:
        ref = system.spawn(Behaviors.setup(begin))
        with trio.fail_after(5):
            await system.wait_stopped(ref)
    assert len(begins) == 4


async def test_a_strategy_returned_with_each_behaviour_counts_on() -> None:
    """L8: strategies do not pile up with the changes of behaviour, and the limit holds."""

    def stateful(total: int) -> Behavior[Any]:
        def receive(ctx: Ctx, message: Any) -> Behavior[Any]:
            if message == "fail":
                raise Boom
            return stateful(total + 1)

        return Behaviors.supervise(Behaviors.receive(receive), OneForOneStrategy(max_restarts=2))

    async with opened() as system:
        ref: Any = system.spawn(stateful(0))
        for _ in range(3):
            for message in ["more"] * 50 + ["fail"]:
                ref.tell(message)
        await system.wait_stopped(ref)
        assert len(ref.cell.blueprint.strategies) <= 2
