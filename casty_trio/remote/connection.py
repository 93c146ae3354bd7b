"""One connection to a peer, as a node sees it: what comes in, what goes out, and the asks that are open on it. Floor F3."""

from __future__ import annotations

import math
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from casty_trio.errors import DecodeError, LinkClosedError, LinkFullError, OverloadedError, ProtocolError
from casty_trio.link import Link
from casty_trio.model.address import ActorAddress
from casty_trio.model.ref import ActorRef
from casty_trio.protocol import refs, wire
from casty_trio.protocol.frames import Kind
from casty_trio.remote.guests import GuestRef
from casty_trio.remote.slots import RemoteSlot

if TYPE_CHECKING:
    from casty_trio.remote.node import RemoteNode
    from casty_trio.remote.peer import Peer

__all__ = ["Connection"]

OVERTAKEN = 10_000
"""How many cancellations may wait for the asks they overtook; further ones are ignored."""

LENT = 10_000
"""So many refs that a client was sent are remembered."""


class TooManyAsks(Exception):  # noqa: N818 - it never leaves this file
    """A peer has as many asks open as it may."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Connection:
    """A ready link, and what the node keeps for it."""

    __slots__ = (
        "_clock",
        "_handlers",
        "_lent",
        "_most_asks",
        "_newest",
        "_overtaken",
        "_watch_deadline",
        "dial",
        "link",
        "node",
        "peer",
        "refreshed",
        "slots",
        "subscribed",
        "their_dial",
    )

    def __init__(self, node: RemoteNode, link: Link, peer: Peer | None = None, dial: int = 0, their_dial: int = 0) -> None:
        self.node: RemoteNode = node
        self.link: Link = link
        self.peer: Peer | None = peer
        self.dial: int = dial
        self.their_dial: int = their_dial
        self.slots: dict[int, RemoteSlot] = {}
        self.subscribed: bool = False
        self.refreshed: float = -math.inf  # when it was last told again what there is
        self._clock = node.clock
        self._handlers = node.handlers
        self._watch_deadline = node.deadlines.add
        self._most_asks = node.door.settings.client_asks if link.peer.role == "client" else sys.maxsize
        self._lent: dict[ActorAddress, None] = {}  # refs that a client was sent, and may send back
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
        try:
            handler(self, body)
        except TooManyAsks as refused:
            self._refuse_ask(refused.number)

    def retire(self, reason: str) -> None:
        """A newer connection takes its place: what came in on this one and was not handled yet never will be."""
        self._handlers = _Deaf()
        self.link.abandon(reason)

    def turn_away(self, reason: str) -> None:
        """It should not have been made: say so, and hear nothing."""
        self._handlers = _Deaf()
        self.link.close(reason)

    # --- Asks that came in ------------------------------------------------------------------------------------------------

    def open_slot(self, number: int, budget: float | None) -> RemoteSlot:
        """The slot for an ask that comes in with its message.

        Raises:
            ProtocolError: the peer gave the number to two asks, or number or budget are below zero.
            TooManyAsks: the peer has as many open as it may; `on_frame` tells it.
        """
        if budget is None:
            deadline = math.inf
        elif budget >= 0:
            deadline = self._clock() + budget
        else:
            raise ProtocolError(f"ask {number} of {self.link.peer_name} has {budget} seconds")
        if number < 0:
            raise ProtocolError(f"ask {number} of {self.link.peer_name} is no ask: they count upwards from 1")
        if number in self.slots:
            raise ProtocolError(f"ask {number} of {self.link.peer_name} is open already")
        if number > self._newest:
            self._newest = number
        if len(self.slots) >= self._most_asks:
            raise TooManyAsks(number)
        slot = self.slots[number] = RemoteSlot(self, number, deadline)
        if number in self._overtaken:
            self._overtaken.remove(number)
            slot.expire()
        elif budget is not None:
            self._watch_deadline(slot)
        return slot

    def cancel(self, number: int) -> None:
        """The asker gave up: its message is skipped if it still waits, or comes later, for control goes first."""
        slot = self.slots.get(number)
        if slot is not None:
            slot.expire()
        elif number > self._newest:
            if len(self._overtaken) < OVERTAKEN:
                self._overtaken.add(number)
            else:
                peer = self.link.peer_name
                self.node.quiet.warning(("cancels", peer), "%s gives up more asks than it can have made", peer)

    def refuse(self, number: int, error: Exception) -> None:
        """Tell the asker that there will be no reply, and why."""
        with suppress(LinkClosedError, LinkFullError):  # the asker hears of it when the connection ends, or at its timeout
            self.link.write_control(Kind.NACK, wire.nack(number, error))

    def close_slots(self) -> None:
        """The connection has ended: nobody waits any more."""
        for slot in list(self.slots.values()):
            slot.expire()

    def _refuse_ask(self, number: int) -> None:
        """An ask above the peer's quota: it is not looked at, its asker hears so at once, and it is counted."""
        node, peer = self.node, self.link.peer_name
        error = OverloadedError(f"{node.node_id} has {self._most_asks} asks of this client open already: wait for replies")
        self.refuse(number, error)
        self._overtaken.discard(number)
        node.door.ask_refused()
        node.quiet.warning(("overloaded", peer), "%s has as many asks open as it may: more are refused", peer)
        node.dead_letter(error, node.dead_letters, f"an ask of {peer} above its quota")

    # --- Refs on this connection -------------------------------------------------------------------------------------

    def write_ref(self, ref: ActorRef[Any]) -> tuple[int, bytes]:
        """A ref as it is written to this peer."""
        if self.peer is not None:
            return self.peer.write_ref(ref)
        if isinstance(ref, RemoteSlot) and ref.connection is self:
            return refs.pack_reply(ref.number)
        if isinstance(ref, GuestRef) and ref.uid == self.link.peer.uid:
            return refs.pack_address(ref.address_there(self))
        written = self.node.write_ref(ref)
        if written[0] == refs.ADDRESS:
            self._lend(ref.address)
        return written

    def has_sent(self, address: ActorAddress) -> bool:
        """Whether a client has a ref from this connection; of very many it has, the latest count."""
        return address in self._lent

    def _lend(self, address: ActorAddress) -> None:
        self._lent.pop(address, None)  # it is the latest again
        self._lent[address] = None
        if len(self._lent) > LENT:
            del self._lent[next(iter(self._lent))]

    def read_ref(self, code: int, payload: memoryview) -> ActorRef[Any]:
        """A ref that this peer has written."""
        if code == refs.REPLY:
            number = refs.unpack_reply(payload)
            return self.slots.get(number) or RemoteSlot(self, number, math.inf)
        if code == refs.ADDRESS:
            address = refs.unpack_address(payload)
            if self.peer is None and address.uid == self.link.peer.uid:
                return GuestRef(self.node, address.uid, address.path, address.incarnation)
            return self.node.resolve_sent(address, self)
        if code == refs.ENTITY:
            return self.node.resolve_entity(*refs.unpack_entity(payload))
        if code == refs.HOME and self.peer is not None:
            return self.peer.own_slot(refs.unpack_reply(payload))
        if code == refs.BROADCAST and self.peer is not None:
            return self.node.resolve_broadcast(refs.unpack_broadcast(payload))
        raise DecodeError(f"extension type {code} is no ref")

    def slot_address(self, number: int) -> ActorAddress:
        """The address of one of the peer's reply refs, for third parties."""
        return self.node.address_of(f"/$clients/{self.link.peer.uid}/{number}", number)

    def dead_letter(self, message: object, recipient: ActorRef[Any], reason: str) -> None:
        """Make a message nobody will get visible."""
        self.node.dead_letter(message, recipient, reason)


class _Deaf(dict[int, Any]):
    """In the place of a connection's handlers: frames mean nothing any more."""

    def get(self, key: int, default: Any = None) -> Any:
        return _ignore


def _ignore(*_: object) -> None:
    """Do nothing with a frame."""
