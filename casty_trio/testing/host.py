"""A machine of a simulation, whose process is started, crashed, paused and started again. Floor F6.

A crash cuts the host off before it cancels: nothing that the unwinding program writes leaves it, neither a goodbye nor a
file. A pause holds every task of the process, whatever it waits for, while the machine's network goes on: connections are
accepted, and bytes are taken for as long as the windows last.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from casty_trio.errors import UsageError
from casty_trio.testing.disk import SimulatedDisk
from casty_trio.testing.freezer import Freezer
from casty_trio.testing.network import Network
from casty_trio.testing.world import SimulatedEnv

__all__ = ["NodeProgram", "SimulatedHost"]

NodeProgram = Callable[[SimulatedEnv, str], Awaitable[object]]
"""What runs on a host: an async function of its env and its name. It runs until it returns, raises, or is crashed."""


class _Process:
    """One run of a program."""

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.told = trio.Event()  # to end by itself
        self.ended = trio.Event()
        self.root: trio.lowlevel.Task | None = None
        self.paused = False
        self.crashed = False
        self.error: Exception | None = None


class SimulatedHost:
    """A machine; `Simulation.host` makes it.

    Parameters:
        name: its name, for the network's conditions; also a name that it can listen under.
        env: the world as its programs see it.
        network: what it is connected to.
        freezer: what holds the tasks of a paused process.

    Attributes:
        name: its name.
        env: the world as its programs see it; another start draws other uids from it.
        starts: how many programs were started on it.
        crashes: how often it was crashed.

    Example::

        async def scenario(sim):
            host = sim.host("node-1")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(host.run, program)
                await trio.sleep(10)
                host.crash()
    """

    def __init__(self, name: str, env: SimulatedEnv, network: Network, freezer: Freezer) -> None:
        self.name: str = name
        self.env: SimulatedEnv = env
        self.starts: int = 0
        self.crashes: int = 0
        self._network = network
        self._freezer = freezer
        self._process: _Process | None = None

    def __repr__(self) -> str:
        state = "paused" if self.paused else "running" if self.alive else "down"
        return f"<SimulatedHost {self.name}, {state}>"

    @property
    def alive(self) -> bool:
        """Whether a program runs on it, paused or not; one that has been crashed does not, though it still unwinds."""
        return self._process is not None and not self._process.crashed

    @property
    def paused(self) -> bool:
        """Whether its program is paused."""
        return self._process is not None and self._process.paused

    @property
    def disk(self) -> SimulatedDisk:
        """What is left of its files when its program has gone."""
        return self.env.drive

    async def run(self, program: NodeProgram) -> Exception | None:
        """Run a program as the host's process, until it ends or is crashed.

        Returns:
            What came out of a program that was crashed, if it raised while it unwound; nobody would ever see it.

        Raises:
            UsageError: another one runs on the host.
            Exception: what the program raises.
        """
        if self._process is not None:
            raise UsageError(f"{self.name} runs a program already: crash it, or wait for its end")
        self._network.put_back(self.name)
        self.starts += 1
        process = self._process = _Process()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._guard, process)
                nursery.start_soon(self._live, process, program, nursery.cancel_scope, name=self.name)
        finally:
            self._process = None
            process.ended.set()
        if process.error is not None and not process.crashed:
            raise process.error
        return process.error

    async def _live(self, process: _Process, program: NodeProgram, scope: trio.CancelScope) -> None:
        process.root = trio.lowlevel.current_task()
        try:
            with process.scope:
                await program(self.env, self.name)
        except Exception as error:  # noqa: BLE001 - `run` raises it, without the nursery's group
            process.error = error
        scope.cancel()

    async def _guard(self, process: _Process) -> None:
        """Whoever cancels a paused process wants it gone: let it run, so that it can go."""
        try:
            await trio.sleep_forever()
        finally:
            self._thaw(process)

    # --- What befalls it ---

    def crash(self, *, reset: bool = False) -> None:
        """End the program, if one runs, without a word to anybody.

        Parameters:
            reset: the machine lives on: what comes for the process is answered with a reset, and dials are refused. Else
                nobody hears anything until the next start.
        """
        self.crashes += 1
        self._network.take_off(self.name, refusing=reset)
        self.disk.crash(power=not reset)
        if self._process is not None:
            self._process.crashed = True
            self._process.scope.cancel()
            self._thaw(self._process)

    def pause(self) -> None:
        """Stop the program where it is, as SIGSTOP does; its timers do not fire either. Does nothing when none runs."""
        process = self._process
        if process is not None and process.root is not None and not process.paused and not process.crashed:
            process.paused = True
            self._freezer.freeze(process.root)

    def resume(self) -> None:
        """Let a paused program go on; everything that became due meanwhile is due now, in no particular order."""
        if self._process is not None:
            self._thaw(self._process)

    def _thaw(self, process: _Process) -> None:
        if process.paused and process.root is not None:
            process.paused = False
            self._freezer.thaw(process.root)

    def terminate(self) -> None:
        """Ask the program to end by itself: `wait_terminated` returns. The host's SIGTERM."""
        if self._process is not None:
            self._process.told.set()

    async def wait_terminated(self) -> None:
        """Wait until the program is asked to end; for the program itself."""
        if self._process is None:
            await trio.sleep_forever()
        else:
            await self._process.told.wait()

    async def wait_ended(self) -> None:
        """Wait until no program runs on the host, and none unwinds."""
        if self._process is None:
            await trio.lowlevel.checkpoint()
        else:
            await self._process.ended.wait()

    def skew(self, seconds: float) -> None:
        """Let the wall clock jump."""
        self.env.wall_clock.jump(seconds)

    def drift(self, gain: float, *, monotonic: bool = False) -> None:
        """Let the wall clock gain so many seconds in each second from now on, or lose them.

        Parameters:
            gain: -0.05 is a clock that loses three seconds a minute.
            monotonic: let the other clock, `Env.now`, do the same.
        """
        self.env.wall_clock.drift(gain)
        if monotonic:
            self.env.clock.drift(gain)
