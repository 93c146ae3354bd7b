"""Shops order from a warehouse on another node, while machines crash, stand still, and lose touch with each other.

An order whose confirmation does not come is sent again, so the warehouse has to know which ones it has shipped, also after
its machine was off. The test bench holds that against what happens, in ten plans of faults. A careless warehouse, which just
ships what it is sent, is found out, and the plan that shows it is made as small as can be.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from itertools import count

import trio

from casty_trio import ActorContext, ActorRef, AskError, Behavior, Behaviors, ClusteredActorSystem, Disk, Env
from casty_trio.testing import Bench, Invariant, InvariantError, NodeProgram, Plan, Swarm, faults, run_plan, shrink

PORT = 25_520
WAREHOUSE = "node-1"
BOOK = "orders"


@dataclass(frozen=True)
class Order:
    number: str
    reply_to: ActorRef[str]


class ShippedOnce(Invariant):
    """What was confirmed stands in the warehouse's book, and nothing stands there twice."""

    name = "every order is shipped once"

    def __init__(self) -> None:
        self.book: Counter[str] = Counter()
        self.confirmed: set[str] = set()

    def opened(self, book: list[str]) -> None:
        """The warehouse starts, and reads its book."""
        self.book = Counter(book)
        for number in sorted(self.confirmed - set(book)):
            self.fail(f"{number} was confirmed, and is not in the book")

    def shipped(self, number: str) -> None:
        """The warehouse ships something."""
        self.book[number] += 1
        if self.book[number] > 1:
            self.fail("an order was shipped twice", WAREHOUSE)


def warehouse(disk: Disk, book: list[str], watched: ShippedOnce, careful: bool) -> Behavior[Order]:
    shipped = set(book)

    async def receive(ctx: ActorContext[Order], order: Order) -> None:
        if not careful or order.number not in shipped:
            await trio.sleep(0.1)  # packing takes a moment
            await disk.append(BOOK, f"{order.number}\n".encode())
            await disk.sync(BOOK)
            shipped.add(order.number)
            watched.shipped(order.number)
        order.reply_to.tell(order.number)

    return Behaviors.receive(receive)


async def read_book(disk: Disk) -> list[str]:
    """The whole lines; the last one may be torn, and is removed."""
    try:
        *lines, torn = (await disk.read(BOOK)).split(b"\n")
    except FileNotFoundError:
        return []
    if torn:
        await disk.replace(BOOK, b"".join(line + b"\n" for line in lines))
    return [line.decode() for line in lines]


async def shop(system: ClusteredActorSystem, name: str, watched: ShippedOnce) -> None:
    """Order one thing after the other; each until it is confirmed."""
    desk: ActorRef[Order] = system.resolve(f"casty://shop@{WAREHOUSE}:{PORT}/warehouse")
    for piece in count(1):
        number, confirmed = f"{name}/{system.uid}/{piece}", False
        while not confirmed:
            try:
                await system.ask(desk, lambda reply_to, number=number: Order(number, reply_to), timeout=2.0)
                confirmed = True
            except AskError:
                await trio.sleep(0.5)
        watched.confirmed.add(number)
        await trio.sleep(0.2)


def setup(bench: Bench, *, careful: bool = True) -> NodeProgram:
    """What the bench wants: the invariants are added, and what each node runs is returned."""
    watched = bench.observer.add(ShippedOnce())

    async def node(env: Env, name: str) -> None:
        async with ClusteredActorSystem("shop", name, PORT, name, messages=[Order], env=env, insecure=True) as system:
            bench.observer.attach(name, system)
            if name == WAREHOUSE:
                book = await read_book(disk := env.disk("warehouse"))
                watched.opened(book)
                system.spawn(warehouse(disk, book, watched, careful), "warehouse")
                await bench.told_to_leave(name)
            else:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(shop, system, name, watched)
                    await bench.told_to_leave(name)
                    nursery.cancel_scope.cancel()

    return node


def careless(bench: Bench) -> NodeProgram:
    return setup(bench, careful=False)


SWARM = Swarm(
    kinds=(faults.Crash, faults.Kill, faults.Pause, faults.Partition, faults.Stall, faults.CutAtByte, faults.Slow),
    nodes=(3, 3),
    length=(20.0, 30.0),
    calm=10.0,
    pace=(1.0, 3.0),
    longest=8.0,
)


def ships_twice(plan: Plan) -> bool:
    try:
        run_plan(careless, plan)
    except InvariantError as error:
        return error.invariant == ShippedOnce.name
    return False


def main() -> None:
    logging.disable(logging.WARNING)  # that nodes cannot be reached is the point
    plans = [SWARM.plan(seed) for seed in range(10)]
    seen: Counter[str] = Counter()
    for plan in plans:
        seen.update(run_plan(setup, plan).faults)
    print(f"the careful warehouse: {len(plans)} plans, with {', '.join(sorted(set(seen) - {'Heal'}))}")

    found = next(plan for plan in map(SWARM.plan, range(100)) if ships_twice(plan))
    smallest = shrink(found, ships_twice)
    print(f"the careless one is found out, and it takes {len(smallest.steps)} fault to do so")


if __name__ == "__main__":
    main()
