"""The ids of the entities in the shards of one node, and how they come to those that keep them. Floor F1, a pure machine.

Who gets a shard first asks who may have kept its ids; the latest stamp holds. Then it tells the *keepers* each change: one
word for a shard is on the way to each of them at a time, and is said again until it is answered. A keeper that has nothing,
or something else, is told everything. Nothing is said but by `flush`, so that what happens together is said together.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from heapq import merge
from itertools import islice
from typing import Final

import msgspec

from casty_trio.protocol.keeping import IDS_MOST, LONGEST_ID, NONE, Ask, Kept, Note, Stamp, Token, Told, Word, cut

__all__ = ["Say", "Teller"]

WINDOW: Final = 16
"""So many words are on the way to one keeper at a time."""


class Say(msgspec.Struct, frozen=True):
    """Tell a member something; it may be lost."""

    uid: int
    word: Word


@dataclass(slots=True)
class _Found:
    """What one member has told of a shard so far."""

    stamp: Stamp = NONE
    whole: bool = False
    ids: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class _Claim:
    """A shard whose ids are asked for: when who is asked again, and what has come."""

    token: Token
    waiting: dict[int, float]
    found: dict[int, _Found] = field(default_factory=dict[int, _Found])


@dataclass(slots=True)
class _Progress:
    """How far a keeper is: its stamp, up to which change that is, and up to which it counts.

    While it is told everything ``whole`` is the change at which that began: who had gone before it has never heard of.
    """

    stamp: Stamp = NONE
    at: int = 0
    done: int = 0
    whole: int = 0


@dataclass(slots=True)
class _Ledger:
    """Who lives in a shard, and who has gone, each with the number of the change; in the order of these."""

    token: Token
    version: int
    pruned: int = 0  # of those that have gone up to this one it is not known any more
    missed: int = 0
    live: dict[str, int] = field(default_factory=dict[str, int])
    gone: dict[str, int] = field(default_factory=dict[str, int])
    keepers: dict[int, _Progress] = field(default_factory=dict[int, _Progress])

    def change(self, entity_id: str, *, lives: bool) -> None:
        """An entity lives from now on, or does not."""
        self.version += 1
        self.live.pop(entity_id, None)
        self.gone.pop(entity_id, None)
        (self.live if lives else self.gone)[entity_id] = self.version

    def version_of(self, stamp: Stamp, progress: _Progress) -> int:
        """Up to which change a keeper is that says so; 0 when it has to be told everything."""
        if stamp == progress.stamp:
            return progress.done
        return stamp[2] if stamp[:2] == self.token and stamp[2] >= self.pruned else 0

    def prune(self) -> None:
        """Forget who has gone as soon as all know of it, but for those that are still to be told everything."""
        bound = min(each.whole or each.at or math.inf for each in self.keepers.values())
        for each, version in list(self.gone.items()):
            if version > bound:
                break
            del self.gone[each]
            self.pruned = version

    def note(self, shard: int, progress: _Progress) -> Note:
        """What comes next for a keeper."""
        if not progress.at and not progress.whole:
            progress.whole = self.version
        live, gone = _since(self.live, progress.at), _since(self.gone, max(progress.at, progress.whole))
        first = list(islice(merge(live, gone), IDS_MOST))
        count = cut([len(each.encode()) for _, each in first])
        more = count < len(live) + len(gone)
        upto = first[count - 1][0] if more else self.version
        added = tuple(each for _, each in first[:count] if each in self.live)
        removed = tuple(each for _, each in first[:count] if each in self.gone)
        base = progress.stamp if progress.at else NONE
        return Note(shard, base, (*self.token, upto), added, removed, more, progress.whole)


class Teller:
    """What is remembered of the entities of one type in the shards of one node.

    Parameters:
        retry: after how many seconds what was not answered is said again.

    Attributes:
        unremembered: how many ids some keeper had no room for, or were too long to be told.
        stale: the shards of which somebody has told that they have a later owner.
        due: when `flush` has something to say.
    """

    def __init__(self, retry: float) -> None:
        self._retry = retry
        self._keepers: tuple[int, ...] = ()
        self._sources: tuple[int, ...] = ()
        self._ledgers: dict[int, _Ledger] = {}
        self._claims: dict[int, _Claim] = {}
        self._behind: dict[int, None] = {}
        self._dirty: dict[int, dict[int, None]] = {}
        self._out: dict[int, dict[int, tuple[int, float]]] = {}  # by keeper and shard: up to which change, and until when
        self.unremembered: int = 0
        self.stale: dict[int, None] = {}

    # --- What is known ------------------------------------------------------------------------------------------------

    def has(self, shard: int, token: Token) -> bool:
        """Whether the ids of a shard are known here by that right."""
        ledger = self._ledgers.get(shard)
        return ledger is not None and ledger.token == token

    def ids(self, shard: int) -> tuple[str, ...]:
        """Who lives in a shard."""
        return tuple(self._ledgers[shard].live) if shard in self._ledgers else ()

    def claimed(self, shard: int) -> bool:
        """Whether all have told what they have of a shard, or a later owner is known."""
        claim = self._claims.get(shard)
        return claim is None or not claim.waiting or shard in self.stale

    def told(self, shard: int) -> int:
        """How many ids of a shard have come from those that have not told all: who tells more is waited for."""
        claim = self._claims.get(shard)
        return sum(len(each.ids) for uid, each in claim.found.items() if uid in claim.waiting) if claim is not None else 0

    def settled(self, shard: int, version: int) -> bool:
        """Whether all keepers that are waited for have a change, or it is not ours to tell any more."""
        ledger = self._ledgers.get(shard)
        if ledger is None:
            return True
        waited = [uid for uid in self._keepers if uid not in self._behind]
        return all(ledger.keepers[uid].done >= version for uid in waited)

    @property
    def due(self) -> float:
        times = [at for claim in self._claims.values() for at in claim.waiting.values()]
        for uid, out in self._out.items():
            times += [at for _, at in out.values()]
            if self._dirty[uid] and len(out) < WINDOW:
                return -math.inf
        return min(times, default=math.inf)

    # --- What happens -------------------------------------------------------------------------------------------------

    def set_members(self, keepers: Iterable[int], sources: Iterable[int]) -> None:
        """These keep the ids from now on, and those may have kept some before; nobody else is waited for."""
        former, self._keepers, self._sources = self._keepers, tuple(keepers), tuple(sources)
        for uid in former:
            if uid not in self._keepers:
                del self._out[uid], self._dirty[uid]
                self._behind.pop(uid, None)
                for ledger in self._ledgers.values():
                    del ledger.keepers[uid]
        for uid in self._keepers:
            if uid not in former:
                self._out[uid], self._dirty[uid] = {}, dict.fromkeys(self._ledgers)
                for ledger in self._ledgers.values():
                    ledger.keepers[uid] = _Progress()
        for claim in self._claims.values():
            claim.waiting = {uid: at for uid, at in claim.waiting.items() if uid in self._sources}

    def claim(self, shard: int, token: Token) -> None:
        """The shard is this node's: ask who lives in it. `begin` follows, when `claimed`, or when it has taken too long."""
        self.release(shard)
        self._claims[shard] = _Claim(token, dict.fromkeys(self._sources, -math.inf))

    def begin(self, shard: int) -> bool:
        """Go on with the latest that was told of a shard; all keepers come to have that. False when it is not ours."""
        claim = self._claims.pop(shard, None)
        if claim is None or shard in self.stale:
            return False
        for uid in claim.waiting:  # what has come in part is better than nothing, and no more
            if uid in claim.found:
                claim.found[uid].whole = False
        whole, stamp = max(((each.whole, each.stamp) for each in claim.found.values()), default=(False, NONE))
        found = {uid: each for uid, each in claim.found.items() if (each.whole, each.stamp) == (whole, stamp)}
        version = stamp[2] if stamp[:2] == claim.token else 0
        ledger = self._ledgers[shard] = _Ledger(claim.token, version, pruned=version)
        for each in dict.fromkeys(each for one in found.values() for each in one.ids):
            ledger.change(each, lives=True)
        ledger.version += 1  # that nobody lives is to be told, too
        for uid in self._keepers:  # who has all of it by that stamp goes on from there; one may have had room for less
            same = whole and uid in found and len(found[uid].ids) == len(ledger.live)
            ledger.keepers[uid] = _Progress(stamp, ledger.version, ledger.version) if same else _Progress()
        self._mark(shard, ledger)
        return True

    def release(self, shard: int) -> None:
        """The shard is not this node's any more."""
        self._ledgers.pop(shard, None)
        self._claims.pop(shard, None)
        self.stale.pop(shard, None)
        for uid in self._keepers:
            self._out[uid].pop(shard, None)
            self._dirty[uid].pop(shard, None)

    def change(self, shard: int, started: Collection[str], stopped: Collection[str]) -> int:
        """Entities of a shard live from now on, and others do not; the number of the change, for `settled`."""
        ledger = self._ledgers[shard]
        for each in stopped:
            if each in ledger.live:
                ledger.change(each, lives=False)
        for each in started:
            if len(each) > LONGEST_ID:
                self.unremembered += 1
            elif each not in ledger.live:
                ledger.change(each, lives=True)
        self._mark(shard, ledger)
        return ledger.version

    def go_on(self, shard: int, version: int) -> None:
        """Keepers that do not have a change are not waited for, until they have caught up."""
        ledger = self._ledgers.get(shard)
        if ledger is not None:
            self._behind.update(dict.fromkeys(uid for uid, each in ledger.keepers.items() if each.done < version))

    def receive(self, sender: int, word: Told | Kept) -> None:
        """A member answers."""
        if isinstance(word, Told):
            self._on_told(sender, word)
        else:
            self._on_kept(sender, word)

    def _on_told(self, sender: int, word: Told) -> None:
        claim = self._claims.get(word.shard)
        if claim is None or sender not in claim.waiting:
            return
        if word.fence > claim.token:
            self.stale[word.shard] = None
            return
        found = claim.found.get(sender, _Found())
        if word.start == 0 or word.stamp != found.stamp:
            found = claim.found[sender] = _Found(word.stamp, word.whole)
        if word.start == len(found.ids):
            found.ids.extend(word.ids)
            claim.waiting[sender] = -math.inf
            if not word.more:
                del claim.waiting[sender]

    def _on_kept(self, sender: int, word: Kept) -> None:
        ledger, progress = self._ledgers.get(word.shard), None
        if ledger is not None:
            progress = ledger.keepers.get(sender)
        if ledger is None or progress is None:
            return
        if word.fence > ledger.token:
            self.release(word.shard)
            self.stale[word.shard] = None
            return
        self._out[sender].pop(word.shard, None)
        progress.at = progress.done = ledger.version_of(word.stamp, progress)
        progress.stamp = word.stamp
        if not progress.at and progress.whole and word.whole == progress.whole and word.coming[:2] == ledger.token:
            progress.at, progress.stamp = word.coming[2], word.coming
        else:
            progress.whole = 0
        self._mark(word.shard, ledger)
        if progress.done >= ledger.version:
            self._behind.pop(sender, None)
        self._count_missed(ledger, word.missed)
        ledger.prune()

    def _mark(self, shard: int, ledger: _Ledger) -> None:
        """Let those be told that do not know all, as soon as they have answered."""
        for uid, each in ledger.keepers.items():
            if each.at < ledger.version and shard not in self._out[uid]:
                self._dirty[uid][shard] = None

    def _count_missed(self, ledger: _Ledger, missed: int) -> None:
        if missed > ledger.missed:
            self.unremembered += missed - ledger.missed
            ledger.missed = missed

    # --- What is said -------------------------------------------------------------------------------------------------

    def flush(self, now: float) -> list[Say]:
        """What is to be said now, also again."""
        said: list[Say] = []
        for shard, claim in self._claims.items():
            for uid, at in claim.waiting.items():
                if at <= now:
                    claim.waiting[uid] = now + self._retry
                    found = claim.found.get(uid)
                    said.append(Say(uid, Ask(shard, claim.token, len(found.ids) if found is not None else 0)))
        for uid in self._keepers:
            out, dirty = self._out[uid], self._dirty[uid]
            again = [shard for shard, (_, at) in out.items() if at <= now]
            news = list(islice(dirty, WINDOW - len(out)))
            for shard in news:
                del dirty[shard]
            for shard in (*again, *news):
                ledger = self._ledgers[shard]
                note = ledger.note(shard, ledger.keepers[uid])
                out[shard] = note.stamp[2], now + self._retry
                said.append(Say(uid, note))
        return said


def _since(changes: dict[str, int], version: int) -> list[tuple[int, str]]:
    """The changes after one, in order."""
    news: list[tuple[int, str]] = []
    for each, number in reversed(changes.items()):
        if number <= version:
            break
        news.append((number, each))
    news.reverse()
    return news
