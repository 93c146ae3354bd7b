"""Many deadlines, most of which never come: one heap for all asks. Floor F1: pure.

An entry that is closed is simply left where it is; the heap is rebuilt without its dead when they may outnumber the living.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

__all__ = ["DeadlineHeap", "Due"]


class _Closable(Protocol):
    @property
    def closed(self) -> bool: ...


class Due:
    """An entry that calls a function when its time has come.

    Parameters:
        deadline: when that is.
        do: the function.

    Attributes:
        closed: whether it is not to be called any more.
        deadline: when it is.
    """

    __slots__ = ("_do", "closed", "deadline")

    def __init__(self, deadline: float, do: Callable[[], object]) -> None:
        self.closed: bool = False
        self.deadline: float = deadline
        self._do = do

    def expire(self) -> None:
        """It is time; what was due before may have closed it just now."""
        if not self.closed:
            self._do()


E = TypeVar("E", bound=_Closable)

_SLACK = 64


class DeadlineHeap(Generic[E]):
    """Entries in the order of their deadlines; equal deadlines in the order they were added."""

    __slots__ = ("_added", "_heap", "_limit")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, E]] = []
        self._added = 0
        self._limit = _SLACK

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def open(self) -> int:
        """How many entries are not closed."""
        return sum(not item[2].closed for item in self._heap)

    @property
    def earliest(self) -> float:
        """The first deadline that may matter; infinity when there is none."""
        return self._heap[0][0] if self._heap else math.inf

    def add(self, deadline: float, entry: E) -> bool:
        """Add an entry; say whether its deadline is now the earliest."""
        heap = self._heap
        if len(heap) >= self._limit:
            self._compact()
        self._added += 1
        item = (deadline, self._added, entry)
        heapq.heappush(heap, item)
        return heap[0] is item

    def due(self, now: float) -> list[E]:
        """Take out what is due and not closed, earliest first."""
        heap, found = self._heap, list[E]()
        while heap and (heap[0][0] <= now or heap[0][2].closed):
            entry = heapq.heappop(heap)[2]
            if not entry.closed:
                found.append(entry)
        return found

    def _compact(self) -> None:
        self._heap[:] = [item for item in self._heap if not item[2].closed]
        heapq.heapify(self._heap)
        self._limit = _SLACK + 2 * len(self._heap)
