"""What both remote programs do to counters in another process, and measure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from casty_trio import ActorRef
from tests.bench.programs.measuring import CALLERS, CALLS, REMOTE_ASKS, REMOTE_TELLS, WARM_UP, Result, check, timed

M = TypeVar("M")

Ask = Callable[[str], Awaitable[int]]
"""Asks the counter of a name for its count."""

NAMES = ("warm-up", "a", "c", *(f"b{i}" for i in range(CALLERS)))

BURST = 500
"""After so many tells the sender waits for room, and lets its writer run: as often as the limit does."""


async def warm_up(ask: Ask, ref: ActorRef[M], add: Callable[[], M]) -> None:
    """Tell and ask the counter ``warm-up``, whose ref it is."""
    for i in range(WARM_UP):
        ref.tell(add())
        check(await ask("warm-up"), i + 1)


async def sequential(ask: Ask, result: Result) -> None:
    """One ask after the other."""
    await ask("a")
    with timed(result, "ask_per_s", REMOTE_ASKS):
        for _ in range(REMOTE_ASKS):
            await ask("a")


async def concurrent(ask: Ask, result: Result) -> None:
    """64 tasks, each asks a counter of its own."""
    answered = 0

    async def call(name: str) -> None:
        nonlocal answered
        for _ in range(CALLS):
            await ask(name)
            answered += 1

    with timed(result, "ask_64_per_s", CALLERS * CALLS):
        async with anyio.create_task_group() as tasks:
            for i in range(CALLERS):
                tasks.start_soon(call, f"b{i}")
    check(answered, CALLERS * CALLS)


async def tells(ask: Ask, ref: ActorRef[M], add: Callable[[], M], result: Result) -> None:
    """Tells to the counter ``c``, whose ref it is, until its count says that it has handled them all."""
    handled = 0
    with timed(result, "tell_per_s", REMOTE_TELLS):
        for i in range(REMOTE_TELLS):
            if i % BURST:
                ref.tell(add())
            else:
                await ref.send(add())
        while handled < REMOTE_TELLS:
            handled = await ask("c")
    check(handled, REMOTE_TELLS)
