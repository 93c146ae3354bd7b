"""Plans as values: what a swarm draws, what each step does, how several lie on one way, and how plans are made smaller."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from math import inf
from typing import Any

import pytest
import trio
from hypothesis import given, strategies as st

from casty_trio.errors import SettingsError
from casty_trio.testing import Bench, Conditions, Knobs, Plan, SimulatedEnv, Simulation, Swarm, faults, shrink, simulate
from casty_trio.testing.faults import KINDS, Crash, Heal, Pause, Restart, Step
from casty_trio.testing.handoffs import HAND_OFFS, CrashAtHandOff, kind_of
from casty_trio.testing.weather import Weather

A, B, C = "node-1", "node-2", "node-3"


@given(st.integers(0, 2**32))
def test_a_plan_is_a_value_of_its_seed(seed: int) -> None:
    """Drawn twice it is equal, its text makes it again, and it leaves at least two nodes that are up."""
    plan = Swarm().plan(seed)
    assert plan == Swarm().plan(seed)
    known: list[type[Any]] = [*KINDS, CrashAtHandOff, Plan, Knobs]
    names: dict[str, Any] = {**{each.__name__: each for each in known}, "inf": inf}
    for text in (str(plan), repr(plan)):
        assert eval(text, names) == plan  # noqa: S307 - it is our own
    assert 3 <= plan.nodes <= 7
    assert 60 <= plan.length <= 120
    away = [step for step in plan.steps if step.kind in ("Crash", "Kill", "Leave", "Pause")]
    for moment in (step.at for step in plan.steps):
        missing = {getattr(step, "node", "") for step in away if step.at <= moment < step.at + step.lasts}
        assert plan.nodes - len(missing) >= 2


def test_each_kind_is_in_about_every_second_plan() -> None:
    """And with each other kind, and without it."""
    kinds = [{step.kind for step in Swarm(hand_offs=(0, 0)).plan(seed).steps} for seed in range(300)]
    counts = Counter(kind for each in kinds for kind in each)
    assert set(counts) == {kind.__name__ for kind in KINDS}
    assert all(
        70 < count < 190 for kind, count in counts.items() if kind != "Restart"
    )  # it stands in for those that cannot be
    assert any("Crash" in each and "Pause" not in each for each in kinds)
    assert any("Crash" in each and "Pause" in each for each in kinds)


def test_each_plan_waits_for_some_hand_offs() -> None:
    """One to three crashes, whatever else is in it; each step and each part has its turn; none where nobody is crashed."""
    waiting = [[step for step in Swarm().plan(seed).steps if isinstance(step, CrashAtHandOff)] for seed in range(300)]
    assert {len(each) for each in waiting} == {1, 2, 3}
    counts = Counter(step.kind for each in waiting for step in each)
    assert set(counts) == {kind_of(*each) for each in HAND_OFFS}
    assert min(counts.values()) >= 5
    others = [[s for s in Swarm().plan(n).steps if not isinstance(s, CrashAtHandOff)] for n in range(20)]
    assert others == [list(Swarm(hand_offs=(0, 0)).plan(seed).steps) for seed in range(20)]
    assert not any(isinstance(step, CrashAtHandOff) for step in Swarm(kinds=(Pause,)).plan(1).steps)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Swarm(hand_offs=(-1, 0)),
        lambda: Swarm(hand_offs=(2, 1)),
        lambda: Plan(1, nodes=0),
        lambda: Plan(1, length=-1),
        lambda: Plan(1, steps=(Restart(61, A),)),
        lambda: Swarm(kinds=()),
        lambda: Swarm(kinds=(Heal,)),
        lambda: Swarm(chance=2),
        lambda: Swarm(longest=0),
    ],
)
def test_plans_are_checked(make: Any) -> None:
    with pytest.raises(SettingsError):
        make()


# --- Steps -----------------------------------------------------------------------------------------------------------------


async def idle(env: SimulatedEnv, name: str) -> None:
    """A node's program that does nothing."""
    await trio.sleep_forever()


