"""What a byte stream does, checked on the simulated network and on real TCP alike."""

import errno
import gc
import operator
import warnings
from collections.abc import Awaitable

import anyio
import pytest
import trio
from anyio.abc import ByteStream, SocketAttribute
from trio.testing import check_half_closeable_stream, wait_all_tasks_blocked

from casty_trio.env import Env
from tests.testing.worlds import HOST, Runner, accept_one, both_worlds, open_pair, pair, receive_all


class AsTrioStream(trio.abc.HalfCloseableStream):
    """A byte stream as one of Trio's, for Trio's own list of checks.

    It hides only what anyio leaves open and its real sockets do otherwise: they do not checkpoint in `send_eof`, in empty
    sends and, in older releases, in `aclose`; they call the stream broken, not closed, when it is used after
    `send_eof`; and older releases do not refuse a negative size.
    """

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._closed = self._eof_sent = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.wait_send_all_might_not_block()
        try:
            await self._stream.send(bytes(data))
        except anyio.BrokenResourceError as error:
            raise (trio.ClosedResourceError if self._eof_sent else trio.BrokenResourceError) from error
        except anyio.ClosedResourceError as error:
            raise trio.ClosedResourceError from error

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()
        if self._closed:
            raise trio.ClosedResourceError

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        size = 65_536 if max_bytes is None else operator.index(max_bytes)
        if size < 1:
            raise ValueError(size)
        try:
            return await self._stream.receive(size)
        except anyio.EndOfStream:
            return b""
        except anyio.BusyResourceError as error:
            raise trio.BusyResourceError from error
        except anyio.ClosedResourceError as error:
            raise trio.ClosedResourceError from error
        except anyio.BrokenResourceError as error:
            raise trio.BrokenResourceError from error

    async def send_eof(self) -> None:
        self._eof_sent = True
        await trio.lowlevel.checkpoint()
        await self._stream.send_eof()

    async def aclose(self) -> None:
        self._closed = True
        await self._stream.aclose()
        await trio.lowlevel.checkpoint()


@both_worlds
def test_trios_own_checks_of_half_closeable_streams(run: Runner) -> None:
    async def check(env: Env) -> None:
        async def make() -> tuple[AsTrioStream, AsTrioStream]:
            one, other = await open_pair(env)
            return AsTrioStream(one), AsTrioStream(other)

        await check_half_closeable_stream(make, None)

    run(check)


@both_worlds
def test_half_close_leaves_the_other_direction_open(run: Runner) -> None:
    async def check(env: Env) -> None:
        async with pair(env) as (one, other):
            await one.send(b"question")
            await one.send_eof()
            await one.send_eof()
            with pytest.raises(anyio.BrokenResourceError):
                await one.send(b"more")
            assert await receive_all(other) == b"question"
            await other.send(b"answer")
            await other.aclose()
            assert await receive_all(one) == b"answer"
            with pytest.raises(anyio.EndOfStream):
                await one.receive()

    run(check)


@both_worlds
def test_what_was_sent_before_a_close_arrives(run: Runner) -> None:
    async def check(env: Env) -> None:
        async with pair(env) as (one, other):
            data = bytes(range(256)) * 100
            await one.send(data)
            await one.aclose()
            assert await receive_all(other) == data

    run(check)


@both_worlds
def test_closing_with_unread_bytes_resets(run: Runner) -> None:
    async def check(env: Env) -> None:
        async with pair(env) as (one, other):
            await one.send(b"never read, but for the first byte")
            await other.receive(1)
            await other.aclose()
            with pytest.raises(anyio.BrokenResourceError):
                await one.receive()

    run(check)


@both_worlds
def test_sending_to_a_closed_end_breaks_sooner_or_later(run: Runner) -> None:
    async def check(env: Env) -> None:
        async with pair(env) as (one, other):
            await other.aclose()

            async def keep_sending() -> None:
                while True:
                    await one.send(b"x" * 1000)

            with pytest.raises(anyio.BrokenResourceError):
                await keep_sending()

    run(check)


@both_worlds
def test_a_sender_that_waits_for_room_breaks_with_its_peer(run: Runner) -> None:
    async def check(env: Env) -> None:
        async with pair(env) as (one, other), trio.open_nursery() as nursery:

            async def flood() -> None:
                with pytest.raises(anyio.BrokenResourceError):
                    await one.send(bytes(64_000_000))

            nursery.start_soon(flood)
            await wait_all_tasks_blocked()
            await other.aclose()

    run(check)


