"""A link over an in-memory stream: what leaves when, what is refused, and how it ends. On Trio and on asyncio."""

from collections.abc import Callable

import anyio
import anyio.lowlevel
import pytest
import sniffio

from casty_trio.errors import LinkClosedError, LinkFullError, MessageTooLargeError, ProtocolError
from casty_trio.model.settings import LinkSettings
from casty_trio.protocol.frames import Kind, encode_frame, pack_header
from tests.link.streams import linked, running

pytestmark = pytest.mark.anyio

SMALL = LinkSettings(max_frame=1024, max_message=4096, queue=8192)


@pytest.fixture(autouse=True)
async def library(anyio_backend_name: str) -> None:
    assert sniffio.current_async_library() == anyio_backend_name


def frames_in(data: bytes) -> list[int]:
    """The kinds of the frames in what one send was given."""
    kinds = []
    while data:
        length = int.from_bytes(data[:4], "big")
        kinds.append(data[4] & 0x7F)
        data = data[4 + length :]
    return kinds


# --- writing -----------------------------------------------------------------------------------------------------------


async def test_everything_queued_leaves_in_one_send_and_arrives_in_order() -> None:
    async with running() as (one, other):
        for number in range(1000):
            one.link.write(Kind.ACTOR, b"%d" % number)
        await anyio.wait_all_tasks_blocked()
        assert other.bodies == [b"%d" % number for number in range(1000)]
        assert len(one.pipe.sends) == 1


async def test_the_first_of_many_are_answered_while_the_last_are_being_read() -> None:
    """Of 64 questions that arrive in one go, the answers leave in several: so both ends have work at the same time."""
    async with running() as (one, other):
        other.on_frame = lambda: other.link.write(Kind.REPLY, b"answer")
        for _ in range(64):
            one.link.write(Kind.ACTOR, b"question")
        await anyio.wait_all_tasks_blocked()
        answers = [len(frames_in(sent)) for sent in other.pipe.sends]
        assert answers[0] <= 32
        assert sum(answers) == 64
        assert len(one.bodies) == 64


async def test_control_goes_first_and_between_the_pieces_of_a_split_message() -> None:
    async with running(LinkSettings(max_frame=200_000, max_message=1_000_000)) as (one, other):
        one.link.write(Kind.ACTOR, b"first")
        one.link.write(Kind.REPLY, bytes(900_000))
        one.link.write_control(Kind.CANCEL, b"0")
        one.pipe.hold()
        await anyio.wait_all_tasks_blocked()
        one.link.write_control(Kind.CANCEL, b"1")
        one.pipe.release()
        await anyio.wait_all_tasks_blocked()
        assert frames_in(one.pipe.sends[0]) == [Kind.CANCEL, Kind.ACTOR, Kind.REPLY]
        assert frames_in(one.pipe.sends[1]) == [Kind.CANCEL, Kind.REPLY]
        assert [kind for kind, _ in other.frames] == [Kind.CANCEL, Kind.ACTOR, Kind.CANCEL, Kind.REPLY]


async def test_no_send_holds_more_than_a_slice_of_messages() -> None:
    async with running() as (one, other):
        for number in range(50):
            one.link.write(Kind.ACTOR, bytes([number]) * 30_000)
        await anyio.wait_all_tasks_blocked()
        assert max(map(len, one.pipe.sends)) <= 256 * 1024
        assert len(one.pipe.sends) < 10
        assert [body[0] for body in other.bodies] == list(range(50))


async def test_messages_of_every_size_keep_their_order() -> None:
    async with running(SMALL) as (one, other):
        bodies = [bytes([number]) * size for number, size in enumerate((1, 1018, 1019, 1023, 1024, 4096, 0, 3000, 5))]
        for body in bodies:
            await one.link.send(Kind.ENTITY, body)
        await anyio.wait_all_tasks_blocked()
        assert other.frames == [(Kind.ENTITY, body) for body in bodies]


async def test_messages_of_the_peer_that_came_with_its_ready_are_handed_over_first() -> None:
    one, other = await linked()
    other.link.write(Kind.ACTOR, b"early")
    other.link.write(Kind.ACTOR, b"later")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one.run)
        tasks.start_soon(other.run)
        await anyio.wait_all_tasks_blocked()
        assert one.bodies == [b"early", b"later"]
        tasks.cancel_scope.cancel()


async def test_pings_are_answered() -> None:
    async with running() as (one, other):
        one.link.write_control(Kind.PING, b"42")
        await anyio.wait_all_tasks_blocked()
        assert one.link.session.pong == b"42"
        assert one.frames == other.frames == []


