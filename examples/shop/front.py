"""The node in front of three others, which it starts: restarted one after the other under load, and one of them killed.

It is a member of the cluster that hosts no entities, and routes to those of the others. From the root of the checkout:

python -m examples.shop.front
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Collection
from functools import partial
from pathlib import Path

import trio

from casty_trio import (
    ActorRef,
    AskError,
    Behaviors,
    ClusterClient,
    ClusteredActorSystem,
    ShardEnvelope,
    ShardHomeChanged,
)
from examples.shop.entities import (
    NUM_SHARDS,
    OPENED,
    ROLE,
    SETTINGS,
    SYSTEM,
    AccountMessage,
    AddItem,
    AddPoints,
    CartMessage,
    Deposit,
    GetBalance,
    GetPoints,
    LoyaltyMessage,
    ViewCart,
    accounts_in,
    cart,
    loyalty,
)

ROOT = Path(__file__).parents[2]
NODES = ("back-1", "back-2", "back-3")
USERS = tuple(f"user-{number}" for number in range(1, 31))
LONG = 30.0
"""So many seconds nothing takes here, however slow the machine."""


class Shop:
    """The node in front, and the processes behind it."""

    def __init__(self, system: ClusteredActorSystem, nursery: trio.Nursery, folder: Path) -> None:
        self.system = system
        self.processes: dict[str, trio.Process] = {}
        self._nursery = nursery
        self.folder = folder
        sharded = partial(Behaviors.sharded, num_shards=NUM_SHARDS, role=ROLE, proxy=True)
        self.carts: ActorRef[ShardEnvelope[CartMessage]] = system.spawn(sharded(cart), "cart")
        self.accounts: ActorRef[ShardEnvelope[AccountMessage]] = system.spawn(sharded(accounts_in(folder)), "account")
        self.loyalty: ActorRef[ShardEnvelope[LoyaltyMessage]] = system.spawn(sharded(loyalty), "loyalty")

    async def start(self, name: str) -> None:
        """Start a node."""
        arguments = (name, str(self.folder), str(self.system.address.port))
        command = [sys.executable, "-m", "examples.shop.node", *arguments]
        run = partial(trio.run_process, command, cwd=ROOT, check=False)
        self.processes[name] = await self._nursery.start(run)

    async def deposit(self, user: str, amount: int) -> int:
        """The balance after it."""
        return await self.system.ask(self.accounts, lambda r: ShardEnvelope(user, Deposit(amount, r)), timeout=LONG)

    async def balance(self, user: str) -> int:
        return await self.system.ask(self.accounts, lambda r: ShardEnvelope(user, GetBalance(r)), timeout=LONG)

    async def items(self, user: str) -> tuple[str, ...]:
        return await self.system.ask(self.carts, lambda r: ShardEnvelope(user, ViewCart(r)), timeout=LONG)

    async def coins(self) -> int:
        """Those in all accounts together."""
        return sum([await self.balance(user) for user in USERS])

    async def spread(self, names: Collection[str]) -> None:
        """Wait until each of these nodes, and no other, has accounts."""
        with trio.fail_after(LONG):
            async with self.system.events(ShardHomeChanged) as moves:
                while {self.home(user) for user in USERS} != set(names):
                    await anext(moves)

    async def live(self, users: Collection[str]) -> None:
        """Wait until all of these accounts have begun to live."""
        with trio.fail_after(LONG):
            while not set(users) <= set((self.folder / OPENED).read_text().split()):  # noqa: ASYNC110
                await trio.sleep(0.1)  # other processes write it

    def home(self, user: str, shard_type: str = "account") -> str:
        """The node that has a user's account, or cart."""
        member = self.system.entity_home(shard_type, user)
        return member.node_id if member is not None else ""


