"""For how long the oldest message has been waiting, as `tree()` tells it: exact where it can be, else in true bounds."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from casty_trio import ActorSettings, ActorSystem, Backoff, Behaviors, Mailbox, OneForOneStrategy
from casty_trio.actors.waiting import MARKS
from tests.actors.helpers import Ctx, Gated, hung, recorder, silent
from tests.actors.lives import Boom, opened, supervised


def line(system: ActorSystem, name: str) -> str:
    """What the tree says about an actor."""
    [found] = [each for each in system.tree().splitlines() if f" {name}  " in each]
    return found.partition(f"{name}  ")[2]


async def rest(ctx: Ctx, message: float) -> None:
    """Takes as many seconds for a message as that says."""
    await trio.sleep(message)


@pytest.mark.parametrize("mailbox", [None, Mailbox(10), Mailbox(10, overflow="drop_oldest"), Mailbox(2)])
async def test_behind_a_handler_that_hangs(mailbox: Mailbox | None, autojump_clock: MockClock) -> None:
    """What came while it hung is known exactly, however late it came; nothing is said when nothing waits."""
    async with opened() as system:
        ref = system.spawn(hung(), "worker", mailbox=mailbox)
        ref.tell("hang")
        await trio.sleep(10)
        assert line(system, "worker") == "busy for 10.0 s, 0 queued"
        ref.tell("first")
        await trio.sleep(5)
        ref.tell("second")
        await trio.sleep(1)
        assert line(system, "worker") == "busy for 16.0 s, 2 queued, the oldest for 6.0 s"
        if mailbox is not None and mailbox.capacity == 2:
            for _ in range(5):
                ref.tell("dropped")
            assert line(system, "worker") == "busy for 16.0 s, 2 queued, the oldest for 6.0 s"
        await system.stop(ref, grace=0)


async def test_what_was_there_before_the_turn(autojump_clock: MockClock) -> None:
    """All of a batch came at once; of those that came during the turn, the first is known."""
    async with opened() as system:
        ref = system.spawn(Behaviors.receive(rest), "worker")
        for _ in range(3):
            ref.tell(2)
        await trio.sleep(1)
        assert line(system, "worker") == "busy for 1.0 s, 2 queued, the oldest for 1.0 s"
        ref.tell(2)
        await trio.sleep(1)
        ref.tell(2)  # at 2 s: not marked, only the one before it is
        await trio.sleep(3.5)  # at 5.5 s, two of the first three are through, and the last runs
        assert line(system, "worker") == "busy for 5.5 s, 2 queued, the oldest for 4.5 s"
        await trio.sleep(2)  # at 7.5 s the one of 1 s runs
        assert line(system, "worker") == "busy for 7.5 s, 1 queued, the oldest for 0.0 to 6.5 s"
        await trio.sleep(10)
        assert line(system, "worker") == "running, 0 queued"
        ref.tell(3)
        await trio.sleep(1)
        ref.tell(0)
        await trio.sleep(1)
        assert line(system, "worker") == "busy for 2.0 s, 1 queued, the oldest for 1.0 s"
        await trio.sleep(5)


async def test_while_it_waits_to_restart_and_stops(autojump_clock: MockClock) -> None:
    """Back-off and the end of children are told as well."""
    async with opened() as system:
        strategy = OneForOneStrategy(backoff=Backoff(100, 100, jitter=0))
        ref = system.spawn(supervised([], strategy), "worker")
        ref.tell(Boom())
        await trio.sleep(10)
        assert line(system, "worker") == "waiting to restart, 0 queued"
        ref.tell("waits")
        await trio.sleep(20)
        ref.tell("waits too")
        await trio.sleep(20)
        assert line(system, "worker") == "waiting to restart, 2 queued, the oldest for 40.0 s"
        top = system.spawn(Behaviors.setup(lambda ctx: recorder([ctx.spawn(hung(), "child").tell("hang")])), "top")
        await wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(system.stop, top)
            await trio.sleep(1)
            top.tell("late")
            await trio.sleep(2)
            assert line(system, "top") == "stopping, 1 queued, the oldest for 2.0 s"


async def test_what_was_put_aside(autojump_clock: MockClock) -> None:
    """It waits since it was put aside, also when it has come back and waits for its turn."""

    async def receive(ctx: Ctx, message: Any) -> Any:
        if message == "open":
            ctx.stash.unstash_all()
            await trio.sleep(5)
            return silent()
        ctx.stash.add(message)
        return None

    async with opened() as system:
        ref = system.spawn(Behaviors.receive(receive), "worker")
        ref.tell("one")
        await trio.sleep(10)
        ref.tell("two")
        await trio.sleep(10)
        assert line(system, "worker") == "running, 2 queued, the oldest for 20.0 s"
        ref.tell("open")
        await trio.sleep(1)
        assert line(system, "worker") == "busy for 1.0 s, 2 queued, the oldest for 0.0 to 21.0 s"
        await trio.sleep(10)
        assert line(system, "worker") == "running, 0 queued"


async def test_a_backlog_of_a_plain_actor(autojump_clock: MockClock) -> None:
    """One that never waits, and is not through with its mail, is seen between its turns."""
    async with opened(settings=ActorSettings(batch=4)) as system:
        ref = system.spawn(silent(), "worker")
        for number in range(30):
            ref.tell(number)
        for _ in range(3):
            autojump_clock.jump(1.0)
            await trio.lowlevel.checkpoint()
        assert "running, " in line(system, "worker")
        assert " queued, the oldest for " in line(system, "worker")
        await wait_all_tasks_blocked()
        assert line(system, "worker") == "running, 0 queued"


async def test_a_long_backlog_keeps_few_marks_and_true_bounds(autojump_clock: MockClock) -> None:
    """The bounds hold at each moment, and what is remembered does not grow with the mail."""
    async with opened(settings=ActorSettings(high_water=4)) as system:
        gated = Gated()
        ref: Any = system.spawn(gated.behavior, "worker")
        sent = list[float]()
        for number in range(1_000):
            sent.append(trio.current_time())
            ref.tell(number)
            autojump_clock.jump(1.0)
            await wait_all_tasks_blocked()
            assert len(ref.cell.marks or ()) <= MARKS + 1
        assert line(system, "worker").endswith("999 queued, the oldest for 999.0 s")
        gated.gate.set()
        while ref.cell.queued:
            await trio.lowlevel.checkpoint()
            if ref.cell.queued:
                least, greatest = system.tree().partition("the oldest for ")[2].partition(" s")[0].partition(" to ")[::2]
                age = trio.current_time() - sent[1_000 - ref.cell.queued]
                assert float(least) <= age <= float(greatest or least)
