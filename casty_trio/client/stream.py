"""The client's one stream: made, kept, and made again. Floor: client, on anyio.

What is written while there is no connection is held, up to a bound, the oldest dropped first. When a connection ends, asks
that were written to it fail as outcome unknown, for nobody can tell; what was still queued goes out on the next one. Nothing
is ever repeated.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio
from anyio.lowlevel import checkpoint

from casty_trio.errors import (
    ConnectError,
    HandshakeError,
    LinkClosedError,
    LinkFullError,
    MailboxFullError,
    MessageTooLargeError,
    OutcomeUnknownError,
    SystemClosedError,
)
from casty_trio.link import RETRY, Link, dial
from casty_trio.link.held import Held, HeldMessages
from casty_trio.protocol import wire
from casty_trio.protocol.frames import Kind
from casty_trio.protocol.handshake import PERMANENT, UNTRUSTED

if TYPE_CHECKING:
    from casty_trio.client.client import ClusterClient

__all__ = ["ClientStream"]

HELD = 1000
"""How many messages wait for a connection before the oldest is dropped; and no more bytes than a link queues."""

PASSING = frozenset({"closed", "timeout", "busy"})
"""Refusals that are no news to a client that looks for a node that has just gone."""

log: logging.Logger = logging.getLogger("casty_trio.client")


class ClientStream:
    """One connection to one contact point at a time."""

    def __init__(self, client: ClusterClient, on_frame: Callable[[int, memoryview], None]) -> None:
        self._client = client
        self._on_frame = on_frame
        self._link: Link | None = None
        self._open: Link | None = None  # the same, from the moment that what was held has gone ahead
        limits = client.link_settings
        self._held = HeldMessages(limits.queue, largest=limits.max_message, most=HELD)
        self._rounds = 0  # in vain, over the contact points
        self._leaving = False
        self._ended = anyio.Event()
        self._next_contact = 0
        self.connections: int = 0

    @property
    def link(self) -> Link | None:
        """The connection, while there is one."""
        return self._link

    # --- Writing ----------------------------------------------------------------------------------------------------------

    def write(self, kind: int, body: bytes) -> None:
        """Queue a frame, or hold it until there is a connection.

        Raises:
            LinkFullError: the outbound queue has no room.
            LinkClosedError: the client leaves its block.
            MessageTooLargeError: the peer would not take it, or none would.
        """
        link = self._open
        if link is None:
            self._hold(kind, body)
            return
        try:
            link.write(kind, body)
        except LinkClosedError:
            self._hold(kind, body)  # the connection has just ended

    async def send(self, kind: int, body: bytes) -> None:
        """As `write`, but wait for room."""
        link = self._open
        if link is None:
            await checkpoint()
            self.write(kind, body)
            return
        try:
            await link.send(kind, body)
        except LinkClosedError:
            self.write(kind, body)

    def write_control(self, kind: int, body: bytes) -> None:
        """Queue a control frame on the connection there is; without one nobody has to know."""
        if self._open is not None:
            self._open.write_control(kind, body)

    # --- What waits for a connection ---------------------------------------------------------------------------------------

    def _hold(self, kind: int, body: bytes) -> None:
        if self._leaving:
            raise LinkClosedError("the client leaves its block")
        self._held.check(body)
        self._held.add(held_of(kind, body))
        self._trim()

    def _trim(self) -> None:
        """Drop the oldest of what is held, as long as there is more than a new connection can queue at once."""
        while self._held.overflowing:
            reason = f"{len(self._held) - 1} messages wait for a connection: the oldest is dropped"
            self._drop_oldest(MailboxFullError(reason), reason)

    def _drop_oldest(self, error: Exception, reason: str) -> None:
        self._client.lose(self._held.take_oldest().ask, error, reason)

    def flush_held(self) -> None:
        """The connection is ready for messages: send what waited for it, in order, before anything new."""
        link = self._link
        if link is None or link is self._open:
            return
        self._open = link
        self._rounds = 0
        while (held := self._held.oldest) is not None:
            if self._client.is_over(held.ask):
                self._drop_oldest(LinkClosedError("nobody waits"), "its asker gave up before there was a connection")
                continue
            try:
                link.write(held.kind, held.body)
            except LinkClosedError:
                return  # it stays where it is, and goes out on the next one
            except (LinkFullError, MessageTooLargeError) as error:
                self._drop_oldest(error, str(error))
            else:
                self._held.take_oldest()

    def _keep_unsent(self, link: Link) -> None:
        # It was written before anything that is held already.
        self._held.put_first([held_of(kind, bytes(body)) for kind, body in link.take_unsent()])
        kept = {held.ask for held in self._held}
        self._client.lose_written(kept, OutcomeUnknownError(f"the connection to {link.peer_name} ended before a reply came"))
        if self._leaving:
            self._drop_all()
        else:
            self._trim()

    def _drop_all(self) -> None:
        reason = "the client has left its block"
        while self._held:
            self._drop_oldest(SystemClosedError(reason), reason)

    # --- The life of the stream --------------------------------------------------------------------------------------

    async def connect(self, timeout: float) -> Link:
        """Connect to the first contact point that takes us, round after round.

        Raises:
            HandshakeError: a contact point refuses us for good.
            ConnectError: none answered by the deadline; its notes tell what each said.
        """
        told: dict[str, str] = {}
        with anyio.move_on_after(timeout):
            return await self._connect(told, entering=True)
        where = ", ".join(f"{host}:{port}" for host, port in self._client.contact_points)
        failed = ConnectError(f"no contact point of {self._client.system_name} answered within {timeout:g} s: {where}")
        for contact, why in told.items():
            failed.add_note(f"{contact}: {why}")
        raise failed

    async def run(self, link: Link) -> None:
        """Keep a connection until the client leaves its block."""
        try:
            while True:
                useful = await self._use(link)
                if self._leaving:
                    break
                if not useful:
                    await self._back_off()
                link = await self._connect({})
        finally:  # also when cancelled or failed: nobody is left to send, to answer, or to watch deadlines
            self._leaving = True
            self._drop_all()
            self._client.lose_written(frozenset(), SystemClosedError("the client's connection has ended for good"))
            self._ended.set()

    async def leave(self, timeout: float) -> None:
        """Flush what is queued and say goodbye; for a limited time."""
        self._leaving = True
        if self._link is None:
            self._drop_all()
            return
        self._link.close("the client leaves")
        with anyio.move_on_after(timeout):
            await self._ended.wait()

    async def _connect(self, told: dict[str, str], *, entering: bool = False) -> Link:
        while True:
            untrusted = 0
            for _ in self._client.contact_points:
                host, port = contact = self._client.contact_points[self._next_contact % len(self._client.contact_points)]
                try:
                    return await self._dial(contact)
                except OSError as error:
                    told[f"{host}:{port}"] = str(error) or type(error).__name__
                except HandshakeError as error:
                    untrusted += error.code in UNTRUSTED
                    if error.code in PERMANENT or (entering and untrusted == len(self._client.contact_points)):
                        raise
                    if not entering and error.code not in PASSING and told.get(f"{host}:{port}") != str(error):
                        log.warning("%s:%s did not take this client back: %s", host, port, error)
                    told[f"{host}:{port}"] = str(error)
                self._next_contact += 1
            await self._back_off()

    async def _back_off(self) -> None:
        """Wait longer each time, until a connection has been of use."""
        self._rounds += 1
        await anyio.sleep(RETRY.delay(self._rounds, self._client.env.rng))

    async def _dial(self, contact: tuple[str, int]) -> Link:
        client = self._client
        session = client.credentials.session(client.identity, client.link_settings, dialer=True)
        return await dial(client.env, *client.address_map(*contact), session, client.credentials.dial)

    async def _use(self, link: Link) -> bool:
        """One connection, from its first frame to its end; whether it told the state of the cluster."""
        useful = False
        self._link = link
        self.connections += 1
        if self._leaving:
            link.close("the client leaves")
        else:
            self._subscribe(link)
        try:
            reason = await link.run(self._on_frame)
        finally:
            useful = self._open is not None
            self._link = self._open = None
            self._keep_unsent(link)
        if not self._leaving:
            log.warning("the connection to %s ended: %s", link.peer_name, reason)
        return useful

    def _subscribe(self, link: Link) -> None:
        with suppress(LinkClosedError):  # `run` tells how it ended
            link.write_control(Kind.SUBSCRIBE, b"")


def held_of(kind: int, body: bytes) -> Held:
    """A message of ours, to be held; its ask is named in it."""
    frame = wire.unpack_entity(body) if kind == Kind.ENTITY else wire.unpack_actor(body)
    return Held(kind, body, 0, frame.ask)