async def open_shop(shop: Shop) -> None:
    print("── Three nodes ──")
    for name in NODES:
        await shop.start(name)
    await shop.system.wait_for(1 + len(NODES))
    for user in USERS:
        await shop.deposit(user, 100)
    await shop.spread(NODES)
    shop.carts.tell(ShardEnvelope("user-1", AddItem("book")))
    shop.carts.tell(ShardEnvelope("user-1", AddItem("pen")))
    print(f"{len(USERS)} accounts on {len(NODES)} nodes, with {await shop.coins()} coins")
    print(f"The cart of user-1: {', '.join(await shop.items('user-1'))}")


async def restart_all(shop: Shop) -> None:
    print("\n── Each node is restarted, while accounts are in use ──")
    balances = dict.fromkeys(USERS, 100)
    failed: list[AskError] = []

    async def use(user: str) -> None:
        while True:
            try:
                balances[user] = await shop.deposit(user, 1)
            except AskError as error:
                failed.append(error)
            await trio.sleep(0.1)

    async with trio.open_nursery() as nursery:
        for user in USERS:
            nursery.start_soon(use, user)
        for name in NODES:
            shop.processes[name].terminate()
            code = await shop.processes[name].wait()
            print(f"{name} has handed over its entities and ended with {code}; it is started again")
            await shop.start(name)
            await shop.system.wait_for(1 + len(NODES))
        await shop.spread(NODES)
        nursery.cancel_scope.cancel()
    print(f"Failed asks: {len(failed)}")
    print(f"Accounts with less than they told: {sum([await shop.balance(user) < balances[user] for user in USERS])}")


async def kill_one(shop: Shop) -> None:
    print("\n── The node with the account of user-1 is killed ──")
    coins = await shop.coins()
    homes = [shop.home(user, "cart") for user in USERS]
    for user in USERS:
        shop.carts.tell(ShardEnvelope(user, AddItem("stamp")))
        await shop.items(user)
    homes_then = [shop.home(user, "cart") for user in USERS]
    lost = shop.home("user-1")
    (shop.folder / OPENED).write_text("")
    opened = [user for user in USERS if shop.home(user) == lost]
    shop.processes[lost].kill()
    await shop.spread([name for name in NODES if name != lost])
    await shop.live(opened)
    print("All accounts that it had live again, though nobody has told them anything")
    print(f"All accounts are on the other two; coins that were lost: {coins - await shop.coins()}")
    emptied = 0
    for user, home, home_then in zip(USERS, homes, homes_then, strict=True):
        stayed = home == home_then == shop.home(user, "cart") != lost
        emptied += stayed and "stamp" not in await shop.items(user)
    print(f"Carts there, kept in memory, that were lost: {emptied}")


async def come_from_outside(shop: Shop) -> None:
    print("\n── A client, over TCP ──")
    contact = ("127.0.0.1", shop.system.address.port or 0)
    async with ClusterClient([contact], system_name=SYSTEM) as client:
        points: ActorRef[ShardEnvelope[LoyaltyMessage]] = client.entity_ref("loyalty", num_shards=NUM_SHARDS)
        points.tell(ShardEnvelope("user-1", AddPoints(100)))
        points.tell(ShardEnvelope("user-1", AddPoints(50)))
        total: int = await client.ask(points, lambda r: ShardEnvelope("user-1", GetPoints(r)), timeout=LONG)
        print(f"user-1 has {total} points")


async def main(folder: Path) -> None:
    system = ClusteredActorSystem(
        name=SYSTEM, host="127.0.0.1", port=0, node_id="front", settings=SETTINGS, on_downed="rejoin"
    )
    async with trio.open_nursery() as nursery, system:
        shop = Shop(system, nursery, folder)
        try:
            await open_shop(shop)
            await restart_all(shop)
            await kill_one(shop)
            await come_from_outside(shop)
        finally:
            for process in shop.processes.values():
                process.terminate()


if __name__ == "__main__":
    logging.getLogger("casty_trio").setLevel("ERROR")  # else the log tells, too, of the node that is killed
    with tempfile.TemporaryDirectory() as place:
        trio.run(main, Path(place))
