"""What an actor may do while it handles a message. Floor F1: contracts; a runtime (node or client) implements them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

if TYPE_CHECKING:
    import logging

    from casty_trio.model.behavior import Behavior, BoundFactory
    from casty_trio.model.mailbox import Mailbox
    from casty_trio.model.ref import ActorRef

__all__ = ["ActorContext", "System"]

M = TypeVar("M")
N = TypeVar("N")
R = TypeVar("R")


class System(ABC):
    """What an actor sees of the system it lives in; `ActorSystem` is one."""

    __slots__ = ()

    @property
    @abstractmethod
    def name(self) -> str:
        """The system's name."""

    @abstractmethod
    def spawn(self, behavior: Behavior[M], name: str | None = None, *, mailbox: Mailbox | None = None) -> ActorRef[M]:
        """Start an actor at the top of the tree; see `ActorSystem.spawn`."""

    @overload
    @abstractmethod
    async def ask(self, ref: ActorRef[M], msg_factory: Callable[[ActorRef[R]], M], *, timeout: float = 5.0) -> R: ...
    @overload
    @abstractmethod
    async def ask(self, ref: ActorRef[M], msg_factory: BoundFactory[R, M], *, timeout: float = 5.0) -> R: ...

    @abstractmethod
    async def ask(self, ref: ActorRef[M], msg_factory: Callable[[ActorRef[R]], M], *, timeout: float = 5.0) -> R:
        """Send a message that carries a reply ref, and wait for the reply; see `ActorSystem.ask`."""

    @abstractmethod
    async def stop(self, ref: ActorRef[Any], *, grace: float = 5.0) -> None:
        """Stop an actor and wait until it has; see `ActorSystem.stop`."""

    @abstractmethod
    def lookup(self, path: str) -> ActorRef[Any] | None:
        """The living actor at a path, or None."""


class ActorContext(ABC, Generic[M]):
    """The hand of the actor whose behaviour is being run.

    It is passed to every handler and to the factory of `Behaviors.setup`, and is good for the life of the actor. It belongs
    to that actor: keep it out of messages.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def self(self) -> ActorRef[M]:
        """The ref of this actor. In an entity it names type and id, and survives moves."""

    @property
    @abstractmethod
    def system(self) -> System:
        """The system this actor lives in."""

    @property
    @abstractmethod
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """The logger ``casty_trio.actor``; each record begins with the actor's path and has it as ``record.actor``."""

    @abstractmethod
    def spawn(self, behavior: Behavior[N], name: str | None = None, *, mailbox: Mailbox | None = None) -> ActorRef[N]:
        """Start a child: it stops before this actor does, at the latest.

        Parameters:
            behavior: what the child does with its first message.
            name: unique among the living children; left out, one is made up.
            mailbox: a bound for its waiting mail; left out, there is none.

        Raises:
            NameInUseError: a living child has the name.
            InvalidNameError: a path cannot carry the name.
            SystemClosedError: this actor is stopping.
        """

    @abstractmethod
    def stop(self, ref: ActorRef[Any]) -> None:
        """Tell a child to stop after the message it is handling; do not wait for it.

        Raises:
            UsageError: the ref is not a child of this actor.
        """

    @overload
    @abstractmethod
    async def ask(self, ref: ActorRef[N], msg_factory: Callable[[ActorRef[R]], N], *, timeout: float = 5.0) -> R: ...
    @overload
    @abstractmethod
    async def ask(self, ref: ActorRef[N], msg_factory: BoundFactory[R, N], *, timeout: float = 5.0) -> R: ...

    @abstractmethod
    async def ask(self, ref: ActorRef[N], msg_factory: Callable[[ActorRef[R]], N], *, timeout: float = 5.0) -> R:
        """Ask another actor from a coroutine handler; see `ActorSystem.ask`. This actor handles nothing meanwhile."""
