"""Opening a link: refusals on both sides, deadlines and cancellation (W3); and links over real sockets."""

from collections.abc import Iterable

import anyio
import pytest
import sniffio
import trio
from anyio.abc import SocketAttribute, SocketStream

from casty_trio.errors import HandshakeError, HandshakeTimeoutError
from casty_trio.link import Link, open_link
from casty_trio.model.settings import LinkSettings
from casty_trio.protocol.frames import Kind
from casty_trio.protocol.session import Identity, Session
from tests.link.streams import Pipe, linked, pipes, running
from tests.protocol.sessions import ALICE, BOB, LIMITS, acceptor, dialer


@pytest.fixture
def library(anyio_backend_name: str) -> None:
    assert sniffio.current_async_library() == anyio_backend_name


async def codes(*ends: tuple[Pipe, Session]) -> list[str]:
    """Shake hands on both ends; how it failed on each."""
    failed: dict[int, str] = {}

    async def one(number: int, pipe: Pipe, session: Session) -> None:
        with pytest.raises(HandshakeError) as caught:
            await open_link(pipe, session)
        failed[number] = caught.value.code
        assert pipe.closed

    async with anyio.create_task_group() as tasks:
        for number, (pipe, session) in enumerate(ends):
            tasks.start_soon(one, number, pipe, session)
    return [failed[number] for number in range(len(ends))]


def strangers() -> Iterable[tuple[str, Session, Session]]:
    yield "system", dialer(Identity("bank", "node", "x", 9)), acceptor()
    yield "self", dialer(ALICE), acceptor(ALICE)
    yield "role", dialer(), acceptor(Identity("shop", "client", "c", 5))
    full = Session(BOB, dialer=False, nonce=bytes(32), limits=LIMITS, admit=lambda _: HandshakeError("busy", "later"))
    yield "busy", dialer(), full


@pytest.mark.anyio
async def test_refusals_reach_both_sides_by_name(anyio_backend_name: str) -> None:
    """W3."""
    assert sniffio.current_async_library() == anyio_backend_name
    for code, one, other in strangers():
        here, there = pipes()
        assert await codes((here, one), (there, other)) == [code, code]


@pytest.mark.anyio
async def test_garbage_the_end_and_a_reset_are_named(anyio_backend_name: str) -> None:
    assert sniffio.current_async_library() == anyio_backend_name
    here, there = pipes()
    await there.send(b"GET / HTTP/1.1\r\n\r\n")
    assert await codes((here, acceptor())) == ["protocol"]
    here, there = pipes()
    await there.aclose()
    assert await codes((here, dialer())) == ["closed"]
    here, there = pipes()
    here.reset()
    assert await codes((here, acceptor())) == ["closed"]


@pytest.mark.anyio
async def test_a_cancelled_handshake_closes_the_stream(anyio_backend_name: str) -> None:
    assert sniffio.current_async_library() == anyio_backend_name
    here, _ = pipes()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(open_link, here, dialer())
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert here.closed


async def test_a_mute_peer_is_given_up_at_the_deadline(autojump_clock: trio.testing.MockClock) -> None:
    """W3: within the handshake deadline, on both sides."""
    for session in (dialer(), acceptor()):
        here, _ = pipes()
        began = trio.current_time()
        with pytest.raises(HandshakeTimeoutError, match=r"more than 5.0 s"):
            await open_link(here, session)
        assert LIMITS.handshake_timeout <= trio.current_time() - began < LIMITS.handshake_timeout + 1
        assert here.closed


async def test_one_byte_at_a_time_does_not_move_the_deadline(autojump_clock: trio.testing.MockClock) -> None:
    here, there = pipes()
    hello = dialer().start()

    async def drip() -> None:
        for number in range(len(hello)):
            await trio.sleep(0.7)
            await there.send(hello[number : number + 1])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(drip)
        with pytest.raises(HandshakeTimeoutError):
            await open_link(here, acceptor())
        nursery.cancel_scope.cancel()


async def test_a_refusal_that_nobody_takes_does_not_hold_us(autojump_clock: trio.testing.MockClock) -> None:
    here, there = pipes()
    await there.send(b"\0\0\0\x01\x63")
    here.hold()
    began = trio.current_time()
    with pytest.raises(HandshakeError, match="protocol"):
        await open_link(here, acceptor())
    assert trio.current_time() - began < LIMITS.handshake_timeout
    assert here.closed


