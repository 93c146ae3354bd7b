"""Contact points that refuse a client: others are tried, and only who is refused by all is told so."""

from __future__ import annotations

import anyio
import pytest
import trio

from casty_trio import ClusterClient, ClusteredActorSystem, ConnectError, HandshakeError
from casty_trio.testing import Simulation, simulate
from tests.client.test_libraries import NodeInThread
from tests.sim.shop import NAME, PORT, SHARDS, Carts, GetAll, Host, carts_of, make_client, make_node, open_shop, to

FIRST, SECOND = ("node-1", PORT), ("node-2", PORT)
SECRET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJ"


def other_cluster(
    sim: Simulation, host: str = "node-1", name: str = "other", secret: str | None = None
) -> ClusteredActorSystem:
    """Where a node of the shop was, or could be."""
    return ClusteredActorSystem(name, host, PORT, host, env=sim.env(host), insecure=secret is None, secret=secret)


@pytest.mark.parametrize("stranger", ["system", "authentication"])
def test_a_stale_contact_point_is_passed_over_on_entering(stranger: str) -> None:
    """K1, K3: at once, wherever it stands."""

    async def scenario(sim: Simulation) -> None:
        secret = SECRET if stranger == "authentication" else None
        async with other_cluster(sim, name=NAME if secret else "other", secret=secret), make_node(sim, 2) as node:
            open_shop(node)
            for nodes in ((1, 2), (2, 1)):
                async with make_client(sim, nodes=nodes) as client:
                    assert await client.ask(carts_of(client), to("a", GetAll)) == ()
                    assert "node-2" in repr(client)

    assert simulate(scenario, 1).seconds < 1


def test_who_is_refused_by_all_is_told_by_the_first() -> None:
    """K1: and at once; the others are in its notes."""

    async def scenario(sim: Simulation) -> None:
        async with other_cluster(sim), other_cluster(sim, "node-2", NAME, SECRET):
            with pytest.raises(HandshakeError) as caught:
                async with make_client(sim, nodes=(1, 2)):
                    pytest.fail("it was entered")
            assert caught.value.code == "system"
            (note,) = caught.value.__notes__
            assert note.startswith(f"node-2:{PORT}: authentication")

    assert simulate(scenario, 1).seconds < 1


def test_a_discovery_may_know_better() -> None:
    """K1: while it names somebody new, a refusal by all that were known is not the end; it is when it names nobody new."""

    async def scenario(sim: Simulation) -> None:
        named = [SECOND]

        async def discovery() -> list[tuple[str, int]]:
            return named

        async with other_cluster(sim), make_node(sim, 2) as node:
            open_shop(node)
            async with make_client(sim, contacts=[FIRST], discovery=discovery) as client:
                assert "node-2" in repr(client)
            named[:] = [FIRST]
            with pytest.raises(HandshakeError, match="system"):
                async with make_client(sim, contacts=[FIRST], discovery=discovery):
                    pytest.fail("it was entered")

    simulate(scenario, 1)


def test_a_discovery_that_hangs_is_told() -> None:
    """K1: the error says that it was asked, and has not answered."""

    async def scenario(sim: Simulation) -> None:
        with pytest.raises(ConnectError) as caught:
            async with make_client(sim, contacts=[], discovery=trio.sleep_forever):
                pytest.fail("it was entered")
        assert "discovery: it has not answered" in caught.value.__notes__

    simulate(scenario, 1)


def test_a_reused_address_does_not_end_a_client_that_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    """K3: the contact's address is another cluster's now. That is logged once, and the client goes on to the next node."""

    async def scenario(sim: Simulation) -> None:
        async with trio.open_nursery() as nursery:
            host = Host(sim, nursery, 1)
            await host.start()
            async with make_client(sim, nodes=(1, 2)) as client:
                await host.stop()
                async with other_cluster(sim):
                    await trio.sleep(30)
                    assert client.stream.link is None
                    async with make_node(sim, 2) as node:
                        open_shop(node)
                        assert await client.ask(carts_of(client), to("a", GetAll)) == ()
                        assert "node-2" in repr(client)
            nursery.cancel_scope.cancel()

    with caplog.at_level("WARNING", "casty_trio.client"):
        simulate(scenario, 1)
    assert len([record for record in caplog.records if "did not take this client back" in record.message]) == 1


@pytest.mark.slow
@pytest.mark.anyio
async def test_on_both_libraries(anyio_backend_name: str) -> None:
    """K6: the good one is found behind the other, and two that refuse make an error with a note."""
    good, bad, worse = NodeInThread(), NodeInThread(name="other"), NodeInThread(name="third")
    try:
        async with ClusterClient([("127.0.0.1", bad.port), ("127.0.0.1", good.port)], NAME) as client:
            carts: Carts = client.entity_ref("cart", num_shards=SHARDS)
            assert await client.ask(carts, to("a", GetAll)) == ()
        with anyio.fail_after(5), pytest.raises(HandshakeError, match="system") as caught:
            async with ClusterClient([("127.0.0.1", bad.port), ("127.0.0.1", worse.port)], NAME):
                pytest.fail("it was entered")
        assert [str(worse.port) in note for note in caught.value.__notes__] == [True]
    finally:
        for node in (good, bad, worse):
            node.stop()
