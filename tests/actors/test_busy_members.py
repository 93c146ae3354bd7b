"""What a group does about members that are busy when it restarts (L8)."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from casty_trio import (
    ActorFailedError,
    ActorRestarted,
    AllForOneStrategy,
    Behavior,
    Behaviors,
    RestForOneStrategy,
    SupervisionStrategy,
)
from tests.actors.helpers import Ctx, Get, recorder
from tests.actors.lives import Boom, Story, heard, opened, parent, supervised


class Sleeper:
    """Sleeps as many seconds as its message says, and writes down when it began and ended what."""

    def __init__(self, strategy: SupervisionStrategy) -> None:
        self.story: Story = []
        self.behavior: Behavior[Any] = Behaviors.supervise(Behaviors.setup(self._begin), strategy)

    def _begin(self, ctx: Ctx) -> Behavior[Any]:
        self.story.append(("begins", trio.current_time()))
        return Behaviors.receive(self._receive)

    async def _receive(self, ctx: Ctx, message: Any) -> None:
        seconds: Any = message.tag if isinstance(message, Get) else message
        await trio.sleep(seconds)
        self.story.append(("slept", trio.current_time()))


@pytest.mark.parametrize("kind", [AllForOneStrategy, RestForOneStrategy])
@pytest.mark.parametrize(("takes", "then"), [(3, [("slept", 3), ("begins", 3)]), (1_000, [("begins", 5)])])
async def test_a_busy_member_restarts_within_its_grace(
    kind: type[SupervisionStrategy], takes: float, then: Story, autojump_clock: MockClock
) -> None:
    """L8: it ends its message first, and is cancelled where it does not; its mail is handled afterwards."""
    strategy = kind()
    async with opened() as system:
        restarts = heard(system, ActorRestarted)
        sleeper = Sleeper(strategy)
        top = system.spawn(parent({"a": supervised([], strategy), "b": sleeper.behavior}))
        top.tell(("b", takes))
        await wait_all_tasks_blocked()
        top.tell(("a", Boom()))
        top.tell(("b", 1))
        await trio.sleep(100)
        assert sleeper.story == [("begins", 0), *then, ("slept", then[-1][1] + 1)]
        assert len(restarts) == 2


async def test_an_ask_on_the_message_that_is_cancelled_fails(autojump_clock: MockClock) -> None:
    """L5, L8: at that moment, with the failure of the sibling as the cause."""
    strategy, boom = AllForOneStrategy(), Boom()
    async with opened() as system:
        top = system.spawn(parent({"a": supervised([], strategy), "b": Sleeper(strategy).behavior}), "top")
        await wait_all_tasks_blocked()
        ref: Any = system.lookup("/top/b")

        async def fail() -> None:
            await trio.sleep(1)
            top.tell(("a", boom))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)
            with pytest.raises(ActorFailedError, match="its group restarts") as caught:
                await system.ask(ref, lambda reply_to: Get(reply_to, 1_000), timeout=60)
        assert trio.current_time() == 6
        assert caught.value.__cause__ is boom


async def test_a_member_that_takes_long_to_begin_is_cancelled_too(autojump_clock: MockClock) -> None:
    """L8: a setup is like a message."""
    strategy = AllForOneStrategy()
    begins = list[float]()

    async def begin(ctx: Ctx) -> Behavior[Any]:
        begins.append(trio.current_time())
        await trio.sleep(1_000 if len(begins) == 1 else 1)
        return recorder([])

    async with opened() as system:
        slow = Behaviors.supervise(Behaviors.setup(begin), strategy)
        top = system.spawn(parent({"a": supervised([], strategy), "b": slow}))
        await wait_all_tasks_blocked()
        top.tell(("a", Boom()))
        await trio.sleep(100)
        assert begins == [0, 5]


async def test_a_stop_comes_before_the_restart_that_waits(autojump_clock: MockClock) -> None:
    """L7, L8: one that is told to stop meanwhile stops, and does not begin again."""
    strategy = AllForOneStrategy()
    async with opened() as system:
        sleeper = Sleeper(strategy)
        top = system.spawn(parent({"a": supervised([], strategy), "b": sleeper.behavior}), "top")
        top.tell(("b", 1_000))
        await wait_all_tasks_blocked()
        top.tell(("a", Boom()))
        await trio.sleep(1)
        await system.stop(top)
        assert trio.current_time() == 6
        assert sleeper.story == [("begins", 0)]
