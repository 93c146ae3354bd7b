"""The node: runs the customers until it gets SIGTERM or Ctrl-C. From the root of the checkout:

python -m examples.loyalty_two_processes.node [port]
"""

from __future__ import annotations

import signal
import sys

import trio

from casty_trio import ActorContext, Behavior, Behaviors, ClusteredActorSystem
from examples.loyalty_two_processes.messages import NUM_SHARDS, SHARD_TYPE, SYSTEM, AddPoints, GetPoints, LoyaltyMsg


def customer(user: str, points: int = 0) -> Behavior[LoyaltyMsg]:
    def receive(ctx: ActorContext[LoyaltyMsg], msg: LoyaltyMsg) -> Behavior[LoyaltyMsg]:
        match msg:
            case AddPoints(amount):
                return customer(user, points + amount)
            case GetPoints(reply_to):
                reply_to.tell(points)
                return Behaviors.same()

    return Behaviors.receive(receive)


async def main(port: int) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with ClusteredActorSystem(name=SYSTEM, host="127.0.0.1", port=port, node_id="node-1") as system:
            system.spawn(Behaviors.sharded(customer, num_shards=NUM_SHARDS), SHARD_TYPE)
            await system.wait_for(1)
            print(system.address.port, flush=True)
            await anext(signals)
            handled = system.statistics().handled
    print(f"The node has handled {handled} messages, and leaves.")


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 25530)
