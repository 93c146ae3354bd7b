"""A loyalty programme: one actor per customer on a node, and a client that talks to them over TCP.

Node and client share a process here, so that the whole story prints in order; `loyalty_two_processes/` tells it in two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import trio

from casty_trio import ActorRef, Behavior, Behaviors, ClusterClient, ClusteredActorSystem, ShardEnvelope


@dataclass(frozen=True)
class AddPoints:
    amount: int


@dataclass(frozen=True)
class GetPoints:
    reply_to: ActorRef[int]


LoyaltyMsg = AddPoints | GetPoints
Customers = ActorRef[ShardEnvelope[LoyaltyMsg]]

NUM_SHARDS = 10


def loyalty_entity(entity_id: str) -> Behavior[LoyaltyMsg]:
    """One customer's points: the behaviour after each message holds the new total."""

    def active(points: int = 0) -> Behavior[LoyaltyMsg]:
        async def receive(_ctx: Any, msg: LoyaltyMsg) -> Behavior[LoyaltyMsg]:
            match msg:
                case AddPoints(amount):
                    print(f"  [{entity_id}] +{amount} points (total: {points + amount})")
                    return active(points + amount)
                case GetPoints(reply_to):
                    reply_to.tell(points)
                    return Behaviors.same()

        return Behaviors.receive(receive)

    return active()


async def points_of(client: ClusterClient, loyalty: Customers, user: str) -> int:
    """Ask a customer; the reply comes after all that was told to the same customer before."""
    return await client.ask(loyalty, lambda r: ShardEnvelope(user, GetPoints(reply_to=r)), timeout=5.0)


async def send_points(client: ClusterClient, loyalty: Customers) -> None:
    for user, amounts in {"user-1": (100, 50), "user-2": (200,)}.items():
        for amount in amounts:
            loyalty.tell(ShardEnvelope(user, AddPoints(amount)))
        await points_of(client, loyalty, user)  # customers are independent: without this, user-2 might print first


async def main() -> None:
    async with ClusteredActorSystem(name="loyalty-cluster", host="127.0.0.1", port=0, node_id="node-1") as cluster:
        cluster.spawn(Behaviors.sharded(loyalty_entity, num_shards=NUM_SHARDS), "loyalty")
        await cluster.wait_for(1)
        print("── Cluster running ──\n")

        contact_points = [("127.0.0.1", cluster.address.port or 0)]
        async with ClusterClient(contact_points, system_name="loyalty-cluster") as client:
            loyalty = client.entity_ref("loyalty", num_shards=NUM_SHARDS)
            print("── Sending points ──")
            await send_points(client, loyalty)
            print("\n── Querying points ──")
            for user in ("user-1", "user-2"):
                print(f"  {user}: {await points_of(client, loyalty, user)} points")


if __name__ == "__main__":
    trio.run(main)