async def test_closing_gives_a_stuck_peer_its_time_and_no_more(autojump_clock: trio.testing.MockClock) -> None:
    async with running() as (one, _):
        one.pipe.hold()
        one.link.write(Kind.ACTOR, b"stuck")
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        one.link.close("enough")
        await one.done.wait()
        assert trio.current_time() - began == pytest.approx(LIMITS.close_timeout)
        assert one.result == "closed: enough; 21 bytes could not be flushed"


async def test_closing_waits_for_a_mute_peer_no_longer_than_that(autojump_clock: trio.testing.MockClock) -> None:
    one, _ = await linked()
    one.link.close("enough")
    began = trio.current_time()
    assert await one.link.run(lambda kind, body: None) == "closed: enough"
    assert trio.current_time() - began == pytest.approx(LIMITS.close_timeout)


async def test_a_bad_frame_of_a_peer_that_reads_nothing_ends_soon(autojump_clock: trio.testing.MockClock) -> None:
    async with running() as (one, other):
        one.pipe.hold()
        one.link.write(Kind.ACTOR, b"stuck")
        await other.pipe.send(b"\0\0\0\0")
        began = trio.current_time()
        await one.done.wait()
        assert trio.current_time() - began < LIMITS.close_timeout


async def test_a_broken_writer_still_hears_the_last_words(autojump_clock: trio.testing.MockClock) -> None:
    one, other = await linked()
    await other.pipe.send(b"".join(other.link.session.frame(Kind.ACTOR, b"last")) + other.link.session.goodbye("bye"))
    await other.pipe.aclose()
    one.link.write(Kind.ACTOR, b"nobody reads this")
    await one.run()
    assert one.bodies == [b"last"]
    assert one.result == "goodbye: bye"


# --- real sockets ------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_links_over_loopback(anyio_backend_name: str) -> None:
    assert sniffio.current_async_library() == anyio_backend_name
    got: list[int] = []
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:

        async def echo(stream: SocketStream) -> None:
            link = await open_link(stream, acceptor())
            assert await link.run(lambda kind, body: link.write(kind, bytes(body))) == "goodbye: done"
            tasks.cancel_scope.cancel()

        tasks.start_soon(listener.serve, echo)
        stream = await anyio.connect_tcp("127.0.0.1", listener.extra(SocketAttribute.local_port))
        link = await open_link(stream, dialer())

        def on_frame(kind: int, body: memoryview) -> None:
            got.append(len(body))
            if len(got) == 2003:
                link.close("done")

        for size in (*[64] * 2000, 3_000_000, 0, 65_536):
            await link.send(Kind.ACTOR, bytes(size))
        assert await link.run(on_frame) == "closed: done"
    assert got == [*[64] * 2000, 3_000_000, 0, 65_536]


@pytest.mark.anyio
async def test_cancelling_a_link_whose_peer_reads_nothing_leaks_no_socket(anyio_backend_name: str) -> None:
    """A leaked socket is a ResourceWarning, which is an error here."""
    assert sniffio.current_async_library() == anyio_backend_name
    limits = LinkSettings(queue=32 * 1024 * 1024)
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        ready = anyio.Event()

        async def mute(stream: SocketStream) -> None:
            async with stream:
                await open_link(stream, acceptor(limits=limits))
                await ready.wait()

        tasks.start_soon(listener.serve, mute)
        stream = await anyio.connect_tcp("127.0.0.1", listener.extra(SocketAttribute.local_port))
        link = await open_link(stream, dialer(limits=limits))
        for _ in range(8):
            link.write(Kind.ACTOR, bytes(4_000_000))

        async def run(link: Link) -> None:
            with anyio.CancelScope() as scope:
                tasks.start_soon(cancel_when_stuck, scope)
                await link.run(lambda kind, body: None)

        async def cancel_when_stuck(scope: anyio.CancelScope) -> None:
            await anyio.wait_all_tasks_blocked()
            scope.cancel()

        await run(link)
        assert link.pending_bytes > 0
        ready.set()
        tasks.cancel_scope.cancel()
