"""The doubt of a node: is it still a member, and with most of the others? Floor F4: a value that changes.

A node that was paused or blocked doubts, for it may have been removed meanwhile. So does one that hears nothing new from
half of those that it watches, for it may be cut off. And so does one that is about to decide that others are down: what it
knows of those that it counts on is as old as their last sign of life, and they may be on the other side, where it is
decided otherwise.

The doubt ends when most of those that were up, itself included, have answered what it has asked of late: nobody answers who
has removed it. Where it is to be decided that most of them are down, as a strategy may that goes by age or by numbers, most
of the others have to. What came in meanwhile may be old, and so may an answer be that came on a slow way; neither counts.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from typing import Final

import trio

from casty_trio.protocol.monitoring import Ping, Pong

__all__ = ["FIRST", "SLOWEST", "Doubt"]

FIRST: Final = 2**52
"""The number of the first question that any doubt asks; the detector's own pings have lower ones."""

AGAIN: Final = 0.5
"""So many seconds after a question it is asked again: connections may have to be made anew."""

SLOWEST: Final = 3.0
"""An answer may take so many seconds, however impatient the detector is, and say something of now."""

LONGEST: Final = 4.0
"""So many times what a decision takes a node doubts at most; by then whoever is silent was accused, and is decided on,
unless others reach it: then there is nothing to decide, and no reason to stand still for ever."""


class Doubt:
    """The doubt.

    Parameters:
        now: when it begins.
        up: the uids of the members that are up, this node's own among them.
        patience: how long a view has to be the same before it is decided on, in seconds.
        fresh: answers to what was asked so many seconds ago, or less, count.
        numbers: gives each question a number of its own.

    Attributes:
        over: set when it has ended.
        ping: what all are asked.
        ask_at: when those that have not answered of late are to be asked again.
        until: when it ends in any case.
    """

    def __init__(self, now: float, up: Sequence[int], patience: float, fresh: float, numbers: Iterator[int]) -> None:
        self.over: trio.Event = trio.Event()
        self.ping: Ping = Ping(next(numbers))
        self.ask_at: float = now
        self.until: float = now + LONGEST * patience
        self._patience = patience
        self._fresh = fresh
        self._numbers = numbers
        self._sent: dict[int, float] = {}
        self._up = tuple(up)
        self._heard: dict[int, float] = {}  # when they were asked what they have answered
        self._kept = self._up

    def ask(self, now: float) -> list[int]:
        """Whom to ask now, by another `ping`."""
        self.ask_at = now + AGAIN
        self.ping = Ping(next(self._numbers))
        self._sent = {seq: at for seq, at in self._sent.items() if at >= now - self._fresh} | {self.ping.seq: now}
        return [uid for uid in self._kept if not self._has_answered(now, uid)]

    def answered(self, uid: int, message: object) -> None:
        """Somebody says something of that kind."""
        if isinstance(message, Pong) and message.seq in self._sent:
            self._heard[uid] = max(self._heard.get(uid, -math.inf), self._sent[message.seq])

    def decide(self, now: float, down: Collection[int]) -> None:
        """It is to be decided that these are down, so nothing is to be heard of them."""
        self._kept = tuple(uid for uid in self._up if uid not in down)
        self.ask_at, self.until = now, now + LONGEST * self._patience

    def settle(self, now: float, alive: Collection[int]) -> None:
        """Somebody has decided that all but these are down, or gone: nothing is to be heard of them, nor do they count."""
        up = tuple(uid for uid in self._up if uid in alive)
        if up != self._up:
            self._up = up
            self._kept = tuple(uid for uid in self._kept if uid in alive)
            self.ask_at = now

    def resolved(self, now: float) -> bool:
        """Whether enough have answered."""
        answered = 1 + sum(self._has_answered(now, uid) for uid in self._kept)  # this node itself says nothing
        whole = self._up if 2 * len(self._kept) > len(self._up) else self._kept
        return 2 * answered > len(whole)

    def _has_answered(self, now: float, uid: int) -> bool:
        return self._heard.get(uid, -math.inf) >= now - self._fresh
