"""The node that has the stock, and a guard; it runs until it is killed. From the root of the checkout:

python -m examples.warehouse.warehouse FOLDER [port]
"""

from __future__ import annotations

import sys
from pathlib import Path

import trio

from casty_trio import ActorContext, Behavior, Behaviors, ClusteredActorSystem, tls
from examples.warehouse.messages import SYSTEM, Close, Count, Deliver, StockMessage


def stock(things: tuple[str, ...] = ()) -> Behavior[StockMessage]:
    def receive(ctx: ActorContext[StockMessage], message: StockMessage) -> Behavior[StockMessage]:
        match message:
            case Deliver(thing):
                return stock((*things, thing))
            case Count(reply_to):
                reply_to.tell(len(things))
                return Behaviors.same()
            case Close():
                return Behaviors.stopped()

    return Behaviors.receive(receive)


async def main(folder: Path, port: int) -> None:
    config = tls.Config.from_paths(folder / "warehouse.pem", folder / "ca.pem", folder / "warehouse.key")
    async with ClusteredActorSystem(SYSTEM, "127.0.0.1", port, "warehouse", tls=config, messages=[StockMessage]) as system:
        system.spawn(stock(), "stock")
        system.spawn(stock(), "guard")
        print(system.address.port, flush=True)
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 25550)
