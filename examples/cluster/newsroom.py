"""Three nodes become a cluster, hear the same news, and go home together.

Each would be a process of its own on a machine of its own; here they share one, and talk over loopback all the same.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import trio

from casty_trio import (
    ActorContext,
    ActorRef,
    Behavior,
    Behaviors,
    BroadcastAskError,
    ClusteredActorSystem,
    MemberUp,
)

Seeds = list[tuple[str, int]]


@dataclass(frozen=True)
class News:
    text: str


@dataclass(frozen=True)
class Read:
    reply_to: ActorRef[str]


def reader(node: str, heard: tuple[str, ...] = ()) -> Behavior[News | Read]:
    def receive(ctx: ActorContext[News | Read], message: News | Read) -> Behavior[News | Read] | None:
        match message:
            case News(text):
                return reader(node, (*heard, text))
            case Read(reply_to):
                reply_to.tell(f"{node} has read: {', '.join(heard) or 'nothing'}")
        return None

    return Behaviors.receive(receive)


async def tell_who_comes_up(system: ClusteredActorSystem) -> None:
    """Print the members as they come up, until all three have."""
    async with system.events(MemberUp) as events:
        up = 0
        async for event in events:
            if isinstance(event, MemberUp):
                print(f"{event.member.node_id} is up")
                up += 1
            if up == 3:
                return


async def work(system: ClusteredActorSystem) -> None:
    """What the last of the nodes does, once all are up."""
    news = system.spawn(Behaviors.broadcasted(reader("n3")), "news")
    for text in ("it rains", "the trams are late"):
        news.tell(News(text))
    print(*sorted(await system.ask(news, Read)), sep="\n")

    local = system.spawn(Behaviors.broadcasted(reader("n3")), "local-news")  # on this node alone
    local.tell(News("the lift is out of order"))
    try:
        await system.ask(local, Read)
    except BroadcastAskError as error:
        print(*error.replies.values(), sep="\n")
        print(f"Without an answer: {', '.join(sorted(member.node_id for member in error.missing))}")


async def node(number: int, seeds: Seeds, *, task_status: trio.TaskStatus[Seeds]) -> None:
    name = f"n{number}"
    async with ClusteredActorSystem("newsroom", "127.0.0.1", 0, name, seed_nodes=seeds) as system:
        await system.wait_for(number)
        task_status.started([system.reached_at])
        if name != "n3":
            system.spawn(Behaviors.broadcasted(reader(name)), "news")
        if name == "n1":
            await tell_who_comes_up(system)
        await system.wait_for(3)
        await system.barrier("all-are-there", 3)
        if name == "n3":
            await work(system)
        await system.barrier("done", 3)  # else some would go home before they were asked
        print("A node goes home")


async def main() -> None:
    async with trio.open_nursery() as nursery:
        seeds: Seeds = await nursery.start(node, 1, [])
        for number in (2, 3):
            await nursery.start(node, number, seeds)  # one after the other, so that the output is always the same


if __name__ == "__main__":
    logging.getLogger("casty_trio").setLevel(logging.ERROR)  # those that go home are missed for a moment
    trio.run(main)
