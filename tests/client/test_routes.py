"""Straight to the node where an entity lives: the streams of a client beside that to its contact."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import trio

from casty_trio import (
    ActorRef,
    AllocationStrategy,
    AskTimeoutError,
    Behavior,
    Behaviors,
    ClusterClient,
    ClusteredActorSystem,
    HandshakeError,
    MailboxFullError,
    OutcomeUnknownError,
    Settings,
    ShardEnvelope,
    ShardHost,
    ShardingSettings,
)
from casty_trio.client.routes import SETTLED
from casty_trio.testing import Conditions, Simulation, simulate
from tests.sim.shop import PORT, Ctx, make_client, make_node, small_link

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


class Told(AllocationStrategy):
    """Shards are where a list says, which may change: the numbers of nodes, from 0."""

    def __init__(self, homes: list[int]) -> None:
        self._homes = homes

    def allocate(self, shard: int, hosts: Sequence[ShardHost]) -> ShardHost:
        return next((host for host in hosts if host.node_id == f"node-{self._homes[shard] + 1}"), hosts[0])

    def rebalance(self, hosts: Sequence[ShardHost], moving: int) -> Mapping[int, ShardHost]:
        at = {shard: host for host in hosts for shard in host.shards}
        return {shard: goal for shard in sorted(at) if (goal := self.allocate(shard, hosts)) != at[shard]}


def spawn_desks(node: ClusteredActorSystem, homes: list[int], written: dict[str, list[int]]) -> None:
    """Entities that know which node they are on; what they put down is there for the next one of their name."""

    def desk(entity_id: str) -> Behavior[Question]:
        notes = written.setdefault(entity_id, [])

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

    node.spawn(Behaviors.sharded(desk, num_shards=SHARDS, allocation=Told(homes)), "desk")


def at(entity_id: str, make: Callable[..., Any]) -> Callable[[ActorRef[Any]], ShardEnvelope[Any]]:
    return lambda reply_to: ShardEnvelope(entity_id, make(reply_to))


Program = Callable[[Simulation, list[ClusteredActorSystem], ClusterClient, Desks], Awaitable[object]]


def sent_on(node: ClusteredActorSystem) -> int:
    """How many messages for desks a node has sent to another."""
    statistics = node.sharding_statistics("desk")
    return statistics.sent


async def told(client: ClusterClient, homes: list[int]) -> None:
    """Wait until the client knows that the shards are where the list says."""
    wanted = [f"node-{home + 1}" for home in homes]
    while [home and home.node_id for home in dict(client.topology.shard_homes).get("desk", ())] != wanted:  # noqa: ASYNC110
        await trio.sleep(0.05)


def spread(program: Program, homes: list[int], **settings: Any) -> None:
    """Simulate two nodes with shards that are where ``homes`` says: on which of them; it may change."""
    seeds, quick = [("node-1", PORT)], Settings(sharding=ShardingSettings(rebalance_interval=0.5))

    async def scenario(sim: Simulation) -> None:
        written = dict[str, list[int]]()
        nodes = [
            make_node(sim, number, seed_nodes=seeds, required_quorum=number, on_downed="rejoin", settings=quick)
            for number in (1, 2)
        ]
        async with nodes[0] as one, nodes[1] as two:
            spawn_desks(one, homes, written)
            spawn_desks(two, homes, written)
            async with make_client(sim, **settings) as client:
                desks: Desks = client.entity_ref("desk", num_shards=SHARDS)
                await told(client, homes)
                await trio.sleep(SETTLED)
                await program(sim, nodes, client, desks)

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
        await told(client, homes)
        desks.tell(ShardEnvelope("a", Note(2)))
        assert await client.ask(desks, at("a", Notes)) == (1, 2)  # it still goes where the tells went
        assert await client.ask(desks, at("a", Where)) == "node-2"  # an answer: everything before has arrived
        homes[:] = [0] * SHARDS
        await told(client, homes)
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
        assert await client.ask(desks, at("a", Where)) == "node-2"
        assert trio.current_time() - before < 3.3
        assert client.statistics().streams == 0
        assert sent_on(nodes[0]) == 12

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
        assert await client.ask(desks, at("a", Where)) == "node-2"
        assert client.statistics().connections == 1

    spread(program, [1] * SHARDS)


def test_asks_of_a_node_that_is_declared_unreachable_end() -> None:
    """K5: as soon as the contact says so, though the client's own connection has nothing to complain of yet."""
    homes = [1] * SHARDS

    async def program(sim: Simulation, nodes: list[ClusteredActorSystem], client: ClusterClient, desks: Desks) -> None:
        assert await client.ask(desks, at("a", Where)) == "node-2"
        sim.network.set_conditions(Conditions(stalled=True), between=("node-1", "node-2"))
        sim.network.set_conditions(Conditions(stalled=True), between=("client-1", "node-2"))
        before = trio.current_time()
        with pytest.raises(OutcomeUnknownError, match="cannot be reached"):
            await client.ask(desks, at("a", Mute), timeout=60)
        assert trio.current_time() - before < 9
        homes[:] = [0] * SHARDS
        await told(client, homes)
        assert await client.ask(desks, at("a", Where)) == "node-1"

    spread(program, homes)


