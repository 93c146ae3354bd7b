"""A node in a process of its own, for others to talk to, stop and kill: takes a port, prints the one it has."""

from __future__ import annotations

import sys
from typing import Any

import trio

from casty_trio import Behavior, Behaviors, ClusteredActorSystem, LinkSettings
from tests.remote.nodes import GetAll, Ignore, Leave, Note, Words
from tests.sim.shop import NAME

LINK = LinkSettings(keep_alive=0.3, dead_after=1.5, gone_after=60.0)


def tally() -> Behavior[Any]:
    """Counts what it is told, and tells it."""
    numbers = list[int]()

    def receive(ctx: Any, message: Any) -> Behavior[Any] | None:
        match message:
            case Note(number):
                numbers.append(number)
            case GetAll(reply_to):
                reply_to.tell(tuple(numbers))
            case Leave():
                return Behaviors.stopped()
            case Ignore():
                pass
        return None

    return Behaviors.receive(receive)


async def main(port: int) -> None:
    async with ClusteredActorSystem(NAME, "127.0.0.1", port, "child", messages=[Words], link=LINK) as node:
        node.spawn(tally(), "tally")
        print(node.address.port, flush=True)
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]))
