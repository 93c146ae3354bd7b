"""How much mail an actor may have waiting, and what happens to the rest. Floor F1: a pure value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from casty_trio.model.checks import check_choice, check_count

__all__ = ["Mailbox", "Overflow"]

Overflow = Literal["drop_new", "drop_oldest", "reject"]


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A bound for an actor's waiting mail; an actor spawned without one is unbounded.

    Signals (stop, a child's failure, `Terminated`) never count, and are never dropped.

    Attributes:
        capacity: how many messages may wait; a whole number from 1, or ``math.inf``.
        overflow: what `ActorRef.tell` does when it is full. ``"drop_new"`` makes the new message a dead letter,
            ``"drop_oldest"`` the one that waited longest, ``"reject"`` raises `MailboxFullError` at the teller.
            `ActorRef.send` waits for room whatever it says.

    Example:
        >>> Mailbox(1000, overflow="drop_oldest").capacity
        1000
    """

    capacity: float = math.inf
    overflow: Overflow = "drop_new"

    def __post_init__(self) -> None:
        check_count("Mailbox.capacity", self.capacity, 1, math.inf)
        check_choice("Mailbox.overflow", self.overflow, get_args(Overflow))
