"""Exceptions whose own methods raise: they decide nothing, and break nothing (L2, L8, L11, L12)."""

from typing import Any, NoReturn

import pytest
from trio.testing import wait_all_tasks_blocked

from casty_trio import (
    ActorFailed,
    ActorFailedError,
    ActorRestarted,
    ActorStopped,
    ActorStoppedError,
    ActorSystem,
    Behaviors,
    Directive,
    OneForOneStrategy,
)
from tests.actors.helpers import Fail, Get, counter
from tests.actors.lives import heard, obedient, opened, parent, supervised


def refuse(*_: object) -> NoReturn:
    """In the place of any method."""
    raise ValueError("broken")


class BadError(Exception):
    """Nothing can be asked of it."""

    __str__ = __repr__ = __eq__ = __hash__ = __bool__ = __len__ = refuse
    add_note = refuse


def escalating() -> Any:
    """Its failures are its parent's."""
    return Behaviors.supervise(obedient([]), OneForOneStrategy(decider=lambda failure: Directive.escalate))


async def test_supervision_goes_on_with_them() -> None:
    """L2, L8: one that restarts restarts."""
    async with opened() as system:
        failures, restarts = heard(system, ActorFailed), heard(system, ActorRestarted)
        story: list[Any] = []
        ref = system.spawn(supervised(story))
        ref.tell(bad := BadError())
        ref.tell("next")
        await wait_all_tasks_blocked()
        assert story == ["next"]
        assert [event.failure is bad for event in failures + restarts] == [True, True]


async def test_asks_and_mail_that_is_left_hear_of_them() -> None:
    """L5: in as many words as there are."""
    async with opened() as system:
        ref = system.spawn(counter())
        with pytest.raises(ActorFailedError, match="BadError"):
            await system.ask(ref, lambda reply_to: Fail(BadError(), reply_to))
        with pytest.raises(ActorStoppedError):
            await system.ask(ref, Get)


async def test_hooks_that_raise_them() -> None:
    """L8: a last hook's failure is the actor's, unless it had another."""
    bad = BadError()

    def fail(ctx: Any) -> None:
        raise bad

    async with opened() as system:
        stops = heard(system, ActorStopped)
        ref = system.spawn(Behaviors.with_lifecycle(counter(), post_stop=fail))
        await system.stop(ref)
        await wait_all_tasks_blocked()
        assert [event.failure is bad for event in stops] == [True]


async def test_they_leave_the_block_when_escalated() -> None:
    """L11: with the note they would not take; Trio could not carry one without a repr, so it is the cause of one with."""
    bad = BadError()
    with pytest.raises(ActorFailedError, match="BadError") as caught:  # noqa: PT012 - what leaves the block
        async with ActorSystem() as system:
            system.spawn(parent({"child": escalating()}), "top").tell(("child", bad))
            await wait_all_tasks_blocked()
    assert caught.value.__cause__ is bad
    assert bad.__notes__ == ["escalated by /top/child"]


async def test_the_bodys_own_leaves_unchanged() -> None:
    """L12: also when it takes no notes."""

    class NoNotesError(Exception):
        add_note = refuse

    mine = NoNotesError("mine")
    with pytest.raises(NoNotesError) as caught:  # noqa: PT012 - what leaves the block
        async with ActorSystem() as system:
            system.spawn(escalating()).tell(BadError())
            try:
                await wait_all_tasks_blocked()
            finally:
                raise mine
    assert caught.value is mine
    [note] = mine.__notes__
    assert "BadError" in note
