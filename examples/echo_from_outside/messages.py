"""What nodes and client say to each other; all import it, so its types have one name on the wire."""

from __future__ import annotations

from dataclasses import dataclass

from casty_trio import ActorRef, ServiceKey, Topic

SYSTEM = "echo-cluster"


@dataclass(frozen=True)
class Echo:
    text: str
    reply_to: ActorRef[str]


@dataclass(frozen=True)
class Shout:
    text: str


ECHO: ServiceKey[Echo | Shout] = ServiceKey("echo")
SHOUTS: Topic[Shout] = Topic("shouts")
