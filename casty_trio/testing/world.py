"""The world as a simulated host sees it: its clocks, chance from the seed, network and disk in memory. Floor F6."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

import anyio.abc
import trio
from anyio.abc import ByteStream, Listener

from casty_trio.env import Disk, Env
from casty_trio.testing.clock import VirtualClock
from casty_trio.testing.disk import SimulatedDisk
from casty_trio.testing.network import Network

__all__ = ["Clock", "SimulatedEnv"]

T = TypeVar("T")

WALL_TIME_AT_START = 1_750_000_000.0
"""Some moment in June 2025; fixed, so that what is printed is the same in every run."""


class Clock:
    """A host's clock, which may be wrong: it jumps, and it gains or loses time.

    Parameters:
        time: the simulation's, which is right.
        start: what it shows at first.

    Attributes:
        gain: how many seconds it gains in each second; negative when it is slow. Change it with `drift`.
    """

    def __init__(self, time: VirtualClock, start: float = 0.0) -> None:
        self.gain: float = 0.0
        self._time = time
        self._since, self._shown = 0.0, start

    def read(self) -> float:
        """What it shows."""
        elapsed = self._time.now - self._since
        return self._shown + elapsed + self.gain * elapsed

    def jump(self, seconds: float) -> None:
        """Let it show so much more from now on, or less."""
        self._shown += seconds

    def drift(self, gain: float) -> None:
        """Let it gain so many seconds in each second from now on."""
        self._shown, self._since = self.read(), self._time.now
        self.gain = gain


class SimulatedEnv(Env):
    """An `Env` in which nothing is real; `Simulation.env` makes it.

    Parameters:
        name: the host's name.
        seed: the simulation's; what is drawn depends on it and the name.
        network: where it listens and dials.

    Attributes:
        name: the host's name.
        clock: what `now` reads; a wrong one may gain time, but does not jump.
        wall_clock: what `wall_time` reads; a wrong one may do both.
        drive: what the files of `disk` are on.
    """

    check_serialization: bool = True
    """In a simulation they do: what works on one node has to work on two."""

    def __init__(self, name: str, seed: int, network: Network) -> None:
        self.name: str = name
        self.clock: Clock = Clock(network.clock)
        self.wall_clock: Clock = Clock(network.clock, WALL_TIME_AT_START)
        self.drive: SimulatedDisk = SimulatedDisk(random.Random(f"{seed}:env:{name}:disk"))
        self._network = network
        self._rng = random.Random(f"{seed}:env:{name}:rng")
        self._tokens = random.Random(f"{seed}:env:{name}:token")

    def __repr__(self) -> str:
        return f"<SimulatedEnv {self.name}>"

    @property
    def rng(self) -> random.Random:
        return self._rng

    def now(self) -> float:
        return self.clock.read()

    def wall_time(self) -> float:
        return self.wall_clock.read()

    def token(self, size: int) -> bytes:
        return self._tokens.randbytes(size)

    async def connect(self, host: str, port: int) -> ByteStream:
        return await self._network.connect(self.name, host, port)

    async def listen(self, host: str, port: int) -> Listener[ByteStream]:
        await trio.lowlevel.checkpoint()
        return self._network.listen(self.name, host, port)

    def local_port(self, listener: Listener[ByteStream]) -> int:
        return int(listener.extra(anyio.abc.SocketAttribute.local_port))

    def disk(self, folder: str) -> Disk:
        return self.drive.folder(folder)

    async def run_sync(self, function: Callable[[], T]) -> T:
        # A thread would know nothing of the virtual clock, and end at another time in each run.
        await trio.lowlevel.checkpoint()
        return function()
