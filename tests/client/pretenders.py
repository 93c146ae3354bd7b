"""Listeners where a node would be, which are none."""

from collections.abc import Awaitable, Callable
from typing import Any

import trio
from anyio.abc import ByteStream

from casty_trio.link import open_link
from casty_trio.model.settings import LinkSettings
from casty_trio.protocol.handshake import Identity
from casty_trio.protocol.session import Session
from casty_trio.testing import Simulation
from tests.sim.shop import PORT


async def serve(
    sim: Simulation, handler: Callable[[ByteStream], Awaitable[object]], program: Callable[[], Awaitable[None]]
) -> None:
    """Run a program beside a listener where a node would be."""
    async with await sim.env("node-1").listen("node-1", PORT) as listener, trio.open_nursery() as nursery:
        nursery.start_soon(listener.serve, handler)
        await program()
        nursery.cancel_scope.cancel()


def pretender(answer: Callable[[Any, int], None]) -> Callable[[ByteStream], Awaitable[None]]:
    """A peer that shakes hands as a node does, and then does what it is told with each frame."""

    async def handler(stream: ByteStream) -> None:
        me = Identity("shop", "node", "pretender", 7)
        link = await open_link(stream, Session(me, dialer=False, nonce=bytes(32), limits=LinkSettings()))
        await link.run(lambda kind, body: answer(link, kind))

    return handler


async def mute(stream: ByteStream) -> None:
    async with stream:
        await trio.sleep_forever()
