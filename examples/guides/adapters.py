"""An adapter: a ref of another message type, so that a service need not know who uses it, nor its messages."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import trio

from casty_trio import ActorContext, ActorRef, ActorSystem, Behavior, Behaviors


@dataclass(frozen=True)
class GetPrice:
    item: str
    reply_to: ActorRef[int]


def prices(known: dict[str, int]) -> Behavior[GetPrice]:
    """A service with messages of its own: it answers numbers."""

    def receive(ctx: ActorContext[GetPrice], msg: GetPrice) -> None:
        msg.reply_to.tell(known[msg.item])

    return Behaviors.receive(receive)


@dataclass(frozen=True)
class Order:
    items: tuple[str, ...]
    reply_to: ActorRef[str]


@dataclass(frozen=True)
class Priced:
    item: str
    price: int


ShopMsg = Order | Priced


def shop(service: ActorRef[GetPrice]) -> Behavior[ShopMsg]:
    def idle(ctx: ActorContext[ShopMsg], msg: ShopMsg) -> Behavior[ShopMsg]:
        if not isinstance(msg, Order):
            return Behaviors.unhandled()
        for item in msg.items:
            adapter: ActorRef[int] = ctx.adapter(partial(Priced, item))  # told a number, it is a Priced that comes
            service.tell(GetPrice(item, adapter))
        return collecting(msg, {})

    def collecting(order: Order, found: dict[str, int]) -> Behavior[ShopMsg]:
        def receive(ctx: ActorContext[ShopMsg], msg: ShopMsg) -> Behavior[ShopMsg]:
            if not isinstance(msg, Priced):
                ctx.stash.add(msg)  # one order at a time
                return Behaviors.same()
            now = {**found, msg.item: msg.price}
            if len(now) < len(order.items):
                return collecting(order, now)
            order.reply_to.tell(" + ".join(now) + f" = {sum(now.values())}")
            ctx.stash.unstash_all()
            return Behaviors.receive(idle)

        return Behaviors.receive(receive)

    return Behaviors.receive(idle)


async def main() -> None:
    async with ActorSystem("shop") as system:
        service = system.spawn(prices({"tea": 4, "cake": 6, "soup": 9}), "prices")
        ref = system.spawn(shop(service), "shop")
        for items in (("tea", "cake"), ("soup",)):
            bill: str = await system.ask(ref, partial(Order, items))
            print(bill)


if __name__ == "__main__":
    trio.run(main)
