"""An actor system with an address: it listens, and its actors can be reached. Floor F3.

`RemoteNode` owns the listener and one `Connection` per peer. A frame is handed to the handler of its kind, synchronously, in
the task that read it; what a peer sent wrong ends that connection, what one message has wrong costs that message.
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, ClassVar, Self

import anyio
import cattrs
import trio
from anyio.abc import ByteStream, Listener

from casty_trio.actors.refs import AdapterRef, AskableRef, ReplySlot
from casty_trio.actors.system import ActorSystem
from casty_trio.env import Env
from casty_trio.errors import (
    DecodeError,
    EncodeError,
    HandshakeError,
    MailboxFullError,
    ProtocolError,
    RequestRefusedError,
    UnknownActorError,
    UsageError,
)
from casty_trio.link import Link, open_link
from casty_trio.link.held import Held
from casty_trio.model.address import ActorAddress, AddressMap, check_name
from casty_trio.model.checks import check_flag, check_instance
from casty_trio.model.ref import ActorRef
from casty_trio.model.settings import AccessSettings, LinkSettings
from casty_trio.model.statistics import AccessStatistics, PeerStatistics
from casty_trio.protocol import refs, wire
from casty_trio.protocol.codec import Codec
from casty_trio.protocol.frames import Kind
from casty_trio.protocol.handshake import Identity, Offer, escaped
from casty_trio.remote.connection import Connection
from casty_trio.remote.door import KEPT, Door, Pace, Quiet, Visit, check_listener
from casty_trio.remote.guests import guest_at
from casty_trio.remote.peer import Peer
from casty_trio.remote.peers import Peers
from casty_trio.remote.shielded import Shielded
from casty_trio.remote.slots import RemoteSlot
from casty_trio.remote.whereabouts import Whereabouts
from casty_trio.settings import Settings, merge_settings
from casty_trio.tls import Config, Credentials

__all__ = ["FrameHandler", "RemoteNode"]

FrameHandler = Callable[[Connection, memoryview], None]

SLOT_PATH = re.compile(r"/\$clients/([0-9]{1,19})/([0-9]{1,19})")
"""Where clients' reply refs stand; nobody's uid or number has more digits."""

ASK_PATH = re.compile(r"/\$asks/([0-9]{1,19})")
"""Where reply refs of this node's own asks stand."""

ACCEPT_PAUSE = 0.1
"""How long to wait after the system could not accept a connection (out of file descriptors, say), in seconds."""


