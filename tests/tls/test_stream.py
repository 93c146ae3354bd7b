"""The encrypted stream as a stream: Trio's own list of checks, large and small pieces, ends, and closing under pressure."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import pytest
import sniffio
import trio
from anyio.abc import SocketAttribute
from hypothesis import given, settings, strategies as st
from trio.testing import check_two_way_stream

from casty_trio.env import RealEnv
from casty_trio.errors import HandshakeError, HandshakeTimeoutError
from casty_trio.link import open_link
from casty_trio.tls import Config
from casty_trio.tls.stream import TlsStream
from tests.link.streams import Pipe, pipes
from tests.protocol.sessions import acceptor, dialer
from tests.testing.test_conformance import AsTrioStream
from tests.tls.authority import Authority

ENV = RealEnv()
T = TypeVar("T")


class Inline(RealEnv):
    """Reads files where it is: a clock that jumps would not wait for a thread."""

    async def run_sync(self, function: Callable[[], T]) -> T:
        await trio.lowlevel.checkpoint()
        return function()


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return Authority(tmp_path_factory.mktemp("certificates")).config()


async def encrypted(config: Config) -> tuple[TlsStream, TlsStream, Pipe]:
    """Both ends after their handshake, and what carries the first one's bytes."""
    one, other = pipes()
    ends: dict[bool, TlsStream] = {}

    async def secure(pipe: Pipe, dialer: bool) -> None:
        stream, uris = await config.secure(pipe, dialer=dialer, env=ENV)
        assert isinstance(stream, TlsStream)
        assert uris == ("casty://shop/node",)
        ends[dialer] = stream

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(secure, one, True)
        tasks.start_soon(secure, other, False)
    return ends[True], ends[False], one


@asynccontextmanager
async def pair(config: Config) -> AsyncIterator[tuple[TlsStream, TlsStream, Pipe]]:
    one, other, pipe = await encrypted(config)
    async with one, other:
        yield one, other, pipe


async def test_trios_own_checks(config: Config) -> None:
    async def make() -> tuple[AsTrioStream, AsTrioStream]:
        one, other, _ = await encrypted(config)
        return AsTrioStream(one), AsTrioStream(other)

    await check_two_way_stream(make, None)


@pytest.mark.anyio
async def test_large_pieces_both_ways_at_once(config: Config, anyio_backend_name: str) -> None:
    assert sniffio.current_async_library() == anyio_backend_name
    got = {True: bytearray(), False: bytearray()}

    async def receive(stream: TlsStream, who: bool, size: int) -> None:
        while len(got[who]) < size:
            got[who] += await stream.receive(10_000)

    data = bytes(range(256)) * 8_000
    async with pair(config) as (one, other, _), anyio.create_task_group() as tasks:
        for stream, who in ((one, True), (other, False)):
            tasks.start_soon(receive, stream, who, len(data))
            tasks.start_soon(stream.send, data)
    assert got == {True: data, False: data}


@given(st.lists(st.binary(max_size=50_000), max_size=5), st.integers(1, 70_000))
@settings(max_examples=20)
def test_any_pieces(config: Config, pieces: list[bytes], most: int) -> None:
    async def go() -> None:
        async with pair(config) as (one, other, _):
            for piece in pieces:
                await one.send(piece)
            got = b""
            while len(got) < sum(map(len, pieces)):
                part = await other.receive(most)
                assert 0 < len(part) <= most
                got += part
            assert got == b"".join(pieces)

    trio.run(go)


@pytest.mark.anyio
async def test_the_end_with_and_without_a_farewell(config: Config, anyio_backend_name: str) -> None:
    assert sniffio.current_async_library() == anyio_backend_name
    for abrupt in (True, False):
        async with pair(config) as (one, other, pipe):
            await one.send(b"last")
            await (pipe.aclose() if abrupt else one.aclose())
            assert await other.receive() == b"last"
            for _ in range(2):
                with pytest.raises(anyio.EndOfStream):
                    await other.receive()
            with pytest.raises(anyio.BrokenResourceError):
                await other.send(b"nobody is there")
            if not abrupt:
                with pytest.raises(anyio.ClosedResourceError):
                    await one.send(b"closed")
                with pytest.raises(anyio.ClosedResourceError):
                    await one.receive()


