"""The proxy that disturbs real sockets does what it is told, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
import trio
from anyio.abc import ByteStream

from casty_trio.env import RealEnv
from casty_trio.errors import SettingsError
from casty_trio.testing import FaultProxy
from tests.sim.shop import census


async def echo(stream: ByteStream) -> None:
    """Sends back what comes."""
    async with stream:
        try:
            async for data in stream:
                await stream.send(data)
            await stream.send_eof()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass


@asynccontextmanager
async def proxied() -> AsyncIterator[FaultProxy]:
    """A proxy in front of an echo."""
    env = RealEnv()
    async with await env.listen("127.0.0.1", 0) as listener, trio.open_nursery() as nursery:
        nursery.start_soon(listener.serve, echo)
        with trio.fail_after(20):
            async with FaultProxy("127.0.0.1", env.local_port(listener)) as proxy:
                yield proxy
        nursery.cancel_scope.cancel()


async def dial(proxy: FaultProxy) -> ByteStream:
    return await RealEnv().connect("127.0.0.1", proxy.port)


async def receive_exactly(stream: ByteStream, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += await stream.receive(size - len(data))
    return data


async def test_it_passes_bytes_on() -> None:
    """Both ways, and the end of a stream too; nothing is left afterwards."""
    before = census()
    async with proxied() as proxy, await dial(proxy) as stream:
        await stream.send(b"hello")
        assert await receive_exactly(stream, 5) == b"hello"
        assert (proxy.open_connections, proxy.connections, proxy.resets) == (1, 1, 0)
        assert proxy.carried("target") == proxy.carried("source") == 5
        assert "1 open" in repr(proxy)
        await stream.send_eof()
        with pytest.raises(anyio.EndOfStream):
            await stream.receive()
    assert census() == before


@pytest.mark.parametrize("after", [1, 7, 70_000])
async def test_a_reset_behind_any_byte(after: int) -> None:
    """Only that many bytes pass, and both ends learn of it; the next connection is whole."""
    async with proxied() as proxy:
        proxy.reset_after(after)
        async with await dial(proxy) as stream:
            with pytest.raises(anyio.BrokenResourceError):  # noqa: PT012 - whichever of them finds it
                await stream.send(bytes(200_000))
                while True:
                    await stream.receive()
        assert proxy.carried("target") == after
        async with await dial(proxy) as stream:
            await stream.send(b"x")
            assert await stream.receive() == b"x"
            proxy.reset()
            with pytest.raises(anyio.BrokenResourceError):
                await stream.receive()
        assert proxy.resets >= 2


@pytest.mark.parametrize("towards", ["target", "source", None])
async def test_holding_and_healing(towards: str | None) -> None:
    """Nothing passes until it is healed, on new connections neither; then all of it does."""
    async with proxied() as proxy, await dial(proxy) as stream:
        proxy.hold(towards)  # type: ignore[arg-type] # one of them
        async with await dial(proxy) as late:
            for each in (stream, late):
                await each.send(b"x")
                with trio.move_on_after(0.1) as scope:
                    await each.receive()
                assert scope.cancelled_caught
            proxy.heal()
            for each in (stream, late):
                assert await each.receive() == b"x"


async def test_old_sockets_left_unread() -> None:
    """They stay open and fill up; new ones are served."""
    async with proxied() as proxy, await dial(proxy) as old:
        await old.send(b"x")
        assert await old.receive() == b"x"
        proxy.leave_unread()
        with trio.move_on_after(0.2) as scope:
            await old.send(bytes(100_000_000))
        assert scope.cancelled_caught
        async with await dial(proxy) as new:
            await new.send(b"y")
            assert await new.receive() == b"y"


async def test_a_delay_and_a_target_that_is_not_there() -> None:
    """Pieces come later; who dials nobody is let go."""
    async with proxied() as proxy:
        proxy.delay(0.05)
        async with await dial(proxy) as stream:
            began = trio.current_time()
            await stream.send(b"x")
            assert await stream.receive() == b"x"
            assert trio.current_time() - began >= 0.1
    async with FaultProxy("127.0.0.1", 1) as nowhere, await dial(nowhere) as stream:
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            await stream.receive()
        assert nowhere.connections == 0


def test_what_cannot_be() -> None:
    """L14: refused by name."""
    proxy = FaultProxy("127.0.0.1", 1)
    with pytest.raises(SettingsError, match="seconds"):
        proxy.delay(-1)
    with pytest.raises(SettingsError, match="size"):
        proxy.reset_after(0)
    for take in (proxy.hold, proxy.carried):
        with pytest.raises(SettingsError, match="towards"):
            take("x")  # type: ignore[arg-type] # that is the test
