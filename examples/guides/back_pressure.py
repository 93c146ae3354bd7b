"""Back-pressure: with a bounded mailbox `send` waits for room, and `tell` finds out what it is worth."""

from __future__ import annotations

import trio

from casty_trio import ActorContext, ActorRef, ActorSystem, Behavior, Behaviors, Mailbox


def store(seen: list[int]) -> Behavior[int]:
    """Slower than whoever feeds it."""

    async def receive(ctx: ActorContext[int], number: int) -> Behavior[int]:
        await trio.sleep(0.01)
        seen.append(number)
        return Behaviors.stopped() if number == -1 else Behaviors.same()

    return Behaviors.receive(receive)


async def feed(system: ActorSystem, ref: ActorRef[int]) -> int:
    """Send twenty numbers; says how many waited at once, at most."""
    most = 0
    for number in range(20):
        await ref.send(number)
        most = max(most, system.statistics().queued)
    await ref.send(-1)
    await system.wait_stopped(ref)
    return most


async def main() -> None:
    async with ActorSystem("pipeline") as system:
        seen: list[int] = []
        ref = system.spawn(store(seen), "patient", mailbox=Mailbox(capacity=3))
        most = await feed(system, ref)
        print(f"send: {len(seen) - 1} of 20 arrived, in order: {seen[:-1] == list(range(20))}; at most {most} waited")

        for mailbox in (Mailbox(3, overflow="drop_new"), Mailbox(3, overflow="drop_oldest")):
            seen = []
            ref = system.spawn(store(seen), mailbox=mailbox)
            for number in range(20):
                ref.tell(number)
            await ref.send(-1)
            await system.wait_stopped(ref)
            print(f"tell, {mailbox.overflow}: {seen[:-1]}")
        print(f"{system.statistics().dead_letters} dead letters")


if __name__ == "__main__":
    trio.run(main)
