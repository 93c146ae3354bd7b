"""What the simulated network does to connections when it is told to: cuts, and times in which nothing arrives."""

from __future__ import annotations

import anyio
import pytest
import trio
from anyio.abc import ByteStream
from hypothesis import given, strategies as st

from casty_trio.errors import SettingsError
from casty_trio.testing import Conditions, Simulation, simulate
from tests.testing.test_network import connect
from tests.testing.worlds import receive_all

STALLED = Conditions(stalled=True)


async def received(stream: ByteStream) -> tuple[bytes, str]:
    """All that comes, and how it ends."""
    data = bytearray()
    try:
        while True:
            data += await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError) as error:
        return bytes(data), type(error).__name__


@given(st.integers(0, 1_000), st.integers(1, 500), st.integers(1, 120))
def test_a_connection_breaks_behind_any_byte(seed: int, after: int, piece: int) -> None:
    """Exactly so many bytes arrive; both ends learn of it, and the next connection is whole."""

    async def scenario(sim: Simulation) -> bytes:
        one, other = await connect(sim)
        sim.network.cut("a", "b", after=after)
        sent = bytes(range(250)) * 4
        async with one, other, trio.open_nursery() as nursery:

            async def send_pieces() -> None:
                for start in range(0, len(sent), piece):
                    await one.send(sent[start : start + piece])

            async def send() -> None:
                with pytest.raises(anyio.BrokenResourceError):
                    await send_pieces()
                assert (await received(one))[1] == "BrokenResourceError"

            nursery.start_soon(send)
            data, end = await received(other)
            assert end == "BrokenResourceError"
            assert data == sent[:after]
        one, other = await connect(sim)
        async with other:
            async with one:
                await one.send(sent)
            return await receive_all(other)

    assert len(simulate(scenario, seed).value) == 1_000


def test_all_connections_between_two_hosts_break_at_once() -> None:
    """Those that others have go on."""

    async def scenario(sim: Simulation) -> None:
        ends = [await connect(sim) for _ in range(3)]
        listener = await sim.env("c").listen("c", 1)
        async with listener, await sim.env("a").connect("c", 1) as whole:
            sim.network.cut("b", "a")
            for one, other in ends:
                for end in (one, other):
                    with pytest.raises(anyio.BrokenResourceError):
                        await end.send(b"x")
                    assert await received(end) == (b"", "BrokenResourceError")
                    await end.aclose()
            await whole.send(b"x")

    simulate(scenario, 1)


@given(st.integers(0, 1_000), st.sampled_from(["both", "there", "back"]))
def test_nothing_arrives_until_it_is_over(seed: int, way: str) -> None:
    """Neither bytes, nor ends of files; afterwards they come, in order."""

    async def scenario(sim: Simulation) -> None:
        one, other = await connect(sim)
        async with one, other:
            if way == "both":
                sim.network.set_conditions(STALLED, between=("a", "b"))
            else:
                sim.network.set_conditions(STALLED, one_way=("a", "b") if way == "there" else ("b", "a"))
            for end in (one, other):
                await end.send(b"01")
                await end.send(b"2")
                await end.send_eof()
            for end, stalled in ((other, way != "back"), (one, way != "there")):
                with trio.move_on_after(60) as scope:
                    assert await received(end) == (b"012", "EndOfStream")
                assert scope.cancelled_caught == stalled
            sim.network.set_conditions(Conditions(), between=("a", "b"))
            for end, stalled in ((other, way != "back"), (one, way != "there")):
                if stalled:
                    assert await received(end) == (b"012", "EndOfStream")

    simulate(scenario, seed)


def test_dials_and_resets_do_not_arrive_either() -> None:
    """Who dials waits for ever; who was reset, or cut behind what is still on its way, learns of it afterwards."""

    async def scenario(sim: Simulation) -> None:
        pairs = [await connect(sim) for _ in range(3)]
        async with await sim.env("b").listen("b", 1):
            sim.network.set_conditions(STALLED, between=("a", "b"))
            with trio.move_on_after(60) as scope:
                await sim.env("a").connect("b", 1)
            assert scope.cancelled_caught
            pairs[0][0].close(reset=True)  # type: ignore[attr-defined] # it is a simulated one
            for one, _ in pairs[1:]:
                await one.send(b"lost")
            sim.network.cut("a", "b")
            for _, other in pairs:
                with trio.move_on_after(60) as scope:
                    await other.receive()
                assert scope.cancelled_caught
            sim.network.set_conditions(Conditions(), between=("a", "b"))
            for one, other in pairs:
                assert await received(other) == (b"" if one is pairs[0][0] else b"lost", "BrokenResourceError")
                await other.aclose()
                await one.aclose()
            await (await sim.env("a").connect("b", 1)).aclose()

    simulate(scenario, 1)


def test_what_cannot_be() -> None:
    async def scenario(sim: Simulation) -> None:
        with pytest.raises(SettingsError, match="after"):
            sim.network.cut("a", "b", after=-1)

    simulate(scenario, 1)
    with pytest.raises(SettingsError, match="stalled"):
        Conditions(stalled=1)  # type: ignore[arg-type] # that is the test
