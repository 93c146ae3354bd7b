"""The node that talks to the stock from another process, and watches whom it talks to. From the root of the checkout:

python -m examples.warehouse.office FOLDER PORT
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import trio

from casty_trio import (
    ActorContext,
    ActorRef,
    Behavior,
    Behaviors,
    ClusteredActorSystem,
    LinkSettings,
    NodeGoneError,
    Signal,
    Terminated,
    UnknownActorError,
    tls,
)
from examples.warehouse.messages import SYSTEM, Close, Count, Deliver, StockMessage


def watch(ref: ActorRef[StockMessage], ended: trio.Event) -> Behavior[str]:
    """Says how the actor behind a ref ends, wherever that lives."""

    def begin(ctx: ActorContext[str]) -> Behavior[str]:
        ctx.watch(ref)
        return Behaviors.receive(lambda ctx, message: None, on_signal=hear)

    def hear(ctx: ActorContext[str], signal: Signal) -> None:
        match signal:
            case Terminated(failure=NodeGoneError()):
                print(f"{ref.path}: nothing is heard of its node any more", flush=True)
            case Terminated():
                print(f"{ref.path} has stopped", flush=True)
        ended.set()

    return Behaviors.setup(begin)


async def main(folder: Path, port: int) -> None:
    config = tls.Config.from_paths(folder / "office.pem", folder / "ca.pem", folder / "office.key")
    link = LinkSettings(gone_after=1.0)  # for how long the other node is dialled before it is given up
    async with ClusteredActorSystem(SYSTEM, "127.0.0.1", 0, "office", tls=config, link=link) as system:
        stock: ActorRef[StockMessage] = system.resolve(f"casty://{SYSTEM}@127.0.0.1:{port}/stock")
        guard: ActorRef[StockMessage] = system.resolve(f"casty://{SYSTEM}@127.0.0.1:{port}/guard")
        closed, lost = trio.Event(), trio.Event()
        system.spawn(watch(stock, closed))
        system.spawn(watch(guard, lost))
        stock.tell(Deliver("a crate of oranges"))
        await stock.send(Deliver("a barrel of tea"))
        count: int = await system.ask(stock, Count)
        print(f"{count} things in stock")
        stock.tell(Close())
        await closed.wait()
        try:
            await system.ask(stock, Count)
        except UnknownActorError as error:
            print(f"Nobody counts any more: {error}")
        print("The guard is awake", flush=True)
        await lost.wait()


if __name__ == "__main__":
    logging.getLogger("casty_trio").setLevel("ERROR")  # else the log tells, too, which dials were in vain
    trio.run(main, Path(sys.argv[1]), int(sys.argv[2]))
