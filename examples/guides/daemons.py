"""Four indexers on two nodes, each with a quarter of the documents: they run without a message, wherever there is a node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import trio

from casty_trio import ActorContext, ActorRef, Behavior, Behaviors, ClusteredActorSystem, DaemonsRef, Settings

DOCUMENTS = range(40)
INDEXED: Counter[int] = Counter()
"""In the place of a store: by which worker documents were indexed."""

DONE = trio.Event()


@dataclass(frozen=True)
class Where:
    reply_to: ActorRef[str]


@dataclass(frozen=True)
class Index:
    """Begins, or begins again."""


IndexerMsg = Where | Index


def indexers(node_id: str) -> Callable[[int, int], Behavior[IndexerMsg]]:
    def indexer(index: int, count: int) -> Behavior[IndexerMsg]:
        mine = [document for document in DOCUMENTS if document % count == index]

        def receive(ctx: ActorContext[IndexerMsg], msg: IndexerMsg) -> None:
            match msg:
                case Where(reply_to):
                    reply_to.tell(node_id)
                case Index() if INDEXED[index] < len(mine):
                    INDEXED[index] += 1
                case Index():
                    if INDEXED.total() == len(DOCUMENTS):
                        DONE.set()
                    ctx.timers.cancel("next")

        def begin(ctx: ActorContext[IndexerMsg]) -> Behavior[IndexerMsg]:
            ctx.timers.periodic("next", 0.01, Index())
            return Behaviors.receive(receive)

        return Behaviors.setup(begin)

    return indexer


async def homes(system: ClusteredActorSystem, workers: DaemonsRef[IndexerMsg], nodes: int) -> None:
    """Wait until the workers are spread over so many nodes, and print how."""
    while True:
        found = [await system.ask(workers.worker(index), Where, timeout=30.0) for index in range(workers.count)]
        counts = Counter(found)
        if len(counts) == nodes and max(counts.values()) - min(counts.values()) <= 1:
            break
        await trio.sleep(0.05)
    print(", ".join(f"{count} on {node}" for node, count in sorted(counts.items())))


async def main() -> None:
    async with AsyncExitStack() as stack:
        systems, refs = list[ClusteredActorSystem](), list[DaemonsRef[IndexerMsg]]()
        for number in (1, 2):
            system = ClusteredActorSystem(
                name="library",
                host="127.0.0.1",
                port=0,
                node_id=f"node-{number}",
                seed_nodes=[systems[0].self_node.address] if systems else [],
                settings=Settings.local(),
            )
            systems.append(await stack.enter_async_context(system))
            refs.append(system.spawn(Behaviors.daemons(indexers(system.node_id), 4), "indexers"))
            await system.wait_for(number)
        await homes(systems[0], refs[0], nodes=2)
        await DONE.wait()
        print(f"indexed: {', '.join(f'{count} by worker {index}' for index, count in sorted(INDEXED.items()))}")
        await systems[0].leave()
        await homes(systems[1], refs[1], nodes=1)


if __name__ == "__main__":
    trio.run(main)
