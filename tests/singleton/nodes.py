"""A singleton on simulated clusters that writes down what becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import trio

from casty_trio import ActorContext, ActorRef, Behavior, Behaviors, ClusteredActorSystem

Ctx = ActorContext[Any]


@dataclass(frozen=True)
class Note:
    """Is written down, after some work."""

    sender: str
    number: int
    work: float = 0.0


@dataclass(frozen=True)
class Where:
    """Wants to know on which node the actor runs."""

    reply_to: ActorRef[str]


@dataclass(frozen=True)
class Close:
    """The stop message."""


Msg = Note | Where | Close


class Log:
    """What the singleton did, wherever it ran.

    Attributes:
        lines: the node, the sender and the number of each note.
        homes: where it has run, in order.
        running: where it runs now.
        closed: on which nodes it got the stop message.
        most: on how many nodes at once it ran.
    """

    def __init__(self, linger: float = 0.0) -> None:
        self.lines: list[tuple[str, str, int]] = []
        self.homes: list[str] = []
        self.running: list[str] = []
        self.closed: list[str] = []
        self.most = 0
        self.linger = linger

    def of(self, sender: str) -> list[int]:
        """The numbers that came of one sender, in the order they were handled."""
        return [number for _, each, number in self.lines if each == sender]

    def behavior(self, node: str) -> Behavior[Msg]:
        """What a node runs."""

        def start(_: Ctx) -> None:
            self.homes.append(node)
            self.running.append(node)
            self.most = max(self.most, len(self.running))

        def stop(_: Ctx) -> None:
            self.running.remove(node)

        async def receive(ctx: Ctx, message: Msg) -> Behavior[Msg]:
            match message:
                case Note(sender, number, work):
                    if work:
                        await trio.sleep(work)
                    self.lines.append((node, sender, number))
                case Where(reply_to):
                    reply_to.tell(node)
                case Close():
                    self.closed.append(node)
                    await trio.sleep(self.linger)
                    return Behaviors.stopped()
            return Behaviors.same()

        return Behaviors.with_lifecycle(Behaviors.receive(receive), pre_start=start, post_stop=stop)

    def begin(self, refs: dict[str, ActorRef[Msg]], **singleton: Any) -> Callable[[ClusteredActorSystem], None]:
        """What spawns it on a node as soon as that is open."""

        def spawn(system: ClusteredActorSystem) -> None:
            behavior = Behaviors.singleton(self.behavior(system.node_id), **singleton)
            refs[system.node_id] = system.spawn(behavior, "boss")

        return spawn
