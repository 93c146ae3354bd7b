"""What a client is made of, and what its parts ask of each other. Floor: client, on anyio.

`ClusterClient` is the face of it: the block, and what programs call.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any

import anyio
from anyio.abc import TaskGroup

from casty_trio.client.actors import ClientActors
from casty_trio.client.asks import Alarm, Asks, ClientAsk, Deadlines
from casty_trio.client.contacts import Contact, Contacts
from casty_trio.client.inbound import Inbound
from casty_trio.client.news import ClientEventStream
from casty_trio.client.routes import Routes
from casty_trio.client.services import ClientServices
from casty_trio.client.stream import ClientStream
from casty_trio.discovery import Lookup
from casty_trio.env import Env
from casty_trio.errors import LinkError, SystemClosedError, UnknownActorError, UsageError
from casty_trio.link import Link, dial
from casty_trio.link.parking import Parking, TrioParking, running_thread
from casty_trio.model.address import ActorAddress, AddressMap
from casty_trio.model.client_events import (
    ClientEvent,
    ContactPointAdded,
    ContactPointRemoved,
    ContactPoints,
    MessageDropped,
)
from casty_trio.model.client_settings import ClientSettings
from casty_trio.model.settings import ActorSettings, LinkSettings
from casty_trio.protocol import wire
from casty_trio.protocol.codec import Codec
from casty_trio.protocol.frames import Kind
from casty_trio.protocol.handshake import Identity
from casty_trio.settings import Settings
from casty_trio.tls import Credentials

__all__ = ["ClientParts"]

log: logging.Logger = logging.getLogger("casty_trio.client")


class ClientParts:
    """The parts of one client; its arguments are checked already."""

    credentials: Credentials
    """What it proves itself by."""
    discovery: Lookup | None
    """What tells it where nodes are."""

    def __init__(
        self,
        contacts: tuple[Contact, ...],
        system_name: str,
        place: tuple[str, int],
        address_map: AddressMap,
        codec: Codec,
        sections: Settings,
        env: Env,
    ) -> None:
        self.system_name: str = system_name
        self.address_map: AddressMap = address_map
        self.codec: Codec = codec
        self.link_settings: LinkSettings = sections.link
        self.settings: ClientSettings = sections.client
        self.actor_settings: ActorSettings = sections.actors
        self.env: Env = env
        uid = env.uid()
        self.identity: Identity = Identity(system_name, "client", f"client-{uid:x}", uid, *place)
        self.contacts: Contacts = Contacts(contacts, uid, self.settings.contacts)
        self.asks: Asks = Asks()
        self.event_stream: ClientEventStream = ClientEventStream(self._present)
        client: Any = self  # a `ClusterClient`, as its parts call it
        self.actors: ClientActors = ClientActors(client)
        self.inbound: Inbound = Inbound(client)
        self.services: ClientServices = ClientServices(client)
        self.stream: ClientStream = ClientStream(client)
        self.routes: Routes = Routes(client)
        self._deadlines = Deadlines()
        self._dropped = 0
        self.thread: int = 0  # that of the event loop which runs the block
        self._tasks: TaskGroup | None = None  # while the block is open
        self._open_parking: Callable[[], Parking] = TrioParking  # of which kind it is, the block tells
        self._now: Callable[[], float] = anyio.current_time

    async def dial(self, contact: Contact) -> Link:
        """A fresh connection to a node.

        Raises:
            OSError: nobody listens there.
            HandshakeError: it refused this client, or this client refuses it.
        """
        session = self.credentials.session(self.identity, self.link_settings, dialer=True)
        return await dial(self.env, *self.address_map(*contact), session, self.credentials.dial)

    def start_soon(self, run: Callable[[], Coroutine[Any, Any, object]], name: str) -> None:
        """Run a task that ends with the block."""
        assert self._tasks is not None  # who calls this has looked
        start: Callable[[], Any] = run
        self._tasks.start_soon(start, name=name)

    def after(self, delay: float, call: Callable[[], object]) -> Alarm:
        """Call a function later; inf is never."""
        alarm = Alarm(call)
        if delay < math.inf:
            self._deadlines.add(self._now() + delay, alarm)
        return alarm

    def announce(self, event: ClientEvent) -> None:
        """Tell an event to whoever listens."""
        self.event_stream.publish(event)

    def change_contacts(self, change: Callable[[Contacts], None]) -> None:
        """Change the contact points, and tell what is new."""
        before = dict.fromkeys(self.contacts.points)
        change(self.contacts)
        after = dict.fromkeys(self.contacts.points)
        if tuple(before) == tuple(after):
            return
        self.announce(ContactPoints(tuple(after)))
        for host, port in before:
            if (host, port) not in after:
                self.announce(ContactPointRemoved(host, port))
        for host, port in after:
            if (host, port) not in before:
                self.announce(ContactPointAdded(host, port))

    def _present(self) -> Iterable[ClientEvent]:
        connected = self.stream.connected
        return (ContactPoints(self.contacts.points), *([connected] if connected is not None else []))

    def address_of(self, path: str, incarnation: int) -> ActorAddress:
        """The address of something that lives in this client."""
        me = self.identity
        return ActorAddress(self.system_name, path, me.host, me.port, me.uid, incarnation)

    def num_shards(self, shard_type: str) -> int:
        """Into how many shards a type's ids are hashed.

        Raises:
            UnknownActorError: the cluster has no such type.
        """
        known = self.inbound.shards.get(shard_type)
        if known is None:
            raise UnknownActorError(f"the cluster has no sharded type {shard_type!r}")
        return known

    def drop(self, message: object, reason: str) -> None:
        """Count a message that is not sent, or that nobody waits for."""
        self._dropped += 1
        log.info("%s is dropped: %s", type(message).__name__, reason)
        self.announce(MessageDropped(reason))

    def lose(self, number: int, error: Exception, reason: str) -> None:
        """A message that was held is dropped; fail its ask, if it has one."""
        self._dropped += 1
        log.info("a message is dropped: %s", reason)
        self.announce(MessageDropped(reason))
        ask = self.asks.get(number)
        if ask is not None:
            ask.fail(error)

    def give_up(self, ask: ClientAsk) -> None:
        """The caller no longer waits: the node may skip the message."""
        if ask.via is None:
            return  # a local actor was asked, which looks before it begins
        with suppress(LinkError):  # the node hears of it when the connection ends, or at the deadline it was given
            ask.via.write_control(Kind.CANCEL, wire.pack(wire.CancelFrame(ask.number)))

    def check_thread(self) -> None:
        """See that it is the block's own thread that calls; of others nothing here would wake the tasks that wait."""
        if running_thread() != self.thread:
            if not self.thread:
                self._check_open()
            raise self.used_elsewhere()

    def used_elsewhere(self) -> UsageError:
        """What a call in another thread than the block's raises, before it has touched anything."""
        return UsageError(
            "a client and its refs belong to the thread and event loop of the client's block: in another thread write "
            "anyio.from_thread.run_sync(ref.tell, message) or anyio.from_thread.run(client.ask, ref, factory), with "
            "token=anyio.lowlevel.current_token(), taken in the block, where anyio did not start the thread; or make a "
            "client of its own there"
        )

    def _check_open(self) -> None:
        if self._tasks is None:
            raise SystemClosedError("the client is used outside its block: write 'async with ClusterClient(...) as client'")
        if running_thread() != self.thread:
            raise self.used_elsewhere()
