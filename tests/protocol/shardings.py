"""A cluster of shard machines on random FIFO links, with entities that take their time, and all that can happen to it."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from casty_trio.model.allocation import AllocationStrategy, LeastShards
from casty_trio.protocol import coordinator as coordinating, homes as homing
from casty_trio.protocol.coordinator import Candidate, Coordinator, Timing
from casty_trio.protocol.homes import Homes, Source

Mail = tuple[int, int]
"""Who sent it, and the number."""

UP, LEAVING, DOWN = "up", "leaving", "down"


@dataclass
class Peer:
    """One node."""

    uid: int
    homes: Homes
    coordinator: Coordinator | None = None
    view: int = 0
    alive: bool = True
    open: bool = True
    queues: dict[int, deque[Mail]] = field(default_factory=dict)  # of entities that run, by shard
    draining: dict[int, None] = field(default_factory=dict)
    kept: dict[int, list[Mail]] = field(default_factory=dict)
    held: dict[int, deque[Mail]] = field(default_factory=dict)
    came: list[Mail] = field(default_factory=list)
    sent: dict[int, int] = field(default_factory=dict)
    unsent: dict[int, list[tuple[int, Mail]]] = field(default_factory=dict)  # to nodes that cannot be reached, by node


class Cluster:
    """Nodes, what is on the way between them, and what the entities have handled."""

    def __init__(self, rng: random.Random, shards: int = 4, strategy: AllocationStrategy | None = None) -> None:
        self.rng = rng
        self.shards = shards
        self.strategy = strategy or LeastShards()
        self.now = 0.0
        self.nodes: dict[int, Peer] = {}
        self.views: list[tuple[tuple[int, str], ...]] = [()]
        self.lanes: dict[tuple[int, int, str], deque[Any]] = {}
        self.handled: dict[tuple[int, int], list[int]] = {}  # by shard and sender
        self.lost = 0
        self.moved = 0
        self.called_off = 0
        self.strays = 0
        self.gains: dict[int, tuple[int, int, int]] = {}
        self.uids = 0

    # --- Members ------------------------------------------------------------------------------------------------------

    def join(self, *, hosts: bool = True) -> Peer:
        self.uids += 1
        node = Peer(self.uids, Homes(self.uids, self.shards, hosts=hosts))
        self.nodes[node.uid] = node
        self.views.append((*self.views[-1], (node.uid, UP)))
        return node

    def status(self, uid: int, status: str) -> None:
        self.views.append(tuple((each, status if each == uid else old) for each, old in self.views[-1]))

    def remove(self, uid: int) -> None:
        self.views.append(tuple(pair for pair in self.views[-1] if pair[0] != uid))

    def crash(self, uid: int) -> None:
        node = self.nodes[uid]
        node.alive = False
        self.lost += sum(map(len, node.held.values())) + sum(map(len, node.queues.values()))
        for lane in list(self.lanes):
            if lane[1] == uid:
                del self.lanes[lane]
        self.status(uid, DOWN)
        self.remove(uid)

    def shut(self, node: Peer) -> None:
        """The type ends on a node that goes on, with all its entities."""
        node.open = False
        self.lost += sum(map(len, node.queues.values())) + sum(map(len, node.held.values()))
        for mails in (node.queues, node.held, node.kept, node.draining):
            mails.clear()
        self.do(node, node.homes.close(self.now))

    def reopen(self, node: Peer) -> None:
        """It begins there again."""
        node.open = True
        self.do(node, node.homes.reopen(self.now, hosts=True))

    def with_type(self) -> list[Peer]:
        return [node for node in self.living() if node.open]

    def living(self) -> list[Peer]:
        return [node for node in self.nodes.values() if node.alive]

    def look(self, node: Peer) -> None:
        """A node hears of the next change."""
        if node.view + 1 >= len(self.views):
            return
        node.view += 1
        members = self.views[node.view]
        if node.uid not in dict(members):
            return
        for lane in list(self.lanes):
            if lane[1] == node.uid and lane[0] not in dict(members) and not self.nodes[lane[0]].alive:
                del self.lanes[lane]
        for uid in [uid for uid in node.unsent if uid not in dict(members)]:
            self.take_back(node, uid, node.unsent.pop(uid))
        up = [uid for uid, status in members if status == UP]
        host = up[0] if up else 0
        if host == node.uid and node.coordinator is None:
            node.coordinator = Coordinator(node.uid, self.shards, "", self.strategy, Timing(0.5, 6.0, 1.0, stay=0.0))
        elif host != node.uid:
            node.coordinator = None
        if node.coordinator is not None:
            candidates = [Candidate(uid, f"node-{uid}", status == UP) for uid, status in members]
            silent = any(status == DOWN for _, status in members)
            self.do(node, node.coordinator.set_members(self.now, candidates, unreachable=silent))
        self.do(node, node.homes.set_members(self.now, [uid for uid, _ in members], host))

    # --- Messages -----------------------------------------------------------------------------------------------------

    def put(self, sender: int, receiver: int, lane: str, what: Any) -> None:
        if self.nodes[receiver].alive:
            self.lanes.setdefault((sender, receiver, lane), deque()).append(what)

    def tell(self, node: Peer, shard: int) -> None:
        node.sent[shard] = number = node.sent.get(shard, 0) + 1
        self.route(node, shard, (node.uid, number))

    def route(self, node: Peer, shard: int, mail: Mail) -> None:
        where = node.homes.routes[shard]
        if not node.open:
            self.lost += 1
        elif where == 0:
            node.held.setdefault(shard, deque()).append(mail)
        elif where == node.uid:
            assert node.homes.takes(shard), "routed to itself, and not hosted"
            node.queues[shard].append(mail)
        elif not self.nodes[where].alive:
            node.unsent.setdefault(where, []).append((shard, mail))
        else:
            self.put(node.uid, where, "user", ("mail", shard, mail))

    def take_back(self, node: Peer, uid: int, mails: list[tuple[int, Mail]]) -> None:
        """What waited for a connection to a node that is gone goes ahead of what was held since."""
        held, node.held = node.held, {}
        for shard, mail in mails:
            if node.homes.too_late(shard, uid):
                self.lost += 1
            else:
                node.held.setdefault(shard, deque()).append(mail)
        for shard, since in held.items():
            node.held.setdefault(shard, deque()).extend(since)
        for shard in list(node.held):
            where = node.homes.routes[shard]
            if where and where in dict(self.views[node.view]):
                for mail in list(node.held.pop(shard)):
                    self.route(node, shard, mail)

    def arrive(self, lane: tuple[int, int, str]) -> None:
        what = self.lanes[lane].popleft()
        if not self.lanes[lane]:
            del self.lanes[lane]
        node = self.nodes[lane[1]]
        match what:
            case ("word", word):
                if node.coordinator is not None:
                    self.do(node, node.coordinator.receive(self.now, lane[0], word))
                self.do(node, node.homes.receive(self.now, lane[0], word))
            case ("mail", shard, mail):
                if node.homes.takes(shard):
                    node.queues[shard].append(mail)
                else:
                    self.strays += (
                        1  # the type has ended there, and may have begun again: in order is what comes, or not at all
                    )
            case ("marker", shard, epoch):
                self.do(node, node.homes.marker(self.now, lane[0], shard, epoch))
            case ("handover", shard, epoch, mails):
                node.came = list(mails)
                self.do(node, node.homes.handover(self.now, lane[0], shard, epoch))

    # --- Effects ------------------------------------------------------------------------------------------------------

    def do(self, node: Peer, effects: Any) -> None:  # noqa: C901 - one case for each effect
        for effect in effects:
            match effect:
                case homing.Say(uid, word):
                    self.put(node.uid, uid, "control", ("word", word)) if uid in self.nodes else None
                case homing.Mark(uid, shard, epoch):
                    self.put(node.uid, uid, "user", ("marker", shard, epoch))
                case homing.Hold():
                    pass
                case homing.Open(shard, _):
                    for mail in list(node.held.pop(shard, ())):
                        self.route(node, shard, mail)
                case homing.Gain(shard, epoch, source):
                    self.gain(node, shard, epoch, source)
                case homing.Drain(shard):
                    node.draining[shard] = None
                case homing.Hand(shard, uid, epoch):
                    self.put(node.uid, uid, "user", ("handover", shard, epoch, tuple(node.kept.get(shard, ()))))
                case homing.Forget(shard):
                    node.kept.pop(shard, None)
                case homing.Drop(shard):
                    raise AssertionError(f"{node.uid} had shard {shard}, and so has another")
                case coordinating.Ended(_, owner, target, _):
                    self.moved += owner == target
                    self.called_off += owner != target
                case _:
                    pass

    def gain(self, node: Peer, shard: int, epoch: Any, source: int) -> None:
        others = [other.uid for other in self.living() if other is not node and shard in other.queues]
        assert not others, f"shard {shard} runs on {others}, and now on {node.uid}"
        assert epoch > self.gains.get(shard, (0, 0, 0)), "epochs grow"
        self.gains[shard] = epoch
        first = {Source.NONE: [], Source.KEPT: node.kept.get(shard, []), Source.SENT: node.came}[source]
        if source == Source.NONE:
            self.lost += len(node.kept.get(shard, ()))
        node.kept.pop(shard, None)
        node.queues[shard] = deque(first)

    # --- Time ---------------------------------------------------------------------------------------------------------

    def work(self, node: Peer) -> None:
        """An entity handles a message, or one that drains is done, or out of time."""
        running = [shard for shard in node.queues if node.queues[shard] or shard in node.draining]
        if not running:
            return
        shard = self.rng.choice(running)
        queue = node.queues[shard]
        if shard in node.draining and (not queue or self.rng.random() < 0.2):
            node.kept[shard] = list(queue)
            del node.queues[shard], node.draining[shard]
            self.do(node, node.homes.drained(self.now, shard))
            return
        sender, number = queue.popleft()
        log = self.handled.setdefault((shard, sender), [])
        assert not log or log[-1] < number, f"{number} of {sender} after {log[-1]}"
        log.append(number)

    def tick(self, node: Peer) -> None:
        if node.homes.next_wakeup <= self.now:
            self.do(node, node.homes.tick(self.now))
        if node.coordinator is not None and node.coordinator.next_wakeup <= self.now:
            self.do(node, node.coordinator.tick(self.now))

    def step(self) -> None:
        """Something happens."""
        node = self.rng.choice(self.living())
        match self.rng.choices(("arrive", "work", "look", "time"), (12, 4, 1, 1))[0]:
            case "arrive":
                lanes = sorted(self.lanes)
                if lanes:
                    self.arrive(self.rng.choice(lanes))
            case "work":
                self.work(node)
            case "look":
                self.look(node)
            case _:
                self.now += self.rng.uniform(0.0, 0.2)
                for each in self.living():
                    self.tick(each)

    def cut(self) -> None:
        """A connection breaks, with all that was on it."""
        if self.lanes:
            one, other, _ = self.rng.choice(sorted(self.lanes))
            for lane in list(self.lanes):
                if set(lane[:2]) == {one, other} and one != other:
                    self.lost += sum(what[0] == "mail" for what in self.lanes[lane])
                    del self.lanes[lane]

    def settle(self, steps: int = 4000) -> None:
        """Let everything come to rest."""
        for _ in range(steps):
            for node in self.living():
                self.look(node)
                for _ in range(3):
                    self.work(node)
            for lane in sorted(self.lanes):
                while lane in self.lanes:
                    self.arrive(lane)
            self.now += 0.1
            for node in self.living():
                self.tick(node)
            if self.at_rest():
                return
        raise AssertionError(f"no rest: {self.explain()}")

    def at_rest(self) -> bool:
        living = self.living()
        routes = {tuple(node.homes.routes) for node in living if node.open}
        coordinators = [node.coordinator for node in living if node.coordinator is not None]
        quiet = not self.lanes and all(not queue for node in living for queue in node.queues.values())
        seen = all(node.view == len(self.views) - 1 for node in living)
        if not (seen and quiet and len(routes) == 1 and len(coordinators) == 1):
            return False
        loads = [len(node.queues) for node in self.with_type() if node.homes.hosts]
        even = max(loads) - min(loads) <= 1
        return even and all(self.nodes[uid].alive if uid else False for uid in routes.pop())

    def explain(self) -> str:
        found = [f"{n.uid}: {n.homes.routes} term {n.homes.term} own {n.homes._own}" for n in self.living()]
        for node in self.living():
            if node.coordinator is not None:
                found += [f"{node.uid} coordinates {node.coordinator.active} {node.coordinator.entries}"]
        return "\n".join(found)
