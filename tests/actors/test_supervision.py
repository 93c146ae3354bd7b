"""Who decides about a failure, and what follows: strategies, groups, windows, back-off, escalation (L2, L8, L11)."""

import gc
from itertools import permutations
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from casty_trio import (
    ActorFailed,
    ActorFailedError,
    ActorRestarted,
    ActorSettings,
    ActorStopped,
    ActorSystem,
    AllForOneStrategy,
    Backoff,
    Behavior,
    Behaviors,
    Directive,
    Mailbox,
    OneForOneStrategy,
    RestForOneStrategy,
    SupervisionStrategy,
)
from tests.actors.helpers import Ctx, Fail, Get, Ref, async_counter, census, counter, recorder
from tests.actors.lives import Boom, Story, heard, hooked, obedient, opened, parent, supervised


def always(directive: Directive) -> SupervisionStrategy:
    """Decides the same about everything."""
    return OneForOneStrategy(decider=lambda failure: directive)


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


# --- Groups -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "again"),
    [(OneForOneStrategy, ["b"]), (AllForOneStrategy, ["a", "b", "c"]), (RestForOneStrategy, ["b", "c"])],
)
@pytest.mark.parametrize("waits", [False, True])
async def test_which_of_a_group_restart(kind: type[SupervisionStrategy], again: list[str], waits: bool) -> None:
    """L8: one, all, or those from it on; the others, and those of another strategy, keep their state."""
    begun: Story = []
    strategy, another = kind(), kind()
    async with opened() as system:

        def member(name: str, of: SupervisionStrategy) -> Behavior[Any]:
            return supervised([], of, lambda ctx: begun.append(name), waits=waits)

        group = {"a": strategy, "other": another, "b": strategy, "c": strategy}
        ref = system.spawn(parent({name: member(name, of) for name, of in group.items()}))
        await wait_all_tasks_blocked()
        begun.clear()
        ref.tell(("b", Boom()))
        await wait_all_tasks_blocked()
        assert sorted(begun) == again


@pytest.mark.parametrize(
    ("kind", "stopped"),
    [(OneForOneStrategy, ["b"]), (AllForOneStrategy, ["a", "b", "c"]), (RestForOneStrategy, ["b", "c"])],
)
@pytest.mark.parametrize("how", ["decider", "limit"])
async def test_which_of_a_group_stop(kind: type[SupervisionStrategy], stopped: list[str], how: str) -> None:
    """L8: by the decider, and over the limit; the parent and those outside live on."""
    strategy = kind(decider=lambda failure: Directive.stop) if how == "decider" else kind(max_restarts=0)
    async with opened() as system:
        stops = heard(system, ActorStopped)
        ref = system.spawn(parent({name: supervised([], strategy) for name in "abc"}), "top")
        ref.tell(("b", failure := Boom()))
        await wait_all_tasks_blocked()
        assert sorted(event.ref.path for event in stops) == [f"/top/{name}" for name in stopped]
        assert {event.failure for event in stops if event.ref.path != "/top/b"} <= {None}
        assert ActorStopped(system_path(stops, "/top/b"), failure) in stops


def system_path(stops: list[Any], path: str) -> Ref:
    """The ref of that path in a list of events."""
    return next(event.ref for event in stops if event.ref.path == path)


async def test_a_group_shares_its_window() -> None:
    """L8: two failures of two members are two restarts of the group."""
    strategy = AllForOneStrategy(max_restarts=1)
    async with opened() as system:
        ref = system.spawn(parent({name: supervised([], strategy) for name in "ab"}), "top")
        ref.tell(("a", Boom()))
        await wait_all_tasks_blocked()
        assert system.lookup("/top/a") is not None
        ref.tell(("b", Boom()))
        await wait_all_tasks_blocked()
        assert system.lookup("/top/a") is system.lookup("/top/b") is None


async def test_one_for_one_counts_each_by_itself() -> None:
    """L8: also when they share the strategy object."""
    strategy = OneForOneStrategy(max_restarts=1)
    async with opened() as system:
        ref = system.spawn(parent({name: supervised([], strategy) for name in "ab"}), "top")
        for name in "ab":
            ref.tell((name, Boom()))
        await wait_all_tasks_blocked()
        assert system.lookup("/top/a") is not None
        assert system.lookup("/top/b") is not None


async def test_a_name_used_again_has_a_window_of_its_own() -> None:
    """L8, L9: what a namesake did before does not count."""
    strategy = OneForOneStrategy(max_restarts=1)
    async with opened() as system:
        for _ in range(3):
            ref = system.spawn(supervised([], strategy), "worker")
            ref.tell(Boom())
            await wait_all_tasks_blocked()
            assert system.lookup("/worker") == ref
            await system.stop(ref)