def test_waiting_for_room() -> None:
    """`send` goes the same way, and waits for room on the stream it takes."""

    async def program(sim: Simulation, nodes: list[ClusteredActorSystem], client: ClusterClient, desks: Desks) -> None:
        for number in range(1_200):  # more than fits while the stream is being opened
            await desks.send(ShardEnvelope("b", Note(number)))
        assert await client.ask(desks, at("b", Notes)) == tuple(range(1_200))
        await desks.send(ShardEnvelope("a", Note(0)))
        assert await client.ask(desks, at("a", Notes)) == (0,)
        sim.network.set_conditions(Conditions(delay=(0.05, 0.05), window=1_024), between=("client-1", "node-2"))
        for number in range(1, 1_500):
            await desks.send(ShardEnvelope("a", Note(number)))
        sim.network.set_conditions(Conditions(), between=("client-1", "node-2"))
        assert await client.ask(desks, at("a", Notes), timeout=60) == tuple(range(1_500))
        assert client.statistics().streams == 1

    spread(program, [1] * SHARDS, link=small_link())


@pytest.mark.parametrize("how", ["tell", "send"])
def test_what_was_not_written_goes_through_the_contact(how: str) -> None:
    """W5: in order, and ahead of what is told later; nothing comes twice."""

    async def program(sim: Simulation, nodes: list[ClusteredActorSystem], client: ClusterClient, desks: Desks) -> None:
        assert await client.ask(desks, at("a", Where)) == "node-2"
        sim.network.set_conditions(Conditions(delay=(0.05, 0.05), window=1_024), between=("client-1", "node-2"))

        async def keep_telling() -> None:
            for number in range(1_500):
                if how == "tell":
                    desks.tell(ShardEnvelope("a", Note(number)))
                    await trio.sleep(0.0005)
                else:
                    await desks.send(ShardEnvelope("a", Note(number)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_telling)
            await trio.sleep(0.3)
            sim.network.cut("client-1", "node-2")
        notes = await client.ask(desks, at("a", Notes), timeout=60)
        lost = sorted(set(range(1_500)) - set(notes))  # they were being written
        written, rest = [note for note in notes if note < lost[0]], [note for note in notes if note > lost[0]]
        assert lost == list(range(lost[0], rest[0]))
        assert written == list(range(lost[0]))
        assert rest == list(range(rest[0], 1_500))
        assert client.statistics().dropped == 0

    spread(program, [1] * SHARDS, link=small_link())


def test_too_much_for_a_stream_that_is_being_opened() -> None:
    """What fits into the queue of a link waits; more is dropped and counted, and an ask says so."""

    async def program(sim: Simulation, nodes: list[ClusteredActorSystem], client: ClusterClient, desks: Desks) -> None:
        sim.network.set_conditions(Conditions(stalled=True), between=("client-1", "node-2"))
        for number in range(2_000):
            desks.tell(ShardEnvelope("a", Note(number)))
        dropped = client.statistics().dropped
        assert 0 < dropped < 1_500
        with pytest.raises(MailboxFullError, match="too much waits for the connection to node-2"):
            await client.ask(desks, at("a", Notes))
        await trio.sleep(4)
        assert await client.ask(desks, at("a", Notes)) == tuple(range(2_000 - dropped))

    spread(program, [1] * SHARDS, link=small_link())


def test_a_refusal_of_the_other_node_is_no_reason_to_end() -> None:
    """The contact is enough: it passes on what the other node does not take from this client."""

    async def program(sim: Simulation, nodes: list[ClusteredActorSystem], client: ClusterClient, desks: Desks) -> None:
        nodes[1].door.admit = lambda visit: HandshakeError("busy", "not now")  # type: ignore[method-assign]
        assert await client.ask(desks, at("a", Where)) == "node-2"
        assert sent_on(nodes[0]) == 1
        with pytest.raises(AskTimeoutError):
            await client.ask(desks, at("a", Mute), timeout=0.5)

    spread(program, [1] * SHARDS)


def test_leaving_while_a_stream_is_being_opened() -> None:
    """What waits for it is counted, and nobody waits for ever."""
    clients = list[ClusterClient]()

    async def program(sim: Simulation, nodes: list[ClusteredActorSystem], client: ClusterClient, desks: Desks) -> None:
        clients.append(client)
        sim.network.set_conditions(Conditions(stalled=True), between=("client-1", "node-2"))
        for number in range(3):
            desks.tell(ShardEnvelope("a", Note(number)))

    spread(program, [1] * SHARDS)
    assert clients[0].statistics().dropped == 3


# --- Refs that are handed from node to node ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Slow:
    """Wants the number back after a while; whoever gets it first passes it on to the next node."""

    number: int
    reply_to: ActorRef[int]


def relay(node: ClusteredActorSystem, following: int) -> Callable[[str], Behavior[Slow]]:
    def make(entity_id: str) -> Behavior[Slow]:
        def receive(ctx: Ctx, message: Slow) -> None:
            node.resolve(f"casty://{node.name}@node-{following}:{PORT}/slow").tell(message)

        return Behaviors.receive(receive)

    return make


def slow(ctx: Ctx, message: Slow) -> None:
    async def reply() -> None:
        await trio.sleep(0.1)
        message.reply_to.tell(message.number)

    ctx.start_soon(reply)


async def live(sim: Simulation, number: int, wrong: list[int]) -> None:
    async with make_client(sim, number, nodes=(number % 3 + 1,)) as client:
        relays: ActorRef[ShardEnvelope[Slow]] = client.entity_ref("relay", num_shards=9)

        async def ask(mine: int) -> None:
            make = lambda r: ShardEnvelope(f"{mine % 50}", Slow(mine, r))  # noqa: E731 - it is one
            if await client.ask(relays, make, timeout=60) != mine:
                wrong.append(mine)

        async with trio.open_nursery() as nursery:
            for each in range(20):
                nursery.start_soon(ask, 1_000 * number + each)
        assert client.statistics().dropped == 0


def test_two_hundred_clients_of_three_nodes_get_their_own_replies() -> None:
    """K2: twenty asks each, answered after 100 ms by an actor of a node that the client has no stream to."""
    wrong = list[int]()

    async def scenario(sim: Simulation) -> None:
        addresses = [(f"node-{number}", PORT) for number in (1, 2, 3)]
        async with AsyncExitStack() as stack:
            nodes = [make_node(sim, number, seed_nodes=addresses, messages=[Slow]) for number in (1, 2, 3)]
            for number, node in enumerate(nodes, 1):
                await stack.enter_async_context(node)
                node.spawn(Behaviors.receive(slow), "slow")
                node.spawn(Behaviors.sharded(relay(node, number % 3 + 1), num_shards=9), "relay")
            await nodes[0].wait_for(3)
            async with trio.open_nursery() as nursery:
                for number in range(200):
                    nursery.start_soon(live, sim, number, wrong)
            assert [node.statistics().dead_letters for node in nodes] == [0, 0, 0]

    simulate(scenario, 1)
    assert wrong == []
