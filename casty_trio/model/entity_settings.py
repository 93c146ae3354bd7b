"""The settings of entities' lives. Floor F1: values, checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass

from casty_trio.model.checks import check_seconds

__all__ = ["EntitySettings"]


@dataclass(frozen=True, slots=True)
class EntitySettings:
    """How long the ends of entities may take.

    Attributes:
        stop_timeout: how long an entity may go on after it has handled its type's ``stop_message`` without stopping, in
            seconds; then it is stopped as any actor, within ``ActorSettings.grace``.
    """

    stop_timeout: float = 10.0

    def __post_init__(self) -> None:
        check_seconds("EntitySettings.stop_timeout", self.stop_timeout)
