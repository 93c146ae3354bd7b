"""A node with an echo: it runs until it gets SIGTERM or Ctrl-C. From the root of the checkout:

python -m examples.echo_from_outside.node name port [port of another node]
"""

from __future__ import annotations

import signal
import sys

import trio

from casty_trio import ActorContext, Behavior, Behaviors, ClusteredActorSystem
from examples.echo_from_outside.messages import ECHO, SHOUTS, SYSTEM, Echo, Shout


def echo(node: str) -> Behavior[Echo | Shout]:
    def receive(ctx: ActorContext[Echo | Shout], message: Echo | Shout) -> None:
        match message:
            case Echo(text, reply_to):
                reply_to.tell(f"{text}, says {node}")
            case Shout(text):
                print(f"{node} hears: {text}", flush=True)

    return Behaviors.receive(receive)


async def main(name: str, port: int, seeds: list[int]) -> None:
    addresses = [("127.0.0.1", seed) for seed in seeds]
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with ClusteredActorSystem(SYSTEM, "127.0.0.1", port, name, seed_nodes=addresses) as system:
            ref = system.spawn(Behaviors.discoverable(echo(name), key=ECHO), "echo")
            clients = system.client_receptionist()
            clients.register_service(ref)
            clients.register_subscriber(SHOUTS, ref)
            await system.wait_for(1 + len(seeds))
            print(system.address.port, flush=True)
            await anext(signals)


if __name__ == "__main__":
    trio.run(main, sys.argv[1], int(sys.argv[2]), [int(port) for port in sys.argv[3:]])
