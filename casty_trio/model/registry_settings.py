"""The settings of what nodes tell each other about their actors, services and topics, and of who tells clients. Floor F1."""

from __future__ import annotations

from dataclasses import dataclass

from casty_trio.model.checks import check_seconds, refuse
from casty_trio.model.member import LONGEST_ROLE

__all__ = ["ReceptionistSettings", "RegistrySettings"]


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


@dataclass(frozen=True, slots=True)
class ReceptionistSettings:
    """How nodes agree on who offers which service, and which of them clients connect to.

    Attributes:
        compare_interval: as in `RegistrySettings`.
        role: clients connect to the nodes with this role alone, and reach through them what lives on the others, which
            refuse them; the same on every node. With "" each node takes clients.
    """

    compare_interval: float = 1.0
    role: str = ""

    def __post_init__(self) -> None:
        check_seconds("ReceptionistSettings.compare_interval", self.compare_interval, positive=True, finite=True)
        if type(self.role) is not str or len(self.role) > LONGEST_ROLE:
            refuse(
                "ReceptionistSettings.role", self.role, f'a role of at most {LONGEST_ROLE} characters, or "" for every node'
            )
