"""A parent hires workers, hands tasks round, hears when one has ended, and hires another in its place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import trio

from casty_trio import ActorContext, ActorRef, ActorSystem, Behavior, Behaviors, Signal, Terminated


@dataclass(frozen=True)
class Hire:
    name: str


@dataclass(frozen=True)
class Task:
    description: str
    reply_to: ActorRef[bool]


TeamMsg = Hire | Task
Workers = tuple[ActorRef[Task], ...]


def worker(patience: int) -> Behavior[Task]:
    """Does as many tasks as it has patience for, and then retires."""

    def receive(ctx: ActorContext[Task], task: Task) -> Behavior[Task]:
        print(f"{ctx.self.address.name} does {task.description}")
        task.reply_to.tell(True)
        return worker(patience - 1) if patience > 1 else Behaviors.stopped()

    return Behaviors.receive(receive)


def hire(ctx: ActorContext[TeamMsg], name: str) -> ActorRef[Task]:
    print(f"{name} is hired")
    worker_ref = ctx.spawn(worker(patience=2), name)
    ctx.watch(worker_ref)
    return worker_ref


def team(workers: Workers = ()) -> Behavior[TeamMsg]:
    def receive(ctx: ActorContext[TeamMsg], msg: TeamMsg) -> Behavior[TeamMsg]:
        match msg:
            case Hire(name):
                return team((*workers, hire(ctx, name)))
            case Task():
                first, *others = workers
                first.tell(msg)  # the reply ref goes with it: the worker answers, and the parent never waits
                return team((*others, first))

    def on_signal(ctx: ActorContext[TeamMsg], signal: Signal) -> Behavior[TeamMsg]:
        if not isinstance(signal, Terminated):
            return Behaviors.same()
        name = signal.ref.address.name
        print(f"{name} has retired")
        left = tuple(each for each in workers if each != signal.ref)
        return team((*left, hire(ctx, f"{name}-junior")))

    return Behaviors.receive(receive, on_signal)


async def main() -> None:
    async with ActorSystem("company") as system:
        ref = system.spawn(team(), "team")
        for name in ("ann", "bob"):
            ref.tell(Hire(name))
        for description in ("the dishes", "the floor", "the windows"):
            await system.ask(ref, partial(Task, description))
        await trio.sleep(0.1)
        print(system.tree())


if __name__ == "__main__":
    trio.run(main)