def carried_out(*steps: Step, until: float, look: Any) -> Any:
    """What ``look`` sees of a bench at a moment, while a plan is carried out."""
    seen: list[Any] = []

    async def scenario(sim: Simulation) -> None:
        bench = Bench(sim, Plan(1, nodes=3, steps=steps, length=100, calm=1))
        async with bench.nodes(idle) as nodes, trio.open_nursery() as nursery:

            async def watch() -> None:
                await trio.sleep(until)
                seen.append(look(bench, nodes))

            nursery.start_soon(watch)
            await bench.play()
            await bench.calm()
            assert sorted(nodes.awake) == [A, B, C]
            assert all(bench.weather.fair_since(*way) < inf for way in ((A, B), (B, C), (C, A)))

    simulate(scenario, 1)
    return seen[0]


@pytest.mark.parametrize("kind", [faults.Crash, faults.Kill, faults.Leave])
def test_nodes_go_and_come_back(kind: Any) -> None:
    """After their time, or when everything is healed."""

    async def obey(env: SimulatedEnv, name: str) -> None:
        await benches[0].told_to_leave(name)

    benches: list[Bench] = []

    async def scenario(sim: Simulation) -> None:
        bench = Bench(sim, Plan(1, nodes=3, steps=(kind(10, A, 5.0), kind(12, A, 5.0), kind(20, B)), length=30, calm=1))
        benches[:] = [bench]
        async with bench.nodes(obey) as nodes, trio.open_nursery() as nursery:
            nursery.start_soon(bench.play)
            for moment, live in ((9, {A, B, C}), (11, {B, C}), (16, {A, B, C}), (21, {A, C}), (29, {A, C})):
                await trio.sleep_until(moment)
                assert set(nodes.live) == live, moment
            await trio.sleep(2)
            await bench.calm()
            assert set(nodes.live) == {A, B, C}
            assert bench.faults == {kind.__name__: 2, "Heal": 1}
            how = "left" if kind is faults.Leave else "crashed"
            assert [(ending.node, ending.how) for ending in nodes.endings] == [(A, how), (B, how)]

    simulate(scenario, 1)


def test_a_pause_ends_with_the_last_of_those_that_overlap() -> None:
    steps = (Pause(10, A, 10.0), Pause(15, A, 10.0))
    for until, paused in ((9, False), (12, True), (22, True), (26, False)):
        assert carried_out(*steps, until=until, look=lambda bench, nodes: nodes.host(A).paused) is paused


def test_a_restart_is_another_start() -> None:
    """Of one that runs, at once; and of one that is down."""

    def look(bench: Bench, nodes: Any) -> tuple[int, int]:
        return nodes.host(A).starts, nodes.host(B).starts

    assert carried_out(Crash(5, A), Restart(10, A), Restart(10, B), until=10.5, look=look) == (2, 2)


def test_clocks_and_disks_are_right_again() -> None:
    def look(bench: Bench, nodes: Any) -> tuple[float, float, float]:
        env, right = nodes.host(A).env, nodes.host(B).env
        return round(env.wall_time() - right.wall_time(), 6), round(env.now() - right.now(), 6), env.clock.gain

    skew = faults.Skew(10, A, jump=60.0, drift=0.05, seconds=20.0)
    assert carried_out(skew, until=20, look=look) == (60.5, 0.5, 0.05)
    assert carried_out(skew, until=50, look=look) == (61, 1, 0)


WAYS: list[tuple[Any, dict[tuple[str, str], Any]]] = [
    (faults.Partition(10, ((A,), (B, C)), 5.0), {(A, B): False, (B, A): False, (C, A): False, (B, C): True}),
    (faults.Partition(10, ((A,), (B,), (C,)), 5.0), {(A, B): False, (B, C): False, (C, A): False}),
    (faults.Isolate(10, C, 5.0), {(A, C): False, (C, B): False, (A, B): True}),
    (faults.OneWay(10, A, B, 5.0), {(A, B): False, (B, A): True}),
    (faults.Stall(10, A, B, 5.0), {(A, B): False, (B, A): False, (A, C): True}),
]


