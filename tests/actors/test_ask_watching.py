"""An ask with ``watch=True`` ends with its target (L5)."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from casty_trio import ActorStoppedError, AskTimeoutError, UsageError
from tests.actors.helpers import Get, counter, silent
from tests.actors.lives import opened


async def test_an_ask_that_watches_ends_with_its_target(autojump_clock: MockClock) -> None:
    """L5: it has handled the message, has not replied, and stops."""
    async with opened() as system:
        for failure in (False, True):
            ref: Any = system.spawn(counter())
            silent_one = system.spawn(silent())
            async with trio.open_nursery() as nursery:

                async def ask(silent_one: Any = silent_one) -> None:
                    with pytest.raises(ActorStoppedError):
                        await system.ask(silent_one, Get, timeout=100, watch=True)

                nursery.start_soon(ask)
                await wait_all_tasks_blocked()
                await system.stop(silent_one)
            assert trio.current_time() == 0
            total: int = await system.ask(ref, Get, watch=True)
            assert total == 0
            assert not ref.cell.extras.watchers
            del failure


async def test_an_ask_that_does_not_watch_waits_for_its_timeout(autojump_clock: MockClock) -> None:
    """L5: nobody can tell "not yet" from "never"; None of `ask_or_none` is for the timeout alone."""
    async with opened() as system:
        ref = system.spawn(silent())
        with pytest.raises(AskTimeoutError):
            await system.ask(ref, Get, timeout=3, watch=True)
        assert trio.current_time() == 3
        assert await system.ask_or_none(ref, Get, timeout=2) is None
        assert trio.current_time() == 5
        await system.stop(ref)
        with pytest.raises(ActorStoppedError):
            await system.ask_or_none(ref, Get)
        answer: int | None = await system.ask_or_none(system.spawn(counter(4)), Get)
        assert answer == 4


async def test_what_cannot_be_watched_is_not_asked() -> None:
    """L5: the error comes before the message is sent."""
    async with opened() as system:
        with pytest.raises(UsageError):
            await system.ask(system.dead_letters, Get, watch=True)
        now = system.statistics()
        assert (now.dead_letters, now.asks) == (0, 0)
