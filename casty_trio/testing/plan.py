"""A plan: how large a cluster is, what befalls it when, and what it is built like; and where plans come from. Floor F6.

A plan is one value, with a repr that makes it again. A `Swarm` draws one from a seed: each kind of fault is in it or not,
by a coin of the seed's, so that seeds differ in what they mix and not only in when.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from casty_trio.model.checks import check_count, check_number, check_seconds, refuse
from casty_trio.model.settings import LinkSettings
from casty_trio.testing import faults
from casty_trio.testing.faults import KINDS, Crash, Kill, Step
from casty_trio.testing.handoffs import HAND_OFFS, CrashAtHandOff
from casty_trio.testing.pipe import Conditions

__all__ = ["Knobs", "Plan", "Swarm"]

FORMING: Final = 10.0
"""No fault comes earlier, in seconds: a cluster has to be there first."""


@dataclass(frozen=True)
class Knobs:
    """What a cluster and its network are built like.

    Parameters:
        delay: the least and the most seconds that something is on its way, when nothing is wrong.
        cut: how often a receive gets only a part of what has arrived.
        window: bytes on their way on one connection.
        max_frame: the largest frame between nodes.
        queue: bytes that may wait for a connection; ``max_message`` is a quarter of it, and ``max_frame`` at most as much.
        stagger: how many seconds lie between the starts of two nodes at most.
    """

    delay: tuple[float, float] = (0.0001, 0.002)
    cut: float = 0.25
    window: int = 65_536
    max_frame: int = 65_536
    queue: int = 1 << 20
    stagger: float = 0.0

    @property
    def conditions(self) -> Conditions:
        """The network when nothing is wrong."""
        return Conditions(delay=self.delay, cut=self.cut, window=self.window)

    def link(self, **settings: Any) -> LinkSettings:
        """Settings for the connections of nodes.

        Parameters:
            settings: those that are not the plan's business, such as ``gone_after``.
        """
        return LinkSettings(max_frame=self.max_frame, max_message=self.queue // 4, queue=self.queue, **settings)


@dataclass(frozen=True)
class Plan:
    """What happens in one run.

    Parameters:
        seed: fixes all that the plan does not.
        nodes: how many there are; they are called ``node-1`` and so on.
        steps: what befalls them, in any order.
        length: for how many seconds faults may come; then everything is healed.
        calm: how many seconds the cluster is watched after that, at least.
        knobs: what the cluster is built like.

    Raises:
        SettingsError: a value that cannot be.

    Example::

        Plan(seed=7, nodes=3, steps=(Crash(at=20, node="node-2", seconds=5), Pause(at=30, node="node-1", seconds=10)))
    """

    seed: int
    nodes: int = 5
    steps: tuple[Step, ...] = ()
    length: float = 60.0
    calm: float = 30.0
    knobs: Knobs = Knobs()

    def __post_init__(self) -> None:
        check_count("Plan.nodes", self.nodes, 1)
        check_seconds("Plan.length", self.length, finite=True)
        check_seconds("Plan.calm", self.calm, finite=True)
        for step in self.steps:
            if not 0 <= step.at <= self.length:
                refuse(f"{step.kind}.at", step.at, f"a time in the plan, 0 to {self.length:g} seconds")

    @property
    def names(self) -> tuple[str, ...]:
        """The nodes."""
        return tuple(f"node-{number}" for number in range(1, self.nodes + 1))

    def __str__(self) -> str:
        head = f"Plan(seed={self.seed}, nodes={self.nodes}, length={self.length:g}, calm={self.calm:g}, knobs={self.knobs}"
        return "\n".join([f"{head}, steps=(", *(f"    {step}," for step in self.steps), "))"])


@dataclass(frozen=True)
class Swarm:
    """Draws plans.

    Parameters:
        kinds: the kinds of faults; each is in a plan with ``chance``.
        chance: as said.
        nodes: the smallest and the largest cluster.
        length: the shortest and the longest time of faults, in seconds.
        calm: how long the cluster is watched after it.
        pace: the mean number of seconds from a fault to the next, at least and at most.
        longest: the longest partition, pause or absence, in seconds.
        hand_offs: how often, at least and at most, a node is to be crashed in the middle of a shard's hand-off or of a
            take-over; never where ``kinds`` has no crashes. Without sharded types nothing comes of it.

    Example:
        >>> Swarm().plan(7) == Swarm().plan(7)
        True
    """

    kinds: tuple[type[Step], ...] = KINDS
    chance: float = 0.5
    nodes: tuple[int, int] = (3, 7)
    length: tuple[float, float] = (60.0, 120.0)
    calm: float = 30.0
    pace: tuple[float, float] = (1.5, 8.0)
    longest: float = 20.0
    hand_offs: tuple[int, int] = (1, 3)

    def __post_init__(self) -> None:
        if not self.kinds or any(kind not in KINDS for kind in self.kinds):
            refuse("Swarm.kinds", self.kinds, "some of casty_trio.testing.faults.KINDS")
        check_number("Swarm.chance", self.chance, "a number from 0 to 1", 0, 1)
        check_seconds("Swarm.longest", self.longest, positive=True, finite=True)
        check_count("Swarm.hand_offs", self.hand_offs[0], 0)
        check_count("Swarm.hand_offs", self.hand_offs[1], self.hand_offs[0])

    def plan(self, seed: int) -> Plan:
        """The plan of a seed."""
        rng = random.Random(f"{seed}:plan")
        nodes = rng.randint(*self.nodes)
        length = round(rng.uniform(*self.length), 1)
        draw = _Drawing(rng, tuple(f"node-{number}" for number in range(1, nodes + 1)), self.longest)
        kinds = [kind for kind in self.kinds if rng.random() < self.chance] or [rng.choice(self.kinds)]
        pace, now, steps = rng.uniform(*self.pace), FORMING, list[Step]()
        while (now := round(now + rng.expovariate(1 / pace), 2)) < length:
            steps.append(draw.step(rng.choice(kinds), now))
        if Crash in self.kinds or Kill in self.kinds:
            steps += self._draw_hand_offs(random.Random(f"{seed}:hand-offs"), length)
            steps.sort(key=lambda step: step.at)
        return Plan(seed, nodes, tuple(steps), length, self.calm, _draw_knobs(rng))

    def _draw_hand_offs(self, rng: random.Random, length: float) -> list[Step]:
        """Crashes that wait for their moment; from the second half on there might be no time for one to come."""
        found: list[Step] = []
        for _ in range(rng.randint(*self.hand_offs)):
            (step, part), at = rng.choice(HAND_OFFS), round(rng.uniform(FORMING, max(FORMING, length / 2)), 2)
            seconds = round(0.1 + (self.longest - 0.1) * rng.random() ** 2, 2)
            found.append(CrashAtHandOff(min(at, length), step, part, seconds, reset=rng.random() < 0.5))
        return found


def _draw_knobs(rng: random.Random) -> Knobs:
    slowest = rng.choice((0.002, 0.002, 0.02, 0.1))
    return Knobs(
        delay=(0.0001, slowest),
        cut=rng.choice((0.0, 0.25, 0.5)),
        window=rng.choice((4_096, 65_536, 65_536)),
        max_frame=rng.choice((1_024, 65_536, 65_536)),
        queue=rng.choice((1 << 18, 1 << 20)),
        stagger=rng.choice((0.0, 0.0, 0.37, 2.0)),
    )


class _Drawing:
    """Draws steps. At least two nodes are left up, for a load has to come from somewhere."""

    def __init__(self, rng: random.Random, names: tuple[str, ...], longest: float) -> None:
        self._rng, self._names, self._longest = rng, names, longest
        self._away: dict[str, float] = {}  # until when

    def step(self, kind: type[Step], at: float) -> Step:
        makers: dict[type[Step], Callable[[float], Step]] = {
            faults.Crash: lambda at: self._absence(faults.Crash, at),
            faults.Kill: lambda at: self._absence(faults.Kill, at),
            faults.Leave: lambda at: self._absence(faults.Leave, at),
            faults.Pause: lambda at: self._absence(faults.Pause, at),
            faults.Restart: lambda at: faults.Restart(at, self._node()),
            faults.Skew: self._skew,
            faults.Partition: self._partition,
            faults.Isolate: lambda at: faults.Isolate(at, self._node(), self._seconds()),
            faults.OneWay: lambda at: faults.OneWay(at, *self._two(), self._seconds()),
            faults.Stall: lambda at: faults.Stall(at, *self._two(), self._seconds()),
            faults.CutAtByte: lambda at: faults.CutAtByte(
                at, *self._two(), self._rng.choice((0, self._rng.randrange(3_000)))
            ),
            faults.Slow: self._slow,
            faults.SlowReader: self._slow_reader,
            faults.SlowDisk: lambda at: faults.SlowDisk(
                at, self._node(), round(self._rng.uniform(0.1, 2), 2), self._seconds()
            ),
            faults.FillDisk: lambda at: faults.FillDisk(at, self._node(), self._rng.randrange(200), self._seconds()),
            faults.BreakDisk: lambda at: faults.BreakDisk(at, self._node(), self._seconds()),
        }
        return makers[kind](at)

    def _absence(
        self, kind: type[faults.Crash] | type[faults.Kill] | type[faults.Leave] | type[faults.Pause], at: float
    ) -> Step:
        here = [name for name in self._names if self._away.get(name, 0.0) < at]
        if len(here) <= 2:
            return faults.Restart(at, self._node())
        node, seconds = self._rng.choice(here), self._seconds()
        self._away[node] = at + seconds
        return kind(at, node, seconds)

    def _skew(self, at: float) -> Step:
        jump = self._rng.choice((0.0, round(self._rng.uniform(-3_600, 3_600), 1)))
        return faults.Skew(at, self._node(), jump, round(self._rng.uniform(-0.05, 0.05), 3), self._seconds())

    def _partition(self, at: float) -> Step:
        names = self._rng.sample(self._names, len(self._names))
        sides = [names[: (cut := self._rng.randrange(1, len(names)))], names[cut:]]
        if len(sides[1]) > 1 and self._rng.random() < 0.25:
            sides[1:] = [sides[1][: (cut := self._rng.randrange(1, len(sides[1])))], sides[1][cut:]]
        return faults.Partition(at, tuple(tuple(sorted(side)) for side in sides), self._seconds())

    def _slow(self, at: float) -> Step:
        least = round(self._rng.uniform(0.01, 0.5), 3)
        delay = least, round(least + self._rng.uniform(0.0, 0.5), 3)
        return faults.Slow(at, *self._two(), delay, self._rng.choice((8_000.0, 64_000.0, 1e9)), self._seconds())

    def _slow_reader(self, at: float) -> Step:
        window, rate = self._rng.choice((64, 512, 4_096)), self._rng.choice((4_000.0, 20_000.0))
        return faults.SlowReader(at, self._node(), window, rate, self._seconds())

    def _node(self) -> str:
        return self._rng.choice(self._names)

    def _two(self) -> tuple[str, str]:
        one, other = self._rng.sample(self._names, 2)
        return one, other

    def _seconds(self) -> float:
        """Short ones are frequent, the longest rare."""
        return round(0.1 + (self._longest - 0.1) * self._rng.random() ** 2, 2)
