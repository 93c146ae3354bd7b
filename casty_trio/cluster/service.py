"""Membership as a service of a node. Floor F4: drives the pure machines, and does what they say.

What comes in is fed to the machines in the task that read it, and what they want done is done before anything else is fed:
there is no checkpoint between, so there are no locks. One task wakes the machines when their time has come. Membership, the
watching of neighbours and the decision on who is down know nothing of each other; here they meet.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import trio

from casty_trio.actors.clockwork import Clockwork
from casty_trio.actors.reporting import log_failure
from casty_trio.cluster.changes import between, state_of
from casty_trio.cluster.doubt import FIRST, SLOWEST, Doubt
from casty_trio.errors import LinkClosedError, LinkFullError, MessageTooLargeError
from casty_trio.model.cluster_events import ClusterState
from casty_trio.model.cluster_settings import ClusterSettings
from casty_trio.model.detection import DetectorSettings
from casty_trio.model.member import Member, MemberStatus
from casty_trio.model.statistics import MembershipStatistics
from casty_trio.protocol import downing, effects, monitoring, speech
from casty_trio.protocol.downing import Downing, DowningStrategy, KeepMajority, Situation
from casty_trio.protocol.effects import Ended, Sender
from casty_trio.protocol.forming import Address
from casty_trio.protocol.frames import Kind
from casty_trio.protocol.members import View, observations, unreachable
from casty_trio.protocol.membership import Membership
from casty_trio.protocol.monitoring import Monitoring
from casty_trio.remote import of_node

if TYPE_CHECKING:
    from casty_trio.cluster.member import MemberNode
    from casty_trio.remote import Connection

__all__ = ["ClusterService", "ClusterSetup"]

LEASE_TIMEOUT: Final = 5.0
"""How long a lease may take to be had, in seconds."""

Effect: TypeAlias = effects.Effect | monitoring.Effect


@dataclass(frozen=True, slots=True)
class ClusterSetup:
    """What a program says about its node's membership; see `ClusteredActorSystem`."""

    seeds: tuple[Address, ...] | None = ()
    roles: tuple[str, ...] = ()
    downing: DowningStrategy | None = field(default_factory=KeepMajority)
    settings: ClusterSettings = field(default_factory=ClusterSettings)
    detector: DetectorSettings = field(default_factory=DetectorSettings)


