"""The other nodes this one talks to, and which starts of them it never talks to again. Floor F3."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from casty_trio.actors.refs import LocalRef
from casty_trio.errors import DecodeError, HandshakeError, ProtocolError
from casty_trio.link.held import Held
from casty_trio.model.address import ActorAddress, AddressMap, address_map_of, quote_name
from casty_trio.model.events import NodeGone
from casty_trio.model.ref import ActorRef
from casty_trio.model.statistics import PeerStatistics
from casty_trio.protocol import wire
from casty_trio.protocol.frames import Kind
from casty_trio.protocol.handshake import Offer
from casty_trio.remote.adapters import Adapters
from casty_trio.remote.dialer import Dialer
from casty_trio.remote.peer import Peer, on_reply
from casty_trio.remote.refs import RemoteRef

if TYPE_CHECKING:
    from casty_trio.remote.connection import Connection
    from casty_trio.remote.node import RemoteNode

__all__ = ["Peers", "of_node"]

LAST_PORT: Final = 65_535

GONE_MOST: Final = 10_000
"""So many starts of nodes that are gone are remembered; the oldest are forgotten first."""


FOUND_MOST: Final = 10_000


class Peers:
    """All other nodes, by where they are dialled.

    Attributes:
        gone: why a start of a node, by its uid, is never talked to again.
        adapters: those of our actors that others have refs to.
        address_map: turns the address of a node into the one to dial.
    """

    def __init__(self, node: RemoteNode, address_map: AddressMap | None) -> None:
        self._node = node
        self._by_address: dict[tuple[str, int], Peer] = {}
        self._found: dict[str, LocalRef[Any]] = {}  # by path, for the next message; one that has ended is looked up anew
        self.gone: dict[int, str] = {}
        self.adapters: Adapters = Adapters()
        self.address_map: AddressMap = address_map_of(address_map)

    def at(self, host: str, port: int) -> Peer:
        """The node that is dialled there; its task is started when it is first asked for."""
        peer = self._by_address.get((host, port))
        if peer is None:
            peer = self._by_address[host, port] = Peer(self._node, host, port)
            self._node.start_service(Dialer(self._node, peer).run, f"dials to {host}:{port}")
        return peer

    def known(self, host: str, port: int) -> Peer | None:
        """The node that is dialled there, if it was asked for before."""
        return self._by_address.get((host, port))

    def ref(self, address: ActorAddress, *, dial: bool) -> ActorRef[Any]:
        """The ref to an actor that is not here; ``dial`` when its address is reason enough to talk to its node."""
        peer: Peer | None = None
        host, port = address.host, address.port
        if host is not None and port is not None and 0 < port <= LAST_PORT and not self._node.lives_at(host, port):
            peer = self.at(host, port) if dial else self._known(host, port, address.uid)
        return RemoteRef(self._node, address, peer)

    def _known(self, host: str, port: int, uid: int) -> Peer | None:
        """For addresses that somebody may have made up: they make nobody look for another start of a node either."""
        peer = self.known(host, port)
        return peer if peer is not None and uid in (0, peer.uid) else None

    def nobody(self, path: str) -> ActorRef[Any]:
        """A ref of this node whose actor or ask is over."""
        return RemoteRef(self._node, self._node.address_of(path, 0), None)

    def poke(self) -> None:
        """Wake every dialer: this node leaves."""
        for peer in self._by_address.values():
            peer.poke()

    def statistics(self) -> tuple[PeerStatistics, ...]:
        """Count what there is, sorted by address."""
        return tuple(_statistics(peer) for _, peer in sorted(self._by_address.items()))

    # --- Who is let in ------------------------------------------------------------------------------------------------

    def refusal_of(self, offer: Offer) -> HandshakeError | None:
        """The refusal of a start of a node that was declared gone."""
        why = self.gone.get(offer.uid)
        return None if why is None else HandshakeError("gone", f"uid {offer.uid} was declared gone here: {why}")

    def admit(self, offer: Offer) -> HandshakeError | None:
        """Whether another node's dial may become the connection to it."""
        refusal = self.refusal_of(offer)
        if refusal is None and not (offer.host and offer.port):
            refusal = HandshakeError("protocol", "a node has to say where it is dialled")
        if refusal is None and self._node.lives_at(offer.host, offer.port):
            refusal = HandshakeError("address", "a node has to say where it is dialled, and it says: where this one is")
        return refusal if refusal is not None else self.at(offer.host, offer.port).admit_accepted(offer)

    def declare_gone(self, peer: Peer, reason: str, *, every: bool = True) -> None:
        """Never talk to the start of a node again that was known: the connection to it ends, and what concerns it.

        Parameters:
            peer: the node.
            reason: why, for people.
            every: whether what waits for any start of it is not waited for any longer either.
        """
        uid = peer.uid
        if uid:
            self.refuse(uid, reason)
            self._node.publish(NodeGone, peer.node_id, peer.host, peer.port, uid, reason)
        where = (peer.host, peer.port)
        self._node.quiet.warning(("gone", uid, *where), "%s at %s:%d is gone: %s", peer.node_id, *where, reason)
        peer.end(uid, reason, every=every)

    def remove(self, host: str, port: int, uid: int, node_id: str, reason: str) -> None:
        """Never talk to a start of a node again, by the word of the cluster; whether or not it was ever connected."""
        self.refuse(uid, reason)
        self._node.publish(NodeGone, node_id, host, port, uid, reason)
        peer = self.known(host, port)
        if peer is None:
            return
        if peer.uid == uid:
            peer.end(uid, reason, every=False, flush=True)
        else:
            peer.lose(uid, reason)

    def refuse(self, uid: int, reason: str) -> None:
        """Never talk to a start of a node, whether or not it was ever connected."""
        self.gone[uid] = reason
        if len(self.gone) > GONE_MOST:
            del self.gone[next(iter(self.gone))]

    def let_go(self, reason: str) -> None:
        """End the connections to all nodes: they get what was said to them, and nothing that they say means anything."""
        for peer in self._by_address.values():
            peer.let_go(reason)

    def close(self) -> None:
        """The node has left: make visible what waits in vain."""
        for peer in self._by_address.values():
            peer.close(f"{self._node.node_id} has left")

    def drop(self, peer: Peer, held: Held, reason: str) -> None:
        """Make visible that a message which waited will never be written."""
        frame: Any = wire.unpack(wire.EntityFrame if held.kind == Kind.ENTITY else wire.ActorFrame, held.body)
        if held.kind == Kind.ENTITY:
            path, incarnation = f"/{frame.shard_type}/{quote_name(frame.entity_id)}", 0
        else:
            path, incarnation = frame.path, frame.incarnation
        address = ActorAddress(self._node.name, path, peer.host, peer.port, held.uid, incarnation)
        try:
            message = self._node.codec.decode(frame.name, frame.body, self._read_ref)
        except DecodeError:
            message = frame
        self._node.dead_letter(message, RemoteRef(self._node, address, None), reason)

    def _read_ref(self, code: int, payload: memoryview) -> ActorRef[Any]:
        return self._node.dead_letters  # the message is only shown

    # --- Frames of nodes ----------------------------------------------------------------------------------------------

    def frames(self) -> dict[int, Callable[[Connection, memoryview], None]]:
        """The handlers of what only nodes say."""
        return {
            Kind.REPLY: on_reply,
            Kind.NACK: lambda connection, body: of_node(connection).on_nack(body),
            Kind.WATCH: lambda connection, body: of_node(connection).watches.on_watch(body),
            Kind.UNWATCH: lambda connection, body: of_node(connection).watches.on_unwatch(body),
            Kind.TERMINATED: lambda connection, body: of_node(connection).watches.on_terminated(body),
        }

    def find_local(self, path: str, incarnation: int) -> LocalRef[Any] | None:
        """The actor of ours that another node means."""
        found = self._found.get(path)
        if found is None or found.cell.ended:
            ref = self._node.lookup(path)
            if not isinstance(ref, LocalRef):
                return None
            if len(self._found) >= FOUND_MOST:
                self._found.clear()
            self._found[path] = found = ref
        return found if incarnation in (0, found.incarnation) else None


def of_node(connection: Connection) -> Peer:
    """The node at the other end.

    Raises:
        ProtocolError: it is a client.
    """
    if connection.peer is None:
        raise ProtocolError("a client has no business with that kind of frame")
    return connection.peer


def _statistics(peer: Peer) -> PeerStatistics:
    link = peer.connection.link if peer.connection is not None else None
    return PeerStatistics(
        node_id=peer.node_id,
        host=peer.host,
        port=peer.port,
        uid=peer.uid,
        connected=link is not None,
        dials=peer.dials,
        held=len(peer.held),
        held_bytes=peer.held.size,
        queued_bytes=link.pending_bytes if link is not None else 0,
        asks=len(peer.asks),
        watching=peer.watches.watching,
        watched=peer.watches.watched,
    )
