"""What people see of the actors: the tree, and the states in it."""

from typing import Any

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from casty_trio import ActorSystem, Backoff, Behaviors, OneForOneStrategy
from tests.actors.helpers import Ctx, Get, async_counter, counter, hung, recorder
from tests.actors.lives import Boom, obedient, opened, supervised


async def test_names_branches_and_states(autojump_clock: MockClock) -> None:
    """Running, busy and for how long, waiting to restart, stopping; and how many messages wait."""
    async with ActorSystem("demo") as system:
        assert system.tree() == "demo"
        system.spawn(counter(), "idle")
        busy = system.spawn(hung(), "busy")
        strategy = OneForOneStrategy(backoff=Backoff(100, 100))
        napping = system.spawn(supervised([], strategy), "napping")
        top = Behaviors.setup(lambda ctx: recorder([ctx.spawn(obedient([], nest), name) for name in "ab"]))
        system.spawn(top, "top")
        stopping = system.spawn(hung(), "stopping")
        for message in range(3):
            busy.tell(message)
        napping.tell(Boom())
        napping.tell("waits")
        stopping.tell("hang")
        await trio.sleep(2)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(system.stop, stopping)
            await wait_all_tasks_blocked()
            assert system.tree().splitlines() == [
                "demo",
                "├── idle  running, 0 queued",
                "├── busy  busy for 2.0 s, 2 queued, the oldest for 2.0 s",
                "├── napping  waiting to restart, 1 queued, the oldest for 2.0 s",
                "├── top  running, 0 queued",
                "│   ├── a  running, 0 queued",
                "│   │   └── leaf  running, 0 queued",
                "│   └── b  running, 0 queued",
                "│       └── leaf  running, 0 queued",
                "└── stopping  stopping, 0 queued",
            ]
        await system.stop(busy, grace=0)


def nest(ctx: Ctx) -> None:
    """One child."""
    ctx.spawn(counter(), "leaf")


async def test_an_actor_that_is_through_is_not_busy(autojump_clock: MockClock) -> None:
    """The time is that of the present turn; a coroutine handler that has ended leaves none."""
    async with opened() as system:
        ref: Any = system.spawn(async_counter(), "worker")
        for _ in range(10):
            total: int = await system.ask(ref, Get)
            assert total == 0
            await trio.sleep(5)
        assert "worker  running, 0 queued" in system.tree()


async def test_a_deep_tree_is_drawn() -> None:
    """Hundreds of levels, as an actor may have."""

    def deep(levels: int) -> Any:
        return obedient([], lambda ctx: ctx.spawn(deep(levels - 1), "c") and None if levels else None)

    async with opened() as system:
        system.spawn(deep(100), "c")
        while system.statistics().actors < 101:
            await trio.lowlevel.checkpoint()
        await wait_all_tasks_blocked()
        assert len(system.tree().splitlines()) == 102
