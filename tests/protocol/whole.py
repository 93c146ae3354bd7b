"""Whole members without Trio: membership, watching and downing together, as `casty_trio.cluster.service` puts them together.

Nodes crash, are paused, start again and are cut off; nobody tells the machines: they find out, decide, and join again. What
a connection does is kept: messages between two nodes keep their order, and after a cut it takes a while until they are
connected again. Who is started again, or was declared down, is another member.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from casty_trio.model.cluster_settings import ClusterSettings
from casty_trio.model.detection import DetectorSettings
from casty_trio.model.member import Member, MemberStatus
from casty_trio.protocol import effects, monitoring, speech
from casty_trio.protocol.downing import Downing, KeepMajority, Situation
from casty_trio.protocol.effects import Effect, Ended, Sender
from casty_trio.protocol.members import View, observations, unreachable
from casty_trio.protocol.membership import Membership
from casty_trio.protocol.monitoring import Monitoring
from tests.protocol.machines import Address, Machines, Node, address

RECONNECT: Final = 3.0
"""Within so many seconds after a cut two nodes are connected again; the longest that a dialer waits."""


SETTLED: Final = 8.0
"""Who agrees for so many seconds goes on to: longer than a silence takes to be noticed."""

STEP: Final = 0.1
"""How often is looked whether all agree, in seconds."""


@dataclass
class Whole(Node):
    """One start of a node: its three machines."""

    watch: Monitoring = field(kw_only=True)
    downing: Downing = field(kw_only=True)
    seeds: tuple[Address, ...] = field(kw_only=True)
    todo: deque[Effect | monitoring.Effect] = field(default_factory=deque)
    feeding: bool = False
    wakeup: float = math.inf
    held: list[tuple[Sender, Any]] | None = None
    """What came while it is paused."""

    @property
    def next_wakeup(self) -> float:
        """When any of the machines wants to be woken."""
        if self.membership.ended:
            return math.inf
        return min(self.membership.next_wakeup, self.watch.next_wakeup, self.downing.next_wakeup)


class WholeCluster(Machines):
    """Nodes 1 to ``size`` of one cluster, formed.

    Parameters:
        size: how many nodes.
        seed: fixes everything.
        delay: how long messages take, from and to, in seconds.
    """

    def __init__(self, size: int, seed: int, delay: tuple[float, float] = (0.001, 0.02)) -> None:
        super().__init__(seed, delay)
        self.size = size
        self.crashed: set[int] = set()
        self.rejoined = 0
        self._clear: dict[tuple[Address, Address], float] = {}
        for number in range(1, size + 1):
            self.begin(number)
        assert self.until_agreed(60) < 60, "it forms"

    @property
    def numbers(self) -> list[int]:
        """Who has not crashed."""
        return [number for number in range(1, self.size + 1) if number not in self.crashed]

    def node(self, number: int) -> Whole:
        """The present start of a node."""
        node = self.nodes[address(number)]
        assert isinstance(node, Whole)
        return node

    # --- Life ---------------------------------------------------------------------------------------------------------

    def begin(self, number: int, former: Iterable[Address] = ()) -> None:
        """Start a node, for the first time, again, or as another member that remembers where others were."""
        seeds = tuple(address(each) for each in range(1, min(3, self.size) + 1))
        contacts = tuple(former)
        founders = tuple(dict.fromkeys((*seeds, *contacts)))
        me = Member(next(self._uids) * 1_000 + number, *address(number), f"node-{number}")
        rng = random.Random(self.rng.random())
        membership = Membership(me, founders, contacts, ClusterSettings(), rng, self.now)
        watch = Monitoring(me.uid, DetectorSettings(), rng)
        node = Whole(membership, me.uid, me.address, watch=watch, downing=Downing(KeepMajority()), seeds=seeds)
        self.nodes[me.address] = node
        self.crashed.discard(number)
        self.do(node, membership.tick(self.now))

    def crash(self, number: int) -> None:
        super().crash(number)
        self.crashed.add(number)

    def pause(self, number: int) -> None:
        """Stop a node where it is."""
        self.node(number).held = []

    def resume(self, number: int) -> None:
        """Let it go on: what came meanwhile is there at once, and so is its clockwork, in either order."""
        node = self.node(number)
        held, node.held = node.held or [], None
        first = self.rng.random() < 0.5
        if first:
            self._tick(node)
        for sender, message in held:
            if node.alive:
                self._hear(node, sender, message)
        if not first and node.alive:
            self._tick(node)

    def heal(self) -> None:
        """Let two nodes talk again, each pair as soon as it is connected."""
        pairs = sorted({(min(pair), max(pair)) for pair in self._cut})
        for one, other in pairs:
            self._at(self.now + self.rng.uniform(0, RECONNECT), self._connector(one, other))

    def _connector(self, one: Address, other: Address) -> Any:
        def connect() -> None:
            self._cut -= {(one, other), (other, one)}
            for by, to in ((one, other), (other, one)):
                node, peer = self.nodes.get(by), self.nodes.get(to)
                if node is not None and peer is not None:
                    self.do(node, node.membership.connected(self.now, Sender(peer.uid, peer.address)))

        return connect

    # --- What the service does ----------------------------------------------------------------------------------------

    def do(self, node: Node, wanted: Iterable[Effect | monitoring.Effect]) -> None:
        """What machines want is done in order, and what follows from that comes after it."""
        assert isinstance(node, Whole)
        node.todo.extend(wanted)
        if node.feeding:
            return
        node.feeding = True
        while node.todo:
            self._perform(node, node.todo.popleft())
        node.feeding = False
        self._wake(node)

    def _perform(self, node: Whole, effect: Effect | monitoring.Effect) -> None:
        match effect:
            case effects.Send():
                self._send(node, effect)
            case effects.Changed(_, view):
                self._take_in(node, view)
            case effects.Refuted():
                node.todo.extend(node.watch.on_refuted_self())
            case effects.Pardoned(uid):
                node.todo.extend(node.watch.on_refuted(self.now, uid))
            case Ended():
                self._end(node)
            case _:
                self._perform_watch(node, effect)

    def _perform_watch(self, node: Whole, effect: Effect | monitoring.Effect) -> None:
        match effect:
            case monitoring.Send(uid, message):
                member = node.view.member(uid) if node.view is not None else None
                if member is not None:
                    self._send(node, effects.Send(member.address, uid, message))
            case monitoring.Accuse(uid):
                node.todo.extend(node.membership.accuse(self.now, uid))
            case monitoring.Absolve(uid):
                node.todo.extend(node.membership.absolve(self.now, uid))
            case monitoring.Late():
                node.downing.excuse(self.now)

    def _take_in(self, node: Whole, view: View | None) -> None:
        members = view.members if view is not None else ()
        watched = [m.uid for m in members if m.uid != node.uid and m.status < MemberStatus.EXITING]
        node.todo.extend(node.watch.set_members(self.now, watched))
        if view is not None:
            situation = Situation(node.uid, view.members, unreachable(view), observations(view))
            node.downing.observe(self.now, situation)

    def _end(self, node: Whole) -> None:
        """It was declared down, and joins again."""
        node.todo.clear()
        node.alive = False
        self.rejoined += 1
        self._at(self.now, lambda: self.begin(node.address[1] - 1_000, node.membership.addresses))

    def _tick(self, node: Whole) -> None:
        """Everything that is due; its neighbours first."""
        self.do(node, node.watch.tick(self.now))
        decision = node.downing.tick(self.now)
        if decision is not None:
            self.do(node, node.membership.down(self.now, decision.down, decision.why))
        self.do(node, node.membership.tick(self.now))

    def _hear(self, node: Whole, sender: Sender, message: Any) -> None:
        if isinstance(message, speech.MONITORING):
            self.do(node, node.watch.on_message(self.now, sender.uid, message))
        else:
            self.do(node, node.membership.receive(self.now, sender, message))

    # --- Time, and the network ----------------------------------------------------------------------------------------

    def _send(self, node: Node, send: effects.Send) -> None:
        self.sent += 1
        way = node.address, send.address
        if way in self._cut:
            return
        sender, message = Sender(node.uid, node.address), send.message
        arrival = self._clear[way] = max(self.now + self.rng.uniform(*self.delay), self._clear.get(way, 0.0))

        def arrive() -> None:
            target = self.nodes.get(send.address)
            if not isinstance(target, Whole) or send.uid not in (0, target.uid) or way in self._cut or not target.alive:
                return
            if target.held is not None:
                target.held.append((sender, message))
            else:
                self._hear(target, sender, message)

        self._at(arrival, arrive)

    def _wake(self, node: Node) -> None:
        assert isinstance(node, Whole)
        when = max(node.next_wakeup, self.now)
        if when == node.wakeup or when == math.inf:
            return
        node.wakeup = when

        def tick() -> None:
            if node.wakeup == when:
                node.wakeup = math.inf
                if node.alive and node.held is None:
                    self._tick(node)

        self._at(when, tick)

    def until_agreed(self, most: float, *numbers: int) -> float:
        """How long it takes until all who have not crashed agree that they are the cluster; ``most`` when they do not.

        They also have to go on to: a node may not know yet of what it will have to hear.
        """
        begun = since = self.now
        while self.now - since < SETTLED:
            self.run(STEP)
            if not self.agreed(*(numbers or self.numbers)):
                since = self.now
            if since - begun >= most:
                return most
        return since - begun
