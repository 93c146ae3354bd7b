"""A member that hosts nothing, and asks the entities of all others: at a constant rate, and as soon as they answer again."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager

import trio

from casty_trio import ActorRef, AskError, Behaviors, ClusteredActorSystem, ShardEnvelope
from casty_trio.settings import load_settings
from tests.cluster.chaos.child import HOST, NAME
from tests.cluster.chaos.processes import ChaosError, Processes
from tests.sharding.processes.items import NUM_SHARDS, ROLE, SHARD_TYPE, Touch, item

__all__ = ["Asks", "Front", "front_of", "percentile"]

DEADLINE = 10.0
"""Of each ask, in seconds."""
PATIENCE = 5.0
"""Of asks that are to find out when an entity answers again, in seconds. A shorter one takes a slow machine for a silent
entity."""
AGAIN = 2.0
"""An entity whose ask has failed is asked again so many seconds after that one was sent."""
FORMING = 60.0
CALLERS = 64


def percentile(figures: Iterable[float], part: float) -> float:
    """The figure that this part of all does not exceed.

    Example:
        >>> percentile([3.0, 1.0, 2.0, 4.0], 0.5), percentile([1.0], 0.99)
        (2.0, 1.0)
    """
    ordered = sorted(figures)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


class Asks:
    """What has come of asks.

    Attributes:
        answered: how many were answered.
        failed: how many were not, by the class of the error.
        longest: the time of the one that took longest of those that were answered, in seconds.
    """

    def __init__(self) -> None:
        self.answered: int = 0
        self.failed: Counter[str] = Counter()
        self.longest: float = 0.0

    @property
    def lost(self) -> int:
        """How many were not answered."""
        return self.failed.total()


class Front:
    """The member in front of others; see `front_of`.

    Attributes:
        entities: the ids of all entities.
    """

    def __init__(self, system: ClusteredActorSystem, count: int) -> None:
        self.system = system
        self.entities: tuple[str, ...] = tuple(f"item-{number}" for number in range(count))
        sharded = Behaviors.sharded(item, num_shards=NUM_SHARDS, role=ROLE, proxy=True)
        self._items: ActorRef[ShardEnvelope[Touch]] = system.spawn(sharded, SHARD_TYPE)

    @property
    def coordinator(self) -> str:
        """The node that coordinates the type: the oldest of the hosts."""
        return self.system.sharding_statistics(SHARD_TYPE).coordinator

    def homes(self) -> dict[str, str]:
        """The node of each entity, as far as it is known."""
        found = {entity: self.system.entity_home(SHARD_TYPE, entity) for entity in self.entities}
        return {entity: home.node_id for entity, home in found.items() if home is not None}

    async def spread(self, names: Collection[str], within: float) -> None:
        """Wait until these nodes, and no others, have shards, and all shards have homes.

        Raises:
            ChaosError: it took longer.
        """
        wanted = set(names)
        with trio.move_on_after(within):
            while self._hosts() != wanted:  # noqa: ASYNC110 - another task brings it about
                await trio.sleep(0.1)
            return
        raise ChaosError(f"after {within:g} s {self._hosts()} have shards, and not {names}")

    def _hosts(self) -> set[str]:
        """Those who have shards; "" among them while a shard has no home."""
        return {home.node_id if home is not None else "" for home in self.system.shard_homes(SHARD_TYPE)}

    async def touch(self, entity: str, timeout: float = DEADLINE) -> int:
        """Ask an entity."""
        count: int = await self.system.ask(self._items, lambda r: ShardEnvelope(entity, Touch(r)), timeout=timeout)
        return count

    async def touch_all(self) -> None:
        """Ask all entities, so that they live."""
        left = iter(self.entities)

        async def call() -> None:
            for entity in left:
                await self.touch(entity)

        async with trio.open_nursery() as nursery:
            for _ in range(CALLERS):
                nursery.start_soon(call)

    @asynccontextmanager
    async def load(self, rate: float) -> AsyncGenerator[Asks]:
        """Ask one entity after the other, so many in a second, as long as the block lasts; then wait for all answers."""
        asks, over = Asks(), trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ask_on, rate, asks, over)
            yield asks
            over.set()

    async def _ask_on(self, rate: float, asks: Asks, over: trio.Event) -> None:
        begun, number = trio.current_time(), 0
        async with trio.open_nursery() as nursery:
            while not over.is_set():
                due = math.ceil((trio.current_time() - begun) * rate)
                for each in range(number, due):
                    nursery.start_soon(self._count, self.entities[each * 7919 % len(self.entities)], asks)
                number = max(number, due)
                await trio.sleep(0.02)

    async def _count(self, entity: str, asks: Asks) -> None:
        begun = trio.current_time()
        try:
            await self.touch(entity)
        except AskError as error:
            asks.failed[type(error).__name__] += 1
        else:
            asks.answered += 1
            asks.longest = max(asks.longest, trio.current_time() - begun)

    async def answers(self, entities: Collection[str], begun: float, within: float) -> Mapping[str, float]:
        """Ask each of these until it answers; how many seconds after ``begun`` that was.

        Raises:
            ChaosError: some did not.
        """
        found: dict[str, float] = {}

        async def ask(entity: str) -> None:
            while entity not in found:
                asked = trio.current_time()
                try:
                    await self.touch(entity, PATIENCE)
                except AskError:
                    await trio.sleep_until(asked + AGAIN)
                else:
                    found[entity] = trio.current_time() - begun

        with trio.move_on_after(within):
            async with trio.open_nursery() as nursery:
                for entity in entities:
                    nursery.start_soon(ask, entity)
                    await trio.sleep(AGAIN / len(entities))
        if len(found) < len(entities):
            raise ChaosError(f"{len(entities) - len(found)} of {len(entities)} entities do not answer after {within:g} s")
        return found


@asynccontextmanager
async def front_of(cluster: Processes, count: int, settings: dict[str, dict[str, object]]) -> AsyncGenerator[Front]:
    """A member in front of all nodes, which have been started, and so many entities, all of them alive."""
    seeds = [(HOST, node.port) for node in cluster.nodes.values()]
    async with ClusteredActorSystem(NAME, HOST, 0, "front", seed_nodes=seeds, settings=load_settings(settings)) as system:
        front = Front(system, count)
        await system.wait_for(1 + len(seeds), timeout=FORMING)
        await front.spread(cluster.all_names, FORMING)
        await front.touch_all()
        yield front
