"""Entering and misusing a client's block."""

import math
from typing import Any

import pytest
import trio

from casty_trio import (
    ClusterClient,
    ClusteredActorSystem,
    ConnectError,
    HandshakeError,
    InvalidNameError,
    SettingsError,
    ShardCountError,
    ShardEnvelope,
    SystemClosedError,
    UsageError,
)
from casty_trio.model.settings import LinkSettings
from casty_trio.testing import Conditions, Simulation, simulate
from tests.client.pretenders import mute, pretender, serve
from tests.sim.shop import PORT, SHARDS, GetAll, Put, both, carts_of, make_client, make_node, open_shop, to

CONTACT = [("node-1", PORT)]

# --- Ready, or an error by name ------------------------------------------------------------


def test_it_is_ready_on_entry() -> None:
    """K1: the first message goes straight to the entity; nothing is held or slept for."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node:
            open_shop(node)
            async with make_client(sim) as client:
                assert client.num_shards("cart") == SHARDS
                carts_of(client).tell(ShardEnvelope("a", Put(1)))
                assert await client.ask(carts_of(client), to("a", GetAll)) == (1,)
                statistics = client.statistics()
                assert (statistics.connections, statistics.dropped, statistics.asks) == (1, 0, 0)

    assert simulate(scenario, 1).seconds < 0.1


def test_a_wrong_system_name_is_refused_by_name_on_both_sides(caplog: pytest.LogCaptureFixture) -> None:
    """W3 and K1: at once, not at the deadline; the node logs why."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim):
            with pytest.raises(HandshakeError, match="system") as caught:
                async with make_client(sim, system_name="shoe"):
                    pytest.fail("it was entered")
            assert caught.value.code == "system"
            assert not isinstance(caught.value, TimeoutError)
            await trio.sleep(1)

    with caplog.at_level("WARNING"):
        assert simulate(scenario, 1).seconds < 1.5
    assert any("refused a connection" in record.message and "shoe" in record.message for record in caplog.records)


def test_nobody_listens() -> None:
    """K1: an error exactly at the deadline, with a note for each contact point."""

    async def scenario(sim: Simulation) -> float:
        before = trio.current_time()
        with pytest.raises(ConnectError, match=r"shop answered within 3 s: node-1:25520, node-2:25520") as caught:
            async with make_client(sim, nodes=(1, 2), connect_timeout=3.0):
                pytest.fail("it was entered")
        assert [note.split(": ")[0] for note in caught.value.__notes__] == ["node-1:25520", "node-2:25520"]
        assert isinstance(caught.value, ConnectionError)
        return trio.current_time() - before

    assert simulate(scenario, 1).value == pytest.approx(3.0)


@pytest.mark.parametrize("listener", ["mute", "stateless"])
def test_a_listener_that_says_too_little(listener: str) -> None:
    """K1: whether it stops before or after the handshake, entering fails at the deadline, and not later."""
    handler = mute if listener == "mute" else pretender(lambda link, kind: None)

    async def scenario(sim: Simulation) -> None:
        async def program() -> None:
            before = trio.current_time()
            with pytest.raises(ConnectError):
                async with make_client(sim, connect_timeout=8.0, link=LinkSettings(handshake_timeout=3.0)):
                    pytest.fail("it was entered")
            assert 8.0 <= trio.current_time() - before < 8.2

        await serve(sim, handler, program)

    simulate(scenario, 1)


def test_the_deadline_is_one_for_connecting_and_the_state() -> None:
    """K1: a node that is found late has the rest of the time to tell the state, not all of it again."""

    async def scenario(sim: Simulation) -> None:
        async def late() -> None:
            await trio.sleep(6)
            await serve(sim, pretender(lambda link, kind: None), trio.sleep_forever)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(late)
            before = trio.current_time()
            with pytest.raises(ConnectError):
                async with make_client(sim, connect_timeout=8.0):
                    pytest.fail("it was entered")
            assert 8.0 <= trio.current_time() - before < 8.2
            nursery.cancel_scope.cancel()

    simulate(scenario, 1)


