"""What node and client say to each other; both import it, so its types have one name on the wire."""

from __future__ import annotations

from dataclasses import dataclass

from casty_trio import ActorRef

SYSTEM, SHARD_TYPE, NUM_SHARDS = "loyalty-cluster", "loyalty", 10


@dataclass(frozen=True)
class AddPoints:
    amount: int


@dataclass(frozen=True)
class GetPoints:
    reply_to: ActorRef[int]


LoyaltyMsg = AddPoints | GetPoints
