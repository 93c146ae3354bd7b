"""What one holder at a time has, by the word of a third party: a contract for programs, and its events. Floor F1."""

from __future__ import annotations

from abc import ABC, abstractmethod

from casty_trio.model.events import Event

__all__ = ["Lease", "LeaseAcquired", "LeaseEvent", "LeaseFailed", "LeaseLost"]


class Lease(ABC):
    """One thing that one holder at a time has: a row of a database, or a lock of a service, that all nodes can reach.

    It ends by itself some time after its holder has last asked for it, or what a crashed holder had stays taken: give that
    time more seconds than ``SingletonSettings.lease_lost_after`` and two for the actor to stop. The calls may be cancelled,
    and what was asked then may have been done or not.

    Example:
        >>> class RowLease(Lease):
        ...     async def acquire(self, holder: str) -> bool:
        ...         # UPDATE lease SET holder = :holder, until = now() + 40 s WHERE holder = :holder OR until < now()
        ...         return True
        ...     async def release(self, holder: str) -> None:
        ...         pass  # UPDATE lease SET until = now() WHERE holder = :holder
    """

    @abstractmethod
    async def acquire(self, holder: str) -> bool:
        """Ask for it in the name of a holder; whether that has it now. To ask again in the name of the holder renews it."""

    @abstractmethod
    async def release(self, holder: str) -> None:
        """A holder does not need it any more; nothing if it has it no more."""


class LeaseEvent(Event, frozen=True):
    """The base of what a node tells about the lease of a singleton.

    Attributes:
        name: the singleton's.
        holder: in whose name this node asks.
    """

    name: str
    holder: str


class LeaseAcquired(LeaseEvent, frozen=True):
    """This node holds the lease: the singleton's actor starts here."""


class LeaseLost(LeaseEvent, frozen=True):
    """It does not any more, and did not give it back: the actor is stopped at once.

    Attributes:
        reason: why.
    """

    reason: str


class LeaseFailed(LeaseEvent, frozen=True):
    """The lease could not be asked for, renewed, or given back: it is tried again, but for the last.

    Attributes:
        reason: what was tried, and what came of it.
    """

    reason: str
