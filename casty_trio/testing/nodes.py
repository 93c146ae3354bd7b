"""Runs the program of each node of a bench on a host of its own, and keeps what became of it. Floor F6.

A node is wanted up or down. One that ends by itself, with an error that the scenario expects or without any, is started
again after a while, as a process manager would do; any other error is a failure of the run.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Literal

import trio

from casty_trio.testing.errors import NodeFailedError
from casty_trio.testing.host import NodeProgram, SimulatedHost

if TYPE_CHECKING:
    from casty_trio.testing.simulation import Simulation

__all__ = ["Change", "Ending", "Nodes"]

Change = Literal["started", "crashed", "paused", "resumed", "told to leave", "ended"]
"""What happens to a node."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How one run of a node's program ended.

    Parameters:
        node: whose.
        at: when, in virtual seconds.
        how: it was crashed; it had been told to leave; it returned by itself; or it raised.
        error: what came out of it.
    """

    node: str
    at: float
    how: Literal["crashed", "left", "returned", "raised"]
    error: Exception | None = None


class _Node:
    def __init__(self, host: SimulatedHost) -> None:
        self.host = host
        self.wanted = False
        self.changed = trio.Event()
        self.pauses = 0
        self.told = False
        self.steady_since = inf


class Nodes:
    """The nodes of a bench; `Bench.nodes` gives them.

    Parameters:
        sim: the simulation they are in.
        names: what they are called.
        program: what each of them runs.
        expected: the errors with which a program may end.
        revive: after how many seconds a node that ended by itself is started again; ``math.inf`` is never.
        tell: called with each change.
        fail: called with what is a failure of the run.

    Attributes:
        sim: the simulation they are in.
        names: what they are called.
        endings: how programs ended so far, in order.
    """

    def __init__(
        self,
        sim: Simulation,
        names: Sequence[str],
        program: NodeProgram,
        *,
        expected: tuple[type[Exception], ...] = (),
        revive: float = 3.0,
        tell: Callable[[str, Change, str], object],
        fail: Callable[[Exception], object],
    ) -> None:
        self.sim: Simulation = sim
        self.names: tuple[str, ...] = tuple(names)
        self.endings: list[Ending] = []
        self._program = program
        self._expected = expected
        self._revive = revive
        self._tell, self._fail = tell, fail
        self._nodes = {name: _Node(sim.host(name)) for name in names}
        self._unreviving = False

    def __repr__(self) -> str:
        return f"<Nodes {', '.join(self.live)}>"

    @asynccontextmanager
    async def run(self, stagger: float = 0.0) -> AsyncGenerator[Nodes]:
        """Keep the nodes running that are wanted; all are at first.

        Parameters:
            stagger: how many seconds lie between two starts at most.
        """
        rng = self.sim.rng("stagger")
        async with trio.open_nursery() as nursery:
            for name in self.names:
                nursery.start_soon(self._live, name)
            nursery.start_soon(self._start_all, rng.sample(self.names, len(self.names)), stagger)
            try:
                yield self
            finally:
                nursery.cancel_scope.cancel()

    def host(self, name: str) -> SimulatedHost:
        """The machine of a node."""
        return self._nodes[name].host

    @property
    def live(self) -> tuple[str, ...]:
        """The nodes whose program runs, paused or not."""
        return tuple(name for name, node in self._nodes.items() if node.host.alive)

    @property
    def awake(self) -> tuple[str, ...]:
        """Those of them that are not paused."""
        return tuple(name for name in self.live if not self._nodes[name].host.paused)

    def is_told(self, name: str) -> bool:
        """Whether a node is to end by itself."""
        return self._nodes[name].told

    def steady_since(self, name: str) -> float:
        """Since when a node runs and was not paused; infinity when it is not so."""
        return self._nodes[name].steady_since

    def start(self, name: str) -> None:
        """Start a node; one that runs, or still unwinds, is not started before it has ended."""
        self._want(name, wanted=True)

    def crash(self, name: str, *, reset: bool = False) -> bool:
        """Crash a node, until it is started; see `SimulatedHost.crash`. Whether it ran."""
        node = self._nodes[name]
        self._want(name, wanted=False)
        if not node.host.alive:
            return False
        node.steady_since = inf
        self._tell(name, "crashed", "its process is killed" if reset else "its machine is off")
        node.host.crash(reset=reset)
        return True

    def leave(self, name: str) -> bool:
        """Tell a node to end by itself, until it is started. Whether it runs."""
        node = self._nodes[name]
        self._want(name, wanted=False)
        if not node.host.alive or node.told:
            return False
        node.told = True
        self._tell(name, "told to leave", "")
        node.host.terminate()
        return True

    async def told_to_leave(self, name: str) -> None:
        """Wait until a node is told to leave; for its program."""
        await self._nodes[name].host.wait_terminated()

    def pause(self, name: str) -> bool:
        """Pause a node, until it was resumed as often. Whether it runs."""
        node = self._nodes[name]
        if not node.host.alive:
            return False
        node.pauses += 1
        if node.pauses == 1:
            node.steady_since = inf
            node.host.pause()
            self._tell(name, "paused", "")
        return True

    def resume(self, name: str) -> None:
        """Let a paused node go on."""
        node = self._nodes[name]
        node.pauses = max(0, node.pauses - 1)
        if not node.pauses and node.host.paused:
            node.steady_since = trio.current_time()
            self._tell(name, "resumed", "")
            node.host.resume()

    def restore(self) -> None:
        """Let all nodes run, and none be paused."""
        for name, node in self._nodes.items():
            node.pauses = min(node.pauses, 1)
            self.resume(name)
            self.start(name)

    async def stop(self) -> None:
        """Tell all nodes to leave, and wait until they have; from now on none is started."""
        self._unreviving = True
        for name in self.names:
            self.leave(name)
        for node in self._nodes.values():
            await node.host.wait_ended()

    def _want(self, name: str, *, wanted: bool) -> None:
        node = self._nodes[name]
        if node.wanted != wanted:
            node.wanted = wanted
            node.changed.set()
            node.changed = trio.Event()

    async def _start_all(self, names: Iterable[str], stagger: float) -> None:
        for name in names:
            self.start(name)
            await trio.sleep(self.sim.rng("stagger").uniform(0, stagger))

    async def _live(self, name: str) -> None:
        node = self._nodes[name]
        while True:
            while not node.wanted or self._unreviving:
                await node.changed.wait()
            node.pauses, node.told = 0, False
            node.steady_since = trio.current_time()
            self._tell(name, "started", "")
            ending = await self._run_once(name, node)
            self._end(ending, node)
            if ending.how in ("returned", "raised"):
                with trio.move_on_after(self._revive):
                    while node.wanted:
                        await node.changed.wait()

    async def _run_once(self, name: str, node: _Node) -> Ending:
        crashes = node.host.crashes
        try:
            error = await node.host.run(self._program)
        except Exception as raised:  # noqa: BLE001 - it is judged
            return Ending(name, trio.current_time(), "raised", raised)
        if node.host.crashes > crashes:
            return Ending(name, trio.current_time(), "crashed", error)
        return Ending(name, trio.current_time(), "left" if node.told else "returned")

    def _end(self, ending: Ending, node: _Node) -> None:
        node.steady_since = inf
        self.endings.append(ending)
        why = "" if ending.error is None else f": {type(ending.error).__name__}: {ending.error}"
        self._tell(ending.node, "ended", f"it {'was ' if ending.how == 'crashed' else ''}{ending.how}{why}")
        if ending.how == "raised" and not isinstance(ending.error, self._expected):
            failure = NodeFailedError(f"the program of {ending.node} failed at {ending.at:.6f} s{why}")
            failure.__cause__ = ending.error
            self._fail(failure)