class RemoteNode(ActorSystem):
    """The networked half of a clustered system; see `ClusteredActorSystem` for the parameters."""

    blocked_after: ClassVar[float] = 0.5

    def __init__(
        self,
        name: str,
        host: str,
        port: int,
        node_id: str,
        *,
        bind_host: str | None = None,
        bind_port: int | None = None,
        advertised_host: str | None = None,
        advertised_port: int | None = None,
        address_map: AddressMap | None = None,
        messages: Iterable[object] = (),
        converter: cattrs.Converter | None = None,
        tls: Config | None = None,
        secret: str | bytes | None = None,
        insecure: bool = False,
        link: LinkSettings | None = None,
        access: AccessSettings | None = None,
        settings: Settings | None = None,
        env: Env | None = None,
    ) -> None:
        self._where = Whereabouts(host, port, bind_host, bind_port, advertised_host, advertised_port)
        _check_arguments(converter, insecure, link, access)
        super().__init__(name, settings=merge_settings(settings, link=link, access=access), env=env)
        self.node_id: str = check_name(node_id, "node")
        self.codec: Codec = Codec(messages, converter=converter)
        self.link_settings: LinkSettings = self.all_settings.link
        self.credentials: Credentials = Credentials(tls, secret, name, "node", node_id, env=self.env)
        self.connections: dict[Connection, None] = {}
        self._by_uid: dict[int, dict[Connection, None]] = {}  # the same
        self.peers: Peers = Peers(self, address_map)
        own: dict[int, FrameHandler] = {Kind.ACTOR: self._on_actor, Kind.CANCEL: self._on_cancel}
        self.handlers: dict[int, FrameHandler] = own | self.peers.frames()
        self._prepare_listening(insecure)

    def _prepare_listening(self, insecure: bool) -> None:
        self.protocol_errors: int = 0
        self.leaving: bool = False
        self.shutdown.does("connections", self._close_connections, limited=False)
        self._host, self._port = self._where.host, self._where.port
        self.quiet: Quiet = Quiet(self.log, self.env.now)
        self.door: Door = Door(self.all_settings.access, self.node_id, self.quiet)
        self._accepting = trio.CancelScope()
        self._connection_ended = trio.Event()
        self._shielded = Shielded()
        check_listener(self._where.bind_host, authenticated=self.credentials.given, insecure=insecure)

    @property
    def address(self) -> ActorAddress:
        """Where the node is reached; with ``port=0`` its port is known once the block is entered."""
        return self.address_of("/", 0)

    @property
    def reached_at(self) -> tuple[str, int]:
        """The host and port that others know."""
        return self._host, self._port

    @property
    def identity(self) -> Identity:
        """Who the node is, in handshakes."""
        return Identity(self.name, "node", self.node_id, self.uid, self._host, self._port)

    def access_statistics(self) -> AccessStatistics:
        """Count who is connected, who was refused and why, and who asked for too much."""
        return self.door.statistics()

    def peer_statistics(self) -> tuple[PeerStatistics, ...]:
        """Count what there is to do with each of the other nodes, sorted by address."""
        return self.peers.statistics()

    # --- The block --------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Listen, and open the system.

        Raises:
            OSError: the address is taken, or not ours.
            SystemClosedError: it was entered before; make a new one.
        """
        if self._nursery_manager is not None:
            return await super().__aenter__()  # tells so, before the address is found to be taken
        listener = await self.env.listen(self._where.bind_host, self._where.bind_port)
        try:
            if self._where.port_is_bound:
                self._port = self.env.local_port(listener)
            await super().__aenter__()
        except BaseException:
            with trio.CancelScope(shield=True, deadline=trio.current_time()):
                await listener.aclose()
            raise
        self.start_service(partial(self._serve, listener), "connections")
        return self

    async def _close_connections(self) -> None:
        """Each after a goodbye; it comes after the actors, so that their replies can still leave."""
        try:
            self.leaving = True
            self.peers.poke()
            self._accepting.cancel()
            for connection in self.connections:
                connection.link.close(f"{self.node_id} leaves")
            with trio.CancelScope(shield=True) as scope:
                scope.deadline = trio.current_time() + self.link_settings.close_timeout + ACCEPT_PAUSE
                while self.connections:
                    await self._connection_ended.wait()
            self.peers.close()
        finally:  # whatever fails above: what is shielded ends by this alone
            self._shielded.end()

    def start_service(self, run: Callable[[], Awaitable[object]], name: str) -> None:
        """As `ActorSystem.start_service`, but what needs connections outlives a cancellation of the block, until its phase:
        other nodes are to hear that this one leaves, however that comes about.
        """
        super().start_service(partial(self._shielded.run, run), name)

    async def _serve(self, listener: Listener[ByteStream]) -> None:
        async with anyio.create_task_group() as tasks:
            with self._accepting:
                async with listener:
                    await self._accept(listener, tasks)

    async def _accept(self, listener: Listener[ByteStream], tasks: anyio.abc.TaskGroup) -> None:
        while True:
            try:
                await listener.serve(self._welcome, tasks)
            except* (OSError, anyio.BrokenResourceError) as errors:  # a group: a listener may stand for several sockets
                self.log.error("%s cannot accept connections: %r", self.node_id, errors.exceptions)
            await trio.sleep(ACCEPT_PAUSE)

    async def _welcome(self, stream: ByteStream) -> None:
        """The life of one connection that a peer opened."""
        with self.door.visit(stream) as visit:
            try:
                link = await self._shake_hands(stream, visit)
            finally:
                if visit.peer is not None:
                    visit.peer.accept_over()
            if link is not None:
                self.door.came_in(visit)
                await self.serve(self.connect(link, visit.peer, their_dial=visit.dial))

    def _admit(self, visit: Visit, offer: Offer) -> HandshakeError | None:
        refusal = self.refusal_of_clients() if offer.role == "client" else None
        refusal = refusal or visit.admit(offer)
        if refusal is None and offer.role == "node":
            refusal = self.peers.admit(offer)
            peer = self.peers.known(offer.host, offer.port)
            visit.peer, visit.dial = (peer, offer.dial) if refusal is None else (None, 0)
        return refusal

    async def _shake_hands(self, stream: ByteStream, visit: Visit) -> Link | None:
        """The link to a peer that may come in; what becomes of others is counted and told."""
        admit = partial(self._admit, visit)
        session = self.credentials.session(self.identity, self.link_settings, dialer=False, admit=admit)
        link: Link | None = None
        try:
            with visit.scope:
                link = await open_link(stream, session, self.credentials.accept)
        except HandshakeError as error:
            self.door.refused(visit, error)
        else:
            if link is None:
                self.door.refused(visit, HandshakeError("crowded", "it had to give way to newer ones before it was done"))
        return link

    def connect(self, link: Link, peer: Peer | None = None, dial: int = 0, their_dial: int = 0) -> Connection:
        """A connection after its handshake; ``dial`` is the number that this end gave it, or the other; serve it."""
        connection = Connection(self, link, peer, dial, their_dial)
        self.connections[connection] = None
        self._by_uid.setdefault(link.peer.uid, {})[connection] = None
        refusal: str | None = None
        if link.session.identity.uid != self.uid:
            refusal = f"{self.node_id} has started anew"
        elif peer is not None:
            refusal = peer.attach(connection)
        if refusal is not None:
            connection.turn_away(refusal)
        elif self.leaving:
            link.close(f"{self.node_id} leaves")
        elif peer is not None:
            self.peer_connected(peer)
        return connection

    async def serve(self, connection: Connection) -> None:
        """The life of a connection."""
        link, peer = connection.link, connection.peer
        limited = link.peer.role == "client"
        pace = Pace(self.door.settings.client_rate, self.door.client_slowed) if limited else None
        try:
            reason = await link.run(connection.on_frame, pace)
            if isinstance(link.error, ProtocolError):
                self.protocol_errors += 1
                self._complain(link, reason)
            else:
                self.log.debug("connection to %s ended: %s", link.peer_name, reason)
        finally:
            self._forget(connection)
            connection.close_slots()
            self.connection_ended(connection)
            if peer is not None:
                peer.detach(connection, link.reason)
            self._connection_ended.set()
            self._connection_ended = trio.Event()

    def _forget(self, connection: Connection) -> None:
        del self.connections[connection]
        uid = connection.link.peer.uid
        same = self._by_uid[uid]
        del same[connection]
        if not same:
            del self._by_uid[uid]

    def refusal_of_clients(self) -> HandshakeError | None:
        """Why this node takes no clients, if it takes none."""
        return None

    def connection_ended(self, connection: Connection) -> None:
        """There is one connection less."""

    def is_exposed(self, address: ActorAddress) -> bool:
        """Whether clients may reach the actor of that address, on whichever node it lives."""
        return False

    def place_of(self, uid: int) -> tuple[str, int] | None:
        """Where another node of the cluster is reached, by its uid."""
        return None

    def peer_connected(self, peer: Peer) -> None:
        """There is a new connection to another node."""

    def take_back(self, peer: Peer, lost: list[Held]) -> list[Held]:
        """Messages waited for a start of a node that is gone, and were never written; those that nobody sends elsewhere."""
        return lost

    def refused_as_gone(self, peer: Peer) -> None:
        """Another node says that this start of ours was declared gone."""

    def _complain(self, link: Link, why: str) -> None:
        peer = link.peer_name
        self.quiet.warning(("ended", peer), "connection to %s ended: %s", peer, why)

    # --- Frames ------------------------------------------------------------------------------------------------------

    def _on_cancel(self, connection: Connection, body: memoryview) -> None:
        connection.cancel(wire.unpack(wire.CancelFrame, body).ask)

    def _on_actor(self, connection: Connection, body: memoryview) -> None:
        """Another node reaches every actor; a client reaches those that offer a service, and reply refs."""
        frame = wire.unpack_actor(body)
        slot = connection.open_slot(frame.ask, frame.budget) if frame.ask else None
        peers, path = self.peers, frame.path
        target: ActorRef[Any] | None = None
        if connection.peer is not None:
            target = peers.find_local(path, frame.incarnation) or peers.adapters.find(path, frame.incarnation)
            target = target or guest_at(self, path, frame.incarnation)
        elif frame.uid in (0, self.uid):
            target = self.services.exposed(path, frame.incarnation)
        target = target or self._slot_at(path) or self._elsewhere(connection, frame)
        if target is None:
            self.refuse(slot, self._unknown(connection, path), path)
            return
        message = self.decode(connection, frame.name, frame.body, slot, frame.path)
        if message is REFUSED:
            return
        try:
            if slot is not None and isinstance(target, AskableRef):
                target.tell_asked(message, slot)
            else:
                target.tell(message)
        except EncodeError as error:  # it is too large for another node, say
            self.refuse(slot, error, frame.path)
        except MailboxFullError as error:  # of a tell its sender is elsewhere, and the dead letter is counted
            if slot is not None:
                slot.fail(error)

    def _elsewhere(self, connection: Connection, frame: wire.ActorFrame) -> ActorRef[Any] | None:
        """A service or a reply ref of another node, which a client does not connect to: its messages are passed on."""
        place = self.place_of(frame.uid) if connection.peer is None and frame.uid != self.uid else None
        if place is None:
            return None
        address = ActorAddress(self.name, frame.path, *place, frame.uid, frame.incarnation)
        allowed = is_reply(frame.path) or self.is_exposed(address)
        return self.peers.ref(address, dial=True) if allowed else None

    def _unknown(self, connection: Connection, path: str) -> Exception:
        if connection.peer is not None:
            return UnknownActorError(f"{self.node_id} has no such actor at {escaped(path)}")
        return UnknownActorError(f"{escaped(path)} is not exposed to clients, or has stopped")

    def decode(self, connection: Connection, name: str, body: Any, slot: ReplySlot | None, target: str) -> Any:
        """The message in a frame, or `REFUSED`; a bad one costs itself only: a nack, a dead letter, a line in the log."""
        try:
            return self.codec.decode(name, body, connection.read_ref)
        except DecodeError as error:
            self.tell_refused(connection, name, target, error)
            self.refuse(slot, RequestRefusedError(str(error)), target)
            return REFUSED

    def tell_refused(self, connection: Connection, kind: str, target: str, error: Exception) -> None:
        """Log that a peer's message is refused; once in a while for each kind of them."""
        peer = connection.link.peer_name
        text = "a message for %s from %s is refused: %s"
        self.quiet.warning(("message", peer, kind[:KEPT]), text, escaped(target), peer, error)

    def refuse(self, slot: RemoteSlot | ReplySlot | None, error: Exception, target: str) -> None:
        """A peer's message cannot be delivered: say so to its asker, if it has one, and count it."""
        if isinstance(slot, RemoteSlot):
            slot.connection.refuse(slot.number, error)
            slot.expire()
        self.dead_letter(error, self.dead_letters, f"a peer's message for {escaped(target)}: {error}")

    # --- Refs --------------------------------------------------------------------------------------------------------

    def address_of(self, path: str, incarnation: int) -> ActorAddress:
        return ActorAddress(self.name, path, self._host, self._port, self.uid, incarnation)

    def write_ref(self, ref: ActorRef[Any]) -> tuple[int, bytes]:
        """A ref as it is written to any peer; what is relative to one connection is seen to before."""
        if isinstance(ref, AdapterRef):
            self.peers.adapters.keep(ref)
        return refs.pack_address(ref.address)

    def resolve(self, uri: str | ActorAddress) -> ActorRef[Any]:
        """The ref to an actor by its address, on this node or another; nothing is sent for it.

        Parameters:
            uri: ``casty://system@host:port/path``, or the `address` of a ref. A path alone means whoever lives there when a
                message arrives; with uid and incarnation it means one actor for good.

        Raises:
            InvalidNameError: the text is no such address.
            UsageError: the address belongs to a system of another name.

        Example:
            >>> # greeter: ActorRef[Greet] = system.resolve("casty://shop@10.0.0.2:25520/greeter")
        """
        self._check_open()
        address = ActorAddress.parse(uri) if isinstance(uri, str) else uri
        if address.system != self.name:
            raise UsageError(f"{address} is not in the system {self.name}: nodes talk to those of one name only")
        return self._resolve(address, dial=True)

    def resolve_sent(self, address: ActorAddress, connection: Connection) -> ActorRef[Any]:
        """The ref for an address that a peer has sent. A client's word is no reason to dial anybody.

        Raises:
            DecodeError: a client has it from nobody, and may not reach who lives there: no actor is to do that for it.
        """
        if connection.peer is None and not self._may_name(address, connection):
            raise DecodeError(f"the ref to {escaped(address.path)} is not exposed to clients, and was not sent to this one")
        return self._resolve(address, dial=connection.peer is not None)

    def resolve_own(self, address: ActorAddress) -> ActorRef[Any]:
        """The ref for an address that this node has written itself."""
        return self._resolve(address, dial=False)

    def _may_name(self, address: ActorAddress, connection: Connection) -> bool:
        """Whether a client may send a ref: that of a service, a reply ref, or one that this connection has brought it."""
        return is_reply(address.path) or connection.has_sent(address) or self.is_exposed(address)

    def lives_at(self, host: str, port: int) -> bool:
        """Whether that is this node's own address."""
        return (host, port) == (self._host, self._port)

    def _resolve(self, address: ActorAddress, *, dial: bool) -> ActorRef[Any]:
        ours = address.uid == self.uid or (
            address.uid == 0 and (address.host is None or self.lives_at(address.host, address.port or 0))
        )
        if ours:
            ref = self._slot_at(address.path) or self.lookup(address.path)
            ref = ref or self.peers.adapters.find(address.path, address.incarnation)
            ref = ref or guest_at(self, address.path, address.incarnation)
            if ref is not None and address.incarnation in (0, ref.address.incarnation):
                return ref
        return self.peers.ref(address, dial=dial)

    def resolve_entity(self, shard_type: str, entity_id: str) -> ActorRef[Any]:
        """The ref of an entity; only where shards are known."""
        raise DecodeError(f"{shard_type}/{entity_id}: no sharded types here")

    def resolve_broadcast(self, name: str) -> ActorRef[Any]:
        """The ref of what runs on every member; only where there are members."""
        raise DecodeError(f"{name}: no members here")

    def _slot_at(self, path: str) -> ReplySlot | None:
        """The open reply ref of a client of this node, its gateway, or of an ask of this node."""
        asked = ASK_PATH.fullmatch(path)
        if asked is not None:
            return self.ask_named(int(asked[1]))
        match = SLOT_PATH.fullmatch(path)
        if match is None:
            return None
        uid, number = int(match[1]), int(match[2])
        for connection in self._by_uid.get(uid, ()):
            if number in connection.slots:
                return connection.slots[number]
        newest = self.connection_of(uid)
        return RemoteSlot(newest, number, math.inf) if newest is not None else None

    def connection_of(self, uid: int) -> Connection | None:
        """A client's connection: the newest, when it is back before its last one has ended."""
        return next(reversed(self._by_uid.get(uid, {})), None)


class _Refused:
    """In the place of a message that could not be decoded."""


REFUSED = _Refused()


def _check_arguments(converter: object, insecure: object, link: object, access: object) -> None:
    check_instance("converter", converter, cattrs.Converter)
    check_flag("insecure", insecure)
    check_instance("link", link, LinkSettings)
    check_instance("access", access, AccessSettings)


def is_reply(path: str) -> bool:
    """Whether a reply ref stands there, on whichever node: nobody can guess the number of one."""
    return SLOT_PATH.fullmatch(path) is not None or ASK_PATH.fullmatch(path) is not None
