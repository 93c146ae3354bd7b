"""What becomes of a ballot: its host decides, or a later one finds out. Floor F1: the half of `barrier` where nobody waits.

A decision takes two steps, so that whoever is left can tell how far it had come. First all nodes that have a share *commit*:
they know then that all parties were bound. When all that are left have, the round is released. So if one of them has
committed, somebody may have been released, and all are; and if none has, nobody was, and the ballot is void.

Who answers a query hears of the ballot from nobody who asked before: of two that find out, at most one decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

import msgspec

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
    Outcome,
    Query,
    Told,
    Word,
)

__all__ = ["Deciding"]

SayTo: TypeAlias = Callable[[int, Word], None]


class Inquiry(msgspec.Struct):
    """A ballot of another host; what do those know who have a share in it?"""

    voters: tuple[int, ...]
    turn: int
    answers: dict[int, int] = msgspec.field(default_factory=dict[int, int])


class Decision(msgspec.Struct):
    """A ballot that is decided, and who is still to be told; ``step`` is what they are told."""

    voters: tuple[int, ...]
    turn: int
    step: int
    untold: dict[int, None] = msgspec.field(default_factory=dict[int, None])
    handed_over: bool = False


class Deciding:
    """The ballots that one node has decided, or finds out about.

    Parameters:
        me: the node's uid.
        gone: the members that are none any more.
        say: says something to a node.
    """

    def __init__(self, me: int, gone: dict[int, None], say: SayTo) -> None:
        self._me = me
        self._gone = gone
        self._say = say
        self._inquiries: dict[Ballot, Inquiry] = {}
        self._decisions: dict[Ballot, Decision] = {}

    @property
    def idle(self) -> bool:
        """Whether there is nobody to be asked or told."""
        return not self._inquiries and all(decision.handed_over for decision in self._decisions.values())

    def oldest(self) -> int:
        """The lowest number of this node's own ballots that are not over everywhere; 0 when all are."""
        return min((number for host, number in self._decisions if host == self._me), default=0)

    # --- The host's own -----------------------------------------------------------------------------------------------

    def decide(self, number: int, voters: Iterable[int], *, all_bound: bool, settled: int) -> None:
        """The votes on a ballot of this node are in."""
        decision = Decision(tuple(voters), 0, COMMITTED if all_bound else VOID)
        self._tell((self._me, number), decision, settled)

    def hand_over(self, number: int) -> int | None:
        """Somebody finds out about a ballot of this node, and decides from now on; how far it had come."""
        decision = self._decisions.get((self._me, number))
        if decision is None:
            return None
        decision.handed_over = decision.handed_over or decision.step == COMMITTED
        return decision.step

    # --- Those of others ----------------------------------------------------------------------------------------------

    def on_doubt(self, word: Doubt) -> None:
        """Find out, unless that is being done, and is what the node waits for that asks."""
        name = (word.host, word.number)
        known = self._inquiries.get(name) or self._decisions.get(name)
        if known is not None and (known.turn, self._me) >= word.promised:
            return
        self._decisions.pop(name, None)
        inquiry = self._inquiries[name] = Inquiry(word.voters, word.promised[0] + 1)
        for uid in self._unheard(inquiry):
            self._say(uid, Query(*name, inquiry.turn))

    def on_answer(self, sender: int, word: Answer) -> None:
        """What a node knows."""
        name = (word.host, word.number)
        inquiry = self._inquiries.get(name)
        if inquiry is not None and inquiry.turn == word.turn:
            inquiry.answers[sender] = word.known
            self._conclude(name, inquiry)

    def _unheard(self, inquiry: Inquiry) -> list[int]:
        return [uid for uid in inquiry.voters if uid not in inquiry.answers and uid not in self._gone]

    def _conclude(self, name: Ballot, inquiry: Inquiry) -> None:
        if self._unheard(inquiry):
            return
        del self._inquiries[name]
        furthest = max(inquiry.answers.values(), default=VOID)
        self._tell(name, Decision(inquiry.voters, inquiry.turn, VOID if furthest == BOUND else furthest))

    # --- Telling ------------------------------------------------------------------------------------------------------

    def _tell(self, name: Ballot, decision: Decision, settled: int = 0) -> None:
        """Begin to tell the nodes that are left the step that a ballot has come to."""
        self._decisions[name] = decision
        decision.untold = {uid: None for uid in decision.voters if uid not in self._gone}
        for uid in decision.untold:
            self._say(uid, self._step(name, decision, settled))
        self._go_on(name, decision)

    def _step(self, name: Ballot, decision: Decision, settled: int) -> Word:
        if decision.step == COMMITTED:
            return Commit(*name, decision.turn)
        return Outcome(*name, decision.turn, decision.step == RELEASED, settled)

    def _go_on(self, name: Ballot, decision: Decision) -> None:
        """When all have been told: the next step, or the end."""
        if decision.untold or decision.handed_over:
            return
        if decision.step == COMMITTED:
            decision.step = RELEASED
            self._tell(name, decision)
        else:
            del self._decisions[name]

    def on_committed(self, sender: int, word: Committed) -> None:
        """A node knows that all were bound."""
        name = (word.host, word.number)
        decision = self._decisions.get(name)
        if decision is not None and decision.step == COMMITTED and decision.turn == word.turn:
            decision.untold.pop(sender, None)
            self._go_on(name, decision)

    def on_told(self, sender: int, word: Told) -> None:
        """A node knows what became of a ballot."""
        name = (word.host, word.number)
        decision = self._decisions.get(name)
        if decision is not None and decision.step == COMMITTED:
            del self._decisions[name]  # somebody else has decided
        elif decision is not None:
            decision.untold.pop(sender, None)
            self._go_on(name, decision)

    def on_outcome(self, word: Outcome) -> None:
        """Who was handed a ballot of this node has decided."""
        decision = self._decisions.get((word.host, word.number))
        if decision is not None and decision.handed_over:
            del self._decisions[word.host, word.number]

    def forget_node(self, uid: int) -> None:
        """A member is gone: nobody waits for its word."""
        for name, inquiry in list(self._inquiries.items()):
            self._conclude(name, inquiry)
        for name, decision in list(self._decisions.items()):
            decision.untold.pop(uid, None)
            self._go_on(name, decision)

    def say_again(self, settled: int) -> None:
        """Ask and tell those who have not answered."""
        for name, inquiry in self._inquiries.items():
            for uid in self._unheard(inquiry):
                self._say(uid, Query(*name, inquiry.turn))
        for name, decision in self._decisions.items():
            for uid in () if decision.handed_over else decision.untold:
                self._say(uid, self._step(name, decision, settled if name[0] == self._me else 0))
