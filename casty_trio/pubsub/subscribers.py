"""Who of this node has subscribed to what. Floor F5, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from casty_trio.actors.refs import AdapterRef, LocalRef
from casty_trio.model.ref import ActorRef
from casty_trio.protocol.buckets import Entry

__all__ = ["Subscriber", "Subscribers"]

Subscriber: TypeAlias = LocalRef[Any] | AdapterRef[Any]


class Subscribers:
    """The subscriptions of this node's actors; they end with them.

    Args:
        ended: called with what an actor had, when it has ended.
    """

    def __init__(self, ended: Callable[[Iterable[Entry]], None]) -> None:
        self._ended = ended
        self._by_key: dict[str, dict[Entry, Subscriber]] = {}
        self._of: dict[ActorRef[Any], dict[Entry, None]] = {}

    def under(self, key: str) -> dict[Entry, Subscriber]:
        """Those of one topic."""
        return self._by_key.get(key, {})

    def keys(self) -> Iterable[str]:
        """The topics that there are here."""
        return self._by_key

    def has(self, entry: Entry) -> bool:
        """Whether there is that very subscription."""
        return entry in self._by_key.get(entry.key, {})

    def add(self, entry: Entry, ref: Subscriber) -> None:
        """A new subscription."""
        self._by_key.setdefault(entry.key, {})[entry] = ref
        owner: LocalRef[Any] = ref.cell.ref
        self._of.setdefault(owner, {})[entry] = None
        owner.add_watcher(self)

    def remove(self, entry: Entry, ref: Subscriber) -> bool:
        """It is over; False when there was none."""
        owner: LocalRef[Any] = ref.cell.ref
        entries = self._of.get(owner, {})
        if entries.pop(entry, self) is self:
            return False
        if not entries:
            del self._of[owner]
            owner.remove_watcher(self)
        self._drop(entry)
        return True

    def hear_end(self, ref: ActorRef[Any], failure: Exception | None) -> None:
        """An actor has ended."""
        entries = self._of.pop(ref, {})
        for entry in entries:
            self._drop(entry)
        self._ended(entries)

    def _drop(self, entry: Entry) -> None:
        entries = self._by_key[entry.key]
        del entries[entry]
        if not entries:
            del self._by_key[entry.key]
