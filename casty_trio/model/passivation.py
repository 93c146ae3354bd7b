"""When the actors of entities that nobody needs are stopped. Floor F1: a value, checked when it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass

from casty_trio.model.checks import check_count, check_seconds

__all__ = ["Passivation"]


@dataclass(frozen=True, slots=True)
class Passivation:
    """Which entities of a sharded type are passivated by themselves: their actors stop, and the next message starts another.

    Attributes:
        idle: after how many seconds without a message, and up to a quarter more, in seconds; ``math.inf`` is never. What an
            entity's own timers send does not count, and one that is at work is not idle.
        limit: how many entities of the type may live on one node; one more, and the one that was used longest ago is
            passivated. ``math.inf`` is any number.

    Example:
        >>> Passivation(idle=60.0, limit=50_000).limit
        50000
    """

    idle: float = 120.0
    limit: float = math.inf

    def __post_init__(self) -> None:
        check_seconds("Passivation.idle", self.idle, positive=True)
        check_count("Passivation.limit", self.limit, 1, math.inf)
