"""The doubt of a node: is it still a member, and with most of the others? Floor F4: a value that changes.

A node that was paused or blocked doubts, for it may have been removed meanwhile. So does one that is about to decide that
others are down: what it knows of those that it counts on is as old as their last sign of life, and they may be on the other
side, where it is decided otherwise.

The doubt ends when most of those that were up, itself included, have answered what it has asked since: nobody answers who
has removed it. Where it is to be decided that most of them are down, as a strategy may that goes by age or by numbers, most
of the others have to. What came in meanwhile may be old, so nothing else counts.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import trio

from casty_trio.protocol.monitoring import Ping, Pong

__all__ = ["Doubt"]

FIRST: Final = 2**52
"""The detector's own pings have lower numbers."""

AGAIN: Final = 0.5
"""So many seconds after a question it is asked again: connections may have to be made anew."""

LONGEST: Final = 4.0
"""So many times what a decision takes a node doubts at most; by then whoever is silent was accused, and is decided on."""


class Doubt:
    """The doubt.

    Parameters:
        now: when it begins.
        up: the uids of the members that are up, this node's own among them.
        patience: how long a view has to be the same before it is decided on, in seconds.
        number: which of the node's doubts it is.

    Attributes:
        over: set when it has ended.
        ping: what all are asked.
        ask_at: when those that have not answered are to be asked again.
        until: when it ends in any case.
    """

    def __init__(self, now: float, up: Sequence[int], patience: float, number: int) -> None:
        self.over: trio.Event = trio.Event()
        self.ping: Ping = Ping(FIRST + number)
        self.ask_at: float = now
        self.until: float = now + LONGEST * patience
        self._patience = patience
        self._up = tuple(up)
        self._silent = dict.fromkeys(up)
        self._kept = self._up

    def ask(self, now: float) -> list[int]:
        """Whom to ask now."""
        self.ask_at = now + AGAIN
        return [uid for uid in self._kept if uid in self._silent]

    def answered(self, uid: int, message: object) -> None:
        """Somebody says something of that kind."""
        if isinstance(message, Pong) and message.seq == self.ping.seq:
            self._silent.pop(uid, None)

    def decide(self, now: float, down: Collection[int]) -> None:
        """It is to be decided that these are down, so nothing is to be heard of them."""
        self._kept = tuple(uid for uid in self._up if uid not in down)
        self.ask_at, self.until = now, now + LONGEST * self._patience

    @property
    def resolved(self) -> bool:
        """Whether enough have answered."""
        answered = 1 + sum(uid not in self._silent for uid in self._kept)  # this node is among the silent
        whole = self._up if 2 * len(self._kept) > len(self._up) else self._kept
        return 2 * answered > len(whole)
