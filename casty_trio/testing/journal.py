"""A journal that each node of a bench keeps on its disk, to see that what was promised is there after a crash. Floor F6."""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from zlib import crc32

import trio

from casty_trio.env import Disk, Env
from casty_trio.testing.clock import sleep
from casty_trio.testing.observer import Invariant

__all__ = ["Journal"]

NAME = "journal"
_record = Struct("<II")


class Journal(Invariant):
    """What was synced is read again by the next start of the node; only what was not may be torn or missing.

    Attributes:
        acked: how many records were synced.
        failed: how many writes or syncs failed.
        torn: how many torn records were found, and removed.
    """

    name = "I6 acked means done"

    def __init__(self) -> None:
        self.acked: int = 0
        self.failed: int = 0
        self.torn: int = 0
        self._promised: dict[str, int] = {}  # the highest number that was synced, by node

    async def write(self, env: Env, node: str) -> None:
        """Go on with a node's journal; a task of its program."""
        disk = env.disk("bench")
        number = await self._recover(disk, node)
        while True:
            await sleep(0.5)
            data = _record.pack(number + 1, crc32(number.to_bytes(4, "little")))
            try:
                await disk.append(NAME, data)
                await disk.sync(NAME)
            except OSError:
                self.failed += 1
                number = await self._recover(disk, node)  # any part of it may be there
                continue
            number += 1
            self.acked += 1
            if self.observer.hears(node):
                self._promised[node] = max(number, self._promised.get(node, 0))

    async def _recover(self, disk: Disk, node: str) -> int:
        """The last number that is there, once the disk answers; what is torn behind it is removed."""
        while True:
            try:
                return await self._read(disk, node)
            except OSError:
                self.failed += 1
                await trio.sleep(0.5)

    async def _read(self, disk: Disk, node: str) -> int:
        try:
            data = await disk.read(NAME)
        except FileNotFoundError:
            data = b""
        number = 0
        for at in range(0, len(data) - _record.size + 1, _record.size):
            found, check = _record.unpack_from(data, at)
            if found != number + 1 or check != crc32(number.to_bytes(4, "little")):
                self.fail(f"record {number + 1} of the journal is broken, and not the last: {found}", node)
            number = found
        whole = number * _record.size
        promised = self._promised.get(node, 0)
        if number < promised and self.observer.hears(node):
            self.fail(f"the journal ends at {number}, and {promised} had been synced", node)
        if whole < len(data):
            self.torn += 1
            await disk.replace(NAME, data[:whole])
        return number

    def report(self) -> Mapping[str, float]:
        return {"journaled": self.acked, "disk errors": self.failed, "torn records": self.torn}
