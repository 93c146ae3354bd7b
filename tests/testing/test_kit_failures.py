"""In the kit a wait is an error, and a failure is decided as in a system."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from casty_trio import (
    ActorContext,
    Backoff,
    Behavior,
    Behaviors,
    Directive,
    OneForOneStrategy,
    SpyEvent,
    SupervisionStrategy,
    Terminated,
    UsageError,
)
from casty_trio.testing import BehaviorTestKit, WouldWaitError, effects
from tests.testing.acts import Act, Get, counter, idle, performer

# --- Waiting -------------------------------------------------------------------------------------------------------------


async def sleep(ctx: ActorContext[Any]) -> None:
    await trio.sleep(1)


async def catch(ctx: ActorContext[Any]) -> None:
    try:
        await trio.sleep(1)
    except Exception:  # noqa: BLE001 - what the kit raises here leaves it all the same
        return


async def insist(ctx: ActorContext[Any]) -> None:
    for _ in range(3):
        try:
            await Pause()
        except WouldWaitError:
            continue


class Pause:
    def __await__(self) -> Any:
        yield self


def waits() -> list[Act]:
    return [
        sleep,
        lambda ctx: trio.current_time(),
        lambda ctx: Pause(),
        lambda ctx: ctx.ask(ctx.system.dead_letters, Get),
        lambda ctx: ctx.system.stop(ctx.system.dead_letters),
        lambda ctx: ctx.system.wait_stopped(ctx.system.dead_letters),
    ]


@pytest.mark.parametrize("act", waits())
def test_a_wait_is_an_error(act: Act) -> None:
    kit = BehaviorTestKit(Behaviors.supervise(performer(), OneForOneStrategy()))
    with pytest.raises(WouldWaitError, match="/kit waits for "):
        kit.run(act)
    assert kit.stopped


def test_a_wait_is_an_error_also_for_who_insists() -> None:
    with pytest.raises((WouldWaitError, RuntimeError)):
        BehaviorTestKit(performer()).run(insist)


async def test_a_wait_is_an_error_also_in_an_async_test() -> None:
    for act in (sleep, catch):
        with pytest.raises(WouldWaitError, match=rf"at {__file__}:"):
            BehaviorTestKit(performer()).run(act)
    kit = BehaviorTestKit(performer())
    kit.run(lambda ctx: ctx.self.tell(trio.current_time()))
    await trio.lowlevel.checkpoint()


# --- Failures ------------------------------------------------------------------------------------------------------------


def fail(ctx: ActorContext[Any]) -> Any:
    raise ValueError("no")


def test_a_failure_leaves_the_call_when_nobody_decides() -> None:
    kit = BehaviorTestKit(performer())
    with pytest.raises(ValueError, match="no"):
        kit.run(fail)
    assert kit.stopped
    assert isinstance(kit.failure, ValueError)


def supervised(directive: Directive, told: list[Any]) -> BehaviorTestKit[Any]:
    strategy = OneForOneStrategy(max_restarts=2, backoff=Backoff(1.0, 10.0), decider=lambda failure: directive)

    def begin(ctx: ActorContext[Any]) -> Behavior[Any]:
        ctx.spawn(idle(), "child")
        ctx.timers.once("timer", 1.0, fail)
        told.append("begin")
        return performer()

    behavior = Behaviors.with_lifecycle(
        Behaviors.supervise(Behaviors.setup(begin), strategy),
        post_stop=lambda ctx: told.append("post_stop"),
        pre_restart=lambda ctx, failure: told.append(failure),
        post_restart=lambda ctx: told.append("post_restart"),
    )
    return BehaviorTestKit(behavior)


def test_restart() -> None:
    told: list[Any] = []
    kit = supervised(Directive.restart, told)
    kit.run(lambda ctx: ctx.stash.add(lambda ctx: told.append("stashed")))
    kit.effects()
    kit.run(fail)
    restarted = kit.expect_effect(effects.Restarted)
    assert (type(restarted.failure), restarted.delay) == (ValueError, 1.0)
    assert told == ["begin", restarted.failure, "post_restart", "begin", "stashed"]
    kit.fire("timer")
    assert kit.expect_effect(effects.Restarted).delay == 2.0
    kit.run(fail)  # once more than the strategy allows
    assert kit.stopped
    assert kit.failure is not None
    assert told[-1] == "post_stop"


def test_resume_and_stop_and_escalate() -> None:
    kit = supervised(Directive.resume, [])
    kit.run(fail)
    assert str(kit.expect_effect(effects.Resumed).failure) == "no"
    assert not kit.stopped

    kit = supervised(Directive.stop, [])
    kit.run(fail)
    assert kit.stopped
    assert str(kit.failure) == "no"

    with pytest.raises(ValueError, match="no"):
        supervised(Directive.escalate, []).run(fail)


@pytest.mark.parametrize("directive", [Directive.stop, Directive.resume])
def test_a_failure_at_the_start_is_decided_too(directive: Directive) -> None:
    behavior: Behavior[Any] = Behaviors.setup(fail)
    kit = BehaviorTestKit(Behaviors.supervise(behavior, OneForOneStrategy(decider=lambda _: directive)))
    assert kit.stopped
    with pytest.raises(ValueError, match="no"):
        BehaviorTestKit(behavior)


def test_a_restart_ends_the_watch_on_children_only() -> None:
    kit = BehaviorTestKit(Behaviors.supervise(performer(lambda ctx, signal: None), OneForOneStrategy()))
    ref = kit.ref()
    kit.run(lambda ctx: [ctx.watch(ref), ctx.watch(ctx.spawn(idle(), "child"))])
    child = kit.child("child")
    kit.run(fail)
    kit.signal(Terminated(ref))
    with pytest.raises(UsageError, match="does not watch"):
        kit.signal(Terminated(child))


def test_wrappers_of_a_setup_are_honoured() -> None:
    told: list[str] = []

    def begin(ctx: ActorContext[Any]) -> Behavior[Any]:
        return Behaviors.with_lifecycle(
            Behaviors.supervise(performer(), OneForOneStrategy()),
            pre_start=lambda ctx: told.append("pre_start"),
            post_restart=lambda ctx: told.append("post_restart"),
        )

    kit = BehaviorTestKit(Behaviors.setup(begin))
    assert told == ["pre_start"]
    kit.run(fail)
    kit.expect_effect(effects.Restarted)
    assert not kit.stopped


def test_a_strategy_met_later_decides_from_then_on() -> None:
    strategy: SupervisionStrategy = OneForOneStrategy(decider=lambda _: Directive.resume)
    kit = BehaviorTestKit(performer())
    kit.run(lambda ctx: Behaviors.supervise(performer(), strategy))
    kit.run(fail)
    kit.expect_effect(effects.Resumed)


def test_all_hooks_of_the_end_run_and_the_first_failure_is_told() -> None:
    told: list[str] = []
    behavior = Behaviors.with_lifecycle(
        Behaviors.with_lifecycle(Behaviors.supervise(performer(), OneForOneStrategy()), post_stop=fail),
        post_stop=lambda ctx: told.append("outer"),
    )
    kit = BehaviorTestKit(behavior)
    with pytest.raises(ValueError, match="no"):
        kit.stop()
    assert told == ["outer"]
    assert isinstance(kit.failure, ValueError)


def test_observers_are_told_and_that_is_no_effect() -> None:
    outer = BehaviorTestKit(idle())
    observer = outer.ref("observer")
    kit = BehaviorTestKit(Behaviors.spy(counter(), observer), "spied")
    kit.run(1)
    assert observer.received == (SpyEvent("/spied", 1, 0.0),)
    assert kit.effects() == ()
    watching = BehaviorTestKit(Behaviors.spy(performer(lambda ctx, signal: None), outer.self_ref), "spied")
    watch: Act = lambda ctx: ctx.watch(observer)  # noqa: E731 - a message
    watching.run(watch)
    watching.signal(Terminated(observer))
    events = [event for event in outer.waiting if isinstance(event, SpyEvent)]
    assert [event.event for event in events] == [watch, Terminated(observer)]


def test_a_decider_that_decides_nothing_is_named() -> None:
    """It is the fault of the program, which a test should show."""

    def fail(ctx: ActorContext[str], message: str) -> None:
        raise ValueError(message)

    wrong: Any = lambda failure: "restart"  # noqa: E731
    kit = BehaviorTestKit(Behaviors.supervise(Behaviors.receive(fail), OneForOneStrategy(decider=wrong)))
    with pytest.raises(UsageError, match="the decider of OneForOneStrategy returned 'restart'"):
        kit.run("go")
    assert kit.stopped
