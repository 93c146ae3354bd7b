"""Who is to host which shards of a type, and how they move: the coordinator. Floor F1, a pure machine.

It runs on the oldest member that is up (and has the type's role). It begins by a term above all that any region knows, hears
from every member what is hosted there, waits for those that cannot be reached until they come back or are removed, and only
then decides. A shard is given to somebody only when it is known that nobody has it: its owner has said so, or is no member
any more. A move that does not come to an end is called off: first at the target, which takes the shard no more or has it,
and then at the owner.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from casty_trio.model.allocation import AllocationStrategy, LeastShards, ShardHost, moves_of, place_of
from casty_trio.protocol.coordinating import Began, Candidate, Effect, Ended, Failed, Timing
from casty_trio.protocol.homing import Answer, Entry, Epoch, Hello, Phase, Plan, Query, Refuse, Report, Term, Word
from casty_trio.protocol.pacing import Pacing
from casty_trio.protocol.placing import Say
from casty_trio.protocol.rivals import Rivals, refusal

__all__ = ["Began", "Candidate", "Coordinator", "Effect", "Ended", "Failed", "Timing"]

CHUNK: Final = 4_000
"""So many entries go in one plan."""


class _Region(msgspec.Struct):
    """What is known of a member that has a region."""

    hosts: bool
    acked: int
    sent: int
    heard: int
    ended: bool
    owes: bool = True
    chunk: int = 0  # up to here it was told, and more is to come


class _Claims(msgspec.Struct):
    """What a member says it has, before it is decided what is true."""

    hosted: dict[int, Epoch] = msgspec.field(default_factory=dict[int, Epoch])
    kept: dict[int, int] = msgspec.field(default_factory=dict[int, int])
    ended: bool = False
    since: dict[int, Epoch] = msgspec.field(default_factory=dict[int, Epoch])


class Coordinator:
    """The coordinator of one type.

    Parameters:
        me: the node's uid.
        num_shards: into how many shards the type's ids are hashed.
        role: the role that hosts have; "" for any.
        strategy: who gets what.
        timing: how patient it is; the defaults when left out.
        after: the highest term that the node itself knows of.

    Attributes:
        active: whether it has heard from all, and decides.
        term: what it speaks in.
        entries: how it stands with each shard, while it is active.
        next_wakeup: when `tick` is due.
    """

    def __init__(
        self,
        me: int,
        num_shards: int,
        role: str,
        strategy: AllocationStrategy,
        timing: Timing | None = None,
        after: int = 0,
    ) -> None:
        self._me = me
        self._num_shards = num_shards
        self._role = role
        self._strategy = strategy
        self._timing = timing if timing is not None else Timing()
        self.term: Term = (after + 1, me)
        self.active: bool = False
        self._winner: Refuse | None = None
        self.entries: dict[int, Entry] = {}
        self.next_wakeup: float = math.inf
        self._members: dict[int, Candidate] = {}
        self._unreachable = False
        self._claims: dict[int, _Claims] = {}
        self._rivals = Rivals(num_shards, role)
        self._regions: dict[int, _Region] = {}
        self._forgotten: dict[int, None] = {}  # members that have lost their region, and have no other one yet
        self._unsettled: dict[int, float] = {}  # since when, by shard
        self._moves: dict[int, tuple[int, float]] = {}  # target and beginning of each hand-off, by shard
        self._free: dict[int, None] = {}
        self._loads: dict[int, list[int]] = {}  # behind what the strategy sees
        self._number = 0
        self._retry_at = 0.0
        self._rebalance_at = math.inf
        self._balancing = self._able = False
        self._pacing = Pacing(self._timing.rebalance, self._timing.stay)
        self._effects: list[Effect] = []

    @property
    def yielded(self) -> bool:
        """Whether it has given way to another shape of the type: it refuses those that have this one, and never decides."""
        return self._winner is not None

    @property
    def deserted(self) -> bool:
        """Whether no member has the type any more."""
        return self.active and all(region.ended for region in self._regions.values())

    @property
    def missing(self) -> int:
        """How many members it has not heard from, before it decides."""
        return 0 if self.active else sum(uid not in self._claims for uid in self._members)

    # --- What happens -------------------------------------------------------------------------------------------------

    def set_members(self, now: float, members: Sequence[Candidate], *, unreachable: bool) -> list[Effect]:
        """The members are these, sorted by age; whether one of them cannot be reached. Who is gone never comes back."""
        before, self._members = self._members, {member.uid: member for member in members}
        self._unreachable = unreachable
        for uid in before:
            if uid not in self._members:
                self._claims.pop(uid, None)
                self._rivals.forget(uid)
                self._regions.pop(uid, None)
                self._forgotten.pop(uid, None)
                self._bury(now, uid)
        for uid in self._members:
            if uid not in before and not self.active:
                self._query(uid)
        if self.active and tuple(members) != tuple(before.values()):
            self._rebalance_at = min(self._rebalance_at, now + self._timing.rebalance)
        self._activate(now)
        return self._done(now)

    def receive(self, now: float, sender: int, word: Word) -> list[Effect]:
        """A member says something."""
        if sender in self._members:
            match word:
                case Hello():
                    self._on_hello(now, sender, word)
                case Report():
                    self._on_report(now, sender, word)
                case Answer() if word.term == self.term and self.active:
                    self._on_answer(now, sender, word)
                case _:
                    pass
        return self._done(now)

    def tick(self, now: float) -> list[Effect]:
        """Do what is due."""
        if now >= self._retry_at:
            self._retry_at = now + self._timing.retry
            self._say_again()
        for shard, since in list(self._unsettled.items()):
            if self.entries[shard].phase == Phase.HOLD and now >= since + self._timing.hand_off:
                self._enter(now, shard, Phase.OFF, self.entries[shard].owner, self.entries[shard].target)
        if now >= self._rebalance_at:
            self._rebalance_at = now + self._timing.rebalance
            self._rebalance(now)
        return self._done(now)

    # --- Taking over --------------------------------------------------------------------------------------------------

    def _query(self, uid: int) -> None:
        self._say(uid, Query(self.term, self._num_shards, self._role))

    def _on_hello(self, now: float, sender: int, word: Hello) -> None:
        if not self._rivals.fits(word):
            if self.active:
                self._say(sender, refusal(self._num_shards, self._role))
                return
            self._claims.pop(sender, None)
            self._rivals.others[sender] = word
            if word.incumbent:
                self._yield(word)
            self._activate(now)
            return
        self._rivals.own[sender] = word.incumbent
        if self._winner is not None:
            self._say(sender, self._winner)
        elif word.term > self.term:
            self._begin_again(word.term[0])
        else:
            if word.term < self.term and sender in self._regions:  # it was lost there, and has begun anew
                self._forget(now, sender)
            self._query(sender)

    def _yield(self, word: Hello) -> None:
        """The type is there in another shape: those that have this one are refused. Who has had a plan does not listen."""
        self._winner = refusal(word.num_shards, word.role)
        for uid in {**self._rivals.own, **self._regions}:
            self._say(uid, self._winner)

    def _settle_shape(self) -> None:
        """Decide between shapes, when all have been heard: who is refused is asked again, and says then that it is."""
        word = self._rivals.stronger(backed=self.backed)
        if word is not None:
            self._yield(word)
            return
        for uid in list(self._rivals.others):
            del self._rivals.others[uid]
            self._say(uid, refusal(self._num_shards, self._role))
            self._query(uid)

    @property
    def backed(self) -> bool:
        """Whether the type is in use in this shape, as far as is known."""
        used = self.active or self._rivals.backed()
        return used or any(claims.hosted or claims.kept for claims in self._claims.values())

    def _begin_again(self, number: int) -> None:
        """Somebody has reported to a higher term: begin anew above it."""
        self.term, self.active = (number + 1, self._me), False
        self.entries, self._number = {}, 0
        for each in (self._claims, self._rivals, self._regions, self._unsettled, self._moves, self._free):
            each.clear()
        for uid in self._members:
            self._query(uid)

    def _on_report(self, now: float, sender: int, word: Report) -> None:
        if word.term > self.term:
            self._begin_again(word.term[0])
        if word.term != self.term:
            return
        region = self._regions.get(sender)
        if region is not None and word.serial < region.heard:
            return
        if region is None:
            if word.routes:
                for each in self._regions.values():
                    each.owes = each.owes or sender in self._forgotten  # they may wait for news of it
                self._forgotten.pop(sender, None)
                self._regions[sender] = _Region(word.hosts, word.upto, word.upto, word.serial, word.ended)
        else:
            region.hosts, region.heard, region.ended, region.owes = word.hosts, word.serial, word.ended, True
            region.acked = max(region.acked, word.upto)
        since = {shard: epoch for (shard, _), epoch in zip(word.kept, word.since, strict=False)}
        claims = _Claims(dict(word.hosted), dict(word.kept), word.ended, since)
        if self.active:
            self._rebalance_at = min(self._rebalance_at, now + self._timing.rebalance)
            for entry in list(self.entries.values()):
                if entry.number <= word.upto or region is None:
                    self._compare(now, sender, entry, claims)
        else:
            self._claims[sender] = claims
            self._rivals.others.pop(sender, None)
            self._activate(now)

    def _forget(self, now: float, uid: int) -> None:
        """There is no region at a member, or not the one that was: whatever it had has stopped."""
        self._regions.pop(uid, None)
        self._forgotten[uid] = None
        for entry in list(self.entries.values()):
            self._compare(now, uid, entry, _Claims())

    def _activate(self, now: float) -> None:
        """Decide, when all have been heard."""
        heard = {*self._claims, *self._rivals.others}
        if self.active or self.yielded or self._me not in self._members or any(uid not in heard for uid in self._members):
            return
        if self._rivals.others:
            self._settle_shape()
            return
        self.active = True
        hosted: dict[int, tuple[Epoch, int]] = {}
        kept: dict[int, tuple[Epoch, int, int]] = {}  # who had it last has what was left
        for uid, claims in self._claims.items():
            for shard, epoch in claims.hosted.items():
                hosted[shard] = max(hosted.get(shard, (epoch, uid)), (epoch, uid))
            for shard, target in claims.kept.items():
                claim = claims.since.get(shard, (0, 0, 0)), uid, target
                kept[shard] = max(kept.get(shard, claim), claim)
        for shard in range(self._num_shards):
            if shard in hosted:
                self._enter(now, shard, Phase.SETTLED, hosted[shard][1])
            elif shard in kept:
                _, owner, target = kept[shard]
                theirs = self._claims.get(target)
                over = theirs is None or theirs.ended  # it, or its type, is gone, and may have had the shard before
                self._enter(now, shard, Phase.BACK, owner, target if over else 0)
            else:
                self._enter(now, shard, Phase.FREE)
        self._claims.clear()
        self._rebalance_at = now + self._timing.rebalance

    # --- How it stands with a shard -----------------------------------------------------------------------------------

    def _enter(self, now: float, shard: int, phase: int, owner: int = 0, target: int = 0) -> None:
        """From now on it stands so with the shard."""
        self._number += 1
        self.entries.pop(shard, None)  # the order of entries is that of their numbers
        self.entries[shard] = Entry(shard, self._number, phase, owner, target)
        self._free.pop(shard, None)
        if phase == Phase.FREE:
            self._free[shard] = None
        if phase in (Phase.FREE, Phase.SETTLED):
            self._unsettled.pop(shard, None)
            move = self._moves.pop(shard, None)
            if move is not None:
                self._pacing.ended(now, shard, moved=owner == move[0])
                self._effects.append(Ended(shard, owner, move[0], now - move[1]))
        else:
            self._unsettled[shard] = now
            if phase == Phase.HOLD:
                self._moves[shard] = target, now
                self._effects.append(Began(shard, owner, target))

    def _bury(self, now: float, uid: int) -> None:
        """A member is gone, and whatever it had."""
        for entry in list(self.entries.values()):
            shard, owner, target = entry.shard, entry.owner, entry.target
            match entry.phase:
                case Phase.START if target == uid:
                    self._enter(now, shard, Phase.FREE)
                case Phase.SETTLED | Phase.BACK if owner == uid:
                    self._enter(now, shard, Phase.FREE)
                case Phase.HOLD | Phase.OFF if target == uid:
                    self._give_back(now, shard, owner, uid)
                case Phase.HOLD | Phase.OFF if owner == uid:
                    self._enter(now, shard, Phase.OFF, 0, target)
                case _:
                    pass

    def _give_back(self, now: float, shard: int, owner: int, had: int = 0) -> None:
        """A target will not take the shard: its owner has it again, if there is one. ``had`` is one that may have had it."""
        if owner:
            self._enter(now, shard, Phase.BACK, owner, had)
        else:
            self._enter(now, shard, Phase.FREE)

    def _on_answer(self, now: float, sender: int, word: Answer) -> None:
        region = self._regions.get(sender)
        if region is None:
            return
        region.acked, region.owes = max(region.acked, word.upto), False
        if region.chunk and region.acked >= region.chunk:
            region.sent, region.chunk = region.acked, 0
        hosting = frozenset(word.hosting)
        for shard in list(self._unsettled):
            entry = self.entries[shard]
            if entry.number > word.upto:
                continue
            if sender == (entry.owner if entry.phase == Phase.BACK else entry.target):
                if shard in hosting:
                    self._enter(now, shard, Phase.SETTLED, sender, entry.owner)
                elif entry.phase == Phase.OFF:
                    self._give_back(now, shard, entry.owner)

    def _compare(self, now: float, sender: int, entry: Entry, claims: _Claims) -> None:  # noqa: C901 - a case for each phase
        """Hold a report against what is known, which may be more than was true."""
        shard, owner, target = entry.shard, entry.owner, entry.target
        there, kept = shard in claims.hosted, shard in claims.kept
        match entry.phase:
            case Phase.FREE if there:
                self._enter(now, shard, Phase.SETTLED, sender)
            case Phase.FREE if kept:
                self._enter(now, shard, Phase.BACK, sender)
            case Phase.SETTLED if owner == sender and not there:
                self._give_back(now, shard, sender if kept else 0)
            case Phase.START | Phase.HOLD | Phase.OFF if target == sender:
                if there:
                    self._enter(now, shard, Phase.SETTLED, sender, owner)
                elif entry.phase == Phase.START:
                    self._enter(now, shard, Phase.FREE)
                elif sender not in self._regions or self._regions[sender].ended:
                    self._give_back(now, shard, owner, sender)  # it may have had the shard, before it ended
                elif entry.phase == Phase.OFF:
                    self._give_back(now, shard, owner)
            case Phase.HOLD | Phase.OFF if owner == sender and not there and not kept:
                self._enter(now, shard, Phase.OFF, 0, target)
            case Phase.BACK if owner == sender and not kept:
                self._enter(now, shard, Phase.SETTLED if there else Phase.FREE, sender if there else 0)
            case _:
                pass

    # --- Who gets what ------------------------------------------------------------------------------------------------

    def _hosts(self) -> list[ShardHost]:
        """Who may host shards, oldest first, and what each has or is about to have."""
        found: dict[int, list[int]] = {
            uid: []
            for uid, member in self._members.items()
            if member.up and uid in self._regions and self._regions[uid].hosts
        }
        for entry in self.entries.values():
            uid = entry.owner if entry.phase in (Phase.SETTLED, Phase.BACK) else entry.target
            if uid in found:
                found[uid].append(entry.shard)
        self._loads = found
        for shards in found.values():
            shards.sort()
        return [ShardHost(self._members[uid].node_id, uid, shards) for uid, shards in found.items()]

    def _allocate(self, now: float) -> None:
        """Give away what nobody has."""
        if not self._free:
            return
        hosts = self._hosts()
        if not hosts:
            return
        for shard in sorted(self._free):
            self._enter(now, shard, Phase.START, 0, self._choose(shard, hosts))

    def _choose(self, shard: int, hosts: list[ShardHost]) -> int:
        """Whom the strategy gives a shard to; it is counted there."""
        place = place_of(self._strategy, shard, hosts)
        if isinstance(place, Exception):  # shards have to be somewhere
            self._effects.append(Failed(place))
            place = hosts.index(LeastShards().allocate(shard, hosts))
        self._loads[hosts[place].uid].append(shard)
        return hosts[place].uid

    def _rebalance(self, now: float) -> None:
        """Move what is to move: from those that host no more at once, and else what the strategy says."""
        hosts = self._hosts()
        self._balancing = False
        if not self.active or self._unreachable or not hosts:
            return
        able = {host.uid for host in hosts}
        self._pacing.meet(able)
        settled = {entry.shard: entry.owner for entry in self.entries.values() if entry.phase == Phase.SETTLED}
        for shard, owner in sorted(settled.items()):
            if owner not in able and owner in self._regions:
                self._enter(now, shard, Phase.HOLD, owner, self._choose(shard, hosts))
        moves = moves_of(self._strategy, self._hosts(), len(self._unsettled))
        if isinstance(moves, Exception):
            self._effects.append(Failed(moves))
            return
        for shard, target in moves:
            owner = settled.get(shard, 0)
            if owner in able and target in able and owner != target and self._pacing.lets(now, shard):
                self._enter(now, shard, Phase.HOLD, owner, target)
                self._balancing = True

    # --- Telling them -------------------------------------------------------------------------------------------------

    def _say_again(self) -> None:
        if not self.active:
            for uid in self._members:
                if uid not in self._claims:
                    self._query(uid)
        for region in self._regions.values():
            region.sent = region.acked
            region.owes = region.owes or region.acked < self._number
        for shard in self._unsettled:
            entry = self.entries[shard]
            asked = self._regions.get(entry.owner if entry.phase == Phase.BACK else entry.target)
            if asked is not None:
                asked.owes = True

    def _tell(self) -> None:
        """Let regions know what is new to them."""
        able = any(r.hosts and self._members[uid].up for uid, r in self._regions.items())
        for region in self._regions.values():
            region.owes = region.owes or able != self._able
        self._able = able
        for uid, region in self._regions.items():
            if region.sent < self._number or region.owes:
                news = self._since(region.acked)
                upto = news[-1].number if len(news) == CHUNK else self._number
                plan = Plan(self.term, region.heard, region.acked, upto, tuple(news), tuple(self._regions), able)
                region.sent, region.owes = self._number, False
                region.chunk = upto if upto < self._number else 0
                self._say(uid, plan)

    def _since(self, number: int) -> list[Entry]:
        """The first entries after a number, in order."""
        news: list[Entry] = []
        for entry in reversed(self.entries.values()):
            if entry.number <= number:
                break
            news.append(entry)
        return news[: -CHUNK - 1 : -1]

    def _say(self, uid: int, word: Word) -> None:
        self._effects.append(Say(uid, word))

    def _done(self, now: float) -> list[Effect]:
        if self.active:
            self._allocate(now)
            if self._balancing and not self._unsettled:
                self._rebalance(now)
            self._tell()
        self._next(now)
        effects, self._effects = self._effects, []
        return effects

    def _next(self, now: float) -> None:
        busy = not self.active or bool(self._unsettled) or any(r.acked < self._number for r in self._regions.values())
        if busy and self._retry_at <= now:
            self._retry_at = now + self._timing.retry
        self.next_wakeup = min(self._retry_at if busy else math.inf, self._rebalance_at if self.active else math.inf)
