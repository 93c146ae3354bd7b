"""Clients connect to the nodes with a role alone, where the receptionist is given one (`ReceptionistSettings.role`)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import trio

from casty_trio import (
    ActorRef,
    Behaviors,
    ClusterClient,
    HandshakeError,
    ReceptionistSettings,
    ServiceKey,
    Settings,
    SettingsError,
)
from casty_trio.settings import load_settings
from casty_trio.testing import Simulation, simulate
from tests.client.test_libraries import NodeInThread
from tests.client.test_routes import SHARDS, Desks, Where, at, spawn_desks, told
from tests.sim.shop import NAME, PORT, SHARDS as CARTS, Carts, Ctx, GetAll, Host, make_client, make_node, to

EDGE = Settings(receptionist=ReceptionistSettings(role="edge"))
SEEDS = [("node-1", PORT)]


@dataclass(frozen=True)
class Call:
    """Wants an actor to be asked."""

    whom: ActorRef[Where]
    reply_to: ActorRef[str]


KEY: ServiceKey[Where | Call] = ServiceKey("desk")


async def answers(ctx: Ctx, message: Where | Call) -> None:
    if isinstance(message, Call):
        answer: str = await ctx.ask(message.whom, Where)
        message.reply_to.tell(f"{answer} says so")
    else:
        message.reply_to.tell("a worker")


def guest(ctx: Any, message: Where) -> None:
    message.reply_to.tell("a guest")


def test_what_lives_elsewhere_is_reached_through_the_contact() -> None:
    """K1: a node without the role refuses a client by name, and is dialled by none that knows it."""

    async def scenario(sim: Simulation) -> None:
        edge = make_node(sim, 1, seed_nodes=SEEDS, roles=["edge"], settings=EDGE, messages=[Call])
        worker = make_node(sim, 2, seed_nodes=SEEDS, required_quorum=2, settings=EDGE)
        async with edge, worker:
            homes = [0, 1, 1, 0]
            for node in (edge, worker):
                spawn_desks(node, homes, {})
            worker.spawn(Behaviors.discoverable(Behaviors.receive(answers), key=KEY), "desk-service")
            async with make_client(sim, nodes=(2, 1)) as client:
                assert worker.door.statistics().refused == {"receptionist": 1}
                desks: Desks = client.entity_ref("desk", num_shards=SHARDS)
                await told(client, homes)
                await trio.sleep(5)
                found = {await client.ask(desks, at(str(number), Where)) for number in range(20)}
                assert found == {"node-1", "node-2"}
                (instance,) = client.lookup(KEY).instances
                ref: ActorRef[Any] = instance.ref
                assert await client.ask(ref, Where) == "a worker"
                local = client.spawn(Behaviors.receive(guest))
                assert await client.ask(ref, partial(Call, local)) == "a guest says so"
                assert client.statistics().streams == 0
                assert worker.door.statistics().refused == {"receptionist": 1}
                assert client.contact_points == (("node-1", PORT), ("node-2", PORT))  # what it learnt, and what was given
            async with make_client(sim, nodes=(1,)) as client:
                assert client.contact_points == (("node-1", PORT),)
                assert [member.node_id for member in client.members] == ["node-1", "node-2"]

    simulate(scenario, 1)


def test_the_next_contact_has_the_role_too() -> None:
    """K3: the contact leaves, and another with the role takes over; the one without is not tried."""

    async def scenario(sim: Simulation) -> None:
        async with trio.open_nursery() as nursery:
            hosts = [
                Host(sim, nursery, number, seed_nodes=SEEDS, roles=roles, settings=EDGE, required_quorum=number)
                for number, roles in ((1, ["edge"]), (2, []), (3, ["edge"]))
            ]
            for host in hosts:
                await host.start()
            async with make_client(sim, nodes=(1,)) as client:
                while len(client.contact_points) < 2:  # noqa: ASYNC110 - virtual time
                    await trio.sleep(0.1)
                carts: Carts = client.entity_ref("cart", num_shards=CARTS)
                first, other = (hosts[0], "node-3") if "node-1" in repr(client) else (hosts[2], "node-1")
                await first.stop()
                assert await client.ask(carts, to("a", GetAll), timeout=60) == ()
                assert other in repr(client)
                assert hosts[1].node.door.statistics().refused == {}
            nursery.cancel_scope.cancel()

    simulate(scenario, 1)


def test_the_last_with_the_role_sends_no_client_away_before_it_ends() -> None:
    """K3: there is nobody else who would take them."""

    async def scenario(sim: Simulation) -> None:
        edge = make_node(sim, 1, seed_nodes=SEEDS, roles=["edge"], settings=EDGE)
        worker = make_node(sim, 2, seed_nodes=SEEDS, required_quorum=2, settings=EDGE)
        async with edge, worker:
            assert edge.takes_clients(edge.self_node)
            assert not edge.takes_clients(worker.self_node)
            async with make_client(sim) as client:
                await edge.part_with_clients()
                await trio.sleep(1)
                assert client.statistics().connections == 1

    simulate(scenario, 1)


def test_a_client_that_finds_none_with_the_role_is_told_which() -> None:
    """K1: at once, and by the code that says so."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim, settings=EDGE):
            with pytest.raises(HandshakeError, match="takes no clients: connect to a node with the role 'edge'") as caught:
                async with make_client(sim):
                    pytest.fail("it was entered")
            assert (caught.value.code, caught.value.by_peer) == ("receptionist", True)

    assert simulate(scenario, 1).seconds < 1


@pytest.mark.parametrize("role", [None, 5, "r" * 65, ["edge"], b"edge"])
def test_roles_that_cannot_be(role: Any) -> None:
    with pytest.raises(SettingsError, match=r"ReceptionistSettings\.role"):
        ReceptionistSettings(role=role)


def test_it_is_read_from_a_file() -> None:
    assert load_settings({"receptionist": {"role": "edge"}}) == EDGE
    assert Settings().receptionist.role == ""


@pytest.mark.slow
@pytest.mark.anyio
async def test_on_both_libraries(anyio_backend_name: str) -> None:
    """K6: the one without the role is passed over; alone it refuses by name."""
    edge, worker = NodeInThread(roles=["edge"], settings=EDGE), NodeInThread(settings=EDGE)
    try:
        async with ClusterClient([("127.0.0.1", worker.port), ("127.0.0.1", edge.port)], NAME) as client:
            carts: Carts = client.entity_ref("cart", num_shards=CARTS)
            assert await client.ask(carts, to("a", GetAll)) == ()
        with pytest.raises(HandshakeError, match=r"receptionist.*'edge'"):
            async with ClusterClient([("127.0.0.1", worker.port)], NAME):
                pytest.fail("it was entered")
    finally:
        edge.stop()
        worker.stop()
