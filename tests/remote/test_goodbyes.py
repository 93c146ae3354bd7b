"""A peer that breaks the protocol over a real socket is told why, and the node's log says who it was, once."""

from __future__ import annotations

import logging

import pytest
import trio

from casty_trio import ClusterClient, ClusteredActorSystem, LinkSettings
from casty_trio.protocol.frames import Kind
from casty_trio.protocol.handshake import Identity
from casty_trio.protocol.session import HANDSHAKING, Session, State
from tests.sim.shop import NAME, GetAll, carts_of, open_shop, to

HOSTILE = "evil\n\x1b[31mINFO all is well " + 150 * "x"
"""A name that would write lines of its own into a log."""


async def shaken(stream: trio.SocketStream) -> Session:
    """The session of a client that has shaken hands over a bare socket."""
    session = Session(Identity(NAME, "client", HOSTILE, 77), dialer=True, nonce=bytes(32), limits=LinkSettings())
    await stream.send_all(session.start())
    while session.state in HANDSHAKING:
        session.receive_data(await stream.receive_some())
        await stream.send_all(session.data_to_send())
    return session


async def read_to_the_end(stream: trio.SocketStream, session: Session) -> None:
    """Take what comes until the node closes; a reset would raise."""
    while data := await stream.receive_some():
        session.receive_data(data)


async def test_the_peer_is_told_though_it_has_more_to_say(caplog: pytest.LogCaptureFixture) -> None:
    """W2: the goodbye arrives behind a malformed body with a mebibyte of mail after it, and nobody else is hurt."""
    async with ClusteredActorSystem(NAME, "127.0.0.1", 0, "node-1") as node:
        open_shop(node)
        port = node.address.port or 0
        async with ClusterClient([("127.0.0.1", port)], NAME) as client:
            await client.ask(carts_of(client), to("a", GetAll))
            with trio.fail_after(30), caplog.at_level(logging.DEBUG, logger="casty_trio"):
                stream = await trio.open_tcp_stream("127.0.0.1", port)
                async with stream, trio.open_nursery() as nursery:
                    session = await shaken(stream)
                    [bad] = session.frame(Kind.ENTITY, b"\x91")
                    nursery.start_soon(stream.send_all, bad + b"".join(session.frame(Kind.ENTITY, bytes(2**20))))
                    await read_to_the_end(stream, session)
            assert await client.ask(carts_of(client), to("a", GetAll)) == ()
            assert client.statistics().connections == 1
    assert session.state is State.CLOSED
    assert session.reason.startswith("goodbye: protocol error: ")
    assert node.protocol_errors == 1
    [line] = [record.getMessage() for record in caplog.records if "evil" in record.getMessage()]
    assert "protocol error" in line
    assert line.isprintable()
    assert line.count("x") < 100
