"""Starts members in processes of their own, and hears what each of them knows; in between, a proxy for each way."""

from __future__ import annotations

import json
import math
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import trio

from casty_trio.testing import FaultProxy
from tests.cluster.chaos.child import HOST

__all__ = ["ChaosError", "Processes", "Proxies", "processes"]

ROOT = Path(__file__).parents[3]
CHILD = "tests.cluster.chaos.child"
PORTS = range(20_000, 32_000)
"""Below those that the system gives to who dials: a port has to be free when its node is started again."""

Proxies = Mapping[tuple[str, str], FaultProxy]
"""By who dials and who is dialled."""


class ChaosError(AssertionError):
    """Something did not come about, or should not have."""


class Node:
    """One node, over all its processes.

    Attributes:
        known: what it has said last of the cluster; nothing before, and after its end.
        reports: how many reports it has given that were asked for.
        how: how its last process ended; empty while it runs.
        why: why, in its own words.
        listening_at: since when it listens.
        stopped_at: since when its actors have stopped.
        said: everything its processes have said.
    """

    def __init__(self, name: str, port: int) -> None:
        self.name, self.port = name, port
        self.process: trio.Process | None = None
        self.known: dict[str, Any] = {}
        self.reports: int = 0
        self.imported: bool = False
        self.listening_at: float = math.nan
        self.stopped_at: float = math.nan
        self.how: str = ""
        self.why: str = ""
        self.said: list[dict[str, Any]] = []

    @property
    def uid(self) -> int:
        """The start of the node that it is now."""
        return int(self.known.get("uid", 0))

    @property
    def members(self) -> dict[str, list[Any]]:
        """Uid and status of each member it knows of."""
        return dict(self.known.get("members", {}))

    def hear(self, line: dict[str, Any]) -> None:
        """Take in what its process says."""
        self.said.append(line)
        match line["kind"]:
            case "imported":
                self.imported = True
            case "listening":
                self.listening_at = line["at"]
            case "stopped":
                self.stopped_at = line["at"]
            case "ended":
                self.how, self.why, self.known = line["how"], line["why"], {}
            case _:
                self.known = line
                self.reports += line["kind"] == "report"


