"""The door of a node: how many come in, who gives way, and what one client may ask for; all counted, none silent."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import fields
from typing import Any

import anyio
import pytest
import trio
from anyio.abc import ByteStream

from casty_trio import (
    AccessSettings,
    AccessStatistics,
    ClusteredActorSystem,
    ConnectError,
    HandshakeError,
    LinkSettings,
    OverloadedError,
    SettingsError,
    ShardEnvelope,
)
from casty_trio.link import open_link
from casty_trio.protocol.frames import Kind
from casty_trio.protocol.handshake import Identity, Offer
from casty_trio.protocol.session import Session
from casty_trio.protocol.wire import CancelFrame, pack
from casty_trio.remote.door import QUIET, TOLD_MOST, Pace, Quiet
from casty_trio.testing import Simulation, simulate
from tests.remote.peers import dial, linked
from tests.sim.shop import NAME, Fill, GetAll, Ignore, Put, carts_of, make_client, make_node, open_shop, to


def with_node(program: Callable[[Simulation, ClusteredActorSystem], Awaitable[None]], **limits: int) -> None:
    """Run a program beside a node with these limits."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim, access=AccessSettings(**{**SMALL, **limits})) as node:
            open_shop(node)
            await program(sim, node)

    simulate(scenario, 1)


SMALL = {"max_unauthenticated": 5, "max_connections": 3, "client_asks": 4}


# --- Settings ------------------------------------------------------------


def test_defaults() -> None:
    settings = AccessSettings()
    assert (settings.max_unauthenticated, settings.max_connections) == (64, 4_096)
    assert (settings.client_asks, settings.client_rate) == (10_000, 64 * 1024 * 1024)


@pytest.mark.parametrize("name", [field.name for field in fields(AccessSettings)])
@pytest.mark.parametrize("value", [0, -1, math.nan])
def test_nothing_is_zero_or_less(name: str, value: Any) -> None:
    """L14: the error names the setting."""
    with pytest.raises(SettingsError, match=rf"AccessSettings\.{name}"):
        AccessSettings(**{name: value})


def test_a_rate_is_a_frame_a_second_at_least() -> None:
    with pytest.raises(SettingsError, match="client_rate"):
        AccessSettings(client_rate=1_000)


# --- Strangers ------------------------------------------------------------


async def is_ended(stream: ByteStream) -> bool:
    """Whether the node has ended a connection."""
    with trio.move_on_after(0.5):
        try:
            while True:
                await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return True
    return False


def test_the_oldest_stranger_gives_way_to_the_newest(caplog: pytest.LogCaptureFixture) -> None:
    """W6: and whoever is quick comes in, however many are silent."""

    async def program(sim: Simulation, node: ClusteredActorSystem) -> None:
        silent = list[ByteStream]()
        for number in range(8):
            silent.append(await dial(sim, f"stranger-{number}"))
            await trio.sleep(0.01)
        assert node.access_statistics().handshaking == 5
        ended = [await is_ended(stream) for stream in silent]
        assert ended == [True] * 3 + [False] * 5
        async with make_client(sim) as client:
            assert await client.ask(carts_of(client), to("a", GetAll)) == ()
        await trio.sleep(6)
        statistics = node.access_statistics()
        assert (statistics.handshaking, statistics.accepted) == (0, 1)
        assert statistics.refused == {"crowded": 4, "timeout": 4}
        for stream in silent:
            await stream.aclose()

    with_node(program)
    told = [message for message in caplog.messages if "refused a connection" in message]
    assert len([message for message in told if "crowded" in message]) <= 4
    assert told


def test_a_full_node_says_that_it_is_busy() -> None:
    """By name, to those who proved themselves, and for now: who keeps trying comes in when another leaves."""

    async def program(sim: Simulation, node: ClusteredActorSystem) -> None:
        async with make_client(sim, 1), make_client(sim, 2):
            async with make_client(sim, 3):
                assert node.access_statistics().connections == 3
                with pytest.raises(ConnectError) as caught:
                    async with make_client(sim, 4, connect_timeout=1):
                        pytest.fail("it was let in")
                assert "busy" in caught.value.__notes__[0]
                assert node.access_statistics().connections == 3
            async with make_client(sim, 4) as client:
                assert await client.ask(carts_of(client), to("a", GetAll)) == ()
        await trio.sleep(1)
        statistics = node.access_statistics()
        assert statistics.connections == 0
        assert statistics.accepted == 4
        assert statistics.refused["busy"] > 0

    with_node(program)


def test_nothing_is_limited_by_address() -> None:
    """K2: any number of clients come from behind one address."""

    async def program(sim: Simulation, node: ClusteredActorSystem) -> None:
        clients = [make_client(sim) for _ in range(60)]
        async with trio.open_nursery() as nursery:
            leave = trio.Event()

            async def live(number: int, *, task_status: trio.TaskStatus[None]) -> None:
                async with clients[number] as client:
                    assert await client.ask(carts_of(client), to("a", GetAll)) == ()
                    task_status.started()
                    await leave.wait()

            for number in range(60):
                await nursery.start(live, number)
            assert node.access_statistics().connections == 60
            leave.set()

    with_node(program, max_connections=100)


