"""What the clients of a node are told of services. Floor F5.

A client that subscribes to the state of the cluster is told all services, and then what changes. Who could not be told, for
its link was full or there are very many, is told all of them part by part, by a task of its own that waits for room.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from casty_trio.errors import LinkClosedError, LinkFullError, MessageTooLargeError
from casty_trio.model.services import ServiceEntry
from casty_trio.protocol import listings
from casty_trio.protocol.frames import Kind

if TYPE_CHECKING:
    from casty_trio.cluster import ClusteredActorSystem
    from casty_trio.remote import Connection

__all__ = ["ClientListings"]


class ClientListings:
    """Which clients know what.

    Args:
        system: the node.
        services: all services that there are now, by their key, sorted; where nothing has changed, the very same.
    """

    def __init__(self, system: ClusteredActorSystem, services: Callable[[], Mapping[str, tuple[ServiceEntry, ...]]]) -> None:
        self._system = system
        self._services = services
        self._told: dict[Connection, int] = {}  # which version each client has; 0 for none
        self._behind: dict[Connection, None] = {}  # those that a task brings up to date
        self._version = 1
        self._known: dict[str, tuple[ServiceEntry, ...]] = {}
        self._all: list[bytes] = []  # the frames that tell all of this version, once somebody needed them

    def subscribed(self, connection: Connection) -> None:
        """There is another client: tell it all, at once unless that would leave no room for the state of the cluster."""
        self._told[connection] = 0
        self.changed()
        if sum(map(len, self._whole())) > self._system.link_settings.queue // 2:
            self._bring_up(connection)
        else:
            self.catch_up(connection)

    def ended(self, connection: Connection) -> None:
        """A client has gone."""
        self._told.pop(connection, None)

    def catch_up(self, connection: Connection) -> None:
        """Tell a client all, unless it knows, or is being told."""
        if self._told.get(connection) != self._version and connection not in self._behind:
            self._tell(connection, self._whole())

    def changed(self) -> None:
        """There may be other services: tell the clients."""
        if not self._told:
            return
        now = dict(self._services())
        added, removed = list[ServiceEntry](), list[ServiceEntry]()
        for key in sorted({*now, *self._known}):
            new, old = now.get(key, ()), self._known.get(key, ())
            if new is not old:
                there, here = frozenset(old), frozenset(new)
                added += [entry for entry in new if entry not in there]
                removed += [entry for entry in old if entry not in here]
        if not added and not removed:
            return
        before, self._known, self._all = self._version, now, []
        self._version += 1
        frames = self._frames(before, added, removed)
        for connection, told in list(self._told.items()):
            if told == before:
                self._tell(connection, frames)

    def _whole(self) -> list[bytes]:
        if not self._all:
            self._all = self._frames(0, (entry for key in sorted(self._known) for entry in self._known[key]))
        return self._all

    def _frames(self, base: int, added: Iterable[ServiceEntry], removed: Iterable[ServiceEntry] = ()) -> list[bytes]:
        part = min(listings.PART, self._system.link_settings.max_message // 2)
        return listings.frames_of(base, self._version, added, removed, part=part)

    def _tell(self, connection: Connection, frames: list[bytes]) -> None:
        self._told[connection] = 0
        try:
            for frame in frames:
                connection.link.write(Kind.LISTINGS, frame)
        except LinkFullError:
            self._bring_up(connection)
        except (LinkClosedError, MessageTooLargeError) as error:
            self._warn(connection, error)
        else:
            self._told[connection] = self._version

    def _bring_up(self, connection: Connection) -> None:
        self._behind[connection] = None
        self._system.start_service(partial(self._tell_slowly, connection), "services of a client")

    async def _tell_slowly(self, connection: Connection) -> None:
        """Tell a client all as fast as it takes it, and again until nothing has changed meanwhile."""
        try:
            while self._told.get(connection, self._version) != self._version:
                version = self._version
                for frame in self._whole():
                    await connection.link.send(Kind.LISTINGS, frame)
                if connection in self._told:
                    self._told[connection] = version
        except (LinkClosedError, MessageTooLargeError) as error:
            self._warn(connection, error)
        finally:
            del self._behind[connection]

    def _warn(self, connection: Connection, error: Exception) -> None:
        name = connection.link.peer.node_id
        self._system.quiet.warning(("deaf", name), "%s does not hear of services: %s", connection, error)
