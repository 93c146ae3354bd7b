"""Timers belong to their actor and end with it (L13), and their messages are counted like any other (L4)."""

import gc
import math
import weakref
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from casty_trio import Behavior, Behaviors, Mailbox, OneForOneStrategy, SettingsError
from tests.actors.helpers import Ctx, counter
from tests.actors.lives import Boom, Story, obedient, opened, supervised


class Timed(list[Any]):
    """A story that says when."""

    def append(self, entry: Any) -> None:
        super().append((trio.current_time(), entry))


@pytest.mark.parametrize("waits", [False, True])
async def test_once_and_periodic(waits: bool, autojump_clock: MockClock) -> None:
    """L13: exactly when they are due, as messages in the actor's own turn; a handled `once` is over."""
    story = Timed()
    async with opened() as system:
        ref: Any = system.spawn(obedient(story, waits=waits))
        ref.tell(lambda ctx: ctx.timers.once("once", 2.5, "once"))
        ref.tell(lambda ctx: ctx.timers.periodic("tick", 1.0, "tick"))
        await trio.sleep(2.6)
        assert story == [(1, "tick"), (2, "tick"), (2.5, "once")]
        timers = ref.cell.extras.timers
        assert (timers.is_active("once"), timers.is_active("tick"), len(timers)) == (False, True, 1)
        now = system.statistics()
        assert (now.sent, now.handled, now.queued) == (5, 5, 0)


async def test_a_timer_that_is_over_holds_on_to_nothing(autojump_clock: MockClock) -> None:
    """L13: it may stand in the heap of deadlines until it would have been due; its message and its actor do not."""

    class Held:
        pass

    kept: list[weakref.ref[Any]] = []

    def begin(ctx: Ctx) -> Behavior[Any]:
        message = Held()
        ctx.timers.once("once", 1e6, message)
        ctx.timers.periodic("tick", 1e6, message)
        ctx.timers.once("cancelled", 1e6, message)
        ctx.timers.cancel("cancelled")
        kept.extend([weakref.ref(message), weakref.ref(ctx.self)])
        return Behaviors.stopped()

    async with opened() as system:
        await system.wait_stopped(system.spawn(Behaviors.setup(begin)))
        await wait_all_tasks_blocked()
        gc.collect()
        assert [each() for each in kept] == [None, None]


async def test_a_name_is_one_timer(autojump_clock: MockClock) -> None:
    """L13: a new one takes the place of the old, whatever kind; cancel says whether there was one."""
    story = Timed()
    answers: list[bool] = []
    async with opened() as system:
        ref = system.spawn(obedient(story))
        ref.tell(lambda ctx: ctx.timers.once("t", 1, "old"))
        ref.tell(lambda ctx: ctx.timers.periodic("t", 2, "newer"))
        ref.tell(lambda ctx: ctx.timers.once("t", 3, "newest"))
        await trio.sleep(10)
        assert story == [(3, "newest")]
        ref.tell(lambda ctx: ctx.timers.once("t", 1, "x"))
        ref.tell(lambda ctx: answers.extend([ctx.timers.cancel("t"), ctx.timers.cancel("t"), ctx.timers.is_active("t")]))
        await trio.sleep(10)
        assert (answers, len(story)) == ([True, False, False], 1)


async def test_two_actors_timers_never_meet(autojump_clock: MockClock) -> None:
    """L13: one name, two actors, two timers."""
    stories: list[Story] = [[], []]
    async with opened() as system:
        refs = [system.spawn(obedient(story)) for story in stories]
        for ref in refs:
            ref.tell(lambda ctx: ctx.timers.once("same", 1, ctx.self.path))
        await wait_all_tasks_blocked()
        refs[0].tell(lambda ctx: ctx.timers.cancel("same") and None)
        await trio.sleep(2)
    assert stories == [[], [refs[1].path]]


@pytest.mark.parametrize("periodic", [False, True])
async def test_a_cancelled_timer_is_not_handled_even_if_it_waits(periodic: bool, autojump_clock: MockClock) -> None:
    """L13: what stands in the mailbox is void, replaced timers' as well."""
    story: Story = []

    async def late(ctx: Ctx) -> None:
        if periodic:
            ctx.timers.periodic("cancelled", 1, "cancelled")
            ctx.timers.periodic("replaced", 1, "replaced")
        else:
            ctx.timers.once("cancelled", 1, "cancelled")
            ctx.timers.once("replaced", 1, "replaced")
        await trio.sleep(1.5)
        ctx.timers.cancel("cancelled")
        ctx.timers.once("replaced", 1, "new")

    async with opened() as system:
        system.spawn(obedient(story)).tell(late)
        await trio.sleep(10)
        assert story == ["new"]


async def test_ticks_do_not_pile_up(autojump_clock: MockClock) -> None:
    """L13: one waits at most; the rhythm is kept, what was missed is not made up for."""
    story = Timed()

    async def busy(ctx: Ctx) -> None:
        await trio.sleep(4.5)

    async with opened() as system:
        ref = system.spawn(obedient(story))
        ref.tell(lambda ctx: ctx.timers.periodic("tick", 1, "tick"))
        ref.tell(busy)
        await trio.sleep(6.5)
        assert story == [(4.5, "tick"), (5, "tick"), (6, "tick")]