class Processes:
    """Nodes of one cluster, each in a process; see `processes`.

    Attributes:
        nodes: by name; ``n1`` has the lowest address.
        proxies: what they dial in the place of each other; nothing when they dial directly.
    """

    def __init__(self, names: Sequence[str], nursery: trio.Nursery, logs: Path, rng: Random, module: str = CHILD) -> None:
        self.nodes: dict[str, Node] = {
            name: Node(name, port) for name, port in zip(names, free_ports(len(names), rng), strict=True)
        }
        self.proxies: Proxies = {}
        self._nursery = nursery
        self._logs = logs
        self._module = module
        self._changed = trio.Event()
        self._begun = trio.current_time()

    @property
    def all_names(self) -> list[str]:
        """The names of all nodes, of which some may not run."""
        return list(self.nodes)

    @property
    def names(self) -> list[str]:
        """The names of those that run."""
        return [name for name, node in self.nodes.items() if node.process is not None]

    @property
    def ended(self) -> list[str]:
        """The names of those that do not run."""
        return [name for name, node in self.nodes.items() if node.process is None]

    # --- Life ---------------------------------------------------------------------------------------------------------

    async def start(self, name: str, seeds: Iterable[str] = (), *, go: bool = True, **options: Any) -> None:
        """Start a node, on the port it has always had; without ``go`` it waits for that word, with everything imported."""
        node = self.nodes[name]
        ways = {self.nodes[to].port: proxy.port for (by, to), proxy in self.proxies.items() if by == name}
        seed_nodes = [(HOST, self.nodes[seed].port) for seed in seeds]
        given = {"node_id": name, "port": node.port, "seeds": seed_nodes, "ways": ways, **options}
        command = [sys.executable, "-m", self._module, json.dumps(given)]
        node.known, node.how, node.why, node.imported = {}, "", "", False
        node.listening_at = node.stopped_at = math.nan
        with (self._logs / f"{name}.log").open("ab") as log:
            node.process = await trio.lowlevel.open_process(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=ROOT
            )
        self._nursery.start_soon(self._hear, node, node.process)
        if go:
            await self.say(name, "go")

    async def say(self, name: str, word: str) -> None:
        """Tell a node something; it may be gone by now."""
        process = self.nodes[name].process
        if process is not None and process.stdin is not None:
            try:
                await process.stdin.send_all(word.encode() + b"\n")
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a node a signal."""
        process = self.nodes[name].process
        assert process is not None, f"{name} does not run"
        process.send_signal(number)

    async def kill(self, name: str) -> None:
        """End a node without a word; it may have ended by itself."""
        process = self.nodes[name].process
        if process is None:
            return
        process.kill()
        await process.wait()
        await self.wait(lambda: self.nodes[name].process is None, 5, f"{name} to be gone")

    async def kill_all(self) -> None:
        """End all that run."""
        for name in self.names:
            await self.kill(name)

    async def _hear(self, node: Node, process: trio.Process) -> None:
        assert process.stdout is not None
        rest = b""
        async for piece in process.stdout:
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                node.hear(json.loads(line))
            self._poke()
        await process.wait()
        node.process, node.known = None, {}
        node.how = node.how or "killed"
        self._poke()

    def _poke(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    # --- What they know -----------------------------------------------------------------------------------------------

    async def wait(self, until: Callable[[], object], within: float, what: str) -> None:
        """Wait until something is so.

        Raises:
            ChaosError: it took longer.
        """
        with trio.move_on_after(within):
            while not until():
                await self._changed.wait()
            return
        raise ChaosError(f"waited {within:g} s for {what}\n{self.told()}")

    async def agreed(self, *names: str, within: float) -> float:
        """Wait until these nodes agree that they, and they alone, are the cluster; when the last one knew it."""
        await self.wait(lambda: self.agree(*names), within, f"{', '.join(names)} to agree")
        return max(float(self.nodes[name].known["at"]) for name in names)

    async def asked(self, *names: str, within: float = 10.0) -> dict[str, dict[str, Any]]:
        """What these nodes say when they are asked now."""
        before = {name: self.nodes[name].reports for name in names}
        for name in names:
            await self.say(name, "report")
        await self.wait(lambda: all(self.nodes[name].reports > before[name] for name in names), within, "reports")
        return {name: self.nodes[name].known for name in names}

    def agree(self, *names: str) -> bool:
        """Whether these nodes, and no others, are members, all of them up, led by one, and all of them know it."""
        known = [self.nodes[name].known for name in names]
        if not all(each.get("converged") for each in known):
            return False
        rows = {name: [self.nodes[name].uid, "up"] for name in names}
        alike = len({(each["leader"], each["cluster"]) for each in known}) == 1
        return alike and known[0]["leader"] in names and all(each["members"] == rows for each in known)

    def told(self) -> str:
        """What each node has said last, and what it has logged."""
        lines = [f"after {trio.current_time() - self._begun:.1f} s:"]
        for node in self.nodes.values():
            lines.append(f"{node.name}: {node.how or 'runs'} {node.why}, {json.dumps(node.known)}")
            log = self._logs / f"{node.name}.log"
            lines += [f"    {line}" for line in (log.read_text().splitlines() if log.exists() else [])[-12:]]
        return "\n".join(lines)

    # --- The network --------------------------------------------------------------------------------------------------

    def cut(self, one: Sequence[str], other: Sequence[str], *, reset: bool = False) -> None:
        """Let nothing pass between two groups; with ``reset`` the connections there are break at once."""
        for (by, to), proxy in self.proxies.items():
            if (by in one and to in other) or (by in other and to in one):
                proxy.hold()
                if reset:
                    proxy.reset()

    def heal(self) -> None:
        """Let everything pass again."""
        for proxy in self.proxies.values():
            proxy.heal()


@asynccontextmanager
async def processes(count: int, *, proxied: bool = False, seed: int = 0, module: str = CHILD) -> AsyncGenerator[Processes]:
    """So many nodes, ``n1``, ``n2``, ..., that can be started, each a run of the module; none of them outlives the block."""
    names = [f"n{number}" for number in range(1, count + 1)]
    async with AsyncExitStack() as stack:
        logs = Path(stack.enter_context(TemporaryDirectory(prefix="chaos")))
        nursery = await stack.enter_async_context(trio.open_nursery())
        cluster = Processes(names, nursery, logs, Random(seed), module)
        if proxied:
            nodes = cluster.nodes
            cluster.proxies = {
                (by, to): await stack.enter_async_context(FaultProxy(HOST, nodes[to].port))
                for by in names
                for to in names
                if by != to
            }
        try:
            yield cluster
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 10):
                await cluster.kill_all()


def free_ports(count: int, rng: Random) -> list[int]:
    """Ports that nobody listens at, lowest first."""
    found: set[int] = set()
    while len(found) < count:
        port = rng.choice(PORTS)
        with socket.socket() as tried:
            try:
                tried.bind((HOST, port))
            except OSError:
                continue
        found.add(port)
    return sorted(found)