async def test_the_group_waits_together(autojump_clock: MockClock) -> None:
    """L8: back-off is the group's; one more failure of a sibling that waits is not possible."""
    times: dict[str, list[float]] = {"a": [], "b": []}
    strategy = AllForOneStrategy(backoff=Backoff(2.0, 8.0, jitter=0.0))

    def member(name: str) -> Behavior[Any]:
        return supervised([], strategy, lambda ctx: times[name].append(trio.current_time()))

    async with opened() as system:
        ref = system.spawn(parent({"a": member("a"), "b": member("b")}))
        ref.tell(("a", Boom()))
        ref.tell(("b", Boom()))
        await trio.sleep(1)
        await trio.sleep(20)
        # b failed on its own message, which waited through the first back-off
        assert times in (
            {"a": [0.0, 2.0, 6.0], "b": [0.0, 2.0, 6.0]},
            {"a": [0.0, 2.0], "b": [0.0, 2.0]},
        )


async def test_a_member_whose_children_are_ending_is_stopped_with_its_group(autojump_clock: MockClock) -> None:
    """L8: one that is busy restarting is a member like any other."""
    strategy = AllForOneStrategy(max_restarts=1)

    async def slow_end(ctx: Ctx) -> None:
        await trio.sleep(0.5)

    def with_slow_child(ctx: Ctx) -> None:
        ctx.spawn(Behaviors.with_lifecycle(counter(), post_stop=slow_end))

    async with opened() as system:
        ref = system.spawn(parent({"a": supervised([], strategy), "b": supervised([], strategy, with_slow_child)}), "top")
        ref.tell(("a", Boom()))
        await wait_all_tasks_blocked()
        ref.tell(("a", Boom()))  # too many, while b waits for its child
        await trio.sleep(2)
        assert system.lookup("/top/a") is system.lookup("/top/b") is None


async def test_a_window_of_a_group_goes_with_the_group(caplog: pytest.LogCaptureFixture) -> None:
    """L8: groups that come and go leave nothing behind in their parent."""
    caplog.set_level("CRITICAL", "casty_trio.actors")  # a record holds on to the failure, and that to its actor
    async with opened() as system:
        top: Any = system.spawn(obedient([]), "top")
        for _ in range(20):
            top.tell(lambda ctx: ctx.spawn(supervised([], AllForOneStrategy(max_restarts=0))).tell(Boom()))
            await wait_all_tasks_blocked()
        gc.collect()
        assert len(top.cell.children._shared) <= 1


# --- Escalation -------------------------------------------------------------------------------------------------------


def nest(depth: int, leaf: Behavior[Any], top: SupervisionStrategy | None, story: Story) -> Behavior[Any]:
    """A line of actors without strategies; the topmost may have one. All pass messages to the leaf."""

    def begin(ctx: Ctx) -> Behavior[Any]:
        story.append(ctx.self.path)
        child = ctx.spawn(leaf if depth == 1 else nest(depth - 1, leaf, None, story), "child")
        ctx.spawn(recorder([]), "sibling")
        return Behaviors.receive(lambda ctx, message: child.tell(message))

    behavior = Behaviors.setup(begin)
    return behavior if top is None else Behaviors.supervise(behavior, top)


async def test_escalation_reaches_the_nearest_ancestor_that_decides() -> None:
    """L11: which fails in its place, whatever stands between."""
    story: Story = []
    failure = Boom()
    async with opened() as system:
        events = heard(system, ActorRestarted, ActorFailed)
        leaf = Behaviors.supervise(obedient([]), always(Directive.escalate))
        ref = system.spawn(nest(3, leaf, OneForOneStrategy(), story), "top")
        ref.tell(failure)
        await wait_all_tasks_blocked()
        assert story == ["/top", "/top/child", "/top/child/child"] * 2
        assert [(type(event), event.ref.path) for event in events] == [
            (ActorFailed, "/top/child/child/child"),
            (ActorFailed, "/top"),
            (ActorRestarted, "/top"),
        ]
    assert any("/top/child/child/child" in note for note in failure.__notes__)


async def test_actors_between_are_not_harmed() -> None:
    """L11: an ancestor that resumes keeps all but the one that failed."""
    async with opened() as system:
        leaf = Behaviors.supervise(obedient([]), always(Directive.escalate))
        ref = system.spawn(nest(2, leaf, always(Directive.resume), []), "top")
        await wait_all_tasks_blocked()
        before = system.statistics().actors
        ref.tell(Boom())
        await wait_all_tasks_blocked()
        assert system.statistics().actors == before - 1
        assert system.lookup("/top/child/sibling") is not None
        assert system.lookup("/top/child/child") is None


