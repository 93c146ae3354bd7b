"""What becomes of an actor that fails: its strategy decides, by the exception, on one of four directives."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial

import trio

import casty_trio as casty
from casty_trio import ActorContext, ActorRef, ActorSystem, Behavior, Behaviors, Directive

logging.getLogger("casty_trio").addHandler(logging.NullHandler())  # each failure would be logged with its traceback


@dataclass(frozen=True)
class Job:
    text: str
    reply_to: ActorRef[int]


def worker(done: int = 0) -> Behavior[Job]:
    def receive(ctx: ActorContext[Job], job: Job) -> Behavior[Job]:
        match job.text:
            case "typo":
                raise LookupError("no such job")
            case "leak":
                raise ValueError("the state cannot be trusted any more")
            case "fire":
                raise RuntimeError("nothing is left to work with")
            case "strike":
                raise PermissionError("that is for somebody else to decide")
        job.reply_to.tell(done + 1)
        return worker(done + 1)

    return Behaviors.receive(receive)


def decide(failure: Exception) -> Directive:
    match failure:
        case LookupError():
            return Directive.resume  # forget the message, keep the state
        case ValueError():
            return Directive.restart  # begin again with the initial behaviour
        case PermissionError():
            return Directive.escalate  # let it be a failure of the parent
        case _:
            return Directive.stop


def supervised() -> Behavior[Job]:
    strategy = casty.OneForOneStrategy(max_restarts=3, within=60.0, backoff=casty.Backoff(0.01, 0.1), decider=decide)
    return Behaviors.supervise(worker(), strategy)


async def main() -> None:
    async with ActorSystem("supervision") as system:
        ref = system.spawn(supervised(), "worker")
        for text in ("sweep", "wash", "typo", "iron", "leak", "sweep", "fire"):
            try:
                done: int = await system.ask(ref, partial(Job, text))
                print(f"{text}: {done}")
            except casty.ActorFailedError as error:
                print(f"{text}: {error.__cause__!r}")
        await system.wait_stopped(ref)
        print("The worker has stopped")

    try:
        async with ActorSystem("escalation") as system:
            system.spawn(supervised(), "worker").tell(Job("strike", system.dead_letters))
            await trio.sleep_forever()
    except PermissionError as error:
        print(f"Out of the block came: {error!r} ({error.__notes__[0]})")


if __name__ == "__main__":
    trio.run(main)
