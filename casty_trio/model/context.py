"""What an actor may do while it handles a message. Floor F1: contracts; a runtime (node or client) implements them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

if TYPE_CHECKING:
    import logging

    from casty_trio.model.broadcast import BroadcastRef
    from casty_trio.model.entity import EntityInfo
    from casty_trio.model.kinds import Behavior, BoundFactory
    from casty_trio.model.mailbox import Mailbox
    from casty_trio.model.ref import ActorRef
    from casty_trio.model.services import Listing, ReceptionistMessage, ServiceKey

__all__ = ["ActorContext", "Stash", "System", "Timers"]

M = TypeVar("M")
M_contra = TypeVar("M_contra", contravariant=True)
N = TypeVar("N")
R = TypeVar("R")


class Timers(ABC, Generic[M_contra]):
    """An actor's timers, by name; ``ctx.timers``."""

    __slots__ = ()

    @abstractmethod
    def once(self, name: str, delay: float, message: M_contra) -> None:
        """Send a message to this actor after ``delay`` seconds; replaces the timer of that name.

        Raises:
            SettingsError: the delay is negative.
        """

    @abstractmethod
    def periodic(self, name: str, interval: float, message: M_contra) -> None:
        """Send a message to this actor every ``interval`` seconds, the first after one; replaces the timer of that name.

        While one of its messages waits in the mailbox, no second one is put.

        Raises:
            SettingsError: the interval is not greater than 0.
        """

    @abstractmethod
    def cancel(self, name: str) -> bool:
        """End a timer; its message is not handled any more, even if it waits in the mailbox. Says whether there was one."""

    @abstractmethod
    def is_active(self, name: str) -> bool:
        """Whether a timer of that name is running, or its message waits."""


