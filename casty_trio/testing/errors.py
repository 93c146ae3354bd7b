"""What the test kit itself can fail with, apart from what the program under test raises. Floor F6.

They are here and not in `casty_trio.errors` because a program that is not a test never meets them.
"""

from __future__ import annotations

from casty_trio.errors import CastyError, UsageError

__all__ = [
    "DeadlockError",
    "InvariantError",
    "LivelockError",
    "NestedSimulationError",
    "NodeFailedError",
    "SimulationTimeoutError",
    "UnsupportedTrioError",
    "WouldWaitError",
]


class UnsupportedTrioError(UsageError, RuntimeError):
    """The installed Trio cannot be made deterministic in the way this library knows."""


class NestedSimulationError(UsageError, RuntimeError):
    """`simulate` was called where an event loop is running already; it is a plain function that starts its own."""


class SimulationTimeoutError(CastyError, TimeoutError):
    """The scenario was not done at its limit of virtual time; the notes say where every task was."""


class DeadlockError(CastyError):
    """Every task waits, and no timer is left to wake one; the notes say where every task was."""


class LivelockError(CastyError):
    """Tasks run on and on without virtual time passing; the notes say where every task was."""


class WouldWaitError(UsageError, RuntimeError):
    """A behaviour in a `BehaviorTestKit` waited for something; a kit has no clock and no tasks that could end the wait."""


class NodeFailedError(CastyError):
    """The program of a node ended with an error that its scenario does not expect; that is the cause."""


class InvariantError(CastyError, AssertionError):
    """Something did not hold that always has to; what had happened before is in the notes.

    Attributes:
        invariant: its name.
        node: where it was seen; empty when it concerns all.
        at: when, in virtual seconds.
    """

    def __init__(self, invariant: str, node: str, at: float, seen: str) -> None:
        super().__init__(f"{invariant}: {f'{node}, ' if node else ''}{at:.6f} s: {seen}")
        self.invariant: str = invariant
        self.node: str = node
        self.at: float = at
