"""A node that asks and tells actors of another node, in another process. The counterpart of `limits/remote.py`.

python -m tests.bench.programs.remote {plain,tls}
python -m tests.bench.programs.remote serve [FOLDER]
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import redirect_stdout

import msgspec
import trio

from casty_trio import ActorRef, ClusteredActorSystem, LinkSettings, tls
from casty_trio.link import Link
from casty_trio.protocol import wire
from casty_trio.protocol.frames import Kind
from tests.bench.programs.counting import SYSTEM, Add, Get, Message, counter
from tests.bench.programs.measuring import (
    CALLERS,
    CALLS,
    REMOTE_ASKS,
    REMOTE_TELLS,
    WARM_UP,
    Result,
    check,
    print_result,
    timed,
)
from tests.bench.programs.serving import server

NAMES = ("warm-up", "a", "c", *(f"b{i}" for i in range(CALLERS)))
BURST = 500
"""After so many tells the sender waits for room, and lets its writer run: as often as the limit does."""
PINGS = 300
BULK = wire.pack_actor(0, None, ("/nobody", 0), "bytes", msgspec.msgpack.encode(b"x" * 16_384))
"""A message that nobody takes: what it costs is its way."""

QUIET = LinkSettings(keep_alive=3600.0, dead_after=3600.0)  # or the answer to a PING of its own might hide one to ours

Counter = ActorRef[Message]


def node(name: str, folder: str) -> ClusteredActorSystem:
    """A node; with TLS when there is a folder with certificates."""
    config = None
    if folder:
        config = tls.Config.from_paths(f"{folder}/node.pem", f"{folder}/ca.pem", f"{folder}/node.key")
    return ClusteredActorSystem(SYSTEM, "127.0.0.1", 0, name, messages=[Message], tls=config, link=QUIET)


async def serve(folder: str) -> None:
    async with node("node-1", folder) as system:
        for name in NAMES:
            system.spawn(counter(name), name)
        print(system.address.port, flush=True)
        await trio.sleep_forever()


class Peer:
    """The counters of the other node."""

    def __init__(self, system: ClusteredActorSystem, port: int) -> None:
        self.system = system
        self.counters = {name: self.find(port, name) for name in NAMES}

    def find(self, port: int, name: str) -> Counter:
        return self.system.resolve(f"casty://{SYSTEM}@127.0.0.1:{port}/{name}")

    async def ask(self, name: str) -> int:
        total: int = await self.system.ask(self.counters[name], lambda r: Get(r), timeout=60.0)
        return total

    @property
    def link(self) -> Link:
        [connection] = self.system.connections
        return connection.link


async def warm_up(peer: Peer) -> None:
    for i in range(WARM_UP):
        peer.counters["warm-up"].tell(Add(1))
        check(await peer.ask("warm-up"), i + 1)


async def sequential(peer: Peer, result: Result) -> None:
    with timed(result, "ask_per_s", REMOTE_ASKS):
        for _ in range(REMOTE_ASKS):
            await peer.ask("a")


async def concurrent(peer: Peer, result: Result) -> None:
    """64 tasks, each asks an actor of its own."""
    answered = 0

    async def call(name: str) -> None:
        nonlocal answered
        for _ in range(CALLS):
            await peer.ask(name)
            answered += 1

    with timed(result, "ask_64_per_s", CALLERS * CALLS):
        async with trio.open_nursery() as nursery:
            for i in range(CALLERS):
                nursery.start_soon(call, f"b{i}")
    check(answered, CALLERS * CALLS)


async def tells(peer: Peer, result: Result) -> None:
    """Tells to one actor, until its count says that it has handled them all."""
    target, handled = peer.counters["c"], 0
    with timed(result, "tell_per_s", REMOTE_TELLS):
        for i in range(REMOTE_TELLS):
            if i % BURST:
                target.tell(Add(1))
            else:
                await target.send(Add(1))
        while handled < REMOTE_TELLS:
            handled = await peer.ask("c")
    check(handled, REMOTE_TELLS)


async def control(peer: Peer, result: Result) -> None:
    """How long a control frame takes there and back while bulk fills the link all the time: the 99th of 100."""
    taken = list[float]()
    link = peer.link

    async def fill() -> None:
        while True:
            await link.send(Kind.ACTOR, BULK)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fill)
        for number in range(PINGS):
            await trio.sleep(0.005)
            sought, start = number.to_bytes(4, "big"), time.perf_counter()
            link.write_control(Kind.PING, sought)
            while link.session.pong != sought:
                await trio.lowlevel.checkpoint()
            taken.append(time.perf_counter() - start)
        nursery.cancel_scope.cancel()
    result["control_p99_ms"] = sorted(taken)[PINGS * 99 // 100] * 1000


async def measure(port: int, folder: str) -> None:
    result: Result = {}
    async with node("node-2", folder) as system:
        peer = Peer(system, port)
        await warm_up(peer)
        for run in (sequential, concurrent, tells, control):
            await run(peer, result)
    print_result(result)


def make_certificates(folder: str) -> None:
    """One certificate for both nodes."""
    from casty_trio.__main__ import main

    with redirect_stdout(sys.stderr):  # what is printed are results only
        main(["cert", "ca", "--out", folder])
        main(["cert", "node", "--cluster", SYSTEM, "--ca", folder, "--out", folder])


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        trio.run(serve, sys.argv[2] if len(sys.argv) > 2 else "")
    else:
        with tempfile.TemporaryDirectory() as made:
            certificates = made if sys.argv[1] == "tls" else ""
            if certificates:
                make_certificates(certificates)
            with server("-m", "tests.bench.programs.remote", "serve", certificates) as first:
                trio.run(measure, int(first), certificates)
