"""The turns of an actor's life, as its own hooks see them, and as everybody else may: on the event stream."""

from __future__ import annotations

import trio

from casty_trio import (
    ActorContext,
    ActorStarted,
    ActorStopped,
    ActorSystem,
    Behavior,
    Behaviors,
    DeadLetter,
    Event,
    UnhandledMessage,
)


def handle(ctx: ActorContext[str], text: str) -> Behavior[str]:
    if text != "hello":
        return Behaviors.unhandled()
    print("handled: hello")
    return Behaviors.same()


async def connect(ctx: ActorContext[str]) -> None:
    print("pre_start: connect")  # a hook may wait; mail waits until it is done


def disconnect(ctx: ActorContext[str]) -> None:
    print("post_stop: disconnect")  # runs however the actor ends


def greeter() -> Behavior[str]:
    return Behaviors.with_lifecycle(Behaviors.receive(handle), pre_start=connect, post_stop=disconnect)


def describe(event: Event) -> str:
    match event:
        case ActorStarted(ref) | ActorStopped(ref):
            return f"{type(event).__name__} {ref.path}"
        case UnhandledMessage(message, ref):
            return f"UnhandledMessage {message!r} at {ref.path}"
        case DeadLetter(message, recipient, reason):
            return f"DeadLetter {message!r} to {recipient.path}: {reason}"
        case _:
            return type(event).__name__


async def main() -> None:
    async with ActorSystem("lifecycle") as system, system.events(Event) as events:
        ref = system.spawn(greeter(), "greeter")
        for text in ("hello", "what?"):
            ref.tell(text)
        await trio.sleep(0.05)
        await system.stop(ref)
        ref.tell("too late")

        async for event in events:
            print(describe(event))
            if isinstance(event, DeadLetter):
                break
        print(f"{system.statistics().dead_letters} dead letter")


if __name__ == "__main__":
    trio.run(main)
