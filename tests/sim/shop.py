"""A small shop that the tests of clients, sharding and remote nodes share: messages, entities, and how to make both ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import trio
from trio.lowlevel import Task, current_root_task

from casty_trio import (
    ActorContext,
    ActorRef,
    Behavior,
    Behaviors,
    ClusterClient,
    ClusteredActorSystem,
    LinkSettings,
    ShardEnvelope,
    SystemStatistics,
)
from casty_trio.testing import Simulation, simulate

T = TypeVar("T")
Ctx = ActorContext[Any]

NAME = "shop"
SHARDS = 10
PORT = 25_520


@dataclass(frozen=True)
class Put:
    """Adds a number to the entity's list."""

    number: int


@dataclass(frozen=True)
class Fill:
    """Adds the size of some ballast."""

    ballast: bytes


@dataclass(frozen=True)
class GetAll:
    """Wants the entity's list."""

    reply_to: ActorRef[tuple[int, ...]]


@dataclass(frozen=True)
class Name:
    """Wants to know who the entity is."""

    reply_to: ActorRef[str]


@dataclass(frozen=True)
class Late:
    """Wants the number back, after a while."""

    number: int
    delay: float
    reply_to: ActorRef[int]


@dataclass(frozen=True)
class Ignore:
    """Is handled, and not answered."""

    reply_to: ActorRef[int]


@dataclass(frozen=True)
class Fail:
    """Makes the entity raise."""

    text: str
    reply_to: ActorRef[int] | None = None


@dataclass(frozen=True)
class Leave:
    """Makes the entity stop itself."""

    reply_to: ActorRef[int] | None = None


Msg = Put | Fill | GetAll | Name | Late | Ignore | Fail | Leave


def cart(entity_id: str) -> Behavior[Msg]:
    """One entity; its list is in the behaviour."""

    def holding(numbers: tuple[int, ...]) -> Behavior[Msg]:
        async def receive(ctx: Ctx, message: Msg) -> Behavior[Msg]:
            match message:
                case Put() | Fill():
                    return holding((*numbers, message.number if isinstance(message, Put) else len(message.ballast)))
                case GetAll(reply_to):
                    reply_to.tell(numbers)
                case Name(reply_to):
                    reply_to.tell(entity_id)
                case Late(number, delay, reply_to):
                    await trio.sleep(delay)
                    reply_to.tell(number)
                case Fail(text):
                    raise RuntimeError(text)
                case Leave():
                    return Behaviors.stopped()
            return Behaviors.same()

        return Behaviors.receive(receive)

    return holding(())


Carts = ActorRef[ShardEnvelope[Msg]]


def make_node(sim: Simulation, number: int = 1, *, port: int = PORT, **settings: Any) -> ClusteredActorSystem:
    """A node on a simulated host of its own."""
    host = f"node-{number}"
    return ClusteredActorSystem(NAME, host, port, host, env=sim.env(host), insecure=True, **settings)


def make_client(sim: Simulation, number: int = 1, *, nodes: tuple[int, ...] = (1,), **settings: Any) -> ClusterClient:
    """A client on a simulated host of its own."""
    contacts = settings.pop("contacts", None) or [(f"node-{node}", PORT) for node in nodes]
    return ClusterClient(contacts, settings.pop("system_name", NAME), env=sim.env(f"client-{number}"), **settings)


def open_shop(node: ClusteredActorSystem) -> Carts:
    """Spawn the carts."""
    return node.spawn(Behaviors.sharded(cart, num_shards=SHARDS), "cart")


def carts_of(client: ClusterClient) -> Carts:
    """The carts, as a client sees them."""
    return client.entity_ref("cart", num_shards=SHARDS)


def to(entity_id: str, make: Callable[..., Any], *arguments: Any) -> Callable[[ActorRef[Any]], ShardEnvelope[Any]]:
    """What `ask` wants: an envelope whose message ends in the reply ref."""
    return lambda reply_to: ShardEnvelope(entity_id, make(*arguments, reply_to))


def wants(make: Callable[..., Any], *arguments: Any) -> Callable[[ActorRef[Any]], Any]:
    """The same for a ref that takes the message without an envelope."""
    return lambda reply_to: make(*arguments, reply_to)


def both(
    scenario: Callable[[Simulation, ClusteredActorSystem, ClusterClient, Carts], Awaitable[T]],
    *,
    seed: int = 1,
    node: dict[str, Any] | None = None,
    client: dict[str, Any] | None = None,
) -> T:
    """Simulate a scenario with one node and one client of it."""

    values = list[T]()

    async def run(sim: Simulation) -> None:
        async with make_node(sim, **(node or {})) as system:
            open_shop(system)
            async with make_client(sim, **(client or {})) as guest:
                values.append(await scenario(sim, system, guest, carts_of(guest)))

    simulate(run, seed)
    return values[0]


def small_link(**settings: Any) -> LinkSettings:
    """The smallest sizes there are."""
    return LinkSettings(**{"max_frame": 1024, "max_message": 16 * 1024, "queue": 64 * 1024, **settings})


def census() -> set[Task]:
    """All tasks of this run that belong to the program."""
    root = current_root_task()
    assert root is not None
    found, todo = set[Task](), list[Task]()
    for nursery in root.child_nurseries[-1:]:
        todo.extend(nursery.child_tasks)
    while todo:
        task = todo.pop()
        found.add(task)
        for nursery in task.child_nurseries:
            todo.extend(nursery.child_tasks)
    return found


def assert_adds_up(statistics: SystemStatistics) -> None:
    """L4 in numbers."""
    assert statistics.sent == statistics.handled + statistics.dead + statistics.queued, statistics


class Host:
    """A machine whose node can be started, stopped and killed, and started again."""

    def __init__(self, sim: Simulation, nursery: trio.Nursery, number: int = 1, **settings: Any) -> None:
        self.node = make_node(sim, number, **settings)
        self._sim, self._number, self._settings = sim, number, settings
        self._nursery = nursery
        self._leave = trio.Event()
        self._left = trio.Event()
        self._scope = trio.CancelScope()

    async def start(self) -> ClusteredActorSystem:
        """Start a node with the carts, and tell when it listens."""
        self.node = make_node(self._sim, self._number, **self._settings)
        await self._nursery.start(self._run)
        return self.node

    async def stop(self) -> None:
        """Let the node leave in order."""
        self._leave.set()
        await self._left.wait()

    async def kill(self, *, silent: bool = False) -> None:
        """End the node without a goodbye: its connections are gone before it can say a word, as those of a process are.

        With ``silent`` its machine has lost its current: nobody is told anything, and nothing that is sent there is refused.
        """
        network, name = self._sim.network, f"node-{self._number}"
        network.take_off(name, refusing=not silent)
        self._scope.cancel()
        if not silent:
            network.put_back(name)
        await self._left.wait()

    async def _run(self, *, task_status: trio.TaskStatus[None]) -> None:
        self._leave, self._left, self._scope = trio.Event(), trio.Event(), trio.CancelScope()
        left = self._left
        try:
            with self._scope:
                async with self.node:
                    open_shop(self.node)
                    task_status.started()
                    await self._leave.wait()
        finally:
            left.set()
