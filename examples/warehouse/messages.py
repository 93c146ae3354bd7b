"""What the two nodes say to each other; both import it, so its types have one name on the wire."""

from __future__ import annotations

from dataclasses import dataclass

from casty_trio import ActorRef

SYSTEM = "trade"


@dataclass(frozen=True)
class Deliver:
    thing: str


@dataclass(frozen=True)
class Count:
    reply_to: ActorRef[int]


@dataclass(frozen=True)
class Close:
    pass


StockMessage = Deliver | Count | Close
