"""The observer of a bench: it is told what happens where it happens, and holds it against what always has to hold. Floor F6.

It is plain Python, called by the code under test without any delay and outside the simulated network. It never raises into
that code: the first thing that does not hold is kept, and ends the run. What a crashed program does while it unwinds is not
heard, for in the world that the bench stands for it does nothing any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, TypeVar

import trio

from casty_trio.actors.system import ActorSystem
from casty_trio.model.events import ActorStarted, ActorStopped, Event
from casty_trio.testing.errors import InvariantError
from casty_trio.testing.nodes import Change, Nodes
from casty_trio.testing.recorder import EventRef, FlightRecorder

if TYPE_CHECKING:
    from casty_trio.testing.weather import Weather

__all__ = ["Invariant", "Life", "Observer"]

I = TypeVar("I", bound="Invariant")  # noqa: E741 - it is one


@dataclass(slots=True, eq=False)
class Life:
    """One start of a node, as the observer knows it.

    Parameters:
        node: its name.
        uid: its system's number when it began.
        system: its system.
        since: when it began.
        until: when it ended, or was crashed; infinity while it lives.
        crashed: whether it was crashed.
    """

    node: str
    uid: int
    system: ActorSystem
    since: float
    until: float = inf
    crashed: bool = False


class Invariant:
    """Something that always has to hold. Override what it needs to hear; call `fail` when it does not hold.

    Attributes:
        name: what it is called in reports; begin it with the number that your guarantees give it.
        observer: who calls it.
    """

    name: str = "an invariant"
    observer: Observer

    def bind(self, observer: Observer) -> None:
        """It is added to an observer."""
        self.observer = observer

    def on_event(self, life: Life, event: Event) -> None:
        """A system has published an event."""

    def on_change(self, node: str, change: Change) -> None:
        """A node was started, crashed, paused, resumed or told to leave, or has ended."""

    def poll(self) -> None:
        """A virtual second has passed."""

    def at_rest(self) -> None:
        """All faults are over, and the cluster had its time to recover; everything still runs."""

    def finish(self) -> None:
        """All nodes have ended."""

    def fail(self, seen: str, node: str = "") -> None:
        """It does not hold.

        Parameters:
            seen: what was seen.
            node: where; left out when it concerns all.
        """
        self.observer.fail(InvariantError(self.name, node, trio.current_time(), seen))

    def report(self) -> Mapping[str, float]:
        """Figures for the report, by name."""
        return {}


class Observer:
    """Whoever is told everything; `Bench.observer` is one.

    Parameters:
        fail: called with the first failure.

    Attributes:
        recorder: what happened last.
        invariants: what has to hold.
        lives: each start of a node whose system was attached, by its uid.
        healed_at: when the last fault was over; infinity before.
    """

    nodes: Nodes
    weather: Weather

    def __init__(self, fail: Callable[[Exception], object]) -> None:
        self.recorder: FlightRecorder = FlightRecorder()
        self.invariants: list[Invariant] = []
        self.lives: dict[int, Life] = {}
        self.healed_at: float = inf
        self._fail = fail
        self._living: dict[str, Life] = {}
        self._hearing: list[Invariant] = []  # those that have something to do at an event: most have not

    def __repr__(self) -> str:
        return f"<Observer of {len(self._living)} nodes with {len(self.invariants)} invariants>"

    def add(self, invariant: I) -> I:
        """Hold another invariant, from now on; returns it."""
        invariant.bind(self)
        self.invariants.append(invariant)
        if type(invariant).on_event is not Invariant.on_event:
            self._hearing.append(invariant)
        return invariant

    def attach(self, node: str, system: ActorSystem) -> Life:
        """Listen to the system of a node; its program calls this as soon as it is open."""
        life = self.lives[system.uid] = self._living[node] = Life(node, system.uid, system, trio.current_time())
        system.event_stream.subscribe(EventRef(node, lambda event: self._hear(life, event)), Event)
        self.recorder.note(node, f"uid {system.uid}")
        return life

    def living(self) -> tuple[Life, ...]:
        """The starts that live now, by the names of their nodes."""
        return tuple(life for _, life in sorted(self._living.items()))

    def living_as(self, uid: int) -> Life | None:
        """The start that lives now under this number: a node that joins a cluster again does so under another one."""
        return next((life for life in self.living() if life.system.uid == uid), None)

    def life_of(self, node: str) -> Life | None:
        """The start of a node that lives now."""
        return self._living.get(node)

    def hears(self, node: str) -> bool:
        """Whether what comes from a node counts: it has not been crashed."""
        return self.nodes.host(node).alive

    def undisturbed(self, one: str, other: str) -> float:
        """For how many seconds two nodes have run without a pause, and heard each other without a disturbance."""
        nodes, weather = self.nodes, self.weather
        since = max(nodes.steady_since(one), nodes.steady_since(other))
        if one != other:
            since = max(since, weather.fair_since(one, other), weather.fair_since(other, one))
        return trio.current_time() - since

    def note(self, node: str, what: object) -> None:
        """Tell the flight recorder something."""
        self.recorder.note(node, what)

    def fail(self, error: Exception) -> None:
        """Something does not hold: the run ends with it."""
        self._fail(error)

    # --- What the bench calls ---

    def change(self, node: str, change: Change, details: str) -> None:
        """Something happens to a node."""
        self.recorder.note(node, f"{change}{f', {details}' if details else ''}")
        if change in ("crashed", "ended"):
            life = self._living.pop(node, None)
            if life is not None:
                life.until, life.crashed = trio.current_time(), change == "crashed"
        for invariant in self.invariants:
            invariant.on_change(node, change)

    def poll(self) -> None:
        """A virtual second has passed."""
        for invariant in self.invariants:
            invariant.poll()

    def at_rest(self) -> None:
        """The cluster has recovered, or should have."""
        for invariant in self.invariants:
            invariant.at_rest()

    def finish(self) -> None:
        """All nodes have ended."""
        for invariant in self.invariants:
            invariant.finish()

    def report(self) -> dict[str, float]:
        """The figures of all invariants."""
        return {name: value for invariant in self.invariants for name, value in invariant.report().items()}

    def _hear(self, life: Life, event: Event) -> None:
        if life.until < inf:
            return
        if not isinstance(event, (ActorStarted, ActorStopped)):  # so many, and they say little
            self.recorder.note(life.node, event)
        for invariant in self._hearing:
            invariant.on_event(life, event)
