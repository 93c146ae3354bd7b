"""What to do when an actor fails: strategies, back-off, and the window that limits restarts. Floor F1: pure.

A strategy is a value; what it counts is kept by the parent of the actors it supervises, in a `RestartWindow`. Actors with
the same parent and the same strategy *object* are a group: all-for-one and rest-for-one decide about all of it.
"""

from __future__ import annotations

import enum
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from casty_trio.model.checks import LONGEST_TIME, check_count, check_instance, check_number, check_seconds, refuse

__all__ = [
    "AllForOneStrategy",
    "Backoff",
    "Directive",
    "OneForOneStrategy",
    "RestForOneStrategy",
    "RestartWindow",
    "SupervisionStrategy",
]


class Directive(enum.Enum):
    """What becomes of an actor that failed."""

    restart = "restart"
    """Begin again with the initial behaviour; the mailbox is kept, the failing message is not handled again."""
    resume = "resume"
    """Go on with the present behaviour, as if the message had not come."""
    stop = "stop"
    """Stop for good."""
    escalate = "escalate"
    """Let it be a failure of the parent."""


Decider = Callable[[Exception], Directive]


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before a restart; mail waits meanwhile.

    Attributes:
        initial: before the first restart in a window, in seconds.
        maximum: at most, in seconds, before jitter; neither may be without end.
        factor: by how much each wait is longer than the one before.
        jitter: by which share a wait may differ, up or down; 0.2 is a fifth.

    Example:
        >>> Backoff(1.0, 10.0, jitter=0.0).delay(4, random.Random(1))
        8.0
    """

    initial: float
    maximum: float
    factor: float = 2.0
    jitter: float = 0.2

    def __post_init__(self) -> None:
        check_seconds("Backoff.initial", self.initial, positive=True, finite=True)
        least = f"seconds, {self.initial!r} (initial) or more and finite"
        check_number("Backoff.maximum", self.maximum, least, self.initial, LONGEST_TIME)
        check_number("Backoff.factor", self.factor, "a number, 1 or more", 1)
        jitter = "a number from 0 to less than 1"
        check_number("Backoff.jitter", self.jitter, jitter, 0)
        if self.jitter >= 1:
            refuse("Backoff.jitter", self.jitter, jitter)

    def delay(self, restarts: int, rng: random.Random) -> float:
        """The wait before the n-th restart of a window, in seconds."""
        try:
            wait = min(self.initial * float(self.factor) ** (restarts - 1), self.maximum)
        except OverflowError:  # who tries for ever comes to numbers that no float holds
            wait = self.maximum
        return wait * rng.uniform(1 - self.jitter, 1 + self.jitter)


@dataclass(frozen=True, eq=False)
class SupervisionStrategy:
    """What the strategies share; use one of its subclasses.

    Parameters:
        max_restarts: how many restarts are allowed within ``within`` seconds; one more stops the actor (or its group).
        within: the length of the window, in seconds.
        backoff: the wait before each restart; none when left out.
        decider: what an exception means; every one means `Directive.restart` when left out.
    """

    shares_window: ClassVar[bool] = False
    """Whether the actors of a group count their restarts together."""

    max_restarts: int = 3
    within: float = 60.0
    backoff: Backoff | None = None
    decider: Decider | None = None

    def __post_init__(self) -> None:
        check_count("max_restarts", self.max_restarts, 0)
        check_seconds("within", self.within, positive=True)
        check_instance("backoff", self.backoff, Backoff)
        if self.decider is not None and not callable(self.decider):
            refuse("decider", self.decider, "a function of an exception")

    def decide(self, failure: Exception) -> Directive:
        """What a failure means."""
        return Directive.restart if self.decider is None else self.decider(failure)

    def affected(self, failed: int, group: int) -> range:
        """Which members of a group, counted in the order they were spawned, share the fate of the one that failed."""
        return range(failed, failed + 1)


class OneForOneStrategy(SupervisionStrategy):
    """Only the actor that failed is restarted or stopped; each actor has a window of its own.

    Example:
        >>> def decide(failure: Exception) -> Directive:
        ...     return Directive.resume if isinstance(failure, ValueError) else Directive.restart
        >>> OneForOneStrategy(max_restarts=5, within=10.0, decider=decide).decide(ValueError())
        <Directive.resume: 'resume'>
    """


class AllForOneStrategy(SupervisionStrategy):
    """When one of a group fails, all of it are restarted or stopped; they share one window.

    The group is the actors with the same parent that were spawned with this very strategy object.
    """

    shares_window: ClassVar[bool] = True

    def affected(self, failed: int, group: int) -> range:
        return range(group)


class RestForOneStrategy(SupervisionStrategy):
    """When one of a group fails, it and those spawned after it are restarted or stopped; they share one window."""

    shares_window: ClassVar[bool] = True

    def affected(self, failed: int, group: int) -> range:
        return range(failed, group)


class RestartWindow:
    """The restarts of one actor or group, and whether there may be another."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def restart(self, strategy: SupervisionStrategy, now: float) -> int | None:
        """Count a restart; its number in the window, or None when there were too many."""
        times = self._times
        while times and now - times[0] >= strategy.within:
            times.popleft()
        if len(times) >= strategy.max_restarts:
            return None
        times.append(now)
        return len(times)
