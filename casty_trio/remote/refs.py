"""Refs to actors of other nodes. Floor F3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trio.lowlevel import checkpoint

from casty_trio.actors.refs import ReplySlot, WatchableRef, Watcher
from casty_trio.errors import (
    LinkClosedError,
    LinkFullError,
    MailboxFullError,
    NodeGoneError,
    UnknownActorError,
)
from casty_trio.model.address import ActorAddress
from casty_trio.protocol import wire
from casty_trio.protocol.frames import Kind
from casty_trio.remote.peer import budget_of

if TYPE_CHECKING:
    from casty_trio.actors.system import ActorSystem
    from casty_trio.remote.node import RemoteNode
    from casty_trio.remote.peer import Peer
    from casty_trio.remote.watches import Target

__all__ = ["RemoteRef"]

NOWHERE = "nobody at that address can be reached from here"


class RemoteRef(WatchableRef[Any]):
    """A ref to an actor of another node, or to one that is nowhere: a past incarnation of ours, say.

    Args:
        node: whose ref it is.
        address: the actor's.
        peer: the actor's node; None makes what it is told a dead letter.
    """

    __slots__ = ("_address", "_node", "_path", "_peer", "_start", "_uid")

    def __init__(self, node: RemoteNode, address: ActorAddress, peer: Peer | None) -> None:
        self._node = node
        self._address = address
        self._peer = peer
        self._path = (address.path, address.incarnation)
        self._uid = address.uid
        self._start = 0 if address.incarnation else address.uid  # an incarnation lives in one start of its node alone

    @property
    def address(self) -> ActorAddress:
        return self._address

    def tell(self, message: Any) -> None:
        peer = self._peer
        if peer is None:
            self._node.dead_letter(message, self, NOWHERE)
            return
        name, body = self._node.codec.encode(message, peer.write_ref)
        try:
            peer.write(Kind.ACTOR, wire.pack_actor(0, None, self._path, name, body, self._start), self._uid)
        except (LinkFullError, LinkClosedError) as error:
            self._node.dead_letter(message, self, str(error))

    async def send(self, message: Any) -> None:
        peer = self._peer
        if peer is None:
            await checkpoint()
            self._node.dead_letter(message, self, NOWHERE)
            return
        name, body = self._node.codec.encode(message, peer.write_ref)
        try:
            await peer.send(Kind.ACTOR, wire.pack_actor(0, None, self._path, name, body, self._start), self._uid)
        except LinkClosedError as error:
            self._node.dead_letter(message, self, str(error))

    def tell_asked(self, message: Any, slot: ReplySlot) -> None:
        peer = self._peer
        if peer is None:
            self._node.dead_letter(message, self, NOWHERE)
            slot.fail(UnknownActorError(f"{self._address}: {NOWHERE}"))
            return
        number = peer.open_ask(slot)
        name, body = self._node.codec.encode(message, peer.write_ref)
        peer.asks[number] = slot
        try:
            budget = budget_of(slot, self._node.clock())
            peer.write(Kind.ACTOR, wire.pack_actor(number, budget, self._path, name, body, self._start), self._uid, number)
        except (LinkFullError, LinkClosedError) as error:
            del peer.asks[number]
            self._node.dead_letter(message, self, str(error))
            failed = MailboxFullError if isinstance(error, LinkFullError) else UnknownActorError
            slot.fail(failed(f"{self._address} cannot be asked now: {error}"))
        except BaseException:
            del peer.asks[number]
            raise

    # --- Watching -----------------------------------------------------------------------------------------------------

    def belongs_to(self, system: ActorSystem) -> bool:
        return self._node is system

    def add_watcher(self, watcher: Watcher) -> None:
        why = NOWHERE if self._peer is None else self._peer.why_gone(self._uid)
        if self._peer is None or why is not None:
            watcher.hear_end(self, NodeGoneError(f"{self._address}: {why}"))
        else:
            self._peer.watch(self._target, self, watcher)

    def remove_watcher(self, watcher: Watcher) -> None:
        if self._peer is not None:
            self._peer.watches.unwatch(self._target, watcher)

    @property
    def _target(self) -> Target:
        return (*self._path, self._uid)
