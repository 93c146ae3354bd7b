"""A cluster of monitoring machines alone, on a virtual clock: no Trio, no sockets, just a heap of what comes when.

Frames have a delay each of up to ``jitter`` seconds, and keep their order between two nodes, as on a connection. A node may
crash (it is silent from then on), or pause: what comes meanwhile is handled when it wakes, in a batch, before or after its
own clockwork, as chance has it. Paths may be cut, each direction by itself.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Iterable

from casty_trio.model.detection import DetectorSettings
from casty_trio.protocol.monitoring import Absolve, Accuse, Effect, Late, Message, Monitoring, Send

DEFAULTS = DetectorSettings()


class Cluster:
    """Nodes with the uids from 1 on, which all know each other."""

    def __init__(self, nodes: int, seed: int, *, jitter: float = 0.2, settings: DetectorSettings = DEFAULTS) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self.jitter = jitter
        self.messages = 0
        self.said: list[tuple[float, int, Accuse | Absolve | Late]] = []
        """What was said of others, and of itself: when, and by whom."""
        self.nodes = {uid: Monitoring(uid, settings, random.Random(f"{seed}/{uid}")) for uid in range(1, nodes + 1)}
        self.crashed: dict[int, float] = {}
        self.cut: set[tuple[int, int]] = set()
        self._events: list[tuple[float, int, int, int, Message | None]] = []
        self._order = 0
        self._wakeups = dict.fromkeys(self.nodes, math.inf)
        self._clear = {(one, other): 0.0 for one in self.nodes for other in self.nodes}
        self._paused: dict[int, list[tuple[int, Message]]] = {}
        for uid, node in self.nodes.items():
            self.now = self.rng.random()
            self.perform(uid, node.set_members(self.now, [*self.nodes]))
        self.now = 0.0

    def push(self, moment: float, uid: int, sender: int, message: Message | None) -> None:
        self._order += 1
        heapq.heappush(self._events, (moment, self._order, uid, sender, message))

    def perform(self, uid: int, effects: Iterable[Effect]) -> None:
        """Do what a node wants, and see when it wants to be woken."""
        for effect in effects:
            if not isinstance(effect, Send):
                self.said.append((self.now, uid, effect))
            elif (uid, effect.uid) not in self.cut:
                arrival = max(self.now + self.rng.random() * self.jitter, self._clear[uid, effect.uid])
                self._clear[uid, effect.uid] = arrival
                self.push(arrival, effect.uid, uid, effect.message)
        wakeup = self.nodes[uid].next_wakeup
        if wakeup != self._wakeups[uid]:
            self._wakeups[uid] = wakeup
            if wakeup < math.inf:
                self.push(wakeup, uid, 0, None)

    def run(self, until: float) -> None:
        """Let time pass."""
        events, crashed, paused, wakeups = self._events, self.crashed, self._paused, self._wakeups
        while events and events[0][0] <= until:
            self.now, _, uid, sender, message = heapq.heappop(events)
            if uid in crashed:
                continue
            if uid in paused:
                if message is not None:
                    paused[uid].append((sender, message))
            elif message is not None:
                self.messages += 1
                self.perform(uid, self.nodes[uid].on_message(self.now, sender, message))
            elif self.now == wakeups[uid]:
                wakeups[uid] = math.nan
                self.perform(uid, self.nodes[uid].tick(self.now))
        self.now = until

    def crash(self, uid: int) -> None:
        """End a node at once; what it sent still arrives."""
        self.crashed[uid] = self.now

    def pause(self, uid: int) -> None:
        """Stop a node where it is."""
        self._paused[uid] = []

    def resume(self, uid: int) -> None:
        """Let it go on: what came meanwhile is there at once, and so is its clockwork, in either order."""
        mail = self._paused.pop(uid)
        node = self.nodes[uid]
        steps: list[Callable[[], list[Effect]]] = [
            lambda sender=sender, message=message: node.on_message(self.now, sender, message)  # type: ignore[misc]
            for sender, message in mail
        ]
        steps.insert(self.rng.choice([0, len(steps)]), lambda: node.tick(self.now) if node.next_wakeup <= self.now else [])
        for step in steps:
            self.perform(uid, step())

    def accusations(self) -> list[tuple[float, int, int]]:
        """When, by whom, and of whom."""
        return [(moment, uid, effect.uid) for moment, uid, effect in self.said if isinstance(effect, Accuse)]
