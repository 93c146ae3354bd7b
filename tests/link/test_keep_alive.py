"""When a link asks a silent peer for a sign of life, and when it gives it up."""

from __future__ import annotations

import math

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from casty_trio.errors import LinkClosedError
from casty_trio.model.settings import LinkSettings
from casty_trio.protocol.frames import Kind
from tests.link.streams import End, running


def limits(keep_alive: float = 1.0, dead_after: float = 3.0) -> LinkSettings:
    return LinkSettings(keep_alive=keep_alive, dead_after=dead_after)


def pings(end: End) -> int:
    """How many PINGs it has sent."""
    return sum(data.count(bytes([0, 0, 0, 9, Kind.PING])) for data in end.pipe.sends)


async def test_a_silent_peer_is_asked_and_given_up(autojump_clock: MockClock) -> None:
    """W6: asked each ``keep_alive``, given up at ``dead_after``, with a reason."""
    async with running(limits()) as (one, other):
        await trio.sleep(10.5)
        assert not one.done.is_set()
        assert 4 <= pings(one) <= 11
        other.pipe.hold()
        began, asked = trio.current_time(), pings(one)
        await one.done.wait()
        assert 3.0 <= trio.current_time() - began + 1.0 <= 5.0
        assert pings(one) - asked >= 2
        assert isinstance(one.link.error, LinkClosedError)
        assert "nothing came from the peer for 3.0 s" in one.link.reason


async def test_it_is_asked_before_it_is_given_up(autojump_clock: MockClock) -> None:
    """L14: also when both times are the same: an idle peer that answers lives."""
    async with running(limits(2.0, 2.0)) as (one, other):
        await trio.sleep(100)
        assert not one.done.is_set()
        other.pipe.hold()
        began = trio.current_time()
        await one.done.wait()
        assert trio.current_time() - began <= 6


async def test_never(autojump_clock: MockClock) -> None:
    """L14: with ``math.inf`` it is asked for ever."""
    async with running(limits(1.0, math.inf)) as (one, other):
        other.pipe.hold()
        await trio.sleep(1_000)
        assert not one.done.is_set()


@pytest.mark.parametrize("pause", [2.5, 10.0, 3_600.0])
async def test_who_was_paused_judges_nobody(mock_clock: MockClock, pause: float) -> None:
    """W6: a process that wakes late has not read yet what came meanwhile; afterwards it judges again."""
    async with running(limits()) as (one, other):
        other.pipe.hold()
        mock_clock.jump(1.0)
        await wait_all_tasks_blocked()
        assert pings(one) == 1
        mock_clock.jump(pause)
        await wait_all_tasks_blocked()
        assert not one.done.is_set()
        other.pipe.release()
        await wait_all_tasks_blocked()
        for _ in range(10):
            mock_clock.jump(0.5)
            await wait_all_tasks_blocked()
        assert not one.done.is_set()
        other.pipe.hold()
        for _ in range(10):
            mock_clock.jump(0.5)
            await wait_all_tasks_blocked()
        assert one.done.is_set()


async def test_an_abandoned_link_gives_back_what_it_had_not_written(autojump_clock: MockClock) -> None:
    """W5: at once, in order, while its tasks still end."""
    async with running(limits()) as (one, _):
        one.pipe.hold()
        one.link.write(Kind.ACTOR, b"flying")
        await wait_all_tasks_blocked()
        for number in range(3):
            one.link.write(Kind.ACTOR, b"%d" % number)
        one.link.abandon("for a test")
        assert [bytes(body) for _, body in one.link.take_unsent()] == [b"0", b"1", b"2"]
        with pytest.raises(LinkClosedError):
            one.link.write(Kind.ACTOR, b"late")
        assert one.link.unconfirmed == len(b"flying") + 5
        await one.done.wait()
        assert one.link.reason == "for a test"