@both_worlds
def test_one_sender_and_one_receiver_at_a_time_and_a_close_wakes_both(run: Runner) -> None:
    async def check(env: Env) -> None:
        async with pair(env) as (one, _), trio.open_nursery() as nursery:

            async def flood() -> None:
                with pytest.raises(anyio.ClosedResourceError):
                    await one.send(bytes(64_000_000))

            async def wait() -> None:
                with pytest.raises(anyio.ClosedResourceError):
                    await one.receive()

            nursery.start_soon(flood)
            nursery.start_soon(wait)
            await wait_all_tasks_blocked()
            with pytest.raises(anyio.BusyResourceError):
                await one.send(b"x")
            with pytest.raises(anyio.BusyResourceError):
                await one.receive()
            await one.aclose()

    run(check)


@both_worlds
def test_a_cancelled_receive_loses_nothing(run: Runner) -> None:
    async def check(env: Env) -> None:
        async with pair(env) as (one, other):
            with trio.CancelScope() as scope:
                scope.cancel()
                await other.receive()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(other.receive)
                await wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
            await one.send(b"whole")
            await one.send_eof()
            assert await receive_all(other) == b"whole"

    run(check)


async def error_of(call: Awaitable[object]) -> int | None:
    """The number of the error that a call fails with, if it has one."""
    with warnings.catch_warnings():
        # Older releases of anyio forget to close the socket they tried; that is not what this is about.
        warnings.simplefilter("ignore", ResourceWarning)
        with pytest.raises(OSError, match=r"taken|in use|nobody|failed") as caught:
            await call
        number = caught.value.errno
        del caught
        gc.collect()
    return number


@both_worlds
def test_addresses_are_taken_and_given_back(run: Runner) -> None:
    async def check(env: Env) -> None:
        first, second = await env.listen(HOST, 0), await env.listen(HOST, 0)
        port = env.local_port(first)
        assert 0 < port != env.local_port(second)
        assert await error_of(env.listen(HOST, port)) == errno.EADDRINUSE
        await first.aclose()
        await first.aclose()
        await error_of(env.connect(HOST, port))
        again = await env.listen(HOST, port)
        assert env.local_port(again) == port
        await again.aclose()
        await second.aclose()

    run(check)


@both_worlds
def test_a_dial_is_answered_before_anybody_serves(run: Runner) -> None:
    async def check(env: Env) -> None:
        listener = await env.listen(HOST, 0)
        async with listener, await env.connect(HOST, env.local_port(listener)) as client:
            await client.send(b"early")
            await client.send_eof()
            async with await accept_one(listener) as server:
                assert await receive_all(server) == b"early"

    run(check)


@both_worlds
def test_closing_a_listener_resets_who_was_not_accepted(run: Runner) -> None:
    async def check(env: Env) -> None:
        listener = await env.listen(HOST, 0)
        async with await env.connect(HOST, env.local_port(listener)) as client:
            await listener.aclose()
            with pytest.raises(anyio.BrokenResourceError):
                await client.receive()

    run(check)


@both_worlds
def test_closing_a_listener_ends_its_serve(run: Runner) -> None:
    async def check(env: Env) -> None:
        listener = await env.listen(HOST, 0)

        async def serve() -> None:
            with pytest.raises(ExceptionGroup) as caught:
                await listener.serve(lambda _: None)
            assert caught.group_contains(anyio.ClosedResourceError)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            await wait_all_tasks_blocked()
            await listener.aclose()

    run(check)


@both_worlds
def test_ends_know_their_addresses(run: Runner) -> None:
    async def check(env: Env) -> None:
        async with await env.listen(HOST, 0) as listener:
            port = env.local_port(listener)
            assert listener.extra(SocketAttribute.local_address) == (HOST, port)
            async with await env.connect(HOST, port) as client, await accept_one(listener) as server:
                assert client.extra(SocketAttribute.remote_address) == (HOST, port)
                assert client.extra(SocketAttribute.remote_port) == port
                assert server.extra(SocketAttribute.local_port) == port
                assert server.extra(SocketAttribute.remote_address) == client.extra(SocketAttribute.local_address)
                assert client.extra(SocketAttribute.local_port) == server.extra(SocketAttribute.remote_port)

    run(check)


@both_worlds
@pytest.mark.parametrize("host", ["xn--ß..", "ü..x"])
def test_what_can_be_no_name_of_a_host_is_an_oserror_as_one_that_is_unknown(run: Runner, host: str) -> None:
    """Whoever dials an address that another node has told goes on."""

    async def check(env: Env) -> None:
        with pytest.raises(OSError, match=r"name|listens"):
            await env.connect(host, 2_000)

    run(check)
