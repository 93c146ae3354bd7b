"""A thousand clients of one node, in other processes: what each costs the node, and how long their asks take.

python -m tests.bench.programs.crowd [CLIENTS]
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import quantiles
from typing import IO, Any

import anyio

from casty_trio import ActorRef, ClusterClient, ShardEnvelope
from tests.bench.programs.counting import NUM_SHARDS, SHARD_TYPE, SYSTEM, Get, Message
from tests.bench.programs.measuring import (
    CROWD,
    CROWD_ASKS,
    CROWD_ENTITIES,
    CROWD_PROCESSES,
    check,
    print_result,
    resident_kib,
)
from tests.bench.programs.serving import server

NODE, GUESTS = "tests.bench.programs.crowded", "tests.bench.programs.guests"
WARM_UP = 2_000
SETTLING = 3.0
"""Seconds in which nothing is said any more but signs of life."""


class Guests:
    """A process with some of the clients."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def hear(self) -> Any:
        """The next thing that it says."""
        line = self._pipe(self._process.stdout).readline()
        if not line:
            raise RuntimeError("clients ended before they said what was to be known")
        return json.loads(line)

    def go(self) -> None:
        """Let them ask."""
        pipe = self._pipe(self._process.stdin)
        pipe.write("go\n")
        pipe.flush()

    def _pipe(self, pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None  # it was asked for
        return pipe


@contextmanager
def guests(port: str, count: int) -> Iterator[Guests]:
    """A process with so many clients; they leave with the block."""
    command = [sys.executable, "-m", GUESTS, port, str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Guests(process)
        except BaseException:
            process.kill()
            raise
        assert process.stdin is not None  # it is a pipe
        process.stdin.close()


async def warm_up(port: int) -> None:
    """Start all entities, and let a client come, ask and go, so that what the first one costs is not counted."""
    async with ClusterClient([("127.0.0.1", port)], SYSTEM) as client:
        counters: ActorRef[ShardEnvelope[Message]] = client.entity_ref(SHARD_TYPE, num_shards=NUM_SHARDS)
        for number in range(WARM_UP):
            name = f"c{number % CROWD_ENTITIES}"
            check(await client.ask(counters, lambda r, name=name: ShardEnvelope(name, Get(r))), 0)


def measure(clients: int) -> None:
    """Let the clients come, and ask."""
    shares = [clients // CROWD_PROCESSES] * CROWD_PROCESSES
    with ExitStack() as stack:
        port, process = stack.enter_context(server("-m", NODE)).split()
        node = int(process)
        anyio.run(warm_up, int(port), backend="trio")
        time.sleep(SETTLING)
        before = resident_kib(node)
        crowd = [stack.enter_context(guests(port, share)) for share in shares]
        at_client = [each.hear() for each in crowd]
        time.sleep(SETTLING)
        connected = resident_kib(node)
        for each in crowd:
            each.go()
        took = [one for each in crowd for one in each.hear()]
        asked = resident_kib(node)
    check(len(took), sum(shares) * CROWD_ASKS)
    cuts = quantiles(took, n=100)
    print_result(
        {
            "crowd_kib_per_client": (connected - before) / sum(shares),
            "crowd_asked_kib_per_client": (asked - before) / sum(shares),
            "crowd_own_kib_per_client": sum(at_client) / len(at_client),
            "crowd_median_ms": cuts[49],
            "crowd_p99_ms": cuts[98],
        }
    )


if __name__ == "__main__":
    measure(int(sys.argv[1]) if len(sys.argv) > 1 else CROWD)
