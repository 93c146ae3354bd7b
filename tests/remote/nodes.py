"""Nodes that talk to each other: what they say, the actors that hear it, and how the nodes are made."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import trio

from casty_trio import (
    ActorContext,
    ActorRef,
    Behavior,
    Behaviors,
    ClusteredActorSystem,
    Event,
    LinkSettings,
    Signal,
    Terminated,
)
from casty_trio.remote.peer import Peer
from casty_trio.testing import Simulation
from tests.sim.shop import NAME, PORT, Fail, Fill, GetAll, Ignore, Late, Leave, Msg, Name, Put, make_node

__all__ = ["Fail", "Fill", "GetAll", "Ignore", "Late", "Leave", "Msg", "Name", "Put"]

Ctx = ActorContext[Any]
E = TypeVar("E", bound=Event)


@dataclass(frozen=True)
class Note:
    """A number, from whom it is, and something that takes room."""

    number: int
    sender: int = 0
    ballast: bytes = b""


@dataclass(frozen=True)
class Hand:
    """Carries a ref somewhere."""

    ref: ActorRef[Any]


@dataclass(frozen=True)
class PassOn:
    """Wants another actor to answer in its place."""

    other: ActorRef[GetAll]
    reply_to: ActorRef[tuple[int, ...]]


Words = Msg | Note | Hand | PassOn


@asynccontextmanager
async def opened(sim: Simulation, count: int = 2, **settings: Any) -> AsyncIterator[list[ClusteredActorSystem]]:
    """So many nodes that run; node ``n`` is on the host ``node-n``."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(member(sim, number + 1, **settings)) for number in range(count)]


def member(sim: Simulation, number: int, **settings: Any) -> ClusteredActorSystem:
    """A node that knows all these words."""
    return make_node(sim, number, messages=[Words, str, int], **settings)


def uri(number: int, path: str) -> str:
    """The address of an actor, whichever lives there."""
    return f"casty://{NAME}@node-{number}:{PORT}{path}"


def sink(heard: list[Any]) -> Behavior[Any]:
    """Keeps what it is told."""
    return Behaviors.receive(lambda ctx, message: heard.append(message))


def relay() -> Behavior[Any]:
    """Answers with the help of others."""

    def receive(ctx: Ctx, message: Any) -> None:
        if isinstance(message, PassOn):
            message.other.tell(GetAll(message.reply_to))

    return Behaviors.receive(receive)


def watcher(story: list[Any], *refs: ActorRef[Any]) -> Behavior[Any]:
    """Watches refs, tells what it hears in order, and begins and ends watches when it is told `Hand` and `Leave`."""

    def begin(ctx: Ctx) -> Behavior[Any]:
        for ref in refs:
            ctx.watch(ref)

        def receive(ctx: Ctx, message: Any) -> Behavior[Any] | None:
            if isinstance(message, Leave):
                return Behaviors.stopped()
            if isinstance(message, Hand):
                ctx.watch(message.ref)
            else:
                story.append(message)
            return None

        def hear(ctx: Ctx, signal: Signal) -> None:
            assert isinstance(signal, Terminated)
            story.append(signal)

        return Behaviors.receive(receive, on_signal=hear)

    return Behaviors.setup(begin)


def heard(node: ClusteredActorSystem, event_type: type[E]) -> list[E]:
    """What is published of a kind, once the actor that listens runs."""
    events: list[E] = []
    listen(node, event_type, sink(events))
    return events


def listen(node: ClusteredActorSystem, event_type: type[Event], behavior: Behavior[Any]) -> None:
    """Spawn an actor that is told the events of a kind."""

    def begin(ctx: Ctx) -> Behavior[Any]:
        node.event_stream.subscribe(ctx.self, event_type)
        return behavior

    node.spawn(Behaviors.setup(begin))


def peer_of(node: ClusteredActorSystem, number: int) -> Peer:
    """What a node has to do with another."""
    found = node.peers.known(f"node-{number}", PORT)
    assert found is not None
    return found


def quick(**settings: Any) -> LinkSettings:
    """Links that notice soon."""
    return LinkSettings(**{"keep_alive": 0.5, "dead_after": 2.0, "gone_after": 8.0, "handshake_timeout": 1.0, **settings})


async def until(condition: Callable[[], object], within: float = 60.0) -> None:
    """Let virtual time pass until something holds."""
    with trio.fail_after(within):
        while not condition():  # noqa: ASYNC110 - on a virtual clock, over whatever makes it hold
            await trio.sleep(0.01)
