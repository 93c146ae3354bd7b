"""Messages that wait for a connection, on a node or a client: bounded, in order. Floor F2, no I/O."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Iterator

from casty_trio.errors import MessageTooLargeError
from casty_trio.protocol.frames import HEADER_SIZE

__all__ = ["Held", "HeldMessages"]

LEAST_FRAME = 1024
"""Peers take frames of this size at least, so a message is never cut into smaller pieces."""


class Held:
    """One message as it will be written.

    Attributes:
        kind: the kind of its frame.
        body: the body of its frame.
        uid: the start of the node that it is for; 0 for any.
        ask: the number of the ask it carries; 0 for a tell.
    """

    __slots__ = ("ask", "body", "kind", "uid")

    def __init__(self, kind: int, body: bytes, uid: int, ask: int) -> None:
        self.kind: int = kind
        self.body: bytes = body
        self.uid: int = uid
        self.ask: int = ask

    @property
    def size(self) -> int:
        """How many bytes it takes in the queue of a link, cut into the smallest pieces there can be."""
        return len(self.body) + HEADER_SIZE * (1 + len(self.body) // (LEAST_FRAME - 1))


class HeldMessages:
    """The messages that wait, the oldest first.

    Args:
        room: how many bytes they may take; what fits here fits into the empty queue of a link as well.
        largest: how many bytes one of them may have.
        most: how many there may be.
    """

    __slots__ = ("_by_ask", "_largest", "_most", "_numbered", "_room", "_waiting", "size")

    def __init__(self, room: int, *, largest: float = math.inf, most: float = math.inf) -> None:
        self._room = room
        self._largest = largest
        self._most = most
        # By a number that says when they came, so any can be taken out; a plain dict is slow to find its first again.
        self._waiting: OrderedDict[int, Held] = OrderedDict()
        self._by_ask: dict[int, int] = {}
        self._numbered = 0
        self.size: int = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Held]:
        return iter(list(self._waiting.values()))

    @property
    def oldest(self) -> Held | None:
        """The one that waits longest."""
        return next(iter(self._waiting.values()), None)

    @property
    def overflowing(self) -> bool:
        """Whether there are more than there may be; a single one is never too large."""
        return len(self) > self._most or (len(self) > 1 and self.size > self._room)

    def check(self, body: bytes) -> None:
        """See that a message can be written at all, once there is a connection.

        Raises:
            MessageTooLargeError: no peer would take it.
        """
        if len(body) > self._largest:
            raise MessageTooLargeError(f"a message of {len(body)} bytes exceeds the limit of {self._largest} bytes")

    def fits(self, held: Held) -> bool:
        """Whether there is room for one more; a single one is never too large."""
        return not self._waiting or (len(self) < self._most and self.size + held.size <= self._room)

    def add(self, held: Held) -> None:
        """Put one behind all others."""
        self._numbered += 1
        self._waiting[self._numbered] = held
        self.size += held.size
        if held.ask:
            self._by_ask[held.ask] = self._numbered

    def put_first(self, messages: Iterable[Held]) -> None:
        """Put some before all others, in their order."""
        behind = list(self._waiting.values())
        self.clear()
        for held in (*messages, *behind):
            self.add(held)

    def remove_ask(self, ask: int) -> bool:
        """Take the message of an ask out; whether it was there."""
        number = self._by_ask.pop(ask, None)
        if number is None:
            return False
        self.size -= self._waiting.pop(number).size
        return True

    def take_oldest(self) -> Held:
        """Take out the one that waits longest; there has to be one."""
        _, held = self._waiting.popitem(last=False)
        self._by_ask.pop(held.ask, None)
        self.size -= held.size
        return held

    def take(self, uid: int) -> list[Held]:
        """Take out what is for this start of the node, or for any, in order."""
        taken = {number: held for number, held in self._waiting.items() if held.uid in (0, uid)}
        for number, held in taken.items():
            del self._waiting[number]
            self._by_ask.pop(held.ask, None)
            self.size -= held.size
        return list(taken.values())

    def clear(self) -> list[Held]:
        """Take all out."""
        taken = list(self._waiting.values())
        self._waiting.clear()
        self._by_ask.clear()
        self.size = 0
        return taken