def test_a_dead_contact_point_is_passed_over() -> None:
    """K1: the second is asked as soon as the first has refused."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim, 2) as node:
            open_shop(node)
            async with make_client(sim, nodes=(1, 2)) as client:
                assert await client.ask(carts_of(client), to("a", GetAll)) == ()

    assert simulate(scenario, 1).seconds < 0.1


async def serve_mutely(sim: Simulation, number: int) -> None:
    """A host that takes connections, and says nothing."""
    host = f"node-{number}"
    async with await sim.env(host).listen(host, PORT) as listener:
        await listener.serve(mute)


def test_silent_contact_points_are_not_waited_for() -> None:
    """K1: the next is dialled beside one that is silent for a second; then it comes last, and it is told of by name."""

    async def scenario(sim: Simulation) -> None:
        async with trio.open_nursery() as nursery, make_node(sim, 4) as node:
            open_shop(node)
            for number in (1, 2, 3):
                nursery.start_soon(serve_mutely, sim, number)
            before = trio.current_time()
            async with make_client(sim, nodes=(1, 2, 3, 4)) as client:
                assert 3.0 <= trio.current_time() - before < 3.1
                assert await client.ask(carts_of(client), to("a", GetAll)) == ()
                assert client.contacts.candidates()[0] == ("node-4", PORT)
            with pytest.raises(ConnectError) as caught:
                async with make_client(sim, 2, nodes=(1, 2), connect_timeout=2.5):
                    pytest.fail("it was entered")
            assert caught.value.__notes__ == [f"node-{number}:25520: it has not answered" for number in (1, 2)]
            nursery.cancel_scope.cancel()

    simulate(scenario, 1)


def test_of_two_that_answer_late_one_is_taken() -> None:
    """K1: no connection is left over, whichever answers first, or if both do in the same moment."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim, 1) as first, make_node(sim, 2, seed_nodes=CONTACT) as second:
            await first.wait_for(2)
            for number in range(1, 30):
                delay = 0.9 + number / 100
                sim.network.set_conditions(Conditions(delay=(delay / 2, delay / 2)))
                async with make_client(sim, number, nodes=(1, 2), connect_timeout=30.0) as client:
                    assert client.statistics().connections == 1
                sim.network.set_conditions(Conditions())
                await trio.sleep(3)
                assert all(connection.peer is not None for node in (first, second) for connection in node.connections)

    simulate(scenario, 1)


def test_a_node_that_starts_later_is_found() -> None:
    """K1: the contact points are tried until the deadline."""

    async def scenario(sim: Simulation) -> float:
        async def start() -> None:
            await trio.sleep(4)
            async with make_node(sim) as node:
                open_shop(node)
                await trio.sleep_forever()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(start)
            async with make_client(sim):
                entered = trio.current_time()
            nursery.cancel_scope.cancel()
        return entered

    assert 4 < simulate(scenario, 1).value < 8.6


def test_addresses_are_mapped_before_they_are_dialled() -> None:
    """The address map turns contact points into what is dialled."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim, port=4_000) as node:
            open_shop(node)
            client = ClusterClient(
                [("front", 1)], "shop", env=sim.env("client-1"), address_map=lambda host, port: ("node-1", 3_999 + port)
            )
            async with client:
                assert "node-1" in repr(client)

    simulate(scenario, 1)


def test_a_node_that_the_address_map_does_not_know_is_one_that_cannot_be_reached() -> None:
    """K3: the client goes on through its contact; only where it is the contact point, entering tells of it."""
    table = {CONTACT[0]: CONTACT[0]}

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as first, make_node(sim, 2, seed_nodes=CONTACT) as second:
            for node in (first, second):
                open_shop(node)
            await first.wait_for(2)
            async with make_client(sim, address_map=lambda host, port: table[host, port]) as client:
                carts = carts_of(client)
                for number in range(20):
                    assert await client.ask(carts, to(f"cart-{number}", GetAll)) == ()
            with pytest.raises(ConnectError) as caught:
                async with make_client(
                    sim, 2, nodes=(2,), address_map=lambda host, port: table[host, port], connect_timeout=1.0
                ):
                    pytest.fail("it was entered")
            assert "the address_map failed for node-2:25520: KeyError" in caught.value.__notes__[0]

    simulate(scenario, 1)


def test_of_two_tasks_that_enter_together_one_does() -> None:
    """K1: the other is told at once; before, both had a nursery each, and Trio itself broke."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node:
            open_shop(node)
            client, told = make_client(sim), list[str]()

            async def enter() -> None:
                try:
                    async with client:
                        assert await client.ask(carts_of(client), to("a", GetAll)) == ()
                        told.append("entered")
                except SystemClosedError as error:
                    told.append(str(error))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(enter)
                nursery.start_soon(enter)
            assert told == ["this client was entered before: make a new one for a new block", "entered"]

    simulate(scenario, 1)


def test_a_client_that_could_not_enter_may_try_again() -> None:
    """K1: nothing of the first time is left."""

    async def scenario(sim: Simulation) -> None:
        client = make_client(sim, connect_timeout=1.0)
        with pytest.raises(ConnectError):
            async with client:
                pytest.fail("it was entered")
        async with make_node(sim) as node:
            open_shop(node)
            async with client:
                assert await client.ask(carts_of(client), to("a", GetAll)) == ()

    simulate(scenario, 1)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"contact_points": []}, SettingsError),
        ({"contact_points": "node-1:25520"}, SettingsError),
        ({"contact_points": [("node-1", 0)]}, SettingsError),
        ({"contact_points": [("node-1", 65_536)]}, SettingsError),
        ({"contact_points": [("", 25_520)]}, SettingsError),
        ({"contact_points": [("node-1", "25520")]}, SettingsError),
        ({"contact_points": [("[::1]", 25_520)]}, SettingsError),
        ({"client_host": ""}, SettingsError),
        ({"advertised_host": ""}, SettingsError),
        ({"advertised_host": "[fe80::1]"}, SettingsError),
        ({"connect_timeout": 0}, SettingsError),
        ({"connect_timeout": math.nan}, SettingsError),
        ({"system_name": "a b"}, InvalidNameError),
        ({"system_name": ""}, InvalidNameError),
    ],
)
def test_settings_that_cannot_be(arguments: dict[str, Any], error: type[Exception]) -> None:
    """They are refused where they are given, by name."""
    with pytest.raises(error):
        ClusterClient(**{"contact_points": CONTACT, "system_name": "shop", **arguments})


