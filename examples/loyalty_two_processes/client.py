"""The client: a program outside the cluster, on Trio or on asyncio. From the root of the checkout:

python -m examples.loyalty_two_processes.client trio|asyncio [port]
"""

from __future__ import annotations

import asyncio
import sys

import trio

from casty_trio import ActorRef, ClusterClient, ShardEnvelope
from examples.loyalty_two_processes.messages import NUM_SHARDS, SHARD_TYPE, SYSTEM, AddPoints, GetPoints, LoyaltyMsg


async def main(port: int) -> None:
    async with ClusterClient(contact_points=[("127.0.0.1", port)], system_name=SYSTEM) as client:
        loyalty: ActorRef[ShardEnvelope[LoyaltyMsg]] = client.entity_ref(SHARD_TYPE, num_shards=NUM_SHARDS)
        loyalty.tell(ShardEnvelope("user-1", AddPoints(100)))
        loyalty.tell(ShardEnvelope("user-1", AddPoints(50)))
        loyalty.tell(ShardEnvelope("user-2", AddPoints(200)))
        for user in ("user-1", "user-2"):
            points: int = await client.ask(loyalty, lambda r, uid=user: ShardEnvelope(uid, GetPoints(reply_to=r)))
            print(f"{user}: {points} points")


if __name__ == "__main__":
    library = sys.argv[1] if len(sys.argv) > 1 else "trio"
    address = int(sys.argv[2]) if len(sys.argv) > 2 else 25530
    if library == "asyncio":
        asyncio.run(main(address))
    else:
        trio.run(main, address)
