"""What the tests of supervision share: actors that do what they are told, and write down what becomes of them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
from trio.testing import wait_all_tasks_blocked

from casty_trio import (
    ActorSettings,
    ActorSystem,
    Behavior,
    Behaviors,
    Directive,
    Event,
    OneForOneStrategy,
    SupervisionStrategy,
)
from tests.actors.helpers import Ctx, Ref, assert_adds_up, census, recorder

Story = list[Any]


class Boom(Exception):  # noqa: N818 - as short as it is frequent
    """A failure that is meant."""


@asynccontextmanager
async def opened(*, settings: ActorSettings | None = None) -> AsyncIterator[ActorSystem]:
    """A system; when it is left nothing is left of it, and its counts add up (L3, L4)."""
    before = census()
    async with ActorSystem(settings=settings) as system:
        yield system
        await wait_all_tasks_blocked()
        assert_adds_up(system.statistics())
    done = system.statistics()
    assert (done.actors, done.queued, done.asks) == (0, 0, 0)
    assert_adds_up(done)
    assert census() == before


def heard(system: ActorSystem, *events: type[Event]) -> list[Any]:
    """A list that gets all events of these classes."""
    found: list[Any] = []
    ref = system.spawn(recorder(found))
    for event in events:
        system.event_stream.subscribe(ref, event)
    return found


def obedient(story: Story, on_begin: Callable[[Ctx], object] | None = None, *, waits: bool = False) -> Behavior[Any]:
    """Writes down each message; an exception is raised, a function is called with the context, a behaviour returned.

    ``on_begin`` runs in its setup, at each start. With ``waits`` there is a task switch in each message.
    """

    def act(ctx: Ctx, message: Any) -> Any:
        if isinstance(message, Exception):
            raise message
        if isinstance(message, Behavior):
            return message
        if callable(message):
            return message(ctx)
        story.append(message)
        return None

    async def act_later(ctx: Ctx, message: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return act(ctx, message)

    def begin(ctx: Ctx) -> Behavior[Any]:
        if on_begin is not None:
            on_begin(ctx)
        return Behaviors.receive(act_later if waits else act, on_signal=lambda ctx, signal: story.append(signal))

    return Behaviors.setup(begin)


def supervised(
    story: Story,
    strategy: SupervisionStrategy | None = None,
    on_begin: Callable[[Ctx], object] | None = None,
    *,
    waits: bool = False,
) -> Behavior[Any]:
    """`obedient` under a strategy; one that restarts, when left out."""
    return Behaviors.supervise(obedient(story, on_begin, waits=waits), strategy or OneForOneStrategy())


def hooked(behavior: Behavior[Any], story: Story, name: str = "") -> Behavior[Any]:
    """With all four hooks, which write down that they ran."""

    def write(what: str) -> Callable[..., None]:
        return lambda ctx, *failure: story.append(f"{name}{what}")

    return Behaviors.with_lifecycle(
        behavior,
        pre_start=write("pre_start"),
        post_stop=write("post_stop"),
        pre_restart=write("pre_restart"),
        post_restart=write("post_restart"),
    )


def parent(children: dict[str, Behavior[Any]]) -> Behavior[Any]:
    """Spawns its children; one that is told a name and a message passes the message on."""

    def begin(ctx: Ctx) -> Behavior[Any]:
        refs: dict[str, Ref] = {name: ctx.spawn(child, name) for name, child in children.items()}
        return Behaviors.receive(lambda ctx, message: refs[message[0]].tell(message[1]))

    return Behaviors.setup(begin)


def always(directive: Directive) -> SupervisionStrategy:
    """Decides the same about everything."""
    return OneForOneStrategy(decider=lambda failure: directive)
