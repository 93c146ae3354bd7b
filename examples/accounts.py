"""Accounts on one node, and transfers between them: entities that talk to each other by type and id."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from casty_trio import ActorContext, ActorRef, Behavior, Behaviors, ClusteredActorSystem, ShardEnvelope


@dataclass(frozen=True)
class Deposit:
    amount: int


@dataclass(frozen=True)
class Transfer:
    """The reply, which says how it went, is given by the account that gets the money."""

    amount: int
    to: ActorRef[AccountMessage]
    reply_to: ActorRef[str]


@dataclass(frozen=True)
class Accept:
    amount: int
    reply_to: ActorRef[str]


@dataclass(frozen=True)
class GetBalance:
    reply_to: ActorRef[int]


AccountMessage = Deposit | Transfer | Accept | GetBalance
Accounts = ActorRef[ShardEnvelope[AccountMessage]]


def account(owner: str, balance: int = 0) -> Behavior[AccountMessage]:
    """An account handles one message at a time, so it never spends the same money twice."""

    def receive(ctx: ActorContext[AccountMessage], message: AccountMessage) -> Behavior[AccountMessage]:
        match message:
            case Deposit(amount):
                return account(owner, balance + amount)
            case Transfer(amount, _, reply_to) if amount > balance:
                reply_to.tell(f"{owner} has only {balance}")
                return Behaviors.same()
            case Transfer(amount, to, reply_to):
                to.tell(Accept(amount, reply_to))
                return account(owner, balance - amount)
            case Accept(amount, reply_to):
                reply_to.tell(f"{owner} has got {amount}")
                return account(owner, balance + amount)
            case GetBalance(reply_to):
                reply_to.tell(balance)
                return Behaviors.same()

    return Behaviors.receive(receive)


async def main() -> None:
    async with ClusteredActorSystem(name="bank", host="127.0.0.1", port=0, node_id="node-1") as system:
        accounts: ActorRef[ShardEnvelope[AccountMessage]] = system.spawn(
            Behaviors.sharded(account, num_shards=100), "account"
        )
        accounts.tell(ShardEnvelope("ann", Deposit(120)))
        bob: ActorRef[AccountMessage] = system.entity_ref("account", "bob")
        for amount in (50, 100):
            print(await system.ask(accounts, lambda r, amount=amount: ShardEnvelope("ann", Transfer(amount, bob, r))))
        for owner in ("ann", "bob"):
            balance = await system.ask(accounts, lambda r, owner=owner: ShardEnvelope(owner, GetBalance(reply_to=r)))
            print(f"{owner}: {balance}")


if __name__ == "__main__":
    trio.run(main)
