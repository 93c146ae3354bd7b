"""Clients that tell all the time while shards move: a node joins, and another leaves."""

from collections.abc import Callable
from typing import Any

import pytest
import trio

from casty_trio import ActorContext, ActorRef, Behavior, Behaviors, ClusterClient, ClusteredActorSystem, ShardEnvelope
from casty_trio.testing import Conditions, Simulation, simulate
from tests.cluster.clusters import PORT, cluster
from tests.sim.shop import Msg, Put

IDS = [f"user-{number}" for number in range(12)]


def opener(handled: dict[str, list[int]]) -> Callable[[ClusteredActorSystem], None]:
    """Entities that write down what they get, wherever they live."""

    def counter(entity_id: str) -> Behavior[Msg]:
        def receive(ctx: ActorContext[Any], message: Msg) -> None:
            if isinstance(message, Put):
                handled[entity_id].append(message.number)

        return Behaviors.receive(receive)

    def begin(system: ClusteredActorSystem) -> None:
        system.spawn(Behaviors.sharded(counter, num_shards=12), "cart")

    return begin


async def keep_telling(client: ClusterClient, told: list[int]) -> None:
    carts: ActorRef[ShardEnvelope[Put]] = client.entity_ref("cart", num_shards=12)
    while True:
        told.append(len(told))
        for entity in IDS:
            carts.tell(ShardEnvelope(entity, Put(told[-1])))
        await trio.sleep(0.05)


@pytest.mark.long
@pytest.mark.parametrize(("seed", "goes_on"), [(0, False), (1, False), (2, False), (3, True)])
@pytest.mark.parametrize("contact", ["n1", "n2"])
def test_planned_changes_lose_nothing_of_clients(seed: int, contact: str, *, goes_on: bool) -> None:
    """S2, W5: whether or not the node that leaves is the contact, and whether its block ends or goes on, all that is told is
    handled once, and in order."""
    handled: dict[str, list[int]] = {entity: [] for entity in IDS}
    told = list[int]()

    async def scenario(sim: Simulation) -> None:
        sim.network.set_conditions(Conditions(delay=(0.0, 0.4)))
        begin = opener(handled)
        async with cluster(sim, "n1", "n2", "n3") as nodes:
            await nodes.form("n1", "n2", "n3", begin=begin)
            async with ClusterClient([(contact, PORT)], "shop", env=sim.env("client-1")) as client:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(keep_telling, client, told)
                    await trio.sleep(5)
                    nodes.start("n4", begin=begin)
                    await nodes.formed("n1", "n2", "n3", "n4")
                    await trio.sleep(8)
                    if goes_on:
                        await nodes.systems["n2"].leave()
                    else:
                        sim.host("n2").terminate()
                        assert await nodes.wait_ended("n2") is None
                    await trio.sleep(5)
                    nursery.cancel_scope.cancel()
                await trio.sleep(5)
                assert client.statistics().dropped == 0

    simulate(scenario, seed)
    assert all(handled[entity] == told for entity in IDS)