class Stash(ABC, Generic[M_contra]):
    """Messages that an actor has put aside; ``ctx.stash``."""

    __slots__ = ()

    @property
    @abstractmethod
    def capacity(self) -> int:
        """How many messages fit: ``ActorSettings.stash_capacity``."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def add(self, message: M_contra) -> None:
        """Put the message being handled aside. If it belongs to an ask, the asker goes on waiting.

        Raises:
            StashFullError: it is full.
        """

    @abstractmethod
    def unstash_all(self) -> None:
        """Bring all messages back: they are handled next, in the order they were put aside, ahead of newer mail."""


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
    async def ask(
        self, ref: BroadcastRef[M], msg_factory: Callable[[ActorRef[R]], M], *, timeout: float = 5.0, watch: bool = False
    ) -> tuple[R, ...]: ...
    @overload
    @abstractmethod
    async def ask(
        self, ref: ActorRef[M], msg_factory: Callable[[ActorRef[R]], M], *, timeout: float = 5.0, watch: bool = False
    ) -> R: ...
    @overload
    @abstractmethod
    async def ask(
        self, ref: ActorRef[M], msg_factory: BoundFactory[R, M], *, timeout: float = 5.0, watch: bool = False
    ) -> R: ...

    @abstractmethod
    async def ask(
        self, ref: ActorRef[M], msg_factory: Callable[[ActorRef[R]], M], *, timeout: float = 5.0, watch: bool = False
    ) -> Any:
        """Send a message that carries a reply ref, and wait for the reply; see `ActorSystem.ask`."""

    @abstractmethod
    async def stop(self, ref: ActorRef[Any], *, grace: float | None = None) -> None:
        """Stop an actor and wait until it has; see `ActorSystem.stop`."""

    @abstractmethod
    async def wait_stopped(self, ref: ActorRef[Any]) -> None:
        """Wait until an actor has stopped; see `ActorSystem.wait_stopped`."""

    @overload
    @abstractmethod
    def lookup(self, path: str) -> ActorRef[Any] | None: ...
    @overload
    @abstractmethod
    def lookup(self, path: ServiceKey[M]) -> Awaitable[Listing[M]]: ...

    @abstractmethod
    def lookup(self, path: str | ServiceKey[Any]) -> Any:
        """The living actor at a path, or None; awaited, the actors that offer a service. See `ActorSystem.lookup`."""

    @property
    @abstractmethod
    def receptionist(self) -> ActorRef[ReceptionistMessage]:
        """Who knows the actors that offer services; see `ActorSystem.receptionist`."""

    @property
    @abstractmethod
    def dead_letters(self) -> ActorRef[Any]:
        """The address for what nobody wants."""


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

    @abstractmethod
    def watch(self, ref: ActorRef[Any]) -> None:
        """Be told, by one `Terminated` to ``on_signal``, when another actor has ended; at once when it has already.

        It comes after everything that actor told this one. Watching twice is watching once. An actor without an
        ``on_signal`` stops with `DeathPactError` when one it watches ends.

        Raises:
            UsageError: the ref cannot be watched from here.
        """

    @abstractmethod
    def unwatch(self, ref: ActorRef[Any]) -> None:
        """Be told no more, also if the actor has ended and the notice is on its way.

        Raises:
            UsageError: the ref cannot be watched from here.
        """

    @property
    @abstractmethod
    def timers(self) -> Timers[M]:
        """Messages to this actor, later: ``once``, ``periodic`` and ``cancel``, by name. They end with the actor."""

    @property
    @abstractmethod
    def stash(self) -> Stash[M]:
        """Messages put aside until the actor can handle them: ``add`` and ``unstash_all``."""

    @property
    @abstractmethod
    def entity(self) -> EntityInfo:
        """Who this entity is, in its type and shard, and by which right it acts.

        Raises:
            UsageError: this actor is no entity of a sharded type.
        """

    @abstractmethod
    def passivate(self) -> None:
        """Have this entity's actor go, when it has handled what its mailbox holds: it stops, or gets the ``stop_message``.

        Nothing is lost. What is sent to the entity from now on waits for its next actor, which is started for that; and so
        does what the mailbox holds when the actor stops earlier than that, by returning `Behaviors.stopped()` say. Asks keep
        their reply path. To be passivated twice is to be passivated once.

        Raises:
            UsageError: this actor is no entity of a sharded type.
        """

    @property
    @abstractmethod
    def deadline(self) -> float:
        """When the asker of the present message stops waiting, in scheduler time; infinity when nobody waits.

        That is the timeout of the ask, or the deadline of the asker's own cancel scopes when that is earlier.
        """

    @abstractmethod
    def adapter(self, adapt: Callable[[N], M]) -> ActorRef[N]:
        """A ref of another message type.

        Parameters:
            adapt: makes what the ref is told a message of this actor; it runs in the actor's own turn, and its failure is
                the actor's.

        Raises:
            SettingsError: ``adapt`` is no function.

        Example:
            >>> # worker.tell(Job(reply_to=ctx.adapter(JobDone)))
        """

    @abstractmethod
    def start_soon(self, run: Callable[..., Awaitable[object]], *args: object) -> None:
        """Run a coroutine function in a task of its own that lives and dies with this actor.

        It is cancelled when the actor stops or restarts. What it raises is a failure of the actor.

        Raises:
            SettingsError: ``run`` is no function.
            SystemClosedError: the actor is stopping.
        """

    @abstractmethod
    def pipe_to_self(
        self,
        awaitable: Awaitable[R],
        mapper: Callable[[R], M] | None = None,
        on_failure: Callable[[Exception], M] | None = None,
    ) -> None:
        """Wait for something in the background, and send its result to this actor as a message.

        Parameters:
            awaitable: what to wait for; it is cancelled when the actor stops or restarts.
            mapper: makes the result a message; the result is the message when left out.
            on_failure: makes an exception of either a message; without it, the exception is a failure of the actor.

        Raises:
            SettingsError: ``awaitable`` cannot be awaited.
            SystemClosedError: the actor is stopping.

        Example:
            >>> # ctx.pipe_to_self(fetch(city), mapper=Forecast, on_failure=FetchFailed)
        """

    @overload
    @abstractmethod
    async def ask(
        self, ref: BroadcastRef[N], msg_factory: Callable[[ActorRef[R]], N], *, timeout: float = 5.0, watch: bool = False
    ) -> tuple[R, ...]: ...
    @overload
    @abstractmethod
    async def ask(
        self, ref: ActorRef[N], msg_factory: Callable[[ActorRef[R]], N], *, timeout: float = 5.0, watch: bool = False
    ) -> R: ...
    @overload
    @abstractmethod
    async def ask(
        self, ref: ActorRef[N], msg_factory: BoundFactory[R, N], *, timeout: float = 5.0, watch: bool = False
    ) -> R: ...

    @abstractmethod
    async def ask(
        self, ref: ActorRef[N], msg_factory: Callable[[ActorRef[R]], N], *, timeout: float = 5.0, watch: bool = False
    ) -> Any:
        """Ask another actor from a coroutine handler; see `ActorSystem.ask`. This actor handles nothing meanwhile."""
