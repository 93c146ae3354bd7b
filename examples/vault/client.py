"""The client: a program outside the cluster, with a certificate or without. From the root of the checkout:

python -m examples.vault.client trio|asyncio FOLDER NAME [port]
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import trio

from casty_trio import ActorRef, ClusterClient, HandshakeError, ShardEnvelope, tls
from examples.vault.messages import NUM_SHARDS, SHARD_TYPE, SYSTEM, BoxMessage, Lock, Look


async def main(folder: Path, name: str, port: int) -> None:
    config = tls.Config.from_paths(folder / f"{name}.pem", folder / "ca.pem", folder / f"{name}.key")
    try:
        async with ClusterClient([("127.0.0.1", port)], SYSTEM, tls=config) as client:
            boxes: ActorRef[ShardEnvelope[BoxMessage]] = client.entity_ref(SHARD_TYPE, num_shards=NUM_SHARDS)
            boxes.tell(ShardEnvelope(name, Lock("a ring")))
            boxes.tell(ShardEnvelope(name, Lock("a letter")))
            things: list[str] = await client.ask(boxes, lambda r: ShardEnvelope(name, Look(reply_to=r)))
            print(f"In the box of {name}: {' and '.join(things)}")
    except HandshakeError as error:
        print(f"{name} is not let in: {error}")


if __name__ == "__main__":
    library, where, who = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    address = int(sys.argv[4]) if len(sys.argv) > 4 else 25540
    if library == "asyncio":
        asyncio.run(main(where, who, address))
    else:
        trio.run(main, where, who, address)
