"""The doubt of a node that was paused or blocked: is it still a member? Floor F4: a value that changes.

It ends when most of those that were up, itself included, have answered what it has asked since: nobody answers who has
removed it. What came in meanwhile may be old, so nothing else counts, but that some are down: a node that was removed does
decide so of one that has just left the others, and knows no more of itself then.
"""

from __future__ import annotations

from collections.abc import Sequence
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
        self._silent = dict.fromkeys(up)
        self._most = len(up)

    def ask(self, now: float) -> list[int]:
        """Whom to ask now."""
        self.ask_at = now + AGAIN
        return list(self._silent)

    def answered(self, uid: int, message: object) -> bool:
        """Somebody says something of that kind; whether most have answered by now."""
        if isinstance(message, Pong) and message.seq == self.ping.seq:
            self._silent.pop(uid, None)
        return self._resolved

    def decided(self, down: Sequence[int]) -> bool:
        """It was decided that these are down, so nothing is to be heard of them; whether most of the rest have answered."""
        for uid in down:
            if uid in self._silent:
                del self._silent[uid]
                self._most -= 1
        return self._resolved

    @property
    def _resolved(self) -> bool:
        return 2 * (self._most - len(self._silent) + 1) > self._most  # this node is among the silent
