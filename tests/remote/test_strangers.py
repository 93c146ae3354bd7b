"""Peers that are slow, mute, mad or many: they end their own connection, and harm nobody else."""

from __future__ import annotations

import math
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import msgspec
import pytest
import trio
from hypothesis import given, settings as hypothesis_settings, strategies as st

from casty_trio import AccessSettings, ClusterClient, ClusteredActorSystem, HandshakeError, LinkSettings, ShardEnvelope
from casty_trio.link import open_link
from casty_trio.protocol import refs
from casty_trio.protocol.frames import Kind
from casty_trio.protocol.handshake import Identity
from casty_trio.protocol.session import Session
from casty_trio.testing import Conditions, Simulation, simulate
from tests.remote.peers import dial, ended, linked
from tests.sim.shop import NAME, Carts, Fill, GetAll, Put, carts_of, make_client, make_node, open_shop, to

Program = Callable[[Simulation, ClusteredActorSystem, ClusterClient, Carts], Awaitable[None]]


def beside(program: Program, *, seed: int = 1, **settings: Any) -> None:
    """Run a program beside a client that works before, meanwhile and afterwards, on one and the same connection."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim, **settings) as node:
            open_shop(node)
            async with make_client(sim) as client, trio.open_nursery() as nursery:
                carts = carts_of(client)

                async def keep_asking() -> None:
                    for number in range(1_000_000):
                        carts.tell(ShardEnvelope("steady", Put(number)))
                        numbers = await client.ask(carts, to("steady", GetAll), timeout=1.0)
                        assert numbers[-1] == number
                        await trio.sleep(0.5)

                nursery.start_soon(keep_asking)
                await program(sim, node, client, carts)
                nursery.cancel_scope.cancel()
                assert await client.ask(carts, to("a", GetAll)) == ()
                assert client.statistics().connections == 1
                assert len(node.connections) == 1

    simulate(scenario, seed)


# --- Before the handshake ------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        bytes(10_000),
        b"\xff" * 10_000,
        struct.pack(">IB", 1, Kind.ENTITY),
        struct.pack(">IB", 2**31, Kind.HELLO),
        struct.pack(">IB", 5, Kind.HELLO) + b"\x91\x91\x01\x01",
        struct.pack(">IB", 1, Kind.CONFIRM),
    ],
)
def test_garbage_before_the_handshake(data: bytes) -> None:
    """W2 and W3: it is refused at once, and the stream is closed."""

    async def program(sim: Simulation, node: ClusteredActorSystem, client: ClusterClient, carts: Carts) -> None:
        stream = await dial(sim)
        before = trio.current_time()
        await stream.send(data)
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):  # noqa: PT012 - a refusal comes first
            while True:
                await stream.receive()
        assert trio.current_time() - before < 1
        await stream.aclose()
        await trio.sleep(1)

    beside(program)


@given(st.binary(max_size=300))
@hypothesis_settings(max_examples=30)
def test_any_garbage(data: bytes) -> None:
    """W2: whatever comes, the node and its client live."""

    async def program(sim: Simulation, node: ClusteredActorSystem, client: ClusterClient, carts: Carts) -> None:
        stream = await dial(sim)
        try:
            await stream.send(data)
        finally:
            await stream.aclose()
        await trio.sleep(6)

    beside(program)


def test_slow_and_silent_strangers_are_ended_by_the_deadline() -> None:
    """W3 and W6: one that says nothing, one that drips, one that goes at once, and two hundred silent ones."""

    async def program(sim: Simulation, node: ClusteredActorSystem, client: ClusterClient, carts: Carts) -> None:
        before = trio.current_time()
        hello = Session(Identity(NAME, "client", "slow", 5), dialer=True, nonce=bytes(32), limits=LinkSettings()).start()
        assert len(hello) > 30

        async def stay_silent(number: int) -> None:
            stream = await dial(sim, f"silent-{number}")
            with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await stream.receive()
            assert 5 <= trio.current_time() - before < 5.1
            await stream.aclose()

        async def drip() -> None:
            stream = await dial(sim, "slow")
            with pytest.raises(anyio.BrokenResourceError):  # noqa: PT012 - one byte of them finds it broken
                for byte in hello:
                    await stream.send(bytes([byte]))
                    await trio.sleep(1)
            assert trio.current_time() - before < 8
            await stream.aclose()

        async def go() -> None:
            await (await dial(sim, "gone")).aclose()

        async with trio.open_nursery() as nursery:
            for number in range(200):
                nursery.start_soon(stay_silent, number)
            nursery.start_soon(drip)
            nursery.start_soon(go)
        await trio.sleep(1)

    beside(program, access=AccessSettings(max_unauthenticated=300))


@pytest.mark.parametrize(("role", "code"), [("node", "protocol"), ("admin", "role"), ("client", "self")])
def test_identities_that_are_refused(role: str, code: str) -> None:
    """W3: a role that is not wanted, and our own uid; by name, on both sides."""

    async def program(sim: Simulation, node: ClusteredActorSystem, client: ClusterClient, carts: Carts) -> None:
        me = Identity(NAME, role, "stranger", node.uid if code == "self" else 77)
        session = Session(me, dialer=True, nonce=bytes(32), limits=LinkSettings())
        with pytest.raises(HandshakeError) as caught:
            await open_link(await dial(sim), session)
        assert caught.value.code == code
        await trio.sleep(1)

    beside(program)


# --- After it ------------------------------------------------------------


pack = msgspec.msgpack.encode
NAN = float("nan")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (Kind.ENTITY, b""),
        (Kind.ENTITY, b"\xc1"),
        (Kind.ENTITY, b"\x97"),
        (Kind.ENTITY, b"\x91" * 5_000),
        (Kind.ENTITY, pack((0, None, "cart", 10, 5, "x", 1))),
        (Kind.ENTITY, pack((0, None, "cart", "10", "a", "x", 1))),
        (Kind.ENTITY, pack((1, NAN, "cart", 10, "a", "x", 1))),
        (Kind.ENTITY, pack((1, -1.0, "cart", 10, "a", "x", 1))),
        (Kind.ENTITY, pack((1, -math.inf, "cart", 10, "a", "x", 1))),
        (Kind.ENTITY, pack((-1, None, "cart", 10, "a", "x", 1))),
        (Kind.ENTITY, pack((0, None, "cart", 10, "a", "x", 1)).replace(b"\xa1a", b"\xa1\xff")),
        (Kind.ACTOR, pack((0, None))),
        (Kind.ACTOR, pack((1, NAN, "/a", 0, "x", 1))),
        (Kind.CANCEL, b"\x90"),
        (Kind.CANCEL, pack(("a",))),
        (Kind.REPLY, pack((1, "x", 1))),
        (Kind.NACK, pack((1, "x", "y"))),
        (Kind.STATE, b""),
        (Kind.TERMINATED, b""),
    ],
)
def test_a_malformed_frame_ends_that_connection_only(kind: int, body: bytes) -> None:
    """W2: with a reason, which the peer is told; the node goes on, and counts it."""

    async def program(sim: Simulation, node: ClusteredActorSystem, client: ClusterClient, carts: Carts) -> None:
        async with linked(sim) as link:
            assert len(node.connections) == 2
            if kind < 32:
                link.write_control(kind, body)
            else:
                link.write(kind, body)
            assert (await ended(link)).startswith("goodbye: protocol error: ")
            assert link.error is None
        await trio.sleep(1)
        assert len(node.connections) == 1
        assert node.protocol_errors == 1

    beside(program)


def test_one_that_takes_no_goodbye_is_left_in_time() -> None:
    """W6: it neither reads nor closes; the node gives it half a second for its last word, and another to close."""

    async def program(sim: Simulation, node: ClusteredActorSystem, client: ClusterClient, carts: Carts) -> None:
        stream = await dial(sim)
        session = Session(Identity(NAME, "client", "deaf", 78), dialer=True, nonce=bytes(32), limits=LinkSettings())
        await open_link(stream, session)
        [piece] = session.frame(Kind.ENTITY, b"")
        await stream.send(piece)
        await trio.sleep(0.2)
        assert len(node.connections) == 2
        await trio.sleep(0.9)
        assert len(node.connections) == 1
        assert node.protocol_errors == 1
        await stream.aclose()

    beside(program)


def test_two_asks_of_one_number_end_that_connection() -> None:
    """W2: a peer that mixes up its own asks is cut off."""

    async def program(sim: Simulation, node: ClusteredActorSystem, client: ClusterClient, carts: Any) -> None:
        async with linked(sim) as link:
            kind, body = carts.frame(ShardEnvelope("b", Put(1)), 5, 60.0)
            link.write(kind, body)
            link.write(kind, body)
            await ended(link)
        await trio.sleep(1)

    beside(program)


@pytest.mark.parametrize("budget", [0.0, 1e300, math.inf, 5])
def test_budgets_at_the_edge(budget: float) -> None:
    """Whatever a peer says it waits, no other deadline suffers."""

    async def program(sim: Simulation, node: ClusteredActorSystem, client: ClusterClient, carts: Any) -> None:
        async with linked(sim) as link:
            for number in range(1, 100):
                link.write(*carts.frame(ShardEnvelope("b", Put(1)), number, budget))
            await trio.sleep(20)
            [_, connection] = node.connections
            assert len(connection.slots) == (0 if budget < 10 else 99)
        await trio.sleep(1)
        assert not any(connection.slots for connection in node.connections)

    beside(program)


@pytest.mark.parametrize(
    "ref",
    [
        (refs.REPLY, b""),
        (refs.REPLY, b"123456789"),
        (refs.ADDRESS, b"\x90"),
        (refs.ADDRESS, pack(("shop", f"/$clients/{'9' * 5_000}/1", "h", 1, 1, 1))),
        (refs.ENTITY, pack(("nobody", "a"))),
        (refs.ENTITY, b"\xc1"),
        (99, b""),
    ],
)
def test_a_ref_that_is_none_costs_the_message_only(ref: tuple[int, bytes]) -> None:
    """W1 and W2: the connection goes on, and so does the node."""

    async def program(sim: Simulation, node: ClusteredActorSystem, client: ClusterClient, carts: Any) -> None:
        code, payload = ref
        dead = node.statistics().dead_letters
        async with linked(sim) as link:
            body = pack(
                (0, None, "cart", 10, "b", "tests.sim.shop:GetAll", {"reply_to": msgspec.msgpack.Ext(code, payload)})
            )
            link.write(Kind.ENTITY, body)
            await trio.sleep(1)
            assert not link.reason
        address_elsewhere = code == refs.ADDRESS and len(payload) > 100  # a ref to nobody: its reply is a dead letter
        assert node.statistics().dead_letters == dead + 1 or address_elsewhere
        await trio.sleep(1)

    beside(program)


def test_cancellations_without_end() -> None:
    """W2: they take bounded memory, and cancel nobody else's asks."""

    async def program(sim: Simulation, node: ClusteredActorSystem, client: ClusterClient, carts: Carts) -> None:
        async with linked(sim) as link:
            for number in range(1, 30_000):
                if number % 1_000 == 0:
                    await trio.sleep(0.1)
                link.write_control(Kind.CANCEL, pack((number,)))
            await trio.sleep(1)
            [_, connection] = node.connections
            assert len(connection._overtaken) <= 10_000
        await trio.sleep(1)

    beside(program)


