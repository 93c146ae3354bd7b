"""The mailbox of a client's local actor, with its bound. Floor: client, on anyio.

Only what others send counts and may be dropped; what the actor's own timers, background work and failures put does neither.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import anyio

from casty_trio.model.mailbox import Mailbox

__all__ = ["ClientMail", "Item"]

Item = tuple[Any, int, bool]
"""A message, the number of its ask, and whether it takes room."""


class ClientMail:
    """What waits for one actor, oldest first.

    Attributes:
        bound: how much may wait, and what happens to the rest.
        queued: how many messages wait that take room.
    """

    __slots__ = ("_items", "_waiting", "bound", "queued")

    def __init__(self, bound: Mailbox) -> None:
        self.bound: Mailbox = bound
        self.queued: int = 0
        self._items: deque[Item] = deque()
        self._waiting: dict[anyio.Event, Any] = {}  # what senders wait with, oldest first

    def __bool__(self) -> bool:
        return bool(self._items)

    @property
    def free(self) -> bool:
        """Whether a message may be put now without passing a sender that waits."""
        return self.queued < self.bound.capacity and not self._waiting

    def put(self, message: Any, ask: int, *, counted: bool = True) -> None:
        """Add a message, whether there is room or not."""
        self._items.append((message, ask, counted))
        self.queued += counted

    async def wait(self, message: Any) -> None:
        """Wait until there is room for a message, or the actor has ended; it stands in the mailbox then."""
        event = anyio.Event()
        self._waiting[event] = message
        try:
            await event.wait()
        finally:
            self._waiting.pop(event, None)

    def take(self) -> tuple[Any, int]:
        """The oldest, whose room goes to the sender that has waited longest."""
        message, ask, counted = self._items.popleft()
        self.queued -= counted
        if self._waiting and self.queued < self.bound.capacity:
            event = next(iter(self._waiting))
            self.put(self._waiting.pop(event), 0)
            event.set()
        return message, ask

    def take_oldest(self) -> tuple[Any, int]:
        """The oldest that takes room; there is one where the mailbox is full."""
        kept: list[Item] = []
        while not (item := self._items.popleft())[2]:
            kept.append(item)
        self._items.extendleft(reversed(kept))
        self.queued -= 1
        return item[0], item[1]

    def refuse_waiting(self) -> list[Any]:
        """The actor has ended: nobody waits any more; what they waited with."""
        waiting, self._waiting = self._waiting, {}
        for event in waiting:
            event.set()
        return list(waiting.values())
