"""The settings of singletons. Floor F1: values, checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass

from casty_trio.model.checks import check_count, check_seconds, refuse

__all__ = ["SingletonSettings"]


@dataclass(frozen=True, slots=True)
class SingletonSettings:
    """How a singleton moves from node to node.

    Attributes:
        retry: how often a node that wants to run a singleton, or to know who does, asks again, in seconds.
        buffer: how many messages for one singleton a node holds while nobody runs it; of more, the oldest is a dead letter.
            0 holds none.
        stop_timeout: how long the actor may go on after it has handled its ``stop_message`` without stopping, in seconds;
            then it is stopped as any actor, within ``ActorSettings.grace``.
        lease_interval: how often a node asks for a lease that it has, to renew it, or wants to have, in seconds.
        lease_timeout: how long asking for a lease, or giving it back, may take, in seconds.
        lease_lost_after: after how many seconds without a renewal, more than ``lease_interval``, a lease counts as lost, if
            nobody says so before. They begin when the last renewal was asked for.
    """

    retry: float = 1.0
    buffer: int = 1_000
    stop_timeout: float = 10.0
    lease_interval: float = 5.0
    lease_timeout: float = 5.0
    lease_lost_after: float = 20.0

    def __post_init__(self) -> None:
        check_seconds("SingletonSettings.retry", self.retry, positive=True, finite=True)
        check_count("SingletonSettings.buffer", self.buffer, 0)
        check_seconds("SingletonSettings.stop_timeout", self.stop_timeout)
        for name in ("lease_interval", "lease_timeout", "lease_lost_after"):
            check_seconds(f"SingletonSettings.{name}", getattr(self, name), positive=True, finite=True)
        if self.lease_lost_after <= self.lease_interval:
            refuse("SingletonSettings.lease_lost_after", self.lease_lost_after, "seconds, more than lease_interval")
