"""Shopping carts on one node: an actor for each user, started by the first message that names the user."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from casty_trio import ActorContext, ActorRef, Behavior, Behaviors, ClusteredActorSystem, ShardEnvelope


@dataclass(frozen=True)
class Add:
    sku: str


@dataclass(frozen=True)
class View:
    reply_to: ActorRef[tuple[str, ...]]


CartMessage = Add | View
Carts = ActorRef[ShardEnvelope[CartMessage]]


def cart(user: str, items: tuple[str, ...] = ()) -> Behavior[CartMessage]:
    def receive(ctx: ActorContext[CartMessage], message: CartMessage) -> Behavior[CartMessage]:
        match message:
            case Add(sku):
                return cart(user, (*items, sku))
            case View(reply_to):
                reply_to.tell(items)
                return Behaviors.same()

    return Behaviors.receive(receive)


async def main() -> None:
    async with ClusteredActorSystem(name="shop", host="127.0.0.1", port=0, node_id="node-1") as system:
        carts: Carts = system.spawn(Behaviors.sharded(cart, num_shards=100), "cart")
        carts.tell(ShardEnvelope("user-42", Add("book-1")))
        carts.tell(ShardEnvelope("user-42", Add("pen-3")))
        carts.tell(ShardEnvelope("user-7", Add("lamp-2")))
        for user in ("user-42", "user-7", "user-1"):
            items = await system.ask(carts, lambda r, user=user: ShardEnvelope(user, View(reply_to=r)))
            print(f"{user}: {', '.join(items) or 'nothing yet'}")

        one: ActorRef[CartMessage] = system.entity_ref("cart", "user-7")  # the same actor, without an envelope
        one.tell(Add("bulb-5"))
        print(f"user-7: {', '.join(await system.ask(one, View))}")

        statistics = system.sharding_statistics("cart")
        print(f"{statistics.entities} carts in {statistics.num_shards} shards")


if __name__ == "__main__":
    trio.run(main)