def test_an_address_in_brackets_is_refused_with_the_one_without() -> None:
    with pytest.raises(SettingsError, match="a host in contact_points must be an address without brackets, such as '::1'"):
        ClusterClient([("[::1]", 25_520)], "shop")
    with pytest.raises(SettingsError, match="seed_nodes"):
        ClusteredActorSystem("shop", "127.0.0.1", 0, "n1", seed_nodes=[("[::1]", 25_520)])


# --- Outside the block ------------------------------------------------------------


async def test_a_client_is_used_inside_its_block() -> None:
    """Before the block nothing can be had from a client."""
    client = ClusterClient(CONTACT, "shop")
    nothing: Any = None
    with pytest.raises(SystemClosedError, match="outside its block"):
        client.entity_ref("cart", num_shards=SHARDS)
    with pytest.raises(SystemClosedError, match="outside its block"):
        await client.ask(nothing, lambda reply_to: None)
    with pytest.raises(SystemClosedError, match="outside its block"):
        await client.stop(nothing)


def test_after_the_block() -> None:
    """Asks raise, tells are dropped and counted, and a second block needs a second client."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node:
            open_shop(node)
            async with make_client(sim) as client:
                carts = carts_of(client)
            with pytest.raises(SystemClosedError):
                await client.ask(carts, to("a", GetAll))
            carts.tell(ShardEnvelope("a", Put(1)))
            await carts.send(ShardEnvelope("a", Put(1)))
            assert client.statistics().dropped == 2
            with pytest.raises(SystemClosedError, match="entered before"):
                await client.__aenter__()
            await trio.sleep(1)
            assert node.statistics().sent == 0

    simulate(scenario, 1)


def test_what_cannot_be_asked() -> None:
    """A ref of another client or of none, a timeout that is none, and a message that is no envelope."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node:
            local = open_shop(node)
            async with make_client(sim, 1) as one, make_client(sim, 2) as other:
                for ref in (local, carts_of(other)):
                    with pytest.raises(UsageError, match="not a ref of this client"):
                        await one.ask(ref, to("a", GetAll))
                for timeout in (-1, math.nan):
                    with pytest.raises(UsageError, match="timeout"):
                        await one.ask(carts_of(one), to("a", GetAll), timeout=timeout)
                with pytest.raises(UsageError, match="ShardEnvelope"):
                    carts_of(one).tell(Put(1))  # type: ignore[arg-type]
                with pytest.raises(ZeroDivisionError):
                    await one.ask(carts_of(one), lambda reply_to: 1 / 0)  # type: ignore[arg-type, return-value]
                assert one.statistics().asks == 0
                assert await one.ask(carts_of(one), to("a", GetAll)) == ()
                assert one.statistics().connections == 1

    simulate(scenario, 1)


@pytest.mark.parametrize("entity_id", ["", 5, None, "\ud800"])
def test_an_id_that_is_none_raises_at_the_sender(entity_id: Any) -> None:
    """W4: it never leaves, so the connection lives; here and on the node."""

    async def scenario(sim: Simulation, node: Any, client: ClusterClient, carts: Any) -> None:
        for ref in (carts, node.lookup("/cart")):
            with pytest.raises(UsageError):
                ref.tell(ShardEnvelope(entity_id, Put(1)))
        with pytest.raises(UsageError):
            await client.ask(carts, to(entity_id, GetAll))
        assert await client.ask(carts, to("a", GetAll)) == ()
        statistics = client.statistics()
        assert (statistics.connections, statistics.asks) == (1, 0)

    both(scenario)


def test_one_number_of_shards() -> None:
    """A number that disagrees is refused, and does not spoil the right one."""

    async def scenario(sim: Simulation, node: Any, client: ClusterClient, carts: Any) -> None:
        with pytest.raises(ShardCountError, match="10 shards, not 11"):
            client.entity_ref("cart", num_shards=11)
        assert client.entity_ref("cart", num_shards=10) is carts
        client.entity_ref("unknown", num_shards=5)
        with pytest.raises(ShardCountError, match="5 shards, not 6"):
            client.entity_ref("unknown", num_shards=6)
        bad: Any
        for bad in (0, -1, 65_537, "10"):
            with pytest.raises(ValueError, match="num_shards"):
                client.entity_ref("other", num_shards=bad)
        with pytest.raises(InvalidNameError):
            client.entity_ref("a/b", num_shards=10)

    both(scenario)


def test_a_wrong_number_does_not_stick() -> None:
    """The first call was wrong, and the second is right."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node:
            open_shop(node)
            async with make_client(sim) as client:
                with pytest.raises(ShardCountError):
                    client.entity_ref("cart", num_shards=11)
                assert await client.ask(carts_of(client), to("a", GetAll)) == ()

    simulate(scenario, 1)
