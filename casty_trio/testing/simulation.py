"""Runs a whole system in one `trio.run` on a virtual clock, as a function of a seed. Floor F6.

Rules: a scenario touches the world only through `Simulation.env`, and chance only through generators that come from the
seed. Whatever a run does is then fixed by the scenario and the seed, in every process and on every machine with
one version of Python and Trio. Real threads, sockets and files know nothing of the virtual clock: keep them out.
"""

from __future__ import annotations

import random
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from math import inf, nextafter
from typing import Any, Generic, TypeVar, cast

import anyio
import msgspec
import trio

from casty_trio.errors import CastyError, UsageError
from casty_trio.testing.clock import VirtualClock
from casty_trio.testing.determinism import deterministic
from casty_trio.testing.digest import STEPS_PER_INSTANT, StepDigest
from casty_trio.testing.errors import DeadlockError, LivelockError, NestedSimulationError, SimulationTimeoutError
from casty_trio.testing.freezer import Freezer
from casty_trio.testing.host import SimulatedHost
from casty_trio.testing.network import Network, NetworkStatistics
from casty_trio.testing.stuck import where_tasks_are
from casty_trio.testing.world import SimulatedEnv

__all__ = ["Result", "Simulation", "simulate"]

T = TypeVar("T")

TRACE_LINES_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Result(Generic[T]):
    """How a simulation went.

    Parameters:
        value: what the scenario returned.
        seed: what it ran with.
        seconds: how much virtual time passed.
        steps: how often a task ran.
        digest: one number for every step and record: equal digests, equal runs.
        network: what the network carried.
        trace: a line for each step and record, when ``trace=True``.
    """

    value: T
    seed: int
    seconds: float
    steps: int
    digest: str
    network: NetworkStatistics
    trace: tuple[str, ...] = ()


class Simulation:
    """What a scenario is given: a world for each host, the network between them, and chance from the seed."""

    def __init__(self, seed: int, digest: StepDigest, clock: VirtualClock) -> None:
        self.seed = seed
        self.network: Network = Network(clock, seed)
        self._digest = digest
        self._generators: dict[str, random.Random] = {}
        self._envs: dict[str, SimulatedEnv] = {}
        self._hosts: dict[str, SimulatedHost] = {}
        self._freezer = Freezer()

    def __repr__(self) -> str:
        return f"<Simulation seed={self.seed}, {self._digest!r}, {self.network!r}>"

    def rng(self, purpose: str) -> random.Random:
        """The generator for a purpose. Drawing for one purpose changes nothing for another.

        Example::

            victim = sim.rng("crashes").choice(nodes)
        """
        if purpose not in self._generators:
            # Seeding from a string hashes it with SHA-512, which PYTHONHASHSEED does not touch.
            self._generators[purpose] = random.Random(f"{self.seed}:rng:{purpose}")
        return self._generators[purpose]

    def env(self, name: str) -> SimulatedEnv:
        """The world as one host sees it; the same object for the same name, so what restarts there draws anew.

        Parameters:
            name: the host, for the network's conditions; also a name it can listen under.
        """
        if name not in self._envs:
            self._envs[name] = SimulatedEnv(name, self.seed, self.network)
        return self._envs[name]

    def host(self, name: str) -> SimulatedHost:
        """The machine of a name, which can be crashed, paused and started again; the same object for the same name.

        Parameters:
            name: as for `env`, and its env is that one.
        """
        if name not in self._hosts:
            self._hosts[name] = SimulatedHost(name, self.env(name), self.network, self._freezer)
        return self._hosts[name]

    def record(self, *values: object) -> None:
        """Fold values into the digest, and into the trace if one is kept.

        Parameters:
            values: anything whose repr is the same in every process.

        Raises:
            UsageError: the repr holds a memory address, or there is a set somewhere in a value: in a list, a tuple, a deque,
                a dict, a dataclass or a Struct. Its order differs between processes.
        """
        text = ", ".join(map(repr, values))
        if " at 0x" in text:
            raise UsageError(f"the repr holds a memory address, which differs from run to run: {text}")
        if _holds_set(values):
            raise UsageError(f"a set has no fixed order; record sorted(...) of it: {text}")
        self._digest.record(text)


def _holds_set(values: tuple[object, ...]) -> bool:
    """Whether there is a set in what a repr of the values shows."""
    todo: list[Any] = [*values]
    seen: dict[int, object] = {}  # by id; it also keeps what it names alive, so that no id comes twice
    while todo:
        value = todo.pop()
        if isinstance(value, (set, frozenset)):
            return True
        if id(value) not in seen:
            seen[id(value)] = value
            todo.extend(_parts(value))
    return False


