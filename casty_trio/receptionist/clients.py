"""What the clients of a node are told of services. Floor F5.

A client that subscribes to the state of the cluster is told all services, and then what changes. Who could not be told, for
its link was full, is told all of it again with the next change, or when it asks whether it has missed any.
"""

from __future__ import annotations

from collections.abc import Callable
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
        services: all services that there are now, sorted.
    """

    def __init__(self, system: ClusteredActorSystem, services: Callable[[], tuple[ServiceEntry, ...]]) -> None:
        self._system = system
        self._services = services
        self._told: dict[Connection, int] = {}  # which version each client has; 0 for none
        self._version = 1
        self._known: dict[ServiceEntry, None] = {}

    def subscribed(self, connection: Connection) -> None:
        """There is another client: tell it all."""
        self._told[connection] = 0
        self.changed()
        self.catch_up(connection)

    def ended(self, connection: Connection) -> None:
        """A client has gone."""
        self._told.pop(connection, None)

    def catch_up(self, connection: Connection) -> None:
        """Tell a client all, unless it knows."""
        if self._told.get(connection) != self._version:
            self._tell(connection, listings.frames_of(0, self._version, self._known))

    def changed(self) -> None:
        """There may be other services: tell the clients."""
        if not self._told:
            return
        now = dict.fromkeys(self._services())
        added = [entry for entry in now if entry not in self._known]
        removed = [entry for entry in self._known if entry not in now]
        if not added and not removed:
            return
        before, self._known = self._version, now
        self._version += 1
        frames = listings.frames_of(before, self._version, added, removed)
        for connection, told in list(self._told.items()):
            if told == before:
                self._tell(connection, frames)
            else:
                self.catch_up(connection)

    def _tell(self, connection: Connection, frames: list[bytes]) -> None:
        self._told[connection] = 0
        try:
            for frame in frames:
                connection.link.write(Kind.LISTINGS, frame)
        except (LinkClosedError, LinkFullError, MessageTooLargeError) as error:
            name = connection.link.peer.node_id
            self._system.quiet.warning(("deaf", name), "%s does not hear of services: %s", connection, error)
        else:
            self._told[connection] = self._version