@pytest.mark.anyio
async def test_changed_bytes_end_it_after_what_came_before(config: Config, anyio_backend_name: str) -> None:
    assert sniffio.current_async_library() == anyio_backend_name
    async with pair(config) as (one, other, pipe):
        await one.send(b"good")
        await pipe.send(b"\x17\x03\x03\x00\x20" + bytes(32))
        assert await other.receive() == b"good"
        for _ in range(2):
            with pytest.raises(anyio.BrokenResourceError, match="mac"):
                await other.receive()


async def test_a_send_that_was_cancelled_leaves_nothing_to_go_on_with(config: Config) -> None:
    """Half a record would make all later ones unreadable."""
    async with pair(config) as (one, _, pipe):
        pipe.hold()
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(one.send, b"stuck")
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        with pytest.raises(anyio.BrokenResourceError, match="did not end"):
            await one.send(b"more")


@pytest.mark.anyio
async def test_closing_beside_a_peer_that_takes_nothing(config: Config, anyio_backend_name: str) -> None:
    """No longer than the farewell may take, also while a send is stuck; the stream below is closed in any case."""
    assert sniffio.current_async_library() == anyio_backend_name

    async def send(stream: TlsStream) -> None:
        with pytest.raises(anyio.ClosedResourceError):
            await stream.send(b"stuck")

    for stuck in (False, True):
        one, other, pipe = await encrypted(config)
        pipe.hold()
        async with anyio.create_task_group() as tasks:
            if stuck:
                tasks.start_soon(send, one)
                await anyio.wait_all_tasks_blocked()
            began = anyio.current_time()
            await one.aclose()
            assert anyio.current_time() - began < 0.5
        assert pipe.closed
        await one.aclose()
        await other.aclose()


async def test_a_mute_or_dripping_peer_is_given_up_at_the_deadline(
    config: Config, autojump_clock: trio.testing.MockClock
) -> None:
    """W3: TLS and the handshake after it have one deadline, on both sides, however slowly bytes come."""

    async def drip(pipe: Pipe, data: bytes) -> None:
        with suppress(anyio.BrokenResourceError):
            for byte in data:
                await pipe.send(bytes([byte]))
                await trio.sleep(0.5)

    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32)
    for dials, make in ((True, dialer), (False, acceptor)):
        for said in (b"", hello):
            here, there = pipes()
            began = trio.current_time()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(drip, there, said)
                with pytest.raises(HandshakeTimeoutError):
                    await open_link(here, make(), partial(config.secure, dialer=dials, env=Inline()))
                nursery.cancel_scope.cancel()
            assert 5 <= trio.current_time() - began < 6
            assert here.closed


async def test_a_stranger_that_speaks_no_tls_hears_so(config: Config) -> None:
    """In TLS's own words: the alert "protocol version"."""
    here, there = pipes()
    await there.send(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(Exception, match="does not speak TLS"):
        await config.secure(here, dialer=False, env=ENV)
    assert await there.receive() == b"\x15\x03\x03\x00\x02\x02\x46"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_the_versions_there_are(tmp_path: Path, version: ssl.TLSVersion) -> None:
    config = Authority(tmp_path).config()
    config._loaded.client.maximum_version = version
    async with pair(config) as (one, other, _):
        assert one._tls.version() == version.name.replace("v1_", "v1.")
        await one.send(b"hello")
        assert await other.receive() == b"hello"


async def test_older_versions_are_refused(tmp_path: Path) -> None:
    config = Authority(tmp_path).config()
    for context in (config._loaded.client, config._loaded.server):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
        assert context.verify_mode == ssl.CERT_REQUIRED
        assert not context.check_hostname


async def test_a_peer_that_goes_before_tls_is_agreed(config: Config) -> None:
    for said in (b"", b"\x16\x03\x01"):
        here, there = pipes()
        await there.send(said)
        await there.aclose()
        with pytest.raises(HandshakeError) as caught:
            await config.secure(here, dialer=False, env=ENV)
        assert caught.value.code == "closed"


async def test_what_is_known_of_the_connection_below_is_known_above(config: Config) -> None:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(SocketAttribute.local_port)
        async with await anyio.connect_tcp("127.0.0.1", port) as below:
            above = TlsStream(below, config._loaded.client, server_side=False)
            assert above.extra(SocketAttribute.remote_port) == port


async def test_it_ends_as_a_whole(config: Config) -> None:
    """TLS before 1.3 cannot end one way only, so this one does not either."""
    async with pair(config) as (one, _, _):
        with pytest.raises(NotImplementedError, match="close them"):
            await one.send_eof()
