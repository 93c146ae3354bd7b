"""The lives of entities while their shards move between nodes: passivation, stop messages, fencing tokens."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio

from casty_trio import ActorRef, Behaviors, ClusteredActorSystem, EntityInfo, Passivation, ShardEnvelope
from casty_trio.testing import Simulation
from tests.cluster.clusters import cluster, run
from tests.sharding.lives import Close, Diary, Ident, Msg, Say

THREE = ("n1", "n2", "n3")
Region = ActorRef[ShardEnvelope[Msg]]


def ident(entity_id: str) -> Callable[[ActorRef[EntityInfo]], ShardEnvelope[Msg]]:
    return lambda reply_to: ShardEnvelope(entity_id, Ident(reply_to))


@pytest.mark.parametrize("seed", range(4))
def test_moves_and_passivation_lose_nothing(seed: int) -> None:
    """S2 and S7: nodes come and go, entities passivate by limit, idle time and by themselves; each message is handled once.

    An entity never has two actors, on whichever node, and each sender's messages are handled in order.
    """

    async def scenario(sim: Simulation) -> None:
        diary = Diary()
        regions: dict[str, Region] = {}
        sent: dict[str, list[int]] = {f"{number}": [] for number in range(12)}

        def begin(system: ClusteredActorSystem) -> None:
            wanted = Passivation(limit=3, idle=1.0)
            sharded = Behaviors.sharded(diary.behavior, num_shards=6, passivation=wanted, stop_message=Close(0.05))
            regions[system.node_id] = system.spawn(sharded, "cart")

        async def feed() -> None:
            for number in range(600):
                entity_id = f"{number % 12}"
                act = {"passivate": True} if number % 7 == 0 else {}
                regions["n1"].tell(ShardEnvelope(entity_id, Say(number, **act)))
                sent[entity_id].append(number)
                await trio.sleep(0.03)

        async with cluster(sim, begin=begin) as nodes:
            await nodes.form("n1")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(feed)
                await trio.sleep(2)
                nodes.start("n2")
                await nodes.formed("n1", "n2")
                await trio.sleep(3)
                nodes.start("n3")
                await nodes.formed(*THREE)
                await trio.sleep(4)
                nodes.sim.host("n2").terminate()
                await nodes.wait_ended("n2")
            await trio.sleep(20)
            for entity_id, numbers in sent.items():
                assert diary.handled(entity_id) == numbers, entity_id
            assert diary.actors("0") > 1

    run(scenario, seed)


def test_a_later_owner_has_a_greater_token() -> None:
    """S1: the fencing token of an entity that has moved is greater than the one before."""

    async def scenario(sim: Simulation) -> None:
        diary = Diary()
        regions: dict[str, Region] = {}

        def begin(system: ClusteredActorSystem) -> None:
            regions[system.node_id] = system.spawn(Behaviors.sharded(diary.behavior, num_shards=4), "cart")

        async def tokens() -> list[tuple[int, int]]:
            found: list[tuple[int, int]] = []
            for entity_id in "abcdefgh":
                known = await nodes.systems["n3"].ask(regions["n3"], ident(entity_id), timeout=20.0)
                found.append(known.fencing_token)
            return found

        async with cluster(sim, begin=begin) as nodes:
            await nodes.form("n1")
            nodes.start("n2", "n3")
            await nodes.formed(*THREE)
            await trio.sleep(10)
            before = await tokens()
            for leaver in ("n1", "n2"):
                nodes.sim.host(leaver).terminate()
                await nodes.wait_ended(leaver)
            after = await tokens()
            assert all(late >= early for early, late in zip(before, after, strict=True))
            assert sum(late > early for early, late in zip(before, after, strict=True)) > 1

    run(scenario)