class ClusterService:
    """One node's membership.

    Parameters:
        system: the node.
        setup: what the program says about it.
        on_ended: called when this start of the node is no member any more.

    Attributes:
        state: what is known, as programs see it.
        changed: set, and made anew, whenever something has changed.
    """

    def __init__(self, system: MemberNode, setup: ClusterSetup, on_ended: Callable[[Ended], None]) -> None:
        self._system = system
        self._setup = setup
        self._now: Callable[[], float] = system.env.now
        self._on_ended = on_ended
        self.state: ClusterState = ClusterState()
        self.changed: trio.Event = trio.Event()
        self._seeds = setup.seeds
        self._former: tuple[Address, ...] = ()
        self._todo: deque[Effect] = deque()
        self._feeding = False
        self._clockwork = Clockwork(self._now, self._next_wakeup, self._on_time)
        self._refusals: set[int] = set()  # who of the members has refused this node as gone
        self._wanted: tuple[Address, ...] = ()
        self._membership: Membership | None = None
        self._monitoring: Monitoring
        self._downing: Downing
        self._versions = self._messages = self._bytes = 0
        self._expected = math.inf  # when the task has run again, unless this node is late
        self._doubt: Doubt | None = None
        self._pending: downing.Decision | None = None  # to be carried out when the doubt ends
        self._sure_at = -math.inf  # when a doubt was resolved last
        self._resigned = False  # whether the last one ended without that, and neighbours are silent since
        self._questions = count(FIRST)

    # --- Life ---------------------------------------------------------------------------------------------------------

    def begin(self, contacts: Iterable[Address] = ()) -> None:
        """Start as a new member to be; with ``contacts`` from an earlier start."""
        system, setup, now = self._system, self._setup, self._now()
        stable = setup.settings.stable_after
        self._former = tuple(contacts)
        me = Member(system.uid, *system.reached_at, system.node_id, setup.roles)
        self._refusals.clear()
        self._expected, self._sure_at, self._resigned = math.inf, -math.inf, False
        self._be_sure()
        self._membership = Membership(me, self._founders(), self._former, setup.settings, system.env.rng, now)
        self._monitoring = Monitoring(system.uid, setup.detector, system.env.rng)
        self._downing = Downing(setup.downing, None if stable == "auto" else stable)
        self._stay_in_touch(self.state)
        self._feed(self._membership.tick(now))

    async def run(self) -> None:
        """Wake the machines when their time has come."""
        self._expect()
        await self._clockwork.run()

    @property
    def membership(self) -> Membership:
        """The present start's."""
        assert self._membership is not None, "it begins when the block is entered"
        return self._membership

    @property
    def over(self) -> bool:
        """Whether this start of the node is no member any more, or about to be none."""
        return self._membership is not None and self._membership.ended

    def observations(self) -> tuple[tuple[int, int], ...]:
        """Who cannot reach whom."""
        view = self._membership.view if self._membership is not None else None
        return observations(view) if view is not None else ()

    def statistics(self) -> MembershipStatistics:
        """Count what was agreed on and said."""
        versions = self._versions + self.membership.version
        return MembershipStatistics(versions, self._messages, self._bytes, self._monitoring.statistics)

    def begin_anew(self) -> None:
        """Start again, as another member, where this one was known."""
        contacts = self.membership.addresses
        self._versions += self.membership.version
        self._membership = None
        self._tell(ClusterState())
        self.begin(contacts)

    def _founders(self) -> tuple[Address, ...] | None:
        """Of whom a majority has to agree before a cluster is founded: who was in one before asks all that were in it, too,
        for a part of it may live on where it does not reach. None while nobody is known."""
        if self._seeds is None and not self._former:
            return None
        return tuple(dict.fromkeys((*(self._seeds or ()), *self._former)))

    def set_seeds(self, seeds: Iterable[Address]) -> None:
        """Ask these addresses from now on."""
        self._seeds = tuple(seeds)
        self.membership.set_seeds(self._founders() or ())
        self._stay_in_touch(self.state)
        self._clockwork.wake()

    def connected(self, uid: int, address: Address) -> None:
        """There is a new connection to a node."""
        if self._membership is not None:
            self._feed(self._membership.connected(self._now(), Sender(uid, address)))

    def refused_as_gone(self, host: str, port: int) -> None:
        """A node says that this start of ours was declared gone: if most members say so, it is true."""
        view = self._membership.view if self._membership is not None else None
        if view is None:
            return
        self._refusals.update(member.uid for member in view.members if member.address == (host, port))
        saying = [member for member in view.members if member.uid in self._refusals]
        if 2 * len(saying) > len(view.members):
            self.down([self._system.uid], "most members say that it was removed")

    def leave(self) -> None:
        """Leave the cluster; `on_ended` tells when it has."""
        self._feed(self.membership.leave(self._now()))

    def depart(self) -> None:
        """Be gone, without waiting for anybody's agreement: others hear of it, if they can."""
        if self._membership is not None:
            self._feed(self._membership.depart())

    def down(self, uids: Iterable[int], why: str) -> None:
        """Declare members down."""
        self._feed(self.membership.down(self._now(), uids, why))

    # --- Time ---------------------------------------------------------------------------------------------------------

    def _next_wakeup(self) -> float:
        if self.membership.ended:
            return math.inf
        due = min(self.membership.next_wakeup, self._monitoring.next_wakeup, self._downing.next_wakeup)
        return due if self._doubt is None else min(due, self._doubt.ask_at)

    def _expect(self) -> None:
        """The task is about to sleep: this node is late if it has not run again by then."""
        self._expected = max(self._now(), self._next_wakeup()) + self._setup.detector.late_after

    def _on_time(self) -> None:
        self._tick()
        self._expect()

    def _tick(self) -> None:
        """Everything that is due. Neighbours are first: they tell whether this node was itself late, and may not judge."""
        now = self._now()
        if self.membership.ended:
            return
        self._feed(self._monitoring.tick(now))
        self._look_around(now)
        decision = self._downing.tick(now)
        if decision is not None:
            self._decide(decision)
        self._feed(self.membership.tick(now))
        self._ask_again(now)

    # --- Doubt --------------------------------------------------------------------------------------------------------

    @property
    def in_doubt(self) -> bool:
        """Whether this node may have been removed, as far as it knows, for it was late or finds others silent: what others
        would start when it is removed has to stand still until `sure`."""
        if self._doubt is not None:
            return True
        if self._now() <= self._expected:
            return False
        self._doubt_itself(self._now())
        return self._doubt is not None

    async def sure(self) -> None:
        """Wait until it is known whether this node is a member."""
        while self._doubt is not None:
            await self._doubt.over.wait()

    def _begin_to_doubt(self, now: float) -> None:
        """This node may be out. Where nobody decides on who is down, or nobody else is there, that does no harm."""
        view = self._membership.view if self._membership is not None else None
        if self._doubt is not None or view is None or self._setup.downing is None or self.membership.ended:
            return
        # It may be up without having heard of that, and work for somebody who has.
        up = [m.uid for m in view.members if m.status == MemberStatus.UP or m.uid == self._system.uid]
        if len(up) > 1:
            stable = self._setup.settings.stable_after
            patience = downing.stable_after(len(up)) if stable == "auto" else stable
            self._doubt = Doubt(now, up, patience, self._fresh, self._questions)
            self._clockwork.wake()

    @property
    def _fresh(self) -> float:
        """Answers to what was asked longer ago say nothing of now."""
        return max(self._setup.detector.pause, SLOWEST) + self._setup.detector.heartbeat

    def _look_around(self, now: float) -> None:
        """Doubt when too many neighbours are silent; if nothing comes of it, not again before they have been heard."""
        if not self._monitoring.out_of_touch(now, self._fresh + self._setup.detector.heartbeat):
            self._resigned = False
        elif not self._resigned and now > self._sure_at + self._fresh:
            self._begin_to_doubt(now)

    def _doubt_itself(self, now: float) -> None:
        """This node was late: whether it is out, all that were up are asked."""
        self._begin_to_doubt(now)
        self._ask_again(now)

    def _ask_again(self, now: float) -> None:
        doubt = self._doubt
        if doubt is not None and now >= doubt.ask_at:
            if now >= doubt.until:
                self._resigned = True
                self._end_doubt()
                return
            for uid in doubt.ask(now):
                if uid != self._system.uid:
                    self._send_to_member(uid, doubt.ping)

    def _confirm(self, decision: downing.Decision) -> None:
        """Others are to be down, and this node goes on: with those that it counts on, if they answer."""
        now = self._now()
        self._begin_to_doubt(now)
        if self._doubt is None:
            self._apply(decision.down, decision.why)
            return
        self._pending = decision
        self._doubt.decide(now, decision.down)
        self._doubt_less()
        self._ask_again(now)

    def _doubt_less(self) -> None:
        if self._doubt is not None and self._doubt.resolved(self._now()):
            self._sure_at = self._now()
            self._end_doubt()

    def _end_doubt(self) -> None:
        """What was to be decided is: enough have answered, or whoever is silent was given his time."""
        if self._pending is not None:
            self._apply(self._pending.down, self._pending.why)
        self._be_sure()

    def _be_sure(self) -> None:
        doubt, self._doubt, self._pending = self._doubt, None, None
        if doubt is not None:
            doubt.over.set()

    # --- What comes in ------------------------------------------------------------------------------------------------

    def on_frame(self, connection: Connection, body: memoryview) -> None:
        """What another node says about membership.

        Raises:
            ProtocolError: it is nothing of that kind, or a client says it.
        """
        of_node(connection)
        message = speech.unpack(body)
        peer = connection.link.peer
        if self._membership is None:
            return
        if isinstance(message, speech.MONITORING):
            self._hear_answer(peer.uid, message)
            self._feed(self._monitoring.on_message(self._now(), peer.uid, message))
        else:
            if self._membership.alone:
                self._membership.hosting = not self._system.hosts_nothing
            self._feed(self._membership.receive(self._now(), Sender(peer.uid, (peer.host, peer.port)), message))

    def _hear_answer(self, uid: int, message: object) -> None:
        if self._doubt is not None:
            self._doubt.answered(uid, message)
            self._doubt_less()

    # --- What is to be done -------------------------------------------------------------------------------------------

    def _feed(self, wanted: Iterable[Effect]) -> None:
        """Do what a machine wants; what follows from that comes after it."""
        self._todo.extend(wanted)
        if self._feeding:
            return
        self._feeding = True
        try:
            while self._todo:
                self._perform(self._todo.popleft())
        finally:
            self._feeding = False
            self._todo.clear()
        self._clockwork.wake()

    def _perform(self, effect: Effect) -> None:
        now = self._now()
        match effect:
            case effects.Send(address, uid, message):
                self._send(address, uid, message)
            case effects.Changed(_, view):
                self._take_in(now, view)
            case effects.Refuted():
                self._todo.extend(self._monitoring.on_refuted_self())
            case effects.Pardoned(uid):
                self._todo.extend(self._monitoring.on_refuted(now, uid))
            case effects.Refused(address, reason):
                self._system.quiet.warning(("joining", *address), "%s:%d does not let this node in: %s", *address, reason)
            case Ended():
                self._todo.clear()
                if effect.left:
                    self._let_go()
                self._on_ended(effect)
                self._be_sure()  # what was hosted has been told to stop
                if effect.left:
                    self._tell(ClusterState())  # a node of no cluster knows of no members
                self._poke()
            case _:
                self._perform_watch(now, effect)

    def _perform_watch(self, now: float, effect: monitoring.Effect) -> None:
        match effect:
            case monitoring.Send(uid, message):
                self._send_to_member(uid, message)
            case monitoring.Accuse(uid):
                self._todo.extend(self.membership.accuse(now, uid))
            case monitoring.Absolve(uid):
                self._todo.extend(self.membership.absolve(now, uid))
            case monitoring.Late(seconds):
                self._system.quiet.warning(
                    ("late",), "%s was late by %.1f s: it judges nobody", self._system.node_id, seconds
                )
                self._downing.excuse(now)
                self._doubt_itself(now)

    def _send(self, address: Address, uid: int, message: Any) -> None:
        """Say something, if there is a connection; what is not said now is said again, or not needed."""
        peer = self._system.peers.known(*address)
        connection = peer.connection if peer is not None else None
        if connection is None or (uid and uid != connection.link.peer.uid):
            return
        body = speech.pack(message)
        try:
            if len(body) < connection.link.session.max_frame:
                connection.link.write_control(Kind.MEMBERSHIP, body)
            else:
                connection.link.write(Kind.VIEW, body)
            self._messages += 1
            self._bytes += len(body)
        except (LinkClosedError, LinkFullError):
            self._system.quiet.warning(
                ("full", *address), "membership of %s:%d: the queue to it is full, or closed", *address
            )
        except MessageTooLargeError as error:
            self._system.quiet.warning(
                ("large",), "%s cannot tell the members what it knows: %s", self._system.node_id, error
            )

    def _send_to_member(self, uid: int, message: Any) -> None:
        member = self.membership.view.member(uid) if self.membership.view is not None else None
        if member is not None:
            self._send(member.address, uid, message)

    def _take_in(self, now: float, view: View | None) -> None:
        """There is another view: tell the other machines, and everybody who listens."""
        members = view.members if view is not None else ()
        watched = [m.uid for m in members if m.uid != self._system.uid and m.status < MemberStatus.EXITING]
        self._todo.extend(self._monitoring.set_members(now, watched))
        if view is not None:
            self._downing.observe(now, Situation(self._system.uid, view.members, unreachable(view), observations(view)))
            if self._pending is not None and not self._downing.decided and self._doubt is not None:
                self._pending = None  # it is another situation now
                self._doubt.decide(now, ())
            if self._doubt is not None and self._pending is None:
                self._doubt.settle(now, [m.uid for m in members if m.status < MemberStatus.DOWN])
                self._doubt_less()
        state = state_of(view, self._system.uid)
        self._stay_in_touch(state)  # first, for whoever hears of a member may send it something
        self._tell(state)

    def _tell(self, state: ClusterState) -> None:
        old, self.state = self.state, state
        self._poke()
        if state == old:
            return
        if state.members:  # else this node is out, and knows no more
            for member in old.members:
                if all(member.uid != each.uid for each in state.members):
                    self._system.member_removed(member)
        for event, fields in between(old, state):
            self._system.publish(event, *fields)
        self._system.cluster_changed()

    def _poke(self) -> None:
        self.changed.set()
        self.changed = trio.Event()

    def _decide(self, decision: downing.Decision) -> None:
        if decision.ask_lease:
            self._system.start_service(partial(self._ask_lease, decision, self.state.unreachable), "lease")
        elif self._system.uid in decision.down:
            self._apply(decision.down, decision.why)
        elif decision.down:  # else the strategy leaves it to somebody
            self._confirm(decision)

    def _apply(self, uids: tuple[int, ...], why: str) -> None:
        if uids:
            names = ", ".join(str(member) for member in self.state.members if member.uid in uids)
            self._system.log.warning("%s decides that it is over with %s: %s", self._system.node_id, names, why)
            self.down(uids, why)

    async def _ask_lease(self, decision: downing.Decision, silent: tuple[Member, ...]) -> None:
        """Ask a third party who of two sides stays; as long as it is those two that cannot reach each other."""
        strategy, start = self._setup.downing, self._membership
        await trio.sleep(decision.delay)
        granted = False
        if isinstance(strategy, downing.KeepLease):
            with trio.move_on_after(LEASE_TIMEOUT):
                try:
                    granted = await strategy.ask(decision.ask_lease)
                except Exception as error:  # noqa: BLE001 - whatever the program's own function raises is a refusal
                    log_failure(self._system.log, error, "%s cannot ask for the lease", self._system.node_id)
        if self._membership is start and self.state.unreachable == silent:
            down = decision.down if granted else decision.otherwise
            self._apply(down, decision.why)
            if self._doubt is not None:
                self._doubt.decide(self._now(), down)
                self._doubt_less()

    def _let_go(self) -> None:
        """This node has left: nobody is to be dialled any more."""
        for address in self._wanted:
            self._system.peers.at(*address).stay(wanted=False, member=False)
        self._wanted = ()

    def _stay_in_touch(self, state: ClusterState) -> None:
        """Have a connection to every member, and look for one to every address where there may be members."""
        system = self._system
        wanted = tuple(address for address in self.membership.addresses if not system.lives_at(*address))
        members = {member.address for member in state.members}
        for address in (*self._wanted, *wanted):
            system.peers.at(*address).stay(wanted=address in wanted, member=address in members)
        self._wanted = wanted
