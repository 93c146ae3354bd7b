"""The monitor: hears from outside who comes and who goes, on Trio or on asyncio. From the root of the checkout:

python -m examples.presence_two_nodes.monitor trio|asyncio port
"""

from __future__ import annotations

import asyncio
import sys

import trio

from casty_trio import ClusterClient, ServiceInstance
from examples.presence_two_nodes.messages import CHAT, SYSTEM, ChatMsg, Leave, Say

Present = dict[str, ServiceInstance[ChatMsg]]


def tell_difference(before: Present, now: Present) -> None:
    for name in sorted(now.keys() - before.keys()):
        print(f"joined: {name}", flush=True)
    for name in sorted(before.keys() - now.keys()):
        print(f"left: {name}", flush=True)


async def main(port: int) -> None:
    async with ClusterClient(contact_points=[("127.0.0.1", port)], system_name=SYSTEM) as client:
        known: Present = {}
        async with client.subscribe(CHAT) as listings:
            async for listing in listings:
                now = {instance.ref.address.name: instance for instance in listing.instances}
                tell_difference(known, now)
                if len(now) == 2:
                    for name, instance in sorted(now.items()):  # straight to the node of each
                        instance.ref.tell(Say(f"hello {name}"))
                    now["alice"].ref.tell(Leave())
                if known and not now:
                    break
                known = now


if __name__ == "__main__":
    library, address = sys.argv[1], int(sys.argv[2])
    if library == "asyncio":
        asyncio.run(main(address))
    else:
        trio.run(main, address)
