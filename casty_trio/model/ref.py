"""The reference to an actor: all that one actor ever holds of another. Floor F1: a contract, no behaviour.

`ActorRef` is an abstract class, not a protocol: checking one is cheap, and the codec can find it in a message's annotations.
"""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from typing import TYPE_CHECKING, Generic, NoReturn, Self, TypeVar

from casty_trio.model.address import ActorAddress

__all__ = ["ActorRef", "M_contra"]

M_contra = TypeVar("M_contra", contravariant=True)


class _PlainChecks(ABCMeta):
    """Abstract methods, but `isinstance` as for any class: a decoder asks once per ref, and an ABC answers in Python."""

    if not TYPE_CHECKING:  # to checkers nothing changes
        __instancecheck__ = type.__instancecheck__
        __subclasscheck__ = type.__subclasscheck__


class ActorRef(Generic[M_contra], metaclass=_PlainChecks):
    """A handle to an actor that takes messages of type ``M``.

    Refs are values: hashable, and equal when they name the same incarnation, wherever they came from. Sending a ref in a
    message, to this node or another, gives an equal ref; a copy of one is the ref itself. A ref to an actor that has
    stopped stays usable: what it is told becomes a dead letter.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def address(self) -> ActorAddress:
        """System, host, port, path and incarnation of the actor."""

    @property
    def path(self) -> str:
        """The actor's place in the tree of its system, such as ``/team/worker-0``."""
        return self.address.path

    @abstractmethod
    def tell(self, message: M_contra) -> None:
        """Send a message, and never block or wait.

        What cannot be delivered (the actor has stopped, its bounded mailbox or the link to its node is full) becomes a
        `DeadLetter` event with a reason.

        Raises:
            EncodeError: the actor is on another node and the message cannot be encoded.
            UnsupportedTypeError: the same, because its type can never be.
            MailboxFullError: the actor's mailbox refuses by an error what it has no room for (``overflow="reject"``).
            UsageError: it is a ref of a client, in another thread than the client's.
        """

    @abstractmethod
    async def send(self, message: M_contra) -> None:
        """Send a message, waiting while a bounded mailbox or link is full: back-pressure.

        Senders that wait are served in the order they came. When the wait is cancelled, the message was not sent.

        Raises:
            EncodeError: as for `tell`.
            SelfAskError: an actor waits for room in its own mailbox.
            UsageError: as for `tell`.
        """

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, ActorRef) and self.address == other.address

    def __hash__(self) -> int:
        address = self.address
        return hash((address.path, address.incarnation))

    def __copy__(self) -> Self:
        return self  # as of any frozen value; a second ref would have counts of its own

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self!r} cannot be pickled: to reach another process, a ref travels in a message")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path}>"
