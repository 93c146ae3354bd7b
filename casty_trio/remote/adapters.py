"""Adapters of this node's actors to which other nodes have refs. Floor F3, no I/O.

An adapter is no actor, so no path leads to it. One whose ref leaves the node is kept here, until its actor ends.
"""

from __future__ import annotations

from typing import Any, Final

from casty_trio.actors.refs import AdapterRef, LocalRef
from casty_trio.model.ref import ActorRef

__all__ = ["Adapters"]

KEPT_MOST: Final = 1_000
"""So many are kept for one actor; those that were sent first are forgotten first."""


class Adapters:
    """The adapters that can be found, by their number; as a watcher of their actors it hears when to forget them."""

    def __init__(self) -> None:
        self._by_number: dict[int, AdapterRef[Any]] = {}
        self._of: dict[ActorRef[Any], dict[int, None]] = {}

    def __len__(self) -> int:
        return len(self._by_number)

    def keep(self, ref: AdapterRef[Any]) -> None:
        """A ref to it leaves the node."""
        number = ref.address.incarnation
        if number in self._by_number:
            return
        actor: LocalRef[Any] = ref.cell.ref
        numbers = self._of.setdefault(actor, {})
        self._by_number[number] = ref
        numbers[number] = None
        if len(numbers) > KEPT_MOST:
            oldest = next(iter(numbers))
            del numbers[oldest], self._by_number[oldest]
        actor.add_watcher(self)

    def find(self, path: str, number: int) -> AdapterRef[Any] | None:
        """The adapter of that address."""
        found = self._by_number.get(number)
        return found if found is not None and found.path == path else None

    def hear_end(self, ref: ActorRef[Any], failure: Exception | None) -> None:
        """An actor has ended, and its adapters with it."""
        for number in self._of.pop(ref, {}):
            del self._by_number[number]
