"""The settings of what nodes tell each other about their actors: services, and topics. Floor F1."""

from __future__ import annotations

from dataclasses import dataclass

from casty_trio.model.checks import check_seconds

__all__ = ["RegistrySettings"]


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """How nodes agree on what is registered where.

    Each change is told at once to all members; this is for what does not get through.

    Attributes:
        compare_interval: how often a node that knows of anything compares what it knows with another member, each in turn,
            in seconds.
    """

    compare_interval: float = 1.0

    def __post_init__(self) -> None:
        check_seconds("RegistrySettings.compare_interval", self.compare_interval, positive=True, finite=True)
