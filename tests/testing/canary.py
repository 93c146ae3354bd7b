"""One big scenario whose digest must be the same in every process; `test_canary` runs it in several.

It holds what makes runs differ elsewhere: thousands of waiters on one event (a set, in the order of addresses), equal
deadlines, mass cancellation, heap noise, garbage with finalizers that reach the scheduler, sets of strings, and hosts
that exchange bytes. `--without-flag` takes Trio's flag away again, to show that it is needed.
"""

import random
import sys
from collections.abc import AsyncGenerator, Callable

import anyio
import trio
from anyio.abc import ByteStream, Listener

from casty_trio.testing import Simulation, determinism, digest, simulate

WAITERS = 3_000
HOSTS = [f"host-{number}" for number in range(5)]
NOISE = random.SystemRandom()  # disturbs the heap on purpose, as imports and fixtures do


async def scenario(sim: Simulation) -> None:
    if "--without-flag" in sys.argv:
        setattr(determinism.SCHEDULER, determinism.FLAG, False)
    noise = [bytearray(NOISE.randrange(16, 500)) for _ in range(NOISE.randrange(5_000))]
    await crowd(sim)
    await chatter(sim)
    await litter()
    sim.record("sorted", sorted({f"name-{number}" for number in range(100)}))
    del noise


async def crowd(sim: Simulation) -> None:
    """Thousands of tasks that wake at once, are due at once, and are cancelled at once."""
    rng, event, noise = sim.rng("crowd"), trio.Event(), []

    async def waiter() -> None:
        await trio.sleep(rng.choice((1, 1, rng.random())))
        await event.wait()
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        for _ in range(WAITERS):
            noise.append(bytearray(NOISE.randrange(16, 500)))
            nursery.start_soon(waiter)
        await trio.sleep(5)
        event.set()
        await trio.sleep(1)
        nursery.cancel_scope.cancel()


async def chatter(sim: Simulation) -> None:
    """Every host tells every other host things; who got what is recorded."""

    async def reader(name: str, stream: ByteStream) -> None:
        async with stream:
            got = b"".join([data async for data in stream])
        sim.record(name, len(got), got[:8])

    async def writer(source: str, target: str) -> None:
        rng = sim.rng(f"{source} to {target}")
        async with await sim.env(source).connect(target, 1) as stream:
            for _ in range(20):
                await trio.sleep(rng.random())
                await stream.send(rng.randbytes(rng.randrange(1, 5_000)))

    def handler(name: str) -> Callable[[ByteStream], object]:
        return lambda stream: reader(name, stream)

    async with trio.open_nursery() as servers:
        listeners: list[Listener[ByteStream]] = []
        for name in HOSTS:
            listeners.append(await sim.env(name).listen(name, 1))
            servers.start_soon(listeners[-1].serve, handler(name))
        async with trio.open_nursery() as writers:
            for source in HOSTS:
                for target in HOSTS:
                    writers.start_soon(writer, source, target)
        await trio.sleep(1)
        servers.cancel_scope.cancel()
    for listener in listeners:
        await listener.aclose()


async def litter() -> None:
    """Leave suspended generators in reference cycles: only the collector finds them, and then they take steps."""

    class Cycle:
        def __init__(self) -> None:
            self.itself = self
            self.numbers = endless()

    noise: list[object] = []
    for _ in range(2_000):
        noise.append([[] for _ in range(NOISE.randrange(5))])  # lists count towards the collector's next start
        await anext(Cycle().numbers)
        await trio.sleep(0.001)


async def endless() -> AsyncGenerator[int, None]:
    try:
        yield 1
    finally:
        with anyio.CancelScope(shield=True):
            await trio.lowlevel.checkpoint()


if __name__ == "__main__":
    # Whether a generator that was left behind is worth a warning is not what this is about.
    import warnings

    warnings.simplefilter("ignore", ResourceWarning)
    digest.COLLECT_EVERY = 1_000
    print(simulate(scenario, seed=7).digest)
