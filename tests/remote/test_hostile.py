"""Hostile peers over real sockets: a node serves its clients meanwhile, grows little, and names each in its log (W2, W6)."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import trio

from casty_trio import ClusterClient
from tests.remote.attacker import ATTACKS
from tests.sim.shop import NAME, SHARDS, Carts, GetAll, to

pytestmark = [pytest.mark.slow, pytest.mark.long]

ROOT = Path(__file__).parents[2]
LONGEST = float(os.environ.get("CASTY_LONGEST_ASK", "2.0"))
"""Seconds that an ask of another client may take. `nox -s hostile` demands 0.1, on a machine that does nothing else."""
GROWTH = 50 * 1024
"""KiB that the node may grow."""


class Node(NamedTuple):
    port: int
    process: subprocess.Popen[str]
    log: Path

    def memory(self) -> int:
        """What the node occupies, in KiB."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * 4

    def complaints(self) -> list[str]:
        return self.log.read_text(encoding="utf-8").splitlines()


def command(program: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", f"tests.remote.{program}", *map(str, arguments)]


@contextmanager
def node() -> Iterator[Node]:
    """A node in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}  # it would be slow
    environment["PYTHONPATH"] = str(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        with (
            log.open("w", encoding="utf-8") as errors,
            subprocess.Popen(
                command("victim"), cwd=ROOT, env=environment, stdin=-1, stdout=-1, stderr=errors, text=True
            ) as process,
        ):
            try:
                assert process.stdout is not None
                yield Node(int(process.stdout.readline()), process, log)
            finally:
                output, _ = process.communicate(timeout=30)
        print(output, log.read_text(encoding="utf-8")[:2000])
    assert process.returncode == 0


async def ask_all_the_time(port: int, waits: list[float], *, task_status: trio.TaskStatus[None]) -> None:
    """A client that asks every few milliseconds; each ask's time goes into ``waits``."""
    async with ClusterClient([("127.0.0.1", port)], NAME) as client:
        carts: Carts = client.entity_ref("cart", num_shards=SHARDS)
        for number in range(1_000_000):
            began = time.perf_counter()
            assert await client.ask(carts, to("steady", GetAll)) == ()
            waits.append(time.perf_counter() - began)
            if number == 100:
                waits.clear()
                task_status.started()
            await trio.sleep(0.005)


NAMED: dict[str, list[str]] = {
    "garbage": ["refused a connection from 127.0.0.1: protocol: ", "connection to garbage ended: "],
    "declared": ["a HELLO frame declares 4294967295 bytes", "a frame declares 4294967295 bytes; 65536 are allowed"],
    "dripping": ["the handshake took more than 5.0 s"],
    "silent": ["crowded: it had to give way"],
    "tiny": [
        "connection to tiny-8 ended: protocol error: more than 100 PING frames",
        "connection to tiny-13 ended: protocol error: a second SUBSCRIBE",
        "a message for x from tiny-32 is refused: node-1 has no sharded type 'x'",
        "tiny-many-cancels gives up more asks than it can have made",
    ],
    "nesting": ["not a body of _OnlyVersions", "the body of an EntityFrame is malformed"],
    "unknown": ["os:system"],
    "asking": ["asking has as many asks open as it may"],
}


class Outcome(NamedTuple):
    longest: float
    grown: int
    complaints: list[str]


def suffer(attack: str) -> Outcome:
    """What an attack does to a fresh node: how long another client waits at most, how the node grows, what it logs."""
    waits = list[float]()

    async def watch() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(ask_all_the_time, victim.port, waits)
            await trio.run_process(command("attacker", attack, victim.port), cwd=ROOT)
            await trio.sleep(0.1)  # for as long as what it sent may last
            nursery.cancel_scope.cancel()

    with node() as victim:
        before = victim.memory()
        trio.run(watch)
        grown = victim.memory() - before
        complaints = victim.complaints()
    print(f"{attack}: {len(waits)} asks, the longest took {max(waits) * 1000:.1f} ms; the node has grown by {grown} KiB")
    return Outcome(max(waits), grown, complaints)


@pytest.mark.parametrize("attack", ATTACKS)
def test_others_are_served_meanwhile(attack: str) -> None:
    outcome = suffer(attack)
    assert outcome.longest < LONGEST
    assert outcome.grown <= GROWTH
    for words in NAMED[attack]:
        assert len([line for line in outcome.complaints if words in line]) == 1, (words, outcome.complaints)
    assert len(outcome.complaints) < 20, outcome.complaints
