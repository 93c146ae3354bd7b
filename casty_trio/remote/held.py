"""Messages that wait for a connection to another node: bounded in bytes, in order. Floor F3, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

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
        most: how many bytes they may take; what fits here fits into the empty queue of a link as well.
    """

    __slots__ = ("_by_ask", "_most", "_numbered", "_waiting", "size")

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: dict[int, Held] = {}  # by a number that says when they came; a dict, so any can be taken out
        self._by_ask: dict[int, int] = {}
        self._numbered = 0
        self.size: int = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Held]:
        return iter(list(self._waiting.values()))

    def fits(self, held: Held) -> bool:
        """Whether there is room for one more; a single one is never too large."""
        return not self._waiting or self.size + held.size <= self._most

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
