"""Straight to the node where an entity lives: the streams of a client beside that to its contact."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import trio

from casty_trio import (
    ActorRef,
    Behavior,
    Behaviors,
    ClusterClient,
    ClusteredActorSystem,
    OutcomeUnknownError,
    ShardEnvelope,
)
from casty_trio.client.routes import SETTLED
from casty_trio.protocol import wire
from casty_trio.sharding import Sharding
from casty_trio.testing import Conditions, Simulation, simulate
from tests.sim.shop import PORT, Ctx, make_client, make_node

SHARDS = 4


@dataclass(frozen=True)
class Where:
    """Wants to know on which node the entity is."""

    reply_to: ActorRef[str]


@dataclass(frozen=True)
class Note:
    """Is put down."""

    number: int


@dataclass(frozen=True)
class Notes:
    """Wants what was put down."""

    reply_to: ActorRef[tuple[int, ...]]


@dataclass(frozen=True)
class Mute:
    """Is not answered."""

    reply_to: ActorRef[int]


Question = Where | Note | Notes | Mute
Desks = ActorRef[ShardEnvelope[Question]]


def spawn_desks(node: ClusteredActorSystem) -> None:
    """Entities that know which node they are on; each node has its own."""

    def desk(entity_id: str) -> Behavior[Question]:
        notes = list[int]()

        def receive(ctx: Ctx, message: Question) -> None:
            match message:
                case Where(reply_to):
                    reply_to.tell(node.node_id)
                case Note(number):
                    notes.append(number)
                case Notes(reply_to):
                    reply_to.tell(tuple(notes))
                case Mute():
                    pass

        return Behaviors.receive(receive)

    node.spawn(Behaviors.sharded(desk, num_shards=SHARDS), "desk")


def at(entity_id: str, make: Callable[..., Any]) -> Callable[[ActorRef[Any]], ShardEnvelope[Any]]:
    return lambda reply_to: ShardEnvelope(entity_id, make(reply_to))


Program = Callable[[Simulation, list[ClusteredActorSystem], ClusterClient, Desks], Awaitable[object]]


def spread(program: Program, homes: list[int], **settings: Any) -> None:
    """Simulate two nodes that tell their clients where the shards live: ``homes`` says on which of them, and may change."""

    def shard_types(self: Sharding) -> tuple[wire.ShardTypeState, ...]:
        uids = [member.uid for member in self.system.cluster_state.members]
        places = tuple(uids.index(nodes[home].uid) if home >= 0 and nodes[home].uid in uids else -1 for home in homes)
        return (wire.ShardTypeState("desk", SHARDS, places),)

    nodes = list[ClusteredActorSystem]()

    async def scenario(sim: Simulation) -> None:
        nodes.append(make_node(sim, 1))
        nodes.append(make_node(sim, 2, seed_nodes=[("node-1", PORT)], required_quorum=2))
        async with nodes[0] as one, nodes[1] as two:
            spawn_desks(one)
            spawn_desks(two)
            async with make_client(sim, **settings) as client:
                desks: Desks = client.entity_ref("desk", num_shards=SHARDS)
                await program(sim, nodes, client, desks)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sharding, "shard_types", shard_types)
        simulate(scenario, 1)


def test_each_message_goes_straight_to_its_node() -> None:
    """K1: the first one too; there is one stream per node, and none before there is something to be said there."""

    async def program(sim: Simulation, nodes: list[ClusteredActorSystem], client: ClusterClient, desks: Desks) -> None:
        assert client.statistics().streams == 0
        found = {str(number): await client.ask(desks, at(str(number), Where)) for number in range(20)}
        assert set(found.values()) == {"node-1", "node-2"}
        assert client.statistics().streams == 1
        assert client.statistics().connections == 1
        assert sum(each.link.peer.role == "client" for each in nodes[1].connections) == 1
        for number, node in found.items():
            assert await client.ask(desks, at(number, Where)) == node

    spread(program, [0, 1, 0, 1])


def test_order_survives_a_change_of_home() -> None:
    """W5: what is told while a shard moves takes the old way, until nothing there can be overtaken any more."""
    homes = [0] * SHARDS

    async def program(sim: Simulation, nodes: list[ClusteredActorSystem], client: ClusterClient, desks: Desks) -> None:
        desks.tell(ShardEnvelope("a", Note(1)))
        homes[:] = [1] * SHARDS
        for node in nodes:
            node.state_changed()
        await trio.sleep(0.5)
        desks.tell(ShardEnvelope("a", Note(2)))
        assert await client.ask(desks, at("a", Notes)) == (1, 2)  # it still goes where the tells went
        assert await client.ask(desks, at("a", Where)) == "node-2"  # an answer: everything before has arrived
        homes[:] = [0] * SHARDS
        for node in nodes:
            node.state_changed()
        await trio.sleep(0.1)
        desks.tell(ShardEnvelope("a", Note(3)))
        await trio.sleep(SETTLED)
        assert await client.ask(desks, at("a", Notes)) == (1, 2, 3)

    spread(program, homes)


def test_a_node_that_cannot_be_reached_is_reached_through_the_contact() -> None:
    """K1: in order, after ``establishing`` seconds, and the next messages at once."""

    async def program(sim: Simulation, nodes: list[ClusteredActorSystem], client: ClusterClient, desks: Desks) -> None:
        sim.network.set_conditions(Conditions(stalled=True), between=("client-1", "node-2"))
        for number in range(10):
            desks.tell(ShardEnvelope("a", Note(number)))
        before = trio.current_time()
        assert await client.ask(desks, at("a", Notes)) == tuple(range(10))
        assert 2.9 < trio.current_time() - before < 3.2
        assert await client.ask(desks, at("a", Where)) == "node-1"
        assert trio.current_time() - before < 3.3
        assert client.statistics().streams == 0

    spread(program, [1] * SHARDS)


def test_a_stream_that_breaks_hands_over_what_it_did_not_write() -> None:
    """K5: what was written has an unknown outcome; the rest goes another way, and new messages as well."""

    async def program(sim: Simulation, nodes: list[ClusteredActorSystem], client: ClusterClient, desks: Desks) -> None:
        assert await client.ask(desks, at("a", Where)) == "node-2"
        async with trio.open_nursery() as nursery:

            async def unknown() -> None:
                with pytest.raises(OutcomeUnknownError, match="the connection to node-2 ended"):
                    await client.ask(desks, at("a", Mute), timeout=60)

            nursery.start_soon(unknown)
            await trio.sleep(0.5)
            sim.network.cut("client-1", "node-2")
        assert await client.ask(desks, at("a", Where)) in ("node-1", "node-2")
        assert client.statistics().connections == 1

    spread(program, [1] * SHARDS)


def test_asks_of_a_node_that_is_declared_unreachable_end() -> None:
    """K5: as soon as the contact says so, though the client's own connection has nothing to complain of yet."""

    async def program(sim: Simulation, nodes: list[ClusteredActorSystem], client: ClusterClient, desks: Desks) -> None:
        assert await client.ask(desks, at("a", Where)) == "node-2"
        sim.network.set_conditions(Conditions(stalled=True), between=("node-1", "node-2"))
        sim.network.set_conditions(Conditions(stalled=True), between=("client-1", "node-2"))
        before = trio.current_time()
        with pytest.raises(OutcomeUnknownError, match="cannot be reached"):
            await client.ask(desks, at("a", Mute), timeout=60)
        assert trio.current_time() - before < 9
        assert await client.ask(desks, at("a", Where)) == "node-1"

    spread(program, [1] * SHARDS)
