"""The address of those who want no mail. Floor F2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from casty_trio.actors.refs import AskableRef, ReplySlot
from casty_trio.errors import UnknownActorError
from casty_trio.model.address import ActorAddress

if TYPE_CHECKING:
    from casty_trio.actors.system import ActorSystem

__all__ = ["DeadLetterRef"]


class DeadLetterRef(AskableRef[Any]):
    """Where mail goes that nobody wants; see `ActorSystem.dead_letters`."""

    __slots__ = ("_system",)

    def __init__(self, system: ActorSystem) -> None:
        self._system = system

    @property
    def address(self) -> ActorAddress:
        return self._system.address_of("/$dead-letters", 0)

    def tell(self, message: Any) -> None:
        self._system.dead_letter(message, self, "sent to the dead letters")

    def tell_asked(self, message: Any, slot: ReplySlot) -> None:
        slot.fail(UnknownActorError(f"{self.path} answers nothing: it only counts and publishes what it is told"))
        self.tell(message)

    async def send(self, message: Any) -> None:
        await trio.lowlevel.checkpoint()
        self.tell(message)
