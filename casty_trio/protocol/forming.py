"""How a node that is in no cluster finds one, or founds it. Floor F1, pure.

It asks its seeds, over and over, which cluster they are in, and joins the largest it hears of. When a majority of {itself
and its seeds} have answered "in none", those that know of such a majority leave it to their lowest address to found one: it
claims the right, everybody grants that to one at a time and for a while, and with the grants of a majority it founds. Two
majorities have a node in common if all count the same nodes, so one that is no seed of the others does not count itself.
Silence and refusal are no answers: a node that is cut off founds nothing, and one without seeds founds at once. While it
is not known yet whom to ask, nothing is founded either.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import msgspec

from casty_trio.protocol.gossip import Claim, ClaimAnswer, Survey, SurveyAnswer

__all__ = ["Address", "Forming", "Found", "JoinAt", "Say", "better"]

Address = tuple[str, int]

ASK_EVERY: Final = 1.0
"""How often a seed is asked, in seconds; at first, and while answers are missing, ten times as often."""
ASK_FIRST: Final = 0.1
ASK_FIRST_FOR: Final = 3.0

FRESH: Final = 2.5
"""How long an answer counts, in seconds."""

CLAIM_TIME: Final = 1.0
"""How long a claim may take until it is given up, in seconds; shorter than a grant lasts."""

GRANT_TIME: Final = 1.5
"""How long nobody else is granted a claim, in seconds."""

JOIN_TIME: Final = 3.0
"""After how many seconds without an answer to a wish to join it is made anew, wherever that is by then."""


class Say(msgspec.Struct, frozen=True):
    """Tell a node something, if there is a way to it."""

    address: Address
    message: Survey | SurveyAnswer | Claim | ClaimAnswer


class JoinAt(msgspec.Struct, frozen=True):
    """Ask a node to be let in to its cluster."""

    address: Address


class Found(msgspec.Struct, frozen=True):
    """Found a cluster."""


Effect = Say | JoinAt | Found


def better(size: int, cluster: int, than_size: int, than_cluster: int) -> bool:
    """Of two clusters of one name, whether the first is the one that stays: the larger one, and of equals the lower id."""
    return (-size, cluster) < (-than_size, than_cluster)


class Forming:
    """The part of a node's life in which it is in no cluster.

    Parameters:
        me: the node's own address.
        seeds: the nodes to ask; the node's own address among them means nothing. None while that is not known: `set_seeds`
            tells.
        contacts: further nodes that may be in a cluster; they have no say in founding one.
        now: the time, in seconds.
    """

    def __init__(self, me: Address, seeds: Iterable[Address] | None, contacts: Iterable[Address], now: float) -> None:
        self._me = me
        self._seeds: tuple[Address, ...] = ()
        self._known = False  # whom to ask
        self._named = False  # whether this node is one of the seeds
        self._contacts = tuple(contacts)
        self._began = now
        self._next_ask = now
        self._joining_until = -math.inf
        self._answers: dict[Address, tuple[float, SurveyAnswer]] = {}
        self._grant: tuple[Address, float] | None = None  # to whom, and until when
        self._claim = 0
        self._claim_until = -math.inf
        self._asked: set[Address] = set()
        self._granted: set[Address] = set()
        if seeds is not None:
            self.set_seeds(seeds)

    @property
    def next_wakeup(self) -> float:
        """When `tick` is to be called, at the latest."""
        return min(self._next_ask, self._claim_until) if self._claiming else self._next_ask

    @property
    def _claiming(self) -> bool:
        return self._claim_until > -math.inf

    def set_seeds(self, seeds: Iterable[Address]) -> None:
        """Ask these from now on."""
        named = dict.fromkeys(seeds)
        self._known = True
        self._named = self._me in named
        self._seeds = tuple(seed for seed in named if seed != self._me)

    def tick(self, now: float) -> list[Effect]:
        """What is due."""
        if now >= self._claim_until:
            self._give_claim_up()
        effects = self._go_on(now)
        if now >= self._next_ask and not effects:
            young = now < self._began + ASK_FIRST_FOR
            self._next_ask = now + (ASK_FIRST if young else ASK_EVERY)
            effects.extend(Say(address, Survey(0, 0)) for address in dict.fromkeys((*self._seeds, *self._contacts)))
        return effects

    def connected(self, address: Address) -> list[Effect]:
        """There is a way to a node: ask it at once, if it is one to be asked."""
        return [Say(address, Survey(0, 0))] if address in (*self._seeds, *self._contacts) else []

    # --- What others say ----------------------------------------------------------------------------------------------

    def on_survey(self, now: float, sender: Address, survey: Survey) -> list[Effect]:
        """Somebody asks which cluster we are in."""
        if survey.cluster:  # it tells, unasked
            return self.on_answer(now, sender, SurveyAnswer(survey.cluster, survey.size))
        return [Say(sender, SurveyAnswer(0, 0, able=self._able(now), counts=sender in self._seeds))]

    def on_answer(self, now: float, sender: Address, answer: SurveyAnswer) -> list[Effect]:
        """A node tells which cluster it is in."""
        if sender in self._seeds or answer.cluster:
            self._answers[sender] = (now, answer)
        return self._go_on(now)

    def on_claim(self, now: float, sender: Address, claim: Claim) -> list[Effect]:
        """A node wants to found a cluster."""
        granted = self._may_grant(now, sender)
        if granted:
            self._give_claim_up()
            self._grant = (sender, now + GRANT_TIME)
        return [Say(sender, ClaimAnswer(claim.number, granted))]

    def on_claim_answer(self, now: float, sender: Address, answer: ClaimAnswer) -> list[Effect]:
        """A node grants us the right to found a cluster, or does not."""
        if answer.number != self._claim or now >= self._claim_until or sender not in self._seeds:
            return []
        if answer.granted:
            self._granted.add(sender)
        return [Found()] if self._is_majority(len(self._granted)) else []

    # --- What follows -------------------------------------------------------------------------------------------------

    def _go_on(self, now: float) -> list[Effect]:
        if now < self._joining_until:
            return []
        contact = self._best_contact(now)
        if contact is not None:
            self._joining_until = now + JOIN_TIME
            self._give_claim_up()
            return [JoinAt(contact)]
        if self._claiming:
            return self._ask_further(now)
        return self._start_claim(now) if self._may_claim(now) else []

    def _best_contact(self, now: float) -> Address | None:
        best: tuple[Address, SurveyAnswer] | None = None
        for address, (then, answer) in sorted(self._answers.items()):
            fresh = answer.cluster and now - then < FRESH
            if fresh and (best is None or better(answer.size, answer.cluster, best[1].size, best[1].cluster)):
                best = address, answer
        return best[0] if best is not None else None

    def _start_claim(self, now: float) -> list[Effect]:
        self._claim += 1
        self._claim_until = now + CLAIM_TIME
        self._grant = (self._me, now + GRANT_TIME)
        self._asked, self._granted = set(), set()
        return [Found()] if self._is_majority(0) else self._ask_further(now)

    def _ask_further(self, now: float) -> list[Effect]:
        """Ask those for the right who have not been asked yet: who answers late may have the vote that is missing."""
        new = [address for address, _ in self._none_in(now) if address not in self._asked]
        self._asked.update(new)
        return [Say(address, Claim(self._claim)) for address in new]

    def _give_claim_up(self) -> None:
        self._claim_until = -math.inf
        if self._grant is not None and self._grant[0] == self._me:
            self._grant = None

    def _may_claim(self, now: float) -> bool:
        free = self._grant is None or now >= self._grant[1] or self._grant[0] == self._me
        lower = any(answer.able and address < self._me for address, answer in self._none_in(now))
        return free and self._able(now) and not lower

    def _may_grant(self, now: float, sender: Address) -> bool:
        if self._grant is not None and now < self._grant[1] and self._grant[0] not in (self._me, sender):
            return False
        return sender < self._me or not (self._claiming or self._able(now))

    def _able(self, now: float) -> bool:
        """Whether a majority has said that it is in no cluster."""
        return self._is_majority(len(self._none_in(now)))

    def _is_majority(self, others: int) -> bool:
        me = not self._seeds or self._named or any(answer.counts for _, answer in self._answers.values())
        return self._known and 2 * (others + me) > len(self._seeds) + me

    def _none_in(self, now: float) -> list[tuple[Address, SurveyAnswer]]:
        """The seeds that have said so of late."""
        return [
            (address, answer)
            for address, (then, answer) in sorted(self._answers.items())
            if not answer.cluster and now - then < FRESH and address in self._seeds
        ]
