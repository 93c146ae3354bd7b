"""Machines that crash, are paused and start again, and what others see of it."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio
import pytest
import trio
import trio.testing
from anyio.abc import ByteStream
from hypothesis import given, strategies as st

from casty_trio.errors import UsageError
from casty_trio.testing import Conditions, SimulatedEnv, Simulation, simulate

Act = Callable[[SimulatedEnv, str], Awaitable[object]]


async def started(sim: Simulation, nursery: trio.Nursery, name: str, act: Act) -> None:
    """Start a program, and let it come to its first wait."""
    nursery.start_soon(sim.host(name).run, act)
    await trio.testing.wait_all_tasks_blocked()


def ticker(seen: list[float], every: float = 1.0) -> Act:
    """Notes the time each second."""

    async def tick(env: SimulatedEnv, name: str) -> None:
        while True:
            await trio.sleep(every)
            seen.append(trio.current_time())

    return tick


def echo(streams: list[ByteStream] | None = None) -> Act:
    """Listens under its own name, and sends back what comes."""

    async def serve(env: SimulatedEnv, name: str) -> None:
        async def answer(stream: ByteStream) -> None:
            if streams is not None:
                streams.append(stream)
            try:
                async for data in stream:
                    await stream.send(data)
            finally:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + 1), suppress(anyio.BrokenResourceError):
                    await stream.send(b"goodbye")
                with trio.CancelScope(shield=True):
                    await stream.aclose()

        listener = await env.listen(name, 1)
        await listener.serve(answer)

    return serve


def test_a_paused_process_does_nothing_until_it_is_resumed() -> None:
    """Not even its timers fire; what was due meanwhile is due then, and other hosts notice nothing."""

    async def scenario(sim: Simulation) -> None:
        paused: list[float] = []
        other: list[float] = []
        async with trio.open_nursery() as nursery:
            await started(sim, nursery, "a", ticker(paused))
            await started(sim, nursery, "b", ticker(other))
            await trio.sleep(2.5)
            sim.host("a").pause()
            sim.host("a").pause()
            assert sim.host("a").paused
            await trio.sleep(5)
            sim.host("a").resume()
            sim.host("a").resume()
            await trio.sleep(1.75)
            nursery.cancel_scope.cancel()
        assert paused == pytest.approx([1, 2, 7.5, 8.5])
        assert other == pytest.approx([1, 2, 3, 4, 5, 6, 7, 8, 9])

    simulate(scenario, 1)


def test_a_pause_holds_what_other_tasks_wake_and_what_was_about_to_run() -> None:
    """All tasks below the program's, those that it starts by another task's hand included."""

    async def scenario(sim: Simulation) -> None:
        bell, seen = trio.Event(), list[str]()
        nurseries: list[trio.Nursery] = []

        async def program(env: SimulatedEnv, name: str) -> None:
            async with trio.open_nursery() as inner:
                nurseries.append(inner)
                await bell.wait()
                seen.append("rung")
                await trio.sleep_forever()

        async def late() -> None:
            seen.append("late")

        async with trio.open_nursery() as nursery:
            await started(sim, nursery, "a", program)
            bell.set()
            sim.host("a").pause()
            nurseries[0].start_soon(late)
            await trio.sleep(1)
            assert seen == []
            sim.host("a").resume()
            await trio.sleep(1)
            assert sorted(seen) == ["late", "rung"]
            nursery.cancel_scope.cancel()

    simulate(scenario, 1)


def test_the_machine_of_a_paused_process_still_accepts_and_takes_a_window() -> None:
    """As a kernel does: dials are answered, bytes are taken until the window is full, and all of it is there later."""

    async def scenario(sim: Simulation) -> None:
        sim.network.set_conditions(Conditions(window=1_000))
        async with trio.open_nursery() as nursery:
            await started(sim, nursery, "a", echo())
            sim.host("a").pause()
            stream = await sim.env("b").connect("a", 1)
            await stream.send(bytes(1_000))
            with trio.move_on_after(60) as scope:
                await stream.send(b"x")
            assert scope.cancelled_caught
            with trio.move_on_after(60) as scope:
                await stream.receive()
            assert scope.cancelled_caught
            sim.host("a").resume()
            got = bytearray()
            while len(got) < 1_000:
                got += await stream.receive()
            await stream.aclose()
            nursery.cancel_scope.cancel()

    simulate(scenario, 1)


@pytest.mark.parametrize("end", ["cancel", "crash", "fail"])
def test_a_paused_process_can_still_be_ended(end: str) -> None:
    """Whoever leaves the block of a paused program does not wait for ever."""

    async def scenario(sim: Simulation) -> None:
        seen: list[float] = []
        async with trio.open_nursery() as nursery:
            await started(sim, nursery, "a", ticker(seen))
            sim.host("a").pause()
            await trio.sleep(1)
            if end == "cancel":
                nursery.cancel_scope.cancel()
            elif end == "crash":
                sim.host("a").crash()
                await sim.host("a").wait_ended()
            else:
                raise ValueError("enough")
        assert seen == []

    if end == "fail":
        with pytest.raises(ExceptionGroup, match="nursery") as caught:
            simulate(scenario, 1)
        assert caught.group_contains(ValueError)
    else:
        simulate(scenario, 1)


@pytest.mark.long
@given(st.integers(0, 1_000))
def test_a_run_with_pauses_is_one_of_its_seed(seed: int) -> None:
    """I19: the same steps in the same order, though many tasks become due at once."""

    async def scenario(sim: Simulation) -> None:
        rng = sim.rng("test")

        async def program(env: SimulatedEnv, name: str) -> None:
            async with trio.open_nursery() as inner:
                for _ in range(5):
                    inner.start_soon(ticker([], 0.25 + rng.random()), env, name)

        async with trio.open_nursery() as nursery:
            for number in range(3):
                await started(sim, nursery, f"host-{number}", program)
            for _ in range(10):
                host = sim.host(f"host-{rng.randrange(3)}")
                host.pause()
                await trio.sleep(rng.random() * 3)
                if rng.random() < 0.7:
                    host.resume()
            nursery.cancel_scope.cancel()

    assert simulate(scenario, seed).digest == simulate(scenario, seed).digest


def test_nothing_escapes_from_a_crashed_host() -> None:
    """Neither the goodbye of its ``finally``, nor the end of its streams; what had left before still comes."""

    async def scenario(sim: Simulation) -> None:
        sim.network.set_conditions(Conditions(delay=(0.5, 0.5), cut=0))
        async with trio.open_nursery() as nursery:
            await started(sim, nursery, "a", echo())
            stream = await sim.env("b").connect("a", 1)
            await stream.send(b"one")
            await trio.sleep(0.75)  # the answer has left
            sim.host("a").crash()
            await sim.host("a").wait_ended()
            assert not sim.host("a").alive
            assert await stream.receive() == b"one"
            with trio.move_on_after(60) as scope:
                await stream.receive()
            assert scope.cancelled_caught
            await stream.send(b"into the void")
            with trio.move_on_after(60) as scope:
                await sim.env("b").connect("a", 1)
            assert scope.cancelled_caught
            await stream.aclose()
        assert sim.network.open_ends() == 0

    simulate(scenario, 1)


def test_what_is_written_to_a_killed_process_is_reset() -> None:
    """With ``reset=True`` the machine lives on: dials are refused, and a write is answered with a reset, no sooner."""

    async def scenario(sim: Simulation) -> None:
        async with trio.open_nursery() as nursery:
            await started(sim, nursery, "a", echo())
            stream = await sim.env("b").connect("a", 1)
            sim.host("a").crash(reset=True)
            with pytest.raises(ConnectionRefusedError):
                await sim.env("b").connect("a", 1)
            with trio.move_on_after(60) as scope:
                await stream.receive()
            assert scope.cancelled_caught
            await stream.send(b"anybody?")
            with pytest.raises(anyio.BrokenResourceError):
                await stream.receive()
            await stream.aclose()

    simulate(scenario, 1)


@pytest.mark.parametrize("before", [True, False])
def test_a_host_that_starts_again_knows_nothing_of_its_connections(before: bool) -> None:
    """What was written before, or is after, is answered with a reset; the host draws other uids, and listens anew."""

    async def scenario(sim: Simulation) -> None:
        host = sim.host("a")
        async with trio.open_nursery() as nursery:
            await started(sim, nursery, "a", echo())
            stream, uid = await sim.env("b").connect("a", 1), host.env.uid()
            host.crash()
            if before:
                await stream.send(b"anybody?")
            await host.wait_ended()
            await started(sim, nursery, "a", echo())
            if not before:
                await stream.send(b"anybody?")
            with pytest.raises(anyio.BrokenResourceError):
                await stream.receive()
            await stream.aclose()
            async with await sim.env("b").connect("a", 1) as fresh:
                await fresh.send(b"x")
                assert await fresh.receive() == b"x"
            assert host.env.uid() != uid
            assert host.starts == 2
            nursery.cancel_scope.cancel()

    simulate(scenario, 1)


def test_a_crash_in_the_middle_of_everything() -> None:
    """While it dials, listens, sends into a full window, and is cut off itself."""

    async def scenario(sim: Simulation) -> None:
        sim.network.set_conditions(Conditions(delay=(0.5, 0.5), window=10))
        seen: list[str] = []

        async def busy(env: SimulatedEnv, name: str) -> None:
            async def dial() -> None:
                await env.connect("b", 2)
                seen.append("dialled")

            async with trio.open_nursery() as nursery:
                stream = await env.connect("b", 1)
                nursery.start_soon(stream.send, bytes(100))
                nursery.start_soon(dial)

        async def hold(env: SimulatedEnv, name: str) -> None:
            async with trio.open_nursery() as nursery:
                for port in (1, 2):
                    listener = await env.listen(name, port)
                    nursery.start_soon(listener.serve, _hold_open)

        async with trio.open_nursery() as nursery:
            await started(sim, nursery, "b", hold)
            await started(sim, nursery, "a", busy)
            await trio.sleep(1.6)
            sim.host("a").crash()
            with pytest.raises(OSError, match="is off"):
                await sim.env("a").listen("a", 1)
            await trio.sleep(60)
            assert seen == []
            nursery.cancel_scope.cancel()

    simulate(scenario, 1)


async def _hold_open(stream: ByteStream) -> None:
    await trio.sleep_forever()


def test_a_program_ends_by_itself_or_when_it_is_told_to() -> None:
    """Its error leaves `run` as it is; a crashed one's is returned; one host runs one program."""

    async def fail(env: SimulatedEnv, name: str) -> None:
        raise ValueError("no")

    async def obey(env: SimulatedEnv, name: str) -> None:
        await hosts[0].wait_terminated()

    async def fail_late(env: SimulatedEnv, name: str) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("too late")

    hosts = []

    async def scenario(sim: Simulation) -> None:
        host = sim.host("a")
        hosts.append(host)
        with pytest.raises(ValueError, match="no"):
            await host.run(fail)
        async with trio.open_nursery() as nursery:
            await started(sim, nursery, "a", obey)
            with pytest.raises(UsageError, match="runs a program"):
                await host.run(obey)
            await trio.sleep(10)
            assert host.alive
            host.terminate()
            await host.wait_ended()
            await host.wait_ended()
            assert not host.alive
            nursery.start_soon(trio.sleep, 1)
            async with trio.open_nursery() as inner:

                async def crash() -> None:
                    await trio.sleep(1)
                    host.crash()

                inner.start_soon(crash)
                assert str(await host.run(fail_late)) == "too late"
            host.resume()
            host.terminate()

    simulate(scenario, 1)


