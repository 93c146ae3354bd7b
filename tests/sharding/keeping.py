"""Clusters whose entities are remembered without a store, for tests: who lives on which node, and what the nodes keep."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterable
from contextlib import asynccontextmanager
from typing import Any

import trio

from casty_trio import ActorRef, Behaviors, ClusteredActorSystem, EntitySettings, LinkSettings, Settings, ShardEnvelope
from casty_trio.protocol.keeper import Keeper
from casty_trio.sharding import Sharding
from casty_trio.testing import Simulation
from tests.cluster.clusters import Cluster, cluster
from tests.sharding.lives import Diary, Msg, Say

SHARDS = 8
IDS = [f"{number}" for number in range(40)]
Region = ActorRef[ShardEnvelope[Msg]]


class Keepers:
    """A cluster with one type, "cart", on all nodes.

    Attributes:
        nodes: the cluster.
        diaries: what the entities of each node's present start did.
        regions: the type on each of them.
    """

    def __init__(self, nodes: Cluster, sharded: dict[str, Any]) -> None:
        self.nodes = nodes
        self.diaries: dict[str, Diary] = {}
        self.regions: dict[str, Region] = {}
        self._sharded = sharded

    def begin(self, system: ClusteredActorSystem) -> None:
        """A node starts."""
        diary = self.diaries[system.node_id] = Diary()
        given: dict[str, Any] = {"num_shards": SHARDS, "remember_entities": True, **self._sharded}
        self.regions[system.node_id] = system.spawn(Behaviors.sharded(diary.behavior, **given), "cart")

    def start(self, *names: str, **keywords: Any) -> None:
        """Start nodes."""
        for name in names:
            self.nodes.errors.pop(name, None)  # of an earlier start
        self.nodes.start(*names, begin=self.begin, **keywords)

    async def form(self, *names: str) -> None:
        """Start the first node, then the others, and let the shards come to rest."""
        self.start(names[0])
        await self.nodes.formed(names[0])
        for name in names[1:]:  # one after the other, so that their ages are known
            self.start(name)
            await self.nodes.formed(*names[: names.index(name) + 1])
        await trio.sleep(15)

    def say(self, node: str, ids: Iterable[str] = IDS, **say: Any) -> None:
        """Send each of these a message."""
        for number, each in enumerate(ids):
            self.regions[node].tell(ShardEnvelope(each, Say(number, **say)))

    def crash(self, *names: str) -> None:
        """As by kill -9."""
        for name in names:
            self.nodes.sim.host(name).crash()
            del self.diaries[name], self.regions[name]

    async def leave(self, name: str) -> None:
        """End a node in good order."""
        self.nodes.sim.host(name).terminate()
        assert await self.nodes.wait_ended(name) is None
        del self.nodes.errors[name], self.diaries[name], self.regions[name]

    @property
    def living(self) -> dict[str, str]:
        """Which entities live, and where; never two of one (S1)."""
        found: dict[str, str] = {}
        for name, diary in self.diaries.items():
            for each, _ in diary.living:
                assert each not in found, f"S1: {each} lives on {name} and {found[each]}"
                found[each] = name
        return found

    async def lives(self, ids: Collection[str], within: float = 60.0) -> None:
        """Wait until exactly these live."""
        with trio.move_on_after(within):
            while set(self.living) != set(ids):  # noqa: ASYNC110 - several nodes have to bring it about
                await trio.sleep(0.1)
        assert sorted(self.living) == sorted(ids)

    def keeper(self, name: str) -> Keeper | None:
        """What a node keeps."""
        known = sharding_of(self.nodes.systems[name]).keeping._keepers.get("cart")
        return known[1] if known is not None else None

    def kept(self, name: str) -> set[str]:
        """Which ids a node keeps."""
        keeper = self.keeper(name)
        return {each for shard in range(SHARDS) for each in keeper.ids(shard)} if keeper is not None else set()


def sharding_of(system: ClusteredActorSystem) -> Sharding:
    """A node's sharding."""
    [found] = [each for each in system._extensions if isinstance(each, Sharding)]
    return found


@asynccontextmanager
async def keepers(
    sim: Simulation, settings: EntitySettings | None = None, link: LinkSettings | None = None, **sharded: Any
) -> AsyncGenerator[Keepers]:
    """Nodes that are gone when the block is left; who is declared down joins again."""
    given = Settings(entities=settings or EntitySettings(), link=link or LinkSettings())
    async with cluster(sim, settings=given, on_downed="rejoin") as nodes:
        yield Keepers(nodes, sharded)
