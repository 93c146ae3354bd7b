"""What the tests of local actors share: a few messages, a few behaviours, and the list of running tasks."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import trio
import trio.testing
from trio.lowlevel import Task, current_root_task

from casty_trio import ActorContext, ActorRef, ActorSystem, AskError, Behavior, Behaviors, SystemStatistics

R = TypeVar("R")

Ctx = ActorContext[Any]
Ref = ActorRef[Any]


@dataclass(frozen=True)
class Get:
    """Asks for the state of `counter` and for an echo elsewhere."""

    reply_to: Ref
    tag: object = None


@dataclass(frozen=True)
class Fail:
    """Makes `counter` raise."""

    error: BaseException
    reply_to: Ref | None = None


async def ask_into(results: list[Any], system: ActorSystem, ref: Ref, timeout: float = 5.0, tag: object = None) -> None:
    """Ask, and put the reply or the error into a list."""
    try:
        reply: Any = await system.ask(ref, lambda reply_to: Get(reply_to, tag), timeout=timeout)
        results.append(reply)
    except AskError as error:
        results.append(error)


def run(program: Callable[[], Awaitable[R]]) -> R:
    """Run a program on a virtual clock that jumps whenever all tasks wait."""
    return trio.run(program, clock=trio.testing.MockClock(autojump_threshold=0))


def census() -> set[Task]:
    """All tasks of this run, Trio's own aside."""
    root = current_root_task()
    assert root is not None
    found, todo = set[Task](), [root]
    while todo:
        task = todo.pop()
        if "TrioToken" not in task.name:
            found.add(task)
        for nursery in task.child_nurseries:
            todo.extend(nursery.child_tasks)
    return found


def recorder(seen: list[Any]) -> Behavior[Any]:
    """Puts every message into a list."""

    def receive(ctx: Ctx, message: Any) -> None:
        seen.append(message)

    return Behaviors.receive(receive)


def counter(total: int = 0) -> Behavior[Any]:
    """Adds numbers, tells the sum, fails on demand."""

    def receive(ctx: Ctx, message: Any) -> Behavior[Any]:
        match message:
            case Get(reply_to):
                reply_to.tell(total)
                return Behaviors.same()
            case Fail(error):
                raise error
            case _:
                return counter(total + message)

    return Behaviors.receive(receive)


def async_counter(total: int = 0) -> Behavior[Any]:
    """The same, with a task switch in every message."""

    async def receive(ctx: Ctx, message: Any) -> Behavior[Any]:
        await trio.lowlevel.checkpoint()
        match message:
            case Get(reply_to):
                reply_to.tell(total)
                return Behaviors.same()
            case Fail(error):
                raise error
            case _:
                return async_counter(total + message)

    return Behaviors.receive(receive)


class Gated:
    """An actor that begins a message, and waits at a gate until it is opened."""

    def __init__(self) -> None:
        self.begun = trio.Event()
        self.gate = trio.Event()
        self.handled = list[Any]()

    @property
    def behavior(self) -> Behavior[Any]:
        """What to spawn."""
        return Behaviors.receive(self._receive)

    async def _receive(self, ctx: Ctx, message: Any) -> None:
        self.begun.set()
        await self.gate.wait()
        self.handled.append(message)
        if isinstance(message, Get):
            message.reply_to.tell(message.tag)


def hung() -> Behavior[Any]:
    """Never ends its first message by itself."""

    async def receive(ctx: Ctx, message: Any) -> None:
        await trio.sleep_forever()

    return Behaviors.receive(receive)


def silent() -> Behavior[Any]:
    """Handles everything, and answers nothing."""
    return Behaviors.receive(lambda ctx, message: None)


def assert_adds_up(statistics: SystemStatistics) -> None:
    """L4 in numbers."""
    assert statistics.sent == statistics.handled + statistics.dead + statistics.queued, statistics
