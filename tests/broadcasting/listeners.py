"""What the tests of this folder broadcast, and who listens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import trio

from casty_trio import ActorContext, ActorRef, Behavior, Behaviors, BroadcastRef, ClusteredActorSystem
from tests.cluster.clusters import Cluster


@dataclass(frozen=True)
class News:
    number: int


@dataclass(frozen=True)
class GetNews:
    reply_to: ActorRef[tuple[int, ...]]


@dataclass(frozen=True)
class Count:
    reply_to: ActorRef[int]


@dataclass(frozen=True)
class Fail:
    reply_to: ActorRef[int]


@dataclass(frozen=True)
class Hang:
    """Never answered."""

    reply_to: ActorRef[int]


@dataclass(frozen=True)
class Relay:
    """Tell whoever that ref stands for."""

    to: ActorRef[Any]
    number: int


Message = News | GetNews | Count | Fail | Hang | Relay


def listener(heard: tuple[int, ...] = ()) -> Behavior[Message]:
    """Remembers the numbers it was told, in order."""

    def receive(ctx: ActorContext[Message], message: Message) -> Behavior[Message] | None:
        match message:
            case News(number):
                return listener((*heard, number))
            case GetNews(reply_to):
                reply_to.tell(heard)
            case Count(reply_to):
                reply_to.tell(len(heard))
            case Fail():
                raise RuntimeError("no news")
            case Hang():
                pass
            case Relay(to, number):
                to.tell(News(number))
        return None

    return Behaviors.receive(receive)


def begin(system: ClusteredActorSystem) -> BroadcastRef[Message]:
    """Listen to the news on a node."""
    return system.spawn(Behaviors.broadcasted(listener()), "news")


def news(cluster: Cluster, node: str) -> BroadcastRef[Message]:
    """The ref as a node has it that has spawned it."""
    found: Any = cluster.systems[node].resolve_broadcast("news")
    assert isinstance(found, BroadcastRef)
    return found


async def heard(system: ClusteredActorSystem, within: float = 5.0) -> tuple[int, ...]:
    """What a node's own actor was told."""
    actor = system.lookup("/news")
    assert actor is not None
    numbers: tuple[int, ...] = await system.ask(actor, lambda r: GetNews(r), timeout=within)
    return numbers


async def settle() -> None:
    """Let everything arrive that is on its way."""
    await trio.sleep(2.0)
