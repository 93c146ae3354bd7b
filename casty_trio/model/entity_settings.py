"""The settings of entities' lives. Floor F1: values, checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from casty_trio.model.checks import check_count, check_number, check_seconds, refuse

__all__ = ["REMEMBERED_MOST", "EntitySettings"]

REMEMBERED_MOST: Final = 100_000
"""So many ids of one type are remembered without a store."""


@dataclass(frozen=True, slots=True)
class EntitySettings:
    """How entities end, and how those that are remembered begin again.

    Attributes:
        stop_timeout: how long an entity may go on after it has handled its type's ``stop_message`` without stopping, in
            seconds; then it is stopped as any actor, within ``ActorSettings.grace``.
        revive_rate: how many remembered entities of one type a node starts in a second, at most, when their shards come to
            it; ``math.inf`` is all at once.
        restart_least: after how many seconds a remembered entity, or a daemon, that has failed starts again; twice as long
            each time.
        restart_most: the most that this becomes, in seconds.
        remembered_most: how many entities of one type are remembered without a store, up to 100 000; further ones are not.
        keeper_timeout: how long a member that keeps the ids of entities, when there is no store, may tell nothing before it
            is not waited for, in seconds.
        store_timeout: how long one call of a program's `EntityStore` may take, in seconds; then it is cancelled, and made
            again after a while. More than the 10 seconds that a `SqliteEntityStore` waits for other writers.
    """

    stop_timeout: float = 10.0
    revive_rate: float = 1_000.0
    restart_least: float = 1.0
    restart_most: float = 60.0
    remembered_most: int = REMEMBERED_MOST
    keeper_timeout: float = 3.0
    store_timeout: float = 15.0

    def __post_init__(self) -> None:
        check_seconds("EntitySettings.stop_timeout", self.stop_timeout)
        check_number("EntitySettings.revive_rate", self.revive_rate, "a number, 1 or more", 1)
        check_count("EntitySettings.remembered_most", self.remembered_most, 1, REMEMBERED_MOST)
        for name in ("restart_least", "restart_most", "keeper_timeout", "store_timeout"):
            check_seconds(f"EntitySettings.{name}", getattr(self, name), positive=True, finite=True)
        if self.restart_least > self.restart_most:
            refuse("EntitySettings.restart_least", self.restart_least, f"at most restart_most, {self.restart_most:g} s")
