"""Barriers of a cluster: parties wait until so many have come, and all of them go on. Floor F1: a pure machine.

Every node has one. The *host*, the oldest member that is up, hears how many parties wait where. When enough do, it opens a
ballot: every node that has a share in it binds that many of its parties, or says no, and stays with what it said. Bound
parties neither give up nor take part in another ballot. If all said yes, the host decides to release them, in two steps that
`deciding` tells of. If somebody said no, or was removed before it said anything, the ballot is void, and its parties wait as
before.

The host may go at any time. Then nodes whose parties are bound ask the next host, which finds out how far the ballot had
come from those that are left: so a round is released to all of its parties or to none, and no party is released in a round
to which fewer have come.

Words may be lost with a connection, and never change their order; whatever has not been answered is said again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from casty_trio.protocol.deciding import Deciding
from casty_trio.protocol.parties import Bound, Effect, GiveUp, Opened, Party, Refuse, Release, Report, Say
from casty_trio.protocol.rounds import (
    BOUND,
    COMMITTED,
    RELEASED,
    VOID,
    Answer,
    Ballot,
    Commit,
    Committed,
    Doubt,
    Mismatch,
    Outcome,
    Propose,
    Query,
    Told,
    Vote,
    Waiting,
    Word,
)

__all__ = ["AGAIN", "Barriers", "Effect", "GiveUp", "Refuse", "Release", "Say"]

AGAIN: Final = 1.0
"""After how many seconds what was not answered is said again."""

DONE_MOST: Final = 10_000
"""So many ballots of hosts that are gone are remembered; the oldest are forgotten first."""

GONE_MOST: Final = 10_000


class Barriers:
    """All barriers, as one node takes part in them.

    Every method that is told something returns what is to be done for it.

    Parameters:
        me: the node's uid.

    Attributes:
        next_wakeup: when `tick` is due.
    """

    def __init__(self, me: int) -> None:
        self._me = me
        self._host = 0
        self._members: dict[int, None] = {}
        self._silent: frozenset[int] = frozenset()
        self._gone: dict[int, None] = {}
        self.next_wakeup: float = math.inf
        self._effects: list[Effect] = []
        self._own: list[Word] = []  # what this node says to itself
        # as a node with parties
        self._waiting: dict[str, dict[int, Party]] = {}
        self._bound: dict[Ballot, Bound] = {}
        self._done: dict[Ballot, bool] = {}
        # as the host
        self._reports: dict[str, dict[int, Report]] = {}
        self._opened: dict[int, Opened] = {}
        self._numbers = 0
        self._deciding = Deciding(me, self._gone, self._say)
        self._handlers: dict[type[Any], Callable[[float, int, Any], None]] = {
            Waiting: self._on_waiting,
            Mismatch: self._on_mismatch,
            Propose: self._on_propose,
            Vote: self._on_vote,
            Commit: self._on_commit,
            Committed: lambda now, sender, word: self._deciding.on_committed(sender, word),
            Outcome: self._on_outcome,
            Told: lambda now, sender, word: self._deciding.on_told(sender, word),
            Doubt: self._on_doubt,
            Query: self._on_query,
            Answer: lambda now, sender, word: self._deciding.on_answer(sender, word),
        }

    # --- What happens -------------------------------------------------------------------------------------------------

    def arrive(self, now: float, party: int, barrier: str, n: int) -> list[Effect]:
        """Somebody comes to a barrier here; ``party`` is a number that nobody had before."""
        expected = self._expected(barrier)
        if expected not in (0, n):
            return [Refuse(party, expected)]
        self._waiting.setdefault(barrier, {})[party] = Party(party, barrier, n, now)
        self._announce(now, barrier)
        return self._done_with(now)

    def withdraw(self, now: float, party: int) -> tuple[bool, list[Effect]]:
        """A party gives up, unless its round is being decided: it is released then, or a `GiveUp` follows. Did it?"""
        found = self._find(party)
        if found is None:
            for each in self._bound_parties():
                each.late = each.late or each.number == party
            return False, []
        self._leave(now, found)
        return True, self._done_with(now)

    def abandon(self, now: float, party: int) -> list[Effect]:
        """A party is gone; if its round is being decided, it has come for that."""
        found = self._find(party)
        if found is not None:
            self._leave(now, found)
        for each in self._bound_parties():
            each.abandoned = each.abandoned or each.number == party
        return self._done_with(now)

    def set_members(self, now: float, members: Iterable[int], host: int, silent: Iterable[int] = ()) -> list[Effect]:
        """The members of the cluster are these, by their uids.

        Parameters:
            now: the time.
            members: whoever is none any more never comes back.
            host: the oldest that is up; 0 when none is.
            silent: those that cannot be reached by now.
        """
        before, self._members = self._members, dict.fromkeys(members)
        self._silent = frozenset(silent)
        for uid in before:
            if uid not in self._members:
                self._forget_node(now, uid)
        if host != self._host:
            self._change_host(now, host)
        for barrier in list(self._reports):
            self._propose(now, barrier)
        return self._done_with(now)

    def receive(self, now: float, sender: int, word: Word) -> list[Effect]:
        """Another node says something."""
        self._handlers[type(word)](now, sender, word)
        return self._done_with(now)

    def tick(self, now: float) -> list[Effect]:
        """Say again what was not answered."""
        if now < self.next_wakeup:
            return []
        self.next_wakeup = math.inf
        if self._host != self._me:
            for barrier in self._waiting:
                self._announce(now, barrier)
        self._ask_about_bound()
        for ballot in self._opened.values():
            for uid in ballot.shares:
                if uid not in ballot.yes:
                    self._say(uid, self._proposal(ballot))
        self._deciding.say_again(self._settled())
        return self._done_with(now)

    @property
    def idle(self) -> bool:
        """Whether nobody waits here, and nothing is to be told to anybody."""
        return not (self._waiting or self._bound or self._opened) and self._deciding.idle

    # --- A node with parties ------------------------------------------------------------------------------------------

    def _expected(self, barrier: str) -> int:
        """For how many the parties at a barrier wait that are here already; 0 when there is none."""
        for party in self._waiting.get(barrier, {}).values():
            return party.n
        return next((party.n for party in self._bound_parties() if party.barrier == barrier), 0)

    def _bound_parties(self) -> Iterator[Party]:
        return (party for bound in self._bound.values() for party in bound.parties)

    def _find(self, party: int) -> Party | None:
        for waiting in self._waiting.values():
            if party in waiting:
                return waiting[party]
        return None

    def _leave(self, now: float, party: Party) -> None:
        waiting = self._waiting[party.barrier]
        del waiting[party.number]
        if waiting:
            self._announce(now, party.barrier)
        else:
            del self._waiting[party.barrier]
            self._say(self._host, Waiting(party.barrier, party.n, 0, 0.0))

    def _announce(self, now: float, barrier: str) -> None:
        """Let the host know who waits."""
        waiting = self._waiting[barrier]
        first = next(iter(waiting.values()))
        self._say(self._host, Waiting(barrier, first.n, len(waiting), max(0.0, now - first.since)))

    def _on_propose(self, now: float, sender: int, word: Propose) -> None:
        self._forget_settled(sender, word.settled)
        name = (sender, word.number)
        if name not in self._done and name not in self._bound and not self._bind(name, word):
            self._done[name] = False
        left = len(self._waiting.get(word.barrier, ())) if sender == self._host else 0
        self._say(sender, Vote(word.number, word.barrier, self._done.get(name, True), left))

    def _bind(self, name: Ballot, word: Propose) -> bool:
        """Bind the parties that a host wants for a ballot, if they wait."""
        share = dict(word.shares).get(self._me, 0)
        waiting = self._waiting.get(word.barrier, {})
        if not 0 < share <= len(waiting) or name[0] != self._host or next(iter(waiting.values())).n != word.n:
            return False
        parties = list(waiting.values())[:share]
        for party in parties:
            del waiting[party.number]
        if not waiting:
            del self._waiting[word.barrier]
        voters = dict.fromkeys((*(uid for uid, _ in word.shares), name[0]))
        self._bound[name] = Bound(parties, tuple(voters))
        return True

    def _on_commit(self, now: float, sender: int, word: Commit) -> None:
        name = (word.host, word.number)
        bound = self._bound.get(name)
        if name in self._done:
            self._say(sender, Told(*name))
        elif bound is None or (word.turn, sender) >= bound.promised:  # the host has no share in every ballot of its own
            if bound is not None:
                bound.committed = True
            self._say(sender, Committed(*name, word.turn))

    def _on_outcome(self, now: float, sender: int, word: Outcome) -> None:
        name = (word.host, word.number)
        bound = self._bound.get(name)
        if bound is not None and (word.turn, sender) < bound.promised:
            return
        if sender == word.host:
            self._forget_settled(sender, word.settled)
        self._deciding.on_outcome(word)
        self._bound.pop(name, None)
        self._done.setdefault(name, word.released)
        self._say(sender, Told(*name))
        living = [party for party in bound.parties if not party.abandoned] if bound is not None else []
        if word.released:
            self._effects.extend(Release(party.number) for party in living)
        else:
            self._effects.extend(GiveUp(party.number) for party in living if party.late)
            self._return(now, [party for party in living if not party.late])

    def _return(self, now: float, parties: list[Party]) -> None:
        """Parties wait again, in the order in which they came."""
        if parties:
            barrier = parties[0].barrier
            waiting = [*parties, *self._waiting.get(barrier, {}).values()]
            self._waiting[barrier] = {party.number: party for party in sorted(waiting, key=lambda each: each.number)}
            self._announce(now, barrier)

    def _on_mismatch(self, now: float, sender: int, word: Mismatch) -> None:
        waiting = self._waiting.get(word.barrier, {})
        if sender == self._host and any(party.n == word.n for party in waiting.values()):
            del self._waiting[word.barrier]
            self._effects.extend(Refuse(party, word.expected) for party in waiting)

    def _on_query(self, now: float, sender: int, word: Query) -> None:
        name = (word.host, word.number)
        bound = self._bound.get(name)
        if bound is not None:
            if (word.turn, sender) < bound.promised:
                return
            bound.promised = word.turn, sender
        known = self._known_as_host(name)
        if bound is not None:
            known = max(known or VOID, COMMITTED if bound.committed else BOUND)
        elif known is None:
            known = RELEASED if self._done.setdefault(name, False) else VOID
        self._say(sender, Answer(*name, word.turn, known))

    def _known_as_host(self, name: Ballot) -> int | None:
        """How far a ballot of this node has come; it is out of our hands now."""
        if name[0] != self._me:
            return None
        opened = self._opened.get(name[1])
        if opened is not None:
            self._decide(opened, all_bound=False)
        return self._deciding.hand_over(name[1])

    def _ask_about_bound(self) -> None:
        """Find out about ballots whose host is the host no more, or was not when somebody asked."""
        for name, bound in self._bound.items():
            if name[0] != self._host or bound.promised[0]:
                voters = tuple(uid for uid in bound.voters if uid not in self._gone)
                self._say(self._host, Doubt(*name, voters, bound.promised))

    def _forget_settled(self, host: int, settled: int) -> None:
        for name in [name for name in self._done if name[0] == host and name[1] < settled]:
            del self._done[name]
        while len(self._done) > DONE_MOST:
            del self._done[next(iter(self._done))]

    # --- The host -----------------------------------------------------------------------------------------------------

    def _on_waiting(self, now: float, sender: int, word: Waiting) -> None:
        if self._host != self._me or sender not in self._members:
            return  # it says so again, to whom it concerns or when that is known
        reports = self._reports.setdefault(word.barrier, {})
        since = now - word.waited
        if word.count == 0:
            reports.pop(sender, None)
        elif self._fits(sender, word, since):
            report = reports.setdefault(sender, Report(word.n, 0, since))
            report.n, report.count, report.since = word.n, word.count, since
            self._propose(now, word.barrier)
        if not reports:
            del self._reports[word.barrier]

    def _fits(self, sender: int, word: Waiting, since: float) -> bool:
        """Whether parties wait for as many as the others; else those who came later are refused."""
        reports = self._reports[word.barrier]
        others = {uid: report for uid, report in reports.items() if report.n != word.n and uid != sender}
        voting = [each.n for each in self._opened.values() if each.barrier == word.barrier]
        earlier = [report.n for report in others.values() if report.since <= since]
        expected = next((n for n in (*voting, *earlier) if n != word.n), 0)
        if expected:
            reports.pop(sender, None)
            self._say(sender, Mismatch(word.barrier, word.n, expected))
            return False
        for uid, report in others.items():
            del reports[uid]
            self._say(uid, Mismatch(word.barrier, report.n, word.n))
        return True

    def _propose(self, now: float, barrier: str) -> None:
        """Open ballots while enough parties wait on nodes that can be reached; who had its turn is the last next time."""
        reports = self._reports[barrier]
        while True:
            free = {uid: count for uid, report in reports.items() if (count := self._free(barrier, uid, report)) > 0}
            n = next(iter(reports.values())).n if reports else 0
            if not free or sum(free.values()) < n:
                return
            shares: dict[int, int] = {}
            for uid, count in free.items():
                missing = n - sum(shares.values())
                if missing:
                    shares[uid] = min(count, missing)
            for uid in shares:
                reports[uid] = reports.pop(uid)
            self._numbers += 1
            ballot = self._opened[self._numbers] = Opened(self._numbers, barrier, n, shares)
            for uid in shares:
                self._say(uid, self._proposal(ballot))

    def _free(self, barrier: str, uid: int, report: Report) -> int:
        """How many parties of a node are in no ballot, as far as the host knows."""
        if uid in self._silent:
            return 0
        taken = (
            each.shares[uid]
            for each in self._opened.values()
            if each.barrier == barrier and uid in each.shares and uid not in each.yes
        )
        return report.count - sum(taken)

    def _proposal(self, ballot: Opened) -> Word:
        return Propose(ballot.number, self._settled(), ballot.barrier, ballot.n, tuple(ballot.shares.items()))

    def _settled(self) -> int:
        """Ballots of this node with lower numbers are over everywhere."""
        oldest = self._deciding.oldest()
        return min(next(iter(self._opened), self._numbers + 1), oldest or self._numbers + 1)

    def _on_vote(self, now: float, sender: int, word: Vote) -> None:
        reports = self._reports.get(word.barrier, {})
        if sender in reports:
            reports[sender].count = word.left
            if not word.left:
                del reports[sender]
        ballot = self._opened.get(word.number)
        if ballot is not None and sender in ballot.shares:
            if word.yes:
                ballot.yes[sender] = None
            if not word.yes or len(ballot.yes) == len(ballot.shares):
                self._decide(ballot, all_bound=word.yes)
        if word.barrier in self._reports:
            if reports:
                self._propose(now, word.barrier)
            else:
                del self._reports[word.barrier]

    def _decide(self, ballot: Opened, *, all_bound: bool) -> None:
        settled = self._settled()
        del self._opened[ballot.number]
        self._deciding.decide(ballot.number, ballot.shares, all_bound=all_bound, settled=settled)

    # --- Ballots of others --------------------------------------------------------------------------------------------

    def _on_doubt(self, now: float, sender: int, word: Doubt) -> None:
        if self._host == self._me:
            self._deciding.on_doubt(word)

    # --- Members ------------------------------------------------------------------------------------------------------

    def _forget_node(self, now: float, uid: int) -> None:
        """A member is gone: its parties are, and nobody waits for its word."""
        self._gone[uid] = None
        if len(self._gone) > GONE_MOST:
            del self._gone[next(iter(self._gone))]
        for barrier, reports in list(self._reports.items()):
            reports.pop(uid, None)
            if not reports:
                del self._reports[barrier]
        for ballot in list(self._opened.values()):
            if uid in ballot.shares and uid not in ballot.yes:
                self._decide(ballot, all_bound=False)
        self._deciding.forget_node(uid)

    def _change_host(self, now: float, host: int) -> None:
        if self._host == self._me:
            self._reports.clear()
            for ballot in list(self._opened.values()):
                self._decide(ballot, all_bound=False)
        self._host = host
        for barrier in self._waiting:
            self._announce(now, barrier)
        self._ask_about_bound()

    # --- Words --------------------------------------------------------------------------------------------------------

    def _say(self, uid: int, word: Word) -> None:
        if uid == self._me:
            self._own.append(word)
        elif uid:
            self._effects.append(Say(uid, word))

    def _done_with(self, now: float) -> list[Effect]:
        """What is to be done, after this node has heard what it says to itself."""
        while self._own:
            word = self._own.pop(0)
            self._handlers[type(word)](now, self._me, word)
        if self.idle:
            self.next_wakeup = math.inf
        elif self.next_wakeup == math.inf:
            self.next_wakeup = now + AGAIN
        effects, self._effects = self._effects, []
        return effects
