"""A failure that was escalated is never lost, whatever its ancestors are at (L11)."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from casty_trio import (
    ActorFailed,
    ActorRestarted,
    ActorStopped,
    ActorSystem,
    Behavior,
    Behaviors,
    Directive,
    OneForOneStrategy,
    SupervisionStrategy,
)
from tests.actors.helpers import Ctx
from tests.actors.lives import Boom, heard, obedient, opened


def always(directive: Directive) -> SupervisionStrategy:
    """Decides the same about everything."""
    return OneForOneStrategy(decider=lambda failure: directive)


def escalating() -> Behavior[Any]:
    """A child whose failures are its parent's."""
    return Behaviors.supervise(obedient([]), always(Directive.escalate))


class Family:
    """A parent that ends its turn as it is told, when its child has failed in the meantime."""

    def __init__(self, strategy: SupervisionStrategy, end: Any) -> None:
        self.begun, self.gate = trio.Event(), trio.Event()
        self._end = end
        self.behavior = Behaviors.supervise(Behaviors.setup(self._begin), strategy)

    def _begin(self, ctx: Ctx) -> Behavior[Any]:
        ctx.spawn(escalating(), "child")
        return Behaviors.receive(self._receive)

    async def _receive(self, ctx: Ctx, message: Any) -> Any:
        self.begun.set()
        await self.gate.wait()
        if isinstance(self._end, Exception):
            raise self._end
        return self._end

    async def fail(self, system: ActorSystem, failure: Exception) -> None:
        """Have the child fail while its parent is at a message, and then end that."""
        system.lookup("/parent").tell("a message")  # type: ignore[union-attr] # it lives
        await self.begun.wait()
        system.lookup("/parent/child").tell(failure)  # type: ignore[union-attr] # it lives
        await wait_all_tasks_blocked()
        self.gate.set()


OWN = KeyError("its own")

ends = pytest.mark.parametrize("end", [Behaviors.stopped(), OWN], ids=["stopped", "failed"])


@ends
@pytest.mark.parametrize("directive", [Directive.stop, Directive.resume, Directive.restart])
async def test_a_parent_that_ends_first_reports_it(end: Any, directive: Directive) -> None:
    """L11: where its strategy would have kept the failure, it is told as the parent's own, and goes no further."""
    strategy = OneForOneStrategy(decider=lambda failure: Directive.stop if failure is OWN else directive)
    async with opened() as system:
        failures = heard(system, ActorFailed)
        family = Family(strategy, end)
        parent = system.spawn(family.behavior, "parent")
        await wait_all_tasks_blocked()
        await family.fail(system, boom := Boom())
        await system.wait_stopped(parent)
        await wait_all_tasks_blocked()
        assert ActorFailed(parent, boom) in failures


@ends
async def test_a_parent_that_ends_first_and_would_escalate_passes_it_on(end: Any) -> None:
    """L11: it leaves the block, as it would have a moment later."""
    strategy = OneForOneStrategy(decider=lambda failure: Directive.stop if failure is OWN else Directive.escalate)
    boom = Boom()
    with pytest.raises(Boom) as caught:  # noqa: PT012 - what leaves the block
        async with ActorSystem() as system:
            failures = heard(system, ActorFailed)
            family = Family(strategy, end)
            system.spawn(family.behavior, "parent")
            await wait_all_tasks_blocked()
            await family.fail(system, boom)
            await trio.sleep_forever()
    assert caught.value is boom
    assert boom.__notes__ == ["escalated by /parent/child", "escalated by /parent"]
    assert [event.ref.path for event in failures if event.failure is boom] == ["/parent/child", "/parent"]


async def test_a_parent_that_is_told_to_stop_reports_it(autojump_clock: MockClock) -> None:
    """L11: nobody decides about what ends anyway, but everybody can see it."""
    async with opened() as system:
        failures, stops = heard(system, ActorFailed), heard(system, ActorStopped)
        family = Family(always(Directive.escalate), None)
        parent = system.spawn(family.behavior, "parent")
        await wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            system.lookup("/parent").tell("a message")  # type: ignore[union-attr] # it lives
            await family.begun.wait()
            nursery.start_soon(system.stop, parent)
            await wait_all_tasks_blocked()
            system.lookup("/parent/child").tell(boom := Boom())  # type: ignore[union-attr] # it lives
            await wait_all_tasks_blocked()
            family.gate.set()
        await wait_all_tasks_blocked()
        assert [event.ref.path for event in failures if event.failure is boom] == ["/parent/child", "/parent"]
        assert stops[-1].ref == parent


async def test_a_parent_that_restarts_reports_it() -> None:
    """L11: its new incarnation has a new child, and the failure of the old one restarts nobody a second time."""
    async with opened() as system:
        failures, restarts = heard(system, ActorFailed), heard(system, ActorRestarted)
        family = Family(OneForOneStrategy(), OWN)
        parent = system.spawn(family.behavior, "parent")
        await wait_all_tasks_blocked()
        await family.fail(system, boom := Boom())
        await wait_all_tasks_blocked()
        assert restarts == [ActorRestarted(parent, OWN)]
        assert ActorFailed(parent, boom) in failures
