"""What a membership machine is told by, and what it wants to be done. Floor F1: frozen values."""

from __future__ import annotations

from typing import Any

import msgspec

from casty_trio.protocol.forming import Address
from casty_trio.protocol.members import View

__all__ = ["Changed", "Effect", "Ended", "Pardoned", "Refused", "Refuted", "Send", "Sender"]


class Sender(msgspec.Struct, frozen=True):
    """Who said something: the start of a node, and where it is reached."""

    uid: int
    address: Address


class Send(msgspec.Struct, frozen=True):
    """Tell a node something, if there is a way to it; ``uid`` is 0 when any start of it will do."""

    address: Address
    uid: int
    message: Any


class Changed(msgspec.Struct, frozen=True):
    """What is known has changed; None where there is no cluster."""

    old: View | None
    new: View | None


class Refuted(msgspec.Struct, frozen=True):
    """This node was said to be unreachable, and has refuted it."""


class Pardoned(msgspec.Struct, frozen=True):
    """A member that this node could not reach has refuted that."""

    uid: int


class Refused(msgspec.Struct, frozen=True):
    """A node does not let this one in, for now."""

    address: Address
    reason: str


class Ended(msgspec.Struct, frozen=True):
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