def _parts(value: Any) -> Iterable[object]:
    if isinstance(value, (list, tuple, deque)):
        return cast("Iterable[object]", value)
    if isinstance(value, Mapping):
        mapping = cast("Mapping[object, object]", value)
        return [*mapping.keys(), *mapping.values()]
    if isinstance(value, type):
        return ()
    if is_dataclass(value):
        return [getattr(value, each.name, None) for each in fields(value) if each.repr]
    if isinstance(value, msgspec.Struct):
        return [getattr(value, name, None) for name in value.__struct_fields__]
    return ()


class _Run(Generic[T]):
    """One scenario under way, and who watches that it ends."""

    def __init__(self, scenario: Callable[[Simulation], Awaitable[T]], seed: int, trace: bool, deadline: float) -> None:
        self._scenario = scenario
        self._deadline = deadline
        self._verdict: CastyError | None = None
        self._scope = trio.CancelScope()
        self.digest = StepDigest(trace=trace, on_livelock=self._stop_livelock)
        self.clock = VirtualClock()
        self.sim = Simulation(seed, self.digest, self.clock)

    async def main(self) -> T:
        trio.lowlevel.spawn_system_task(self._watch)
        try:
            with self._scope:
                return await self._scenario(self.sim)
        except Exception as error:
            if self._verdict is None:
                raise
            raise self._verdict from error
        assert self._verdict is not None, "only a verdict cancels the scope"
        raise self._verdict

    async def _watch(self) -> None:
        # A moment later than the limit, so that what is due exactly then still comes.
        await trio.sleep_until(nextafter(self._deadline, inf))
        if trio.lowlevel.current_statistics().seconds_to_next_deadline == self.clock.next_alarm == inf:
            self._stop(DeadlockError(f"every task waits since {self.digest.before:.6f} s, and no timer is left"))
        else:
            self._stop(SimulationTimeoutError(f"not done after {self._deadline:g} virtual seconds"))

    def _stop_livelock(self) -> None:
        self._stop(LivelockError(f"{STEPS_PER_INSTANT} steps at {self.digest.now:.6f} s, and no time passes"))

    def _stop(self, verdict: CastyError) -> None:
        if self._verdict is None:
            verdict.add_note(where_tasks_are())
            self._verdict = verdict
            self._scope.cancel()


def simulate(
    scenario: Callable[[Simulation], Awaitable[T]],
    seed: int,
    *,
    trace: bool = False,
    deadline: float = 3600.0,
    quiet: bool = False,
) -> Result[T]:
    """Run a scenario on a virtual clock; what it does depends on the seed alone.

    Parameters:
        scenario: an async function of one `Simulation`.
        seed: fixes the scheduling, the network and all generators.
        trace: keep a line for each step, to find where two runs part.
        deadline: virtual seconds after which the scenario has failed.
        quiet: tell the seed of a failure in its note only, and not on stderr as well.

    Raises:
        SimulationTimeoutError: it was not done at the deadline.
        DeadlockError: every task waits, and nothing will wake one.
        LivelockError: tasks run on without any time passing.
        NestedSimulationError: an event loop is running here already.
        UnsupportedTrioError: this version of Trio cannot be made deterministic.
        BaseException: whatever the scenario raises, as it is, with the seed in a note; it is told on stderr, too.

    Example::

        async def scenario(sim: Simulation) -> None:
            listener = await sim.env("server").listen("server", 2000)
            stream = await sim.env("client").connect("server", 2000)

        simulate(scenario, seed=7)
    """
    _refuse_inside_loop()
    run = _Run(scenario, seed, trace, deadline)
    try:
        with deterministic(seed):
            value = trio.run(run.main, clock=run.clock, instruments=[run.digest])
    except BaseException as error:
        _tell_seed(error, scenario, run.sim, run.digest, quiet)
        raise
    digest = run.digest
    network = run.sim.network.statistics()
    seconds = run.clock.now
    return Result(value, seed, seconds, digest.steps, digest.hexdigest(), network, tuple(digest.trace or ()))


def _refuse_inside_loop() -> None:
    try:
        anyio.get_cancelled_exc_class()
    except RuntimeError:
        return  # nothing runs here
    raise NestedSimulationError("simulate() starts an event loop itself: call it from a plain function, without await")


def _tell_seed(
    error: BaseException,
    scenario: Callable[[Simulation], Awaitable[object]],
    sim: Simulation,
    digest: StepDigest,
    quiet: bool,
) -> None:
    name = getattr(scenario, "__qualname__", repr(scenario))
    note = f"simulate({name}, seed={sim.seed}) failed at {digest.now:.6f} virtual seconds; the same call replays it"
    error.add_note(note)
    if quiet:
        return
    lines = [f"{type(error).__name__}: {note}", *(digest.trace or ())[-TRACE_LINES_SHOWN:]]
    sys.stderr.write("\n".join(lines) + "\n")