def test_clocks_go_wrong() -> None:
    """The wall clock jumps and drifts; the other only drifts; neither moves what the scheduler counts."""

    async def scenario(sim: Simulation) -> None:
        host, right = sim.host("a"), sim.env("b")
        start = right.wall_time()
        await trio.sleep(10)
        host.skew(-3_600)
        assert host.env.wall_time() == start - 3_590
        host.drift(0.05)
        await trio.sleep(100)
        assert math.isclose(host.env.wall_time(), start - 3_590 + 105)
        assert host.env.now() == right.now() == 110
        host.drift(-0.5, monotonic=True)
        await trio.sleep(10)
        assert math.isclose(host.env.now(), 115)
        assert math.isclose(host.env.wall_time(), start - 3_590 + 110)
        assert right.wall_time() == start + 120

    simulate(scenario, 1)


def test_a_way_carries_so_many_bytes_a_second() -> None:
    """All connections together; and other ways as many as before."""

    async def scenario(sim: Simulation) -> None:
        sim.network.set_conditions(Conditions(delay=(0, 0)))
        sim.network.set_conditions(Conditions(delay=(0, 0), rate=10_000), one_way=("b", "a"))
        streams: list[ByteStream] = []
        async with trio.open_nursery() as nursery:
            await started(sim, nursery, "a", echo(streams))
            times: list[float] = []

            async def talk() -> None:
                async with await sim.env("b").connect("a", 1) as stream:
                    await stream.send(bytes(20_000))
                    got = 0
                    while got < 20_000:
                        got += len(await stream.receive())
                times.append(trio.current_time())

            async with trio.open_nursery() as talking:
                talking.start_soon(talk)
                talking.start_soon(talk)
            assert times == pytest.approx([2, 4], abs=0.01)  # the one behind the other
            nursery.cancel_scope.cancel()

    simulate(scenario, 1)


def test_a_cut_can_be_taken_back() -> None:
    """`mend`: the connection that would have broken does not."""

    async def scenario(sim: Simulation) -> None:
        async with trio.open_nursery() as nursery:
            await started(sim, nursery, "a", echo())
            async with await sim.env("b").connect("a", 1) as stream:
                sim.network.cut("b", "a", after=3)
                sim.network.mend()
                await stream.send(b"12345")
                assert await stream.receive()
            nursery.cancel_scope.cancel()

    simulate(scenario, 1)