async def test_what_cannot_be_sent_raises_at_the_sender_and_the_link_lives() -> None:
    """W4."""
    async with running(SMALL) as (one, other):
        with pytest.raises(MessageTooLargeError):
            one.link.write(Kind.ACTOR, bytes(4097))
        with pytest.raises(MessageTooLargeError):
            await one.link.send(Kind.ACTOR, bytes(4097))
        with pytest.raises(MessageTooLargeError):
            one.link.write_control(Kind.NACK, bytes(1024))
        with pytest.raises(ValueError, match="ACTOR"):
            one.link.write_control(Kind.ACTOR, b"")
        one.link.write(Kind.ACTOR, b"fine")
        await anyio.wait_all_tasks_blocked()
        assert other.bodies == [b"fine"]


# --- room --------------------------------------------------------------------------------------------------------------


async def test_the_queue_is_bounded_with_what_the_stream_is_taking() -> None:
    """W6: queues are bounded."""
    async with running(SMALL) as (one, other):
        one.pipe.hold()
        sent = SMALL.queue // 100
        for _ in range(sent):
            one.link.write(Kind.ACTOR, bytes(95))
            await anyio.lowlevel.checkpoint()
        with pytest.raises(LinkFullError, match="no room for ACTOR"):
            one.link.write(Kind.ACTOR, bytes(95))
        assert one.link.pending_bytes == sent * 100
        statistics = one.link.statistics()
        assert (statistics.queued, statistics.peak, statistics.refused) == (sent * 100, sent * 100, 1)
        one.pipe.release()
        await anyio.wait_all_tasks_blocked()
        assert len(other.frames) == sent
        assert one.link.pending_bytes == 0
        one.link.write(Kind.ACTOR, b"again")


