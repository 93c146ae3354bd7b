"""The simulated network: what arrives, when, and how much may be under way."""

from collections.abc import Callable
from itertools import pairwise

import anyio
import pytest
import trio
from anyio.abc import ByteStream
from hypothesis import given, strategies as st
from trio.testing import assert_checkpoints

from casty_trio.errors import SettingsError
from casty_trio.testing import Conditions, NetworkStatistics, Simulation, simulate
from tests.testing.worlds import accept_one, receive_all

seeds = st.integers(0, 2**32 - 1)
conditions = st.builds(
    Conditions,
    delay=st.tuples(st.floats(0, 0.1), st.floats(0.1, 2)),
    cut=st.sampled_from([0.0, 0.3, 1.0]),
    window=st.sampled_from([1, 7, 100, 65_536]),
)


async def connect(sim: Simulation) -> tuple[ByteStream, ByteStream]:
    """A connection from host a to host b: the ends of both."""
    async with await sim.env("b").listen("b", 1) as listener:
        client = await sim.env("a").connect("b", 1)
        return client, await accept_one(listener)


@given(seeds, conditions, st.lists(st.binary(max_size=200), max_size=8))
def test_bytes_arrive_whole_and_in_order(seed: int, conditions: Conditions, pieces: list[bytes]) -> None:
    async def scenario(sim: Simulation) -> bytes:
        sim.network.set_conditions(conditions)
        one, other = await connect(sim)
        async with one, other, trio.open_nursery() as nursery:

            async def send() -> None:
                for piece in pieces:
                    await one.send(piece)
                await one.send_eof()

            nursery.start_soon(send)
            return await receive_all(other)

    result = simulate(scenario, seed)
    assert result.value == b"".join(pieces)
    assert result.network.bytes == len(result.value)


@given(seeds, st.integers(1, 5_000))
def test_what_is_under_way_never_exceeds_the_window(seed: int, window: int) -> None:
    async def scenario(sim: Simulation) -> int:
        sim.network.set_conditions(Conditions(window=window))
        one, other = await connect(sim)
        async with one, other:
            with trio.move_on_after(60):
                await one.send(bytes(10_000))
            return sim.network.statistics().bytes

    assert simulate(scenario, seed).value == window


@given(seeds)
def test_a_receiver_makes_room_for_the_sender(seed: int) -> None:
    async def scenario(sim: Simulation) -> None:
        sim.network.set_conditions(Conditions(window=10))
        one, other = await connect(sim)
        async with one, other, trio.open_nursery() as nursery:
            nursery.start_soon(one.send, bytes(1_000))
            got = 0
            while got < 1_000:
                got += len(await other.receive())

    simulate(scenario, seed)


@given(seeds)
def test_delays_stay_within_their_bounds(seed: int) -> None:
    async def scenario(sim: Simulation) -> None:
        sim.network.set_conditions(Conditions(delay=(2, 3), cut=0))
        one, other = await connect(sim)
        assert 4 <= trio.current_time() <= 6, "a dial takes a round trip"
        async with one, other:
            for number in range(10):
                start = trio.current_time()
                await one.send(bytes([number]))
                assert await other.receive() == bytes([number])
                assert 2 <= trio.current_time() - start <= 3

    simulate(scenario, seed)


def test_conditions_can_be_set_for_two_hosts_only() -> None:
    async def scenario(sim: Simulation) -> None:
        one, other = await connect(sim)
        sim.network.set_conditions(Conditions(delay=(5, 5)), between=("b", "a"))
        sim.network.set_conditions(Conditions(delay=(1, 1)))
        async with one, other:
            start = trio.current_time()
            await one.send(b"x")
            await other.receive()
            assert trio.current_time() - start == 5
            with pytest.raises(ConnectionRefusedError):
                await sim.env("a").connect("elsewhere", 1)
            assert trio.current_time() - start == 7

    simulate(scenario, 1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Conditions(delay=(2, 1)),
        lambda: Conditions(delay=(-1, 1)),
        lambda: Conditions(cut=1.5),
        lambda: Conditions(window=0),
    ],
)
def test_impossible_conditions_are_refused(make: Callable[[], Conditions]) -> None:
    with pytest.raises(SettingsError):
        make()


def test_receives_get_parts_and_joins() -> None:
    async def scenario(sim: Simulation) -> list[int]:
        one, other = await connect(sim)
        async with one, other:
            for _ in range(200):
                await one.send(b"0123456789")
            await one.send_eof()
            await trio.sleep(1)
            sizes: list[int] = []
            while sum(sizes) < 2_000:
                sizes.append(len(await other.receive(100)))
            return sizes

    sizes = simulate(scenario, 1).value
    assert any(size < 100 for size in sizes[:-1])
    assert any(size == 100 for size in sizes)


