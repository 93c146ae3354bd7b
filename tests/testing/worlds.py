"""Runs one check on the simulated network and on real loopback TCP, so that the fake is held to the real one."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
import trio
from anyio.abc import ByteStream, Listener

from casty_trio.env import Env, RealEnv
from casty_trio.testing import simulate

HOST = "127.0.0.1"

Check = Callable[[Env], Awaitable[None]]
Runner = Callable[[Check], None]


def simulated(check: Check) -> None:
    simulate(lambda sim: check(sim.env("host")), seed=1)


def real(check: Check) -> None:
    trio.run(check, RealEnv())


both_worlds = pytest.mark.parametrize("run", [simulated, real])


async def accept_one(listener: Listener[ByteStream]) -> ByteStream:
    """The next connection of a listener."""
    got: list[ByteStream] = []

    async def keep(stream: ByteStream) -> None:
        got.append(stream)
        arrived.set()

    arrived = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(listener.serve, keep)
        await arrived.wait()
        group.cancel_scope.cancel()
    return got[0]


async def open_pair(env: Env) -> tuple[ByteStream, ByteStream]:
    """Both ends of a new connection."""
    listener = await env.listen(HOST, 0)
    async with listener:
        client = await env.connect(HOST, env.local_port(listener))
        return client, await accept_one(listener)


@asynccontextmanager
async def pair(env: Env) -> AsyncIterator[tuple[ByteStream, ByteStream]]:
    """Both ends of a new connection, closed at the end."""
    one, other = await open_pair(env)
    async with one, other:
        yield one, other


async def receive_all(stream: ByteStream) -> bytes:
    """Everything up to the end of file."""
    return b"".join([data async for data in stream])
