"""The node: serves who has a certificate of its authority, until it gets SIGTERM or Ctrl-C. From the root of the checkout:

python -m examples.vault.node FOLDER [port]
"""

from __future__ import annotations

import logging
import signal
import sys
from pathlib import Path

import trio

from casty_trio import ActorContext, Behavior, Behaviors, ClusteredActorSystem, tls
from examples.vault.messages import NUM_SHARDS, SHARD_TYPE, SYSTEM, BoxMessage, Lock, Look


def box(owner: str, things: tuple[str, ...] = ()) -> Behavior[BoxMessage]:
    def receive(ctx: ActorContext[BoxMessage], message: BoxMessage) -> Behavior[BoxMessage]:
        match message:
            case Lock(thing):
                return box(owner, (*things, thing))
            case Look(reply_to):
                reply_to.tell(list(things))
                return Behaviors.same()

    return Behaviors.receive(receive)


async def main(folder: Path, port: int) -> None:
    config = tls.Config.from_paths(folder / "node-1.pem", folder / "ca.pem", folder / "node-1.key")
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with ClusteredActorSystem(SYSTEM, "127.0.0.1", port, "node-1", tls=config) as system:
            system.spawn(Behaviors.sharded(box, num_shards=NUM_SHARDS), SHARD_TYPE)
            print(system.address.port, flush=True)
            await anext(signals)
            access = system.access_statistics()
    print(f"{access.accepted} came in, and were refused: {access.refused}")


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stdout, format="log: %(message)s")
    trio.run(main, Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 25540)
