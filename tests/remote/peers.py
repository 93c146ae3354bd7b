"""Peers that do not behave: raw streams to a node, with or without a handshake."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

import trio
from anyio.abc import ByteStream

from casty_trio.link import Link, open_link
from casty_trio.model.settings import LinkSettings
from casty_trio.protocol.handshake import Identity
from casty_trio.protocol.session import Session
from casty_trio.testing import Simulation
from tests.sim.shop import NAME, PORT

UIDS = iter(range(1_000, 1_000_000))


async def dial(sim: Simulation, name: str = "stranger") -> ByteStream:
    """A fresh connection to the node."""
    return await sim.env(name).connect("node-1", PORT)


@asynccontextmanager
async def linked(
    sim: Simulation, name: str = "stranger", *, heard: Callable[[int, memoryview], object] = lambda kind, body: None
) -> AsyncIterator[Link]:
    """A client's link to the node, run in the background."""
    identity = Identity(NAME, "client", name, next(UIDS))
    stream = await dial(sim, name)
    link = await open_link(stream, Session(identity, dialer=True, nonce=bytes(32), limits=LinkSettings()))
    ends = _ends[link] = trio.Event()

    async def run() -> None:
        await link.run(lambda kind, body: (heard(kind, body), None)[1])
        ends.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        yield link
        nursery.cancel_scope.cancel()


_ends: WeakKeyDictionary[Link, trio.Event] = WeakKeyDictionary()
"""For each link of `linked`: set when it has ended."""


async def ended(link: Link) -> str:
    """Wait until the node has ended a link of `linked`; why, as this end sees it."""
    with trio.fail_after(60):
        await _ends[link].wait()
    return link.reason
