"""Connecting to a listener, as nodes and clients do it. Floor F2; it runs on Trio and on asyncio."""

from __future__ import annotations

from typing import Final

import anyio

from casty_trio.env import Env
from casty_trio.errors import HandshakeTimeoutError
from casty_trio.link.link import Link, Secure, open_link
from casty_trio.model.strategies import Backoff
from casty_trio.protocol.session import Session

__all__ = ["RETRY", "dial"]

RETRY: Final = Backoff(0.1, 3.0, jitter=0.5)
"""How long to wait before dialling again; the longer, the more often it was in vain."""


async def dial(env: Env, host: str, port: int, session: Session, secure: Secure | None = None) -> Link:
    """Open a connection and shake hands, all of it within ``handshake_timeout`` seconds of the session's limits.

    Args:
        env: where the connection is opened.
        host: who is dialled.
        port: likewise.
        session: a fresh session for the dialer's side.
        secure: as in `open_link`.

    Raises:
        OSError: nobody listens there, or the name is unknown.
        HandshakeTimeoutError: the deadline has passed; which is an `OSError` too.
        HandshakeError: this side or the other refused; ``code`` names why.
    """
    timeout = session.limits.handshake_timeout
    with anyio.move_on_after(timeout):
        stream = await env.connect(host, port)
        return await open_link(stream, session, secure)
    late = f"{host}:{port} did not answer within {timeout:g} s; {session.state.value}"
    raise session.error or HandshakeTimeoutError(late)
