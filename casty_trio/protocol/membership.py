"""A node's part in agreeing with the others who the members of the cluster are. Floor F1, pure.

`Membership` is stepped with what came in and with the time, and gives back what is to be done. It finds or founds a cluster
(`Forming`), spreads its `View` by gossip (push and pull, fingerprints first), refutes what is wrongly said of it, and as the
leader moves members on when all have seen the same. It judges nobody: it is told whom this node cannot reach, and who is
down. Nothing here depends on a message to arrive, and what arrives twice changes nothing.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from typing import Any, Final

from msgspec.structs import replace

from casty_trio.model.cluster_settings import ClusterSettings
from casty_trio.model.member import Member, MemberStatus
from casty_trio.protocol import gossip
from casty_trio.protocol.effects import Changed, Effect, Ended, Pardoned, Refused, Refuted, Send, Sender
from casty_trio.protocol.forming import Address, Forming, Found, JoinAt, Say, better
from casty_trio.protocol.leading import Leading
from casty_trio.protocol.members import MEMBERS_MOST, View, accused, digest, fingerprint, leader, merge, unreachable

__all__ = ["Membership"]

UID_BITS: Final = 48
REMEMBERED_MOST: Final = 100
"""So many addresses of former members are asked whether they are in another cluster by now."""

PROMPT: Final = 0.02
"""How long a node waits before it tells news, in seconds, so that what comes together goes together."""

DIFFERENT_VIEW: Final = 0.8
"""How often gossip goes to somebody who has not seen the same, if there is anybody."""

SILENT: Final = 0.2
"""How often gossip goes to somebody who is thought unreachable, if there is anybody."""


class Membership:
    """One start of a node, from its first question to its end.

    Parameters:
        me: the node, as it is to be admitted.
        seeds: where it asks for a cluster; none is to found one at once; None to wait for `set_seeds`.
        contacts: further addresses that may be in a cluster, say from before this start.
        settings: how often it talks, and how patient it is.
        rng: for whom it talks to, and for the id of a cluster.
        now: the time, in seconds.

    Attributes:
        view: what is known; None while there is no cluster.
        version: how often what members agree on has changed here.
        ended: whether it is over.
        hosting: whether something runs here that other members would start, so that it has to end before others are joined.
    """

    def __init__(
        self,
        me: Member,
        seeds: Iterable[Address] | None,
        contacts: Iterable[Address],
        settings: ClusterSettings,
        rng: random.Random,
        now: float,
    ) -> None:
        self.me: Member = me
        self.view: View | None = None
        self.version: int = 0
        self.ended: bool = False
        self.hosting: bool = False
        self._settings = settings
        self._rng = rng
        self._seeds = tuple(seeds or ())
        self._contacts = tuple(contacts)
        self._remembered: dict[Address, None] = {}
        self._foreign: dict[Address, None] = {}
        self._leaving = False
        self._forming: Forming = Forming(me.address, None if seeds is None else self._seeds, self._contacts, now)
        self._leading = Leading(me.uid, settings)
        self._changed_at = -math.inf
        self._next_gossip = self._next_contact = math.inf
        self._handlers: dict[type, Callable[[float, Sender, Any], list[Effect]]] = {
            gossip.Survey: self._on_survey,
            gossip.SurveyAnswer: self._on_answer,
            gossip.Claim: self._on_claim,
            gossip.ClaimAnswer: self._on_claim_answer,
            gossip.Join: self._on_join,
            gossip.JoinRefused: self._on_join_refused,
            gossip.Status: self._on_status,
            gossip.State: self._on_state,
            gossip.Foreign: self._on_foreign,
        }

    @property
    def next_wakeup(self) -> float:
        """When `tick` is to be called, at the latest."""
        if self.ended:
            return math.inf
        return self._forming.next_wakeup if self.view is None else min(self._next_gossip, self._next_contact)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where there are, or were, other members, and where there may be: whom to stay in touch with."""
        members = () if self.view is None else tuple(m.address for m in self.view.members if m.uid != self.me.uid)
        known = dict.fromkeys((*members, *self._seeds, *self._contacts, *self._remembered))
        return tuple(address for address in known if address != self.me.address)

    def set_seeds(self, seeds: Iterable[Address]) -> None:
        """Ask these from now on."""
        self._seeds = tuple(seeds)
        self._forming.set_seeds(self._seeds)

    # --- Time, and what this node wants or finds ----------------------------------------------------------------------

    def tick(self, now: float) -> list[Effect]:
        """What is due."""
        if self.ended:
            return []
        if self.view is None:
            return self._form(now, self._forming.tick(now))
        effects = self._update(now, self.view)
        if now >= self._next_contact and not self.ended:
            effects += self._ask_around(now, self.view)
        if now >= self._next_gossip and not self.ended:
            effects += self._gossip(now, self.view)
        return effects

    def accuse(self, now: float, uid: int) -> list[Effect]:
        """This node cannot reach a member."""
        if self.view is None or self.ended:
            return []
        member = self.view.member(uid)
        if member is None or uid == self.me.uid or member.status >= MemberStatus.DOWN:
            return []
        others = [each for each in self.view.opinion(self.me.uid).unreachable if each[0] != uid]
        effects = self._update(now, self.view.with_opinion(self.me.uid, [*others, (uid, member.counter)]))
        return [*effects, Send(member.address, uid, gossip.State(self.view))]  # who is accused has to hear it to refute it

    def absolve(self, now: float, uid: int) -> list[Effect]:
        """This node reaches a member again."""
        if self.view is None or self.ended:
            return []
        others = [each for each in self.view.opinion(self.me.uid).unreachable if each[0] != uid]
        return self._update(now, self.view.with_opinion(self.me.uid, others))

    def down(self, now: float, uids: Iterable[int], why: str) -> list[Effect]:
        """Members are down, whatever they say; this node among them if it is one of them."""
        if self.view is None or self.ended:
            return []
        view = self.view
        for uid in uids:
            view = view.with_status(uid, MemberStatus.DOWN)
        return self._update(now, view, why)

    def leave(self, now: float) -> list[Effect]:
        """Leave the cluster; over when `Ended` comes."""
        if self.ended:
            return []
        self._leaving = True
        if self.view is None:
            return self._end(left=True, why="it had not joined")
        return self._update(now, self.view.with_status(self.me.uid, MemberStatus.LEAVING))

    def depart(self) -> list[Effect]:
        """Go at once, and tell the others; they need not agree on who says so itself."""
        view = self.view
        if self.ended or view is None:
            return [] if self.ended else self._end(left=True, why="it had not joined")
        self._leaving = True
        return self._go(view, "it has no time")

    def connected(self, now: float, other: Sender) -> list[Effect]:
        """There is a way to a node, which was not there before."""
        view = self.view
        if self.ended:
            return []
        if view is None:
            return self._form(now, self._forming.connected(other.address))
        if view.member(other.uid) is None and any(member.address == other.address for member in view.members):
            # Another start of a member: it may be in this cluster, and know that this node is out of it.
            return [Send(other.address, other.uid, gossip.Status(view.cluster, fingerprint(view)))]
        return []

    @property
    def alone(self) -> bool:
        """Whether this node is the only member of its cluster."""
        return self.view is not None and len(self.view.members) == 1

    def receive(self, now: float, sender: Sender, message: Any) -> list[Effect]:
        """What another node says."""
        if self.ended or sender.uid == self.me.uid:
            return []
        return self._handlers[type(message)](now, sender, message)

    # --- No cluster yet -----------------------------------------------------------------------------------------------

    def _form(self, now: float, wishes: Iterable[Say | JoinAt | Found]) -> list[Effect]:
        effects: list[Effect] = []
        for wish in wishes:
            if isinstance(wish, Say):
                effects.append(Send(wish.address, 0, wish.message))
            elif isinstance(wish, JoinAt):
                effects.append(Send(wish.address, 0, gossip.Join(self.me)))
            else:
                effects += self._found(now)
        return effects

    def _found(self, now: float) -> list[Effect]:
        founder = replace(self.me, status=MemberStatus.UP, up_number=1)
        view = View(self._rng.getrandbits(UID_BITS) | 1, (founder,))
        return self._enter(now, view) + self._ask_around(now, view)  # who waits for a cluster hears of it

    def _enter(self, now: float, view: View) -> list[Effect]:
        self._next_gossip = now
        self._next_contact = now + self._settings.contact_interval
        return self._update(now, view)

    def _on_survey(self, now: float, sender: Sender, survey: gossip.Survey) -> list[Effect]:
        if self.view is None:
            return self._form(now, self._forming.on_survey(now, sender.address, survey))
        effects: list[Effect] = [Send(sender.address, sender.uid, gossip.SurveyAnswer(self.view.cluster, self._size()))]
        return effects + self._meet(now, sender, survey.cluster, survey.size)

    def _on_answer(self, now: float, sender: Sender, answer: gossip.SurveyAnswer) -> list[Effect]:
        if self.view is None:
            return self._form(now, self._forming.on_answer(now, sender.address, answer))
        return self._meet(now, sender, answer.cluster, answer.size)

    def _on_claim(self, now: float, sender: Sender, claim: gossip.Claim) -> list[Effect]:
        if self.view is None:
            return self._form(now, self._forming.on_claim(now, sender.address, claim))
        return [Send(sender.address, sender.uid, gossip.SurveyAnswer(self.view.cluster, self._size()))]

    def _on_claim_answer(self, now: float, sender: Sender, answer: gossip.ClaimAnswer) -> list[Effect]:
        if self.view is None:
            return self._form(now, self._forming.on_claim_answer(now, sender.address, answer))
        return []

    def _on_join_refused(self, _: float, sender: Sender, refusal: gossip.JoinRefused) -> list[Effect]:
        return [Refused(sender.address, refusal.reason)] if self.view is None else []

    # --- Who else is there --------------------------------------------------------------------------------------------

    def _on_join(self, now: float, sender: Sender, join: gossip.Join) -> list[Effect]:
        if self.view is None:
            return []
        view, wanted = self.view, join.member
        if (wanted.uid, wanted.address) != (sender.uid, sender.address):
            return [Send(sender.address, sender.uid, gossip.JoinRefused("a node joins for itself only"))]
        if view.member(wanted.uid) is None and not view.was_removed(wanted.uid):
            refusal = self._refusal(view, wanted)
            if refusal is not None:
                return [Send(sender.address, sender.uid, gossip.JoinRefused(refusal))]
            for member in view.members:
                if member.address == wanted.address:  # its process is over: another one lives there
                    view = view.with_status(member.uid, MemberStatus.DOWN)
            joiner = Member(wanted.uid, wanted.host, wanted.port, wanted.node_id, tuple(sorted(set(wanted.roles))))
            effects = self._update(now, view.with_member(joiner))
        else:
            effects = []
        return [*effects, Send(sender.address, sender.uid, gossip.State(self.view))]

    def _refusal(self, view: View, wanted: Member) -> str | None:
        if len(view.members) >= MEMBERS_MOST:
            return f"the cluster has {MEMBERS_MOST} members, and takes no more"
        for member in view.members:
            same_name = member.node_id == wanted.node_id and member.address != wanted.address
            if same_name and member.status < MemberStatus.EXITING:
                return f"the node id {wanted.node_id!r} belongs to the member at {member.host}:{member.port}"
        return None

    def _meet(self, now: float, sender: Sender, cluster: int, size: int) -> list[Effect]:
        """There is another cluster of our name; one of the two has to go."""
        view = self.view
        if view is None or cluster in (0, view.cluster):
            return []
        self._remember(sender.address)  # a new start of this node may have to look there
        head = leader(view, self.me.uid)
        if head is not None and head.uid != self.me.uid:
            return [Send(head.address, head.uid, gossip.Foreign(*sender.address))]
        if better(self._size(), view.cluster, size, cluster):
            return []
        if self.alone and not self.hosting:
            return self._join_instead(now, sender.address)
        return self._update(now, replace(view, gives_way=cluster))

    def _join_instead(self, now: float, contact: Address) -> list[Effect]:
        """A founder that is still alone simply joins; it starts as if it had asked there first."""
        old, self.view = self.view, None
        self._leading = Leading(self.me.uid, self._settings)
        self._forming = Forming(self.me.address, (*self._seeds, contact), self._contacts, now)
        join = Send(contact, 0, gossip.Join(self.me))
        return [Changed(old, None), join]

    def _on_foreign(self, _: float, sender: Sender, foreign: gossip.Foreign) -> list[Effect]:
        view, address = self.view, (foreign.host, foreign.port)
        if view is None or view.member(sender.uid) is None:
            return []
        self._remember(address)
        return [Send(address, 0, gossip.Survey(view.cluster, self._size()))]

    def _ask_around(self, now: float, view: View) -> list[Effect]:
        """Whether seeds and former members that are not in the view are in another cluster."""
        self._next_contact = now + self._settings.contact_interval
        silent = unreachable(view)  # another start of such a one may live at its address
        present = {member.address for member in view.members if member.uid not in silent}
        present.add(self.me.address)
        missing = [address for address in dict.fromkeys((*self._seeds, *self._contacts)) if address not in present]
        former = [address for address in self._remembered if address not in present and address not in missing]
        if former:
            missing.append(self._rng.choice(former))
        survey = gossip.Survey(view.cluster, self._size())
        return [Send(address, 0, survey) for address in missing]

    def _remember(self, address: Address) -> None:
        self._remembered.pop(address, None)
        self._remembered[address] = None
        if len(self._remembered) > REMEMBERED_MOST:
            del self._remembered[next(iter(self._remembered))]

    # --- Gossip -------------------------------------------------------------------------------------------------------

    def _gossip(self, now: float, view: View) -> list[Effect]:
        settings = self._settings
        changing = now - self._changed_at < settings.changing_for
        self._next_gossip = now + (settings.gossip_interval_changing if changing else settings.gossip_interval)
        target = self._pick(view)
        if target is None:
            return []
        return [Send(target.address, target.uid, gossip.Status(view.cluster, fingerprint(view)))]

    def _pick(self, view: View) -> Member | None:
        silent = unreachable(view)
        others = [m for m in view.members if m.uid != self.me.uid and m.status < MemberStatus.DOWN]
        mute = [member for member in others if member.uid in silent]
        if mute and (len(mute) == len(others) or self._rng.random() < SILENT):
            return self._rng.choice(mute)
        heard = [member for member in others if member.uid not in silent]
        seen = {each.uid: each.digest for each in view.seen}
        now = digest(view)
        behind = [member for member in heard if seen.get(member.uid) != now]
        if behind and self._rng.random() < DIFFERENT_VIEW:
            return self._rng.choice(behind)
        return self._rng.choice(heard) if heard else None

    def _on_status(self, _: float, sender: Sender, status: gossip.Status) -> list[Effect]:
        view = self.view
        if view is None:
            return []
        if status.cluster != view.cluster:
            return [Send(sender.address, sender.uid, gossip.Survey(view.cluster, self._size()))]
        if status.fingerprint != fingerprint(view) or self._is_out(view, sender.uid):
            return [Send(sender.address, sender.uid, gossip.State(view))]
        return []

    def _on_state(self, now: float, sender: Sender, state: gossip.State) -> list[Effect]:
        theirs = state.view
        if self.view is None:
            return self._welcome(now, sender, theirs)
        if theirs.cluster != self.view.cluster:
            return [Send(sender.address, sender.uid, gossip.Survey(self.view.cluster, self._size()))]
        if self._is_out(self.view, sender.uid):
            return self._answer_outcast(now, sender, self.view, theirs)
        effects = self._update(now, merge(self.view, theirs))
        if self.view != theirs and not self.ended:
            effects.append(Send(sender.address, sender.uid, gossip.State(self.view)))
        return effects

    def _welcome(self, now: float, sender: Sender, view: View) -> list[Effect]:
        if view.was_removed(self.me.uid):
            return self._end(left=False, why=f"{sender.address[0]}:{sender.address[1]} says that it was removed")
        return self._enter(now, view) if view.member(self.me.uid) is not None else []

    def _answer_outcast(self, now: float, sender: Sender, view: View, theirs: View) -> list[Effect]:
        """Who is out here says something: tell it, unless it says the same of us and has more on its side."""
        if self._is_out(theirs, self.me.uid) and _strength(theirs) > _strength(view):
            return self._update(now, view.with_status(self.me.uid, MemberStatus.DOWN), "the larger part goes on without it")
        return [Send(sender.address, sender.uid, gossip.State(view))]

    def _is_out(self, view: View, uid: int) -> bool:
        member = view.member(uid)
        return view.was_removed(uid) or (member is not None and member.status == MemberStatus.DOWN)

    # --- What follows from a change -----------------------------------------------------------------------------------

    def _update(self, now: float, view: View, why: str = "") -> list[Effect]:
        """Take in what is known now; what this node has to add to it follows at once."""
        old = self.view
        view, effects = self._answer_accusations(view)
        view = self._lead(now, view)
        if view == old:
            return effects
        self._look_at(now, old, view)
        self.view = view
        for member in () if old is None else old.members:
            if view.member(member.uid) is None:  # its last word from here, before nobody talks to it any more
                effects.append(Send(member.address, member.uid, gossip.State(view)))
        return [*effects, Changed(old, view), *self._end_if_out(view, why)]

    def _look_at(self, now: float, old: View | None, view: View) -> None:
        if old is None or digest(view) != digest(old):
            self.version += 1
            self._changed_at = now
        self._next_gossip = min(self._next_gossip, now + PROMPT)
        for member in view.members:
            if member.uid != self.me.uid and (old is None or old.member(member.uid) is None):
                self._remember(member.address)
        for member in () if old is None else old.members:
            if member.status in (MemberStatus.LEAVING, MemberStatus.EXITING) and view.member(member.uid) is None:
                self._remembered.pop(member.address, None)  # who has left is nowhere: nobody has to look for it

    def _answer_accusations(self, view: View) -> tuple[View, list[Effect]]:
        """Refute what is said of this node, and take back what others have refuted."""
        effects: list[Effect] = []
        counter, me = accused(view, self.me.uid), view.member(self.me.uid)
        if counter is not None and me is not None and me.status < MemberStatus.DOWN:
            view = view.with_member(replace(me, counter=max(counter, me.counter) + 1))
            effects.append(Refuted())
        counters = {member.uid: member.counter for member in view.members}
        mine = view.opinion(self.me.uid).unreachable
        standing = [each for each in mine if counters.get(each[0], math.inf) <= each[1]]
        if len(standing) < len(mine) and me is not None:
            view = view.with_opinion(self.me.uid, standing)
            effects += [Pardoned(uid) for uid, counter in mine if (uid, counter) not in standing and uid in counters]
        return view, effects

    def _lead(self, now: float, view: View) -> View:
        """See the view, and act on it if it is this node's turn; again, for what follows may be agreed on at once."""
        while not view.gives_way and view.member(self.me.uid) is not None:
            seen = view.with_seen(self.me.uid, digest(view))
            view = self._leading.step(now, seen)
            if view is seen:
                break
        return view

    def _end_if_out(self, view: View, why: str) -> list[Effect]:
        me = view.member(self.me.uid)
        if view.gives_way:
            self.ended = True
            why = "the cluster makes room for a larger one of its name"
            return [*self._tell_all(view), Ended(self._leaving, why, moves=not self._leaving)]
        if me is None:
            return self._end(left=self._leaving, why="the others have seen it go" if self._leaving else "it was removed")
        if me.status == MemberStatus.DOWN:
            return self._tell_all(view) + self._end(left=self._leaving, why=why or "other members have declared it down")
        if self._leaving and not any(m.status <= MemberStatus.UP for m in self._others(view)):
            return self._go(view, "nobody stays")
        return []

    def _others(self, view: View) -> list[Member]:
        silent = unreachable(view)
        return [m for m in view.members if m.uid != self.me.uid and m.uid not in silent]

    def _tell_all(self, view: View) -> list[Effect]:
        state = gossip.State(view)
        return [Send(member.address, member.uid, state) for member in view.members if member.uid != self.me.uid]

    def _go(self, view: View, why: str) -> list[Effect]:
        return self._tell_all(view.with_status(self.me.uid, MemberStatus.EXITING)) + self._end(left=True, why=why)

    def _end(self, *, left: bool, why: str) -> list[Effect]:
        self.ended = True
        return [Ended(left, why)]

    def _size(self) -> int:
        return 0 if self.view is None else sum(m.status < MemberStatus.DOWN for m in self.view.members)


def _strength(view: View) -> tuple[int, int]:
    """What of two parts, each of which has removed the other, goes on: the larger, and of equals that of the lowest uid."""
    present = [member.uid for member in view.members if member.status < MemberStatus.DOWN]
    return len(present), -min(present, default=0)
