"""`ClusterClient`: a program outside the cluster that talks to its actors, on Trio or asyncio. Floor: client, on anyio.

It joins nothing and listens nowhere: it dials a contact, learns the cluster's state there, and keeps one stream to each node
it talks to. All its messages and replies travel on these.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from types import TracebackType, UnionType
from typing import Any, Self, TypeVar, overload

import anyio
import cattrs
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint
from msgspec.structs import replace

from casty_trio.client.arguments import ClientStatistics, check_arguments, checked_contacts, checked_place
from casty_trio.client.asks import ClientAsk
from casty_trio.client.refs import ClientRegionRef
from casty_trio.client.sending import Sending
from casty_trio.discovery import Lookup
from casty_trio.env import Env, RealEnv
from casty_trio.errors import (
    ConnectError,
    LinkClosedError,
    LinkFullError,
    MailboxFullError,
    ShardCountError,
    SystemClosedError,
    UsageError,
)
from casty_trio.link.parking import parking_class, running_clock, running_thread
from casty_trio.model.address import AddressMap, address_map_of, check_name
from casty_trio.model.annotations import factory_message_types
from casty_trio.model.blocks import holds, leave_nursery
from casty_trio.model.checks import MOST_SHARDS, check_count, check_seconds, check_types, no_factory, refuse
from casty_trio.model.cluster_events import TopologySnapshot
from casty_trio.model.envelope import ShardEnvelope
from casty_trio.model.events import Event, Lagged
from casty_trio.model.kinds import Behavior, BoundFactory
from casty_trio.model.mailbox import Mailbox
from casty_trio.model.member import Member
from casty_trio.model.ref import ActorRef
from casty_trio.model.services import Listing, ServiceKey
from casty_trio.model.settings import LinkSettings
from casty_trio.protocol.codec import Codec
from casty_trio.protocol.serializing import Serializer, as_converter
from casty_trio.settings import Settings, merge_settings
from casty_trio.tls import Config, Credentials

__all__ = ["ClusterClient"]

M = TypeVar("M")
R = TypeVar("R")
E = TypeVar("E", bound=Event)

log: logging.Logger = logging.getLogger("casty_trio.client")


class ClusterClient(Sending):
    """A program's way into a cluster from outside, as an ``async with`` block; on Trio and on asyncio.

    Inside the block it is ready: the cluster's state is known, and the first message goes where it belongs.

    Parameters:
        contact_points: host and port of one node or more, tried in this order; what an earlier client knew last, say
            (`ContactPoints`). May be empty where there is a ``discovery``.
        system_name: the cluster's name.
        client_host: the host this client gives as its own in handshakes; nothing listens there.
        client_port: likewise.
        advertised_host: what it gives instead, if that is not ``client_host``.
        advertised_port: likewise.
        address_map: turns the address of a node into the one to dial, for tunnels and port mappings.
        serializer: encodes and decodes some of the program's types; nodes are given it as a ``converter``, see
            `as_converter`.
        messages: message types to know from the start; those in the annotations of what is sent are found by themselves.
        converter: a cattrs converter whose hooks serve types that neither msgspec nor cattrs know by themselves.
        tls: this client's certificate and the authorities it believes, if the cluster's nodes have ``tls``.
        secret: what the cluster was given as its ``secret``, if it was.
        connect_timeout: how long entering the block may take, in seconds.
        link: sizes and deadlines of the connections, in the place of those in ``settings``.
        settings: all sections; a client goes by ``client`` and ``link``, and its local actors by the
            ``grace``, ``hook_timeout`` and ``batch`` of ``actors``.
        discovery: an async function that tells where nodes are, one of `casty_trio.discovery` say; asked when no contact
            point is known, and when all that are have been dialled in vain.
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
        advertised_host: str | None = None,
        advertised_port: int | None = None,
        address_map: AddressMap | None = None,
        serializer: Serializer | None = None,
        messages: Iterable[object] = (),
        converter: cattrs.Converter | None = None,
        tls: Config | None = None,
        secret: str | bytes | None = None,
        connect_timeout: float = 10.0,
        link: LinkSettings | None = None,
        settings: Settings | None = None,
        discovery: Lookup | None = None,
        env: Env | None = None,
    ) -> None:
        check_arguments(connect_timeout, converter, link, discovery, env)
        place = checked_place(client_host, client_port, advertised_host, advertised_port)
        if serializer is not None:
            converter = as_converter(serializer, converter)
        super().__init__(
            checked_contacts(contact_points, may_be_empty=discovery is not None),
            check_name(system_name, "system"),
            place,
            address_map_of(address_map),
            Codec(check_types("messages", messages), converter=converter),
            merge_settings(settings, link=link),
            env if env is not None else RealEnv(),
        )
        self.discovery: Lookup | None = discovery
        self.credentials: Credentials = Credentials(tls, secret, system_name, "client", env=self.env)
        self._connect_timeout = connect_timeout
        self._manager: AbstractAsyncContextManager[TaskGroup] | None = None
        self._entered = False
        self._regions: dict[str, ClientRegionRef[Any]] = {}

    def __repr__(self) -> str:
        where = self.stream.link.peer_name if self.stream.link is not None else "nobody"
        return f"<ClusterClient of {self.system_name}, connected to {where}>"

    # --- The block --------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Connect, and wait until the cluster's state is known.

        Raises:
            ConnectError: no contact point answered within ``connect_timeout``.
            HandshakeError: all refused this client for good: another system name, protocol version or secret, say. It is the
                first one's; its notes tell what the others said.
            SystemClosedError: it was entered before; make a new one.
        """
        if self._entered:
            raise SystemClosedError("this client was entered before: make a new one for a new block")
        self._entered = True  # at once: of two tasks that enter together, one does
        self._open_parking, self._now = parking_class(), running_clock()
        self.thread: int = running_thread()
        deadline = self._now() + self._connect_timeout
        try:
            link = await self.stream.connect(self._connect_timeout)
        except BaseException:
            self._entered = False  # nothing has begun
            raise
        self._manager = anyio.create_task_group()
        self._tasks = await self._manager.__aenter__()
        self._tasks.start_soon(self._deadlines.run, name="casty_trio client (asks)")
        self._tasks.start_soon(self.stream.run, link, name="casty_trio client (stream)")
        try:
            with anyio.CancelScope(deadline=deadline):
                await self.inbound.ready.wait()
            if not self.inbound.ready.is_set():
                raise ConnectError(f"{link.peer_name} did not tell the state of the cluster in {self._connect_timeout:g} s")
        except BaseException as error:
            await self._leave(error, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        """Send what is queued, say goodbye, and end everything the client runs.

        Raises:
            ReconnectTimeoutError: there was no contact for ``reconnect_timeout``; only when the body did not raise.
        """
        stopping: BaseException | None = None
        try:
            await self._say_goodbye(error)
        except BaseException as raised:  # noqa: BLE001 - it goes through the task group, whose cancellation it may be
            stopping = raised
        return await self._leave(error, stopping)

    async def _say_goodbye(self, error: BaseException | None) -> None:
        # On asyncio, a task's own cancellation comes once, and would not end the wait for a handler.
        cancelled = error is not None and holds(error, anyio.get_cancelled_exc_class())
        await self.actors.close(0.0 if cancelled else self.actor_settings.grace)  # their last words can still leave
        self.routes.close()
        self.stream.close()
        with anyio.move_on_after(self.link_settings.close_timeout + 1.0):
            await self.stream.wait_closed()
            await self.routes.wait_closed()

    async def _leave(self, error: BaseException | None, stopping: BaseException | None) -> bool:
        assert self._manager is not None  # it was entered
        assert self._tasks is not None
        self._tasks.cancel_scope.cancel()
        self._tasks = None
        self.asks.fail_all(SystemClosedError("the client has left its block"))
        self.event_stream.close()
        self.services.close()
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
        there = self.inbound.shards.get(shard_type, ref.num_shards if ref is not None else num_shards)
        if there != num_shards:
            raise ShardCountError(f"{shard_type!r} has {there} shards, not {num_shards}: they have to agree everywhere")
        if ref is None or ref.num_shards != num_shards:
            self._regions[shard_type] = ref = ClientRegionRef[Any](self, shard_type, num_shards)
        if message_type is not None:
            self.codec.register(message_type)
        return ref

    def region_ref(
        self, shard_type: str, factory: Callable[[str], Behavior[M]], *, num_shards: int
    ) -> ActorRef[ShardEnvelope[M]]:
        """As `entity_ref`, for programs that share the factory of the entities with the nodes.

        Parameters:
            shard_type: the name under which the cluster spawned the type.
            factory: what the nodes gave `Behaviors.sharded`. It is not called here: the types of the messages are read from
                its return annotation.
            num_shards: into how many shards its ids are hashed; as in the cluster.

        Raises:
            ShardCountError: as for `entity_ref`, as are the others.

        Example:
            >>> # carts = client.region_ref("cart", cart, num_shards=100)
        """
        if not callable(factory):
            refuse("factory", factory, "a function that makes an entity's behaviour")
        ref: ActorRef[ShardEnvelope[Any]] = self.entity_ref(shard_type, num_shards=num_shards)
        self.codec.register(*factory_message_types(factory))
        return ref

    @overload
    async def entity_ask(
        self,
        ref: ActorRef[ShardEnvelope[M]],
        msg_factory: Callable[[ActorRef[R]], ShardEnvelope[M]],
        *,
        timeout: float = 5.0,
    ) -> R: ...
    @overload
    async def entity_ask(
        self, ref: ActorRef[ShardEnvelope[M]], msg_factory: BoundFactory[R, ShardEnvelope[M]], *, timeout: float = 5.0
    ) -> R: ...

    async def entity_ask(
        self, ref: ActorRef[ShardEnvelope[Any]], msg_factory: Callable[[ActorRef[Any]], Any], *, timeout: float = 5.0
    ) -> Any:
        """Ask an entity; the same as `ask`, by the name that says so.

        Example:
            >>> # total: int = await client.entity_ask(carts, lambda r: ShardEnvelope("user-1", GetTotal(reply_to=r)))
        """
        return await self.ask(ref, msg_factory, timeout=timeout)

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
            OutcomeUnknownError: the connection ended after the ask was written, be it that the client left its block.
            MailboxFullError: too much waits to be written already.
            EncodeError: the message cannot be encoded.
            SystemClosedError: the client has left its block, or is about to, and the ask was not written: cancelled, or too
                long without a contact.
            UsageError: the ref is not this client's, ``msg_factory`` is no function, or it is another thread or event loop
                that asks.
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
        asks = self.asks
        asks.asked = number = asks.asked + 1
        ask = ClientAsk(self, number, ref, timeout, self._open_parking())
        asks.open[number] = ask
        try:
            try:
                target.submit(msg_factory(ask), ask)
            except BaseException as error:
                ask.closed = True  # it was not sent: there is nothing to give up
                refusal = _refusal(ref, msg_factory, error)
                if refusal is error:
                    raise
                raise refusal from error
            if timeout < math.inf:
                self._deadlines.add(self._now() + timeout, ask)
            await (ask.parking.park() if not ask.closed else checkpoint())
        except BaseException:
            self._abandon(ask)
            raise
        finally:
            del asks.open[number]
        return ask.result()  # type: ignore[no-any-return] # R is the checkers' word for what the actor tells

    def _abandon(self, ask: ClientAsk) -> None:
        if not ask.closed:
            ask.closed = True
            self.give_up(ask)

    def spawn(self, behavior: Behavior[M], name: str | None = None, *, mailbox: Mailbox | None = None) -> ActorRef[M]:
        """Start a local actor. Its ref can be sent to the cluster, whose actors tell it over this client's streams.

        It runs until it stops, `stop` is called or the block is left, which stops all. It is made of `Behaviors.receive`,
        `setup`, `with_lifecycle` and `supervise`, and has ``ctx.self``, ``log``, ``ask``, ``timers``, ``stop`` and
        ``pipe_to_self``. A failure that its strategies escalate ends the block.

        Parameters:
            behavior: what it does with its first message.
            name: unique among the living actors of this client; left out, one is made up.
            mailbox: how many messages may wait for it, and what happens to the rest; as `ClientSettings` says when left out.

        Raises:
            NotSupportedOnClientError: the behaviour needs a node.
            UsageError: it is no behaviour.
            NameInUseError: a living actor has the name.
            InvalidNameError: a path cannot carry the name.
            SystemClosedError: the client is used outside its block.

        Example:
            >>> # listener = client.spawn(news_reader(), "reader")
            >>> # boards.tell(ShardEnvelope("sports", Follow(listener)))
        """
        self._check_open()
        return self.actors.spawn(behavior, name, mailbox)

    async def stop(self, ref: ActorRef[Any]) -> None:
        """Stop a local actor after the message it is handling, and wait until it has.

        Raises:
            UsageError: the ref is not one of `spawn`, or it is the actor itself that would wait.
        """
        self.check_thread()
        await self.actors.stop(ref)

    def events(self, event_type: type[E], *, capacity: int = 1024) -> AbstractAsyncContextManager[AsyncIterator[E | Lagged]]:
        """Iterate over what happens to the client's contact: `ClientEvent` and its subclasses, the present state first.

        Parameters:
            event_type: which events.
            capacity: how many may wait for the iteration; what does not fit is counted and told as `Lagged`.

        Raises:
            SettingsError: when the block is entered: that is no class of a client's events, or no capacity.
            SystemClosedError: outside the client's block.

        Example:
            >>> # async with client.events(ContactPoints) as changes:
            >>> #     async for change in changes:
            >>> #         record(change.points)
        """
        self._check_open()
        return self.event_stream.events(event_type, capacity=capacity)

    def lookup(self, key: ServiceKey[M]) -> Listing[M]:
        """The actors of the cluster that offer a service, as this client was told last; nothing is asked for it.

        Raises:
            SettingsError: it is no `ServiceKey`.

        Example:
            >>> # for instance in client.lookup(ECHO).instances: instance.ref.tell(Echo("hello from outside"))
        """
        self._check_open()
        return self.services.find(key)

    def subscribe(self, key: ServiceKey[M], *, capacity: int = 64) -> AbstractAsyncContextManager[AsyncIterator[Listing[M]]]:
        """Iterate over the listings of a service: first the present one, then one for each change, in order.

        Parameters:
            key: the service.
            capacity: how many listings may wait for the iteration. When there are so many, the latest takes the place of
                the one before it: who is slow misses what lay between, and always gets the last.

        Raises:
            SettingsError: it is no `ServiceKey`, or the capacity is not 1 or more.
        """
        self._check_open()
        return self.services.iterate(key, capacity)

    @property
    def contact_points(self) -> tuple[tuple[str, int], ...]:
        """The nodes that the client knows: learnt, found by its discovery, and given. To be recorded for the next client."""
        return self.contacts.points

    @property
    def topology(self) -> TopologySnapshot:
        """What the cluster looks like, as it was told last: members, leader, who is unreachable, where shards live, and who
        offers which service.

        Of a member ``up_number`` and ``counter`` are not told: they are 0.
        """
        return replace(self.inbound.topology, registry=self.services.registry)

    @property
    def members(self) -> tuple[Member, ...]:
        """The members of the cluster, as they were told last, sorted by address; see `topology` for the rest."""
        return self.inbound.topology.members

    def statistics(self) -> ClientStatistics:
        """Count what there is."""
        link = self.stream.link
        return ClientStatistics(
            len(self.asks.open),
            self.stream.connections,
            self._dropped,
            link.statistics() if link is not None else None,
            self.stream.held,
            len(self.routes),
            len(self.actors),
            self.actors.overflowed,
        )


def _refusal(ref: object, msg_factory: object, error: BaseException) -> BaseException:
    """What an ask that could not be sent ends with."""
    if not callable(msg_factory):
        return no_factory(msg_factory)
    if isinstance(error, LinkFullError):
        return MailboxFullError(f"{ref!r} cannot be asked now: {error}")
    if isinstance(error, LinkClosedError):
        return SystemClosedError(f"{ref!r} cannot be asked any more: {error}")
    return error
