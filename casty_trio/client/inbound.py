"""What comes in from the cluster: replies, refs, and the state. Floor: client, on anyio."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio

from casty_trio.client.actors import LocalActorRef
from casty_trio.client.refs import ClientEntityRef, ClientRef
from casty_trio.client.topology import topology_of
from casty_trio.errors import DecodeError, EncodeError, MailboxFullError, ProtocolError, ReplyDecodeError
from casty_trio.model.cluster_events import TopologySnapshot
from casty_trio.model.ref import ActorRef
from casty_trio.protocol import refs, wire
from casty_trio.protocol.frames import Kind
from casty_trio.protocol.handshake import escaped

if TYPE_CHECKING:
    from casty_trio.client.client import ClusterClient
    from casty_trio.client.routes import Stream

__all__ = ["Inbound"]

log: logging.Logger = logging.getLogger("casty_trio.client")


class Inbound:
    """Reads the frames of all of a client's streams, and the refs in messages, which it also writes.

    Attributes:
        topology: what the cluster looks like.
        version: how often that has changed, by the count of the contact.
        shards: into how many shards the ids of each type are hashed.
        ready: set with the first state of the cluster.
    """

    def __init__(self, client: ClusterClient) -> None:
        self._client = client
        self.topology: TopologySnapshot = TopologySnapshot()
        self.version: int = 0
        self.shards: dict[str, int] = {}
        self.ready: anyio.Event = anyio.Event()

    def on_frame(self, stream: Stream, kind: int, body: memoryview) -> None:
        """Handle a frame.

        Raises:
            ProtocolError: it has no meaning for a client, or is malformed.
        """
        if kind == Kind.REPLY:
            self._on_reply(body)
        elif kind == Kind.NACK:
            nack = wire.unpack(wire.NackFrame, body)
            ask = self._client.asks.get(nack.ask)
            if ask is not None:
                ask.fail(wire.nack_error(nack))
        elif kind == Kind.ACTOR:
            self._on_message(wire.unpack_actor(body))
        elif kind == Kind.STATE:
            self._on_state(wire.unpack(wire.StateFrame, body))
        elif kind == Kind.LEAVING:
            stream.part()
        elif kind == Kind.LISTINGS:
            self._client.services.on_frame(body)
        else:
            raise ProtocolError(f"a frame of kind {kind} has no meaning for a client")

    def _on_reply(self, body: memoryview) -> None:
        frame = wire.unpack_reply(body)
        client = self._client
        ask = client.asks.open.get(frame.ask)
        if ask is None or ask.closed:
            client.drop(frame, "a late or second reply")
            return
        try:
            value = client.codec.decode(frame.name, frame.body, self.read_ref)
        except DecodeError as error:
            failed = ReplyDecodeError(f"the reply of {ask.target!r} cannot be decoded: {error}")
            failed.__cause__ = error
            ask.fail(failed)
        else:
            ask.tell(value)

    def _on_message(self, frame: wire.ActorFrame) -> None:
        """Something for a local actor."""
        client, where = self._client, escaped(frame.path)
        cell = client.actors.find(frame.path, frame.incarnation)
        if cell is None:
            client.drop(frame, f"this client has no actor at {where}")
            return
        try:
            message = client.codec.decode(frame.name, frame.body, self.read_ref)
        except DecodeError as error:
            log.warning("a message for %s is refused: %s", where, error)
            client.drop(frame, str(error))
        else:
            with suppress(MailboxFullError):  # who told it is elsewhere; the loss is counted
                cell.put(message)

    def _on_state(self, state: wire.StateFrame) -> None:
        client = self._client
        if not 0 <= state.version < 2**64:
            raise ProtocolError(f"a state of version {state.version}")
        self.topology = topology = topology_of(state)
        self.version = state.version
        self.shards = {shard_type.name: shard_type.num_shards for shard_type in state.shard_types}
        link = client.stream.link
        client.routes.update(topology, link.peer.uid if link is not None else 0, state.contact_role)
        client.change_contacts(lambda contacts: contacts.learn(topology, state.contact_role))
        self.ready.set()
        client.stream.settle()

    # --- Refs --------------------------------------------------------------------------------------------------------

    def write_ref(self, ref: ActorRef[Any]) -> tuple[int, bytes]:
        """A ref as it is written to the cluster.

        Raises:
            EncodeError: the cluster could do nothing with it.
        """
        if getattr(ref, "asker", None) is self._client:  # no isinstance: with abstract classes it is slow
            asked: Any = ref
            return refs.pack_reply(asked.number)
        if isinstance(ref, ClientEntityRef):
            return refs.pack_entity(ref.shard_type, ref.entity_id)
        if isinstance(ref, ClientRef) or (isinstance(ref, LocalActorRef) and ref.client is self._client):
            return refs.pack_address(ref.address)
        raise EncodeError(f"{ref!r} cannot be sent from this client: only its own refs, and those it was sent")

    def read_ref(self, code: int, payload: memoryview) -> ActorRef[Any]:
        """A ref that the cluster has written.

        Raises:
            DecodeError: it is malformed.
        """
        client = self._client
        if code == refs.ADDRESS:
            address = refs.unpack_address(payload)
            mine = client.actors.find(address.path, address.incarnation) if address.uid == client.identity.uid else None
            return mine.ref if mine is not None else ClientRef(client, address)
        if code == refs.ENTITY:
            return ClientEntityRef[Any](client, *refs.unpack_entity(payload))
        if code == refs.REPLY:
            number = refs.unpack_reply(payload)
            ask = client.asks.get(number)
            if ask is not None:
                return ask
            return ClientRef(client, client.address_of(f"/$asks/{number}", number))
        raise DecodeError(f"extension type {code} is no ref")