async def test_a_stalled_process_does_not_make_up_for_ticks(mock_clock: MockClock) -> None:
    """L13: when the clock has jumped over many, one comes at once, and the rhythm goes on from there."""
    story = Timed()
    async with opened() as system:
        ref = system.spawn(obedient(story))
        ref.tell(lambda ctx: ctx.timers.periodic("tick", 1, "tick"))
        for seconds in (0, 1, 100.5, 0.5, 1):
            mock_clock.jump(seconds)
            await wait_all_tasks_blocked()
        assert story == [(1, "tick"), (101.5, "tick"), (102, "tick"), (103, "tick")]


@pytest.mark.parametrize("mailbox", [Mailbox(1, "drop_new"), Mailbox(1, "drop_oldest"), Mailbox(1, "reject")])
async def test_a_full_mailbox_holds_back_no_timer(mailbox: Mailbox, autojump_clock: MockClock) -> None:
    """L13, L7: they take no room, and no sender is told there was none."""
    story: Story = []

    async def busy(ctx: Ctx) -> None:
        ctx.timers.once("first", 0, "first")
        ctx.timers.once("second", 1, "second")
        await trio.sleep(2)

    async with opened() as system:
        ref = system.spawn(obedient(story), mailbox=mailbox)
        ref.tell(busy)
        await trio.sleep(0.5)
        ref.tell("mail")
        await trio.sleep(10)
        assert sorted(story) == ["first", "mail", "second"]
        assert system.statistics().dead == 0


@pytest.mark.parametrize("how", ["restart", "failure", "own stop", "stop", "leave"])
async def test_timers_end_with_the_actor_and_its_restart(how: str, autojump_clock: MockClock) -> None:
    """L13: those that wait in the mailbox as well; they are no dead letters either."""
    story: Story = []

    async def start(ctx: Ctx) -> Any:
        ctx.timers.periodic("periodic", 1, "old")
        ctx.timers.once("once", 1, "old")
        ctx.timers.once("far", 4, "old")
        await trio.sleep(2)  # two of them wait in the mailbox now
        if how in ("restart", "failure"):
            raise Boom
        return Behaviors.stopped() if how == "own stop" else None

    async with opened() as system:
        ref = system.spawn(supervised(story, OneForOneStrategy(max_restarts=1 if how == "restart" else 0)))
        ref.tell(start)
        await trio.sleep(1.5)
        if how == "stop":
            await system.stop(ref)
        if how != "leave":
            await trio.sleep(10)
            assert (system.lookup(ref.path) is not None) == (how == "restart")
    assert story == []
    assert (system.statistics().sent, system.statistics().dead) == (1, 0)


async def test_a_stop_that_meets_a_timer_counts_nothing(autojump_clock: MockClock) -> None:
    """L4: a timer's turn in which the stop is obeyed makes no dead letter of it, nor room in the mailbox."""

    async def busy(ctx: Ctx) -> None:
        ctx.timers.once("t", 1, "never")
        await trio.sleep(2)

    for mailbox in (None, Mailbox(3)):
        async with opened() as system:
            ref = system.spawn(obedient([]), mailbox=mailbox)
            ref.tell(busy)
            await trio.sleep(1.5)
            await system.stop(ref)
            now = system.statistics()
            assert (now.sent, now.handled, now.dead, now.dead_letters) == (1, 1, 0, 0)


async def test_a_timer_of_an_actor_that_has_ended_harms_nobody(autojump_clock: MockClock) -> None:
    """L13, L3: started in post_stop, or through a context that somebody kept."""
    kept: list[Ctx] = []

    def post_stop(ctx: Ctx) -> None:
        kept.append(ctx)
        ctx.timers.once("late", 1, "late")
        ctx.timers.periodic("later", 1, "later")

    async with opened() as system:
        await system.stop(system.spawn(Behaviors.with_lifecycle(counter(), post_stop=post_stop)))
        kept[0].timers.once("very late", 1, "late")
        kept[0].timers.periodic("very late too", 1, "late")
        await trio.sleep(5)
        assert system.statistics().sent == 0


@pytest.mark.parametrize("value", [-1.0, math.nan])
async def test_times_that_are_none_are_refused(value: float) -> None:
    """L13: at the call; 0 is no interval either."""
    async with opened() as system:
        for call in (
            lambda ctx: ctx.timers.once("t", value, "x"),
            lambda ctx: ctx.timers.periodic("t", value, "x"),
            lambda ctx: ctx.timers.periodic("t", 0, "x"),
        ):

            def receive(ctx: Ctx, message: Any, call: Any = call) -> Behavior[Any]:
                with pytest.raises(SettingsError):
                    call(ctx)
                return Behaviors.stopped()

            ref = system.spawn(Behaviors.receive(receive))
            ref.tell("go")
            await system.wait_stopped(ref)


async def test_many_timers_leave_no_growth(autojump_clock: MockClock) -> None:
    """L13, L3: ten thousand that are replaced leave no heap of dead ones behind."""
    async with opened() as system:
        ref = system.spawn(obedient([]))
        for _ in range(10_000):
            ref.tell(lambda ctx: ctx.timers.once("t", 1_000, "x"))
        await wait_all_tasks_blocked()
        assert len(system.deadlines._heap) < 200
