"""A disk in memory, with the faults of a real one. Floor F6.

What was appended and not synced is lost in a crash, from some byte on: the last write may be torn anywhere, and nothing
behind the tear is left. What was synced or replaced stays. A folder that a process got before a crash is dead after it.
"""

from __future__ import annotations

import errno
import random
from math import inf
from typing import Final

from casty_trio.env import Disk
from casty_trio.model.checks import check_count, check_flag, check_seconds
from casty_trio.testing.clock import sleep

__all__ = ["SimulatedDisk"]

LATENCY: Final = (0.0001, 0.003)
"""How long a sync takes at least and at most, in seconds, when nothing is said."""


class _File:
    def __init__(self) -> None:
        self.data = bytearray()
        self.synced = 0


class SimulatedDisk:
    """The disk of a simulated host: `SimulatedEnv.drive`.

    Parameters:
        rng: where a write is torn, and how long a sync takes.

    Attributes:
        writes: how often something was written.
        torn: how many crashes have left a part of a write.

    Example::

        sim.host("node-1").disk.set_faults(slow=0.5)
    """

    def __init__(self, rng: random.Random) -> None:
        self.writes: int = 0
        self.torn: int = 0
        self._rng = rng
        self._files: dict[str, _File] = {}
        self._starts = 0  # how often it was mounted anew
        self._capacity: float = inf
        self._slow = 0.0
        self._broken = False

    def __repr__(self) -> str:
        return f"<SimulatedDisk {len(self._files)} files, {self.used} bytes>"

    @property
    def used(self) -> int:
        """How many bytes are on it."""
        return sum(len(file.data) for file in self._files.values())

    def folder(self, path: str) -> Disk:
        """The files whose names begin so, for the process that runs now."""
        return _Folder(self, path, self._starts)

    def set_faults(self, *, room: float = inf, slow: float = 0.0, broken: bool = False) -> None:
        """Say how it behaves from now on; without an argument, as it should.

        Parameters:
            room: bytes that it still takes; what does not fit fails with ``ENOSPC``, after as much of it as does.
            slow: seconds that a sync takes longer, at most.
            broken: whatever is done with it fails with ``EIO``.
        """
        check_count("room", room, 0, inf)
        check_seconds("slow", slow, finite=True)
        check_flag("broken", broken)
        self._capacity = self.used + room
        self._slow, self._broken = slow, broken

    def crash(self, *, power: bool = True) -> None:
        """The process is gone, or the whole machine.

        Parameters:
            power: of what was not synced, a part from the beginning is there, or nothing. Without, it is all there.
        """
        self._starts += 1
        if not power:
            return
        for name, file in sorted(self._files.items()):
            if len(file.data) > file.synced:
                kept = self._rng.randrange(file.synced, len(file.data) + 1)
                self.torn += file.synced < kept < len(file.data)
                del file.data[kept:]
                file.synced = kept
            if not file.data and not file.synced:
                del self._files[name]

    # --- What folders do ---

    async def read(self, name: str, start: int) -> bytes:
        """As `Disk.read`; ``start`` says which process reads."""
        await self._wait(start)
        return bytes(self._file(name).data)

    async def append(self, name: str, start: int, data: bytes) -> None:
        """As `Disk.append`."""
        await self._wait(start)
        file = self._files.setdefault(name, _File())
        fitting = self._fitting(data)
        file.data += fitting
        if len(fitting) < len(data):
            raise OSError(errno.ENOSPC, f"no room for all of {len(data)} bytes in {name}")

    async def sync(self, name: str, start: int) -> None:
        """As `Disk.sync`."""
        file = self._file(name)
        end = len(file.data)
        await self._wait(start, self._rng.uniform(*LATENCY) + self._rng.random() * self._slow)
        file.synced = max(file.synced, end)

    async def replace(self, name: str, start: int, data: bytes) -> None:
        """As `Disk.replace`."""
        await self._wait(start, self._rng.uniform(*LATENCY) + self._rng.random() * self._slow)
        if len(self._fitting(data)) < len(data):
            raise OSError(errno.ENOSPC, f"no room for {len(data)} bytes in {name}")
        file = self._files[name] = _File()
        file.data += data
        file.synced = len(data)

    async def _wait(self, start: int, seconds: float = 0.0) -> None:
        await sleep(seconds)
        if start != self._starts:
            raise OSError(errno.EIO, "the process that opened the folder is dead")
        if self._broken:
            raise OSError(errno.EIO, "the disk is broken")

    def _file(self, name: str) -> _File:
        if name not in self._files:
            raise FileNotFoundError(errno.ENOENT, f"no file {name}")
        return self._files[name]

    def _fitting(self, data: bytes) -> bytes:
        self.writes += 1
        room = self._capacity - self.used
        return data if len(data) <= room else data[: max(0, int(room))]


class _Folder(Disk):
    def __init__(self, disk: SimulatedDisk, path: str, start: int) -> None:
        self._disk, self._path, self._start = disk, path, start

    def __repr__(self) -> str:
        return f"<folder {self._path} of {self._disk!r}>"

    async def read(self, name: str) -> bytes:
        return await self._disk.read(f"{self._path}/{name}", self._start)

    async def append(self, name: str, data: bytes) -> None:
        await self._disk.append(f"{self._path}/{name}", self._start, data)

    async def sync(self, name: str) -> None:
        await self._disk.sync(f"{self._path}/{name}", self._start)

    async def replace(self, name: str, data: bytes) -> None:
        await self._disk.replace(f"{self._path}/{name}", self._start, data)
