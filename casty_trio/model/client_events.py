"""What a client tells about its contact with the cluster, as typed values on its event stream. Floor F1.

Who subscribes hears of the present state first: `ContactPoints`, and `Connected` while the client is.
"""

from __future__ import annotations

from casty_trio.model.events import Event

__all__ = [
    "ClientEvent",
    "Connected",
    "ContactPointAdded",
    "ContactPointRemoved",
    "ContactPoints",
    "Disconnected",
    "MessageDropped",
]


class ClientEvent(Event, frozen=True):
    """The base of every event of a client."""


class ContactPoints(ClientEvent, frozen=True):
    """The nodes that the client dials when it has no contact, in the order in which it tries them.

    Attributes:
        points: host and port of each. A client that starts anew can be given them as its ``contact_points``.
    """

    points: tuple[tuple[str, int], ...]


class ContactPointAdded(ClientEvent, frozen=True):
    """The client has learnt of a node."""

    host: str
    port: int


class ContactPointRemoved(ClientEvent, frozen=True):
    """A node that the client had learnt of is no contact point any more: it has left, or another one has taken its place."""

    host: str
    port: int


class Connected(ClientEvent, frozen=True):
    """The client has a contact, which has told the state of the cluster; what was held is on its way.

    Attributes:
        node_id: the node.
        host: where it was dialled.
        port: likewise.
    """

    node_id: str
    host: str
    port: int


class Disconnected(ClientEvent, frozen=True):
    """The client has lost its contact, and looks for another one.

    Attributes:
        node_id: the node.
        host: where it was dialled.
        port: likewise.
        reason: how the connection ended, for people.
    """

    node_id: str
    host: str
    port: int
    reason: str


class MessageDropped(ClientEvent, frozen=True):
    """A message was dropped instead of sent, or a reply came that nobody waited for.

    Attributes:
        reason: why, for people.
    """

    reason: str
