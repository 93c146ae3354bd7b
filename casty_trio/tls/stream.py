"""TLS over any byte stream, on any library. Floor F2.

Not `trio.SSLStream` and not anyio's `TLSStream`, for two reasons. When a handshake fails, both keep the alert to themselves,
so the peer would never hear why. And with anyio's a peer that asks for new keys while a send is on its way makes two sends
collide, which is an error in this process; here whatever is to be sent goes out in its turn.

The end of the stream counts as the end of what the peer says, with or without TLS's own farewell: a link has its goodbye.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import anyio
import anyio.lowlevel
from anyio.abc import ByteStream

from casty_trio.errors import HandshakeError
from casty_trio.protocol.handshake import escaped

__all__ = ["TlsStream"]

RECEIVE: Final = 64 * 1024
"""How many encrypted bytes are taken at once: what is decrypted of them is never more."""

PROTOCOL_VERSION_ALERT: Final = b"\x15\x03\x03\x00\x02\x02\x46"

CLOSE_NOTIFY: Final = 0.03
"""Seconds for TLS's own farewell: less than a link leaves for closing a stream by force."""

_LOST = (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)


class TlsStream(ByteStream):
    """An encrypted stream over another one, which it owns once `handshake` has returned.

    Args:
        transport: the stream that carries the encrypted bytes.
        context: the certificates and rules of this end.
        server_side: whether the peer has opened the connection.
    """

    def __init__(self, transport: ByteStream, context: ssl.SSLContext, *, server_side: bool) -> None:
        self._transport = transport
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server_side)
        self._turn = anyio.Lock(fast_acquire=True)
        self._receiving = anyio.ResourceGuard("reading from")
        self._sending = anyio.ResourceGuard("writing to")
        self._fault: ssl.SSLError | None = None  # what went wrong after the bytes that were received last
        self._more = False  # whether received bytes may wait to be decrypted
        self._ended = self._broken = self._closed = False

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        below: Any = self._transport  # anyio leaves the type of the keys open
        attributes: Mapping[Any, Callable[[], Any]] = below.extra_attributes
        return attributes

    @property
    def peer_uris(self) -> tuple[str, ...]:
        """The URIs of the peer's certificate."""
        names: Any = (self._tls.getpeercert() or {}).get("subjectAltName", ())
        return tuple(value for kind, value in names if kind == "URI")

    async def handshake(self) -> None:
        """Agree on keys, and check the peer's certificate.

        Raises:
            HandshakeError: with code ``"tls"``, or ``"closed"`` when the peer went away. A peer that we refuse is told why.
        """
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                try:
                    await self._flush()
                    self._incoming.write(await self._transport.receive(RECEIVE))
                except (anyio.EndOfStream, *_LOST):
                    raise HandshakeError("closed", "the connection ended before TLS was agreed") from None
            except ssl.SSLError as error:
                with suppress(*_LOST):
                    await self._alert()
                raise HandshakeError("tls", explain(error)) from error
            else:
                with suppress(*_LOST):  # the first message will meet it
                    await self._flush()
                self._more = True
                return

    async def receive(self, max_bytes: int = 65536) -> bytes:
        with self._receiving:
            if self._closed:
                raise anyio.ClosedResourceError
            if self._more:
                await anyio.lowlevel.checkpoint()
            while True:
                data = self._decrypt(max_bytes) if self._fault is None else b""
                if data:
                    return data
                if self._fault is not None:
                    raise anyio.BrokenResourceError(explain(self._fault)) from self._fault
                if self._ended:
                    raise anyio.EndOfStream
                if self._outgoing.pending:
                    await self._flush()
                self._incoming.write(await self._transport.receive(RECEIVE))

    def _decrypt(self, most: int) -> bytes:
        """What can be read of the bytes received so far; notes the end and faults."""
        parts: list[bytes] = []
        left = most
        while left:
            try:
                part = self._tls.read(left)
            except (ssl.SSLWantReadError, ssl.SSLZeroReturnError) as error:
                self._ended = isinstance(error, ssl.SSLZeroReturnError)
                break
            except ssl.SSLError as error:
                self._fault = error
                break
            if not part:
                self._ended = True
                break
            parts.append(part)
            left -= len(part)
        self._more = not left
        return b"".join(parts)

    async def send(self, item: bytes) -> None:
        with self._sending:
            if self._closed:
                raise anyio.ClosedResourceError
            rest = memoryview(item)
            try:
                while rest:
                    rest = rest[self._tls.write(rest) :]
            except ssl.SSLError as error:
                raise anyio.BrokenResourceError(explain(error)) from error
            await self._flush()

    async def send_eof(self) -> None:
        raise NotImplementedError("TLS streams end as a whole: close them")

    async def aclose(self) -> None:
        """Close, after TLS's own farewell if it can be said at once."""
        if self._closed:
            await anyio.lowlevel.checkpoint()
            return
        self._closed = True
        try:
            if not self._turn.locked():
                with suppress(ssl.SSLError):
                    self._tls.unwrap()
                with anyio.move_on_after(CLOSE_NOTIFY), suppress(*_LOST):
                    await self._flush()
        finally:
            await self._transport.aclose()

    async def _alert(self) -> None:
        """Tell the peer why it is refused; one that speaks no TLS gets nothing from OpenSSL, and so an alert from us."""
        if self._outgoing.pending:
            await self._flush()
        else:
            await self._transport.send(PROTOCOL_VERSION_ALERT)

    async def _flush(self) -> None:
        """Send what TLS wants sent; in the order in which it was made, whoever calls."""
        async with self._turn:
            if self._broken:
                raise anyio.BrokenResourceError("an earlier send did not end")
            data = self._outgoing.read()
            if not data:
                await anyio.lowlevel.checkpoint()
                return
            self._broken = True  # half a record makes all later ones unreadable
            await self._transport.send(data)
            self._broken = False


def explain(error: ssl.SSLError) -> str:
    """What an error of TLS means, for people."""
    reason = (error.reason or "").replace("_", " ").lower()
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the peer's certificate is refused: {escaped(error.verify_message)}"
    if "alert" in reason:
        return f"the peer refuses this end: {escaped(reason)}"
    if "did not return a certificate" in reason:
        return "the peer has shown no certificate"
    if reason in ("wrong version number", "http request", "record layer failure", "unexpected message"):
        return f"the peer does not speak TLS here ({reason}); does it have its tls=?"
    return escaped(reason or str(error))
