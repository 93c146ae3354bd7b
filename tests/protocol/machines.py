"""Whole clusters of membership machines without Trio: a queue of messages, a clock, and chance from a seed."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from casty_trio.model.cluster_settings import ClusterSettings
from casty_trio.model.member import Member, MemberStatus
from casty_trio.protocol.effects import Changed, Effect, Ended, Send, Sender
from casty_trio.protocol.members import View, converged, digest, leader
from casty_trio.protocol.membership import Membership

Address = tuple[str, int]
HOST = "10.0.0.1"


def address(number: int) -> Address:
    return HOST, 1_000 + number


@dataclass
class Node:
    """One start of a node, with what its machine has wanted beside messages."""

    membership: Membership
    uid: int
    address: Address
    effects: list[Effect] = field(default_factory=list)
    alive: bool = True

    @property
    def view(self) -> View | None:
        return self.membership.view

    @property
    def ended(self) -> Ended | None:
        return next((effect for effect in self.effects if isinstance(effect, Ended)), None)

    def status(self) -> MemberStatus | None:
        member = self.view.member(self.uid) if self.view is not None else None
        return member.status if member is not None else None


class Machines:
    """Nodes that talk over a network with delays, losses and cuts.

    Parameters:
        seed: fixes everything.
        delay: how long messages take, from and to, in seconds.
        loss: how many of them are lost, 0 to 1.
    """

    def __init__(self, seed: int, delay: tuple[float, float] = (0.001, 0.01), loss: float = 0.0) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self.delay, self.loss = delay, loss
        self.nodes: dict[Address, Node] = {}
        self.watch: Callable[[Node, Effect], None] = lambda node, effect: None
        self.sent = self.sent_bytes = 0
        self._cut: set[tuple[Address, Address]] = set()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._count = count()
        self._uids = count(1)

    def start(
        self,
        number: int,
        seeds: Iterable[int] = (),
        *,
        contacts: Iterable[int] = (),
        settings: ClusterSettings | None = None,
        node_id: str = "",
        uid: int = 0,
    ) -> Node:
        """Start a node now."""
        me = Member(uid or next(self._uids) * 1_000 + number, *address(number), node_id or f"node-{number}")
        membership = Membership(
            me,
            [address(each) for each in seeds],
            [address(each) for each in contacts],
            settings or ClusterSettings(),
            random.Random(self.rng.random()),
            self.now,
        )
        node = self.nodes[me.address] = Node(membership, me.uid, me.address)
        self._wake(node)
        return node

    def start_at(self, when: float, number: int, seeds: Iterable[int]) -> None:
        """Start a node at a moment."""
        wanted = list(seeds)

        def begin() -> None:
            self.start(number, wanted)

        self._at(when, begin)

    def crash(self, number: int) -> None:
        """End a node without a word."""
        self.nodes.pop(address(number)).alive = False

    def cut(self, one: Iterable[int], other: Iterable[int]) -> None:
        """Let nothing pass between two groups."""
        for a in one:
            for b in other:
                self._cut |= {(address(a), address(b)), (address(b), address(a))}

    def heal(self) -> None:
        self._cut.clear()

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass; whether what was waited for came about."""
        end = self.now + seconds
        while not until():
            if not self._queue or self._queue[0][0] > end:
                self.now = end
                return until()
            self.now, _, action = heapq.heappop(self._queue)
            action()
        return True

    def do(self, node: Node, effects: Iterable[Effect]) -> None:
        """Perform what a machine wants."""
        for effect in effects:
            if isinstance(effect, Send):
                self._send(node, effect)
            else:
                node.effects.append(effect)
            self.watch(node, effect)
        self._wake(node)

    def feed(self, number: int, step: Callable[[Membership, float], list[Effect]]) -> None:
        """Tell a node something that is no message."""
        node = self.nodes[address(number)]
        self.do(node, step(node.membership, self.now))

    def agreed(self, *numbers: int) -> bool:
        """Whether exactly these nodes are up, and all of them know the same and know that they do."""
        nodes = [self.nodes.get(address(number)) for number in numbers]
        views = [node.view for node in nodes if node is not None and node.view is not None]
        if len(views) < len(numbers) or len({digest(view) for view in views}) > 1:
            return False
        up = [member.address for member in views[0].members if member.status == MemberStatus.UP]
        good = sorted(up) == sorted(map(address, numbers)) and len(views[0].members) == len(numbers)
        return good and all(converged(view) for view in views)

    def leaders(self) -> set[Address]:
        """Whom the nodes that are up take for the leader."""
        found: set[Address] = set()
        for node in self.nodes.values():
            if node.view is not None and node.status() == MemberStatus.UP:
                head = leader(node.view, node.uid)
                if head is not None:
                    found.add(head.address)
        return found

    def _send(self, node: Node, send: Send) -> None:
        self.sent += 1
        if (node.address, send.address) in self._cut or self.rng.random() < self.loss:
            return
        message: Any = send.message
        sender = Sender(node.uid, node.address)

        def arrive() -> None:
            target = self.nodes.get(send.address)
            if target is not None and send.uid in (0, target.uid) and (node.address, send.address) not in self._cut:
                self.do(target, target.membership.receive(self.now, sender, message))

        self._at(self.now + self.rng.uniform(*self.delay), arrive)

    def _wake(self, node: Node) -> None:
        when = max(node.membership.next_wakeup, self.now)
        if when == float("inf"):
            return

        def tick() -> None:
            if node.alive and node.membership.next_wakeup <= self.now:
                self.do(node, node.membership.tick(self.now))

        self._at(when, tick)

    def _at(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (when, next(self._count), action))


def changes(node: Node) -> list[Changed]:
    return [effect for effect in node.effects if isinstance(effect, Changed)]