@pytest.mark.parametrize("depth", [1, 3])
async def test_escalation_without_an_ancestor_leaves_the_block(depth: int) -> None:
    """L11, L3: as the exception itself, with the path in a note, and nothing is left."""
    before = census()
    failure = Boom()
    leaf = Behaviors.supervise(obedient([]), always(Directive.escalate))
    with pytest.raises(Boom) as caught:  # noqa: PT012 - what leaves the block
        async with ActorSystem() as system:
            system.spawn(nest(depth, leaf, None, []), "top").tell(failure)
            await trio.sleep_forever()
    assert caught.value is failure
    assert any("/top" + "/child" * depth in note for note in failure.__notes__)
    assert census() == before


async def test_escalation_goes_level_by_level() -> None:
    """L11: each ancestor that decides may escalate again; every one is named in a note."""
    failure = Boom()
    escalating = always(Directive.escalate)
    leaf = Behaviors.supervise(obedient([]), escalating)
    with pytest.raises(Boom):  # noqa: PT012 - what leaves the block
        async with ActorSystem() as system:
            events = heard(system, ActorFailed)
            system.spawn(nest(2, leaf, escalating, []), "top").tell(failure)
            await trio.sleep_forever()
    assert [event.ref.path for event in events] == ["/top/child/child", "/top"]
    assert failure.__notes__ == ["escalated by /top/child/child", "escalated by /top"]


async def test_the_bodys_own_exception_wins_over_an_escalation() -> None:
    """L12, L11: it leaves unchanged, the escalation is a note on it."""
    failure = KeyError("mine")
    with pytest.raises(KeyError) as caught:  # noqa: PT012 - what leaves the block
        async with ActorSystem() as system:
            system.spawn(Behaviors.supervise(obedient([]), always(Directive.escalate)), "top").tell(Boom("theirs"))
            try:
                await trio.sleep_forever()
            finally:
                raise failure
    assert caught.value is failure
    assert any("theirs" in note for note in failure.__notes__)


async def test_a_failure_that_is_not_escalated_stays_in_its_actor() -> None:
    """L11, L12: the block is left normally, a cancellation inside stays a cancellation."""
    async with opened() as system:
        with trio.CancelScope() as scope:
            scope.cancel()
            system.spawn(counter()).tell(Fail(Boom()))
            await trio.lowlevel.checkpoint()
        assert scope.cancelled_caught


async def test_what_an_old_incarnation_left_concerns_nobody() -> None:
    """L13, L8: two background tasks that fail at once are one restart."""

    async def fail_at(event: trio.Event) -> None:
        await event.wait()
        raise Boom

    gate = trio.Event()
    async with opened() as system:
        restarts = heard(system, ActorRestarted)
        failures = heard(system, ActorFailed)
        ref = system.spawn(supervised([]))
        ref.tell(lambda ctx: [ctx.start_soon(fail_at, gate) for _ in range(3)] and None)
        await wait_all_tasks_blocked()
        gate.set()
        await wait_all_tasks_blocked()
        assert len(restarts) == 1
        assert len(failures) == 3  # none is lost


# --- Order within the mailbox -----------------------------------------------------------------------------------------


async def test_a_childs_escalated_failure_comes_before_mail() -> None:
    """L7: it overtakes what waits, also in a mailbox that is full."""
    story: Story = []
    leaf = Behaviors.supervise(obedient([]), always(Directive.escalate))

    def begin(ctx: Ctx) -> None:
        story.append("begin")
        ctx.spawn(leaf, "leaf")

    async with opened() as system:
        ref = system.spawn(supervised(story, None, begin), "top", mailbox=Mailbox(3, overflow="drop_new"))
        await wait_all_tasks_blocked()
        system.lookup("/top/leaf").tell(Boom())  # type: ignore[union-attr] # it lives
        gate, begun = trio.Event(), trio.Event()

        async def hold() -> None:
            begun.set()
            await gate.wait()

        ref.tell(lambda ctx: _wait(hold))
        await begun.wait()
        for number in range(5):
            ref.tell(number)
        await wait_all_tasks_blocked()
        gate.set()
        await wait_all_tasks_blocked()
        assert story == ["begin", "begin", 0, 1, 2]


async def _wait(hold: Any) -> None:
    await hold()


async def test_more_restarts_than_a_batch() -> None:
    """L1, L8: order holds through any number of restarts."""
    story: Story = []
    async with opened(settings=ActorSettings(batch=4)) as system:
        ref = system.spawn(supervised(story, OneForOneStrategy(max_restarts=1_000)))
        for number in range(200):
            ref.tell(number)
            ref.tell(Boom())
        await wait_all_tasks_blocked()
        assert story == list(range(200))
