"""Who holds the event loop up is told by name, by a thread that is gone with its system (L3, L14)."""

from __future__ import annotations

import gc
import logging
import math
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
import trio

from casty_trio import (
    ActorSettings,
    ActorSystem,
    Behavior,
    Behaviors,
    ClusteredActorSystem,
    LoopBlocked,
    Settings,
)
from casty_trio.actors.watchdog import Watchdog, who_runs
from casty_trio.env import RealEnv
from casty_trio.remote import RemoteNode
from casty_trio.testing import Simulation, simulate
from tests.actors.helpers import Ctx, silent
from tests.actors.lives import heard

QUICK = ActorSettings(blocked_after=0.2)


def watchers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "watchdog" in thread.name]


def hold_up(seconds: float) -> None:
    time.sleep(seconds)


def plain() -> Behavior[Any]:
    return Behaviors.receive(lambda ctx, message: hold_up(message))


def coroutine() -> Behavior[Any]:
    async def receive(ctx: Ctx, message: float) -> None:
        await trio.lowlevel.checkpoint()
        hold_up(message)

    return Behaviors.receive(receive)


def nursery() -> Behavior[Any]:
    async def work(seconds: float) -> None:
        hold_up(seconds)

    async def receive(ctx: Ctx, message: float) -> None:
        async with trio.open_nursery() as inner:
            inner.start_soon(work, message)

    return Behaviors.receive(receive)


def background() -> Behavior[Any]:
    async def work(seconds: float) -> None:
        hold_up(seconds)

    return Behaviors.receive(lambda ctx, message: ctx.start_soon(work, message))


def beginning() -> Behavior[Any]:
    def begin(ctx: Ctx) -> Behavior[Any]:
        hold_up(0.8)
        return silent()

    return Behaviors.setup(begin)


@pytest.mark.slow
@pytest.mark.parametrize("behavior", [plain, coroutine, nursery, background, beginning])
async def test_a_blocking_actor_is_told_by_name(
    behavior: Callable[[], Behavior[Any]], caplog: pytest.LogCaptureFixture
) -> None:
    """L14: once, with the line, in its handler as in what it has started; the log says so while it lasts."""
    async with ActorSystem("shop", settings=QUICK) as system, system.events(LoopBlocked) as events:
        system.spawn(Behaviors.setup(lambda ctx: parent_of(ctx, behavior())), "team").tell(0.8)
        with trio.fail_after(30):
            event = await anext(events)
        ended = time.time()
        with trio.move_on_after(0.3):
            pytest.fail(f"it was told again: {await anext(events)}")
    assert isinstance(event, LoopBlocked)
    assert event.path == "/team/slow"
    assert event.where.startswith(f"{__file__}:")
    assert event.where.endswith(" in hold_up")
    assert 0.2 <= event.seconds < 5
    [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "shop: the event loop has had no turn for 0." in record.getMessage()
    assert f"/team/slow is in {event.where}" in record.getMessage()
    assert record.created < ended - 0.1


def parent_of(ctx: Ctx, behavior: Behavior[Any]) -> Behavior[Any]:
    child = ctx.spawn(behavior, "slow")
    return Behaviors.receive(lambda ctx, message: child.tell(message))


@pytest.mark.slow
async def test_who_blocks_and_is_no_actor(caplog: pytest.LogCaptureFixture) -> None:
    """L14: no actor is accused: not of what the body does, nor of what several did in turn."""
    async with ActorSystem(settings=QUICK) as system, system.events(LoopBlocked) as events:
        hold_up(0.8)
        event = await anext(events)
        assert isinstance(event, LoopBlocked)
        assert (event.path, event.where.endswith(" in hold_up")) == ("", True)
        for number in range(40):
            system.spawn(plain(), f"a-{number}").tell(0.02)
        event = await anext(events)
        assert isinstance(event, LoopBlocked)
        assert event.path == ""
    assert "something that is no single actor is in" in caplog.text


@pytest.mark.slow
async def test_a_loop_that_waits_is_not_blocked() -> None:
    """L14: neither when nothing is to do, nor when much is."""
    async with ActorSystem(settings=ActorSettings(blocked_after=0.5)) as system:
        events = heard(system, LoopBlocked)
        await trio.sleep(0.9)
        until = time.monotonic() + 0.9
        while time.monotonic() < until:
            await trio.lowlevel.checkpoint()
    assert events == []


async def test_nodes_are_watched_and_local_systems_are_not() -> None:
    """L3, L14: unless the settings say otherwise; and no thread is left."""
    async with ActorSystem():
        assert watchers() == []
    off = Settings(actors=ActorSettings(blocked_after=math.inf))
    async with RemoteNode("shop", "127.0.0.1", 0, "one", settings=off):
        assert watchers() == []
    async with ClusteredActorSystem("shop", "127.0.0.1", 0, "one"), ActorSystem("own", settings=QUICK):
        assert sorted(watchers()) == ["own (watchdog)", "shop (watchdog)"]
        assert all(thread.daemon for thread in threading.enumerate() if "watchdog" in thread.name)
    assert watchers() == []


@pytest.mark.parametrize("way", ["raise", "cancel"])
async def test_no_thread_is_left_whichever_way_the_block_is(way: str) -> None:
    """L3, L12."""
    boom = KeyError("boom")
    with trio.CancelScope() as scope:
        try:
            async with ActorSystem(settings=QUICK):
                if way == "raise":
                    raise boom
                scope.cancel()
                await trio.sleep_forever()
        except KeyError as error:
            assert error is boom  # noqa: PT017 - the block must not end the test
    assert watchers() == []
    gc.collect()


def test_no_thread_in_a_simulation() -> None:
    """The setting is no harm there."""

    async def scenario(sim: Simulation) -> None:
        async with ActorSystem(settings=QUICK, env=sim.env("host")):
            assert watchers() == []

    simulate(scenario, 1)


async def test_a_thread_whose_loop_is_gone_ends() -> None:
    """L3: a loop that was torn down without leaving its blocks has no thread left that asks it."""
    looks: list[Callable[[Callable[[], FrameType | None]], bool]] = []

    class Caught(RealEnv):
        def observe_thread(self, seconds: float, look: Any, name: str) -> None:
            looks.append(look)

    async def main() -> None:
        Watchdog(ActorSystem(env=Caught()), 1.0)

    await trio.to_thread.run_sync(trio.run, main)
    assert looks[0](lambda: None) is False


def test_a_thread_without_a_stack_waits() -> None:
    """What cannot be seen is not accused."""
    assert who_runs(None) is None
