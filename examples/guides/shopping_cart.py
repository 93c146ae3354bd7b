"""A cart with an end: it is checked out, or a timer that starts anew with each item lets it expire."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from casty_trio import ActorContext, ActorRef, ActorSystem, Behavior, Behaviors


@dataclass(frozen=True)
class AddItem:
    name: str
    price: float


@dataclass(frozen=True)
class GetTotal:
    reply_to: ActorRef[float]


@dataclass(frozen=True)
class Checkout:
    reply_to: ActorRef[str]


@dataclass(frozen=True)
class Expire:
    pass


CartMsg = AddItem | GetTotal | Checkout | Expire


def cart(lifetime: float, items: tuple[AddItem, ...] = ()) -> Behavior[CartMsg]:
    """A cart with these items; all its state is in the arguments."""
    total = sum(item.price for item in items)

    def receive(ctx: ActorContext[CartMsg], msg: CartMsg) -> Behavior[CartMsg]:
        match msg:
            case AddItem():
                ctx.timers.once("expire", lifetime, Expire())  # in the place of the timer before
                return cart(lifetime, (*items, msg))
            case GetTotal(reply_to):
                reply_to.tell(total)
                return Behaviors.same()
            case Checkout(reply_to):
                reply_to.tell(f"{len(items)} items, ${total:.2f}")
                return Behaviors.stopped()  # and with the actor its timer
            case Expire():
                print("Cart expired — items discarded")
                return Behaviors.stopped()

    return Behaviors.receive(receive)


async def main() -> None:
    async with ActorSystem("shop") as system:
        first = system.spawn(cart(lifetime=1800.0), "cart-1")
        first.tell(AddItem("keyboard", 75))
        first.tell(AddItem("mouse", 25))
        total: float = await system.ask(first, lambda r: GetTotal(reply_to=r))
        print(f"Total: ${total:.2f}")
        receipt: str = await system.ask(first, lambda r: Checkout(reply_to=r))
        print(f"Receipt: {receipt}")

        second = system.spawn(cart(lifetime=0.1), "cart-2")
        second.tell(AddItem("monitor", 300))
        print("Waiting for cart-2 to expire...")
        await system.wait_stopped(second)


if __name__ == "__main__":
    trio.run(main)
