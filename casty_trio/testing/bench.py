"""A whole cluster under test: a plan is carried out on nodes that run your program, while an observer looks on. Floor F6.

A run has three parts: the faults of the plan, at each of which the load has to be there; the calm, in which everything is
healed and has to recover; and the end, when all nodes leave and nothing may be left. `run_plan` does it all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf
from typing import Any, Protocol

import trio

from casty_trio.testing.errors import InvariantError
from casty_trio.testing.faults import Heal, Stage, Step
from casty_trio.testing.handoffs import HandOffs
from casty_trio.testing.host import NodeProgram
from casty_trio.testing.nodes import Ending, Nodes
from casty_trio.testing.observer import Observer
from casty_trio.testing.plan import Plan
from casty_trio.testing.simulation import Simulation, simulate
from casty_trio.testing.stuck import census
from casty_trio.testing.weather import Undo, Weather

__all__ = ["Bench", "Report", "Setup", "Workload", "run_plan"]

PATIENCE = 30.0
"""So many seconds a fault waits for the load to be there."""

LAST_WORDS = 60.0
"""So many seconds all nodes may take to leave."""


class Workload(Protocol):
    """What keeps a cluster busy while faults befall it."""

    @property
    def in_flight(self) -> int:
        """How many asks are open now, on all living nodes together."""
        ...

    def end(self) -> None:
        """Begin nothing new: the run comes to its end."""
        ...


Setup = Callable[["Bench"], NodeProgram]
"""What a program under test gives: a function of the bench that adds its workload and invariants, and returns what each
node runs."""


@dataclass(frozen=True)
class Report:
    """What one run did.

    Parameters:
        plan: what befell the cluster.
        seconds: how much virtual time it took.
        steps: how often a task ran.
        faults: how often each kind of fault took place.
        figures: those of the invariants.
        endings: how programs of nodes ended.
        in_flight: the fewest asks that were open when a fault came.
        digest: equal digests, equal runs.
        bytes: what the network carried.
    """

    plan: Plan
    seconds: float = 0.0
    steps: int = 0
    faults: Counter[str] = field(default_factory=Counter[str])
    figures: dict[str, float] = field(default_factory=dict[str, float])
    endings: tuple[Ending, ...] = ()
    in_flight: float = inf
    digest: str = ""
    bytes: int = 0


class Bench:
    """Where a plan is carried out.

    Parameters:
        sim: the simulation it is in.
        plan: what befalls the cluster.

    Attributes:
        sim: the simulation it is in.
        plan: what befalls the cluster.
        observer: who is told what happens; add invariants to it.
        weather: what is wrong between the nodes.
        faults: how often each kind of fault took place so far.
        workload: what keeps the cluster busy; a setup sets it. Without one, faults wait for nothing.
        least_load: how many asks have to be open at each fault.
        expected: the errors with which a node's program may end; a setup sets it.
        revive: after how many seconds a node that ended by itself is started again.
    """

    _nodes: Nodes

    def __init__(self, sim: Simulation, plan: Plan) -> None:
        self.sim: Simulation = sim
        self.plan: Plan = plan
        self.weather: Weather = Weather(sim.network, plan.names, plan.knobs.conditions)
        self.observer: Observer = Observer(self.fail)
        self.faults: Counter[str] = Counter()
        self.workload: Workload | None = None
        self.least_load: int = 50
        self.expected: tuple[type[Exception], ...] = ()
        self.revive: float = 3.0
        self._hand_offs = self.observer.add(HandOffs(plan.steps, self._strike))
        self._fewest: float = inf
        self._scope = trio.CancelScope()
        self._nap = trio.CancelScope()  # of whoever carries out the plan
        self._failure: Exception | None = None
        self._undos: list[tuple[float, int, str, Undo]] = []
        self._number = 0

    def __repr__(self) -> str:
        return f"<Bench of {self.plan.nodes} nodes, {self.faults.total()} of {len(self.plan.steps)} faults>"

    @property
    def names(self) -> tuple[str, ...]:
        """What the nodes are called; each is reached under its name."""
        return self.plan.names

    @asynccontextmanager
    async def nodes(self, program: NodeProgram) -> AsyncGenerator[Nodes]:
        """Run a program on each node, until the block is left; `play` and `calm` go inside.

        Raises:
            InvariantError: something did not hold.
            NodeFailedError: a program ended with an error that is not expected.
        """
        observer = self.observer
        nodes = self._nodes = observer.nodes = Nodes(
            self.sim,
            self.names,
            program,
            expected=self.expected,
            revive=self.revive,
            tell=observer.change,
            fail=self.fail,
        )
        observer.weather = self.weather
        try:
            with self._scope:
                async with nodes.run(self.plan.knobs.stagger), trio.open_nursery() as nursery:
                    nursery.start_soon(self._poll)
                    yield nodes
                    nursery.cancel_scope.cancel()
        except Exception as error:
            if self._failure is None:
                raise
            raise self._failure from error  # what a program raises while it is cancelled for it hides it from nobody
        self._raise()

    async def told_to_leave(self, name: str) -> None:
        """Wait until a node is to leave; for its program, which ends then."""
        await self._nodes.told_to_leave(name)

    def fail(self, error: Exception) -> None:
        """Something does not hold: the run ends, with the first of such errors."""
        if self._failure is None:
            self._failure = error
            error.add_note(f"{self.plan}\nwhat happened before:\n{self.observer.recorder.tell()}")
            self._scope.cancel()

    async def run(self, setup: Setup) -> None:
        """Carry the plan out, from the first start of a node to the last end of one.

        Raises:
            InvariantError: something did not hold.
            NodeFailedError: a program ended with an error that is not expected.
        """
        before = census()
        async with self.nodes(setup(self)) as nodes:
            await self.play()
            await self.calm()
            with trio.move_on_after(LAST_WORDS) as scope:
                await nodes.stop()
            if scope.cancelled_caught:
                self._break("I15 no orphans", f"told to leave, and still there after {LAST_WORDS:g} s: {nodes.live}")
        self._check_rest(before)
        self.observer.finish()
        self._raise()

    async def play(self) -> None:
        """Let the faults of the plan take place, each at its time, and end."""
        steps = sorted(self.plan.steps, key=lambda step: step.at)
        for step in steps:
            await self._wait_until(step.at)
            await self._wait_for_load(step)
            self._begin(step)
        await self._wait_until(self.plan.length)

    async def calm(self) -> None:
        """Heal everything, give the cluster its time to recover, and see that it has."""
        self._begin(Heal(trio.current_time()))
        self.observer.healed_at = trio.current_time()
        await trio.sleep(self.plan.calm)
        self.observer.at_rest()
        if self.workload is not None:
            self.workload.end()
        await trio.sleep(1.0)

    def heal(self) -> None:
        """End everything that was begun."""
        for _, _, _, undo in sorted(self._undos, key=lambda each: each[:2]):
            undo()
        self._undos.clear()
        self._hand_offs.clear()
        self.weather.clear()
        self._nodes.restore()

    def _begin(self, step: Step, kind: str = "") -> bool:
        """Let a step take place, and count it; whether there was anything to do."""
        self.observer.note("", step)
        undo = step.begin(Stage(self._nodes, self.weather, self.heal, self._hand_offs))
        if undo is None:
            self.observer.note("", "to no effect, so far")
            return False
        self.faults[kind or step.kind] += 1
        if step.lasts < inf:
            self._number += 1
            until = trio.current_time() + step.lasts
            heappush(self._undos, (until, self._number, step.kind, undo))
            self._nap.deadline = min(self._nap.deadline, until)
        return True

    def _strike(self, step: Step, kind: str) -> bool:
        """Let a step take place whose moment has just come, if the load is there."""
        load = self.workload.in_flight if self.workload is not None else self.least_load
        if load < self.least_load or not self._begin(step, kind):
            return False
        if self.workload is not None:
            self._fewest = min(self._fewest, load)
        return True

    async def _wait_until(self, moment: float) -> None:
        """Wait, and end what ends meanwhile."""
        while True:
            until = min(moment, self._undos[0][0]) if self._undos else moment
            with trio.CancelScope(deadline=until) as self._nap:
                await trio.sleep_forever()
            while self._undos and self._undos[0][0] <= trio.current_time():
                _, _, kind, undo = heappop(self._undos)
                self.observer.note("", f"the end of {kind}")
                undo()
            if trio.current_time() >= moment:
                return

    async def _wait_for_load(self, step: Step) -> None:
        if self.workload is None:
            return
        patience = trio.current_time() + PATIENCE
        while self.workload.in_flight < self.least_load:
            if trio.current_time() > patience:
                seen = f"{self.workload.in_flight} asks are in flight at {step}, and it takes {self.least_load}"
                self._break("load", seen)
                return
            await self._wait_until(trio.current_time() + 0.05)
        self._fewest = min(self._fewest, self.workload.in_flight)

    async def _poll(self) -> None:
        while True:
            await trio.sleep(1.0)
            self.observer.poll()

    def _check_rest(self, before: Iterable[trio.lowlevel.Task]) -> None:
        left = [task.name for task in census() if task not in set(before)]
        if left:
            self._break("I15 no orphans", f"tasks are left: {sorted(left)}")
        if self.sim.network.open_ends():
            self._break("I15 no orphans", f"connections are left: {self.sim.network!r}")

    def _break(self, invariant: str, seen: str) -> None:
        self.fail(InvariantError(invariant, "", trio.current_time(), seen))

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure

    def report(self, **more: Any) -> Report:
        """What it did so far."""
        figures, endings = self.observer.report(), tuple(self._nodes.endings)
        return Report(self.plan, faults=self.faults, figures=figures, endings=endings, in_flight=self._fewest, **more)


def run_plan(setup: Setup, plan: Plan, *, trace: bool = False) -> Report:
    """Carry a plan out in a simulation of its own.

    Parameters:
        setup: adds workload and invariants to the bench, and returns what each node runs.
        plan: what befalls the cluster.
        trace: tell the last steps of all tasks when it fails.

    Raises:
        InvariantError: something did not hold; the notes have the plan, and what happened before.
        NodeFailedError: a program ended with an error that is not expected.
        CastyError: as `simulate`.

    Example::

        run_plan(setup, Swarm().plan(seed=7))
    """

    async def scenario(sim: Simulation) -> Bench:
        bench = Bench(sim, plan)
        await bench.run(setup)
        return bench

    deadline = plan.length + plan.calm + (len(plan.steps) + 1) * PATIENCE + 2 * LAST_WORDS
    result = simulate(scenario, plan.seed, trace=trace, deadline=deadline, quiet=not trace)
    return result.value.report(seconds=result.seconds, steps=result.steps, digest=result.digest, bytes=result.network.bytes)
