"""What is registered on which node, as all nodes agree on it. Floor F1: a pure machine.

One bucket per start of a node; only its node writes it, and of two versions the higher one holds. A node tells all others
what it changes, as a delta that names the version it is based on; who lacks that asks for the whole. From time to time each
node tells another one, all in turn, which versions it has, so that what was lost on the way, or did not get through between
two nodes, comes by a third. The bucket of a node that is no member any more is gone, and so nobody needs tombstones.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import Final, TypeAlias

import msgspec

from casty_trio.errors import ProtocolError
from casty_trio.protocol.buckets import LONGEST_PATH, MOST_ENTRIES, MOST_TEXT, Delta, Entry, Full, Status, Want, Word

__all__ = ["Changed", "Effect", "Registry", "Say"]

LAST_VERSION: Final = 2**62


class Say(msgspec.Struct, frozen=True):
    """Tell a member something, if there is a way to it."""

    uid: int
    word: Word


class Changed(msgspec.Struct, frozen=True):
    """What is registered under these keys is not what it was."""

    keys: tuple[str, ...]


Effect: TypeAlias = Say | Changed


class Bucket:
    """What is registered on one node, in one version."""

    __slots__ = ("entries", "text", "version")

    def __init__(self) -> None:
        self.version: int = 0
        self.entries: dict[Entry, None] = {}
        self.text: int = 0

    def has_room(self, entry: Entry) -> bool:
        """Whether one more fits."""
        short = len(entry.path) <= LONGEST_PATH
        return short and len(self.entries) < MOST_ENTRIES and self.text + entry.size <= MOST_TEXT

    def change(self, removed: Collection[Entry], added: Collection[Entry]) -> None:
        """Remove what is there, and add what is not.

        Raises:
            ProtocolError: no bucket is so large; it is as it was.
        """
        count = len(self.entries) - len(removed) + len(added)
        text = self.text + sum(entry.size for entry in added) - sum(entry.size for entry in removed)
        if count > MOST_ENTRIES or text > MOST_TEXT:
            raise ProtocolError(f"a bucket has more than {MOST_ENTRIES} entries, or more than {MOST_TEXT} bytes of text")
        for entry in removed:
            del self.entries[entry]
        self.entries.update(dict.fromkeys(added))
        self.text = text


class Registry:
    """All that is registered, as one node knows it.

    Args:
        uid: this start of the node.
        interval: how often another member is told which versions this one has, in seconds.

    Attributes:
        uid: as given.
        next_wakeup: when `tick` is due.
        dirty: whether there is something for `flush`.
    """

    def __init__(self, uid: int, interval: float) -> None:
        self.uid: int = uid
        self.next_wakeup: float = math.inf
        self._interval = interval
        self._own = Bucket()
        self._told = 0  # the version of it that the others were told last
        self._added: dict[Entry, None] = {}
        self._removed: dict[Entry, None] = {}
        self._members: tuple[int, ...] = ()  # the others, sorted
        self._buckets: dict[int, Bucket] = {}  # theirs
        self._by_key: dict[str, dict[int, dict[Entry, None]]] = {}  # all of theirs
        self._places: Counter[tuple[int, str, int]] = Counter()  # how many entries each of their actors has
        self._last = uid  # who was told last which versions there are

    # --- What is known ------------------------------------------------------------------------------------------------

    @property
    def dirty(self) -> bool:
        return self._own.version != self._told

    @property
    def own(self) -> tuple[Entry, ...]:
        """What is registered on this node, sorted."""
        return tuple(sorted(self._own.entries))

    def found(self, key: str) -> Iterator[tuple[int, Entry]]:
        """What is registered under a key on other nodes, with the uid of each; in no order."""
        for uid, entries in self._by_key.get(key, {}).items():
            for entry in entries:
                yield uid, entry

    def has(self, uid: int, path: str, incarnation: int) -> bool:
        """Whether an actor of another node is registered under any key."""
        return (uid, path, incarnation) in self._places

    def names(self) -> tuple[str, ...]:
        """The keys under which something is registered on other nodes, sorted."""
        return tuple(sorted(self._by_key))

    def versions(self) -> tuple[tuple[int, int], ...]:
        """Which buckets are known in which version, of those that were ever written to, sorted by uid."""
        known = {self.uid: self._own, **self._buckets}
        return tuple((uid, known[uid].version) for uid in sorted(known) if known[uid].version)

    # --- This node ----------------------------------------------------------------------------------------------------

    def has_room(self, entry: Entry) -> bool:
        """Whether one more can be registered on this node."""
        return self._own.has_room(entry)

    def add(self, entry: Entry) -> bool:
        """Register an actor of this node; False when it is. `flush` tells the others.

        Raises:
            ProtocolError: there is no room; `has_room` tells.
        """
        if entry in self._own.entries:
            return False
        self._own.change((), (entry,))
        self._note(entry, self._removed, self._added)
        return True

    def remove(self, entry: Entry) -> bool:
        """Forget an actor of this node; False when it was not registered. `flush` tells the others."""
        if entry not in self._own.entries:
            return False
        self._own.change((entry,), ())
        self._note(entry, self._added, self._removed)
        return True

    def _note(self, entry: Entry, undone: dict[Entry, None], done: dict[Entry, None]) -> None:
        if undone.pop(entry, self) is self:
            done[entry] = None
        self._own.version += 1

    def flush(self) -> list[Effect]:
        """Tell all other members what has changed here since the last time."""
        if not self.dirty:
            return []
        delta = Delta(self._told, self._own.version, tuple(self._added), tuple(self._removed))
        self._told = self._own.version
        self._added, self._removed = {}, {}
        return [Say(uid, delta) for uid in self._members]

    # --- The others ---------------------------------------------------------------------------------------------------

    def set_members(self, now: float, uids: Iterable[int]) -> list[Effect]:
        """These are the members, this node included or not; what was registered on those that are none any more is gone."""
        before, others = set(self._members), sorted(set(uids) - {self.uid})
        self._members = tuple(others)
        changed: dict[str, None] = {}
        for uid in sorted(set(self._buckets) - set(others)):
            for entry in list(self._buckets.pop(uid).entries):
                self._forget(uid, entry, changed)
        if not others:
            self.next_wakeup = math.inf
        elif self.next_wakeup == math.inf:
            self.next_wakeup = now + self._interval
        effects = [effect for uid in others if uid not in before for effect in self.connected(uid)]
        return [*_changed(changed), *effects]

    def connected(self, uid: int) -> list[Effect]:
        """There is a new connection to a node: what was said on an earlier one may be lost."""
        if uid not in self._members or not self._own.version:
            return []
        return [Say(uid, Status(((self.uid, self._own.version),), whole=False))]

    def tick(self, now: float) -> list[Effect]:
        """If it is time, tell the member whose turn it is which versions this one has."""
        if now < self.next_wakeup:
            return []
        self.next_wakeup = now + self._interval
        versions = self.versions()
        if not versions:
            return []
        place = bisect_right(self._members, self._last)
        self._last = self._members[place % len(self._members)]
        return [Say(self._last, Status(versions, whole=True))]

    def receive(self, sender: int, word: Word) -> list[Effect]:
        """What another node says; who is no member, or is not known as one yet, says nothing.

        Raises:
            ProtocolError: it makes its bucket larger than one may be.
        """
        if sender not in self._members:
            return []
        match word:
            case Full(uid, version, entries):
                return self._on_full(uid, version, entries)
            case Delta():
                return self._on_delta(sender, word)
            case Status():
                return self._on_status(sender, word)
            case _:
                return [Say(sender, full) for uid in dict.fromkeys(word.uids) if (full := self._full(uid)) is not None]

    def _on_full(self, uid: int, version: int, entries: tuple[Entry, ...]) -> list[Effect]:
        if uid not in self._members or version <= self._version(uid):
            return []
        new, changed = Bucket(), dict[str, None]()
        new.change((), dict.fromkeys(entries))
        new.version = version
        old = self._buckets.get(uid, Bucket())
        self._buckets[uid] = new
        for entry in old.entries.keys() - new.entries.keys():
            self._forget(uid, entry, changed)
        for entry in new.entries.keys() - old.entries.keys():
            self._remember(uid, entry, changed)
        return _changed(changed)

    def _on_delta(self, sender: int, delta: Delta) -> list[Effect]:
        known = self._version(sender)
        if delta.version <= known:
            return []
        if delta.base != known:
            return [Say(sender, Want((sender,)))]
        bucket, changed = self._buckets.setdefault(sender, Bucket()), dict[str, None]()
        removed = [entry for entry in dict.fromkeys(delta.removed) if entry in bucket.entries]
        added = [entry for entry in dict.fromkeys(delta.added) if entry not in bucket.entries]
        bucket.change(removed, added)
        bucket.version = delta.version
        for entry in removed:
            self._forget(sender, entry, changed)
        for entry in added:
            self._remember(sender, entry, changed)
        return _changed(changed)

    def _on_status(self, sender: int, status: Status) -> list[Effect]:
        theirs = dict(status.versions)
        effects: list[Effect] = []
        if status.whole:
            ours = [uid for uid, version in self.versions() if version > theirs.get(uid, 0)]
            effects += [Say(sender, full) for uid in ours if uid != sender and (full := self._full(uid)) is not None]
        self._outdo(theirs.get(self.uid, 0))
        missing = [uid for uid in sorted(theirs) if uid in self._members and theirs[uid] > self._version(uid)]
        if missing:
            effects.append(Say(sender, Want(tuple(missing))))
        return effects

    def _outdo(self, version: int) -> None:
        """Somebody has a later version of this node's own bucket than there is: write one that is later still."""
        if self._own.version < version < LAST_VERSION:
            self._own.version = version + 1

    def _full(self, uid: int) -> Full | None:
        bucket = self._own if uid == self.uid else self._buckets.get(uid)
        return None if bucket is None else Full(uid, bucket.version, tuple(bucket.entries))

    def _version(self, uid: int) -> int:
        bucket = self._buckets.get(uid)
        return 0 if bucket is None else bucket.version

    def _remember(self, uid: int, entry: Entry, changed: dict[str, None]) -> None:
        self._by_key.setdefault(entry.key, {}).setdefault(uid, {})[entry] = None
        self._places[uid, entry.path, entry.incarnation] += 1
        changed[entry.key] = None

    def _forget(self, uid: int, entry: Entry, changed: dict[str, None]) -> None:
        place = (uid, entry.path, entry.incarnation)
        self._places[place] -= 1
        if not self._places[place]:
            del self._places[place]
        nodes = self._by_key[entry.key]
        del nodes[uid][entry]
        if not nodes[uid]:
            del nodes[uid]
        if not nodes:
            del self._by_key[entry.key]
        changed[entry.key] = None


def _changed(keys: Iterable[str]) -> list[Effect]:
    found = tuple(sorted(keys))
    return [Changed(found)] if found else []
