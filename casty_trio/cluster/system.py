"""`ClusteredActorSystem`: a node of a cluster. Floor F4.

What exists is the node and its clients: one member, itself, which is the leader. Its state goes to every client that
subscribed, when it subscribes and whenever it changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import cattrs
import trio

from casty_trio.cluster.extension import installed
from casty_trio.env import Env
from casty_trio.errors import (
    LinkClosedError,
    LinkFullError,
    MessageTooLargeError,
    ProtocolError,
    UsageError,
    WaitTimeoutError,
)
from casty_trio.model.address import AddressMap
from casty_trio.model.behavior import Behavior
from casty_trio.model.checks import check_count, check_flag, check_seconds, check_types
from casty_trio.model.mailbox import Mailbox
from casty_trio.model.ref import ActorRef
from casty_trio.model.settings import AccessSettings, LinkSettings
from casty_trio.protocol import wire
from casty_trio.protocol.frames import Kind
from casty_trio.remote import Connection, RemoteNode
from casty_trio.tls import Config

__all__ = ["ClusteredActorSystem"]

M = TypeVar("M")


class ClusteredActorSystem(RemoteNode):
    """An actor system that is a node of a cluster, and that clients reach over TCP.

    Parameters:
        name: the cluster's name; clients have to give the same.
        host: where the node is reached; it listens there too, unless ``bind_host`` says otherwise.
        port: likewise; 0 picks a free one, and `address` tells which.
        node_id: the node's own name.
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
        link: sizes and deadlines of the connections.
        access: how many may connect, and what one client may ask for.
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
        check_serialization: bool | None = None,
        tls: Config | None = None,
        secret: str | bytes | None = None,
        insecure: bool = False,
        link: LinkSettings | None = None,
        access: AccessSettings | None = None,
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
            env=env,
        )
        self.has_messages: bool = bool(messages)
        self.check_serialization: bool = self.env.check_serialization if check_serialization is None else check_serialization
        self.handlers[Kind.SUBSCRIBE] = self._on_subscribe
        self._state_version = 0
        self._extensions = [extension(self) for extension in installed()]
        for each in self._extensions:
            self.handlers.update(each.frames())

    def spawn(self, behavior: Behavior[M], name: str | None = None, *, mailbox: Mailbox | None = None) -> ActorRef[M]:
        """Start an actor at the top of the tree, or what a `Behaviors.sharded` describes; see `ActorSystem.spawn`.

        Raises:
            UnknownMessageTypeError: a sharded behaviour does not tell which messages it handles.
            UnsupportedTypeError: one of them can never be sent.
        """
        for extension in self._extensions:
            if isinstance(behavior, extension.behavior):
                if mailbox is not None:
                    raise UsageError(f"{type(behavior).__name__}: entities have mailboxes of their own; leave mailbox= out")
                return extension.spawn(behavior, name)
        return super().spawn(behavior, name, mailbox=mailbox)

    async def wait_for(self, n: int, *, timeout: float = 60.0) -> None:
        """Wait until ``n`` members of the cluster are up, in a view that all of them share.

        Parameters:
            n: how many, this node included.
            timeout: how long to wait, in seconds.

        Raises:
            WaitTimeoutError: there were fewer by then.
            SettingsError: ``n`` is no number from 1, or the timeout is negative or no number.
        """
        check_count("n", n, 1)
        check_seconds("timeout", timeout)
        if n > 1:  # membership of one: more than this node cannot come up
            await trio.sleep(timeout)
            raise WaitTimeoutError(f"{self.name}: 1 of {n} members is up after {timeout:g} s")
        await trio.lowlevel.checkpoint()

    def resolve_entity(self, shard_type: str, entity_id: str) -> ActorRef[Any]:
        """The ref of an entity that came over the wire."""
        for extension in self._extensions:
            found = extension.resolve_entity(shard_type, entity_id)
            if found is not None:
                return found
        return super().resolve_entity(shard_type, entity_id)

    def write_ref(self, ref: ActorRef[Any]) -> tuple[int, bytes]:
        """A ref as it is written to any peer; that of an entity names type and id, wherever it lives."""
        for extension in self._extensions:
            written = extension.write_ref(ref)
            if written is not None:
                return written
        return super().write_ref(ref)

    # --- Clients -----------------------------------------------------------------------------------------------------

    def state_changed(self) -> None:
        """Tell every client that subscribed what there is now."""
        self._state_version += 1
        body = self._state()
        for connection in self.connections:
            if connection.subscribed:
                self._push(connection, body)

    def _on_subscribe(self, connection: Connection, body: memoryview) -> None:
        if connection.subscribed:  # the answer is so much larger than the question
            raise ProtocolError("a second SUBSCRIBE on one connection: changes are told without")
        connection.subscribed = True
        self._push(connection, self._state())

    def _push(self, connection: Connection, body: bytes) -> None:
        try:
            connection.link.write(Kind.STATE, body)
        except (LinkClosedError, LinkFullError) as error:
            self.quiet.warning(("deaf", connection.link.peer.node_id), "%s does not hear of a change: %s", connection, error)
        except MessageTooLargeError as error:
            self.log.error("%s cannot be told the state of the cluster: %s", connection, error)
            connection.link.close("the state of the cluster is too large for you")

    def _state(self) -> bytes:
        me = wire.MemberState(self.node_id, self._host, self._port, self.uid)
        types = tuple(state for extension in self._extensions for state in extension.shard_types())
        return wire.pack(wire.StateFrame(self._state_version, (me,), 0, types))
