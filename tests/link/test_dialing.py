"""Connecting and shaking hands, as nodes and clients do it: one deadline for all of it."""

import math

import pytest
import trio
from anyio.abc import ByteStream
from trio.testing import MockClock

from casty_trio import HandshakeError, HandshakeTimeoutError
from casty_trio.env import RealEnv
from casty_trio.link import dial, open_link
from tests.link.streams import pipes
from tests.protocol.sessions import LIMITS, acceptor, dialer


class Slow(RealEnv):
    """Connects to one end of a pipe, after a while."""

    def __init__(self, stream: ByteStream, seconds: float = 0.0) -> None:
        super().__init__()
        self.stream = stream
        self.seconds = seconds

    async def connect(self, host: str, port: int) -> ByteStream:
        await trio.sleep(self.seconds)
        return self.stream


async def test_both_are_ready(autojump_clock: MockClock) -> None:
    here, there = pipes()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(open_link, there, acceptor())
        link = await dial(Slow(here, 4.0), "node-2", 25520, dialer())
    assert link.peer_name == acceptor().identity.node_id


@pytest.mark.parametrize("seconds", [0.0, 3.0, math.inf])
async def test_one_deadline_for_all(seconds: float, autojump_clock: MockClock) -> None:
    """W3: the time that connecting took is not given to the handshake again."""
    here, _ = pipes()
    began = trio.current_time()
    with pytest.raises(HandshakeTimeoutError, match="node-2:25520 did not answer within 5 s"):
        await dial(Slow(here, seconds), "node-2", 25520, dialer())
    assert trio.current_time() - began == pytest.approx(LIMITS.handshake_timeout)
    assert here.closed == (seconds < LIMITS.handshake_timeout)


async def test_why_is_not_lost_at_the_deadline(autojump_clock: MockClock) -> None:
    """W3: a peer that we refuse just before is refused by name, though it does not take our last word in time."""
    here, there = pipes()

    async def babble() -> None:
        await trio.sleep(4.9)
        here.hold()
        await there.send(b"\0\0\0\x01\x63")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(babble)
        with pytest.raises(HandshakeError) as caught:
            await dial(Slow(here, 3.0), "node-2", 25520, dialer())
    assert caught.value.code == "protocol"
    assert trio.current_time() == pytest.approx(LIMITS.handshake_timeout)
