"""What clients are told of services, when their links are full."""

from __future__ import annotations

from typing import Any

from casty_trio import ActorAddress, ClusteredActorSystem, ServiceEntry
from casty_trio.errors import LinkFullError
from casty_trio.protocol import listings
from casty_trio.protocol.frames import Kind
from casty_trio.protocol.listings import ServicesFrame
from casty_trio.receptionist.clients import ClientListings


class StubLink:
    """Takes what it is told, unless it is full."""

    def __init__(self) -> None:
        self.full = False
        self.told: list[ServicesFrame] = []
        self.peer: Any = type("Peer", (), {"node_id": "c1"})()

    def write(self, kind: int, body: bytes) -> None:
        assert kind == Kind.LISTINGS
        if self.full:
            raise LinkFullError("no room")
        self.told.append(listings.unpack(body))


class StubConnection:
    def __init__(self) -> None:
        self.link = StubLink()


def entry(number: int) -> ServiceEntry:
    return ServiceEntry("a", ActorAddress("shop", f"/{number}", "n1", 1, 7, number))


def test_who_could_not_be_told_is_told_all_again() -> None:
    """R1: with the next change, or when it asks; others only hear what has changed."""
    system = ClusteredActorSystem("shop", "127.0.0.1", 0, "n1")
    now: list[ServiceEntry] = [entry(1)]
    clients = ClientListings(system, lambda: tuple(now))
    quick, slow = StubConnection(), StubConnection()
    one, other = quick.link, slow.link
    clients.changed()
    for connection in (quick, slow):
        clients.subscribed(connection)  # type: ignore[arg-type]
    assert [(frame.base, len(frame.added)) for frame in one.told] == [(0, 1)]
    clients.changed()
    assert len(one.told) == 1, "nothing has changed"
    other.full = True
    now.append(entry(2))
    clients.changed()
    version = one.told[-1].version
    assert [(frame.base, len(frame.added)) for frame in one.told[1:]] == [(version - 1, 1)]
    assert len(other.told) == 1
    other.full = False
    clients.catch_up(slow)  # type: ignore[arg-type]
    assert other.told[-1] == ServicesFrame(0, version, False, tuple(map(listings.row_of, now)), ())
    clients.catch_up(slow)  # type: ignore[arg-type]
    assert len(other.told) == 2
    other.full = True
    now.pop(0)
    clients.changed()
    other.full = False
    now.append(entry(3))
    clients.changed()
    assert other.told[-1] == ServicesFrame(0, version + 2, False, tuple(map(listings.row_of, now)), ())
    assert one.told[-1].base == version + 1
    clients.ended(slow)  # type: ignore[arg-type]
    clients.ended(slow)  # type: ignore[arg-type]
    now.clear()
    clients.changed()
    assert len(other.told) == 3
    assert [len(frame.removed) for frame in one.told[-1:]] == [2]
