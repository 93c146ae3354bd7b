"""Refs to the actors of clients, which live outside the cluster. Floor F3.

A client's actor is reached over the connection that the client has to this node, its gateway: other nodes get an address on
this node, and everything passes through it. The ref is good for as long as the client is connected here, or comes back.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from trio.lowlevel import checkpoint

from casty_trio.actors.refs import PassingRef
from casty_trio.errors import LinkClosedError, LinkFullError
from casty_trio.model.address import ActorAddress
from casty_trio.protocol import wire
from casty_trio.protocol.frames import Kind

if TYPE_CHECKING:
    from casty_trio.remote.connection import Connection
    from casty_trio.remote.node import RemoteNode

__all__ = ["GuestRef", "guest_at"]

GUEST_PATH: Final = re.compile(r"/\$guests/([0-9]{1,19})(/[^/]{1,255})")
"""Where the actors of clients stand on their gateway: the client's uid, and the path there."""

GONE: Final = "its client is not connected to this node"


class GuestRef(PassingRef[Any]):
    """An actor of a client.

    Args:
        node: this node, its gateway.
        uid: the client's.
        path: the actor's, in the client.
        incarnation: likewise.
    """

    __slots__ = ("_incarnation", "_node", "_path", "uid")

    def __init__(self, node: RemoteNode, uid: int, path: str, incarnation: int) -> None:
        self._node = node
        self._path = path
        self._incarnation = incarnation
        self.uid: int = uid

    @property
    def address(self) -> ActorAddress:
        return self._node.address_of(f"/$guests/{self.uid}{self._path}", self._incarnation)

    @property
    def closed(self) -> bool:
        return self._node.connection_of(self.uid) is None

    def tell(self, message: Any) -> None:
        connection = self._node.connection_of(self.uid)
        if connection is None:
            self._node.dead_letter(message, self, GONE)
            return
        try:
            connection.link.write(Kind.ACTOR, self._body(connection, message))
        except (LinkClosedError, LinkFullError) as error:
            self._node.dead_letter(message, self, str(error))

    async def send(self, message: Any) -> None:
        connection = self._node.connection_of(self.uid)
        if connection is None:
            await checkpoint()
            self._node.dead_letter(message, self, GONE)
            return
        try:
            await connection.link.send(Kind.ACTOR, self._body(connection, message))
        except LinkClosedError as error:
            self._node.dead_letter(message, self, str(error))

    def address_there(self, connection: Connection) -> ActorAddress:
        """As the client itself calls it."""
        peer = connection.link.peer
        return ActorAddress(self._node.name, self._path, peer.host, peer.port, peer.uid, self._incarnation)

    def _body(self, connection: Connection, message: Any) -> bytes:
        name, body = self._node.codec.encode(message, connection.write_ref)
        return wire.pack_actor(0, None, (self._path, self._incarnation), name, body)


def guest_at(node: RemoteNode, path: str, incarnation: int) -> GuestRef | None:
    """The actor of a client that an address on this node means, if it means one."""
    match = GUEST_PATH.fullmatch(path)
    return GuestRef(node, int(match[1]), match[2], incarnation) if match is not None else None
