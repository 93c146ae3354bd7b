"""Publish and subscribe as a service of a cluster node. Floor F5.

Who has subscribed where, nodes tell each other through a registry like that of services. A publication goes from its node
straight to each subscriber, as a message to an actor, so it keeps its place among all that one node tells another; it is
encoded once. One that is to be confirmed goes to each node in a frame of its own, which that answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import trio

from casty_trio.actors.refs import AdapterRef, LocalRef
from casty_trio.cluster import ClusteredActorSystem, Extension, RegistryService
from casty_trio.errors import LinkClosedError, LinkFullError, MailboxFullError, UnsupportedTypeError, UsageError
from casty_trio.model.address import ActorAddress, quote_name
from casty_trio.model.checks import check_flag, check_seconds, check_text, refuse
from casty_trio.model.events import Event
from casty_trio.model.kinds import behavior_message_types
from casty_trio.model.pubsub import ClientReceptionist, Delivery, PubSub, Topic
from casty_trio.model.ref import ActorRef
from casty_trio.protocol import publications, wire
from casty_trio.protocol.buckets import Entry
from casty_trio.protocol.frames import Kind
from casty_trio.protocol.publications import Deliver, Delivered
from casty_trio.pubsub.guests import OWN, Guests
from casty_trio.pubsub.subscribers import Subscriber, Subscribers
from casty_trio.pubsub.targets import Copies, Targets, one_of
from casty_trio.remote import REFUSED, Connection, FrameHandler, of_node

__all__ = ["Topics"]

PATHS = ""
"""The key under which stands who is reached by its path; no topic has that name."""


class Pending:
    """A publication whose confirmations are still to come, by the connections that carried it."""

    def __init__(self) -> None:
        self.delivered: int = 0
        self.missing: dict[Connection, None] = {}
        self.over: trio.Event = trio.Event()

    def settle(self, connection: Connection, delivered: int) -> None:
        """The node on that connection has so many; or it will not tell, for the connection has ended."""
        if self.missing.pop(connection, self) is not self:
            self.delivered += delivered
            if not self.missing:
                self.over.set()


class Topics(Extension, PubSub):
    """The subscriptions of one node, and what it knows of those of the others."""

    def __init__(self, system: ClusteredActorSystem) -> None:
        super().__init__(system)
        interval = system.all_settings.pubsub.compare_interval
        self._registry = RegistryService(system, Kind.TOPICS, interval, self._forget_targets, _nothing)
        self._here = Subscribers(self._on_ended)
        self._targets: dict[str, Targets] = {}
        self._by_path: dict[str, Targets] | None = None
        self._pending: dict[int, Pending] = {}
        self._numbers = 0
        self._guests = Guests(self)

    # --- As an extension ----------------------------------------------------------------------------------------------

    def frames(self) -> Mapping[int, FrameHandler]:
        return {
            Kind.TOPICS: self._registry.on_frame,
            Kind.DELIVER: self._on_deliver,
            Kind.DELIVERED: self._on_delivered,
            Kind.SEND: self._guests.on_send,
        }

    def start(self) -> None:
        self.system.start_service(self._registry.run, "topics")

    def cluster_changed(self) -> None:
        self._registry.cluster_changed()

    def peer_connected(self, uid: int) -> None:
        self._registry.peer_connected(uid)

    @property
    def pubsub(self) -> PubSub:
        return self

    def client_receptionist(self, name: str) -> ClientReceptionist:
        return self._guests.receptionist(name)

    def client_subscribed(self, connection: Connection) -> None:
        self._guests.subscribed(connection)

    def connection_ended(self, connection: Connection) -> None:
        self._guests.ended(connection)
        for pending in self._pending.values():
            pending.settle(connection, 0)

    def present(self) -> Iterable[Event]:
        return self._guests.present()

    # --- Subscriptions ------------------------------------------------------------------------------------------------

    def subscribe(self, topic: Topic[Any] | str, ref: ActorRef[Any], *, group: str | None = None) -> None:
        self.subscribe_key(_name(topic), ref, group)

    def unsubscribe(self, topic: Topic[Any] | str, ref: ActorRef[Any], *, group: str | None = None) -> None:
        self.unsubscribe_key(_name(topic), ref, group)

    def subscribe_key(self, key: str, ref: ActorRef[Any], group: str | None = None) -> None:
        """Subscribe to what is a topic to this node, and has a name of its own."""
        self._add(key, self._own(ref), _group(group))

    def unsubscribe_key(self, key: str, ref: ActorRef[Any], group: str | None = None) -> None:
        """The contrary."""
        self._drop(key, self._own(ref), _group(group))

    def put(self, ref: ActorRef[Any]) -> None:
        self._add(PATHS, self._own(ref), "")

    def remove(self, ref: ActorRef[Any]) -> None:
        self._drop(PATHS, self._own(ref), "")

    def _add(self, key: str, ref: Subscriber, group: str) -> None:
        entry = _entry(key, ref, group)
        if ref.cell.ended or self._here.has(entry):
            return
        if not self._registry.has_room(entry):
            raise UsageError(f"{entry.path} cannot be registered: this node has as many subscriptions as it may")
        if isinstance(ref, AdapterRef):
            self.system.peers.adapters.keep(ref)
        else:
            with suppress(UnsupportedTypeError):  # it may take other messages that can be sent
                self.system.codec.register(*behavior_message_types(ref.cell.initial))
        self._here.add(entry, ref)
        self._registry.add(entry)
        self._forget_targets((key,))

    def _drop(self, key: str, ref: Subscriber, group: str) -> None:
        entry = _entry(key, ref, group)
        if self._here.remove(entry, ref):
            self._on_ended((entry,))

    def _on_ended(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self._registry.remove(entry)
            self._forget_targets((entry.key,))

    def _own(self, ref: ActorRef[Any]) -> Subscriber:
        if isinstance(ref, LocalRef | AdapterRef) and ref.cell.system is self.system:
            return ref.cell.ref if isinstance(ref, LocalRef) else ref
        raise UsageError(f"{ref!r} is not an actor of {self.system.node_id}: its own node subscribes for an actor")

    # --- What is known ------------------------------------------------------------------------------------------------

    def topics(self) -> tuple[str, ...]:
        names = dict.fromkeys((*self._here.keys(), *self._registry.names()))
        return tuple(sorted(name for name in names if name != PATHS and not name.startswith(OWN)))

    def count_subscribers(self, topic: Topic[Any] | str) -> int:
        targets = self.of_topic(_name(topic))
        return len(targets.all) + sum(len(members) for members in targets.groups.values())

    def of_topic(self, name: str) -> Targets:
        """Who has subscribed to a topic."""
        targets = self._targets.get(name)
        if targets is None:
            targets = Targets.among(self._here.under(name), self._registry.found(name))
            if targets:
                self._targets[name] = targets
        return targets

    def _of_path(self, path: str) -> Targets:
        if self._by_path is None:
            self._by_path = Targets.by_path(self._here.under(PATHS), self._registry.found(PATHS))
        return self._by_path.get(path, Targets())

    def _forget_targets(self, keys: Iterable[str]) -> None:
        """Something has changed under these keys."""
        for key in keys:
            self._targets.pop(key, None)
            if key == PATHS:
                self._by_path = None

    def copies(self, name: str) -> Copies:
        """Who gets a copy of what is published to a topic now."""
        return self.of_topic(name).copies(self.system.env.rng, self._silent())

    def one(self, targets: Targets, *, local_affinity: bool) -> Copies:
        """One of several; of this node's own, if that is wanted."""
        here, there = targets.split()
        if here and (local_affinity or not there):
            return here[:1], []
        return one_of(targets.all, self.system.env.rng, self._silent()) if targets else ([], [])

    def _silent(self) -> set[int]:
        return {member.uid for member in self.system.cluster_state.unreachable}

    # --- Messages -----------------------------------------------------------------------------------------------------

    def publish(self, topic: Topic[Any] | str, message: Any) -> int:
        name = _name(topic)
        here, there = self.copies(name)
        return self.deliver(message, here, there, f"/$topics/{quote_name(name)}", "nobody has subscribed")

    def send(self, path: str, message: Any, *, local_affinity: bool = False) -> bool:
        check_flag("local_affinity", local_affinity)
        here, there = self.one(self._of_path(_path(path)), local_affinity=local_affinity)
        return bool(self.deliver(message, here, there, _path(path), "nobody was put at this path"))

    def send_to_all(self, path: str, message: Any, *, exclude_self: bool = False) -> int:
        check_flag("exclude_self", exclude_self)
        here, there = self._of_path(_path(path)).split()
        here = [] if exclude_self else here
        return self.deliver(message, here, there, _path(path), "nobody was put at this path")

    async def publish_confirmed(self, topic: Topic[Any] | str, message: Any, *, timeout: float = 5.0) -> Delivery:
        check_seconds("timeout", timeout)
        name = _name(topic)
        here, there = self.copies(name)
        self._numbers = number = self._numbers + 1
        pending = self._pending[number] = Pending()
        try:
            self._ask_nodes(number, pending, message, there)
            pending.delivered += sum(self._tell(ref, message) for ref in here)
            if not here and not there:
                self._nobody(message, f"/$topics/{quote_name(name)}", "nobody has subscribed")
            await trio.lowlevel.checkpoint()
            with trio.move_on_after(timeout):
                if pending.missing:
                    await pending.over.wait()
            return Delivery(len(here) + len(there), pending.delivered)
        finally:
            del self._pending[number]

    def deliver(self, message: Any, here: list[Subscriber], there: list[ActorAddress], path: str, why: str) -> int:
        """Send the copies of a message; how many there are. Where there are none, it is a dead letter."""
        if not here and not there:
            self._nobody(message, path, why)
            return 0
        if there:
            name, body = self.system.codec.encode(message, self.system.write_ref)
            for address in there:  # these first: what cannot be sent reaches nobody
                self._write(address, message, name, body)
        for ref in here:
            self._tell(ref, message)
        return len(here) + len(there)

    def _nobody(self, message: Any, path: str, why: str) -> None:
        self.system.dead_letter(message, self.system.peers.nobody(path), why)

    def _tell(self, ref: Subscriber, message: Any) -> bool:
        """Put a copy into the mailbox of an actor of this node; one that has no room for it has counted it."""
        try:
            ref.tell(self.system.checked.copy(message) if self.system.check_serialization else message)
        except MailboxFullError:
            return False
        return not ref.cell.ended

    def _write(self, address: ActorAddress, message: Any, name: str, body: bytes) -> None:
        assert address.host is not None and address.port is not None  # noqa: PT018 - it is a member's
        frame = wire.pack_actor(0, None, (address.path, address.incarnation), name, body)
        try:
            self.system.peers.at(address.host, address.port).write(Kind.ACTOR, frame, address.uid)
        except (LinkFullError, LinkClosedError) as error:
            self.system.dead_letter(message, self.system.peers.ref(address, dial=False), str(error))

    # --- Confirmations ------------------------------------------------------------------------------------------------

    def _ask_nodes(self, number: int, pending: Pending, message: Any, there: list[ActorAddress]) -> None:
        by_node: dict[tuple[str | None, int | None, int], list[ActorAddress]] = {}
        for address in there:
            by_node.setdefault((address.host, address.port, address.uid), []).append(address)
        if not by_node:
            return
        name, body = self.system.codec.encode(message, self.system.write_ref)
        for (host, port, uid), addresses in by_node.items():
            targets = tuple((address.path, address.incarnation) for address in addresses)
            peer = self.system.peers.known(host or "", port or 0)
            connection = peer.connection if peer is not None and peer.uid == uid else None
            try:
                if connection is None:
                    raise LinkClosedError("there is no connection to its node")
                frame = Deliver(number, targets, name, publications.raw(body))
                connection.link.write(Kind.DELIVER, publications.pack(frame))
                pending.missing[connection] = None
            except (LinkFullError, LinkClosedError) as error:
                for address in addresses:
                    self.system.dead_letter(message, self.system.peers.ref(address, dial=False), str(error))

    def _on_deliver(self, connection: Connection, body: memoryview) -> None:
        peer = of_node(connection)
        frame = publications.unpack_deliver(body)
        count = 0
        for path, incarnation in frame.targets:
            target = peer.node.peers.find_local(path, incarnation) or peer.node.peers.adapters.find(path, incarnation)
            message = self.system.decode(connection, frame.name, frame.body, None, path)  # one for each, as of any sender
            if message is REFUSED:
                continue  # that has been counted
            if target is None:
                why = f"a peer's message for {path}: there is no such actor"
                self.system.dead_letter(message, self.system.dead_letters, why)
            else:
                count += self._tell(target, message)
        with suppress(LinkFullError, LinkClosedError):  # who waits does so for a limited time
            connection.link.write_control(Kind.DELIVERED, publications.pack(Delivered(frame.number, count)))

    def _on_delivered(self, connection: Connection, body: memoryview) -> None:
        of_node(connection)
        answer = publications.unpack_delivered(body)
        pending = self._pending.get(answer.number)
        if pending is not None:
            pending.settle(connection, answer.count)


def _nothing() -> None:
    """Nobody else has to know."""


def _entry(key: str, ref: Subscriber, group: str) -> Entry:
    address = ref.address
    return Entry(key, address.path, address.incarnation, group)


def _name(topic: Topic[Any] | str) -> str:
    name = topic.name if isinstance(topic, Topic) else Topic[Any](topic).name
    if name.startswith(OWN):
        refuse("topic", name, f"a name that does not begin with {OWN}")
    return name


def _group(group: str | None) -> str:
    if group is None:
        return ""
    check_text("group", group)
    return group


def _path(path: str) -> str:
    """A path as refs have it."""
    check_text("path", path)
    return "/" + path.strip("/")
