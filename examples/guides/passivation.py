"""Accounts that go when nobody needs them: after a minute, when there are too many, or when they say so themselves."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from casty_trio import ActorContext, ActorRef, Behavior, Behaviors, ClusteredActorSystem, Passivation

SAVED: dict[str, int] = {}
"""In the place of a database."""


@dataclass(frozen=True)
class Deposit:
    account: str
    amount: int


@dataclass(frozen=True)
class GetBalance:
    account: str
    reply_to: ActorRef[int]


@dataclass(frozen=True)
class Close:
    """Is sent to an account that has to go: in the end it saves what it knows."""

    account: str = ""


AccountMsg = Deposit | GetBalance | Close


def account(entity_id: str) -> Behavior[AccountMsg]:
    def holding(balance: int) -> Behavior[AccountMsg]:
        async def receive(ctx: ActorContext[AccountMsg], msg: AccountMsg) -> Behavior[AccountMsg]:
            match msg:
                case Deposit():
                    return holding(balance + msg.amount)
                case GetBalance(reply_to=reply_to):
                    reply_to.tell(balance)
                    if balance >= 100:
                        ctx.passivate()  # enough for today; what comes from now on is for the next actor
                    return Behaviors.same()
                case Close():
                    SAVED[entity_id] = balance
                    print(f"{entity_id} goes, with {balance}")
                    return Behaviors.stopped()

        return Behaviors.receive(receive)

    return holding(SAVED.get(entity_id, 0))


def account_of(msg: AccountMsg) -> str:
    return msg.account


async def main() -> None:
    async with ClusteredActorSystem(name="bank", host="127.0.0.1", port=0, node_id="node-1") as system:
        accounts = system.spawn(
            Behaviors.sharded(
                account,
                num_shards=10,
                extract_entity_id=account_of,  # messages say by themselves whose they are
                passivation=Passivation(idle=60.0, limit=2),
                stop_message=Close(),
            ),
            "account",
        )
        for name in ("ann", "bob", "ann", "cleo"):  # bob is the one used longest ago when cleo comes
            accounts.tell(Deposit(name, 30))
            await trio.sleep(0.05)
        accounts.tell(Deposit("ann", 40))
        total: int = await system.ask(accounts, lambda r: GetBalance("ann", r))
        print(f"ann has {total}")
        accounts.tell(Deposit("ann", 1))  # she is on her way out: it waits for her return
        total = await system.ask(accounts, lambda r: GetBalance("ann", r))
        print(f"ann has {total}")


if __name__ == "__main__":
    trio.run(main)
