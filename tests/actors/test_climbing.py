"""Escalation climbs to who decides, and what comes first in the mailbox meanwhile (L7, L11)."""

from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from casty_trio import (
    ActorFailed,
    ActorRestarted,
    ActorSettings,
    ActorSystem,
    Behavior,
    Behaviors,
    Directive,
    Mailbox,
    OneForOneStrategy,
    SupervisionStrategy,
)
from tests.actors.helpers import Ctx, Fail, census, counter, recorder
from tests.actors.lives import Boom, Story, always, heard, obedient, opened, supervised

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
