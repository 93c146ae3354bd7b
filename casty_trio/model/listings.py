"""The bounded buffer between listings that come and an iteration that takes them. Floor F1: pure."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from casty_trio.model.checks import check_count
from casty_trio.model.services import Listing

__all__ = ["ListingBuffer"]

M = TypeVar("M")


class ListingBuffer(Generic[M]):
    """Where it is full, the latest listing takes the place of the one before it; and none comes twice in a row.

    Args:
        capacity: how many listings it holds.
    """

    def __init__(self, capacity: int) -> None:
        check_count("capacity", capacity, 1)
        self._capacity = capacity
        self._waiting: deque[Listing[M]] = deque()
        self._taken: Listing[M] | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, listing: Listing[M]) -> None:
        """Another listing."""
        if len(self._waiting) == self._capacity:
            self._waiting.pop()
        before = self._waiting[-1] if self._waiting else self._taken
        if listing != before:  # it may be the same again as before the one that gave way
            self._waiting.append(listing)

    def take(self) -> Listing[M]:
        """The oldest; there is one."""
        self._taken = listing = self._waiting.popleft()
        return listing
