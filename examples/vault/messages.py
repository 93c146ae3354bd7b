"""What node and client say to each other; both import it, so its types have one name on the wire."""

from __future__ import annotations

from dataclasses import dataclass

from casty_trio import ActorRef

SYSTEM, SHARD_TYPE, NUM_SHARDS = "vault", "box", 10


@dataclass(frozen=True)
class Lock:
    thing: str


@dataclass(frozen=True)
class Look:
    reply_to: ActorRef[list[str]]


BoxMessage = Lock | Look
