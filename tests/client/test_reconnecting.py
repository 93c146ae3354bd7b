"""What a client does while nobody answers, and when somebody does again."""

import math
from itertools import pairwise
from typing import Any

import pytest
import trio

from casty_trio import (
    AskTimeoutError,
    ClusterClient,
    MailboxFullError,
    OutcomeUnknownError,
    ShardEnvelope,
    SystemClosedError,
)
from casty_trio.link import open_link
from casty_trio.model.settings import LinkSettings
from casty_trio.protocol import wire
from casty_trio.protocol.frames import Kind
from casty_trio.protocol.handshake import Identity
from casty_trio.protocol.session import Session
from casty_trio.testing import Conditions, Simulation, simulate
from tests.sim.shop import PORT, Carts, Fill, GetAll, Host, Ignore, Put, carts_of, make_client, small_link, to

HELD = 1_000
"""The default of ``ClientSettings.buffer``."""


async def until_connected(client: ClusterClient, times: int) -> None:
    """Wait for a connection; a client tells nobody when it has one."""
    while client.statistics().connections < times:  # noqa: ASYNC110 - virtual time, and nothing to wait on
        await trio.sleep(0.01)
    await trio.sleep(0.1)


def with_host(program: Any, *, seed: int = 1, **settings: Any) -> None:
    """Simulate a program with a node that can be stopped, and a client of it."""

    async def scenario(sim: Simulation) -> None:
        async with trio.open_nursery() as nursery:
            host = Host(sim, nursery)
            await host.start()
            async with make_client(sim, **settings) as client:
                await program(sim, host, client, carts_of(client))
            nursery.cancel_scope.cancel()

    simulate(scenario, seed)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_written_asks_fail_and_held_messages_arrive(how: str) -> None:
    """K4 and K5: what was written has an unknown outcome; what was held is sent to the next node, in order, once."""
    ended = list[str]()

    async def program(sim: Simulation, host: Host, client: ClusterClient, carts: Carts) -> None:
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                with pytest.raises(OutcomeUnknownError, match="the connection to node-1 ended before a reply came"):
                    await client.ask(carts, to("a", Ignore), timeout=math.inf)
                ended.append(how)

            for _ in range(5):
                nursery.start_soon(wait)
            await trio.sleep(1)
            await (host.stop() if how == "stop" else host.kill())
            await trio.sleep(1)
            assert ended == [how] * 5
            for number in range(100):
                carts.tell(ShardEnvelope("a", Put(number)))
            nursery.start_soon(self_check, client, carts)
            await trio.sleep(30)
            node = await host.start()
            await until_connected(client, 2)
        assert await client.ask(carts, to("a", GetAll)) == tuple(range(100))
        assert client.statistics().dropped == 0
        assert node.statistics().dead_letters == 0

    async def self_check(client: ClusterClient, carts: Carts) -> None:
        # An ask that is held waits like the tells around it.
        assert await client.ask(carts, to("a", GetAll), timeout=60) == tuple(range(100))

    with_host(program)


def test_the_oldest_of_too_many_is_dropped() -> None:
    """K4: beyond the bound, and it is counted; an ask among the dropped fails at once."""

    async def program(sim: Simulation, host: Host, client: ClusterClient, carts: Carts) -> None:
        await host.stop()
        await trio.sleep(1)
        async with trio.open_nursery() as nursery:

            async def dropped() -> None:
                before = trio.current_time()
                with pytest.raises(MailboxFullError, match=f"{HELD} messages wait"):
                    await client.ask(carts, to("a", GetAll), timeout=60)
                assert trio.current_time() == before + 1

            nursery.start_soon(dropped)
            await trio.sleep(1)
            for number in range(HELD + 10):
                carts.tell(ShardEnvelope("a", Put(number)))
        assert client.statistics().dropped == 11
        await host.start()
        await until_connected(client, 2)
        assert await client.ask(carts, to("a", GetAll)) == tuple(range(10, HELD + 10))

    with_host(program)


