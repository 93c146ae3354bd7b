"""Crashes that wait for a step of a hand-off: when they take place, whom they hit, and when they do not."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from casty_trio.errors import NodeDownedError
from casty_trio.testing import Bench, Life, Plan, SimulatedEnv, Simulation, simulate
from casty_trio.testing.clustered import clustered
from casty_trio.testing.faults import Leave
from casty_trio.testing.handoffs import HAND_OFFS, PARTS, STEPS, CrashAtHandOff, HandOffs, Move, kind_of
from casty_trio.testing.observer import Invariant


class Seen(Invariant):
    """Who was crashed, and what was seen right before."""

    def __init__(self) -> None:
        self.crashed: list[str] = []
        self.last: Any = None
        self.before: list[tuple[Any, str]] = []

    def on_event(self, life: Life, event: Any) -> None:
        if "Hand" in type(event).__name__ or "Take" in type(event).__name__:
            self.last = event, life.node

    def on_change(self, node: str, change: Any) -> None:
        if change == "crashed":
            self.crashed.append(node)
            self.before.append(self.last)


def run(*steps: CrashAtHandOff | Leave, nodes: int = 4, length: float = 45.0, load: int = 0) -> tuple[Bench, Seen]:
    """Carry a plan out on a cluster with sharded types."""
    seen = Seen()

    async def scenario(sim: Simulation) -> Bench:
        bench = Bench(sim, Plan(1, nodes=nodes, steps=steps, length=length, calm=50.0))
        program = clustered(bench)
        bench.least_load = load
        bench.expected = (NodeDownedError,)
        async with bench.nodes(program) as running:
            bench.observer.add(seen)
            await bench.play()
            await bench.calm()
            await running.stop()
        return bench

    return simulate(scenario, 1, deadline=600, quiet=True).value, seen


@pytest.mark.long
@pytest.mark.parametrize(("step", "part"), HAND_OFFS[::4])  # the swarm counts that none is left out
def test_steps_are_crashed_on_those_who_have_a_part(step: str, part: str) -> None:
    """S3: one node leaves and returns where no shard moves by itself; somebody is crashed once, and all recover."""
    bench, seen = run(CrashAtHandOff(12.0, step, part, 5.0))
    assert bench.faults[kind_of(step, part)] == 1
    assert len(seen.crashed) == 1
    assert bench.faults["Leave"] >= 1
    assert "Crash" not in bench.faults


@pytest.mark.long
def test_it_waits_for_its_step_and_is_counted_when_it_comes() -> None:
    """S3: the crash comes right behind the step, on who has the part; nothing is brought about where shards move anyway."""
    bench, seen = run(Leave(12.0, "node-2", 3.0), CrashAtHandOff(11.0, "flushed", "old home", 5.0, reset=True))
    assert bench.faults == {"Leave": 1, kind_of("flushed", "old home"): 1, "Heal": 1}
    assert len(seen.crashed) == 1


@pytest.mark.long
def test_it_lapses_when_it_does_not_come_in_time() -> None:
    """It is not counted then; nor is anybody crashed who cannot be spared, or without the load."""
    bench, seen = run(CrashAtHandOff(12.0, "started", "new home", 5.0, window=2.0))
    assert bench.faults == {"Heal": 1}
    bench, seen = run(CrashAtHandOff(12.0, "begun", "coordinator", 5.0), nodes=2)
    assert (bench.faults, seen.crashed) == ({"Heal": 1}, [])
    bench, seen = run(CrashAtHandOff(12.0, "begun", "coordinator", 5.0), load=0, length=12.0)
    assert seen.crashed == []


def test_without_sharded_types_nothing_happens() -> None:
    """Nobody is told to leave for it."""

    async def idle(env: SimulatedEnv, name: str) -> None:
        await trio.sleep_forever()

    async def scenario(sim: Simulation) -> Bench:
        bench = Bench(sim, Plan(1, nodes=3, steps=(CrashAtHandOff(5.0, "begun", "old home", 5.0),), length=60.0, calm=1.0))
        async with bench.nodes(idle):
            await bench.play()
            await bench.calm()
        return bench

    assert simulate(scenario, 1).value.faults == {"Heal": 1}


def test_parts_of_a_move() -> None:
    """A bystander is whoever holds mail and has no other part; when a move has just begun nobody does yet."""
    move = Move("node-1", "node-2", "node-3", 3)
    names = ["node-1", "node-2", "node-3", "node-4", "node-5"]
    assert [move.nodes("begun", part, names) for part in PARTS[:3]] == [["node-1"], ["node-2"], ["node-3"]]
    assert move.nodes("begun", "bystander", names) == ["node-4", "node-5"]
    move.held["node-5"] = None
    assert [move.nodes(step, "bystander", names) for step in STEPS[1:]] == [["node-5"]] * 5
    assert "waiting" in vars(HandOffs((), lambda step, kind: True))
