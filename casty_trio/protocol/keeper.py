"""The ids of a type's entities, as a node keeps them for those that have the shards. Floor F1, a pure machine.

Of each shard it has what its owner has told, under the stamp of that. What it is told again changes nothing, what does not
follow on what it has changes nothing either, and whoever has told a higher token is the only one that is heard. Everything
that an owner tells at once, in parts, takes the place of what was there when the last part has come.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice

from casty_trio.protocol.keeping import IDS_MOST, NONE, Ask, Kept, Note, Stamp, Token, Told, cut

__all__ = ["Keeper"]


@dataclass(slots=True)
class _Copy:
    """Who lives, by a stamp."""

    stamp: Stamp = NONE
    ids: dict[str, None] = field(default_factory=dict[str, None])
    missed: int = 0
    whole: int = 0


@dataclass(slots=True)
class _Shard:
    """What is known of a shard: who may tell, what counts, and what is still coming."""

    fence: Token = (0, 0)
    ledger: _Copy = field(default_factory=_Copy)
    coming: _Copy | None = None

    @property
    def size(self) -> int:
        """How many ids it takes room for; what comes takes the place of what is there."""
        return max(len(self.ledger.ids), len(self.coming.ids) if self.coming is not None else 0)


class Keeper:
    """Keeps the ids of one type.

    Parameters:
        most: how many; for further ones there is no room.

    Attributes:
        count: how many there are.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._shards: dict[int, _Shard] = {}
        self.count: int = 0

    def ids(self, shard: int) -> tuple[str, ...]:
        """Who lives in a shard, by all that was told."""
        return tuple(self._shards[shard].ledger.ids) if shard in self._shards else ()

    def stamp(self, shard: int) -> Stamp:
        """How far it was told of a shard."""
        return self._shards[shard].ledger.stamp if shard in self._shards else NONE

    def receive(self, word: Ask | Note) -> Told | Kept:
        """An owner says something; this is the answer."""
        shard = self._shards.setdefault(word.shard, _Shard())
        if isinstance(word, Ask):
            shard.fence = max(shard.fence, word.token)
            return _tell(shard, word)
        token = word.stamp[:2]
        if token >= shard.fence:
            shard.fence = token
            before = shard.size
            self._take(shard, word, self._most - self.count + before)
            self.count += shard.size - before
        ledger, coming = shard.ledger, shard.coming
        if coming is None:
            return Kept(word.shard, shard.fence, ledger.stamp, missed=ledger.missed)
        return Kept(word.shard, shard.fence, ledger.stamp, coming.stamp, coming.whole, coming.missed)

    def _take(self, shard: _Shard, note: Note, room: int) -> None:
        """Add what follows on what is there; of the shard's ids there may be so many."""
        ledger, coming = shard.ledger, shard.coming
        old = note.stamp <= ledger.stamp
        if old and not note.more:
            return
        if note.base == NONE:
            copy = shard.coming = _Copy(whole=note.whole)
        elif coming is not None and (note.base, note.whole) == (coming.stamp, coming.whole):
            copy = coming
        elif note.base == ledger.stamp and not note.whole and not old:
            copy, shard.coming = ledger, None
        else:
            return
        copy.stamp = note.stamp
        for each in note.removed:
            copy.ids.pop(each, None)
        for each in note.added:
            if each in copy.ids or len(copy.ids) < room:
                copy.ids[each] = None
            else:
                copy.missed += 1
        if copy is not ledger and not note.more:
            shard.ledger, shard.coming = copy, None


def _tell(shard: _Shard, ask: Ask) -> Told:
    """The next part of what is there; where nothing is whole, of what has come."""
    copy, whole = shard.ledger, shard.ledger.stamp != NONE
    if not whole and shard.coming is not None:
        copy = shard.coming
    ids = list(islice(copy.ids, ask.start, ask.start + IDS_MOST))
    ids = ids[: cut([len(each.encode()) for each in ids])]
    more = ask.start + len(ids) < len(copy.ids)
    return Told(ask.shard, shard.fence, copy.stamp, whole, ask.start, tuple(ids), more)
