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
from tests.bench.programs.calling import NAMES, concurrent, sequential, tells, warm_up
from tests.bench.programs.counting import SYSTEM, Add, Get, Message, counter
from tests.bench.programs.measuring import Result, print_result
from tests.bench.programs.serving import server

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
        await warm_up(peer.ask, peer.counters["warm-up"], lambda: Add(1))
        await sequential(peer.ask, result)
        await concurrent(peer.ask, result)
        await tells(peer.ask, peer.counters["c"], lambda: Add(1), result)
        await control(peer, result)
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
