"""Reply refs whose asker is on the other end of a connection. Floor F3.

A slot is made for each ask that comes in, and is found again by its number while it is open: a cancellation, a reply or a
failure closes it. A message may also carry the reply ref of another ask of the same peer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trio.lowlevel import checkpoint

from casty_trio.actors.refs import Carrier, ReplySlot
from casty_trio.errors import AskError, LinkClosedError, LinkFullError
from casty_trio.model.address import ActorAddress
from casty_trio.protocol import wire
from casty_trio.protocol.frames import Kind

if TYPE_CHECKING:
    from casty_trio.remote.connection import Connection

__all__ = ["RemoteSlot"]


class RemoteSlot(ReplySlot):
    """The reply ref of one ask of a peer."""

    __slots__ = ("connection", "number")

    def __init__(self, connection: Connection, number: int, deadline: float) -> None:
        self.carrier: Carrier | None = None
        self.closed = False
        self.deadline = deadline
        self.connection: Connection = connection
        self.number: int = number

    @property
    def address(self) -> ActorAddress:
        """Where other nodes and clients find it: through this node, its gateway."""
        return self.connection.slot_address(self.number)

    def tell(self, message: Any) -> None:
        if self.closed:
            self.connection.dead_letter(message, self, "the ask is over: a late or second reply")
            return
        connection = self.connection
        name, body = connection.node.codec.encode(message, connection.write_ref)
        try:
            connection.link.write(Kind.REPLY, wire.pack_reply(self.number, name, body))
        except (LinkClosedError, LinkFullError) as error:
            connection.dead_letter(message, self, f"the reply could not be sent: {error}")
        self._close()

    async def send(self, message: Any) -> None:
        await checkpoint()
        self.tell(message)

    def fail(self, error: AskError) -> None:
        if not self.closed:
            self.connection.refuse(self.number, error)
            self._close()

    def expire(self) -> None:
        self._close()  # the asker has its own clock; nobody has to tell it
        if self.carrier is not None:  # it was passed on
            self.carrier.give_up(self)

    def _close(self) -> None:
        self.closed: bool = True
        slots = self.connection.slots
        if slots.get(self.number) is self:
            del slots[self.number]
