"""One seed is one run; a run always ends, and a failure can be replayed."""

import random
from collections import deque
from dataclasses import dataclass, field
from math import inf
from types import ModuleType

import msgspec
import pytest
import sniffio
import trio
import trio.testing
from hypothesis import given, strategies as st

from casty_trio.errors import UsageError
from casty_trio.testing import (
    DeadlockError,
    LivelockError,
    NestedSimulationError,
    Result,
    Simulation,
    SimulationTimeoutError,
    UnsupportedTrioError,
    determinism,
    digest,
    simulate,
)
from casty_trio.testing.clock import Parking, VirtualClock
from tests.testing.worlds import accept_one

seeds = st.integers(0, 2**32 - 1)


async def busy(sim: Simulation) -> list[float]:
    """Tasks that race, draw and talk."""
    order: list[float] = []

    async def worker(name: str) -> None:
        for _ in range(3):
            await trio.sleep(sim.env(name).rng.random())
            order.append(trio.current_time())
            sim.record(name, random.random())

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(worker, f"worker-{number}")
        async with await sim.env("server").listen("server", 0) as listener:
            port = sim.env("server").local_port(listener)
            async with await sim.env("client").connect("server", port) as client, await accept_one(listener) as server:
                await client.send(b"hello")
                await server.receive(1)
    return order


@given(seeds)
def test_one_seed_is_one_run(seed: int) -> None:
    first, second = simulate(busy, seed, trace=True), simulate(busy, seed, trace=True)
    assert first == second
    assert len(first.trace) == first.steps + 15  # steps and records
    assert simulate(busy, seed).digest == first.digest, "keeping a trace changes nothing"


def test_different_seeds_are_different_runs() -> None:
    results = [simulate(busy, seed) for seed in range(50)]
    assert len({result.digest for result in results}) == 50
    assert len({result.seconds for result in results}) == 50


def test_the_result_tells_what_happened() -> None:
    async def scenario(sim: Simulation) -> str:
        await trio.sleep(1000)
        sim.record("done", 1)
        return "value"

    result: Result[str] = simulate(scenario, 5, trace=True)
    assert (result.value, result.seed, result.seconds) == ("value", 5, 1000.0)
    assert "1000.000000000 record 'done', 1" in result.trace


def test_what_is_recorded_counts() -> None:
    def recording(value: object) -> str:
        async def scenario(sim: Simulation) -> None:
            sim.record(value)

        return simulate(scenario, 1).digest

    assert recording("a") == recording("a") != recording("b")


@dataclass
class Holder:
    """Holds anything, some of it out of sight."""

    inside: object
    hidden: object = field(default=None, repr=False)


class Loose(msgspec.Struct):
    """Holds anything, too."""

    inside: object


UNRECORDABLE: list[object] = [
    object(),
    {"a", "b"},
    frozenset("ab"),
    [1, {"a", "b"}],
    (1, [({"a"},)]),
    {"key": {"a", "b"}},
    {frozenset("ab"): 1},
    deque([{"a", "b"}]),
    Holder({"a", "b"}),
    [Loose([frozenset("ab")])],
    Holder([object()]),
]


@pytest.mark.parametrize("value", UNRECORDABLE, ids=range(len(UNRECORDABLE)))
def test_what_differs_between_processes_cannot_be_recorded(value: object) -> None:
    async def scenario(sim: Simulation) -> None:
        sim.record(value)

    with pytest.raises(UsageError, match=r"address|sorted"):
        simulate(scenario, 1)


def test_what_is_the_same_in_every_process_can_be_recorded() -> None:
    """However deep, even if it holds itself; what the repr does not show does not matter."""
    circle: list[object] = [1, {"a": ("b", Holder(2, hidden={"a", "b"}))}, {"keys": 1}.keys()]
    circle.append(circle)

    async def scenario(sim: Simulation) -> None:
        sim.record(circle, Loose([3]), Holder)

    assert simulate(scenario, 1).digest == simulate(scenario, 1).digest


# --- chance and time ---


def test_generators_do_not_disturb_each_other() -> None:
    def drawn(*purposes: str) -> dict[str, float]:
        async def scenario(sim: Simulation) -> dict[str, float]:
            return {purpose: sim.rng(purpose).random() for purpose in purposes}

        return simulate(scenario, 3).value

    one, other = drawn("a", "b", "c"), drawn("c", "a")
    assert one["a"] == other["a"] != one["b"] != one["c"] == other["c"]


def test_hosts_have_their_own_chance() -> None:
    async def scenario(sim: Simulation) -> None:
        one, other = sim.env("one"), sim.env("other")
        assert sim.env("one") is one
        assert one.token(16) != other.token(16) != one.token(16)
        assert one.uid() != one.uid()
        assert one.rng.random() != other.rng.random()

    simulate(scenario, 1)


# --- failures ---


def test_a_failure_leaves_as_it_is_and_tells_the_seed(capsys: pytest.CaptureFixture[str]) -> None:
    error = KeyError("mine")

    async def scenario(sim: Simulation) -> None:
        await trio.sleep(2)
        raise error

    with pytest.raises(KeyError) as caught:
        simulate(scenario, 4711, trace=True)
    assert caught.value is error
    (note,) = error.__notes__
    assert "scenario, seed=4711) failed at 2.000000 virtual seconds" in note
    told = capsys.readouterr().err
    assert note in told
    assert "2.000000000 task" in told, "with a trace, its end is shown"


