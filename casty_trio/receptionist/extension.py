"""The receptionist as a service of a cluster node. Floor F5.

What programs tell it, and who hears of changes, is the local receptionist's; here that is told to the other nodes, and what
they tell comes in. Each node's services are one bucket that only it writes; see `casty_trio.protocol.registry`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from casty_trio.actors.cell import Cell
from casty_trio.actors.refs import LocalRef
from casty_trio.actors.services import Beyond
from casty_trio.cluster import ClusteredActorSystem, Extension, RegistryService
from casty_trio.errors import UnknownMessageTypeError, UnsupportedTypeError, UsageError
from casty_trio.model.address import ActorAddress
from casty_trio.model.kinds import Behavior, behavior_message_types
from casty_trio.model.ref import ActorRef
from casty_trio.model.services import ServiceEntry, ServiceKey
from casty_trio.protocol.buckets import MOST_ENTRIES, MOST_TEXT, Entry
from casty_trio.protocol.frames import Kind
from casty_trio.receptionist.clients import ClientListings
from casty_trio.remote import Connection, FrameHandler

__all__ = ["Receptionist"]


class Receptionist(Extension, Beyond):
    """The services of one node, and what it knows of those of the others."""

    def __init__(self, system: ClusteredActorSystem) -> None:
        super().__init__(system)
        interval = system.all_settings.receptionist.compare_interval
        self._uid = system.uid
        self._by_key: dict[str, tuple[ServiceEntry, ...]] = {}  # all services; of what does not change they are the same
        self._stale: dict[str, None] = {}  # keys under which they may be others by now
        self._entries: tuple[ServiceEntry, ...] | None = None  # all of them, while nothing changes
        self._registry = RegistryService(system, Kind.SERVICES, interval, self._changed, self._settled)
        self._clients = ClientListings(system, self._keys)
        system.services.beyond = self

    # --- As an extension ----------------------------------------------------------------------------------------------

    def frames(self) -> Mapping[int, FrameHandler]:
        return {Kind.SERVICES: self._registry.on_frame}

    def start(self) -> None:
        self.system.start_service(self._registry.run, "services")

    def cluster_changed(self) -> None:
        if self._uid != self.system.uid:  # this node is another member now
            self._uid = self.system.uid
            self._mark(self._by_key)
        self._registry.cluster_changed()

    def peer_connected(self, uid: int) -> None:
        self._registry.peer_connected(uid)

    def client_subscribed(self, connection: Connection) -> None:
        self._clients.subscribed(connection)

    def client_refreshed(self, connection: Connection) -> None:
        self._clients.catch_up(connection)

    def connection_ended(self, connection: Connection) -> None:
        self._clients.ended(connection)

    def knows(self, address: ActorAddress) -> bool:
        if address.uid == self.system.uid:
            return self.system.services.exposed(address.path, address.incarnation) is not None
        return self._registry.has(address)

    def _settled(self) -> None:
        self.system.state_changed()
        self._clients.changed()

    def services(self) -> tuple[ServiceEntry, ...]:
        if self._entries is None:
            by_key = self._keys()
            self._entries = tuple(entry for key in sorted(by_key) for entry in by_key[key])
        return self._entries

    def _keys(self) -> Mapping[str, tuple[ServiceEntry, ...]]:
        for key in self._stale:
            here = [ref.address for ref in self.system.services.offering(key)]
            there = [address for _, address in self._registry.found(key)]
            entries = sorted(ServiceEntry(key, address) for address in (*here, *there))
            if entries:
                self._by_key[key] = tuple(entries)
            else:
                self._by_key.pop(key, None)
        self._stale.clear()
        return self._by_key

    def _mark(self, keys: Iterable[str]) -> None:
        self._stale.update(dict.fromkeys(keys))
        self._entries = None

    def _changed(self, names: tuple[str, ...]) -> None:
        self._mark(names)
        self.system.services.changed(names)

    # --- What the local receptionist asks -----------------------------------------------------------------------------

    def check(self, cell: Cell[Any], behavior: Behavior[Any], keys: Iterable[ServiceKey[Any]]) -> None:
        types = behavior_message_types(behavior) or behavior_message_types(cell.initial)
        if not types and not self.system.has_messages:
            raise UnknownMessageTypeError(
                f"the behaviour of {cell.path} does not tell which messages it handles: annotate its handler "
                "(def receive(ctx: ActorContext[Pay], message: Pay) -> Behavior[Pay]), or give the system messages=[Pay]"
            )
        self.system.codec.register(*types)
        for key in keys:
            self._check_room(entry_of(key.name, cell.ref))

    def register(self, name: str, ref: LocalRef[Any]) -> None:
        entry = entry_of(name, ref)
        self._check_room(entry)
        with suppress(UnsupportedTypeError):  # such an actor may take other messages that can be sent
            self.system.codec.register(*behavior_message_types(ref.cell.initial))
        self._mark((name,))
        self._registry.add(entry)

    def deregister(self, name: str, ref: LocalRef[Any]) -> None:
        self._mark((name,))
        self._registry.remove(entry_of(name, ref))

    def refs(self, name: str) -> Iterable[ActorRef[Any]]:
        return [self.system.peers.ref(address, dial=True) for _, address in self._registry.found(name)]

    def _check_room(self, entry: Entry) -> None:
        if not self._registry.has_room(entry):
            raise UsageError(
                f"{entry.path} cannot be registered: a node has at most {MOST_ENTRIES} services, {MOST_TEXT} bytes of text"
            )


def entry_of(name: str, ref: LocalRef[Any]) -> Entry:
    """What the other nodes are told of an actor of this one."""
    return Entry(name, ref.path, ref.incarnation)
