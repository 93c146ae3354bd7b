"""`shutdown_on_signals`: real processes that are sent real signals, and what holds without them."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from casty_trio import ActorSystem, SettingsError, SystemClosedError, UsageError, shutdown_on_signals
from casty_trio.testing import Simulation, simulate
from tests.actors.helpers import census, hung

ROOT = Path(__file__).parents[2]


class Told:
    """The lines that a process prints."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._text = ""

    async def line(self) -> str:
        """The next one, or nothing at the end."""
        assert self._process.stdout is not None
        while "\n" not in self._text:
            data = await self._process.stdout.receive_some(1000)
            if not data:
                return ""
            self._text += data.decode()
        line, _, self._text = self._text.partition("\n")
        return line

    async def rest(self) -> list[str]:
        """All that follow."""
        lines: list[str] = []
        while line := await self.line():
            lines.append(line)
        return lines


@asynccontextmanager
async def started(seconds: float) -> AsyncIterator[tuple[trio.Process, Told]]:
    command = [sys.executable, "-m", "tests.actors.signalled", str(seconds)]
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT)
    told = Told(process)
    try:
        with trio.fail_after(50):
            assert await told.line() == "ready"
            yield process, told
    finally:
        process.kill()
        await process.wait()
        assert process.stdout is not None
        await process.stdout.aclose()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_ends_the_system_in_order(number: signal.Signals) -> None:
    """L3: the body ends, the phases run, the process ends by itself."""
    async with started(0.1) as (process, told):
        process.send_signal(number)
        assert await told.rest() == [number.name, "leaving", "left", "stopped", "done"]
        assert await process.wait() == 0


@pytest.mark.slow
async def test_a_second_sigterm_ends_the_process_at_once() -> None:
    async with started(4.5) as (process, told):
        process.send_signal(signal.SIGTERM)
        assert [await told.line(), await told.line()] == ["SIGTERM", "leaving"]
        process.send_signal(signal.SIGTERM)
        assert await told.rest() == []
        assert await process.wait() == -signal.SIGTERM


@pytest.mark.slow
async def test_a_second_ctrl_c_interrupts_the_hooks() -> None:
    """L3: actors stop all the same, in order."""
    async with started(4.5) as (process, told):
        process.send_signal(signal.SIGINT)
        assert [await told.line(), await told.line()] == ["SIGINT", "leaving"]
        process.send_signal(signal.SIGINT)
        assert await told.rest() == ["stopped"]
        assert await process.wait() != 0


async def test_a_body_that_ends_by_itself(autojump_clock: MockClock) -> None:
    """L3: nothing is left, and signals mean what they meant."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    tasks = census()
    async with ActorSystem() as system, shutdown_on_signals(system) as scope:
        assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] != before
    assert scope.received is None
    assert census() == tasks
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


async def test_a_signal_within_the_process(autojump_clock: MockClock) -> None:
    """L3: one that was chosen; actors keep their grace, for nothing but the body is cancelled."""
    async with ActorSystem() as system:
        system.spawn(hung()).tell("go")
        await wait_all_tasks_blocked()
        async with shutdown_on_signals(system, signal.SIGUSR1) as scope:
            signal.raise_signal(signal.SIGUSR1)
            await trio.sleep_forever()
        assert scope.received is signal.SIGUSR1
    assert trio.current_time() == 5.0


async def test_a_first_signal_while_the_system_ends_changes_nothing(autojump_clock: MockClock) -> None:
    async with ActorSystem() as system:
        system.on_shutdown("leave", lambda: signal.raise_signal(signal.SIGUSR1))
        system.spawn(hung()).tell("go")
        await wait_all_tasks_blocked()
        async with shutdown_on_signals(system, signal.SIGUSR1) as scope:
            pass
    assert scope.received is signal.SIGUSR1
    assert trio.current_time() == 5.0


async def test_the_bodys_exception_is_its_own() -> None:
    """L12: unchanged, and in no group."""
    boom = KeyError("boom")

    async def run() -> None:
        async with ActorSystem() as system, shutdown_on_signals(system):
            raise boom

    with pytest.raises(KeyError) as caught:
        await run()
    assert caught.value is boom


async def test_misuse() -> None:
    """Outside the block, twice, and with what is no signal."""
    system = ActorSystem()
    with pytest.raises(SystemClosedError):
        await shutdown_on_signals(system).__aenter__()
    async with system, shutdown_on_signals(system):
        with pytest.raises(UsageError, match="takes signals already"):
            await shutdown_on_signals(system).__aenter__()
    wrong: Any = 15
    with pytest.raises(SettingsError, match=r"signals must be members of signal\.Signals, not 15"):
        shutdown_on_signals(system, wrong)
    with pytest.raises(SettingsError, match="system must be of class"):
        shutdown_on_signals(wrong)


def test_a_simulation_gets_no_signals() -> None:
    """The block is there, and waits for nothing real."""

    async def scenario(sim: Simulation) -> None:
        async with ActorSystem(env=sim.env("host")) as system, shutdown_on_signals(system) as scope:
            await trio.sleep(100)
        assert scope.received is None

    assert simulate(scenario, 1).seconds == 100
