"""A model of nodes that run one singleton: links that keep order and lose words, members that come, go and crash."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from random import Random

from casty_trio.model.member import Member, MemberStatus
from casty_trio.protocol.moving import Word
from casty_trio.protocol.singleton import Effect, HandOn, Phase, Route, Say, Singleton, Start, Stop

MARGIN = 5.0


@dataclass
class Node:
    """One node: its machine, what it has heard of the members, and its actor."""

    machine: Singleton
    alive: bool = True
    view: dict[int, Member] = field(default_factory=dict)
    runs: bool = False
    starting: bool = False
    stopping: bool = False
    route: int = 0


class World:
    """Nodes 1, 2, ... that talk over links which may lose what is on them.

    Attributes:
        nodes: by their uids.
        members: the truth about the cluster, of which the nodes hear one by one.
        now: the time.
    """

    def __init__(self, rng: Random, count: int) -> None:
        self.rng = rng
        self.nodes: dict[int, Node] = {}
        self.members: dict[int, Member] = {}
        self.now = 0.0
        self.links: dict[tuple[int, int], deque[Word]] = {}
        self.broken: set[frozenset[int]] = set()
        self.numbers = 0
        for _ in range(count):
            self.join()

    def join(self) -> None:
        """Another node comes up."""
        self.numbers += 1
        uid = self.numbers
        self.members[uid] = Member(uid, "h", uid, f"n{uid}", status=MemberStatus.UP, up_number=uid)
        self.nodes[uid] = Node(Singleton("boss", uid))

    def set_status(self, uid: int, status: MemberStatus) -> None:
        """A member goes forward."""
        member = self.members[uid]
        self.members[uid] = Member(uid, "h", uid, f"n{uid}", status=status, up_number=member.up_number)

    def hear(self, uid: int) -> None:
        """A node hears what there is of the members; its own start is its first."""
        node = self.nodes[uid]
        node.view = dict(self.members)
        silent = [other for other in self.members if frozenset((uid, other)) in self.broken]
        self.do(uid, node.machine.set_members(self.now, node.view.values(), silent, MARGIN))

    def do(self, uid: int, effects: list[Effect]) -> None:
        """What a machine wants; its actor starts and stops later."""
        node = self.nodes[uid]
        for effect in effects:
            match effect:
                case Say(to, word):
                    if to in self.nodes and self.nodes[to].alive and frozenset((uid, to)) not in self.broken:
                        self.links.setdefault((uid, to), deque()).append(word)
                case Start():
                    node.starting = True
                case Stop():
                    node.stopping, node.starting = True, False
                case Route(to):
                    node.route = to
                case HandOn():
                    assert not node.runs
        self.check()

    def check(self) -> None:
        """S8: never two."""
        running = [uid for uid, node in self.nodes.items() if node.runs and node.alive]
        assert len(running) <= 1, running

    def deliver(self) -> None:
        """A word arrives, from one of the links."""
        busy = sorted(link for link, words in self.links.items() if words)
        if busy:
            source, to = self.rng.choice(busy)
            word = self.links[source, to].popleft()
            if self.nodes[to].alive:
                self.do(to, self.nodes[to].machine.receive(self.now, source, word))

    def act(self, uid: int) -> None:
        """A node's actor starts or stops, if it is to."""
        node = self.nodes[uid]
        if node.starting:
            node.starting, node.runs = False, True
            self.check()
            self.do(uid, node.machine.started(self.now))
        elif node.stopping:
            node.stopping = node.runs = False
            self.do(uid, node.machine.stopped(self.now))

    def tick(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds
        for uid, node in self.nodes.items():
            if node.alive and node.machine.next_wakeup <= self.now:
                self.do(uid, node.machine.tick(self.now))

    def settle(self) -> None:
        """Nothing happens any more but what has to."""
        self.broken.clear()
        for _ in range(60):
            for uid in list(self.nodes):
                if self.nodes[uid].alive and uid in self.members:
                    self.hear(uid)
                    self.act(uid)
            while any(self.links.values()):
                self.deliver()
            for uid in list(self.nodes):
                if self.nodes[uid].alive:
                    self.act(uid)
            self.tick(0.5)

    def hosts(self) -> list[int]:
        """Who runs it."""
        return [uid for uid, node in self.nodes.items() if node.alive and node.machine.phase is Phase.HOSTING]
