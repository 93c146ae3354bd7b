"""A client's stream to one node that is not its contact. Floor: client, on anyio.

It is opened by the first message for the node, which waits in it until it is there. It is never made again by itself: when
it ends, or cannot be opened, what was not written goes through the contact, in order, which passes it on.
"""

from __future__ import annotations

import logging
import math
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio
from anyio.lowlevel import checkpoint

from casty_trio.client.stream import held_of, unsent_of
from casty_trio.errors import (
    HandshakeError,
    LinkClosedError,
    LinkFullError,
    MessageTooLargeError,
    OutcomeUnknownError,
)
from casty_trio.link import Link
from casty_trio.link.held import HeldMessages
from casty_trio.model.member import Member
from casty_trio.protocol.frames import Kind

if TYPE_CHECKING:
    from casty_trio.client.client import ClusterClient
    from casty_trio.client.routes import Routes

__all__ = ["DirectStream"]

PARTING: Final = 2.0
"""After so many seconds what a node that leaves was sent has come to where it belongs, by way of that node."""

log: logging.Logger = logging.getLogger("casty_trio.client")


class DirectStream:
    """The connection to one node, from the first message for it to its end.

    Attributes:
        member: the node.
        ended: whether nothing goes this way any more.
        flushed_at: when what waited for the connection was sent, in the event loop's time.
    """

    def __init__(self, client: ClusterClient, routes: Routes, member: Member) -> None:
        self.member: Member = member
        self.ended: bool = False
        self.flushed_at: float = -math.inf
        self._client = client
        self._routes = routes
        self._link: Link | None = None  # once what waited for it has gone ahead
        self._dialling = anyio.CancelScope()
        self._opened = anyio.Event()  # there is a connection, or there will be none
        self._parting: Link | None = None  # the node leaves: what is for it is kept for a while
        self._parted = False  # and then goes elsewhere
        self._why = ""  # it is not wanted any more, if it is not
        limits = client.link_settings
        self._held = HeldMessages(limits.queue, largest=limits.max_message)

    @property
    def held(self) -> int:
        """How many messages wait for the connection."""
        return len(self._held)

    def write(self, kind: int, body: bytes) -> None:
        """Queue a frame, or keep it until the connection is there.

        Raises:
            LinkFullError: there is no room.
            MessageTooLargeError: the peer would not take it.
        """
        if self._link is not None:
            try:
                self._link.write(kind, body)
            except LinkClosedError:
                pass  # it has just ended: `run` hands what is kept over
            else:
                return
        self._held.check(body)
        held = held_of(kind, body)
        if self._parted:
            self._client.stream.write_held(held)
            return
        if not self._held.fits(held):
            raise LinkFullError(f"too much waits for the connection to {self.member.node_id} already")
        self._held.add(held)

    async def send(self, kind: int, body: bytes) -> None:
        """As `write`, but wait for room."""
        if self._link is None:
            await checkpoint()
            waiting = held_of(kind, body)
            while self._link is None and not (self.ended or self._parted) and not self._held.fits(waiting):
                await self._opened.wait()
        if self._link is None:
            await self._send_otherwise(kind, body)
            return
        try:
            await self._link.send(kind, body)
        except LinkClosedError:
            await self._send_otherwise(kind, body)

    async def _send_otherwise(self, kind: int, body: bytes) -> None:
        if self.ended or self._parted:
            await self._client.stream.send(kind, body)
        else:
            self.write(kind, body)

    def write_control(self, kind: int, body: bytes) -> None:
        """Queue a control frame, if there is a connection."""
        link = self._link or self._parting
        if link is not None:
            link.write_control(kind, body)

    def part(self) -> None:
        """The node is about to leave, and passes on what it has: send it nothing more, and go on elsewhere behind that."""
        if self._link is None:
            return
        with suppress(LinkClosedError, LinkFullError):
            self._link.write(Kind.LEAVING, b"")
        self._parting, self._link = self._link, None
        self._opened = anyio.Event()
        self._client.after(PARTING, self._hand_over)

    def _hand_over(self) -> None:
        if not self.ended:
            self._parted = True
            self._opened.set()
            self._routes.parted(self)
            for held in self._held.clear():
                self._client.stream.write_held(held)

    def give_up(self, reason: str) -> None:
        """Nobody can count on the node any more: end at once."""
        self._why = reason
        self._dialling.cancel()
        link = self._link or self._parting
        if link is not None:
            link.abandon(reason)

    def close(self) -> None:
        """Flush what is queued, and say goodbye."""
        self._why = "the client leaves"
        self._dialling.cancel()
        link = self._link or self._parting
        if link is not None:
            link.close(self._why)

    async def run(self) -> None:
        """The life of the connection."""
        link: Link | None = None
        reason = ""
        try:
            link, reason = await self._dial()
            if link is not None:
                self._flush(link)
                reason = await link.run(partial(self._client.inbound.on_frame, self))
        finally:
            self._finish(link, reason)

    async def _dial(self) -> tuple[Link | None, str]:
        patience = self._client.settings.establishing
        try:
            with self._dialling:
                self._dialling.deadline = anyio.current_time() + patience
                return await self._client.dial(self.member.address), ""
        except (OSError, HandshakeError) as error:
            return None, str(error) or type(error).__name__
        return None, self._why or f"it did not answer in {patience:g} s"

    def _flush(self, link: Link) -> None:
        for held in self._held.clear():
            if self._client.asks.is_over(held.ask):
                self._client.lose(
                    held.ask, LinkClosedError("nobody waits"), "its asker gave up before there was a connection"
                )
                continue
            try:
                link.write(held.kind, held.body)
            except MessageTooLargeError as error:
                self._client.lose(held.ask, error, str(error))
            except (LinkClosedError, LinkFullError):
                self._held.add(held)
        self._link, self.flushed_at = link, anyio.current_time()
        self._opened.set()

    def _finish(self, link: Link | None, reason: str) -> None:
        """Hand over what was not written, in order, and fail the asks that were."""
        client = self._client
        self.ended, self._link = True, None
        self._opened.set()
        self._routes.ended(self, worked=link is not None)
        unsent = unsent_of(link) if link is not None else []
        for held in (*unsent, *self._held.clear()):
            client.stream.write_held(held)
        why = f"the connection to {self.member.node_id} ended before a reply came: {reason}"
        client.asks.lose_written(self, frozenset(), OutcomeUnknownError(why))
        if reason and not self._why:
            log.info("the connection to %s, which is not the contact, ended: %s", self.member.node_id, reason)
