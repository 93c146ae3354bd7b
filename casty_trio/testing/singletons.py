"""A singleton that all nodes of a bench tell and ask things, and what has to hold of it. Floor F6.

It is told few things: what is looked at is where it runs, and when, not how fast it is.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from itertools import combinations
from math import inf
from typing import TYPE_CHECKING, Any, Final

import trio

from casty_trio.cluster import ClusteredActorSystem
from casty_trio.errors import AskError
from casty_trio.model.behavior import Behaviors
from casty_trio.model.context import ActorContext
from casty_trio.model.kinds import Behavior
from casty_trio.model.ref import ActorRef
from casty_trio.testing.entities import Complete, Item, OneInstance, Tally
from casty_trio.testing.invariants import Order
from casty_trio.testing.observer import Invariant, Life

if TYPE_CHECKING:
    from casty_trio.testing.bench import Bench

__all__ = ["OneSingleton", "SingletonAnswers", "SingletonComplete", "SingletonOnce", "SingletonTraffic"]

NAME: Final = "singleton"

TIMEOUT: Final = 6.0
"""How long an ask waits for its answer, in seconds."""


class OneSingleton(OneInstance):
    """The singleton begins only when it runs nowhere else in its cluster, and never runs twice there, but on nodes that are
    paused, were a moment ago, or doubt whether they are members. Two clusters that were founded apart have one each.
    """

    name = "S8 one singleton"

    def poll(self) -> None:
        for one, other in combinations(self.living(NAME), 2):
            if self.rivals(one, other):
                self.fail(f"it runs the singleton, and so does {other.node}", one.node)

    def report(self) -> Mapping[str, float]:
        return {"singletons begun": self.begun}


class SingletonAnswers(Invariant):
    """Some time after the last fault each node has had an answer from the singleton.

    Parameters:
        within: how many seconds after the last fault.
    """

    name = "S8 singleton answers"

    def __init__(self, within: float) -> None:
        self._within = within
        self._answered: dict[str, None] = {}

    def answered(self, node: str, asked_at: float) -> None:
        """A node has an answer to what it asked then."""
        if asked_at >= self.observer.healed_at and self.observer.hears(node):
            self._answered[node] = None

    def poll(self) -> None:
        if trio.current_time() - self.observer.healed_at > self._within:
            self.at_rest()

    def at_rest(self) -> None:
        missing = [name for name in self.observer.nodes.names if name not in self._answered]
        if missing:
            self.fail(f"no answer of the singleton has come to {', '.join(missing)}")


class SingletonComplete(Complete):
    """Every item that the singleton is told is handled, once; where nothing but planned changes happens."""

    name = "S8 complete"

    def report(self) -> Mapping[str, float]:
        return {"singleton told": self.told}


class SingletonOnce(Invariant):
    """The singleton handles nothing twice, whatever happens."""

    name = "S8 once"

    def __init__(self) -> None:
        self._handled: set[tuple[int, int]] = set()

    def handled(self, item: Item, node: str) -> None:
        """An item is handled on a node."""
        if (item.sender, item.number) in self._handled:
            self.fail(f"number {item.number} of sender {item.sender} is handled again", node)
        self._handled.add((item.sender, item.number))


class SingletonTraffic:
    """The load. Make one in a setup, and have each node's program hold `on` around its life.

    Parameters:
        bench: where it runs.
        rate: how many items each node tells it each second, at the mean.
        asks: how often each node asks it in a second, at the mean.
        liveness: within how many seconds after the last fault it has to answer each node.
        complete: whether every item has to be handled, and in order: only where nothing happens that is not planned. Else
            a member may not answer in time when the singleton moves, and the order of its mail is not promised then.
    """

    def __init__(
        self, bench: Bench, *, rate: float = 1.0, asks: float = 0.5, liveness: float = 60.0, complete: bool = False
    ) -> None:
        self._bench = bench
        self._rate = rate
        self._asks = asks
        observer = bench.observer
        self._one = observer.add(OneSingleton())
        self._once = observer.add(SingletonOnce())
        self._order = observer.add(Order()) if complete else None
        self._answers = observer.add(SingletonAnswers(liveness))
        self._complete = observer.add(SingletonComplete()) if complete else None

    @asynccontextmanager
    async def on(self, system: ClusteredActorSystem, life: Life) -> AsyncGenerator[None]:
        """Load a node for as long as the block lasts; its system is attached to the observer already."""
        singleton = system.spawn(Behaviors.singleton(self._behavior(life)), NAME)
        rng = self._bench.sim.rng(f"singleton of {life.node}")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_telling, life, singleton, rng)
            nursery.start_soon(self._keep_asking, system, life, singleton, rng)
            yield
            nursery.cancel_scope.cancel()

    def _behavior(self, life: Life) -> Behavior[Item | Tally]:
        async def receive(ctx: ActorContext[Any], message: Item | Tally) -> None:
            if isinstance(message, Tally):
                message.reply_to.tell(life.node)
                return
            if self._one.handles(life):
                self._once.handled(message, life.node)
                if self._order is not None:
                    self._order.handled(message.sender, NAME, message.number, life.node)
            if self._complete is not None and self._bench.observer.hears(life.node):
                self._complete.handled(message, NAME)
            if message.number % 3 == 0:
                await trio.sleep(0.03 * (message.number % 5))

        def begin(ctx: ActorContext[Any]) -> None:
            self._one.begins(life, NAME)

        def end(ctx: ActorContext[Any]) -> None:
            self._one.ends(life, NAME)

        return Behaviors.with_lifecycle(Behaviors.receive(receive), pre_start=begin, post_stop=end)

    async def _keep_telling(self, life: Life, singleton: ActorRef[Any], rng: random.Random) -> None:
        told = 0
        while self._bench.observer.healed_at == inf or self._complete is None:
            await trio.sleep(rng.expovariate(self._rate))
            told += 1
            if self._complete is not None:
                self._complete.tells(life, NAME, told)
            singleton.tell(Item(life.uid, told))

    async def _keep_asking(
        self, system: ClusteredActorSystem, life: Life, singleton: ActorRef[Any], rng: random.Random
    ) -> None:
        while True:
            await trio.sleep(rng.expovariate(self._asks))
            begun = trio.current_time()
            try:
                await system.ask(singleton, Tally, timeout=TIMEOUT)
            except AskError as error:
                self._bench.observer.note(life.node, error)
            else:
                self._answers.answered(life.node, begun)
