"""`ClusteredActorSystem`: a node of a cluster, what stands on it, and its clients. Floor F4.

What the cluster looks like goes to every client that subscribed, when it subscribes and whenever it changes.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Literal, TypeVar, overload

import cattrs
from msgspec.structs import replace

from casty_trio.actors.ask import AskSlot
from casty_trio.actors.refs import AskableRef
from casty_trio.cluster.checked import Checked
from casty_trio.cluster.extension import installed
from casty_trio.cluster.member import SeedNodes, check_membership
from casty_trio.cluster.parting import Parting
from casty_trio.cluster.queries import QueriedNode
from casty_trio.cluster.service import ClusterSetup
from casty_trio.cluster.telling import pack_state
from casty_trio.env import Env
from casty_trio.errors import (
    LinkClosedError,
    LinkFullError,
    MessageTooLargeError,
    ProtocolError,
    UsageError,
)
from casty_trio.link.held import Held
from casty_trio.model.address import ActorAddress, AddressMap
from casty_trio.model.broadcast import BroadcastRef
from casty_trio.model.checks import (
    check_addresses,
    check_flag,
    check_roles,
    check_types,
)
from casty_trio.model.cluster_events import TopologySnapshot
from casty_trio.model.daemons import DaemonsRef
from casty_trio.model.events import Event
from casty_trio.model.kinds import Behavior, BoundFactory, Broadcasted, Daemons
from casty_trio.model.mailbox import Mailbox
from casty_trio.model.pubsub import ClientReceptionist, PubSub
from casty_trio.model.ref import ActorRef
from casty_trio.model.settings import AccessSettings, LinkSettings
from casty_trio.protocol.downing import DowningStrategy, KeepMajority
from casty_trio.protocol.frames import Kind
from casty_trio.remote import Connection, Peer
from casty_trio.settings import Settings
from casty_trio.tls import Config

__all__ = ["ClusteredActorSystem"]

M = TypeVar("M")
R = TypeVar("R")
OnDowned = Literal["raise", "rejoin"]

VERSION_SIZE = 8
REFRESHED = 1.0
"""So often, in seconds, the state is told again at most to a client that asks."""


class ClusteredActorSystem(QueriedNode):
    """An actor system that is a node of a cluster, and that clients reach over TCP.

    Parameters:
        name: the cluster's name; clients have to give the same.
        host: where the node is reached; it listens there too, unless ``bind_host`` says otherwise.
        port: likewise; 0 picks a free one, and `address` tells which.
        node_id: the node's own name.
        seed_nodes: where to look for a cluster: the addresses (host and port) of some of its nodes, the same for each;
            or an async function that tells these, and is asked every 5 seconds. Without any, the node founds a cluster; with
            a function it waits until that has named some, this node among them where it may found one.
        roles: what the node is for; `Member.roles` tells the others.
        required_quorum: how many members have to be up before the block is entered; `wait_for` can do it later.
        downing: which of the members that cannot be reached are down, or which part of a cluster that has split goes on;
            None declares nobody down.
        on_downed: what becomes of this node when it is declared down: ``"raise"`` ends its block with `NodeDownedError`,
            ``"rejoin"`` lets it join again as another member; its own actors live on, what the cluster gave it does not.
        bind_host: where it listens, if that is not where it is reached.
        bind_port: likewise; 0 picks a free one.
        advertised_host: where other nodes and clients reach it, if that is not ``host``; say, behind an address translation.
        advertised_port: likewise.
        address_map: turns the host and port of another node into those to dial, for tunnels and port mappings.
        messages: message types beyond those that are read from the annotations of sharded behaviours.
        converter: a cattrs converter whose hooks serve types that neither msgspec nor cattrs know by themselves.
        check_serialization: send messages between this node's own callers and its sharded actors through the codec as well,
            so that what works on one node works on two. For tests: it costs what the wire costs. When left out, ``env``
            decides: so it is in simulations, and not so in the real world.
        tls: this node's certificate and the authorities it believes; everybody who connects needs a certificate then.
        secret: what nodes and clients of this cluster prove to each other that they know: at least 32 random bytes, or 43
            characters of text, as ``python -m casty_trio secret`` makes them.
        insecure: listen off loopback although nothing is authenticated.
        link: sizes and deadlines of the connections, in the place of those in ``settings``.
        access: how many may connect, and what one client may ask for; likewise.
        settings: everything else: how patient the node is, and how often it says what; the defaults when left out.
        env: the door to clock, randomness and sockets; the real world when left out.

    Example:
        >>> import trio
        >>> from casty_trio import Behavior, Behaviors, ClusteredActorSystem
        >>> def cart(entity_id: str) -> Behavior[str]:
        ...     return Behaviors.receive(lambda ctx, item: None)
        >>> async def main() -> None:
        ...     async with ClusteredActorSystem(name="shop", host="127.0.0.1", port=0, node_id="node-1") as system:
        ...         system.spawn(Behaviors.sharded(cart, num_shards=10), "cart")
        ...         await system.wait_for(1)
        >>> trio.run(main)
    """

    def __init__(  # long by its parameters, which stand here twice: they are what programs see, and are checked against
        self,
        name: str,
        host: str,
        port: int,
        node_id: str,
        *,
        seed_nodes: SeedNodes = (),
        roles: Iterable[str] = (),
        required_quorum: int | None = None,
        downing: DowningStrategy | None = KeepMajority(),  # noqa: B008 - frozen
        on_downed: OnDowned = "raise",
        bind_host: str | None = None,
        bind_port: int | None = None,
        advertised_host: str | None = None,
        advertised_port: int | None = None,
        address_map: AddressMap | None = None,
        messages: Iterable[object] = (),
        converter: cattrs.Converter | None = None,
        check_serialization: bool | None = None,
        tls: Config | None = None,
        secret: str | bytes | None = None,
        insecure: bool = False,
        link: LinkSettings | None = None,
        access: AccessSettings | None = None,
        settings: Settings | None = None,
        env: Env | None = None,
    ) -> None:
        messages = check_types("messages", messages)
        if check_serialization is not None:
            check_flag("check_serialization", check_serialization)
        super().__init__(
            name,
            host,
            port,
            node_id,
            bind_host=bind_host,
            bind_port=bind_port,
            advertised_host=advertised_host,
            advertised_port=advertised_port,
            address_map=address_map,
            messages=messages,
            converter=converter,
            tls=tls,
            secret=secret,
            insecure=insecure,
            link=link,
            access=access,
            settings=settings,
            env=env,
        )
        check_membership(required_quorum, downing, on_downed)
        discovery, seeds = (seed_nodes, None) if callable(seed_nodes) else (None, check_addresses("seed_nodes", seed_nodes))
        sections = self.all_settings
        setup = ClusterSetup(seeds, check_roles("roles", roles), downing, sections.cluster, sections.detector)
        self._prepare_membership(setup, discovery, required_quorum, on_downed)
        self.has_messages: bool = bool(messages)
        self.check_serialization: bool = self.env.check_serialization if check_serialization is None else check_serialization
        self._state_version = 0
        self._told: TopologySnapshot | None = None
        self._extensions = [extension(self) for extension in installed()]
        seen_to = [kind for extension in self._extensions for kind in extension.seen_to]
        self.checked: Checked = Checked(self.codec, self.link_settings.max_message, seen_to)
        self._take_frames()

    def _take_frames(self) -> None:
        self.handlers[Kind.SUBSCRIBE] = self._on_subscribe
        self.handlers[Kind.REFRESH] = self._on_refresh
        self._parting = Parting(self.handlers)
        for each in self._extensions:
            self.handlers.update(each.frames())

    @overload
    def spawn(
        self, behavior: Broadcasted[M], name: str | None = None, *, mailbox: Mailbox | None = None
    ) -> BroadcastRef[M]: ...
    @overload
    def spawn(  # type: ignore[overload-overlap] # a DaemonsRef is an ActorRef of envelopes, which mypy does not see
        self, behavior: Daemons[M], name: str | None = None, *, mailbox: Mailbox | None = None
    ) -> DaemonsRef[M]: ...
    @overload
    def spawn(self, behavior: Behavior[M], name: str | None = None, *, mailbox: Mailbox | None = None) -> ActorRef[M]: ...

    def spawn(self, behavior: Behavior[M], name: str | None = None, *, mailbox: Mailbox | None = None) -> ActorRef[M]:
        """Start an actor at the top of the tree, or what `Behaviors.sharded`, `daemons`, `singleton` or such describes.

        See `ActorSystem.spawn`. What spreads over the cluster needs a name, the same on every node.

        Raises:
            UnknownMessageTypeError: a behaviour that spreads over the cluster does not tell which messages it handles.
            UnsupportedTypeError: one of them can never be sent.
        """
        for extension in self._extensions:
            if isinstance(behavior, extension.behavior):
                return extension.spawn(behavior, name, mailbox)
        return super().spawn(behavior, name, mailbox=mailbox)

    @overload
    async def ask(
        self, ref: BroadcastRef[M], msg_factory: Callable[[ActorRef[R]], M], *, timeout: float = 5.0, watch: bool = False
    ) -> tuple[R, ...]: ...
    @overload
    async def ask(
        self, ref: ActorRef[M], msg_factory: Callable[[ActorRef[R]], M], *, timeout: float = 5.0, watch: bool = False
    ) -> R: ...
    @overload
    async def ask(
        self, ref: ActorRef[M], msg_factory: BoundFactory[R, M], *, timeout: float = 5.0, watch: bool = False
    ) -> R: ...

    def ask(
        self, ref: ActorRef[Any], msg_factory: Callable[[ActorRef[Any]], Any], *, timeout: float = 5.0, watch: bool = False
    ) -> Coroutine[Any, Any, Any]:
        """Send a message that carries a reply ref, and wait for the reply, or for one of each member; see `ActorSystem.ask`.

        Through a `BroadcastRef` the members are asked that are up by then, all at once, each by a message of its own. It
        ends with a tuple of what they replied, sorted by their addresses, when the last of them has.

        Raises:
            BroadcastAskError: some have not replied, and why stands in it, beside the replies of the others; or no member
                is up. `BroadcastAskTimeoutError` where they are only late.
            AskError: as `ActorSystem.ask`.
        """
        if isinstance(ref, BroadcastRef):
            return ref.ask_each(msg_factory, timeout=timeout, watch=watch)
        return super().ask(ref, msg_factory, timeout=timeout, watch=watch)

    def open_ask(self, ref: AskableRef[Any], msg_factory: Callable[[ActorRef[Any]], Any], timeout: float) -> AskSlot:
        """Send the message of an ask; whoever opened it waits for its end, or abandons it."""
        self._check_open()
        slot = AskSlot(self, ref, timeout)
        try:
            ref.tell_asked(msg_factory(slot), slot)
        except BaseException:
            slot.abandon()
            raise
        if not slot.closed:
            self._asks.add(slot)
        return slot

    def resolve_entity(self, shard_type: str, entity_id: str) -> ActorRef[Any]:
        """The ref of an entity that came over the wire."""
        for extension in self._extensions:
            found = extension.resolve_entity(shard_type, entity_id)
            if found is not None:
                return found
        return super().resolve_entity(shard_type, entity_id)

    def resolve_broadcast(self, name: str) -> ActorRef[Any]:
        """The ref of what runs on every member, by its name."""
        for extension in self._extensions:
            found = extension.resolve_broadcast(name)
            if found is not None:
                return found
        return super().resolve_broadcast(name)

    def write_ref(self, ref: ActorRef[Any]) -> tuple[int, bytes]:
        """A ref as it is written to any peer; that of an entity names type and id, wherever it lives."""
        for extension in self._extensions:
            written = extension.write_ref(ref)
            if written is not None:
                return written
        return super().write_ref(ref)

    @property
    def pubsub(self) -> PubSub:
        """The topics of the cluster, and the actors that are reached by their path alone.

        Raises:
            UsageError: the system was made without them.

        Example:
            >>> # system.pubsub.subscribe(NEWS, listener)
            >>> # system.pubsub.publish(NEWS, News("it works"))
        """
        for extension in self._extensions:
            if extension.pubsub is not None:
                return extension.pubsub
        raise UsageError("this system was made without topics: import casty_trio, which installs them")

    def client_receptionist(self, name: str = "receptionist") -> ClientReceptionist:
        """What clients may reach by a path or a topic: `ClusterClient.send`, `send_to_all` and `publish`.

        `ClusterClientUp` and `ClusterClientUnreachable` on the event stream tell of the clients whose contact this node is.

        Parameters:
            name: there may be several, for clients of several kinds; those of one name on all nodes are one.

        Raises:
            SettingsError: none can have the name.

        Example:
            >>> # system.client_receptionist().register_service(system.spawn(greeter(), "greeter"))
        """
        for extension in self._extensions:
            found = extension.client_receptionist(name)
            if found is not None:
                return found
        raise UsageError("this system was made without topics: import casty_trio, which installs them")

    # --- What members and clients are told ----------------------------------------------------------------------------

    def _start_above(self) -> None:
        for extension in self._extensions:
            extension.start()

    def peer_connected(self, peer: Peer) -> None:
        super().peer_connected(peer)
        for extension in self._extensions:
            extension.peer_connected(peer.uid)

    def take_back(self, peer: Peer, lost: list[Held]) -> list[Held]:
        for extension in self._extensions:
            lost = extension.take_back(peer, lost)
        return lost

    def let_go(self) -> None:
        for extension in self._extensions:
            extension.node_downed()

    @property
    def hosts_nothing(self) -> bool:
        return all(extension.hosts_nothing for extension in self._extensions)

    async def freed(self) -> None:
        for extension in self._extensions:
            if not extension.hosts_nothing:
                await extension.freed()

    def gone(self) -> None:
        for extension in self._extensions:
            extension.node_left()

    async def hand_over(self) -> None:
        for extension in reversed(self._extensions):  # shards last: entities that were stopped get no time to start again
            await extension.hand_over()

    def cluster_changed(self) -> None:
        super().cluster_changed()
        for extension in self._extensions:
            extension.cluster_changed()
        self.state_changed()

    def _snapshots(self) -> Iterable[Event]:
        return (self._topology(), *(event for extension in self._extensions for event in extension.present()))

    # --- Clients -----------------------------------------------------------------------------------------------------

    def state_changed(self) -> None:
        """Tell everybody who listens, and every client that subscribed, what there is now."""
        topology, before = self._topology(), self._told
        if topology == before:
            return
        self._told = topology
        self.publish(TopologySnapshot, *(getattr(topology, name) for name in TopologySnapshot.__struct_fields__))
        if before is not None and replace(before, registry=topology.registry) == topology:
            return  # clients hear of services by themselves
        self._state_version += 1
        body = self._state()
        for connection in self.connections:
            if connection.subscribed:
                self._push(connection, body)

    def _on_subscribe(self, connection: Connection, body: memoryview) -> None:
        if connection.subscribed:  # the answer is so much larger than the question
            raise ProtocolError("a second SUBSCRIBE on one connection: changes are told without")
        if self.has_left:
            connection.link.close("the node has left its cluster")
            return
        connection.subscribed = True
        for extension in self._extensions:
            extension.client_subscribed(connection)
        self._push(connection, self._state())

    def _on_refresh(self, connection: Connection, body: memoryview) -> None:
        """A subscriber tells which version it has: a change may have been lost, for its link was full."""
        if not connection.subscribed or len(body) != VERSION_SIZE:
            raise ProtocolError("a REFRESH is the version of the state, on a connection with a SUBSCRIBE")
        for extension in self._extensions:
            extension.client_refreshed(connection)
        now = self.clock()
        if int.from_bytes(body, "big") != self._state_version and now - connection.refreshed >= REFRESHED:
            connection.refreshed = now
            self._push(connection, self._state())

    async def part_with_clients(self) -> None:
        others = [member for member in self.members if member.uid != self.uid]
        if any(map(self.takes_clients, others)):  # else they have nowhere else to go
            await self._parting.ask(self.connections, self.link_settings.close_timeout)

    def connection_ended(self, connection: Connection) -> None:
        self._parting.over(connection)
        for extension in self._extensions:
            extension.connection_ended(connection)

    def is_exposed(self, address: ActorAddress) -> bool:
        return any(extension.knows(address) for extension in self._extensions)

    def _push(self, connection: Connection, body: bytes) -> None:
        try:
            connection.link.write(Kind.STATE, body)
        except (LinkClosedError, LinkFullError) as error:
            self.quiet.warning(("deaf", connection.link.peer.node_id), "%s does not hear of a change: %s", connection, error)
        except MessageTooLargeError as error:
            self.log.error("%s cannot be told the state of the cluster: %s", connection, error)
            connection.link.close("the state of the cluster is too large for you")

    def _state(self) -> bytes:
        types, role = self._shard_types(), self.all_settings.receptionist.role
        return pack_state(self._state_version, self.cluster_state, self.self_node, types, role)