def test_what_is_held_fits_into_the_queue_of_the_next_connection() -> None:
    """K4: the bound is one of bytes, too, so that reconnecting never fails for what was held."""

    async def program(sim: Simulation, host: Host, client: ClusterClient, carts: Carts) -> None:
        await host.stop()
        await trio.sleep(1)
        for number in range(50):
            carts.tell(ShardEnvelope("a", Fill(bytes(4_000 + number))))
        dropped = client.statistics().dropped
        assert 30 < dropped < 40
        await host.start()
        await until_connected(client, 2)
        assert await client.ask(carts, to("a", GetAll)) == tuple(range(4_000 + dropped, 4_050))

    with_host(program, link=small_link())


def test_order_survives_a_reconnect() -> None:
    """W5: what was held goes ahead of what is told while the new connection is being made."""

    async def program(sim: Simulation, host: Host, client: ClusterClient, carts: Carts) -> None:
        number = 0
        for connection in range(2, 6):
            await (host.stop() if connection % 2 else host.kill())
            await host.start()
            while client.statistics().connections < connection:
                carts.tell(ShardEnvelope("a", Put(number)))
                number += 1
                await trio.sleep(0.001)
            first = number
            for _ in range(20):
                carts.tell(ShardEnvelope("a", Put(number)))
                number += 1
                await trio.sleep(0.001)
            numbers = await client.ask(carts, to("a", GetAll))
            assert list(numbers) == sorted(set(numbers))
            assert numbers[-20:] == tuple(range(first, number))
        assert client.statistics().dropped == 0

    with_host(program)


def test_what_was_queued_goes_ahead_of_what_came_after_the_end() -> None:
    """W5 and K5: a killed node leaves a queue behind; it is sent, in order, before what is told later."""

    async def program(sim: Simulation, host: Host, client: ClusterClient, carts: Carts) -> None:
        sim.network.set_conditions(Conditions(delay=(0.05, 0.05), window=2_048))
        for number in range(400):
            carts.tell(ShardEnvelope("a", Fill(bytes(4_000 + number))))
        await trio.sleep(0.1)

        async def keep_telling() -> None:
            for number in range(400, 800):
                carts.tell(ShardEnvelope("a", Fill(bytes(4_000 + number))))
                await trio.sleep(0.001)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_telling)
            await host.kill()
            await trio.sleep(1)
        await host.start()
        sim.network.set_conditions(Conditions())
        await until_connected(client, 2)
        numbers = await client.ask(carts, to("a", GetAll))
        assert list(numbers) == sorted(set(numbers))
        assert numbers[-400:] == tuple(range(4_400, 4_800))
        assert 500 < len(numbers) < 800

    with_host(program)


