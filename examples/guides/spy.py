"""A spy: an actor that is told of every message another gets, or a whole family, without changing either."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from casty_trio import ActorContext, ActorRef, ActorSystem, Behavior, Behaviors, SpyEvent


@dataclass(frozen=True)
class Deposit:
    amount: int


@dataclass(frozen=True)
class GetBalance:
    reply_to: ActorRef[int]


AccountMsg = Deposit | GetBalance


def account(balance: int = 0) -> Behavior[AccountMsg]:
    def receive(ctx: ActorContext[AccountMsg], msg: AccountMsg) -> Behavior[AccountMsg]:
        match msg:
            case Deposit(amount):
                return account(balance + amount)
            case GetBalance(reply_to):
                reply_to.tell(balance)
                return Behaviors.same()

    return Behaviors.receive(receive)


def manager() -> Behavior[str]:
    """Passes an order to two children."""

    def begin(ctx: ActorContext[str]) -> Behavior[str]:
        shipper: ActorRef[str] = ctx.spawn(Behaviors.ignore(), "shipper")
        packer: ActorRef[str] = ctx.spawn(Behaviors.receive(lambda ctx, order: shipper.tell(order)), "packer")
        return Behaviors.receive(lambda ctx, order: packer.tell(order))

    return Behaviors.setup(begin)


def print_event(ctx: ActorContext[SpyEvent], event: SpyEvent) -> None:
    what = event.event if isinstance(event.event, str) else type(event.event).__name__
    print(f"spy: {event.actor_path} gets {what}")


async def main() -> None:
    async with ActorSystem("spies") as system:
        spy = system.spawn(Behaviors.receive(print_event), "spy")
        ref = system.spawn(Behaviors.spy(account(), spy), "account")
        ref.tell(Deposit(100))
        ref.tell(Deposit(50))
        balance: int = await system.ask(ref, lambda r: GetBalance(reply_to=r))
        await trio.sleep(0.05)  # the spy handles its mail in its own time
        print(f"Balance: {balance}")

        system.spawn(Behaviors.spy(manager(), spy, spy_children=True), "manager").tell("order-1")
        await trio.sleep(0.05)


if __name__ == "__main__":
    trio.run(main)
