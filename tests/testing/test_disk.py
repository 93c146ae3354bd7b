"""Disks: the real one and the one in memory do the same, and the latter fails as real ones do."""

from __future__ import annotations

import errno
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from hypothesis import given, strategies as st

from casty_trio.env import Disk, RealEnv
from casty_trio.errors import SettingsError
from casty_trio.testing import SimulatedDisk, SimulatedEnv, Simulation, simulate


async def conformance(disk: Disk) -> None:
    """What holds for every disk."""
    for touch in (disk.read, disk.sync):
        with pytest.raises(FileNotFoundError):
            await touch("journal")
    await disk.append("journal", b"one ")
    await disk.append("journal", b"two")
    await disk.sync("journal")
    assert await disk.read("journal") == b"one two"
    await disk.replace("journal", b"three")
    assert await disk.read("journal") == b"three"
    await disk.replace("other", b"")
    assert await disk.read("other") == b""


def test_a_real_disk(tmp_path: Path) -> None:
    trio.run(conformance, RealEnv().disk(str(tmp_path / "new" / "folder")))


def test_a_simulated_disk() -> None:
    simulate(lambda sim: conformance(sim.env("a").disk("folder")), 1)


@given(st.integers(0, 10_000))
def test_a_crash_takes_what_was_not_synced_from_some_byte_on(seed: int) -> None:
    """What was synced stays; of the rest a beginning may; the folder of the process that died is dead."""

    async def scenario(sim: Simulation) -> None:
        host = sim.host("a")
        disk = host.env.disk("data")
        await disk.append("journal", b"synced;")
        await disk.sync("journal")
        await disk.append("journal", b"perhaps;")
        await disk.append("fresh", b"perhaps")
        host.crash()
        for touch in (disk.append("journal", b"late"), disk.sync("journal"), disk.read("journal")):
            with pytest.raises(OSError, match="dead"):
                await touch
        again = host.env.disk("data")
        kept = await again.read("journal")
        assert kept.startswith(b"synced;")
        assert b"synced;perhaps;".startswith(kept)
        with suppress(FileNotFoundError):
            assert b"perhaps".startswith(await again.read("fresh"))
        host.crash()
        assert await host.env.disk("data").read("journal") == kept

    simulate(scenario, seed)


def test_a_replacement_that_a_crash_interrupts_leaves_what_was_there() -> None:
    """And a sync has promised nothing: a program that dies in one has not seen it return."""

    async def scenario(sim: Simulation) -> None:
        host, seen = sim.host("a"), list[str]()

        async def write(env: SimulatedEnv, name: str) -> None:
            disk = env.disk("data")
            await disk.replace("state", b"old")
            host.disk.set_faults(slow=1_000_000)
            await disk.replace("state", b"new")
            seen.append("written")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(host.run, write)
            await trio.sleep(1)
            host.crash()
        host.disk.set_faults()
        assert await host.env.disk("data").read("state") == b"old"
        assert seen == []

    simulate(scenario, 1)


def test_a_full_disk_takes_what_fits_and_a_broken_one_nothing() -> None:
    """ENOSPC and EIO, and all is well again when it is over."""

    async def scenario(sim: Simulation) -> None:
        host = sim.host("a")
        disk = host.env.disk("data")
        await disk.append("journal", b"12345")
        host.disk.set_faults(room=3)
        with pytest.raises(OSError, match="no room") as caught:
            await disk.append("journal", b"67890")
        assert caught.value.errno == errno.ENOSPC
        with pytest.raises(OSError, match="no room"):
            await disk.replace("state", b"1")
        assert await disk.read("journal") == b"12345678"
        host.disk.set_faults(broken=True)
        with pytest.raises(OSError, match="broken") as caught:
            await disk.read("journal")
        assert caught.value.errno == errno.EIO
        host.disk.set_faults(slow=5.0)
        before = trio.current_time()
        for _ in range(20):
            await disk.append("journal", b"x")
            await disk.sync("journal")
        assert 20 < trio.current_time() - before < 80
        assert host.disk.used == 28
        assert "1 files, 28 bytes" in repr(host.disk)
        assert "folder data" in repr(disk)

    simulate(scenario, 1)


@pytest.mark.parametrize("faults", [{"room": -1}, {"slow": -1}, {"broken": 1}])
def test_faults_are_checked(faults: dict[str, float]) -> None:
    async def scenario(sim: Simulation) -> None:
        disk: SimulatedDisk = sim.host("a").disk
        disk.set_faults(**faults)  # type: ignore[arg-type] # that is the test

    with pytest.raises(SettingsError):
        simulate(scenario, 1)
