"""The flight recorder: what happened last on each node, told in the order of time when a run fails. Floor F6."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import merge

import trio

from casty_trio.model.address import ActorAddress
from casty_trio.model.events import Event
from casty_trio.model.ref import ActorRef

__all__ = ["EventRef", "FlightRecorder"]

KEPT = 200
"""So many records are kept of each node."""

TOLD = 60
"""So many are told."""

WIDEST = 200
"""So many characters of each."""

Record = tuple[float, int, str, object]


class FlightRecorder:
    """The last records of each node; a note of what concerns all is kept under an empty name.

    Parameters:
        kept: how many of each.

    Example:
        >>> async def main() -> None:
        ...     recorder = FlightRecorder()
        ...     recorder.note("node-1", "it starts")
        ...     print(recorder.tell())
        >>> trio.run(main)  # doctest: +SKIP
        0.000000 node-1: it starts
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._records: dict[str, deque[Record]] = {}
        self._number = 0

    def __repr__(self) -> str:
        return f"<FlightRecorder of {self._number} records>"

    def note(self, node: str, what: object) -> None:
        """Keep something; it is put into words only when it is told."""
        records = self._records.get(node)
        if records is None:
            records = self._records[node] = deque(maxlen=self._kept)
        self._number += 1
        records.append((trio.current_time(), self._number, node, what))

    def tell(self, last: int = TOLD) -> str:
        """The last records of all nodes in the order of time, a line each."""
        records = list(merge(*self._records.values()))[-last:]
        return "\n".join(f"{at:.6f} {node or 'all'}: {_words(what)}" for at, _, node, what in records)


def _words(what: object) -> str:
    text = what if isinstance(what, str) else repr(what)
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 3]}..."


class EventRef(ActorRef[Event]):
    """A ref with no actor behind it, to hear of a system's events in the moment they are published.

    Parameters:
        name: whose they are.
        hear: called with each.
    """

    __slots__ = ("_address", "_hear")

    def __init__(self, name: str, hear: Callable[[Event], object]) -> None:
        self._address = ActorAddress("observer", f"/{name}")
        self._hear = hear

    @property
    def address(self) -> ActorAddress:
        return self._address

    def tell(self, message: Event) -> None:
        self._hear(message)

    async def send(self, message: Event) -> None:
        self._hear(message)
        await trio.lowlevel.checkpoint()