async def test_the_control_lane_is_bounded_by_itself() -> None:
    async with running(SMALL) as (one, other):
        one.pipe.hold()
        one.link.write(Kind.ACTOR, b"")
        await anyio.wait_all_tasks_blocked()
        for _ in range(4 * SMALL.max_frame // 32):
            one.link.write_control(Kind.CANCEL, bytes(27))
        with pytest.raises(LinkFullError, match="CANCEL"):
            one.link.write_control(Kind.CANCEL, b"")
        one.link.write(Kind.ACTOR, b"messages have their own room")
        other.link.write_control(Kind.PING, b"")
        await anyio.wait_all_tasks_blocked()
        assert one.link.statistics().refused == 2  # the PONG found no room either


async def test_a_message_of_the_largest_size_fits_an_empty_queue_of_that_size() -> None:
    async with running(LinkSettings(max_frame=1024, max_message=4096, queue=4096)) as (one, other):
        one.link.write(Kind.ACTOR, bytes(4096))
        with pytest.raises(LinkFullError):
            one.link.write(Kind.ACTOR, b"")
        await one.link.send(Kind.ACTOR, bytes(4096))
        await anyio.wait_all_tasks_blocked()
        assert other.bodies == [bytes(4096)] * 2


async def test_senders_get_room_in_the_order_they_came_and_nobody_overtakes() -> None:
    async with running(SMALL) as (one, other), anyio.create_task_group() as senders:
        one.pipe.hold()
        one.link.write(Kind.ACTOR, bytes(4000))
        one.link.write(Kind.ACTOR, bytes(4000))
        for number in range(20):
            senders.start_soon(one.link.send, Kind.ACTOR, bytes([number]) * (2000 if number % 3 else 1))
            await anyio.wait_all_tasks_blocked()
        with pytest.raises(LinkFullError):
            one.link.write(Kind.ACTOR, b"")
        waiting = one.link.statistics().waiting
        assert waiting > 10
        one.pipe.release()
        await anyio.wait_all_tasks_blocked()
        assert [body[0] for body in other.bodies[2:]] == list(range(20))
        assert one.link.statistics().waiting == 0


async def test_a_cancelled_send_queued_nothing_and_lets_the_next_one_in() -> None:
    async with running(SMALL) as (one, other), anyio.create_task_group() as senders:
        one.pipe.hold()
        one.link.write(Kind.ACTOR, bytes(4000))
        one.link.write(Kind.ACTOR, bytes(3000))
        with anyio.CancelScope() as scope:
            senders.start_soon(one.link.send, Kind.ACTOR, b"small")
            scope.cancel()
            await one.link.send(Kind.ACTOR, b"cancelled before")
        scopes = []

        async def send(body: bytes) -> None:
            with anyio.CancelScope() as scope:
                scopes.append(scope)
                await one.link.send(Kind.ACTOR, body)

        senders.start_soon(send, b"large" + bytes(4000))
        await anyio.wait_all_tasks_blocked()
        senders.start_soon(send, b"next")
        await anyio.wait_all_tasks_blocked()
        assert one.link.statistics().waiting == 2
        scopes[0].cancel()
        await anyio.wait_all_tasks_blocked()
        assert one.link.statistics().waiting == 0
        one.pipe.release()
        await anyio.wait_all_tasks_blocked()
        assert other.bodies[2:] == [b"small", b"next"]


# --- ending ------------------------------------------------------------------------------------------------------------


async def test_close_flushes_says_goodbye_and_tells_those_who_wait() -> None:
    async with running(SMALL) as (one, other), anyio.create_task_group() as tasks:
        one.pipe.hold()
        one.link.write(Kind.ACTOR, bytes(4000))
        one.link.write(Kind.ACTOR, bytes(4000))

        async def wait_for_room() -> None:
            with pytest.raises(LinkClosedError, match="closed: enough"):
                await one.link.send(Kind.ACTOR, bytes(1000))

        tasks.start_soon(wait_for_room)
        await anyio.wait_all_tasks_blocked()
        one.link.close("enough")
        one.link.close("twice")
        for refused in (one.link.write, one.link.write_control):
            with pytest.raises(LinkClosedError, match="closed: enough"):
                refused(Kind.PING, b"")
        with pytest.raises(LinkClosedError):
            await one.link.send(Kind.ACTOR, b"")
        one.pipe.release()
        await one.done.wait()
        await other.done.wait()
        assert len(other.frames) == 2
        assert (one.result, one.link.error) == ("closed: enough", None)
        assert (other.result, other.link.error) == ("goodbye: enough", None)
        assert one.pipe.closed
        assert other.pipe.closed


async def test_what_the_peer_sent_before_it_heard_the_goodbye_still_comes() -> None:
    async with running() as (one, other):
        other.pipe.hold()
        other.link.write(Kind.ACTOR, b"on its way")
        await anyio.wait_all_tasks_blocked()
        one.link.close("enough")
        other.pipe.release()
        await one.done.wait()
        assert one.bodies == [b"on its way"]


async def test_both_may_close_at_once_and_both_are_flushed() -> None:
    async with running() as (one, other):
        for end in (one, other):
            end.link.write(Kind.ACTOR, b"last words")
            end.link.close("me first")
        await one.done.wait()
        await other.done.wait()
        assert one.bodies == other.bodies == [b"last words"]
        assert one.result == other.result == "closed: me first"


async def test_a_link_closed_before_it_runs_still_flushes() -> None:
    one, other = await linked()
    one.link.write(Kind.ACTOR, b"hello")
    one.link.close("at once")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one.run)
        tasks.start_soon(other.run)
    assert other.bodies == [b"hello"]
    with pytest.raises(RuntimeError, match="runs once"):
        await one.link.run(lambda kind, body: None)


async def test_the_end_of_the_stream_without_a_goodbye_is_an_error() -> None:
    async with running() as (one, other):
        await other.pipe.send(b"\0\0\0\x02\x21a\0\0")  # a message, and the beginning of another
        await other.pipe.send_eof()
        await one.done.wait()
        assert one.bodies == [b"a"]
        assert isinstance(one.link.error, LinkClosedError)
        assert one.result == str(one.link.error) == "the peer closed the connection without a goodbye"
        with pytest.raises(LinkClosedError, match="without a goodbye"):
            one.link.write(Kind.ACTOR, b"")


async def test_a_reset_ends_both_with_a_reason() -> None:
    async with running() as (one, other):
        one.link.write(Kind.ACTOR, b"a")
        one.pipe.reset()
        await one.done.wait()
        await other.done.wait()
        assert isinstance(one.link.error, LinkClosedError)
        assert one.result == other.result == "the connection was lost: the fake broke"


