"""Messages for an entity that were never written, for the node they waited for is gone: they can go to another. Floor F3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from casty_trio.actors.refs import ReplySlot
from casty_trio.errors import DecodeError
from casty_trio.model.ref import ActorRef
from casty_trio.protocol import refs, wire

if TYPE_CHECKING:
    from casty_trio.remote.peer import Peer

__all__ = ["read_back"]


def read_back(peer: Peer, frame: wire.EntityFrame) -> tuple[Any, ReplySlot | None] | None:
    """The message that a frame of ours was made of, and who waits for a reply; None if it cannot be read.

    From then on the ask is nothing that the peer owes.
    """
    node = peer.node

    def read_ref(code: int, payload: memoryview) -> ActorRef[Any]:
        match code:
            case refs.REPLY:
                return peer.own_slot(refs.unpack_reply(payload))
            case refs.ADDRESS:
                return node.resolve_own(refs.unpack_address(payload))
            case refs.ENTITY:
                return node.resolve_entity(*refs.unpack_entity(payload))
            case refs.BROADCAST:
                return node.resolve_broadcast(refs.unpack_broadcast(payload))
            case _:
                return node.peers.nobody("/$asks/0")  # an ask of the node that is gone

    try:
        message = node.codec.decode(frame.name, frame.body, read_ref)
    except DecodeError:
        return None
    return message, peer.asks.pop(frame.ask, None) if frame.ask else None
