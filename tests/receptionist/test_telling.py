"""What clients are told of services, when their links are full."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from casty_trio import ActorAddress, ClusteredActorSystem, ServiceEntry
from casty_trio.errors import LinkClosedError, LinkFullError, MessageTooLargeError
from casty_trio.protocol import listings
from casty_trio.protocol.frames import Kind
from casty_trio.protocol.listings import ServicesFrame
from casty_trio.receptionist.clients import ClientListings


class StubLink:
    """Takes what it is told, unless it is full."""

    def __init__(self) -> None:
        self.full = False
        self.waiting = 0
        self.error: Exception | None = None
        self.told: list[ServicesFrame] = []
        self.peer: Any = type("Peer", (), {"node_id": "c1"})()

    async def send(self, kind: int, body: bytes) -> None:
        self.waiting += 1
        while self.full:  # noqa: ASYNC110 - the test sets it
            await trio.sleep(0.1)
        self.waiting -= 1
        self.write(kind, body)

    def write(self, kind: int, body: bytes) -> None:
        assert kind == Kind.LISTINGS
        if self.error is not None:
            raise self.error
        if self.full:
            raise LinkFullError("no room")
        self.told.append(listings.unpack(body))


class StubConnection:
    def __init__(self) -> None:
        self.link = StubLink()


def entry(number: int) -> ServiceEntry:
    return ServiceEntry("a", ActorAddress("shop", f"/{number}", "n1", 1, 7, number))


async def test_who_could_not_be_told_is_told_all_again(autojump_clock: trio.testing.MockClock) -> None:
    """R1: as soon as there is room, once however often it asks; others only hear what has changed."""
    now: list[ServiceEntry] = [entry(1)]
    quick, slow, gone = StubConnection(), StubConnection(), StubConnection()
    one, other = quick.link, slow.link
    async with ClusteredActorSystem("shop", "127.0.0.1", 0, "n1") as system:
        clients: Any = ClientListings(system, lambda: {"a": tuple(now)} if now else {})
        clients.changed()
        for connection in (quick, slow):
            clients.subscribed(connection)
        assert [(frame.base, len(frame.added)) for frame in one.told] == [(0, 1)]
        clients.changed()
        clients.catch_up(slow)
        assert len(one.told) == len(other.told) == 1, "nothing has changed"
        other.full = True
        now.append(entry(2))
        clients.changed()
        version = one.told[-1].version
        assert [(frame.base, len(frame.added)) for frame in one.told[1:]] == [(version - 1, 1)]
        assert len(other.told) == 1
        await trio.sleep(1)
        for _ in range(5):
            clients.catch_up(slow)
            now.append(entry(len(now) + 1))
            clients.changed()
        assert other.waiting == 1, "one task waits for room"
        other.full = False
        await trio.sleep(1)
        assert other.told[-1] == ServicesFrame(0, version + 5, False, tuple(map(listings.row_of, now)), ())
        assert len(other.told) in (2, 3)
        now.pop(0)
        clients.changed()
        assert (one.told[-1], one.told[-1].base) == (other.told[-1], version + 5)
        gone.link.full = True
        clients.subscribed(gone)
        for connection in (slow, gone, gone):
            clients.ended(connection)
        now.clear()
        clients.changed()
        assert len(one.told[-1].removed) == 6
        assert len(other.told) in (3, 4)
        gone.link.full = False
        await trio.sleep(1)
        assert not clients._behind


@pytest.mark.parametrize("error", [LinkClosedError("gone"), MessageTooLargeError("small")])
async def test_who_cannot_be_told_is_named_in_the_log(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """R1: at once, and while it is told part by part; nothing goes on for it."""
    async with ClusteredActorSystem("shop", "127.0.0.1", 0, "n1") as system:
        for slowly in (False, True):
            connection = StubConnection()
            connection.link.error = error
            clients: Any = ClientListings(system, lambda: {"a": (entry(1),)})
            if slowly:
                clients._told[connection] = 0
                clients._bring_up(connection)
                await trio.testing.wait_all_tasks_blocked()
            else:
                clients.subscribed(connection)
            assert clients._told[connection] == 0
            assert not clients._behind
    assert "does not hear of services" in caplog.text
