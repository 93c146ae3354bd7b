"""A node's listener: where it may listen, what entering raises, and how it ends."""

from __future__ import annotations

import math
import socket
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from casty_trio import (
    ClusterClient,
    ClusteredActorSystem,
    HandshakeError,
    InsecureListenerError,
    InvalidNameError,
    LinkSettings,
    OutcomeUnknownError,
    ShardEnvelope,
    SystemClosedError,
)
from casty_trio.link import open_link
from casty_trio.protocol.frames import Kind
from casty_trio.protocol.handshake import Identity
from casty_trio.protocol.session import Session
from casty_trio.testing import Simulation, simulate
from tests.programs import run_program
from tests.remote.peers import dial
from tests.sim.shop import (
    NAME,
    PORT,
    SHARDS,
    Carts,
    Fill,
    GetAll,
    Host,
    Ignore,
    Late,
    carts_of,
    census,
    make_client,
    make_node,
    open_shop,
    to,
)
from tests.sim.steps import assert_nothing_is_left


def local(port: int = 0, **settings: Any) -> ClusteredActorSystem:
    """A node on loopback."""
    return ClusteredActorSystem(NAME, settings.pop("host", "127.0.0.1"), port, "node-1", **settings)


# --- Entering ------------------------------------------------------------


async def test_port_zero_and_the_address() -> None:
    """With port 0 the address tells what was found, and a client finds it there."""
    async with local() as one, local() as other:
        assert one.address.host == "127.0.0.1"
        assert one.address.port not in (0, None, other.address.port)
        assert one.address.uri == f"casty://shop@127.0.0.1:{one.address.port}/"
        assert one.identity.port == one.address.port


def has_ipv6() -> bool:
    """Whether ::1 can be bound."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize("host", ["localhost", *(["::1"] if has_ipv6() else [])])
async def test_other_names_of_loopback(host: str) -> None:
    """A name and IPv6 are as good as 127.0.0.1."""
    async with local(host=host) as node:
        open_shop(node)
        async with ClusterClient([(host, node.address.port or 0)], NAME) as client:
            assert await client.ask(carts_of(client), to("a", GetAll)) == ()


async def test_a_taken_port() -> None:
    """The error of the system leaves as it is, with nothing around it, and leaves nothing behind."""
    async with local() as node:
        await trio.testing.wait_all_tasks_blocked()
        before = census()
        with pytest.raises(OSError, match="in use") as caught:
            async with local(node.address.port or 0):
                pytest.fail("it was entered")
        assert type(caught.value) is OSError
        assert census() == before


@pytest.mark.parametrize("host", ["203.0.113.1", "no-such-host.invalid"])
async def test_an_address_that_is_not_ours(host: str) -> None:
    """An OSError as well, whether the address is another's or nobody's."""
    with pytest.raises(OSError) as caught:  # noqa: PT011 - what it says is up to the system
        async with local(host=host, insecure=True):
            pytest.fail("it was entered")
    assert not isinstance(caught.value, ExceptionGroup)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.1", "example.org"])
def test_off_loopback_it_must_be_spelled_out(host: str) -> None:
    """W3: nobody listens to strangers by accident."""
    with pytest.raises(InsecureListenerError, match="insecure=True"):
        local(host=host)
    with pytest.raises(InsecureListenerError):
        local(bind_host=host)
    assert local(host=host, insecure=True).name == NAME


SECRET = bytes(range(32))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "example.org"])
def test_off_loopback_a_secret_will_do(host: str) -> None:
    """W3: strangers are refused then."""
    assert local(host=host, secret=SECRET).name == NAME


@pytest.mark.parametrize(("nodes", "clients"), [(SECRET, None), (None, SECRET), (SECRET, SECRET[::-1])])
def test_a_client_without_the_secret_is_refused(nodes: bytes | None, clients: bytes | None) -> None:
    """W3: by name, at once, and for good; one that has it is served."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim, secret=nodes) as node:
            open_shop(node)
            before = trio.current_time()
            with pytest.raises(HandshakeError) as caught:
                async with make_client(sim, secret=clients):
                    pytest.fail("it was let in")
            assert caught.value.code == "authentication"
            assert trio.current_time() - before < 1
            async with make_client(sim, secret=nodes) as client:
                assert await client.ask(carts_of(client), to("a", GetAll)) == ()

    simulate(scenario, 1)


def test_listening_elsewhere_than_one_is_reached() -> None:
    """``bind_host`` is where it listens, ``host`` what it tells."""

    async def scenario(sim: Simulation) -> None:
        node = ClusteredActorSystem(NAME, "public", PORT, "node-1", bind_host="node-1", env=sim.env("node-1"), insecure=True)
        async with node:
            open_shop(node)
            assert node.address.host == "public"
            async with make_client(sim) as client:
                assert await client.ask(carts_of(client), to("a", GetAll)) == ()

    simulate(scenario, 1)


