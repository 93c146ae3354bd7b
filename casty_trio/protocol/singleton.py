"""One actor in the whole cluster: who runs it, and how it moves. Floor F1: a pure machine.

Every node has one for each singleton. The oldest member that is up, has the role and knows the singleton *hosts* it. Before
a node does, it *claims*: each member of the role that is older, and each that this one has ever made room for, has to say
that it does not host, and will not without asking in turn; or has to be removed from the cluster. So no two host at a time.
A member that was removed after it had said that it goes, and that is not known to have let go, is given as long as one that
was declared down.

A move, planned, loses nothing and changes no order: (1) the host tells all to *hold* their mail; (2) each answers on the
link that its mail took, so what it had sent before is there; (3) the host's actor ends what it has and stops; (4) what it
leaves goes to the claimer, ahead of what waits there, and behind it the word that the place is free; (5) the claimer starts
its actor, and tells all.

Words may be lost with a connection, and never change their order; whatever has not been answered is said again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import Enum
from typing import Final, TypeAlias

import msgspec

from casty_trio.model.member import Member, MemberStatus
from casty_trio.protocol.moving import Claim, Done, Flushed, Hold, Hosting, Who, Word

__all__ = ["HOLD_FOR", "Effect", "HandOn", "Phase", "Route", "Say", "Singleton", "Start", "Stop"]

CHECK: Final = 10
"""After so many times the time for an answer a node asks whom it takes for the host whether it still is."""

HOLD_FOR: Final = 2.0
"""For how many seconds a host waits until those that send to it have answered."""


class Phase(Enum):
    """What a node is to a singleton.

    Attributes:
        IDLE: it does not host.
        CLAIMING: it wants to, and asks.
        STARTING: it may, and its actor is being started.
        HOSTING: its actor runs.
        HOLDING: it lets go, and waits for what was sent to it.
        STOPPING: its actor stops.
    """

    IDLE = "idle"
    CLAIMING = "claiming"
    STARTING = "starting"
    HOSTING = "hosting"
    HOLDING = "holding"
    STOPPING = "stopping"


class Say(msgspec.Struct, frozen=True):
    """Tell another node, behind all mail that went there before; nothing is lost if it is not connected just now."""

    uid: int
    word: Word


class Start(msgspec.Struct, frozen=True):
    """Start the actor; `Singleton.started` is to follow."""


class Stop(msgspec.Struct, frozen=True):
    """Stop the actor, or give its start up; `Singleton.stopped` is to follow. In a hurry the node has no time for that."""

    hurry: bool = False


class Route(msgspec.Struct, frozen=True):
    """Mail goes to that node from now on; to nobody yet, and is held, when it is 0."""

    uid: int


class HandOn(msgspec.Struct, frozen=True):
    """What the actor that has stopped did not handle goes to that node, before anything else is said to it."""

    uid: int


Effect: TypeAlias = Say | Start | Stop | Route | HandOn


class Singleton:
    """One singleton, as one node takes part in it.

    Every method that is told something returns what is to be done for it, in order.

    Parameters:
        name: the singleton's.
        me: the node's uid.
        retry: after how many seconds what was not answered is said again.

    Attributes:
        phase: how far the node is.
        next_wakeup: when `tick` is due.
    """

    def __init__(self, name: str, me: int, retry: float = 1.0) -> None:
        self._name = name
        self._me = me
        self._retry = retry
        self._role: str | None = None
        self._margin = 0.0
        self._here = False
        self._retired = False
        self._members: dict[int, Member] = {}
        self._silent: frozenset[int] = frozenset()
        self._host = 0
        self._epoch = 0
        self._number = 0
        self._waiting: dict[int, None] = {}  # whose answer a claim lacks, or a host that lets go
        self._lingering: dict[int, float] = {}
        self._granted: dict[int, None] = {}
        self._claimers: dict[int, int] = {}
        self._until = math.inf
        self._check_at = math.inf
        self._effects: list[Effect] = []
        self.phase: Phase = Phase.IDLE
        self.next_wakeup: float = math.inf

    @property
    def host(self) -> int:
        """The uid of the node that hosts, as far as this one knows; 0 when it does not."""
        return self._host

    # --- What happens -------------------------------------------------------------------------------------------------

    def appear(self, now: float, role: str | None) -> list[Effect]:
        """The singleton is spawned here: this node sends to it, and hosts it when its turn comes."""
        self._here, self._role, self._retired = True, role, False
        self._consider(now)
        return self._done(now)

    def retire(self, now: float) -> list[Effect]:
        """This node hosts it no more, for good; others may."""
        self._retired = True
        self._review(now)
        return self._done(now)

    def set_members(
        self, now: float, members: Iterable[Member], silent: Iterable[int] = (), margin: float = 0.0
    ) -> list[Effect]:
        """The members of the cluster are these.

        Parameters:
            now: the time.
            members: whoever is none any more never comes back.
            silent: those that cannot be reached by now, by their uids.
            margin: how long one that has left may take to stop what it runs, in seconds.
        """
        before, self._members = self._members, {member.uid: member for member in members}
        were_silent, self._silent = self._silent, frozenset(silent)
        self._margin = margin
        for uid, member in before.items():
            if uid not in self._members:
                self._forget(now, member)
        if self._host in were_silent and self._host not in self._silent:
            self._say(self._host, Who(self._name, sure=True))  # it may have moved meanwhile
        if self._me in before and self._me not in self._members and self.phase in (Phase.HOLDING, Phase.STOPPING):
            self._stop(hurry=True)
        if self.phase is Phase.HOSTING:
            for uid in self._members:
                if uid not in before and uid != self._me:
                    self._say(uid, Hosting(self._name, self._epoch))
        self._review(now)
        return self._done(now)

    def receive(self, now: float, sender: int, word: Word) -> list[Effect]:
        """Another node says something."""
        if sender in self._members:
            match word:
                case Claim(number=number):
                    self._on_claim(now, sender, number)
                case Done(number=number, epoch=epoch):
                    self._on_done(now, sender, number, epoch)
                case Hosting(epoch=epoch):
                    self._on_hosting(now, sender, epoch)
                case Hold(epoch=epoch):
                    self._on_hold(now, sender, epoch)
                case Flushed(epoch=epoch):
                    if self.phase is Phase.HOLDING and epoch == self._epoch:
                        self._waiting.pop(sender, None)
                        self._review(now)
                case _:
                    self._on_who(sender, word.sure)
                    self._review(now)
        return self._done(now)

    def started(self, now: float) -> list[Effect]:
        """The actor runs."""
        if self.phase is Phase.STARTING:
            self.phase = Phase.HOSTING
            self._epoch += 1
            self._host = self._me
            self._effects.append(Route(self._me))
            self._tell_all(Hosting(self._name, self._epoch))
            self._review(now)
        return self._done(now)

    def stopped(self, now: float) -> list[Effect]:
        """The actor has stopped, or was not started; what it left is not told by `HandOn` before."""
        if self.phase is Phase.STOPPING:
            self.phase = Phase.IDLE
            claimers, self._claimers = self._claimers, {}
            for uid in sorted(claimers, key=lambda uid: self._members[uid].age):
                self._grant(uid, claimers[uid])
            if not claimers:
                self._consider(now)
        return self._done(now)

    def tick(self, now: float) -> list[Effect]:
        """Time has passed."""
        if now >= self.next_wakeup:
            self._lingering = {uid: until for uid, until in self._lingering.items() if until > now}
            match self.phase:
                case Phase.CLAIMING:
                    self._claim()
                case Phase.HOLDING if now >= self._until:
                    self._waiting.clear()
                case Phase.HOLDING:
                    self._say_to(self._waiting, Hold(self._name, self._epoch))
                case Phase.IDLE if self._asks:
                    self._say_to(self._seats(), Who(self._name))
                case Phase.IDLE if self._host and now >= self._check_at:
                    self._say(self._host, Who(self._name, sure=True))
                    self._check_at = now + CHECK * self._retry
                case _:
                    pass
            self._review(now)
            self.next_wakeup = math.inf  # and anew, below
        return self._done(now)

    # --- Words --------------------------------------------------------------------------------------------------------

    def _on_claim(self, now: float, sender: int, number: int) -> None:
        self._doubt(sender)
        first = self._eligible and self._older(self._me, sender)
        match self.phase:
            case Phase.IDLE | Phase.CLAIMING if first:
                if self._host:  # which may have let go, and the word of it was lost
                    self._say(self._host, Who(self._name, sure=True))
                self._consider(now)  # the sender asks again, until it hears from who hosts
            case Phase.IDLE | Phase.CLAIMING:
                self.phase = Phase.IDLE
                self._grant(sender, number)
            case Phase.HOSTING if first:
                self._say(sender, Hosting(self._name, self._epoch))
            case Phase.STARTING if first:
                pass
            case _:
                self._claimers[sender] = number
                self._let_go(now)

    def _on_done(self, now: float, sender: int, number: int, epoch: int) -> None:
        if self.phase is Phase.CLAIMING and number == self._number:
            self._epoch = max(self._epoch, epoch)
            self._waiting.pop(sender, None)
            self._granted.pop(sender, None)
            self._review(now)

    def _on_hosting(self, now: float, sender: int, epoch: int) -> None:
        if self.phase is Phase.HOSTING:
            if self._older(sender, self._me):
                self._let_go(now)
            else:
                self._say(sender, Hosting(self._name, self._epoch))
        elif self.phase in (Phase.IDLE, Phase.CLAIMING) and (not self._host or epoch > self._epoch or sender == self._host):
            self._host, self._epoch = sender, max(self._epoch, epoch)
            self._check_at = now + CHECK * self._retry
            self._effects.append(Route(sender))
            self._review(now)

    def _on_hold(self, now: float, sender: int, epoch: int) -> None:
        if sender == self._host:
            self._lose_host()
        self._say(sender, Flushed(self._name, epoch))
        self._consider(now)

    def _on_who(self, sender: int, sure: bool) -> None:
        if self.phase is Phase.HOSTING:
            self._say(sender, Hosting(self._name, self._epoch))
        self._doubt(sender)
        if self.phase is not Phase.HOSTING and sure:
            self._say(sender, Hold(self._name, self._epoch))

    def _doubt(self, sender: int) -> None:
        """Who asks does not host, even if the word of that was lost."""
        if sender == self._host:
            self._lose_host()

    # --- Who hosts ----------------------------------------------------------------------------------------------------

    @property
    def _eligible(self) -> bool:
        me = self._members.get(self._me)
        return self._here and not self._retired and me is not None and me.status == MemberStatus.UP and self._has_role(me)

    @property
    def _asks(self) -> bool:
        """Whether this node wants to hear who hosts."""
        return self._here and not self._host and self._me in self._members

    def _has_role(self, member: Member) -> bool:
        return self._role is None or self._role in member.roles

    def _seats(self) -> list[int]:
        """The other members that may host, or may have."""
        return [
            uid for uid, member in self._members.items() if uid != self._me and member.up_number and self._has_role(member)
        ]

    def _older(self, uid: int, other: int) -> bool:
        return self._members[uid].age < self._members[other].age

    def _consider(self, now: float) -> None:
        """Claim it, if nobody older has it."""
        if self.phase is not Phase.IDLE or not self._eligible or (self._host and self._older(self._host, self._me)):
            return
        self._number += 1
        self.phase = Phase.CLAIMING
        older = [uid for uid in self._seats() if self._older(uid, self._me)]
        self._waiting = dict.fromkeys([*older, *self._granted, *([self._host] if self._host else [])])
        self._claim()
        self._review(now)

    def _claim(self) -> None:
        self._say_to(self._waiting, Claim(self._name, self._number))

    def _review(self, now: float) -> None:
        """Something is different: go on from where this node is."""
        match self.phase:
            case Phase.IDLE:
                self._consider(now)
            case Phase.CLAIMING:
                if not self._eligible or (self._host and self._older(self._host, self._me)):
                    self.phase = Phase.IDLE
                elif not self._waiting and not self._lingering:
                    self.phase = Phase.STARTING
                    self._effects.append(Start())
            case Phase.STARTING | Phase.HOSTING:
                if not self._eligible:
                    self._let_go(now)
            case Phase.HOLDING:
                if all(uid in self._silent for uid in self._waiting):
                    self._stop()
            case _:
                pass

    def _let_go(self, now: float) -> None:
        if self._me not in self._members:
            self._lose_host()
            self._stop(hurry=True)
        elif self.phase is Phase.STARTING:
            self._stop()
        elif self.phase is Phase.HOSTING:
            self.phase = Phase.HOLDING
            self._lose_host()
            self._waiting = dict.fromkeys(uid for uid in self._members if uid != self._me)
            self._until = now + HOLD_FOR
            self._say_to(self._waiting, Hold(self._name, self._epoch))
            self._review(now)

    def _stop(self, *, hurry: bool = False) -> None:
        self.phase = Phase.STOPPING
        self._effects.append(Stop(hurry))

    def _grant(self, uid: int, number: int) -> None:
        self._granted[uid] = None
        self._effects.append(HandOn(uid))
        self._say(uid, Done(self._name, number, self._epoch))

    def _lose_host(self) -> None:
        if self._host:
            self._host = 0
            self._effects.append(Route(0))

    def _forget(self, now: float, member: Member) -> None:
        """A member is none any more."""
        uid = member.uid
        awaited = self.phase is Phase.CLAIMING and uid in self._waiting
        if member.status < MemberStatus.DOWN and (awaited or uid == self._host != self._me):
            self._lingering[uid] = now + self._margin
        if uid == self._host:
            self._lose_host()
        for known in (self._waiting, self._granted, self._claimers):
            known.pop(uid, None)

    # --- What comes of it ---------------------------------------------------------------------------------------------

    def _say(self, uid: int, word: Word) -> None:
        self._effects.append(Say(uid, word))

    def _say_to(self, uids: Iterable[int], word: Word) -> None:
        for uid in uids:
            self._say(uid, word)

    def _tell_all(self, word: Word) -> None:
        self._say_to([uid for uid in self._members if uid != self._me], word)

    def _done(self, now: float) -> list[Effect]:
        due = [math.inf]
        if self.phase in (Phase.CLAIMING, Phase.HOLDING) or (self.phase is Phase.IDLE and self._asks):
            due.append(now + self._retry if self.next_wakeup == math.inf else min(self.next_wakeup, now + self._retry))
        if self.phase is Phase.HOLDING:
            due.append(self._until)
        if self.phase is Phase.IDLE and self._here and self._host:
            due.append(self._check_at)
        due.extend(self._lingering.values())
        self.next_wakeup = min(due)
        effects, self._effects = self._effects, []
        return effects