def test_one_that_stops_reading() -> None:
    """W6: replies to it are bounded, and then dead letters; others get theirs."""

    async def program(sim: Simulation, node: ClusteredActorSystem, client: ClusterClient, carts: Any) -> None:
        sim.network.set_conditions(Conditions(window=4_096), between=("node-1", "stranger"))
        stream = await dial(sim)
        session = Session(Identity(NAME, "client", "deaf", 78), dialer=True, nonce=bytes(32), limits=LinkSettings())
        link = await open_link(stream, session)
        link.write(*carts.frame(ShardEnvelope("b", Fill(bytes(100))), 0, None))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link._write)  # it writes, and never reads
            for _ in range(300):
                carts.tell(ShardEnvelope("b", Put(1)))
            for number in range(1, 3_000):
                if number % 100 == 0:
                    await trio.sleep(0.1)
                body = pack(
                    (
                        number,
                        None,
                        "cart",
                        10,
                        "b",
                        "tests.sim.shop:GetAll",
                        {"reply_to": msgspec.msgpack.Ext(*refs.pack_reply(number))},
                    )
                )
                link.write(Kind.ENTITY, body)
            await trio.sleep(10)
            nursery.cancel_scope.cancel()
        [_, connection] = node.connections
        assert connection.link.pending_bytes <= 66_000
        assert node.statistics().dead_letters > 500
        await stream.aclose()
        await trio.sleep(3)

    beside(program, link=LinkSettings(max_frame=1024, max_message=16_384, queue=65_536))


def test_a_half_open_client_and_its_return() -> None:
    """K2: a client whose old connection the node still holds is answered on the new one."""

    async def program(sim: Simulation, node: ClusteredActorSystem, client: ClusterClient, carts: Any) -> None:
        old = await dial(sim, "old")
        identity = Identity(NAME, "client", "twice", 79)
        await open_link(old, Session(identity, dialer=True, nonce=bytes(32), limits=LinkSettings()))
        got = list[int]()
        new = await open_link(await dial(sim, "new"), Session(identity, dialer=True, nonce=bytes(32), limits=LinkSettings()))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(new.run, lambda kind, body: got.append(kind))
            await trio.sleep(1)
            assert len(node.connections) == 3
            slot = node.resolve(node.address_of("/$clients/79/5", 5))
            slot.tell("hello")
            await trio.sleep(1)
            assert got == [Kind.REPLY]
            nursery.cancel_scope.cancel()
        await old.aclose()
        await trio.sleep(1)

    beside(program)