def test_a_group_leaves_as_it_is() -> None:
    async def fail() -> None:
        raise ValueError("in a child")

    async def scenario(sim: Simulation) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)

    with pytest.raises(ExceptionGroup) as caught:
        simulate(scenario, 1)
    assert [type(error) for error in caught.value.exceptions] == [ValueError]


def test_time_is_limited() -> None:
    async def scenario(sim: Simulation) -> None:
        for _ in range(1_000):
            await trio.sleep(7)

    with pytest.raises(SimulationTimeoutError, match="not done after 100 virtual seconds") as caught:
        simulate(scenario, 1, deadline=100)
    assert "in test_time_is_limited.<locals>.scenario" in caught.value.__notes__[0]


def test_what_ends_exactly_at_the_limit_is_in_time() -> None:
    async def scenario(sim: Simulation) -> float:
        await trio.sleep(100)
        return trio.current_time()

    assert simulate(scenario, 1, deadline=100).value == 100


def test_a_deadlock_ends_with_the_places_where_tasks_wait() -> None:
    async def wait_in_vain() -> None:
        await trio.Event().wait()

    async def scenario(sim: Simulation) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_in_vain)
            await trio.sleep(3)

    with pytest.raises(DeadlockError, match=r"since 3\.000000 s") as caught:
        simulate(scenario, 1)
    assert "wait_in_vain" in caught.value.__notes__[0]


def test_an_error_during_the_end_of_a_stuck_run_is_its_cause() -> None:
    async def scenario(sim: Simulation) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise RuntimeError("clean-up failed")

    with pytest.raises(DeadlockError) as caught:
        simulate(scenario, 1)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_running_on_without_time_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "STEPS_PER_INSTANT", 1_000)

    async def scenario(sim: Simulation) -> None:
        await trio.sleep(1)
        while True:
            await trio.lowlevel.checkpoint()

    with pytest.raises(LivelockError, match=r"at 1\.000000 s"):
        simulate(scenario, 1)


# --- what surrounds a run ---


async def test_it_refuses_to_run_inside_a_loop() -> None:
    with pytest.raises(NestedSimulationError, match="plain function"):
        simulate(busy, 1)


@pytest.mark.anyio
async def test_it_refuses_to_run_inside_any_loop(anyio_backend_name: str) -> None:
    assert sniffio.current_async_library() == anyio_backend_name
    with pytest.raises(NestedSimulationError):
        simulate(busy, 1)


def test_everything_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(determinism.SCHEDULER, determinism.FLAG, False)
    generator = determinism.scheduler_generator(determinism.SCHEDULER)
    random.random()  # now the state is one that no simulation leaves behind
    states = generator.getstate(), random.getstate()

    async def fail(sim: Simulation) -> None:
        assert getattr(determinism.SCHEDULER, determinism.FLAG)
        raise KeyError

    simulate(busy, 1)
    with pytest.raises(KeyError):
        simulate(fail, 1)
    assert not getattr(determinism.SCHEDULER, determinism.FLAG)
    assert (generator.getstate(), random.getstate()) == states


@pytest.mark.parametrize("missing", [determinism.FLAG, determinism.GENERATOR, "unrolled_run"])
def test_an_unknown_trio_is_refused(missing: str) -> None:
    changed = ModuleType("trio._core._run")
    changed.__dict__.update(vars(determinism.SCHEDULER))
    delattr(changed, missing)
    with pytest.raises(UnsupportedTrioError, match=r"known to work with trio 0\.32"):
        determinism.scheduler_generator(changed)


@pytest.mark.parametrize("missing", ["GLOBAL_RUN_CONTEXT", "runner"])
def test_a_trio_without_its_runner_is_refused(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if missing == "runner":
        monkeypatch.setattr(determinism.SCHEDULER, "GLOBAL_RUN_CONTEXT", object())
    else:
        monkeypatch.delattr(determinism.SCHEDULER, missing)
    with pytest.raises(UnsupportedTrioError, match="no time can pass"):
        determinism.idle_watch()


def test_no_time_passes_for_who_waits_for_all_others() -> None:
    async def scenario(sim: Simulation) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 5)
            await trio.testing.wait_all_tasks_blocked()
            assert trio.current_time() == 0
        assert trio.current_time() == 5

    simulate(scenario, 1)


def test_a_call_from_outside_comes_before_time_passes() -> None:
    async def scenario(sim: Simulation) -> None:
        called: list[float] = []
        trio.lowlevel.current_trio_token().run_sync_soon(lambda: called.append(trio.current_time()))
        await trio.sleep(5)
        assert called == [0]

    simulate(scenario, 1)


@given(seeds)
def test_alarms_ring_in_time_and_only_for_who_waits(seed: int) -> None:
    async def scenario(sim: Simulation) -> None:
        clock, rng = trio.lowlevel.current_clock(), sim.rng("alarms")
        assert isinstance(clock, VirtualClock)
        parkings, due = [Parking(clock) for _ in range(8)], [float(rng.randrange(20)) for _ in range(8)]

        async def wait(number: int) -> None:
            with trio.move_on_at(12.5):
                await parkings[number].wait(rng.uniform(1, 20))
                assert trio.current_time() == due[number]

        async with trio.open_nursery() as nursery:
            for number in range(8):
                nursery.start_soon(wait, number)
            await trio.testing.wait_all_tasks_blocked()
            for number, parking in enumerate(parkings):
                parking.move(due[number])
        assert trio.current_time() == min(12.5, max(due))
        assert clock.next_alarm == inf

    simulate(scenario, seed)
