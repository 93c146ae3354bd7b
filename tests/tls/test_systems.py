"""A node and its clients with certificates: who is served, on Trio and on asyncio, over real sockets and simulated ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
import sniffio
import trio

from casty_trio import ClusterClient, ClusteredActorSystem, ConnectError, HandshakeError, SettingsError, ShardEnvelope
from casty_trio.testing import Simulation, simulate
from casty_trio.tls import Config
from tests.client.test_libraries import NodeInThread
from tests.sim.shop import NAME, SHARDS, Carts, Fill, GetAll, carts_of, make_client, make_node, open_shop, to
from tests.tls.authority import Authority

SECRET = bytes(range(32))


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def own(ca: Authority, uri: str, kind: str) -> Config:
    """A config as users make it."""
    return Config.from_paths(ca.write(uri.replace("/", "-"), ca.issue(uri, kind=kind)), ca.cafile)


@pytest.fixture(scope="module")
def node_tls(ca: Authority) -> Config:
    return own(ca, "casty://shop/node/node-1", "node")


@pytest.fixture(scope="module")
def client_tls(ca: Authority) -> Config:
    return own(ca, "casty://shop/client/web", "client")


@pytest.mark.slow
@pytest.mark.anyio
async def test_a_client_on_each_library(node_tls: Config, client_tls: Config, anyio_backend_name: str) -> None:
    """K6: certificates on both sides, and a secret beside them; large messages as well as small ones."""
    assert sniffio.current_async_library() == anyio_backend_name
    node = NodeInThread(tls=node_tls, secret=SECRET)
    try:
        async with ClusterClient([("127.0.0.1", node.port)], NAME, tls=client_tls, secret=SECRET) as client:
            carts: Carts = client.entity_ref("cart", num_shards=SHARDS)
            await carts.send(ShardEnvelope("a", Fill(bytes(3_000_000))))
            assert await client.ask(carts, to("a", GetAll)) == (3_000_000,)
            async with anyio.create_task_group() as tasks:
                for number in range(200):
                    tasks.start_soon(client.ask, carts, to(str(number), GetAll))
        attempts: list[tuple[dict[str, Any], str]] = [({}, "protocol"), ({"tls": client_tls}, "authentication")]
        for bad, code in attempts:
            began = anyio.current_time()
            with pytest.raises((HandshakeError, ConnectError)) as caught:
                async with ClusterClient([("127.0.0.1", node.port)], NAME, connect_timeout=1, **bad):
                    pytest.fail("it was let in")
            assert code in str(caught.value) + str(getattr(caught.value, "__notes__", ""))
            assert anyio.current_time() - began < 5
    finally:
        node.stop()


def test_in_a_simulation(ca: Authority, node_tls: Config, client_tls: Config) -> None:
    """On virtual time as well; a client without a certificate is refused at once, and one of another authority."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim, tls=node_tls) as node:
            open_shop(node)
            async with make_client(sim, tls=client_tls) as client:
                assert await client.ask(carts_of(client), to("a", GetAll)) == ()
            for bad in (ca.nobody(), ca.config("client", days=-1)):
                object.__setattr__(bad, "_loaded", bad._loaded._replace(uris=("casty://shop/client",)))
                began = trio.current_time()
                with pytest.raises(HandshakeError) as caught:
                    async with make_client(sim, tls=bad):
                        pytest.fail("it was let in")
                assert caught.value.code == "tls"
                assert trio.current_time() - began < 5
            assert not node.connections

    simulate(scenario, 1)


def test_one_contact_that_cannot_be_trusted_does_not_keep_a_client_out(
    ca: Authority, node_tls: Config, client_tls: Config
) -> None:
    """K1: it asks the next one; only when no contact can be trusted does entering fail, at once."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim, 1, tls=node_tls) as node, make_node(sim, 2, tls=own_node(ca, "node-2")) as other:
            open_shop(node)
            node.credentials = other.credentials  # its certificate is another node's
            open_shop(other)
            async with make_client(sim, nodes=(1, 2), tls=client_tls) as client:
                assert client.stream.link is not None
                assert client.stream.link.peer.node_id == "node-2"
            with pytest.raises(HandshakeError) as caught:
                async with make_client(sim, nodes=(1,), tls=client_tls):
                    pytest.fail("it was let in")
            assert caught.value.code == "certificate"

    simulate(scenario, 1)


def own_node(ca: Authority, node_id: str) -> Config:
    return own(ca, f"casty://shop/node/{node_id}", "node")


def test_with_a_certificate_a_node_may_listen_anywhere(node_tls: Config, client_tls: Config) -> None:
    assert ClusteredActorSystem(NAME, "0.0.0.0", 0, "node-1", tls=node_tls).name == NAME


def test_a_certificate_for_somebody_else_is_refused_before_anybody_else_has_to(node_tls: Config, client_tls: Config) -> None:
    for make, words in (
        (lambda: ClusteredActorSystem(NAME, "127.0.0.1", 0, "node-2", tls=node_tls), "casty://shop/node/node-2"),
        (lambda: ClusteredActorSystem("bank", "127.0.0.1", 0, "node-1", tls=node_tls), "casty://bank/node/node-1"),
        (lambda: ClusteredActorSystem(NAME, "127.0.0.1", 0, "node-1", tls=client_tls), "casty://shop/node/node-1"),
        (lambda: ClusterClient([("127.0.0.1", 1)], NAME, tls=node_tls), "casty://shop/client"),
    ):
        with pytest.raises(SettingsError, match=f"use a certificate for {words}"):
            make()


def test_certificates_are_renewed_without_a_restart(ca: Authority, tmp_path: Path, client_tls: Config) -> None:
    """The connection there is goes on, and new ones are made with the new certificate."""

    async def scenario(sim: Simulation) -> None:
        path = ca.write("renewed", ca.issue("casty://shop/node"))
        async with (
            make_node(sim, tls=Config.from_paths(path, ca.cafile)) as node,
            make_client(sim, tls=client_tls) as client,
        ):
            open_shop(node)
            carts = carts_of(client)
            assert await client.ask(carts, to("a", GetAll)) == ()
            made = ca.issue("casty://shop/node", "casty://shop/node/node-9")
            path.write_bytes(made.certificate + made.key)
            async with make_client(sim, 2, tls=client_tls) as another:
                assert await another.ask(carts_of(another), to("a", GetAll)) == ()
                assert another.stream.link is not None
                seen = another.stream.link._stream.peer_uris  # type: ignore[attr-defined]
                assert "casty://shop/node/node-9" in seen
            assert await client.ask(carts, to("a", GetAll)) == ()
            assert client.statistics().connections == 1

    simulate(scenario, 1)
