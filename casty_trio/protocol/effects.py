"""What a membership machine is told by, and what it wants to be done. Floor F1: frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from casty_trio.protocol.forming import Address
from casty_trio.protocol.members import View

__all__ = ["Changed", "Effect", "Ended", "Pardoned", "Refused", "Refuted", "Send", "Sender"]


@dataclass(frozen=True, slots=True)
class Sender:
    """Who said something: the start of a node, and where it is reached."""

    uid: int
    address: Address


@dataclass(frozen=True, slots=True)
class Send:
    """Tell a node something, if there is a way to it; ``uid`` is 0 when any start of it will do."""

    address: Address
    uid: int
    message: Any


@dataclass(frozen=True, slots=True)
class Changed:
    """What is known has changed; None where there is no cluster."""

    old: View | None
    new: View | None


@dataclass(frozen=True, slots=True)
class Refuted:
    """This node was said to be unreachable, and has refuted it."""


@dataclass(frozen=True, slots=True)
class Pardoned:
    """A member that this node could not reach has refuted that."""

    uid: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A node does not let this one in, for now."""

    address: Address
    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """This start of the node is no member any more.

    Attributes:
        left: whether it wanted that; else it was declared down, or its cluster made room for another.
        why: in words.
        moves: whether it is to look for the other cluster, as another start of the node.
    """

    left: bool
    why: str
    moves: bool = False


Effect = Send | Changed | Refuted | Pardoned | Refused | Ended
