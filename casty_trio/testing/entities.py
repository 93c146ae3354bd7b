"""A load for sharded types, and what has to hold of entities. Floor F6.

Every node hosts the type, tells entities numbered items, and asks them. The observer hears when each entity begins and ends.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

import trio

from casty_trio.cluster import ClusteredActorSystem
from casty_trio.errors import AskError
from casty_trio.model.allocation import RendezvousHash
from casty_trio.model.behavior import Behaviors
from casty_trio.model.cluster_events import ClusterState
from casty_trio.model.context import ActorContext
from casty_trio.model.envelope import ShardEnvelope
from casty_trio.model.events import Event
from casty_trio.model.kinds import Behavior
from casty_trio.model.member import Member
from casty_trio.model.passivation import Passivation
from casty_trio.model.ref import ActorRef
from casty_trio.model.shard_events import HandOffFinished
from casty_trio.testing.clock import sleep
from casty_trio.testing.invariants import Order
from casty_trio.testing.observer import Invariant, Life
from casty_trio.testing.systems import system_of

if TYPE_CHECKING:
    from casty_trio.testing.bench import Bench

__all__ = ["Complete", "EntityTraffic", "Item", "OneInstance", "Settled", "Tally"]

TYPE = "entity"
SHARDS = 12
OTHER = "other"
ENTITIES = tuple(f"e{number}" for number in range(10))
TIMEOUT = 6.0
IDLE = 1.5
"""After so many seconds without mail an entity goes: often enough that mail comes while it does."""
WAKING = 5.0
"""For so many seconds a node that was paused may not know yet that it was removed."""


@dataclass(frozen=True)
class Item:
    """Something told to an entity.

    Parameters:
        sender: the uid of the node it comes from.
        number: which of that node's to this entity.
    """

    sender: int
    number: int


@dataclass(frozen=True)
class Tally:
    """Wants to know that somebody is there.

    Parameters:
        reply_to: who wants it.
    """

    reply_to: ActorRef[str]


class OneInstance(Invariant):
    """An entity begins only when it runs nowhere else in its cluster, but on nodes that are paused, or in doubt: there it
    stands still.

    Attributes:
        begun: how many began.
    """

    name = "S1 one instance"

    def __init__(self) -> None:
        self.begun: int = 0
        self._live: dict[str, dict[int, Life]] = {}

    def begins(self, life: Life, entity: str) -> None:
        """An entity begins on a node."""
        self.begun += 1
        live = self._live.setdefault(entity, {})
        for other in live.values():
            if other is not life and self.rivals(life, other):
                self.fail(f"{entity} begins, and lives on {other.node}", life.node)
        live[life.uid] = life

    def ends(self, life: Life, entity: str) -> None:
        """It has ended there."""
        self._live.get(entity, {}).pop(life.uid, None)

    def living(self, entity: str) -> tuple[Life, ...]:
        """The starts of nodes on which an entity has begun, and not ended."""
        return tuple(self._live.get(entity, {}).values())

    def rivals(self, one: Life, other: Life) -> bool:
        """Whether it must not live on both: two clusters that were founded apart have one each, until they meet."""
        clusters = {system_of(life).cluster_state.cluster for life in (one, other)}
        clusters.discard(0)  # a node's that is in none
        return len(clusters) < 2 and self.counts(other) and self.counts(one)

    def handles(self, life: Life) -> bool:
        """Whether what is handled on a node counts: also when it was paused a moment ago, for then it stands still until it
        knows what it is."""
        return life.until == inf and life.node in self.observer.nodes.awake and self.observer.hears(life.node)

    def counts(self, life: Life) -> bool:
        """Whether what is done on a node counts: it lives, was not paused a moment ago, and does not doubt what it is."""
        nodes = self.observer.nodes
        rested = life.node in nodes.awake and trio.current_time() - nodes.steady_since(life.node) >= WAKING
        return life.until == inf and rested and self.observer.hears(life.node) and not system_of(life).in_doubt

    def report(self) -> Mapping[str, float]:
        return {"entities begun": self.begun}


class EntitiesAnswer(Invariant):
    """Some time after the last fault each node has had an answer from each entity.

    Parameters:
        within: how many seconds after the last fault.
    """

    name = "S3 entities answer"

    def __init__(self, within: float) -> None:
        self._within = within
        self._missing: set[tuple[str, str]] | None = None

    def answered(self, node: str, entity: str, asked_at: float) -> None:
        """A node has an answer from an entity to what it asked then."""
        if asked_at >= self.observer.healed_at and self.observer.hears(node):
            if self._missing is None:
                self._missing = {(name, each) for name in self.observer.nodes.names for each in ENTITIES}
            self._missing.discard((node, entity))

    def poll(self) -> None:
        if trio.current_time() - self.observer.healed_at > self._within:
            self.at_rest()

    def at_rest(self) -> None:
        if self._missing is None or self._missing:
            missing = "any" if self._missing is None else ", ".join(f"{a} from {b}" for a, b in sorted(self._missing))
            self.fail(f"no answer of entities has come: {missing}")


class Settled(Invariant):
    """While nothing happens to the members all agree where the shards are, none moves, and no two hosts differ by more than
    one.

    Parameters:
        within: after how many seconds without a change.
    """

    name = "S4 settled"

    def __init__(self, within: float = 20.0) -> None:
        self._within = within
        self._changed_at = 0.0
        self._homes: object = None
        self._moved = self._called_off = 0
        self._over = False

    def on_event(self, life: Life, event: Event) -> None:
        if isinstance(event, ClusterState):
            self._changed_at = trio.current_time()
            self._homes = None
        elif isinstance(event, HandOffFinished):
            self._moved += event.moved
            self._called_off += not event.moved

    def poll(self) -> None:
        now = trio.current_time()
        lives = self.observer.living()
        quiet = min(now - self._changed_at, now - self.observer.healed_at)
        if self._over or quiet < self._within or len(lives) < len(self.observer.nodes.names):
            return
        homes = {_homes(life) for life in lives}
        if len(homes) > 1:
            self.fail(f"nodes know {len(homes)} different homes of shards")
            return
        (found,) = homes
        if self._homes not in (None, found):
            self.fail("shards have moved, and nothing has changed")
        self._homes = found
        loads = [found[0].count(life.system.self_node) for life in lives if isinstance(life.system, ClusteredActorSystem)]
        if max(loads) - min(loads) > 1 or None in found[0] or None in found[1]:
            self.fail(f"hosts have {sorted(loads)} shards, and {found[0].count(None)} are nowhere")

    def at_rest(self) -> None:
        self._over = True  # from here on nodes are told to leave

    def report(self) -> Mapping[str, float]:
        return {"hand-offs": self._moved, "hand-offs called off": self._called_off}


class Complete(Invariant):
    """Every item that was told is handled, once; where nothing but planned changes happens.

    Attributes:
        told: how many were told.
        done: how many of them were handled.
    """

    name = "S2 complete"

    def __init__(self) -> None:
        self.told: int = 0
        self.done: int = 0
        self._open: dict[tuple[int, str, int], str] = {}

    def tells(self, life: Life, entity: str, number: int) -> None:
        """An item is told."""
        self.told += 1
        self._open[life.uid, entity, number] = life.node

    def handled(self, item: Item, entity: str) -> None:
        """An item is handled."""
        if self._open.pop((item.sender, entity, item.number), None) is None:
            self.fail(f"number {item.number} to {entity} is handled, and was before, or was never told")
        self.done += 1

    def at_rest(self) -> None:
        if self._open:
            (_, entity, number), node = next(iter(self._open.items()))
            self.fail(f"{len(self._open)} items of {self.told} were not handled, so number {number} to {entity}", node)

    def report(self) -> Mapping[str, float]:
        return {"items told": self.told, "items handled": self.done}


class EntityTraffic:
    """The load. Make one in a setup, and have each node's program hold `on` around its life.

    Parameters:
        bench: where it runs.
        rate: how many items each node tells each second, at the mean.
        asks: how many questions each node asks each second, at the mean.
        liveness: within how many seconds after the last fault each entity has to answer each node.
        complete: whether every item has to be handled: only where nothing happens that is not planned.
    """

    def __init__(
        self, bench: Bench, *, rate: float = 2.0, asks: float = 1.0, liveness: float = 60.0, complete: bool = False
    ) -> None:
        self._bench = bench
        self._rate = rate
        self._asks = asks
        observer = bench.observer
        self._one = observer.add(OneInstance())
        self._order = observer.add(Order())
        self._answers = observer.add(EntitiesAnswer(liveness))
        self._complete = observer.add(Complete()) if complete else None
        observer.add(Settled())

    @asynccontextmanager
    async def on(self, system: ClusteredActorSystem, life: Life) -> AsyncGenerator[None]:
        """Load a node for as long as the block lasts; its system is attached to the observer already."""
        sharded = Behaviors.sharded(self._factory(life), num_shards=SHARDS, passivation=Passivation(idle=IDLE))
        entities = system.spawn(sharded, TYPE)
        system.spawn(Behaviors.sharded(_idle, num_shards=5, allocation=RendezvousHash()), OTHER)
        rng = self._bench.sim.rng(f"entities of {life.node}")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_telling, life, entities, rng)
            nursery.start_soon(self._keep_asking, system, life, entities, rng, nursery)
            yield
            nursery.cancel_scope.cancel()

    def _factory(self, life: Life) -> Any:
        def entity(entity_id: str) -> Behavior[Item | Tally]:
            async def receive(ctx: ActorContext[Any], message: Item | Tally) -> None:
                if isinstance(message, Tally):
                    message.reply_to.tell(life.node)
                    return
                if self._one.handles(life):
                    self._order.handled(message.sender, f"{TYPE} {entity_id}", message.number, life.node)
                if self._complete is not None and self._bench.observer.hears(life.node):
                    self._complete.handled(message, entity_id)
                if message.number % 3 == 0:
                    await trio.sleep(0.1 * (message.number % 5))

            def begin(ctx: ActorContext[Any]) -> Behavior[Any]:
                self._one.begins(life, entity_id)
                return Behaviors.receive(receive)

            return Behaviors.with_lifecycle(Behaviors.setup(begin), post_stop=lambda ctx: self._one.ends(life, entity_id))

        return entity

    async def _keep_telling(self, life: Life, entities: ActorRef[Any], rng: random.Random) -> None:
        told = dict.fromkeys(ENTITIES, 0)
        while self._bench.observer.healed_at == inf or self._complete is None:
            await sleep(rng.expovariate(self._rate))
            entity = rng.choice(ENTITIES)
            told[entity] += 1
            if self._complete is not None:
                self._complete.tells(life, entity, told[entity])
            entities.tell(ShardEnvelope(entity, Item(life.uid, told[entity])))

    async def _keep_asking(
        self,
        system: ClusteredActorSystem,
        life: Life,
        entities: ActorRef[Any],
        rng: random.Random,
        nursery: trio.Nursery,
    ) -> None:
        """Ask them in turn, evenly and without waiting for answers: by chance, or for others' silence, none is left out."""
        todo: list[str] = []
        while True:
            await sleep(rng.uniform(0.5, 1.5) / self._asks)
            if not todo:
                todo.extend(rng.sample(ENTITIES, len(ENTITIES)))
            nursery.start_soon(self._ask, system, life, entities, todo.pop(), todo)

    async def _ask(
        self, system: ClusteredActorSystem, life: Life, entities: ActorRef[Any], entity: str, todo: list[str]
    ) -> None:
        begun = trio.current_time()
        try:
            _: str = await system.ask(entities, lambda r: ShardEnvelope(entity, Tally(r)), timeout=TIMEOUT)
        except AskError as error:
            self._bench.observer.note(life.node, error)
            todo.insert(0, entity)  # once more, behind the others
        else:
            self._answers.answered(life.node, entity, begun)


def _idle(entity_id: str) -> Behavior[Item]:
    return Behaviors.ignore()


def _homes(life: Life) -> tuple[tuple[Member | None, ...], tuple[Member | None, ...]]:
    system: Any = life.system
    return system.shard_homes(TYPE), system.shard_homes(OTHER)
