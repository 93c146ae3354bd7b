"""The client: finds the echoes of a cluster from outside, on Trio or on asyncio. From the root of the checkout:

python -m examples.echo_from_outside.client trio|asyncio port
"""

from __future__ import annotations

import asyncio
import sys

import trio

from casty_trio import ClusterClient
from examples.echo_from_outside.messages import ECHO, SHOUTS, SYSTEM, Echo, Shout


async def main(port: int) -> None:
    async with ClusterClient(contact_points=[("127.0.0.1", port)], system_name=SYSTEM) as client:
        async with client.subscribe(ECHO) as listings:
            async for listing in listings:
                if len(listing.instances) == 2:
                    break
        answers: list[str] = []
        for instance in client.lookup(ECHO).instances:  # straight to each of them
            answer: str = await client.ask(instance.ref, lambda r: Echo("hello from outside", reply_to=r))
            answers.append(answer)
        for answer in sorted(answers):
            print(answer)
        one: str = await client.ask(client.service_ref("/echo", local_affinity=True), lambda r: Echo("hi", reply_to=r))
        print(one)  # by its path, through the contact
        client.publish(SHOUTS, Shout("anybody there?"))


if __name__ == "__main__":
    library, address = sys.argv[1], int(sys.argv[2])
    if library == "asyncio":
        asyncio.run(main(address))
    else:
        trio.run(main, address)
