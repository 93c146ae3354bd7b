"""Refs to actors that are not here. Floor F3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trio.lowlevel import checkpoint

from casty_trio.actors.refs import AskableRef, ReplySlot
from casty_trio.errors import UnknownActorError
from casty_trio.model.address import ActorAddress

if TYPE_CHECKING:
    from casty_trio.remote.node import RemoteNode

__all__ = ["RemoteRef"]


class RemoteRef(AskableRef[Any]):
    """A ref to an actor of a past incarnation, or of a node there is no connection to: what it is told is a dead letter."""

    __slots__ = ("_address", "_node")

    def __init__(self, node: RemoteNode, address: ActorAddress) -> None:
        self._node = node
        self._address = address

    @property
    def address(self) -> ActorAddress:
        return self._address

    def tell(self, message: Any) -> None:
        self._node.dead_letter(message, self, "nobody at that address can be reached from here")

    async def send(self, message: Any) -> None:
        await checkpoint()
        self.tell(message)

    def tell_asked(self, message: Any, slot: ReplySlot) -> None:
        self.tell(message)
        slot.fail(UnknownActorError(f"{self._address} cannot be reached from here"))
