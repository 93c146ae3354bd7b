"""The refs a client holds. Floor: client, on anyio."""

from __future__ import annotations

from abc import abstractmethod
from math import inf
from typing import TYPE_CHECKING, Any, TypeVar

from casty_trio.errors import EncodeError, LinkClosedError, LinkFullError, UsageError
from casty_trio.link.parking import running_thread
from casty_trio.model.address import ActorAddress, quote_name
from casty_trio.model.envelope import ShardEnvelope
from casty_trio.model.ref import ActorRef
from casty_trio.protocol import wire
from casty_trio.protocol.frames import Kind

if TYPE_CHECKING:
    from casty_trio.client.asks import ClientAsk
    from casty_trio.client.client import ClusterClient
    from casty_trio.client.routes import Stream

__all__ = ["ClientEntityRef", "ClientRef", "ClientRegionRef", "WireRef"]

M = TypeVar("M", contravariant=True)

_ENVELOPE: type[Any] = ShardEnvelope
"""Under this name the test narrows nothing: checkers would hold what is inside for unknown."""


class WireRef(ActorRef[M]):
    """A ref whose messages leave on a stream: it knows how a message to it is framed."""

    __slots__ = ("client",)
    client: ClusterClient

    @abstractmethod
    def frame(self, message: Any, ask: int, budget: float | None) -> tuple[int, bytes]:
        """Kind and body of the frame that carries a message.

        Raises:
            EncodeError: the message cannot be encoded.
        """

    def route(self, message: Any, ask: int) -> Stream:
        """The stream that such a message takes now."""
        return self.client.stream

    def submit(self, message: Any, ask: ClientAsk) -> None:
        """Write the message of an ask.

        Raises:
            LinkFullError: there is no room for it.
            LinkClosedError: the client leaves its block.
            EncodeError: the message cannot be encoded.
        """
        timeout = ask.timeout
        kind, body = self.frame(message, ask.number, timeout if timeout < inf else None)
        ask.via = stream = self.route(message, ask.number)  # before it is written: what overflows fails at once
        stream.write(kind, body)

    def tell(self, message: M) -> None:
        if running_thread() != self.client.thread:  # `check_thread`, without the call
            raise self.client.used_elsewhere()
        kind, body = self.frame(message, 0, None)
        try:
            self.route(message, 0).write(kind, body)
        except (LinkClosedError, LinkFullError) as error:
            self.client.drop(message, str(error))

    async def send(self, message: M) -> None:
        self.client.check_thread()
        kind, body = self.frame(message, 0, None)
        try:
            await self.route(message, 0).send(kind, body)
        except LinkClosedError as error:
            self.client.drop(message, str(error))


class ClientRegionRef(WireRef[ShardEnvelope[M]]):
    """A sharded type of the cluster: takes envelopes, and routes each to the node that owns the entity."""

    __slots__ = ("num_shards", "shard_type")

    def __init__(self, client: ClusterClient, shard_type: str, num_shards: int) -> None:
        self.client = client
        self.shard_type: str = shard_type
        self.num_shards: int = num_shards

    @property
    def address(self) -> ActorAddress:
        return ActorAddress(self.client.system_name, f"/{self.shard_type}")

    def frame(self, message: Any, ask: int, budget: float | None) -> tuple[int, bytes]:
        if not isinstance(message, _ENVELOPE):
            raise UsageError(f"{self.path} takes ShardEnvelope(entity_id, message), not {type(message).__name__}")
        if type(message.entity_id) is not str or not message.entity_id:
            raise UsageError(f"{self.path}: an entity id is a text that is not empty, not {message.entity_id!r}")
        client, entity_id = self.client, message.entity_id
        name, body = client.codec.encode(message.message, client.inbound.write_ref)
        try:
            return Kind.ENTITY, wire.pack_entity(ask, budget, self.shard_type, self.num_shards, entity_id, name, body)
        except UnicodeEncodeError as error:
            raise _bad_entity_id(entity_id, error) from error

    def route(self, message: Any, ask: int) -> Stream:
        client, shard_type = self.client, self.shard_type
        if shard_type not in client.routes.spread:
            return client.stream
        return client.routes.entity(shard_type, message.entity_id, self.num_shards, ask)


class ClientEntityRef(WireRef[M]):
    """One entity of the cluster, by type and id."""

    __slots__ = ("entity_id", "shard_type")

    def __init__(self, client: ClusterClient, shard_type: str, entity_id: str) -> None:
        self.client = client
        self.shard_type: str = shard_type
        self.entity_id: str = entity_id

    @property
    def address(self) -> ActorAddress:
        return ActorAddress(self.client.system_name, f"/{self.shard_type}/{quote_name(self.entity_id)}")

    def frame(self, message: Any, ask: int, budget: float | None) -> tuple[int, bytes]:
        client = self.client
        num_shards = client.num_shards(self.shard_type)
        name, body = client.codec.encode(message, client.inbound.write_ref)
        try:
            return Kind.ENTITY, wire.pack_entity(ask, budget, self.shard_type, num_shards, self.entity_id, name, body)
        except UnicodeEncodeError as error:
            raise _bad_entity_id(self.entity_id, error) from error

    def route(self, message: Any, ask: int) -> Stream:
        client, shard_type = self.client, self.shard_type
        return client.routes.entity(shard_type, self.entity_id, client.num_shards(shard_type), ask)


class ClientRef(WireRef[Any]):
    """An actor or reply ref of the cluster that came in a message, by its address."""

    __slots__ = ("_address",)

    def __init__(self, client: ClusterClient, address: ActorAddress) -> None:
        self.client = client
        self._address = address

    @property
    def address(self) -> ActorAddress:
        return self._address

    def frame(self, message: Any, ask: int, budget: float | None) -> tuple[int, bytes]:
        name, body = self.client.codec.encode(message, self.client.inbound.write_ref)
        address = self._address
        return Kind.ACTOR, wire.pack_actor(ask, budget, (address.path, address.incarnation), name, body, address.uid)

    def route(self, message: Any, ask: int) -> Stream:
        return self.client.routes.node(self._address)


def _bad_entity_id(entity_id: str, problem: UnicodeEncodeError) -> EncodeError:
    return EncodeError(f"the entity id {entity_id!r} cannot be encoded: {problem}")