def test_codes_that_a_peer_makes_up_are_counted_together() -> None:
    """W2: counters take no more memory the more a stranger says."""

    async def program(sim: Simulation, node: ClusteredActorSystem) -> None:
        for number in range(20):

            def refuse(peer: Offer, code: str = f"made-up-{number}") -> HandshakeError:
                return HandshakeError(code, "for no reason")

            me = Identity(NAME, "client", "rude", 900 + number)
            session = Session(me, dialer=True, nonce=bytes(32), limits=LinkSettings(), admit=refuse)
            with pytest.raises(HandshakeError):
                await open_link(await dial(sim), session)
        await trio.sleep(1)
        assert node.access_statistics().refused == {"other": 20}

    with_node(program)


# --- Quotas ------------------------------------------------------------


def test_asks_above_the_quota_are_refused_by_name_and_counted() -> None:
    """L5: at once; the others go on, and when they are over there is room again."""

    async def program(sim: Simulation, node: ClusteredActorSystem) -> None:
        outcomes, refused = list[str](), ["node-1 has 4 asks of this client"] * 6

        async def ask(number: int) -> None:
            try:
                await client.ask(carts, to(f"{number}", Ignore), timeout=5)
            except OverloadedError as error:
                outcomes.append(str(error).partition(" open already")[0])
            except TimeoutError:
                outcomes.append("timeout")

        async with make_client(sim) as client, make_client(sim, 2) as other:
            carts = carts_of(client)
            async with trio.open_nursery() as nursery:
                for number in range(10):
                    nursery.start_soon(ask, number)
                await trio.sleep(1)
                assert outcomes == refused
                assert await other.ask(carts_of(other), to("a", GetAll)) == ()
            assert outcomes == refused + ["timeout"] * 4
            assert await client.ask(carts, to("a", GetAll)) == ()
        assert node.access_statistics().overloaded == 6
        assert node.statistics().dead_letters >= 6

    with_node(program)


def test_a_refused_ask_can_be_given_up_and_its_number_is_no_trap() -> None:
    """Cancellations of refused asks, before and behind them, leave nothing behind."""

    async def program(sim: Simulation, node: ClusteredActorSystem) -> None:
        async with make_client(sim) as client, linked(sim) as link:
            carts: Any = carts_of(client)
            for number in range(1, 10):
                if number == 7:
                    link.write_control(Kind.CANCEL, pack(CancelFrame(number)))
                link.write(*carts.frame(ShardEnvelope("b", Put(1)), number, 60.0))
            await trio.sleep(1)
            link.write_control(Kind.CANCEL, pack(CancelFrame(8)))
            link.write_control(Kind.CANCEL, pack(CancelFrame(1)))
            await trio.sleep(1)
            connection = list(node.connections)[-1]
            assert sorted(connection.slots) == [2, 3, 4]
            assert not connection._overtaken
            link.write(*carts.frame(ShardEnvelope("b", Put(1)), 10, 60.0))
            await trio.sleep(1)
            assert sorted(connection.slots) == [2, 3, 4, 10]

    with_node(program)


def test_who_sends_too_fast_waits_and_nobody_else_does() -> None:
    """W6: nothing is lost; a second's worth comes at once, the rest at the rate."""

    async def program(sim: Simulation, node: ClusteredActorSystem) -> None:
        async with make_client(sim) as client, make_client(sim, 2) as other:
            carts = carts_of(client)
            began = trio.current_time()
            for _ in range(50):
                carts.tell(ShardEnvelope("a", Fill(bytes(20_000))))
            async with trio.open_nursery() as nursery:

                async def all_of_it() -> None:
                    assert await client.ask(carts, to("a", GetAll), timeout=60) == (20_000,) * 50

                nursery.start_soon(all_of_it)
                asked = trio.current_time()
                assert await other.ask(carts_of(other), to("b", GetAll)) == ()
                assert trio.current_time() - asked < 0.5
            assert 8 < trio.current_time() - began < 11
        assert node.access_statistics().slowed > 3
        assert not node.connections

    with_node(program, client_rate=100_000)


def test_a_pace() -> None:
    slowed = list[int]()

    async def go() -> None:
        pace = Pace(100_000, lambda: slowed.append(1))
        assert pace(60_000) == 0
        assert pace(40_000) == 0
        assert pace(50_000) == pytest.approx(0.5)
        await trio.sleep(0.5)
        assert pace(10_000) == pytest.approx(0.1)
        await trio.sleep(60)
        assert pace(100_000) == 0
        assert len(slowed) == 2

    async def scenario(sim: Simulation) -> None:
        await go()

    simulate(scenario, 1)


# --- Logs ------------------------------------------------------------


def test_one_thing_is_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    time = [0.0]
    quiet = Quiet(logging.getLogger("tests.quiet"), lambda: time[0])
    for number in range(5):
        quiet.warning("a", "a %d", number)
        quiet.warning("b", "b %d", number)
    assert caplog.messages == ["a 0", "b 0"]
    time[0] = QUIET
    quiet.warning("a", "a %d", 6)
    assert caplog.messages[2:] == ["8 more warnings of kinds that were logged before are left out", "a 6"]
    time[0] = 2 * QUIET
    for number in range(1_000):
        quiet.warning(number, "%d", number)
    assert len(caplog.messages) == 4 + TOLD_MOST


def test_what_is_counted_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """The same attack over and over costs one line."""

    async def program(sim: Simulation, node: ClusteredActorSystem) -> None:
        for _ in range(30):
            stream = await dial(sim)
            await stream.send(b"GET / HTTP/1.1\r\n\r\n")
            assert await is_ended(stream)
            await stream.aclose()
        assert node.access_statistics() == AccessStatistics(0, 0, 0, {"protocol": 30}, 0, 0)

    with_node(program)
    assert len([message for message in caplog.messages if "protocol" in message]) == 1