def test_an_ask_that_was_queued_is_not_given_up() -> None:
    """K5: only what was written has an unknown outcome; what waited in the queue is asked on the next connection."""
    replies = list[int]()

    async def program(sim: Simulation, host: Host, client: ClusterClient, carts: Carts) -> None:
        sim.network.set_conditions(Conditions(delay=(0.05, 0.05), window=1_024))
        for _ in range(100):
            carts.tell(ShardEnvelope("b", Fill(bytes(500))))
        await trio.sleep(0.01)  # these are being written; what comes now is queued behind them

        async def ask() -> None:
            replies.append(len(await client.ask(carts, to("a", GetAll), timeout=60)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.sleep(0.1)
            await host.kill()
            await trio.sleep(0.01)
            nursery.start_soon(ask)  # while the connection ends, and nobody is there
            await trio.sleep(5)
            nursery.start_soon(ask)
            await trio.sleep(5)
            sim.network.set_conditions(Conditions())
            await host.start()
        assert replies == [0, 0, 0]

    with_host(program)


@pytest.mark.parametrize("how", ["timeout", "cancelled"])
def test_a_held_ask_that_is_over_is_not_sent(how: str) -> None:
    """L5: nobody waits for it when there is a connection again."""

    async def program(sim: Simulation, host: Host, client: ClusterClient, carts: Carts) -> None:
        await host.stop()
        await trio.sleep(1)
        before = trio.current_time()
        if how == "timeout":
            with pytest.raises(AskTimeoutError):
                await client.ask(carts, lambda reply_to: ShardEnvelope("a", Put(1)), timeout=2.0)
        else:
            with trio.move_on_after(2):
                await client.ask(carts, lambda reply_to: ShardEnvelope("a", Put(1)), timeout=math.inf)
        assert trio.current_time() == before + 2
        await host.start()
        await until_connected(client, 2)
        assert await client.ask(carts, to("a", GetAll)) == ()
        assert client.statistics().dropped == 1

    with_host(program)


def test_what_is_held_when_the_block_is_left_is_counted() -> None:
    """L4: it goes nowhere, and that is not hidden."""
    ended = list[float]()

    async def scenario(sim: Simulation) -> None:
        async with trio.open_nursery() as nursery:
            host = Host(sim, nursery)
            await host.start()
            async with make_client(sim) as client:
                carts = carts_of(client)
                await host.stop()
                await trio.sleep(1)
                for number in range(7):
                    carts.tell(ShardEnvelope("a", Put(number)))

                async def ask() -> None:
                    with pytest.raises(SystemClosedError):
                        await client.ask(carts, to("a", GetAll), timeout=60)
                    ended.append(trio.current_time())

                nursery.start_soon(ask)
                await trio.sleep(1)
                left_at = trio.current_time()
            assert client.statistics().dropped == 8
            await trio.sleep(1)
            assert ended == [left_at]

    simulate(scenario, 1)


def test_the_next_contact_point_takes_over() -> None:
    """K3, as far as contact points go: the client is with the second when the first has left."""

    async def scenario(sim: Simulation) -> None:
        async with trio.open_nursery() as nursery:
            first, second = Host(sim, nursery, 1), Host(sim, nursery, 2)
            await first.start()
            await second.start()
            async with make_client(sim, nodes=(1, 2)) as client:
                carts = carts_of(client)
                assert "node-1" in repr(client)
                await first.stop()
                assert await client.ask(carts, to("a", GetAll), timeout=1.0) == ()
                assert "node-2" in repr(client)
            nursery.cancel_scope.cancel()

    simulate(scenario, 1)


def test_backing_off() -> None:
    """The rounds over the contact points come ever less often, up to three seconds with their jitter."""
    dials = list[float]()

    async def program(sim: Simulation, host: Host, client: ClusterClient, carts: Carts) -> None:
        connect = client.env.connect

        async def counted(address: str, port: int) -> Any:
            dials.append(trio.current_time())
            return await connect(address, port)

        client.env.connect = counted  # type: ignore[method-assign, assignment]
        await host.stop()
        await trio.sleep(120)
        pauses = [later - earlier for earlier, later in pairwise(dials)]
        assert pauses[0] < 0.16
        assert all(1.5 <= pause <= 4.51 for pause in pauses[6:])
        assert 35 < len(dials) < 60

    with_host(program)


def test_a_node_that_hangs_up_at_once_is_not_dialled_without_end() -> None:
    """Backing off goes on until a connection has been of use."""
    taken = list[float]()

    async def scenario(sim: Simulation) -> None:
        async def moody(stream: Any) -> None:
            me = Identity("shop", "node", "moody", 7)
            link = await open_link(stream, Session(me, dialer=False, nonce=bytes(32), limits=LinkSettings()))
            taken.append(trio.current_time())
            if len(taken) > 1:
                link.close("not today")
            else:
                link.write(Kind.STATE, wire.pack(wire.StateFrame(1, (), 0, ())))
                nursery.start_soon(close_later, link)
            await link.run(lambda kind, body: None)

        async def close_later(link: Any) -> None:
            await trio.sleep(1)
            link.close("enough")

        async with await sim.env("node-1").listen("node-1", PORT) as listener, trio.open_nursery() as nursery:
            nursery.start_soon(listener.serve, moody)
            async with make_client(sim):
                await trio.sleep(120)
            nursery.cancel_scope.cancel()

    simulate(scenario, 1)
    assert 30 < len(taken) < 80


@pytest.mark.parametrize(
    ("kind", "body"),
    [(Kind.STATE, b"\x90"), (Kind.NACK, b"\xc1"), (Kind.REPLY, b""), (Kind.TERMINATED, b""), (Kind.ENTITY, b"\x90")],
)
def test_a_malformed_frame_costs_the_connection_only(kind: int, body: bytes) -> None:
    """W2: the client is with another connection afterwards, and its block goes on."""

    async def program(sim: Simulation, host: Host, client: ClusterClient, carts: Carts) -> None:
        [connection] = host.node.connections
        if kind < 32:
            connection.link.write_control(kind, body)
        else:
            connection.link.write(kind, body)
        await until_connected(client, 2)
        assert await client.ask(carts, to("a", GetAll)) == ()

    with_host(program)
