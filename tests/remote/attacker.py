"""One hostile peer in a process of its own, with plain sockets, for `test_hostile`: `attacker.py ATTACK PORT`."""

from __future__ import annotations

import random
import resource
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec

from casty_trio.model.settings import LinkSettings
from casty_trio.protocol.frames import Kind, pack_header
from casty_trio.protocol.handshake import Identity
from casty_trio.protocol.refs import pack_reply
from casty_trio.protocol.session import Session, State
from tests.sim.shop import NAME

SECONDS = 6.0
"""How long the patient ones go on; longer than a handshake may take."""

pack = msgspec.msgpack.encode


def dial(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def enter(port: int, who: str) -> socket.socket:
    """A connection after its handshake."""
    session = Session(Identity(NAME, "client", who, 4_711), dialer=True, nonce=bytes(32), limits=LinkSettings())
    door = dial(port)
    door.sendall(session.start())
    while session.state is not State.READY:
        session.receive_data(door.recv(4096))
        door.sendall(session.data_to_send())
    return door


def send(door: socket.socket, data: bytes, times: int = 1) -> None:
    """Send until it is done, or until the node has had enough."""
    with suppress(OSError):
        for _ in range(times):
            door.sendall(data)
        door.shutdown(socket.SHUT_WR)
        while door.recv(65536):
            pass
    door.close()


def frame(kind: int, body: bytes) -> bytes:
    return pack_header(len(body) + 1, kind) + body


def entity(name: str, body: object, ask: int = 0) -> bytes:
    return frame(Kind.ENTITY, pack((ask, None, "cart", 10, "victim", name, body)))


def garbage(port: int) -> None:
    """10 MB of chance, at the door and behind it."""
    chance = random.Random(1)
    for _ in range(3):
        send(dial(port), chance.randbytes(10_000_000))
        send(enter(port, "garbage"), chance.randbytes(10_000_000))


def declared(port: int) -> None:
    """A frame that says it is of 4 GiB, at the door and behind it."""
    for _ in range(100):
        send(dial(port), pack_header(2**32 - 1, Kind.HELLO) + bytes(1000))
        send(enter(port, "declared"), pack_header(2**32 - 1, Kind.ENTITY) + bytes(1000))


def dripping(port: int) -> None:
    """A byte a second, on many connections."""
    hello = Session(Identity(NAME, "client", "slow", 5), dialer=True, nonce=bytes(32), limits=LinkSettings()).start()
    doors = [dial(port) for _ in range(40)]
    for byte in hello[: int(SECONDS)]:
        for door in doors:
            with suppress(OSError):
                door.sendall(bytes([byte]))
        time.sleep(1)
    for door in doors:
        door.close()


def silent(port: int) -> None:
    """A thousand connections that say nothing."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    doors = [dial(port) for _ in range(1_000)]
    time.sleep(SECONDS)
    for door in doors:
        door.close()


def tiny(port: int) -> None:
    """A million frames of a few bytes, of each kind that is so small."""
    for kind, body in (
        (Kind.PING, b""),
        (Kind.SUBSCRIBE, b""),
        (Kind.CANCEL, pack((1,))),
        (Kind.ENTITY, pack((0, None, "x", 1, "", "", 0))),
    ):
        send(enter(port, f"tiny-{kind}"), frame(kind, body) * 1_000, 250)
    door = enter(port, "tiny-many-cancels")
    send(door, b"".join(frame(Kind.CANCEL, pack((number,))) for number in range(1, 250_000)))


def nesting(port: int) -> None:
    """Values in values in values, at the door and behind it."""
    bomb = b"\x91" * 60_000 + b"\xc0"
    for _ in range(50):
        send(dial(port), frame(Kind.HELLO, b"\x91" * 4_000))
        send(enter(port, "nesting"), frame(Kind.ENTITY, bomb))
    whole = msgspec.Raw(bomb)
    for name in ("tests.sim.shop:Put", "tests.sim.shop:GetAll", "tests.sim.shop:Fill", "nobody:Knows"):
        send(enter(port, "nesting"), entity(name, whole), 200)


def unknown(port: int) -> None:
    """Messages of types that nobody has registered."""
    send(enter(port, "unknown"), entity("os:system", "rm -rf /") * 100, 1_000)


def asking(port: int) -> None:
    """More asks than one client may have open; the answers are not read before all is sent."""
    door = enter(port, "asking")
    for start in range(1, 100_001, 100):
        replies = [msgspec.msgpack.Ext(*pack_reply(ask)) for ask in range(start, start + 100)]
        frames = [entity("tests.sim.shop:Ignore", {"reply_to": reply}, start + n) for n, reply in enumerate(replies)]
        with suppress(OSError):
            door.sendall(b"".join(frames))
    door.close()


ATTACKS: dict[str, Callable[[int], None]] = {
    attack.__name__: attack for attack in (garbage, declared, dripping, silent, tiny, nesting, unknown, asking)
}

if __name__ == "__main__":
    ATTACKS[sys.argv[1]](int(sys.argv[2]))
