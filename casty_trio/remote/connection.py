"""One connection to a peer, as a node sees it: what comes in, what goes out, and the asks that are open on it. Floor F3."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import trio

from casty_trio.errors import DecodeError, LinkClosedError, LinkFullError, ProtocolError
from casty_trio.link import Link
from casty_trio.model.address import ActorAddress
from casty_trio.model.ref import ActorRef
from casty_trio.protocol import refs, wire
from casty_trio.protocol.frames import Kind
from casty_trio.remote.slots import RemoteSlot

if TYPE_CHECKING:
    from casty_trio.remote.node import RemoteNode

__all__ = ["Connection"]

OVERTAKEN = 10_000
"""How many cancellations may wait for the asks they overtook; further ones are ignored."""


class Connection:
    """A ready link, and what the node keeps for it."""

    __slots__ = ("_handlers", "_newest", "_overtaken", "link", "node", "slots", "subscribed")

    def __init__(self, node: RemoteNode, link: Link) -> None:
        self.node: RemoteNode = node
        self.link: Link = link
        self.slots: dict[int, RemoteSlot] = {}
        self.subscribed: bool = False
        self._handlers = node.handlers
        self._newest = 0  # askers count upwards
        self._overtaken: set[int] = set()

    def __repr__(self) -> str:
        return f"<Connection to {self.link.peer_name}>"

    def on_frame(self, kind: int, body: memoryview) -> None:
        """Hand a frame to the handler of its kind.

        Raises:
            ProtocolError: it has none, or its body is malformed.
        """
        handler = self._handlers.get(kind)
        if handler is None:
            raise ProtocolError(f"a frame of kind {kind} has no meaning here")
        handler(self, body)

    # --- Asks that came in ------------------------------------------------------------------------------------------------

    def open_slot(self, number: int, budget: float | None) -> RemoteSlot:
        """The slot for an ask that comes in with its message.

        Raises:
            ProtocolError: the peer gave the number to two asks, or number or budget are below zero.
        """
        if budget is None:
            deadline = math.inf
        elif budget >= 0:
            deadline = trio.current_time() + budget
        else:
            raise ProtocolError(f"ask {number} of {self.link.peer_name} has {budget} seconds")
        if number < 0:
            raise ProtocolError(f"ask {number} of {self.link.peer_name} is no ask: they count upwards from 1")
        if number in self.slots:
            raise ProtocolError(f"ask {number} of {self.link.peer_name} is open already")
        slot = self.slots[number] = RemoteSlot(self, number, deadline)
        if number > self._newest:
            self._newest = number
        if number in self._overtaken:
            self._overtaken.remove(number)
            slot.expire()
        else:
            self.node.watch_deadline(slot)
        return slot

    def cancel(self, number: int) -> None:
        """The asker gave up: its message is skipped if it still waits, or comes later, for control goes first."""
        slot = self.slots.get(number)
        if slot is not None:
            slot.expire()
        elif number > self._newest and len(self._overtaken) < OVERTAKEN:
            self._overtaken.add(number)

    def reply(self, number: int, message: object) -> None:
        """Answer an ask.

        Raises:
            EncodeError: the reply cannot be encoded.
            LinkError: it cannot be sent.
        """
        name, body = self.node.codec.encode(message, self.write_ref)
        self.link.write(Kind.REPLY, wire.pack_reply(number, name, body))

    def refuse(self, number: int, error: Exception) -> None:
        """Tell the asker that there will be no reply, and why."""
        with suppress(LinkClosedError, LinkFullError):  # the asker hears of it when the connection ends, or at its timeout
            self.link.write_control(Kind.NACK, wire.nack(number, error))

    def close_slots(self) -> None:
        """The connection has ended: nobody waits any more."""
        for slot in list(self.slots.values()):
            slot.expire()

    # --- Refs on this connection -------------------------------------------------------------------------------------

    def write_ref(self, ref: ActorRef[Any]) -> tuple[int, bytes]:
        """A ref as it is written to this peer."""
        if isinstance(ref, RemoteSlot) and ref.connection is self:
            return refs.pack_reply(ref.number)
        return self.node.write_ref(ref)

    def read_ref(self, code: int, payload: memoryview) -> ActorRef[Any]:
        """A ref that this peer has written."""
        if code == refs.REPLY:
            number = refs.unpack_reply(payload)
            return self.slots.get(number) or RemoteSlot(self, number, math.inf)
        if code == refs.ADDRESS:
            return self.node.resolve(refs.unpack_address(payload))
        if code == refs.ENTITY:
            return self.node.resolve_entity(*refs.unpack_entity(payload))
        raise DecodeError(f"extension type {code} is no ref")

    def slot_address(self, number: int) -> ActorAddress:
        """The address of one of the peer's reply refs, for third parties."""
        return self.node.address_of(f"/$clients/{self.link.peer.uid}/{number}", number)

    def dead_letter(self, message: object, recipient: ActorRef[Any], reason: str) -> None:
        """Make a message nobody will get visible."""
        self.node.dead_letter(message, recipient, reason)
