"""`ClusterClient`: a program outside the cluster that talks to its actors, on Trio or asyncio. Floor: client, on anyio.

It joins nothing and listens nowhere: it dials one contact point, learns the cluster's state there, and all its messages and
replies travel on that stream.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Set
from contextlib import AbstractAsyncContextManager, suppress
from types import TracebackType, UnionType
from typing import Any, Self, TypeVar, overload

import anyio
import cattrs
import msgspec
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from casty_trio.client.asks import ClientAsk, Deadlines
from casty_trio.client.refs import ClientEntityRef, ClientRef, ClientRegionRef
from casty_trio.client.stream import ClientStream
from casty_trio.client.topology import topology_of
from casty_trio.env import Env, RealEnv
from casty_trio.errors import (
    ConnectError,
    DecodeError,
    EncodeError,
    LinkClosedError,
    LinkError,
    LinkFullError,
    MailboxFullError,
    ProtocolError,
    ReplyDecodeError,
    ShardCountError,
    SystemClosedError,
    UnknownActorError,
    UsageError,
)
from casty_trio.link import LinkStatistics
from casty_trio.link.parking import Parking, TrioParking, parking_class, running_clock
from casty_trio.model.address import ActorAddress, AddressMap, address_map_of, check_name
from casty_trio.model.behavior import BoundFactory
from casty_trio.model.blocks import leave_nursery
from casty_trio.model.checks import (
    MOST_SHARDS,
    check_count,
    check_host,
    check_instance,
    check_port,
    check_seconds,
    check_types,
    refuse,
)
from casty_trio.model.cluster_events import TopologySnapshot
from casty_trio.model.envelope import ShardEnvelope
from casty_trio.model.member import Member
from casty_trio.model.ref import ActorRef
from casty_trio.model.settings import LinkSettings
from casty_trio.protocol import refs, wire
from casty_trio.protocol.codec import Codec
from casty_trio.protocol.frames import Kind
from casty_trio.protocol.handshake import Identity
from casty_trio.tls import Config, Credentials

__all__ = ["ClientStatistics", "ClusterClient"]

M = TypeVar("M")
R = TypeVar("R")

log: logging.Logger = logging.getLogger("casty_trio.client")


class ClientStatistics(msgspec.Struct, frozen=True):
    """What a client counts.

    Attributes:
        asks: asks that wait for their reply.
        connections: how many connections there have been.
        dropped: messages that were not sent, and replies nobody waited for.
        link: what the present connection has carried; None while there is none.
    """

    asks: int
    connections: int
    dropped: int
    link: LinkStatistics | None


class ClusterClient:
    """A connection to a cluster from outside, as an ``async with`` block; on Trio and on asyncio.

    Inside the block it is ready: the cluster's state is known, and the first message goes where it belongs.

    Parameters:
        contact_points: host and port of one node or more; tried in this order.
        system_name: the cluster's name.
        client_host: the host this client gives as its own in handshakes; nothing listens there.
        client_port: likewise.
        address_map: turns the address of a node into the one to dial, for tunnels and port mappings.
        messages: message types to know from the start; those in the annotations of what is sent are found by themselves.
        converter: a cattrs converter whose hooks serve types that neither msgspec nor cattrs know by themselves.
        tls: this client's certificate and the authorities it believes, if the cluster's nodes have ``tls``.
        secret: what the cluster was given as its ``secret``, if it was.
        connect_timeout: how long entering the block may take, in seconds.
        link: sizes and deadlines of the connection.
        env: the door to clock, randomness and sockets; the real world when left out.

    Example:
        >>> # async with ClusterClient(contact_points=[("127.0.0.1", 25520)], system_name="shop") as client:
        >>> #     carts = client.entity_ref("cart", num_shards=100)
        >>> #     total: int = await client.ask(carts, lambda r: ShardEnvelope("user-1", GetTotal(reply_to=r)))
    """

    def __init__(
        self,
        contact_points: Iterable[tuple[str, int]],
        system_name: str,
        client_host: str = "127.0.0.1",
        client_port: int = 0,
        *,
        address_map: AddressMap | None = None,
        messages: Iterable[object] = (),
        converter: cattrs.Converter | None = None,
        tls: Config | None = None,
        secret: str | bytes | None = None,
        connect_timeout: float = 10.0,
        link: LinkSettings | None = None,
        env: Env | None = None,
    ) -> None:
        _check_arguments(client_host, client_port, connect_timeout, converter, link, env)
        self.contact_points: tuple[tuple[str, int], ...] = _checked_contacts(contact_points)
        self.system_name: str = check_name(system_name, "system")
        self.address_map: AddressMap = address_map_of(address_map)
        self.codec: Codec = Codec(check_types("messages", messages), converter=converter)
        self.link_settings: LinkSettings = link if link is not None else LinkSettings()
        self.env: Env = env if env is not None else RealEnv()
        uid = self.env.uid()
        self.identity: Identity = Identity(system_name, "client", f"client-{uid:x}", uid, client_host, client_port)
        self.credentials: Credentials = Credentials(tls, secret, system_name, "client", env=self.env)
        self.stream: ClientStream = ClientStream(self, self._on_frame)
        self._connect_timeout = connect_timeout
        self._asks: dict[int, ClientAsk] = {}
        self._asked = 0
        self._deadlines = Deadlines()
        self._dropped = 0
        self._manager: AbstractAsyncContextManager[TaskGroup] | None = None
        self._tasks: TaskGroup | None = None
        self._ready = anyio.Event()
        self._open_parking: Callable[[], Parking] = TrioParking  # of which kind it is, the block tells
        self._now: Callable[[], float] = anyio.current_time
        self._regions: dict[str, ClientRegionRef[Any]] = {}
        self._shards: dict[str, int] = {}
        self._topology = TopologySnapshot()

    def __repr__(self) -> str:
        where = self.stream.link.peer_name if self.stream.link is not None else "nobody"
        return f"<ClusterClient of {self.system_name}, connected to {where}>"

    # --- The block --------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Connect, and wait until the cluster's state is known.

        Raises:
            ConnectError: no contact point answered within ``connect_timeout``.
            HandshakeError: one refused this client for good: another system name or protocol version.
            SystemClosedError: it was entered before; make a new one.
        """
        if self._manager is not None:
            raise SystemClosedError("this client was entered before: make a new one for a new block")
        self._open_parking, self._now = parking_class(), running_clock()
        deadline = self._now() + self._connect_timeout
        link = await self.stream.connect(self._connect_timeout)
        self._manager = anyio.create_task_group()
        self._tasks = await self._manager.__aenter__()
        self._tasks.start_soon(self._deadlines.run, name="casty_trio client (asks)")
        self._tasks.start_soon(self.stream.run, link, name="casty_trio client (stream)")
        try:
            with anyio.CancelScope(deadline=deadline):
                await self._ready.wait()
            if not self._ready.is_set():
                raise ConnectError(f"{link.peer_name} did not tell the state of the cluster in {self._connect_timeout:g} s")
        except BaseException as error:
            await self._leave(error, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        """Send what is queued, say goodbye, and end everything the client runs.

        Raises:
            LinkError: the cluster refused the client for good while it reconnected; only when the body did not raise.
        """
        stopping: BaseException | None = None
        try:
            await self.stream.leave(self.link_settings.close_timeout + 1.0)
        except BaseException as raised:  # noqa: BLE001 - it goes through the task group, whose cancellation it may be
            stopping = raised
        return await self._leave(error, stopping)

    async def _leave(self, error: BaseException | None, stopping: BaseException | None) -> bool:
        assert self._manager is not None  # it was entered
        assert self._tasks is not None
        self._tasks.cancel_scope.cancel()
        self._tasks = None
        for ask in list(self._asks.values()):
            ask.fail(SystemClosedError("the client has left its block"))
        return await leave_nursery(self._manager, error, stopping, anyio.get_cancelled_exc_class())

    # --- What programs do -------------------------------------------------------------------------------------------------

    @overload
    def entity_ref(self, shard_type: str, *, num_shards: int, message_type: type[M]) -> ActorRef[ShardEnvelope[M]]: ...
    @overload
    def entity_ref(
        self, shard_type: str, *, num_shards: int, message_type: UnionType | None = None
    ) -> ActorRef[ShardEnvelope[Any]]: ...

    def entity_ref(self, shard_type: str, *, num_shards: int, message_type: Any = None) -> ActorRef[ShardEnvelope[Any]]:
        """A ref that takes `ShardEnvelope`s for the entities of a sharded type.

        Parameters:
            shard_type: the name under which the cluster spawned the type.
            num_shards: into how many shards its ids are hashed; as in the cluster.
            message_type: the class of its messages, for the checkers; a union is told by annotating the variable:
                ``carts: ActorRef[ShardEnvelope[CartMessage]] = client.entity_ref(...)``. Without either, a checker lets any
                message pass.

        Raises:
            ShardCountError: the cluster, or while it has no such type an earlier call, has another number of shards.
            SettingsError: ``num_shards`` is no number from 1 to 65 536.
            InvalidNameError: no sharded type can have the name.
        """
        self._check_open()
        check_name(shard_type, "sharded type")
        check_count("num_shards", num_shards, 1, MOST_SHARDS)
        ref = self._regions.get(shard_type)
        there = self._shards.get(shard_type, ref.num_shards if ref is not None else num_shards)
        if there != num_shards:
            raise ShardCountError(f"{shard_type!r} has {there} shards, not {num_shards}: they have to agree everywhere")
        if ref is None or ref.num_shards != num_shards:
            self._regions[shard_type] = ref = ClientRegionRef[Any](self, shard_type, num_shards)
        if message_type is not None:
            self.codec.register(message_type)
        return ref

    def tell(self, ref: ActorRef[M], message: M) -> None:
        """The same as ``ref.tell(message)``."""
        ref.tell(message)

    @overload
    async def ask(self, ref: ActorRef[M], msg_factory: Callable[[ActorRef[R]], M], *, timeout: float = 5.0) -> R: ...
    @overload
    async def ask(self, ref: ActorRef[M], msg_factory: BoundFactory[R, M], *, timeout: float = 5.0) -> R: ...

    async def ask(self, ref: ActorRef[M], msg_factory: Callable[[ActorRef[R]], M], *, timeout: float = 5.0) -> R:
        """Send a message that carries a reply ref, and wait for the reply.

        Parameters:
            ref: whom to ask, from this client.
            msg_factory: gets the reply ref, returns the message.
            timeout: how long to wait, in seconds; ``math.inf`` waits as long as the caller does.

        Raises:
            AskTimeoutError: no reply came in time.
            ActorStoppedError: the actor stopped with the message queued or in its hands.
            ActorFailedError: it failed on this message; the text names the exception.
            UnknownActorError: nothing by that name is there, or it may not be reached from outside.
            ShardCountError: the cluster has another number of shards for the type.
            RequestRefusedError: the node could not decode the message.
            OverloadedError: the node has too many asks of this client open; it has not looked at this one.
            ReplyDecodeError: the reply could not be decoded here.
            OutcomeUnknownError: the connection ended after the ask was written.
            MailboxFullError: too much waits to be written already.
            EncodeError: the message cannot be encoded.
            SystemClosedError: the client has left its block, or is about to: it was cancelled, or refused for good.
            UsageError: the ref is not this client's.
            SettingsError: the timeout is negative or no number.

        Example:
            >>> # total: int = await client.ask(carts, lambda r: ShardEnvelope("user-1", GetTotal(reply_to=r)))
        """
        self._check_open()
        target: Any = ref  # a WireRef, if it is ours
        if getattr(ref, "client", None) is not self:
            raise UsageError(f"{ref!r} is not a ref of this client")
        if type(timeout) is not float or not timeout >= 0:  # looked at closely only when it is no usual one
            check_seconds("timeout", timeout)
        self._asked += 1
        ask = ClientAsk(self, self._asked, ref, timeout, self._open_parking())
        kind, body = target.frame(msg_factory(ask), ask.number, timeout if timeout < math.inf else None)
        try:
            self.stream.write(kind, body)
        except LinkFullError as error:
            raise MailboxFullError(f"{ref!r} cannot be asked now: {error}") from error
        except LinkClosedError as error:
            raise SystemClosedError(f"{ref!r} cannot be asked any more: {error}") from error
        self._asks[ask.number] = ask
        if timeout < math.inf:
            self._deadlines.add(self._now() + timeout, ask)
        try:
            await (ask.parking.park() if not ask.closed else checkpoint())
        finally:
            del self._asks[ask.number]
            if not ask.closed:
                ask.closed = True
                self.give_up(ask)
        return ask.result()  # type: ignore[no-any-return] # R is the checkers' word for what the actor tells

    @property
    def topology(self) -> TopologySnapshot:
        """What the cluster looks like, as it was told last: members, leader, who is unreachable, and where shards live.

        Of a member ``up_number`` and ``counter`` are not told: they are 0.
        """
        return self._topology

    @property
    def members(self) -> tuple[Member, ...]:
        """The members of the cluster, as they were told last, sorted by address; see `topology` for the rest."""
        return self._topology.members

    def statistics(self) -> ClientStatistics:
        """Count what there is."""
        link = self.stream.link
        return ClientStatistics(
            len(self._asks), self.stream.connections, self._dropped, link.statistics() if link is not None else None
        )

    # --- What the client's parts need --------------------------------------------------------------------------------

    def address_of(self, path: str, incarnation: int) -> ActorAddress:
        """The address of something that lives in this client."""
        me = self.identity
        return ActorAddress(self.system_name, path, me.host, me.port, me.uid, incarnation)

    def num_shards(self, shard_type: str) -> int:
        """Into how many shards a type's ids are hashed.

        Raises:
            UnknownActorError: the cluster has no such type.
        """
        known = self._shards.get(shard_type)
        if known is None:
            raise UnknownActorError(f"the cluster has no sharded type {shard_type!r}")
        return known

    def drop(self, message: object, reason: str) -> None:
        """Count a message that is not sent, or that nobody waits for."""
        self._dropped += 1
        log.info("%s is dropped: %s", type(message).__name__, reason)

    def lose(self, number: int, error: Exception, reason: str) -> None:
        """A message that was held is dropped; fail its ask, if it has one."""
        self._dropped += 1
        log.info("a message is dropped: %s", reason)
        ask = self._asks.get(number)
        if ask is not None:
            ask.fail(error)

    def is_over(self, number: int) -> bool:
        """Whether nobody waits for the ask of this number any more; never so for a tell, whose number is 0."""
        ask = self._asks.get(number)
        return number != 0 and (ask is None or ask.closed)

    def give_up(self, ask: ClientAsk) -> None:
        """The caller no longer waits: the node may skip the message."""
        with suppress(LinkError):  # the node hears of it when the connection ends, or at the deadline it was given
            self.stream.write_control(Kind.CANCEL, wire.pack(wire.CancelFrame(ask.number)))

    def lose_written(self, kept: Set[int], error: Exception) -> None:
        """A connection ended: fail the asks that were written to it."""
        for number, ask in list(self._asks.items()):
            if number not in kept:
                ask.fail(type(error)(*error.args))

    def write_ref(self, ref: ActorRef[Any]) -> tuple[int, bytes]:
        """A ref as it is written to the cluster.

        Raises:
            EncodeError: the cluster could do nothing with it.
        """
        if getattr(ref, "asker", None) is self:  # no isinstance: with abstract classes it is slow
            asked: Any = ref
            return refs.pack_reply(asked.number)
        if isinstance(ref, ClientEntityRef):
            return refs.pack_entity(ref.shard_type, ref.entity_id)
        if isinstance(ref, ClientRef):
            return refs.pack_address(ref.address)
        raise EncodeError(f"{ref!r} cannot be sent from this client: only its own reply refs, and refs it was sent")

    def read_ref(self, code: int, payload: memoryview) -> ActorRef[Any]:
        """A ref that the cluster has written.

        Raises:
            DecodeError: it is malformed.
        """
        if code == refs.ADDRESS:
            return ClientRef(self, refs.unpack_address(payload))
        if code == refs.ENTITY:
            return ClientEntityRef[Any](self, *refs.unpack_entity(payload))
        if code == refs.REPLY:
            number = refs.unpack_reply(payload)
            ask = self._asks.get(number)
            if ask is not None:
                return ask
            return ClientRef(self, self.address_of(f"/$asks/{number}", number))
        raise DecodeError(f"extension type {code} is no ref")

    # --- Frames ------------------------------------------------------------------------------------------------------

    def _on_frame(self, kind: int, body: memoryview) -> None:
        if kind == Kind.REPLY:
            self._on_reply(body)
        elif kind == Kind.NACK:
            nack = wire.unpack(wire.NackFrame, body)
            ask = self._asks.get(nack.ask)
            if ask is not None:
                ask.fail(wire.nack_error(nack))
        elif kind == Kind.STATE:
            self._on_state(wire.unpack(wire.StateFrame, body))
        else:
            raise ProtocolError(f"a frame of kind {kind} has no meaning for a client")

    def _on_reply(self, body: memoryview) -> None:
        frame = wire.unpack_reply(body)
        ask = self._asks.get(frame.ask)
        if ask is None or ask.closed:
            self.drop(frame, "a late or second reply")
            return
        try:
            value = self.codec.decode(frame.name, frame.body, self.read_ref)
        except DecodeError as error:
            failed = ReplyDecodeError(f"the reply of {ask.target!r} cannot be decoded: {error}")
            failed.__cause__ = error
            ask.fail(failed)
        else:
            ask.tell(value)

    def _on_state(self, state: wire.StateFrame) -> None:
        self._topology = topology_of(state)
        self._shards = {shard_type.name: shard_type.num_shards for shard_type in state.shard_types}
        self._ready.set()
        self.stream.flush_held()

    def _check_open(self) -> None:
        if self._tasks is None:
            raise SystemClosedError("the client is used outside its block: write 'async with ClusterClient(...) as client'")


def _check_arguments(host: object, port: object, timeout: object, converter: object, link: object, env: object) -> None:
    check_host("client_host", host)
    check_port("client_port", port)
    check_seconds("connect_timeout", timeout, positive=True)
    check_instance("converter", converter, cattrs.Converter)
    check_instance("link", link, LinkSettings)
    check_instance("env", env, Env)


def _checked_contacts(contact_points: Iterable[Any]) -> tuple[tuple[str, int], ...]:
    if isinstance(contact_points, str | bytes) or not isinstance(contact_points, Iterable):
        refuse("contact_points", contact_points, "pairs of host and port")
    contacts: list[tuple[str, int]] = []
    for contact in contact_points:
        match contact:
            case (str(host), int(port)) if host:
                check_host("a host in contact_points", host)
                check_port("a port in contact_points", port, least=1)
                contacts.append((host, port))
            case _:
                refuse("each of contact_points", contact, "a pair of a host and a port from 1 to 65535")
    if not contacts:
        refuse("contact_points", contacts, "at least one pair of host and port: a node of the cluster")
    return tuple(contacts)
