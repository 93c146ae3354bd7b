"""All-for-one and rest-for-one: who shares the fate of the one that failed, and the window (L8)."""

import gc
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from casty_trio import (
    ActorStopped,
    AllForOneStrategy,
    Backoff,
    Behavior,
    Behaviors,
    Directive,
    OneForOneStrategy,
    RestForOneStrategy,
    SupervisionStrategy,
)
from tests.actors.helpers import Ctx, Ref, counter
from tests.actors.lives import Boom, Story, heard, obedient, opened, parent, supervised


@pytest.mark.parametrize(
    ("kind", "again"),
    [(OneForOneStrategy, ["b"]), (AllForOneStrategy, ["a", "b", "c"]), (RestForOneStrategy, ["b", "c"])],
)
@pytest.mark.parametrize("waits", [False, True])
async def test_which_of_a_group_restart(kind: type[SupervisionStrategy], again: list[str], waits: bool) -> None:
    """L8: one, all, or those from it on; the others, and those of another strategy, keep their state."""
    begun: Story = []
    strategy, another = kind(), kind()
    async with opened() as system:

        def member(name: str, of: SupervisionStrategy) -> Behavior[Any]:
            return supervised([], of, lambda ctx: begun.append(name), waits=waits)

        group = {"a": strategy, "other": another, "b": strategy, "c": strategy}
        ref = system.spawn(parent({name: member(name, of) for name, of in group.items()}))
        await wait_all_tasks_blocked()
        begun.clear()
        ref.tell(("b", Boom()))
        await wait_all_tasks_blocked()
        assert sorted(begun) == again


@pytest.mark.parametrize(
    ("kind", "stopped"),
    [(OneForOneStrategy, ["b"]), (AllForOneStrategy, ["a", "b", "c"]), (RestForOneStrategy, ["b", "c"])],
)
@pytest.mark.parametrize("how", ["decider", "limit"])
async def test_which_of_a_group_stop(kind: type[SupervisionStrategy], stopped: list[str], how: str) -> None:
    """L8: by the decider, and over the limit; the parent and those outside live on."""
    strategy = kind(decider=lambda failure: Directive.stop) if how == "decider" else kind(max_restarts=0)
    async with opened() as system:
        stops = heard(system, ActorStopped)
        ref = system.spawn(parent({name: supervised([], strategy) for name in "abc"}), "top")
        ref.tell(("b", failure := Boom()))
        await wait_all_tasks_blocked()
        assert sorted(event.ref.path for event in stops) == [f"/top/{name}" for name in stopped]
        assert {event.failure for event in stops if event.ref.path != "/top/b"} <= {None}
        assert ActorStopped(system_path(stops, "/top/b"), failure) in stops


def system_path(stops: list[Any], path: str) -> Ref:
    """The ref of that path in a list of events."""
    return next(event.ref for event in stops if event.ref.path == path)


async def test_a_group_shares_its_window() -> None:
    """L8: two failures of two members are two restarts of the group."""
    strategy = AllForOneStrategy(max_restarts=1)
    async with opened() as system:
        ref = system.spawn(parent({name: supervised([], strategy) for name in "ab"}), "top")
        ref.tell(("a", Boom()))
        await wait_all_tasks_blocked()
        assert system.lookup("/top/a") is not None
        ref.tell(("b", Boom()))
        await wait_all_tasks_blocked()
        assert system.lookup("/top/a") is system.lookup("/top/b") is None


async def test_one_for_one_counts_each_by_itself() -> None:
    """L8: also when they share the strategy object."""
    strategy = OneForOneStrategy(max_restarts=1)
    async with opened() as system:
        ref = system.spawn(parent({name: supervised([], strategy) for name in "ab"}), "top")
        for name in "ab":
            ref.tell((name, Boom()))
        await wait_all_tasks_blocked()
        assert system.lookup("/top/a") is not None
        assert system.lookup("/top/b") is not None


async def test_a_name_used_again_has_a_window_of_its_own() -> None:
    """L8, L9: what a namesake did before does not count."""
    strategy = OneForOneStrategy(max_restarts=1)
    async with opened() as system:
        for _ in range(3):
            ref = system.spawn(supervised([], strategy), "worker")
            ref.tell(Boom())
            await wait_all_tasks_blocked()
            assert system.lookup("/worker") == ref
            await system.stop(ref)


async def test_the_group_waits_together(autojump_clock: MockClock) -> None:
    """L8: back-off is the group's; one more failure of a sibling that waits is not possible."""
    times: dict[str, list[float]] = {"a": [], "b": []}
    strategy = AllForOneStrategy(backoff=Backoff(2.0, 8.0, jitter=0.0))

    def member(name: str) -> Behavior[Any]:
        return supervised([], strategy, lambda ctx: times[name].append(trio.current_time()))

    async with opened() as system:
        ref = system.spawn(parent({"a": member("a"), "b": member("b")}))
        ref.tell(("a", Boom()))
        ref.tell(("b", Boom()))
        await trio.sleep(1)
        await trio.sleep(20)
        # b failed on its own message, which waited through the first back-off
        assert times in (
            {"a": [0.0, 2.0, 6.0], "b": [0.0, 2.0, 6.0]},
            {"a": [0.0, 2.0], "b": [0.0, 2.0]},
        )


async def test_a_member_whose_children_are_ending_is_stopped_with_its_group(autojump_clock: MockClock) -> None:
    """L8: one that is busy restarting is a member like any other."""
    strategy = AllForOneStrategy(max_restarts=1)

    async def slow_end(ctx: Ctx) -> None:
        await trio.sleep(0.5)

    def with_slow_child(ctx: Ctx) -> None:
        ctx.spawn(Behaviors.with_lifecycle(counter(), post_stop=slow_end))

    async with opened() as system:
        ref = system.spawn(parent({"a": supervised([], strategy), "b": supervised([], strategy, with_slow_child)}), "top")
        ref.tell(("a", Boom()))
        await wait_all_tasks_blocked()
        ref.tell(("a", Boom()))  # too many, while b waits for its child
        await trio.sleep(2)
        assert system.lookup("/top/a") is system.lookup("/top/b") is None


async def test_a_window_of_a_group_goes_with_the_group(caplog: pytest.LogCaptureFixture) -> None:
    """L8: groups that come and go leave nothing behind in their parent."""
    caplog.set_level("CRITICAL", "casty_trio.actors")  # a record holds on to the failure, and that to its actor
    async with opened() as system:
        top: Any = system.spawn(obedient([]), "top")
        for _ in range(20):
            top.tell(lambda ctx: ctx.spawn(supervised([], AllForOneStrategy(max_restarts=0))).tell(Boom()))
            await wait_all_tasks_blocked()
        gc.collect()
        assert len(top.cell.children._shared) <= 1
