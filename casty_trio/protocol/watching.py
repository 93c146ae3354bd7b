"""What a node remembers of another one that it watches, or tries for others. Floor F1, pure."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

from casty_trio.protocol.phi import PhiDetector

__all__ = ["REMEMBERED", "Asked", "Help", "Watch"]

REMEMBERED: Final = 16
"""So many pings to a peer can still be answered; an answer to an earlier one says nothing about now."""


class Asked:
    """Helpers that were asked about a silent peer."""

    __slots__ = ("at", "deadline", "number", "silent")

    def __init__(self, number: int, at: float, deadline: float, silent: list[int]) -> None:
        self.at: float = at
        self.number: int = number
        self.deadline: float = deadline
        self.silent: list[int] = silent


class Watch:
    """One peer that is watched."""

    __slots__ = ("accused", "answered", "asked", "detector", "due", "fresh", "patient_until", "pings", "trip", "uid")

    def __init__(self, uid: int, detector: PhiDetector, now: float) -> None:
        self.uid: int = uid
        self.detector: PhiDetector = detector
        self.pings: deque[tuple[int, float]] = deque(maxlen=REMEMBERED)
        """The numbers and times of those that were not answered, nor any after them."""
        self.answered: bool = False
        """Whether it ever did."""
        self.trip: float = 0.0
        """How long its last round trip took."""
        self.fresh: float = now
        """When it was asked what it has answered; what came on a slow way is old."""
        self.accused: bool = False
        self.asked: Asked | None = None
        self.patient_until: float = -math.inf
        self.due: float = math.inf
        """When something has to be decided, if nothing is heard."""

    def plan(self, now: float) -> None:
        """Say anew when something is due; never in the past, for that would look as if this node were late."""
        if self.asked is not None:
            self.due = self.asked.deadline
        elif self.accused:
            self.due = math.inf
        else:
            self.due = max(self.detector.suspect_at(), self.patient_until, now)

    def excuse(self, now: float, until: float) -> None:
        """Judge it no earlier than then."""
        self.asked = None
        self.patient_until = until
        self.plan(now)

    def pong(self, now: float, seq: int) -> bool:
        """Take an answer; whether it counts."""
        pings = self.pings
        if all(number != seq for number, _ in pings):
            return False
        while pings and pings[0][0] <= seq:
            asked = pings.popleft()[1]
            self.trip, self.fresh = now - asked, max(self.fresh, asked)
        self.answered = True
        self.detector.heard(now)
        self.asked = None
        return True


class Help:
    """A peer that is tried for another one."""

    __slots__ = ("asker", "deadline", "number", "target")

    def __init__(self, asker: int, target: int, number: int, deadline: float) -> None:
        self.asker: int = asker
        self.target: int = target
        self.number: int = number
        self.deadline: float = deadline
