"""One ticket machine in a cluster of three nodes: when its node leaves, the next one goes on where it stopped."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

import trio

from casty_trio import ActorContext, ActorRef, Behavior, Behaviors, ClusteredActorSystem, Settings

STORED = {"next": 1}
"""In the place of a database."""


@dataclass(frozen=True)
class Draw:
    reply_to: ActorRef[str]


@dataclass(frozen=True)
class Close:
    """Is sent to the machine that has to go."""


TicketMsg = Draw | Close


def tickets(node_id: str) -> Behavior[TicketMsg]:
    """The machine, as a node runs it: it begins with what the last one has stored."""

    def drawing(number: int) -> Behavior[TicketMsg]:
        def receive(ctx: ActorContext[TicketMsg], msg: TicketMsg) -> Behavior[TicketMsg]:
            match msg:
                case Draw(reply_to):
                    reply_to.tell(f"ticket {number} from {node_id}")
                    return drawing(number + 1)
                case Close():
                    STORED["next"] = number
                    return Behaviors.stopped()

        return Behaviors.receive(receive)

    def begin(_: ActorContext[TicketMsg]) -> Behavior[TicketMsg]:
        print(f"{node_id} runs the machine, from ticket {STORED['next']}")
        return drawing(STORED["next"])

    return Behaviors.setup(begin)


async def main() -> None:
    async with AsyncExitStack() as stack:
        systems = list[ClusteredActorSystem]()
        for number in (1, 2, 3):
            system = ClusteredActorSystem(
                name="hall",
                host="127.0.0.1",
                port=0,
                node_id=f"node-{number}",
                seed_nodes=[systems[0].self_node.address] if systems else [],
                settings=Settings.local(),
            )
            systems.append(await stack.enter_async_context(system))
            await systems[0].wait_for(number)  # one after the other, so that it is known who is the oldest
        refs = [
            system.spawn(Behaviors.singleton(tickets(system.node_id), stop_message=Close()), "tickets") for system in systems
        ]
        for _ in range(2):
            ticket: str = await systems[2].ask(refs[2], lambda r: Draw(reply_to=r), timeout=30.0)
            print(ticket)
        await systems[0].leave()
        ticket = await systems[2].ask(refs[2], lambda r: Draw(reply_to=r), timeout=30.0)
        print(ticket)


if __name__ == "__main__":
    trio.run(main)
