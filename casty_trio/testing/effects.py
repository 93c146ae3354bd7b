"""What a behaviour did while `BehaviorTestKit` ran it: one frozen value for each act. Floor F6.

Effects compare by value, so a test can write down what it expects; behaviours and functions in them compare by identity.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from casty_trio.model.kinds import Behavior
from casty_trio.model.mailbox import Mailbox
from casty_trio.model.ref import ActorRef

__all__ = [
    "AdapterMade",
    "Asked",
    "ChildStopped",
    "Effect",
    "Passivated",
    "PipedToSelf",
    "Restarted",
    "Resumed",
    "Spawned",
    "StartedSoon",
    "Stashed",
    "TimerCancelled",
    "TimerStarted",
    "Told",
    "Unhandled",
    "Unstashed",
    "Unwatched",
    "Watched",
]


@dataclass(frozen=True, slots=True)
class Effect:
    """The base of all effects."""


@dataclass(frozen=True, slots=True)
class Told(Effect):
    """It told, or sent, a ref of the kit's something; its own ref is one of them.

    Parameters:
        ref: who was told.
        message: what.
    """

    ref: ActorRef[Any]
    message: object


@dataclass(frozen=True, slots=True)
class Asked(Effect):
    """It asked a ref of the kit's.

    Parameters:
        ref: who was asked.
        message: what, with the reply ref in it.
        timeout: how long it would have waited, in seconds.
    """

    ref: ActorRef[Any]
    message: object
    timeout: float


@dataclass(frozen=True, slots=True)
class Spawned(Effect):
    """It spawned a child, which is not run: give its behaviour to a kit of its own.

    Parameters:
        ref: the child.
        behavior: what the child would begin with, wrappers included.
        mailbox: the bound of its mailbox, if it has one.
    """

    ref: ActorRef[Any]
    behavior: Behavior[Any]
    mailbox: Mailbox | None = None

    @property
    def name(self) -> str:
        """The child's name, the last part of its path."""
        return self.ref.address.name


@dataclass(frozen=True, slots=True)
class ChildStopped(Effect):
    """It told a child to stop.

    Parameters:
        ref: the child.
    """

    ref: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class Watched(Effect):
    """It watches an actor.

    Parameters:
        ref: the actor.
    """

    ref: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class Unwatched(Effect):
    """It watches an actor no more.

    Parameters:
        ref: the actor.
    """

    ref: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class TimerStarted(Effect):
    """It started a timer; `BehaviorTestKit.fire` has its time come.

    Parameters:
        name: the timer's name.
        delay: after how many seconds; of a periodic one, every how many.
        message: what comes then.
        periodic: whether it comes again and again.
    """

    name: str
    delay: float
    message: object
    periodic: bool = False


@dataclass(frozen=True, slots=True)
class TimerCancelled(Effect):
    """It cancelled a timer that was running.

    Parameters:
        name: the timer's name.
    """

    name: str


@dataclass(frozen=True, slots=True)
class Stashed(Effect):
    """It put the message at hand aside.

    Parameters:
        message: the message.
    """

    message: object


@dataclass(frozen=True, slots=True)
class Unstashed(Effect):
    """It brought back what it had put aside; the kit runs these messages right after the present one.

    Parameters:
        messages: what comes back, in order.
    """

    messages: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class AdapterMade(Effect):
    """It made a ref of another message type.

    Parameters:
        ref: the new ref; what it is told waits for `BehaviorTestKit.run_waiting`.
        adapt: what makes that a message of the behaviour's.
    """

    ref: ActorRef[Any]
    adapt: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class StartedSoon(Effect):
    """It started a background task, which is not run.

    Parameters:
        run: the coroutine function.
        args: its arguments.
    """

    run: Callable[..., Awaitable[object]]
    args: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class PipedToSelf(Effect):
    """It pipes something to itself, which is not awaited: say yourself how it ended, with `message` or `failure`.

    Parameters:
        name: what is awaited, such as the name of the coroutine function.
        mapper: what makes the result a message; None when it is one.
        on_failure: what makes an exception a message; None when it is a failure of the actor.

    Example:
        >>> # piped = kit.expect_effect(PipedToSelf)
        >>> # kit.run(piped.message("sunny"))
    """

    name: str
    mapper: Callable[[Any], Any] | None = None
    on_failure: Callable[[Exception], Any] | None = None

    def message(self, result: object) -> Any:
        """The message that comes when the result is this."""
        return result if self.mapper is None else self.mapper(result)

    def failure(self, error: Exception) -> Any:
        """The message that comes when it raises this.

        Raises:
            Exception: the error itself, when nothing makes a message of it.
        """
        if self.on_failure is None:
            raise error
        return self.on_failure(error)


@dataclass(frozen=True, slots=True)
class Unhandled(Effect):
    """It returned `Behaviors.unhandled()`.

    Parameters:
        message: the message at hand.
    """

    message: object


@dataclass(frozen=True, slots=True)
class Passivated(Effect):
    """It called `ctx.passivate`: a real entity would stop when its mailbox is empty."""


@dataclass(frozen=True, slots=True)
class Restarted(Effect):
    """Its strategy had it restart: hooks, timers, children and stash were seen to, and the initial behaviour is in place.

    Parameters:
        failure: what it had raised.
        delay: how long its mail would have waited, in seconds, jitter left out.
    """

    failure: Exception
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Resumed(Effect):
    """Its strategy had it go on.

    Parameters:
        failure: what it had raised.
    """

    failure: Exception
