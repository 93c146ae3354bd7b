"""An entity that tells what becomes of it, for the tests of passivation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import trio

from casty_trio import ActorContext, ActorRef, Behavior, Behaviors, EntityInfo

Ctx = ActorContext[Any]


@dataclass(frozen=True)
class Say:
    """Is noted; makes the entity work for ``work`` seconds, then passivate itself or stop, if it is to."""

    number: int
    work: float = 0.0
    passivate: bool = False
    stop: bool = False
    stash: bool = False
    fail: bool = False


@dataclass(frozen=True)
class Close:
    """The stop message."""

    linger: float = 0.0


@dataclass(frozen=True)
class Who:
    """Wants the number of the entity's actor, from 1."""

    reply_to: ActorRef[int]
    work: float = 0.0


@dataclass(frozen=True)
class Ident:
    """Wants `ctx.entity`."""

    reply_to: ActorRef[EntityInfo]


Msg = Say | Close | Who | Ident


class Diary:
    """What all entities of a type did, in order: the entity's id, the number of its actor, and what.

    Attributes:
        lines: that.
        living: which actors live.
        most: how many of them lived at a time.
    """

    def __init__(self) -> None:
        self.lines: list[tuple[str, int, object]] = []
        self.living: set[tuple[str, int]] = set()
        self.most = 0
        self._lives: dict[str, int] = {}

    def handled(self, entity_id: str) -> list[object]:
        """The numbers that an entity has noted, whichever actor did."""
        return [what for each, _, what in self.lines if each == entity_id and isinstance(what, int)]

    def actors(self, entity_id: str) -> int:
        """How many actors an entity has had."""
        return self._lives.get(entity_id, 0)

    def behavior(self, entity_id: str) -> Behavior[Msg]:  # noqa: C901 - one entity that does all that tests want
        """The factory of the type."""
        actor = self._lives[entity_id] = self.actors(entity_id) + 1

        def note(what: object) -> None:
            self.lines.append((entity_id, actor, what))

        def start(_: Ctx) -> None:
            assert all(each != entity_id for each, _ in self.living), "S1: two actors of one entity"
            self.living.add((entity_id, actor))
            self.most = max(self.most, len(self.living))

        def stopped(_: Ctx) -> None:
            self.living.discard((entity_id, actor))

        async def receive(ctx: Ctx, message: Msg) -> Behavior[Msg]:
            match message:
                case Say():
                    if message.work:
                        await trio.sleep(message.work)
                    if message.stash:
                        ctx.stash.add(message)
                        return Behaviors.same()
                    if message.fail:
                        raise RuntimeError("kaputt")
                    note(message.number)
                    if message.passivate:
                        ctx.passivate()
                    return Behaviors.stopped() if message.stop else Behaviors.same()
                case Who(reply_to, work):
                    await trio.sleep(work)
                    reply_to.tell(actor)
                case Ident(reply_to):
                    reply_to.tell(ctx.entity)
                case Close(linger):
                    note("close")
                    await trio.sleep(linger)
                    return Behaviors.stopped()
            return Behaviors.same()

        return Behaviors.with_lifecycle(Behaviors.receive(receive), pre_start=start, post_stop=stopped)
