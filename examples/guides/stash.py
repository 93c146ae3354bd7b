"""Mail for later: while it connects, a store puts its messages aside; then it handles them, in order."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from casty_trio import ActorContext, ActorRef, ActorSystem, Behavior, Behaviors


@dataclass(frozen=True)
class Connected:
    url: str


@dataclass(frozen=True)
class Save:
    key: str
    reply_to: ActorRef[str]


StoreMsg = Connected | Save


async def connect(url: str) -> Connected:
    await trio.sleep(0.05)
    return Connected(url)


def store(url: str) -> Behavior[StoreMsg]:
    def begin(ctx: ActorContext[StoreMsg]) -> Behavior[StoreMsg]:
        ctx.pipe_to_self(connect(url))
        return Behaviors.receive(connecting)

    def connecting(ctx: ActorContext[StoreMsg], msg: StoreMsg) -> Behavior[StoreMsg]:
        match msg:
            case Save(key):
                print(f"not yet: {key}")
                ctx.stash.add(msg)  # whoever asked goes on waiting
                return Behaviors.same()
            case Connected():
                print(f"connected, {len(ctx.stash)} in the stash")
                ctx.stash.unstash_all()  # next, and ahead of newer mail
                return Behaviors.receive(connected)

    def connected(ctx: ActorContext[StoreMsg], msg: StoreMsg) -> None:
        if isinstance(msg, Save):
            print(f"saved: {msg.key}")
            msg.reply_to.tell(f"{url}/{msg.key}")

    return Behaviors.setup(begin)


async def main() -> None:
    async with ActorSystem("stash") as system:
        ref = system.spawn(store("db://local"), "store")
        for key in ("a", "b"):
            ref.tell(Save(key, system.dead_letters))
        place: str = await system.ask(ref, lambda r: Save("c", reply_to=r))
        print(f"the last is at {place}")


if __name__ == "__main__":
    trio.run(main)
