"""A node with one user; it runs until it gets SIGTERM or Ctrl-C. From the root of the checkout:

python -m examples.presence_two_nodes.node USER [PORT [PORT OF ANOTHER NODE]]
"""

from __future__ import annotations

import signal
import sys

import trio

from casty_trio import ActorContext, Behavior, Behaviors, ClusteredActorSystem
from examples.presence_two_nodes.messages import CHAT, SYSTEM, ChatMsg, Leave, Say


def user(name: str) -> Behavior[ChatMsg]:
    def receive(ctx: ActorContext[ChatMsg], message: ChatMsg) -> Behavior[ChatMsg] | None:
        match message:
            case Say(text):
                print(f"{name} reads: {text}", flush=True)
                return None
            case Leave():
                return Behaviors.stopped()

    return Behaviors.receive(receive)


async def main(name: str, port: int, seeds: list[tuple[str, int]]) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with ClusteredActorSystem(SYSTEM, "127.0.0.1", port, f"node-of-{name}", seed_nodes=seeds) as system:
            await system.wait_for(1 + len(seeds))
            system.spawn(Behaviors.discoverable(user(name), key=CHAT), name)
            print(system.address.port, flush=True)
            await anext(signals)


if __name__ == "__main__":
    given = [int(port) for port in sys.argv[2:]]
    trio.run(main, sys.argv[1], given[0] if given else 0, [("127.0.0.1", port) for port in given[1:]])
