"""What stands in a mailbox besides plain messages. Floor F2: small internal classes, told apart by their exact type."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from casty_trio.actors.refs import ReplySlot
    from casty_trio.model.signals import Signal

__all__ = ["NO_MESSAGE", "WAKE", "Adapted", "Asked", "Finish", "Notice", "Wake"]


class Asked:
    """A message whose sender waits for a reply."""

    __slots__ = ("message", "slot")

    def __init__(self, message: object, slot: ReplySlot) -> None:
        self.message: object = message
        self.slot: ReplySlot = slot


class Adapted:
    """A message of another type; the function that makes it one of the actor's runs when it is its turn."""

    __slots__ = ("adapt", "message")

    def __init__(self, adapt: Callable[[Any], Any], message: object) -> None:
        self.adapt: Callable[[Any], Any] = adapt
        self.message: object = message


class Notice:
    """A signal that keeps its place among the messages."""

    __slots__ = ("signal",)

    def __init__(self, signal: Signal) -> None:
        self.signal: Signal = signal


class NoMessage:
    """In the place of a message, where None may be one."""

    __slots__ = ()


NO_MESSAGE = NoMessage()


class Finish:
    """The end of an actor, behind all mail that stands before it: it stops, or is told to by a message of its own.

    Attributes:
        message: the latter.
        reached_at: when its turn came, in scheduler time.
    """

    __slots__ = ("message", "reached_at")

    def __init__(self, message: object = NO_MESSAGE) -> None:
        self.message: object = message
        self.reached_at: float | None = None


class Wake:
    """Makes an idle actor look at its signals; takes no room from mail."""

    __slots__ = ()


WAKE = Wake()
