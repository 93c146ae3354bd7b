"""A chain of actors far deeper than Python's stack: it starts, is drawn, fails from end to end, and stops (L3, L10, L11)."""

import logging
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from casty_trio import ActorSystem, Behavior, Behaviors, Directive, OneForOneStrategy
from casty_trio.model.blocks import flat
from tests.actors.helpers import Ctx, Ref, census
from tests.actors.lives import Boom, opened

LEVELS = 5_000


class Chain:
    """Actors, each the child of the one before."""

    def __init__(self, *, deciding: bool = False) -> None:
        self.complete = trio.Event()
        self.ended = list[int]()
        self.leaf: Ref
        self._escalate = OneForOneStrategy(decider=lambda failure: Directive.escalate)
        self._deciding = deciding

    def behavior(self, level: int = LEVELS) -> Behavior[Any]:
        """What to spawn; the leaf has level 0, and escalates, and the others too when they are deciding."""

        def begin(ctx: Ctx) -> Behavior[Any]:
            if level:
                ctx.spawn(self.behavior(level - 1), "c")
            else:
                self.leaf = ctx.self
                self.complete.set()
            return Behaviors.receive(fail)

        behavior = Behaviors.with_lifecycle(Behaviors.setup(begin), post_stop=lambda ctx: self.ended.append(level))
        return Behaviors.supervise(behavior, self._escalate) if self._deciding or not level else behavior


def fail(ctx: Ctx, message: Exception) -> None:
    """Raise the message."""
    raise message


def is_whole(chain: Chain) -> bool:
    """Whether all have ended, and each after its child."""
    return chain.ended == list(range(LEVELS + 1))


async def test_it_is_drawn_counted_and_stopped() -> None:
    """L3, L10: a line each, that does not widen without end."""
    async with opened() as system:
        chain = Chain()
        top = system.spawn(chain.behavior(), "top")
        await chain.complete.wait()
        assert system.statistics().actors == LEVELS + 1
        lines = system.tree().splitlines()
        assert len(lines) == LEVELS + 2
        assert lines[-1].startswith(f"({LEVELS + 1} levels down) c  running")
        assert max(map(len, lines)) < 300
        await system.stop(top)
        assert is_whole(chain)


@pytest.mark.parametrize("how", ["raise", "cancel", "shorter"])
async def test_it_ends(how: str) -> None:
    """L3, L10: whatever ends it; a second stop with a shorter grace goes all the way down as well."""
    before = census()
    chain = Chain()
    with trio.CancelScope() as scope:
        try:
            async with ActorSystem() as system:
                top = system.spawn(chain.behavior(), "top")
                await chain.complete.wait()
                if how == "cancel":
                    scope.cancel()
                    await trio.sleep_forever()
                if how == "shorter":
                    async with trio.open_nursery() as nursery:
                        for grace in (5.0, 4.0, 3.0):
                            nursery.start_soon(partial(system.stop, top, grace=grace))
                            await trio.lowlevel.checkpoint()
                if how == "raise":
                    raise Boom
        except Boom:
            assert how == "raise"
    assert scope.cancelled_caught == (how == "cancel")
    assert sorted(chain.ended) == list(range(LEVELS + 1))
    assert census() == before


@pytest.mark.parametrize("deciding", [False, True])
async def test_a_failure_climbs_from_end_to_end(deciding: bool, caplog: pytest.LogCaptureFixture) -> None:
    """L11: level by level, or past all that do not decide; it leaves the block as itself."""
    before = census()
    failure = Boom()
    chain = Chain(deciding=deciding)
    with caplog.at_level(logging.CRITICAL), pytest.raises(Boom) as caught:  # noqa: PT012 - what leaves the block
        async with ActorSystem() as system:
            system.spawn(chain.behavior(), "top")
            await chain.complete.wait()
            chain.leaf.tell(failure)
            await trio.sleep_forever()
    assert caught.value is failure
    assert len(failure.__notes__) == (LEVELS + 1 if deciding else 1)
    assert sorted(chain.ended) == list(range(LEVELS + 1))
    await wait_all_tasks_blocked()
    assert census() == before


async def test_groups_of_groups_are_made_flat() -> None:
    """What is alone stands by itself, one cancellation is enough, and no depth is too much."""
    caught = list[BaseException]()
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as error:
            caught.append(error)
            raise
    [cancelled] = caught
    one, other = Boom(1), KeyError(2)
    deep: BaseException = one
    for _ in range(50_000):
        deep = BaseExceptionGroup("", [deep])
    assert flat(deep, trio.Cancelled) is one
    many = BaseExceptionGroup("", [cancelled, BaseExceptionGroup("", [one, cancelled]), other])
    found = flat(many, trio.Cancelled)
    assert isinstance(found, BaseExceptionGroup)
    assert found.exceptions == (one, other, cancelled)
    while isinstance(deep, BaseExceptionGroup):  # Python would take it apart by recursion
        deep = deep.exceptions[0]
