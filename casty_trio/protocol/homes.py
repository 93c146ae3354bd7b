"""One node's part in the homes of a type's shards: where mail goes, and what is hosted here. Floor F1, a pure machine.

For each shard it knows where its mail goes, or holds it. When a shard moves, every region sends a *marker* behind what it
sent, down the same path; when the owner has the markers of all, nothing is on the way any more: its entities finish what was
accepted and stop, what is left goes ahead to the new owner, and then that one hosts the shard. Until the coordinator says so
the old owner keeps what was left, for the move may have to be taken back.

Words may be lost with a connection; what was not answered is said again. Nothing is obeyed but the highest term that was
reported to, and a shard is let go, or hosted, by its word alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from casty_trio.protocol.homing import Answer, Entry, Epoch, Hello, Phase, Plan, Query, Refuse, Report, Term, Word
from casty_trio.protocol.placing import Drain, Drop, Effect, Forget, Gain, Hand, Hold, Mark, Open, Refused, Say, Source

__all__ = [
    "Drain",
    "Drop",
    "Effect",
    "Forget",
    "Gain",
    "Hand",
    "Hold",
    "Homes",
    "Mark",
    "Open",
    "Refused",
    "Say",
    "Source",
]


GONE_MOST: Final = 10_000
"""So many members that are gone are remembered; the oldest are forgotten first."""

HOSTING: Final = 0
FLUSH: Final = 1
DRAINING: Final = 2
STOPPED: Final = 3
HANDED: Final = 4
"""How far an owner has come with letting go: it has not begun; it waits for markers; for its entities; it has stopped them;
it has handed everything over."""


class Own(msgspec.Struct):
    """A shard that is hosted here, or was and may be again."""

    epoch: Epoch
    stage: int = HOSTING
    number: int = 0
    target: int = 0
    waiting: dict[int, None] = msgspec.field(default_factory=dict[int, None])


class Homes:
    """The homes of one type's shards, as one node knows them.

    Parameters:
        me: the node's uid.
        num_shards: into how many shards the type's ids are hashed.
        role: the role that hosts have; "" for any.
        hosts: whether this node may be given shards.
        retry: after how many seconds what was not answered is said again.

    Attributes:
        routes: for each shard the uid of the node to send to; 0 while messages are held.
        term: the highest that was reported to.
        able: whether any member may be given shards, as far as the coordinator has told.
        next_wakeup: when `tick` is due.
    """

    def __init__(self, me: int, num_shards: int, role: str = "", *, hosts: bool = True, retry: float = 0.5) -> None:
        self._me = me
        self._num_shards = num_shards
        self._role = role
        self._hosts = hosts
        self._retry = retry
        self.routes: list[int] = [0] * num_shards
        self.term: Term = (0, 0)
        self.able: bool = False
        self.next_wakeup: float = math.inf
        self._coordinator = 0
        self._planned = False
        self._routing = True
        self._settled = self._refused = False  # whether any plan has been taken; whether the others want nothing of this
        self._serial = self._heard = 0
        self._upto = 0
        self._members: dict[int, None] = {}
        self._gone: dict[int, None] = {}
        self._regions: tuple[int, ...] = ()
        self._entries: dict[int, Entry] = {}
        self._unsettled: dict[int, Entry] = {}
        self._own: dict[int, Own] = {}
        self._early: dict[int, tuple[int, dict[int, None]]] = {}
        self._last: list[int] = [0] * num_shards  # where mail went last
        self._next: dict[int, Entry] = {}  # of shards that have a home, to which mail does not go yet
        self._left: dict[
            tuple[int, int], None
        ] = {}  # shards and homes that mail may wait for, while later mail goes elsewhere
        self._effects: list[Effect] = []

    # --- What others want to know -------------------------------------------------------------------------------------

    def takes(self, shard: int) -> bool:
        """Whether messages of other nodes for the shard are for entities here; mail of this node goes by `routes`."""
        own = self._own.get(shard)
        return own is not None and own.stage <= FLUSH

    def epoch_of(self, shard: int) -> Epoch | None:
        """By which epoch a shard runs here, if it does."""
        own = self._own.get(shard)
        return own.epoch if own is not None else None

    def too_late(self, shard: int, uid: int) -> bool:
        """Whether mail for the shard that has waited in vain for a node may be overtaken by what has gone elsewhere since.

        To be asked before `set_members` tells that the node is gone. One that is no member now was the home in an earlier
        life of this node, in another cluster, and there is no telling what has gone to others since.
        """
        return (shard, uid) in self._left or uid not in self._members

    @property
    def owned(self) -> Mapping[int, Epoch]:
        """The shards that run here, each with the epoch by which it was given."""
        return {shard: own.epoch for shard, own in self._own.items() if own.stage <= DRAINING}

    @property
    def hosts(self) -> bool:
        """Whether this node may be given shards."""
        return self._hosts

    @property
    def empty(self) -> bool:
        """Whether no shard's entities, nor what is left of them, are here."""
        return not self._own

    @property
    def nobody_hosts(self) -> bool:
        """Whether the coordinator says that no region may be given shards; it knows of all that was reported here."""
        return self._planned and self._heard >= self._serial and not self.able

    @property
    def free_to_go(self) -> bool:
        """Whether this node has no shards and is given none any more: its coordinator knows that it may host none."""
        told = self._planned and self._heard >= self._serial
        coming = any(self._me in (entry.owner, entry.target) for entry in self._unsettled.values())
        return not self._hosts and told and not self._own and not coming

    # --- What happens -------------------------------------------------------------------------------------------------

    def set_members(self, now: float, members: Iterable[int], coordinator: int) -> list[Effect]:
        """The members are these, and this one of them coordinates the type, 0 for none. Who is gone never comes back."""
        before, self._members = self._members, dict.fromkeys(members)
        gone = [uid for uid in before if uid not in self._members]
        if gone:
            self._gone.update(dict.fromkeys(gone))
            while len(self._gone) > GONE_MOST:
                del self._gone[next(iter(self._gone))]
            self._lose(gone)
        self._open_next()
        if coordinator != self._coordinator:
            self._coordinator = coordinator
            self._planned = self._planned and self.term[1] == coordinator
            self._say_hello()
        return self._done(now)

    def set_hosts(self, now: float, *, hosts: bool) -> list[Effect]:
        """This node may be given shards, or not any more; those it has move away then."""
        if hosts != self._hosts:
            self._hosts = hosts
            self._report()
        return self._done(now)

    def close(self, now: float) -> list[Effect]:
        """The type has ended here, with all its entities. What was sent may be on the way, so markers are still sent."""
        self._routing = self._hosts = self._settled = False
        self._own.clear()
        self._next = {shard: entry for shard, entry in self._next.items() if entry.owner != self._me}
        for shard, uid in enumerate(self.routes):
            if uid == self._me:
                self._hold(shard)
        self._report()
        return self._done(now)

    def reopen(self, now: float, *, hosts: bool) -> list[Effect]:
        """The type begins here again."""
        self._routing, self._hosts, self._refused, self._planned = True, hosts, False, False
        self._report()
        self._say_hello()
        return self._done(now)

    def receive(self, now: float, sender: int, word: Word) -> list[Effect]:
        """A coordinator says something; what others say is none of our business."""
        match word:
            case Query():
                self._on_query(sender, word)
            case Plan():
                self._on_plan(sender, word)
            case Refuse(reason) if self._routing and not self._settled:  # who has hosted is not in the wrong
                self._effects.append(Refused(reason))
                self._routing = self._hosts = False
                self._refused = True
                self._report()
            case _:
                pass
        return self._done(now)

    def marker(self, now: float, sender: int, shard: int, epoch: Epoch) -> list[Effect]:
        """Nothing that a node has sent for the shard is on the way any more."""
        own, number = self._own.get(shard), epoch[2]
        if epoch[:2] == self.term and shard < self._num_shards:
            if own is not None and own.number == number:
                own.waiting.pop(sender, None)
                self._advance(shard, own)
            elif number > self._upto:  # it was quicker than the coordinator's own word
                if self._early.get(shard, (0, {}))[0] < number:
                    self._early[shard] = (number, {})
                if self._early[shard][0] == number:
                    self._early[shard][1][sender] = None
        return self._done(now)

    def handover(self, now: float, sender: int, shard: int, epoch: Epoch) -> list[Effect]:
        """The old owner of a shard has let go, and everything it had left has come."""
        entry, own = self._entries.get(shard), self._own.get(shard)
        if self._routing and epoch[:2] == self.term and entry == Entry(shard, epoch[2], Phase.HOLD, sender, self._me):
            if own is None:
                self._gain(shard, epoch[2], Source.SENT)
            self._answer()
        return self._done(now)

    def drained(self, now: float, shard: int) -> list[Effect]:
        """The entities of a shard have stopped."""
        own, entry = self._own.get(shard), self._entries.get(shard)
        if own is not None and own.stage == DRAINING:
            own.stage = STOPPED
            if entry is not None and entry.phase == Phase.BACK:
                self._take_back(shard, own, entry)
                self._answer()
            else:
                self._advance(shard, own)
        return self._done(now)

    def tick(self, now: float) -> list[Effect]:
        """Say again what was not answered."""
        if now < self.next_wakeup:
            return []
        self.next_wakeup = math.inf
        if self._heard < self._serial:
            self._say_report()
        self._say_hello()
        for shard, entry in self._unsettled.items():
            if entry.phase == Phase.HOLD:
                self._mark(entry)
                own = self._own.get(shard)
                if own is not None and own.stage == HANDED and own.number == entry.number:
                    self._effects.append(Hand(shard, own.target, self._epoch(own.number)))
        return self._done(now)

    # --- Terms --------------------------------------------------------------------------------------------------------

    def _say_hello(self) -> None:
        if self._coordinator and self._routing and not self._planned:
            self._say(self._coordinator, self._hello())

    def _hello(self) -> Hello:
        return Hello(self.term, self._num_shards, self._role, self._settled)

    def _on_query(self, sender: int, word: Query) -> None:
        if word.term[1] != sender:
            return
        if self._routing and (word.num_shards, word.role) != (self._num_shards, self._role):
            self._say(sender, self._hello())  # it says whose fault that is
            return
        if word.term < self.term or self._refused:
            self._say(sender, Report(max(self.term, word.term)))
            return
        if word.term > self.term:
            self._adopt(word.term)
        self._report()

    def _adopt(self, term: Term) -> None:
        """Obey a new coordinator. Mail that was held stays so until it says where to send it."""
        self.term, self._upto, self._planned = term, 0, False
        self._serial = self._heard = 0
        self._entries.clear()
        self._unsettled.clear()
        self._early.clear()
        self._next.clear()
        for own in self._own.values():
            own.waiting.clear()
            own.number = 0
            if own.stage == FLUSH:
                own.stage = HOSTING

    def _report(self) -> None:
        self._serial += 1
        self._say_report()

    def _say_report(self) -> None:
        hosted = tuple((shard, own.epoch) for shard, own in sorted(self._own.items()) if own.stage <= FLUSH)
        let_go = [(shard, own) for shard, own in sorted(self._own.items()) if own.stage > FLUSH]
        kept, since = tuple((shard, own.target) for shard, own in let_go), tuple(own.epoch for _, own in let_go)
        report = Report(
            self.term, self._serial, self._upto, not self._refused, self._hosts, hosted, kept, not self._routing, since
        )
        if self.term[1]:
            self._say(self.term[1], report)

    def _epoch(self, number: int) -> Epoch:
        return (*self.term, number)

    # --- Plans --------------------------------------------------------------------------------------------------------

    def _on_plan(self, sender: int, word: Plan) -> None:
        if word.term != self.term or sender != self.term[1]:
            return
        self._planned = self._planned or sender == self._coordinator
        self._settled = self._settled or self._routing
        self.able = word.able
        self._heard = max(self._heard, word.heard)
        if word.base <= self._upto:
            self._regions = word.regions
            due = False
            for entry in word.entries:
                if self._upto < entry.number <= word.upto and entry.shard < self._num_shards:
                    due = self._apply(entry) or due
            self._upto = max(self._upto, word.upto)
            self._open_next()
            if due:
                self._report()
        self._answer()

    def _apply(self, entry: Entry) -> bool:
        """Do what an entry asks for; whether it takes us to host what we do not."""
        shard, own = entry.shard, self._own.get(entry.shard)
        self._entries[shard] = entry
        self._next.pop(shard, None)
        if entry.phase in (Phase.FREE, Phase.SETTLED):
            self._unsettled.pop(shard, None)
        else:
            self._unsettled[shard] = entry
        self._hold(shard)
        ours = self._me == (entry.target if entry.phase == Phase.START else entry.owner)
        missed = ours and own is None and entry.phase != Phase.START
        match entry.phase:
            case Phase.SETTLED:
                self._settle(shard, own, entry)
            case Phase.START:
                self._let_go(shard, own)
                if ours and self._routing:
                    self._gain(shard, entry.number, Source.NONE)
                missed = ours and not self._routing
            case Phase.HOLD:
                self._begin_move(shard, own, entry)
            case Phase.OFF if ours and own is not None:
                own.number = 0
                if own.stage == FLUSH:
                    own.stage = HOSTING
            case Phase.BACK if ours and own is not None:
                self._take_back(shard, own, entry)
            case _:
                pass
        return missed

    def _settle(self, shard: int, own: Own | None, entry: Entry) -> None:
        if entry.owner != self._me:
            self._let_go(shard, own)
        elif own is None:
            return  # the coordinator hears that it is not so
        self._next[shard] = entry

    def _let_go(self, shard: int, own: Own | None) -> None:
        """Another node has the shard."""
        if own is not None:
            del self._own[shard]
            self._effects.append(Forget(shard) if own.stage == HANDED else Drop(shard))

    def _begin_move(self, shard: int, own: Own | None, entry: Entry) -> None:
        self._mark(entry)
        if entry.owner != self._me:  # it has had the shard; that this was settled may never have been told here
            self._let_go(shard, own)
            return
        if own is None:
            return
        own.number, own.target = entry.number, entry.target
        number, early = self._early.pop(shard, (0, {}))
        came = early if number == entry.number else {}
        others = [uid for uid in self._regions if uid not in self._gone and uid != self._me and uid not in came]
        own.waiting = dict.fromkeys(others)
        if own.stage == HOSTING:
            own.stage = FLUSH
        self._advance(shard, own)

    def _advance(self, shard: int, own: Own) -> None:
        """Go on with letting go of a shard, when the markers of all have come."""
        if not own.number or own.waiting:
            return
        if own.stage == FLUSH:
            own.stage = DRAINING
            self._effects.append(Drain(shard))
        elif own.stage == STOPPED:
            own.stage = HANDED
            self._effects.append(Hand(shard, own.target, self._epoch(own.number)))

    def _take_back(self, shard: int, own: Own, entry: Entry) -> None:
        """A move was called off; its target takes the shard no more, if it is there at all."""
        own.number = 0
        if own.stage == FLUSH:
            own.stage = HOSTING
        elif own.stage in (STOPPED, HANDED):
            had = own.target in self._gone or own.target == entry.target  # it may have handled what was left
            lost = own.stage == HANDED and had
            self._gain(shard, entry.number, Source.NONE if lost else Source.KEPT)

    def _gain(self, shard: int, number: int, source: int) -> None:
        epoch = self._epoch(number)
        self._own[shard] = Own(epoch)
        self._effects.append(Gain(shard, epoch, source))

    def _answer(self) -> None:
        hosting = [entry.shard for entry in self._unsettled.values() if self._takes_part(entry) and self.takes(entry.shard)]
        self._say(self.term[1], Answer(self.term, self._upto, tuple(hosting)))

    def _takes_part(self, entry: Entry) -> bool:
        return self._me == (entry.owner if entry.phase == Phase.BACK else entry.target)

    # --- Mail ---------------------------------------------------------------------------------------------------------

    def _hold(self, shard: int) -> None:
        if self.routes[shard]:
            self.routes[shard] = 0
            self._effects.append(Hold(shard))

    def _open_next(self) -> None:
        """Send mail to new homes that are known as members, unless it could overtake what waits for the last home.

        Some may wait where that has crashed, and the coordinator knows so before we do: it comes back first, when we know.
        Where the type has only ended and begun again, the node may go at any time; then what comes back is `too_late`.
        """
        for shard, entry in list(self._next.items()):
            last, home = self._last[shard], entry.owner
            leaves = last in self._members and last not in (home, self._me)
            if home not in self._members or (leaves and last not in self._regions):
                continue
            if leaves and last != entry.target:  # else our marker has come there, behind all that was sent
                self._left[shard, last] = None
            del self._next[shard]
            self.routes[shard] = self._last[shard] = home
            self._effects.append(Open(shard, home))

    def _mark(self, entry: Entry) -> None:
        if entry.owner not in (0, self._me):
            self._effects.append(Mark(entry.owner, entry.shard, self._epoch(entry.number)))

    def _lose(self, gone: list[int]) -> None:
        """Members are gone: nothing is sent to them, and nothing of theirs is waited for."""
        for shard, uid in enumerate(self.routes):
            if uid in gone:
                self._hold(shard)
        self._left = {left: None for left in self._left if left[1] not in gone}
        for shard, own in self._own.items():
            for uid in gone:
                own.waiting.pop(uid, None)
            self._advance(shard, own)

    def _say(self, uid: int, word: Word) -> None:
        self._effects.append(Say(uid, word))

    def _done(self, now: float) -> list[Effect]:
        lost = self._routing and not self._planned and self._coordinator != 0
        busy = lost or (self._heard < self._serial and self.term[1] in self._members)
        if busy or any(entry.phase == Phase.HOLD for entry in self._unsettled.values()):
            self.next_wakeup = min(self.next_wakeup, now + self._retry)
        effects, self._effects = self._effects, []
        return effects
