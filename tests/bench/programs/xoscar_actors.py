"""The counter on xoscar, called the way its users call it: by method. Actors live in this process, or in another one.

A call to an actor of the same process runs its method in the caller's task, under a lock: no mailbox and no task switch.

    python -m tests.bench.programs.xoscar_actors {local,remote,serve}
"""

import asyncio
import importlib
import sys
from typing import Any, NamedTuple

from tests.bench.programs.measuring import (
    CALLERS,
    PEER_ASKS,
    PEER_CALLS,
    PEER_REMOTE_ASKS,
    PEER_REMOTE_CALLS,
    PEER_REMOTE_TELLS,
    PEER_TELLS,
    WARM_UP,
    Result,
    check,
    print_result,
    timed,
)
from tests.bench.programs.serving import server

xoscar: Any = importlib.import_module("xoscar")  # the checkers need not have it

NAMES = ["a", *(f"b{i}" for i in range(CALLERS))]


class Counts(NamedTuple):
    asks: int
    calls: int
    tells: int


LOCAL = Counts(PEER_ASKS, PEER_CALLS, PEER_TELLS)
REMOTE = Counts(PEER_REMOTE_ASKS, PEER_REMOTE_CALLS, PEER_REMOTE_TELLS)


class Counter(xoscar.Actor):  # type: ignore[misc] # its base is Any
    def __init__(self) -> None:
        self.total = 0

    def add(self, amount: int) -> None:
        self.total += amount

    def get(self) -> int:
        return self.total


async def measure(address: str, counts: Counts) -> None:
    result: Result = {}
    one, *many = [await xoscar.actor_ref(address=address, uid=name) for name in NAMES]
    for i in range(WARM_UP):
        await one.add.tell(1)
        check(await one.get(), i + 1)
    with timed(result, "ask_per_s", counts.asks):
        for _ in range(counts.asks):
            await one.get()
    await callers(many, counts.calls, result)
    await tells(one, counts.tells, result)
    print_result(result)


async def callers(refs: list[Any], calls: int, result: Result) -> None:
    """64 tasks, each asks an actor of its own."""

    async def call(ref: Any) -> int:
        return sum([await ref.get() is not None for _ in range(calls)])

    with timed(result, "ask_64_per_s", CALLERS * calls):
        answered = sum(await asyncio.gather(*map(call, refs)))
    check(answered, CALLERS * calls)


async def tells(ref: Any, count: int, result: Result) -> None:
    """Tells to one actor, until its count says that it has handled them all."""
    expected = await ref.get() + count
    handled = 0
    with timed(result, "tell_per_s", count):
        for _ in range(count):
            await ref.add.tell(1)
        while handled < expected:
            handled = await ref.get()
    check(handled, expected)


async def open_pool() -> Any:
    pool = await xoscar.create_actor_pool("127.0.0.1:0", n_process=0)
    for name in NAMES:
        await xoscar.create_actor(Counter, address=pool.external_address, uid=name)
    return pool


async def local() -> None:
    async with await open_pool() as pool:
        await measure(pool.external_address, LOCAL)


async def serve() -> None:
    async with await open_pool() as pool:
        print(pool.external_address, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    match sys.argv[1]:
        case "local":
            asyncio.run(local())
        case "serve":
            asyncio.run(serve())
        case "remote":
            with server("-m", "tests.bench.programs.xoscar_actors", "serve") as where:
                asyncio.run(measure(where, REMOTE))