async def test_a_bad_frame_ends_the_link_and_tells_the_peer() -> None:
    """W2: a bad frame ends that connection with a reason, and nothing else."""
    async with running() as (one, other):
        one.pipe.hold()
        one.link.write(Kind.ACTOR, b"written")
        await anyio.wait_all_tasks_blocked()
        one.link.write(Kind.ACTOR, b"not any more")
        [good] = encode_frame(Kind.ACTOR, b"good", 1024)
        await other.pipe.send(good + pack_header(1, 99) + good)
        await anyio.wait_all_tasks_blocked()
        one.pipe.release()
        await one.done.wait()
        await other.done.wait()
        assert one.bodies == [b"good"]
        assert isinstance(one.link.error, ProtocolError)
        assert one.result == "protocol error: a frame of kind 99 is not allowed here"
        assert other.result == "goodbye: protocol error: a frame of kind 99 is not allowed here"
        assert other.bodies == [b"written"]
        assert [bytes(body) for _, body in one.link.take_unsent()] == [b"not any more"]


def strict(allowed: bytes, reason: str, heard: list[bytes]) -> Callable[[int, memoryview], None]:
    """An owner who knows one body."""

    def on_frame(kind: int, body: memoryview) -> None:
        heard.append(bytes(body))
        if body != allowed:
            raise ProtocolError(reason)

    return on_frame


async def test_a_malformed_body_ends_the_link_and_tells_the_peer() -> None:
    """W2: what the owner finds wrong in a body is as bad as a bad frame; no more is handed over, and nothing is raised."""
    one, other = await linked()
    heard, reason = list[bytes](), "no \n" + 300 * "x"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other.run)
        for body in (b"good", b"bad", b"good"):
            other.link.write(Kind.ACTOR, body)
        assert await one.link.run(strict(b"good", reason, heard)) == f"protocol error: {reason}"
    assert heard == [b"good", b"bad"]
    assert isinstance(one.link.error, ProtocolError)
    assert other.result is not None
    assert other.result.startswith("goodbye: protocol error: no ")
    assert other.result.isprintable()
    assert len(other.result) < 250
    assert other.link.error is None


async def test_a_malformed_body_after_our_goodbye_is_only_noted() -> None:
    """W2: the peer has had its last word from us already."""
    one, other = await linked()
    heard = list[bytes]()
    async with anyio.create_task_group() as tasks:
        await other.pipe.send(*encode_frame(Kind.ACTOR, b"bad", 1024))
        one.link.close("enough")
        tasks.start_soon(other.run)
        assert await one.link.run(strict(b"good", "wrong", heard)) == "protocol error: wrong"
    assert heard == [b"bad"]
    assert other.result == "goodbye: enough"


async def test_an_error_of_the_owner_leaves_run_as_it_is() -> None:
    one, other = await linked()
    mine = KeyError("mine")

    def on_frame(kind: int, body: memoryview) -> None:
        raise mine

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other.run)
        other.link.write(Kind.ACTOR, b"a")
        with pytest.raises(KeyError) as caught:
            await one.link.run(on_frame)
        assert caught.value is mine
        assert mine.__context__ is None
        assert one.pipe.closed
    assert isinstance(other.link.error, LinkClosedError)


async def test_cancelling_run_closes_at_once_and_keeps_what_was_not_sent() -> None:
    async with running(LinkSettings(max_frame=1024, max_message=2**20)) as (one, _):
        one.link.write(Kind.ACTOR, bytes(400_000))  # is on its way in part when the link ends
        one.pipe.hold()
        await anyio.wait_all_tasks_blocked()
        one.link.write(Kind.REPLY, b"small")
        one.link.write_control(Kind.CANCEL, b"1")
        one.link.write(Kind.ENTITY, bytes(3000))
        one.scope.cancel()
        await one.done.wait()
        assert one.pipe.closed
        assert one.result is None
        assert [(kind, len(body)) for kind, body in one.link.take_unsent()] == [(Kind.REPLY, 5), (Kind.ENTITY, 3000)]
        assert one.link.take_unsent() == []
        with pytest.raises(LinkClosedError):
            one.link.write(Kind.ACTOR, b"")


async def test_statistics_count_both_ways() -> None:
    async with running(SMALL) as (one, other):
        one.link.write(Kind.ACTOR, b"a")
        one.link.write(Kind.ACTOR, bytes(3000))
        one.link.write_control(Kind.CANCEL, b"1")
        await anyio.wait_all_tasks_blocked()
        out, back = one.link.statistics(), other.link.statistics()
        assert (out.frames_out, back.frames_in) == (3, 3)
        assert out.bytes_out == back.bytes_in == sum(map(len, one.pipe.sends))
        assert (out.frames_in, out.queued, out.waiting, out.refused) == (0, 0, 0, 0)
        assert out.peak == out.bytes_out
        assert "alice" in repr(one.link)
        assert "bob" in repr(one.link)
