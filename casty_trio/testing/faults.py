"""What a plan can do to a cluster: one frozen value for each step. Floor F6.

A step says when, to whom and for how long; a plan is read, kept and shrunk as the values it is made of. Times are virtual
seconds since the bench began. What has no end of its own lasts until the plan heals everything.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Any

from casty_trio.testing.pipe import Conditions
from casty_trio.testing.weather import Undo, Way

if TYPE_CHECKING:
    from casty_trio.testing.handoffs import HandOffs
    from casty_trio.testing.nodes import Nodes
    from casty_trio.testing.weather import Weather

__all__ = [
    "KINDS",
    "BreakDisk",
    "Crash",
    "CutAtByte",
    "FillDisk",
    "Heal",
    "Isolate",
    "Kill",
    "Leave",
    "OneWay",
    "Partition",
    "Pause",
    "Restart",
    "Skew",
    "Slow",
    "SlowDisk",
    "SlowReader",
    "Stage",
    "Stall",
    "Step",
]


@dataclass(frozen=True, slots=True)
class Stage:
    """Where steps act.

    Parameters:
        nodes: the nodes.
        weather: what is wrong between them.
        heal: ends everything that was begun.
        hand_offs: who knows when a shard moves.
    """

    nodes: Nodes
    weather: Weather
    heal: Callable[[], None]
    hand_offs: HandOffs


@dataclass(frozen=True)
class Step(ABC):
    """The base of all steps.

    Parameters:
        at: when.
    """

    at: float

    @property
    def kind(self) -> str:
        """What is counted."""
        return type(self).__name__

    @property
    def lasts(self) -> float:
        """For how many seconds."""
        return float(getattr(self, "seconds", inf))

    @abstractmethod
    def begin(self, stage: Stage) -> Undo | None:
        """Do it, and return what ends it; None when there was nothing to do it to, or not yet."""


def _nothing() -> None:
    """Ends what has no end."""


# --- Nodes -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Crash(Step):
    """The machine of a node is off, without a word, and comes back.

    Parameters:
        node: which.
        seconds: how long it stays away.
    """

    node: str
    seconds: float = inf

    def begin(self, stage: Stage) -> Undo | None:
        return (lambda: stage.nodes.start(self.node)) if stage.nodes.crash(self.node) else None


@dataclass(frozen=True)
class Kill(Step):
    """The process of a node is killed, and started again; its machine answers for it meanwhile, with resets.

    Parameters:
        node: which.
        seconds: how long it stays away.
    """

    node: str
    seconds: float = inf

    def begin(self, stage: Stage) -> Undo | None:
        return (lambda: stage.nodes.start(self.node)) if stage.nodes.crash(self.node, reset=True) else None


@dataclass(frozen=True)
class Restart(Step):
    """A node is killed, and started again at once; one that is down is started.

    Parameters:
        node: which.
    """

    node: str

    def begin(self, stage: Stage) -> Undo | None:
        stage.nodes.crash(self.node, reset=True)
        stage.nodes.start(self.node)
        return _nothing


@dataclass(frozen=True)
class Leave(Step):
    """A node is asked to end by itself, and started again.

    Parameters:
        node: which.
        seconds: how long after it was asked.
    """

    node: str
    seconds: float = inf

    def begin(self, stage: Stage) -> Undo | None:
        return (lambda: stage.nodes.start(self.node)) if stage.nodes.leave(self.node) else None


@dataclass(frozen=True)
class Pause(Step):
    """The process of a node stands still.

    Parameters:
        node: which.
        seconds: how long.
    """

    node: str
    seconds: float = inf

    def begin(self, stage: Stage) -> Undo | None:
        return (lambda: stage.nodes.resume(self.node)) if stage.nodes.pause(self.node) else None


@dataclass(frozen=True)
class Skew(Step):
    """The clocks of a node go wrong.

    Parameters:
        node: which.
        jump: by how many seconds its wall clock jumps.
        drift: how many seconds its clocks gain in each second; only the wall clock jumps, but both drift.
        seconds: how long they drift.
    """

    node: str
    jump: float = 0.0
    drift: float = 0.0
    seconds: float = inf

    def begin(self, stage: Stage) -> Undo | None:
        host = stage.nodes.host(self.node)
        host.skew(self.jump)
        host.drift(self.drift, monotonic=True)
        return lambda: host.drift(0.0, monotonic=True)


# --- Ways ------------------------------------------------------------------------------------------------------------------


def _stalled(conditions: Conditions) -> Conditions:
    return replace(conditions, stalled=True)


@dataclass(frozen=True)
class Partition(Step):
    """Between the sides nothing arrives; whoever is on none of them hears all.

    Parameters:
        sides: the names of the nodes on each.
        seconds: how long.
    """

    sides: tuple[tuple[str, ...], ...]
    seconds: float = inf

    def begin(self, stage: Stage) -> Undo | None:
        return stage.weather.disturb(stage.weather.between(*self.sides), _stalled)


@dataclass(frozen=True)
class Isolate(Step):
    """Nothing arrives at one node, or comes from it.

    Parameters:
        node: which.
        seconds: how long.
    """

    node: str
    seconds: float = inf

    def begin(self, stage: Stage) -> Undo | None:
        others = [name for name in stage.nodes.names if name != self.node]
        return stage.weather.disturb(stage.weather.between([self.node], others), _stalled)


@dataclass(frozen=True)
class OneWay(Step):
    """Nothing that one node sends arrives at another; what that one sends still does.

    Parameters:
        source: the one.
        target: the other.
        seconds: how long.
    """

    source: str
    target: str
    seconds: float = inf

    def begin(self, stage: Stage) -> Undo | None:
        return stage.weather.disturb([(self.source, self.target)], _stalled)


@dataclass(frozen=True)
class Stall(Step):
    """Two nodes hear nothing of each other; all others hear both.

    Parameters:
        one: the one.
        other: the other.
        seconds: how long.
    """

    one: str
    other: str
    seconds: float = inf

    def begin(self, stage: Stage) -> Undo | None:
        return stage.weather.disturb(stage.weather.between([self.one], [self.other]), _stalled)


@dataclass(frozen=True)
class CutAtByte(Step):
    """The connection breaks that carries the k-th byte from now on between two nodes, right behind it.

    Parameters:
        source: who sends it.
        target: to whom.
        after: which byte it is; 0 breaks all connections between the two, at once.
    """

    source: str
    target: str
    after: int = 0

    def begin(self, stage: Stage) -> Undo | None:
        stage.nodes.sim.network.cut(self.source, self.target, after=self.after)
        return _nothing


@dataclass(frozen=True)
class Slow(Step):
    """Between two nodes everything takes longer.

    Parameters:
        one: the one.
        other: the other.
        delay: the least and the most seconds that something is on its way.
        rate: bytes a second that each way carries.
        seconds: how long.
    """

    one: str
    other: str
    delay: tuple[float, float]
    rate: float = inf
    seconds: float = inf

    def begin(self, stage: Stage) -> Undo | None:
        return stage.weather.disturb(stage.weather.between([self.one], [self.other]), self._slow)

    def _slow(self, conditions: Conditions) -> Conditions:
        return replace(conditions, delay=max(conditions.delay, self.delay), rate=min(conditions.rate, self.rate))


@dataclass(frozen=True)
class SlowReader(Step):
    """A node takes what comes in small pieces, and few of them.

    Parameters:
        node: which.
        window: how many bytes may be on their way to it, on each connection.
        rate: how many bytes come through in a second, from each other node.
        seconds: how long.
    """

    node: str
    window: int
    rate: float
    seconds: float = inf

    def begin(self, stage: Stage) -> Undo | None:
        ways: list[Way] = stage.weather.into(self.node)
        return stage.weather.disturb(ways, self._narrow)

    def _narrow(self, conditions: Conditions) -> Conditions:
        return replace(conditions, window=min(conditions.window, self.window), rate=min(conditions.rate, self.rate))


# --- Disks -----------------------------------------------------------------------------------------------------------------


def _on_disk(stage: Stage, node: str, **faults: Any) -> Undo:
    disk = stage.nodes.host(node).disk
    disk.set_faults(**faults)
    return disk.set_faults


@dataclass(frozen=True)
class SlowDisk(Step):
    """Syncing takes longer.

    Parameters:
        node: whose disk.
        by: by how many seconds at most.
        seconds: how long.
    """

    node: str
    by: float
    seconds: float = inf

    def begin(self, stage: Stage) -> Undo | None:
        return _on_disk(stage, self.node, slow=self.by)


@dataclass(frozen=True)
class FillDisk(Step):
    """A disk has no room for more than this.

    Parameters:
        node: whose disk.
        room: how many bytes it still takes.
        seconds: how long.
    """

    node: str
    room: int = 0
    seconds: float = inf

    def begin(self, stage: Stage) -> Undo | None:
        return _on_disk(stage, self.node, room=self.room)


@dataclass(frozen=True)
class BreakDisk(Step):
    """Whatever is done with a disk fails.

    Parameters:
        node: whose disk.
        seconds: how long.
    """

    node: str
    seconds: float = inf

    def begin(self, stage: Stage) -> Undo | None:
        return _on_disk(stage, self.node, broken=True)


@dataclass(frozen=True)
class Heal(Step):
    """All that was begun ends: nodes are started and resumed, ways are fair, clocks and disks are right."""

    def begin(self, stage: Stage) -> Undo | None:
        stage.heal()
        return _nothing


KINDS: tuple[type[Step], ...] = (
    Crash,
    Kill,
    Restart,
    Leave,
    Pause,
    Skew,
    Partition,
    Isolate,
    OneWay,
    Stall,
    CutAtByte,
    Slow,
    SlowReader,
    SlowDisk,
    FillDisk,
    BreakDisk,
)
"""All that befalls a cluster; `Heal` only ends it."""