@pytest.mark.parametrize("node_id", ["", "a b", "a/b", "x" * 300])
def test_names_that_cannot_be(node_id: str) -> None:
    """A node's name is checked like any other."""
    with pytest.raises(InvalidNameError):
        ClusteredActorSystem(NAME, "127.0.0.1", 0, node_id)


async def test_a_system_is_entered_once() -> None:
    """Inside its block and after it; with a fixed port, too, its own listener is not what stands in the way."""
    async with local() as node:
        with pytest.raises(SystemClosedError, match="entered before"):
            await node.__aenter__()
    with pytest.raises(SystemClosedError, match="entered before"):
        await node.__aenter__()
    async with local(node.address.port or 0):
        pass


# --- Accepting ------------------------------------------------------------


@pytest.mark.slow
def test_running_out_of_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """W6: a node that cannot accept for a while says so, and accepts again afterwards; its clients do not notice."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    assert run_program(Path(__file__).with_name("few_files.py")).split() == ["served", "meanwhile", "again"]


# --- Leaving ------------------------------------------------------------


def test_leaving_with_clients_connected() -> None:
    """L3 and K5: within bounds, whatever the clients do; what they wait for has an unknown outcome."""
    ended = list[str]()

    async def live(sim: Simulation, number: int) -> None:
        async with make_client(sim, number) as client:
            with pytest.raises(OutcomeUnknownError):
                await client.ask(carts_of(client), to(f"{number}", Ignore), timeout=math.inf)
            ended.append("unknown")

    async def scenario(sim: Simulation) -> None:
        before = census()
        async with trio.open_nursery() as nursery:
            host = Host(sim, nursery)
            await host.start()
            for number in range(30):
                nursery.start_soon(live, sim, number)
            await trio.sleep(1)
            assert len(host.node.connections) == 30
            left_at = trio.current_time()
            await host.stop()
            assert trio.current_time() - left_at < 1.2
            assert not host.node.connections
        assert ended == ["unknown"] * 30
        assert census() == before

    simulate(scenario, 1)


def test_leaving_beside_a_client_that_takes_nothing() -> None:
    """L3: a full pipe holds the end of the block up for as long as closing may take, and no longer."""

    async def scenario(sim: Simulation) -> None:
        async with trio.open_nursery() as nursery:
            host = Host(sim, nursery)
            await host.start()
            stream = await dial(sim)
            session = Session(Identity(NAME, "client", "deaf", 78), dialer=True, nonce=bytes(32), limits=LinkSettings())
            await open_link(stream, session)  # and it is never run
            [connection] = host.node.connections
            for _ in range(20):
                connection.link.write(Kind.STATE, bytes(50_000))
            await trio.sleep(1)
            left_at = trio.current_time()
            await host.stop()
            assert 0.9 < trio.current_time() - left_at < 2
            await stream.aclose()

    simulate(scenario, 1)


def test_replies_still_leave_while_the_node_does() -> None:
    """C8, as far as one node goes: what an entity is handling when the node leaves is answered."""

    async def scenario(sim: Simulation) -> None:
        async with trio.open_nursery() as nursery:
            host = Host(sim, nursery)
            await host.start()
            async with make_client(sim) as client:

                async def stop_later() -> None:
                    await trio.sleep(1)
                    await host.stop()

                nursery.start_soon(stop_later)
                assert await client.ask(carts_of(client), to("a", Late, 7, 3.0), timeout=60) == 7

    simulate(scenario, 1)


@pytest.mark.parametrize("by", ["steps", "time"])
def test_cancelled_at_every_step_of_its_life(by: str) -> None:
    """L3: a node with a client, cancelled at any moment, leaves no task, no listener and no connection."""

    async def live(sim: Simulation) -> None:
        async with make_node(sim) as node:
            open_shop(node)
            async with make_client(sim) as client:
                carts = carts_of(client)
                carts.tell(ShardEnvelope("a", Fill(bytes(5_000))))
                await client.ask(carts, to("a", GetAll))

    assert_nothing_is_left(by, live)


@pytest.mark.slow
async def test_real_sockets_are_closed() -> None:
    """L3: left, failed or cancelled; with warnings as errors a socket that is left open fails this test."""
    for way in ("left", "failed", "cancelled"):
        with suppress(KeyError), trio.CancelScope() as scope:
            async with local() as node:
                open_shop(node)
                contact = ("127.0.0.1", node.address.port or 0)
                async with AsyncExitStack() as stack:
                    clients = [await stack.enter_async_context(ClusterClient([contact], NAME)) for _ in range(5)]
                    for client in clients:
                        carts: Carts = client.entity_ref("cart", num_shards=SHARDS)
                        assert await client.ask(carts, to("a", GetAll)) == ()
                    silent = await trio.open_tcp_stream(*contact)
                    stack.push_async_exit(silent)
                    if way == "failed":
                        raise KeyError(way)
                    if way == "cancelled":
                        scope.cancel()
                        await trio.lowlevel.checkpoint()
