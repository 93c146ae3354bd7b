"""A tree of 100 101 actors, all supervised and watched by their parents: it starts, waits, and stops; and nothing is left.

python -m tests.bench.programs.tree
"""

from __future__ import annotations

import gc

import trio
from trio.testing import wait_all_tasks_blocked

from casty_trio import ActorContext, ActorSystem, Behavior, Behaviors, OneForOneStrategy
from tests.bench.programs.measuring import BRANCHES, LEAVES, Result, check, lasting, print_result, resident_kib

ACTORS = 1 + BRANCHES * (1 + LEAVES)

Context = ActorContext[int]


class Tree:
    """Counts who has started, and who has ended."""

    def __init__(self) -> None:
        self.started = self.ended = 0
        self.complete = trio.Event()
        self._strategy = OneForOneStrategy(max_restarts=3, within=60.0)

    def node(self, *widths: int) -> Behavior[int]:
        """An actor with so many children, each with so many, and so on; it watches them."""

        def begin(ctx: Context) -> Behavior[int]:
            for _ in range(widths[0] if widths else 0):
                ctx.watch(ctx.spawn(self.node(*widths[1:])))
            self.started += 1
            if self.started == ACTORS:
                self.complete.set()
            return Behaviors.receive(lambda ctx, message: None, on_signal=lambda ctx, signal: None)

        return Behaviors.supervise(Behaviors.with_lifecycle(Behaviors.setup(begin), post_stop=self._end), self._strategy)

    def _end(self, ctx: Context) -> None:
        self.ended += 1


async def main() -> None:
    result: Result = {}
    async with ActorSystem("bench") as system:
        tree = Tree()
        gc.collect()
        tasks, before = trio.lowlevel.current_statistics().tasks_living, resident_kib()
        with lasting(result, "tree_start_s"):
            root = system.spawn(tree.node(BRANCHES, LEAVES), "root")
            await tree.complete.wait()
        result["tree_kib_per_actor"] = (resident_kib() - before) / ACTORS
        check(system.statistics().actors, ACTORS)
        with lasting(result, "tree_stop_s"):
            await system.stop(root)
        check(tree.ended, ACTORS)
        check(system.statistics().actors, 0)
        await wait_all_tasks_blocked()
        check(trio.lowlevel.current_statistics().tasks_living, tasks)
    print_result(result)


if __name__ == "__main__":
    trio.run(main)
