"""Actors of one process: tell and ask, 64 callers, spawning and memory. The counterpart of `limits/local.py`.

python -m tests.bench.programs.local {messages,callers,actors} {plain,async,annotated}
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable

import trio

from casty_trio import ActorContext, ActorRef, ActorSystem, Behavior, Behaviors
from tests.bench.programs.annotated import Add, Get, Message, annotated
from tests.bench.programs.measuring import (
    ASKS,
    CALLERS,
    CALLS,
    MANY_ACTORS,
    TELLS,
    WARM_UP,
    Result,
    check,
    print_result,
    resident_kib,
    timed,
)

Counter = Callable[[], Behavior[Message]]


def plain(total: int = 0) -> Behavior[Message]:
    def receive(ctx: ActorContext[Message], message: Message) -> Behavior[Message]:
        match message:
            case Add(amount):
                return plain(total + amount)
            case Get(reply_to):
                reply_to.tell(total)
                return Behaviors.same()

    return Behaviors.receive(receive)


def coroutine(total: int = 0) -> Behavior[Message]:
    async def receive(ctx: ActorContext[Message], message: Message) -> Behavior[Message]:
        match message:
            case Add(amount):
                return coroutine(total + amount)
            case Get(reply_to):
                reply_to.tell(total)
                return Behaviors.same()

    return Behaviors.receive(receive)


COUNTERS: dict[str, Counter] = {"plain": plain, "async": coroutine, "annotated": annotated}


async def total_of(system: ActorSystem, ref: ActorRef[Message]) -> int:
    total: int = await system.ask(ref, Get, timeout=60.0)
    return total


async def warm_up(system: ActorSystem, counter: Counter) -> None:
    ref = system.spawn(counter())
    for _ in range(WARM_UP):
        ref.tell(Add(1))
        await total_of(system, ref)
    await system.stop(ref)


async def messages(system: ActorSystem, counter: Counter, result: Result) -> None:
    """One sender and one actor: tells until they are handled, then asks one after the other."""
    ref = system.spawn(counter())
    with timed(result, "tell_per_s", TELLS):
        for _ in range(TELLS):
            ref.tell(Add(1))
        check(await total_of(system, ref), TELLS)
    with timed(result, "ask_per_s", ASKS):
        for _ in range(ASKS):
            await system.ask(ref, Get)
    check(await total_of(system, ref), TELLS)


async def callers(system: ActorSystem, counter: Counter, result: Result) -> None:
    """64 tasks, each asks an actor of its own."""
    refs = [system.spawn(counter()) for _ in range(CALLERS)]
    answered = 0

    async def call(ref: ActorRef[Message]) -> None:
        nonlocal answered
        for _ in range(CALLS):
            await system.ask(ref, Get)
            answered += 1

    with timed(result, "ask_64_per_s", CALLERS * CALLS):
        async with trio.open_nursery() as nursery:
            for ref in refs:
                nursery.start_soon(call, ref)
    check(answered, CALLERS * CALLS)


async def actors(system: ActorSystem, counter: Counter, result: Result) -> None:
    """Many actors, each told one thing; they are idle when their memory is taken. As in the limit, none lived before."""
    gc.collect()
    before = resident_kib()
    with timed(result, "spawn_per_s", MANY_ACTORS):
        refs = [system.spawn(counter()) for _ in range(MANY_ACTORS)]
        for ref in refs:
            ref.tell(Add(1))
        for ref in refs[-CALLERS:]:
            check(await total_of(system, ref), 1)
    result["kib_per_actor"] = (resident_kib() - before) / MANY_ACTORS
    check(system.statistics().queued, 0)


RUNS = {"messages": messages, "callers": callers, "actors": actors}


async def main(run: str, kind: str) -> None:
    result: Result = {}
    async with ActorSystem("bench") as system:
        if run != "actors":
            await warm_up(system, COUNTERS[kind])
        await RUNS[run](system, COUNTERS[kind], result)
    print_result(result)


if __name__ == "__main__":
    trio.run(main, sys.argv[1], sys.argv[2])
