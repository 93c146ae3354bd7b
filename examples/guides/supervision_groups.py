"""Whom a failure concerns: one for one, all for one, rest for one; and a parent that decides for its child."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import trio

import casty_trio as casty
from casty_trio import ActorContext, ActorRef, ActorSystem, Behavior, Behaviors, Directive

logging.getLogger("casty_trio").addHandler(logging.NullHandler())  # each failure would be logged with its traceback


@dataclass(frozen=True)
class GetCount:
    reply_to: ActorRef[int]


Msg = str | GetCount


def worker(count: int = 0) -> Behavior[Msg]:
    """Counts what it has done since it began."""

    def receive(ctx: ActorContext[Msg], msg: Msg) -> Behavior[Msg]:
        match msg:
            case "boom":
                raise ValueError("boom")
            case GetCount(reply_to):
                reply_to.tell(count)
                return Behaviors.same()
            case _:
                return worker(count + 1)

    return Behaviors.receive(receive)


async def show(system: ActorSystem, strategy: casty.SupervisionStrategy) -> None:
    """Three workers with one strategy between them; the middle one fails."""
    team = {name: system.spawn(Behaviors.supervise(worker(), strategy)) for name in ("task-a", "task-b", "task-c")}
    for ref in team.values():
        ref.tell("something")
        await system.ask(ref, GetCount)  # handled before what comes next
    team["task-b"].tell("boom")
    await system.ask(team["task-b"], GetCount)  # behind the failure, so that is over when the reply comes
    counts = [f"{name} {await system.ask(ref, GetCount)}" for name, ref in team.items()]
    print(f"{type(strategy).__name__}: {', '.join(counts)}")


def manager() -> Behavior[Msg]:
    """Has a child that leaves the decision to it, and hands on its mail."""

    def begin(ctx: ActorContext[Msg]) -> Behavior[Msg]:
        print("The manager begins")
        asks_above = casty.OneForOneStrategy(decider=lambda failure: Directive.escalate)
        child = ctx.spawn(Behaviors.supervise(worker(), asks_above), "worker")
        return Behaviors.receive(lambda ctx, msg: child.tell(msg))

    return Behaviors.supervise(Behaviors.setup(begin), casty.OneForOneStrategy())


async def main() -> None:
    async with ActorSystem("groups") as system:
        await show(system, casty.OneForOneStrategy())
        await show(system, casty.RestForOneStrategy())
        await show(system, casty.AllForOneStrategy())

        ref = system.spawn(manager(), "manager")
        async with system.events(casty.ActorRestarted) as restarts:
            for text in ("something", "boom"):
                ref.tell(text)
            await anext(restarts)
        print(f"Its new worker has counted to {await system.ask(ref, GetCount)}")


if __name__ == "__main__":
    trio.run(main)
