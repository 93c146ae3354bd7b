"""Crashes in the middle of hand-offs and take-overs of sharded types: a fault that waits for its moment. Floor F6.

A plan says which step of a move it is, and which part in it the node has that is crashed. The observer hears of each step
from the node that takes it, in that moment; so the crash comes between two steps, and nothing that the node would have said
after it leaves its machine. When no move comes by itself, a node is told to leave for a while, which makes some.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import trio

from casty_trio.model.events import Event
from casty_trio.model.member import Member
from casty_trio.model.shard_events import (
    HandOffAdvanced,
    HandOffFinished,
    HandOffStarted,
    ShardHomeChanged,
    TakeOverAdvanced,
)
from casty_trio.testing.faults import Crash, Kill, Leave, Pause, Stage, Step
from casty_trio.testing.observer import Invariant, Life
from casty_trio.testing.weather import Undo

__all__ = ["HAND_OFFS", "CrashAtHandOff", "HandOffs", "Move", "kind_of"]

STEPS: Final = ("begun", "held", "flushed", "stopped", "started", "released")
"""A move as its coordinator, the regions, the old home, and the new one take it, and what each says then."""

PARTS: Final = ("coordinator", "old home", "new home", "bystander")

TAKING_OVER: Final = {"asks": "take-over asked", "hears": "take-over heard", "decides": "take-over decided"}
"""The steps of a coordinator that takes a type over, as it tells them, and as they are called here."""

PARTS_TAKING_OVER: Final = ("coordinator", "region")

HAND_OFFS: Final[tuple[tuple[str, str], ...]] = (
    *((step, part) for step in STEPS for part in PARTS),
    *((step, part) for step in TAKING_OVER.values() for part in PARTS_TAKING_OVER),
)
"""Each step of a move and of a take-over, with each part in it."""

PATIENCE: Final = 6.0
"""So many seconds a crash waits for a move to come by itself, and then again for the next one."""

AWAY: Final = 3.0
"""For so long a node leaves that is told to, so that shards move."""

FEWEST: Final = 2
"""So many nodes are left that run."""


def kind_of(step: str, part: str) -> str:
    """What a crash of that node at that step is counted as."""
    return f"crash at hand-off {step} of the {part}"


@dataclass(frozen=True)
class CrashAtHandOff(Step):
    """A node is crashed in the middle of a hand-off or a take-over: at the first one that comes to this step from ``at`` on.

    Parameters:
        step: which: "begun", the coordinator wants it; "held", regions hold mail; "flushed", all do; "stopped", the old
            home's entities have; "started", the new home has the shard; "released", mail flows again. Or "take-over asked",
            "take-over heard", "take-over decided".
        part: who is crashed: "coordinator", "old home", "new home", or a "bystander", that holds mail; in a take-over
            "coordinator", or a "region" that is asked.
        seconds: how long it stays away.
        window: for how many seconds it is waited for. When none has come by then, nothing has taken place.
        reset: whether the node's machine lives on, and answers for it with resets.
    """

    step: str
    part: str
    seconds: float
    window: float = 40.0
    reset: bool = False

    @property
    def kind(self) -> str:
        return kind_of(self.step, self.part)

    def begin(self, stage: Stage) -> Undo | None:
        stage.hand_offs.wait_for(self)
        return None  # it takes place later, or not at all

    def on(self, node: str) -> Step:
        """What befalls a node when the moment has come."""
        return (Kill if self.reset else Crash)(trio.current_time(), node, self.seconds)


@dataclass(eq=False)
class Move:
    """A move that was seen to begin.

    Parameters:
        coordinator: the node that wants it.
        source: the old home.
        target: the new one.
        target_uid: the member that this is.
        held: the nodes that hold mail for it.
        started: whether the new home has the shard.
    """

    coordinator: str
    source: str
    target: str
    target_uid: int
    held: dict[str, None] = field(default_factory=dict[str, None])
    started: bool = False

    def nodes(self, step: str, part: str, names: Iterable[str]) -> list[str]:
        """The nodes that have a part in it; only of bystanders there may be several, or none."""
        match part:
            case "coordinator":
                return [self.coordinator]
            case "old home":
                return [self.source]
            case "new home":
                return [self.target]
            case _:
                others = [name for name in names if name not in (self.coordinator, self.source, self.target)]
                return [name for name in others if step == "begun" or name in self.held]


class HandOffs(Invariant):
    """Follows moves and take-overs, and lets crashes take place at the steps that they wait for.

    Parameters:
        plan: what else is going to befall the nodes.
        strike: lets a step take place now, and counts it as a kind; whether there was load enough, and somebody to befall.

    Attributes:
        waiting: the crashes that wait, and since when each does, or since when it waits for what was done to bring a move
            about.
    """

    name = "hand-offs"

    def __init__(self, plan: Iterable[Step], strike: Callable[[Step, str], bool]) -> None:
        self.waiting: dict[CrashAtHandOff, float] = {}
        self._plan = [step for step in plan if isinstance(step, Crash | Kill | Leave | Pause)]
        self._strike = strike
        self._moves: dict[tuple[str, int], Move] = {}
        self._until: dict[CrashAtHandOff, float] = {}
        self._sharded = False  # whether there are sharded types at all

    def wait_for(self, crash: CrashAtHandOff) -> None:
        """Crash somebody as soon as it comes to that."""
        self.waiting[crash] = trio.current_time()
        self._until[crash] = trio.current_time() + crash.window

    def clear(self) -> None:
        """Wait for none any more."""
        self.waiting.clear()
        self._until.clear()

    def poll(self) -> None:
        now = trio.current_time()
        for crash, since in list(self.waiting.items()):
            if now >= self._until[crash]:
                self._forget(crash)
                self.observer.note("", f"it has not come to this: {crash.kind}")
            elif now >= since + PATIENCE:
                self.waiting[crash] = now
                self._bring_about(crash)

    def on_event(self, life: Life, event: Event) -> None:
        match event:
            case HandOffStarted():
                self._begin(life, event)
            case HandOffAdvanced():
                move = self._moves.get((event.shard_type, event.shard))
                if move is not None:
                    if event.step == "held":
                        move.held[life.node] = None
                    move.started = move.started or event.step == "started"
                    self._reached(event.step, move)
            case HandOffFinished() if not event.moved:
                self._moves.pop((event.shard_type, event.shard), None)
            case ShardHomeChanged():
                move = self._moves.get((event.shard_type, event.shard))
                if move is not None and move.started and event.home is not None and event.home.uid == move.target_uid:
                    self._reached("released", move)
            case TakeOverAdvanced():
                self._sharded = True
                self._taken_over(life, TAKING_OVER[event.step])
            case _:
                pass

    def _begin(self, life: Life, event: HandOffStarted) -> None:
        homes = [
            self.observer.living_as(member.uid) if member is not None else None for member in (event.source, event.target)
        ]
        source, target = homes
        if source is None or target is None:
            self._moves.pop((event.shard_type, event.shard), None)
            return
        move = self._moves[event.shard_type, event.shard] = Move(life.node, source.node, target.node, target.system.uid)
        self._reached("begun", move)

    def _reached(self, step: str, move: Move) -> None:
        for crash in list(self.waiting):
            if crash.step == step:
                self._crash(crash, move.nodes(step, crash.part, self.observer.nodes.awake))

    def _taken_over(self, life: Life, step: str) -> None:
        others = [name for name in self.observer.nodes.awake if name != life.node]
        for crash in list(self.waiting):
            if crash.step == step:
                self._crash(crash, [life.node] if crash.part == "coordinator" else others)

    def _crash(self, crash: CrashAtHandOff, nodes: Iterable[str]) -> None:
        node = next((node for node in nodes if self._can_spare(node, crash.seconds)), None)
        if node is not None and self._strike(crash.on(node), crash.kind):
            self._forget(crash)

    def _forget(self, crash: CrashAtHandOff) -> None:
        del self.waiting[crash], self._until[crash]

    def _can_spare(self, node: str, seconds: float) -> bool:
        """Whether a node runs, and enough others do and will until it is back, as far as the plan goes."""
        now, nodes = trio.current_time(), self.observer.nodes
        soon = {step.node for step in self._plan if now <= step.at <= now + seconds}
        staying = [name for name in nodes.awake if name != node and name not in soon and not nodes.is_told(name)]
        return node in nodes.awake and len(staying) >= FEWEST

    def _bring_about(self, crash: CrashAtHandOff) -> None:
        """Have a node leave, and come back: the oldest where another coordinator is wanted, else the youngest."""
        names = self._by_age() if self._sharded else []
        if names:
            node = names[0] if crash.step in TAKING_OVER.values() else names[-1]
            if self._can_spare(node, AWAY):
                self._strike(Leave(trio.current_time(), node, AWAY), "Leave")

    def _by_age(self) -> list[str]:
        """The nodes that live, oldest first, as whoever knows most of them sees it."""
        views: list[list[str]] = []
        for life in self.observer.living():
            system: Any = life.system  # who has sharded types is a node of a cluster
            members: list[Member] = sorted(system.members, key=lambda member: member.age)
            lives = [self.observer.living_as(member.uid) for member in members]
            views.append([each.node for each in lives if each is not None])
        return max(views, key=len) if views else []