@pytest.mark.parametrize(("step", "expected"), WAYS, ids=lambda value: getattr(value, "kind", ""))
def test_ways_are_cut_and_fair_again(step: Step, expected: dict[tuple[str, str], bool]) -> None:
    def look(bench: Bench, nodes: Any) -> dict[tuple[str, str], bool]:
        return {way: bench.weather.open(*way) for way in expected}

    assert carried_out(step, until=12, look=look) == expected
    assert set(carried_out(step, until=16, look=look).values()) == {True}


def test_what_lies_on_one_way_adds_up_and_ends_in_any_order() -> None:
    """The slowest delay, the lowest rate, the smallest window; and how long it has been fair is known."""

    async def scenario(sim: Simulation) -> None:
        fair = Conditions()
        weather = Weather(sim.network, [A, B], fair)
        slow = faults.Slow(0, A, B, (0.5, 1.0), 10_000.0)
        narrow = faults.SlowReader(0, B, 64, 5_000.0)
        stage: Any = type("Stage", (), {"weather": weather})()
        await trio.sleep(5)
        assert weather.fair_since(A, B) == 0
        ends = [step.begin(stage) for step in (slow, narrow)]
        assert weather.fair_since(A, B) == inf
        now = sim.network._exceptions[A, B]
        assert (now.delay, now.rate, now.window) == ((0.5, 1.0), 5_000.0, 64)
        back = sim.network._exceptions[B, A]
        assert (back.delay, back.rate, back.window) == ((0.5, 1.0), 10_000.0, fair.window)
        ends[0]()  # type: ignore[misc] # each of them has an end
        ends[0]()  # type: ignore[misc]
        assert weather.fair_since(B, A) == 5
        assert weather.fair_since(A, B) == inf
        weather.clear()
        ends[1]()  # type: ignore[misc]
        assert weather.fair_since(A, B) == 5
        assert sim.network._exceptions[A, B] == fair
        assert "0 disturbances" in repr(weather)

    simulate(scenario, 1)


# --- Smaller plans ---------------------------------------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.sets(st.integers(0, 30), min_size=1, max_size=4))
def test_a_failing_plan_is_made_as_small_as_it_can_be(seed: int, needed: set[int]) -> None:
    """Whatever subset of the steps it takes: these are left, in order, and everything else is as usual."""
    plan = Plan(seed, 7, tuple(Restart(float(at), A) for at in range(31)), length=100, knobs=Knobs(window=9, stagger=1.0))

    def fails(smaller: Plan) -> bool:
        return needed <= {int(step.at) for step in smaller.steps} and smaller.knobs.stagger == 1.0

    smallest = shrink(plan, fails, tries=1_000)
    assert [step.at for step in smallest.steps] == sorted(needed)
    assert smallest.knobs == Knobs(stagger=1.0)
    assert smallest.nodes == 3
    assert smallest.length == max(needed) + 1
    assert smallest.seed == seed


def test_there_is_a_limit_to_the_tries() -> None:
    tried: list[Plan] = []

    def fails(plan: Plan) -> bool:
        tried.append(plan)
        return True

    plan = Plan(1, steps=tuple(Restart(float(at), A) for at in range(31)))
    shrink(plan, fails, tries=3)
    assert len(tried) == 3


def test_every_knob_is_read() -> None:
    """L14: by the network, by the links, or by the bench."""
    knobs = Knobs(delay=(0.1, 0.2), cut=0.5, window=99, max_frame=2_048, queue=1 << 18, stagger=3.0)
    assert {each.name for each in fields(Knobs)} == {"delay", "cut", "window", "max_frame", "queue", "stagger"}
    assert knobs.conditions == Conditions(delay=(0.1, 0.2), cut=0.5, window=99)
    link = knobs.link(gone_after=7.0)
    assert (link.max_frame, link.max_message, link.queue, link.gone_after) == (2_048, 1 << 16, 1 << 18, 7.0)