def test_bytes_are_copied() -> None:
    async def scenario(sim: Simulation) -> None:
        one, other = await connect(sim)
        async with one, other:
            data = bytearray(b"before")
            await one.send(data)  # type: ignore[arg-type]  # anyio says bytes, and its sockets take any buffer
            data[:] = b"after!"
            await one.send_eof()
            assert await receive_all(other) == b"before"

    simulate(scenario, 1)


def test_every_call_is_a_checkpoint() -> None:
    async def scenario(sim: Simulation) -> None:
        one, other = await connect(sim)
        with assert_checkpoints():
            await one.send(b"")
        with assert_checkpoints():
            await one.send(b"x")
        await trio.sleep(1)
        with assert_checkpoints():
            await other.receive()
        with assert_checkpoints():
            await one.send_eof()
        for _ in range(2):
            with assert_checkpoints():
                await one.aclose()
        await other.aclose()

    simulate(scenario, 1)


@pytest.mark.parametrize("size", [0, -1])
def test_a_receive_takes_at_least_a_byte(size: int) -> None:
    async def scenario(sim: Simulation) -> None:
        one, other = await connect(sim)
        async with one, other:
            with pytest.raises(ValueError, match="positive"):
                await one.receive(size)

    simulate(scenario, 1)


def test_a_dial_finds_nobody() -> None:
    async def scenario(sim: Simulation) -> NetworkStatistics:
        with pytest.raises(ConnectionRefusedError, match="nobody listens on nowhere:7"):
            await sim.env("a").connect("nowhere", 7)
        return sim.network.statistics()

    result = simulate(scenario, 1)
    assert result.value == NetworkStatistics(refused=1)
    assert result.seconds > 0


def test_a_taken_address_names_its_owner() -> None:
    async def scenario(sim: Simulation) -> None:
        async with await sim.env("a").listen("127.0.0.1", 9):
            with pytest.raises(OSError, match=r"127\.0\.0\.1:9 is taken by a"):
                await sim.env("b").listen("localhost", 9)
            listener = await sim.env("b").listen("0.0.0.0", 9)
            async with listener, await sim.env("a").connect("b", 9), await accept_one(listener):
                pass

    simulate(scenario, 1)


def test_a_cancelled_dial_leaves_an_end_of_file() -> None:
    async def scenario(sim: Simulation) -> None:
        sim.network.set_conditions(Conditions(delay=(1, 1)))
        async with await sim.env("b").listen("b", 1) as listener:
            with trio.move_on_after(1.5):
                await sim.env("a").connect("b", 1)
            async with await accept_one(listener) as server:
                assert await receive_all(server) == b""

    simulate(scenario, 1)


@given(seeds)
def test_a_reset_may_lose_the_tail_and_never_the_middle(seed: int) -> None:
    sent = [bytes([number]) * 50 for number in range(20)]

    async def scenario(sim: Simulation) -> bytes:
        one, other = await connect(sim)
        async with one, other:
            await one.send(b"unread")
            await trio.sleep(1)
            for piece in sent:
                await other.send(piece)
            await other.aclose()
            got = bytearray()

            async def keep_receiving() -> None:
                while True:
                    got.extend(await one.receive())

            with pytest.raises(anyio.BrokenResourceError):
                await keep_receiving()
            with pytest.raises(anyio.BrokenResourceError):
                await one.send(b"x")
            return bytes(got)

    assert b"".join(sent).startswith(simulate(scenario, seed).value)


def test_delays_do_not_depend_on_sizes() -> None:
    async def arrivals(sim: Simulation, size: int) -> list[float]:
        sim.network.set_conditions(Conditions(cut=0))
        one, other = await connect(sim)
        times = []
        async with one, other:
            for _ in range(20):
                await one.send(bytes(size))
                await other.receive()
                times.append(trio.current_time())
        return times

    few = simulate(lambda sim: arrivals(sim, 1), 1).value
    many = simulate(lambda sim: arrivals(sim, 60_000), 1).value
    assert few == many
    assert all(early < late for early, late in pairwise(few))


def test_closed_connections_are_forgotten() -> None:
    async def scenario(sim: Simulation) -> str:
        for _ in range(3):
            one, other = await connect(sim)
            await one.aclose()
            await other.aclose()
            assert "closed" in repr(one)
        return repr(sim.network)

    assert "0 listeners, 0 open ends" in simulate(scenario, 1).value
