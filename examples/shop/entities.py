"""The entities of the shop: carts, accounts and loyalty points, and what is said to them. All processes import it, so its
types have one name on the wire.

An entity is one actor, on one node at a time; it begins anew wherever its shard goes. Accounts keep what must not be lost in
files: while there is one instance of an account, nobody else writes its file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from casty_trio import ActorContext, ActorRef, Behavior, Behaviors, ClusterSettings, Settings, ShardingSettings

SYSTEM = "shop"
ROLE = "back"
"""Nodes with this role host entities; one without it routes to them."""
NUM_SHARDS = 30
REMEMBERED = "remembered.db"
"""In this file nodes remember which accounts there are."""
OPENED = "opened"
"""In this file accounts write that they live, each time that they begin to."""
SETTINGS = replace(
    Settings.lan(), cluster=ClusterSettings(stable_after=1.0), sharding=ShardingSettings(rebalance_interval=0.5)
)
"""Quick, for a show: by default a node is given up after some 10 seconds."""


@dataclass(frozen=True)
class AddItem:
    sku: str


@dataclass(frozen=True)
class ViewCart:
    reply_to: ActorRef[tuple[str, ...]]


@dataclass(frozen=True)
class Deposit:
    """The balance after it is the reply."""

    amount: int
    reply_to: ActorRef[int]


@dataclass(frozen=True)
class GetBalance:
    reply_to: ActorRef[int]


@dataclass(frozen=True)
class AddPoints:
    amount: int


@dataclass(frozen=True)
class GetPoints:
    reply_to: ActorRef[int]


CartMessage = AddItem | ViewCart
AccountMessage = Deposit | GetBalance
LoyaltyMessage = AddPoints | GetPoints


def cart(user: str, items: tuple[str, ...] = ()) -> Behavior[CartMessage]:
    """What a user is about to buy; in memory alone."""

    def receive(ctx: ActorContext[CartMessage], message: CartMessage) -> Behavior[CartMessage]:
        match message:
            case AddItem(sku):
                return cart(user, (*items, sku))
            case ViewCart(reply_to):
                reply_to.tell(items)
                return Behaviors.same()

    return Behaviors.receive(receive)


def loyalty(user: str, points: int = 0) -> Behavior[LoyaltyMessage]:
    """A user's points; in memory alone."""

    def receive(ctx: ActorContext[LoyaltyMessage], message: LoyaltyMessage) -> Behavior[LoyaltyMessage]:
        match message:
            case AddPoints(amount):
                return loyalty(user, points + amount)
            case GetPoints(reply_to):
                reply_to.tell(points)
                return Behaviors.same()

    return Behaviors.receive(receive)


def accounts_in(folder: Path) -> Callable[[str], Behavior[AccountMessage]]:
    """Accounts that keep their balances in files there."""

    def account(owner: str) -> Behavior[AccountMessage]:
        file = folder / owner

        def begin(ctx: ActorContext[AccountMessage]) -> Behavior[AccountMessage]:
            with (folder / OPENED).open("a") as opened:
                opened.write(f"{owner}\n")
            return active(int(file.read_text()) if file.exists() else 0)

        def active(balance: int) -> Behavior[AccountMessage]:
            def receive(ctx: ActorContext[AccountMessage], message: AccountMessage) -> Behavior[AccountMessage]:
                match message:
                    case Deposit(amount, reply_to):
                        file.write_text(str(balance + amount))  # before it is told
                        reply_to.tell(balance + amount)
                        return active(balance + amount)
                    case GetBalance(reply_to):
                        reply_to.tell(balance)
                        return Behaviors.same()

            return Behaviors.receive(receive)

        return Behaviors.setup(begin)

    return account
