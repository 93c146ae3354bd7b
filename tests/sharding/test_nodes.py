"""Sharded types on several nodes: S1 to S5, C7 and C8, on whole systems."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from casty_trio import (
    ActorContext,
    ActorRef,
    ActorStoppedError,
    Behavior,
    Behaviors,
    ClusteredActorSystem,
    ShardCountError,
    ShardEnvelope,
    UnknownActorError,
)
from casty_trio.protocol.shards import shard_of
from casty_trio.testing import Simulation, simulate
from tests.cluster.clusters import Cluster, cluster
from tests.sim.shop import GetAll, Msg, Put, cart, to, wants

Carts = ActorRef[ShardEnvelope[Msg]]
Scenario = Callable[[Cluster], Awaitable[None]]
IDS = [f"user-{number}" for number in range(40)]


def cluster_of(nodes: int, scenario: Scenario, *, seed: int = 1) -> None:
    """Run a scenario with the first nodes as seeds."""

    async def run(sim: Simulation) -> None:
        async with cluster(sim, *(f"n{number + 1}" for number in range(min(nodes, 3)))) as nodes_of_it:
            await scenario(nodes_of_it)

    simulate(run, seed)


class Log:
    """What entities have handled, wherever they lived."""

    def __init__(self) -> None:
        self.handled: dict[str, list[tuple[str, int]]] = {}
        self.live: dict[str, list[str]] = {}


def recording(log: Log, node: str, delay: float = 0.0) -> Callable[[str], Behavior[Any]]:
    """Entities that write down what they get; the observer in small."""

    def factory(entity_id: str) -> Behavior[Msg]:
        def begin(ctx: ActorContext[Any]) -> Behavior[Any]:
            log.live.setdefault(entity_id, []).append(node)
            assert len(log.live[entity_id]) == 1, f"S1: {entity_id} lives on {log.live[entity_id]}"

            async def receive(ctx: ActorContext[Any], message: Any) -> None:
                if delay:
                    await trio.sleep(delay)
                match message:
                    case Put(number):
                        log.handled.setdefault(entity_id, []).append((node, number))
                    case GetAll(reply_to):
                        reply_to.tell(tuple(number for _, number in log.handled.get(entity_id, [])))

            return Behaviors.receive(receive)

        def gone() -> None:
            log.live[entity_id].remove(node)

        return Behaviors.with_lifecycle(Behaviors.setup(begin), post_stop=lambda ctx: gone())

    return factory


def opener(log: Log, refs: dict[str, Carts], delay: float = 0.0, **more: Any) -> Callable[[ClusteredActorSystem], None]:
    def begin(system: ClusteredActorSystem) -> None:
        factory = recording(log, system.node_id, delay)
        refs[system.node_id] = system.spawn(Behaviors.sharded(factory, num_shards=12, **more), "cart")

    return begin


async def settled(cluster: Cluster, nodes: int, shards: int = 12) -> None:
    """Wait until the shards are spread over so many nodes, and all agree where."""
    with trio.fail_after(30):
        while True:
            homes = {system.shard_homes("cart") for system in cluster.systems.values()}
            if len(homes) == 1:
                (found,) = homes
                counts = [found.count(home) for home in set(found)]
                if None not in found and len(counts) == nodes and max(counts) - min(counts) <= 1:
                    return
            await trio.sleep(0.1)


def test_entities_of_three_nodes_answer_each_of_them() -> None:
    """S1, C7: sent right after `wait_for`, from each node to each entity; one owner each."""

    async def scenario(cluster: Cluster) -> None:
        log, refs = Log(), dict[str, Carts]()
        names = ["n1", "n2", "n3"]
        await cluster.form(*names, begin=opener(log, refs))
        for place, name in enumerate(names):
            for entity in IDS:
                refs[name].tell(ShardEnvelope(entity, Put(place)))
        for name in names:
            for entity in IDS:
                numbers = await cluster.systems[name].ask(refs[name], to(entity, GetAll), timeout=20)
                assert names.index(name) in numbers
        await settled(cluster, 3)
        for name in names:
            await cluster.systems[name].ask(refs[name], to("user-1", GetAll))
        assert all(sorted(number for _, number in log.handled[entity]) == [0, 1, 2] for entity in IDS)

    cluster_of(3, scenario)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("delay", [0.0, 0.4])
def test_planned_changes_lose_nothing(seed: int, delay: float) -> None:
    """S2, C8: two nodes join and two leave, while all send; everything is handled once, in order per sender."""

    async def scenario(cluster: Cluster) -> None:
        log, refs = Log(), dict[str, Carts]()
        begin = opener(log, refs, delay)
        sent: dict[tuple[str, str], int] = {}
        await cluster.form("n1", "n2", begin=begin)
        names = {"n1": 0, "n2": 100_000, "n3": 200_000, "n4": 300_000}
        senders = {"n1", "n2"}

        async def send() -> None:
            while True:
                for name in sorted(senders):
                    for entity in IDS[:8]:
                        key = (name, entity)
                        sent[key] = sent.get(key, 0) + 1
                        refs[name].tell(ShardEnvelope(entity, Put(names[name] + sent[key])))
                await trio.sleep(1.0)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await trio.sleep(2)
            cluster.start("n3", "n4", begin=begin)
            await cluster.formed("n1", "n2", "n3", "n4")
            senders |= {"n3", "n4"}
            await trio.sleep(8)
            for name in ("n1", "n3"):
                senders.discard(name)
                cluster.sim.host(name).terminate()
                assert await cluster.wait_ended(name) is None
                await trio.sleep(2)
            nursery.cancel_scope.cancel()
        await settled(cluster, 2)
        for entity in IDS[:8]:
            await cluster.systems["n2"].ask(refs["n2"], to(entity, GetAll), timeout=60)
            await cluster.systems["n4"].ask(refs["n4"], to(entity, GetAll), timeout=60)
        for (name, entity), count in sent.items():
            base = names[name]
            got = [number - base for _, number in log.handled[entity] if base < number <= base + 100_000 - 1]
            assert got == list(range(1, count + 1)), (name, entity)
        assert {node for handled in log.handled.values() for node, _ in handled} == set(names)

    cluster_of(4, scenario, seed=seed)


def test_a_crash_ends_in_a_cluster_that_answers() -> None:
    """S3: the oldest node, which coordinates, is killed; then another one."""

    async def scenario(cluster: Cluster) -> None:
        log, refs = Log(), dict[str, Carts]()
        await cluster.form("n1", "n2", "n3", "n4", "n5", begin=opener(log, refs))
        await settled(cluster, 5)
        for name in ("n1", "n3"):
            cluster.sim.host(name).crash()
            for nodes in log.live.values():
                if name in nodes:
                    nodes.remove(name)
            left = [other for other in cluster.systems if other != name]
            await cluster.formed(*left)
            with trio.fail_after(20):
                for entity in IDS:
                    assert await cluster.systems["n5"].ask(refs["n5"], to(entity, GetAll), timeout=20) == ()
        await settled(cluster, 3)

    cluster_of(5, scenario)


def test_nothing_moves_while_nothing_changes() -> None:
    """S4: shards settle, at a spread of one at most, and stay."""

    async def scenario(cluster: Cluster) -> None:
        log, refs = Log(), dict[str, Carts]()
        await cluster.form("n1", "n2", "n3", "n4", "n5", begin=opener(log, refs))
        await settled(cluster, 5)
        homes = cluster.systems["n1"].shard_homes("cart")
        await trio.sleep(60)
        assert {system.shard_homes("cart") for system in cluster.systems.values()} == {homes}

    cluster_of(5, scenario)


def test_roles_proxies_and_strangers() -> None:
    """Only nodes with the role host; a proxy routes; a node without the type says so; other types are not disturbed (S5)."""

    async def scenario(cluster: Cluster) -> None:
        log, refs = Log(), dict[str, Carts]()
        begin = opener(log, refs, role="backend")
        cluster.start("n1", begin=begin)
        cluster.start("n2", begin=begin, roles={"backend"})
        cluster.start("n3", begin=opener(log, refs, role="backend", proxy=True), roles={"backend"})
        cluster.start("n4")
        await cluster.formed("n1", "n2", "n3", "n4")
        for name in ("n1", "n2", "n3"):
            assert await cluster.systems[name].ask(refs[name], to(f"of {name}", GetAll), timeout=20) == ()
        assert log.live == {f"of {name}": ["n2"] for name in ("n1", "n2", "n3")}
        entity = cluster.systems["n3"].entity_ref("cart", "of n1")
        assert await cluster.systems["n3"].ask(entity, wants(GetAll)) == ()
        assert cluster.systems["n1"].entity_home("cart", "x") == cluster.systems["n2"].self_node
        with pytest.raises(UnknownActorError, match="n4 has no sharded type 'cart'"):
            cluster.systems["n4"].entity_ref("cart", "x")
        homes = cluster.systems["n2"].shard_homes("cart")
        cluster.systems["n2"].spawn(Behaviors.sharded(cart, num_shards=3), "other")
        await trio.sleep(3)
        assert cluster.systems["n2"].shard_homes("cart") == homes
        assert cluster.systems["n2"].sharding_statistics("cart").entities == 3
        state = cluster.systems["n2"].region_state("cart")
        assert state.shard_type == "cart"
        assert list(state.shards) == list(range(12))
        assert sorted(entity for entities in state.shards.values() for entity in entities) == ["of n1", "of n2", "of n3"]
        assert "of n1" in state.shards[shard_of("of n1", 12)]
        assert cluster.systems["n3"].region_state("cart").shards == {}
        with pytest.raises(UnknownActorError, match="n4 has no sharded type 'cart'"):
            cluster.systems["n4"].region_state("cart")

    cluster_of(4, scenario)


def test_differing_shard_counts_are_refused_by_name() -> None:
    """S5: the node that came later hears why nothing of it is taken."""

    async def scenario(cluster: Cluster) -> None:
        log, refs = Log(), dict[str, Carts]()
        await cluster.form("n1", begin=opener(log, refs))
        await settled(cluster, 1)
        cluster.start("n2")
        await cluster.formed("n1", "n2")
        odd = cluster.systems["n2"].spawn(Behaviors.sharded(cart, num_shards=5), "cart")
        with pytest.raises(
            ShardCountError, match="'cart' has 5 shards and no role on n2; others have it with 12 shards and no role"
        ):
            await cluster.systems["n2"].ask(odd, to("x", GetAll))
        assert await cluster.systems["n1"].ask(refs["n1"], to("x", GetAll)) == ()

    cluster_of(1, scenario)


def test_a_minority_stops_its_entities_and_joins_again() -> None:
    """S1, C6: entities of the smaller side have ended when the larger starts them; one that takes long is cut short."""

    async def scenario(cluster: Cluster) -> None:
        log, refs = Log(), dict[str, Carts]()
        names = [f"n{number + 1}" for number in range(5)]
        await cluster.form(*names, begin=opener(log, refs, 20.0), on_downed="rejoin")
        await settled(cluster, 5)
        for entity in IDS:
            refs["n1"].tell(ShardEnvelope(entity, Put(1)))
        await trio.sleep(1)
        there = {entity: nodes[0] for entity, nodes in log.live.items()}
        assert set(there.values()) == set(names)
        cluster.split(["n1", "n2"], ["n3", "n4", "n5"])
        await trio.sleep(25)
        assert not any(node in ("n1", "n2") for nodes in log.live.values() for node in nodes)
        for entity in IDS:
            refs["n5"].tell(ShardEnvelope(entity, Put(2)))
        await trio.sleep(1)
        assert all(nodes[0] in ("n3", "n4", "n5") for nodes in log.live.values())
        cluster.heal(["n1", "n2"], ["n3", "n4", "n5"])
        await cluster.formed(*names, within=60)
        await settled(cluster, 5)

    cluster_of(5, scenario)


def test_a_node_that_leaves_and_goes_on_hosts_nothing() -> None:
    """C8: after `leave` its entities are elsewhere, and what it is told is refused."""

    async def scenario(cluster: Cluster) -> None:
        log, refs = Log(), dict[str, Carts]()
        await cluster.form("n1", "n2", "n3", begin=opener(log, refs))
        await settled(cluster, 3)
        for entity in IDS:
            refs["n1"].tell(ShardEnvelope(entity, Put(1)))
        await trio.sleep(1)
        system = cluster.systems["n1"]
        await system.leave()
        assert not any("n1" in nodes for nodes in log.live.values())
        with pytest.raises(ActorStoppedError, match="n1 has left the cluster"):
            await system.ask(refs["n1"], to("user-1", GetAll))
        for entity in IDS:
            assert await cluster.systems["n2"].ask(refs["n2"], to(entity, GetAll), timeout=20) == (1,)
        assert system.sharding_statistics("cart").entities == 0

    cluster_of(3, scenario)
