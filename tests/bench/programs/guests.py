"""Some of a crowd of clients, in one process; `crowd` runs several of these.

python -m tests.bench.programs.guests PORT COUNT

It prints how much memory each client takes once all have entered, then waits for a line. Then each of them asks once a
second, at a moment of its own, and it prints how long each ask took, in milliseconds. It leaves when its input ends.
"""

from __future__ import annotations

import gc
import json
import random
import sys
import time
from contextlib import AsyncExitStack

import trio

from casty_trio import ActorRef, ClusterClient, ShardEnvelope
from tests.bench.programs.counting import NUM_SHARDS, SHARD_TYPE, SYSTEM, Get, Message
from tests.bench.programs.measuring import CROWD_ASKS, CROWD_ENTITIES, check, resident_kib

AT_ONCE = 10
"""So many enter at a time: a node shakes hands with 64 at most, and there are several such processes."""
PATIENCE = 60.0
PERIOD = 1.0
"""Each client asks so often, in seconds."""


class Crowd:
    """All clients of this process: each lives in a task of its own."""

    def __init__(self, port: int, count: int) -> None:
        self.took: list[float] = []
        self.entered, self.asking, self.leaving = trio.Event(), trio.Event(), trio.Event()
        self._port, self._missing, self._asking = port, count, count
        self._entering = trio.Semaphore(AT_ONCE)
        self.asked = trio.Event()

    async def live(self, number: int) -> None:
        """Enter when it is one's turn, ask when all may, and leave when all do."""
        async with AsyncExitStack() as stack:
            async with self._entering:
                client = ClusterClient([("127.0.0.1", self._port)], SYSTEM, connect_timeout=PATIENCE)
                await stack.enter_async_context(client)
            self._missing -= 1
            if not self._missing:
                self.entered.set()
            await self.asking.wait()
            await ask(client, f"c{number % CROWD_ENTITIES}", self.took)
            self._asking -= 1
            if not self._asking:
                self.asked.set()
            await self.leaving.wait()


async def ask(client: ClusterClient, entity: str, took: list[float]) -> None:
    """Ask an entity now and then; put down how long each ask took."""
    counters: ActorRef[ShardEnvelope[Message]] = client.entity_ref(SHARD_TYPE, num_shards=NUM_SHARDS)
    await trio.sleep(random.uniform(0, PERIOD))
    for _ in range(CROWD_ASKS):
        begun = time.perf_counter()
        total: int = await client.ask(counters, lambda r: ShardEnvelope(entity, Get(r)), timeout=PATIENCE)
        seconds = time.perf_counter() - begun
        check(total, 0)
        took.append(round(1_000 * seconds, 3))
        await trio.sleep(max(0.0, PERIOD - seconds))


async def main(port: int, count: int) -> None:
    async with ClusterClient([("127.0.0.1", port)], SYSTEM):
        pass  # what the first one imports and sets up is not counted
    gc.collect()
    before = resident_kib()
    crowd = Crowd(port, count)
    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(crowd.live, number)
        await crowd.entered.wait()
        gc.collect()
        print(json.dumps((resident_kib() - before) / count), flush=True)
        await trio.to_thread.run_sync(sys.stdin.readline)
        crowd.asking.set()
        await crowd.asked.wait()
        print(json.dumps(crowd.took), flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)
        crowd.leaving.set()


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]), int(sys.argv[2]))
