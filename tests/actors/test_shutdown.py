"""The end of a system goes through its phases, however its block is left (L3, L12)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, get_args

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from casty_trio import (
    ActorSettings,
    ActorStopped,
    ActorSystem,
    LinkSettings,
    Settings,
    ShutdownHookFailed,
    ShutdownSettings,
    SystemClosedError,
)
from casty_trio.actors.shutdown import PHASES, Phase
from casty_trio.remote import RemoteNode
from casty_trio.testing import Simulation, simulate
from tests.actors.helpers import Get, counter, hung
from tests.actors.lives import heard

Story = list[Any]
ORDER = get_args(Phase)


def test_phases_are_in_order() -> None:
    """The table, the type, and the settings are of one mind."""
    assert tuple(PHASES) == ORDER == ("before-leave", "drain", "leave", "actors", "connections")
    settings = ShutdownSettings(1, 2, 3, 4, 5)
    assert [limit(settings) for limit in PHASES.values()] == [1, 2, 3, 4, 5]
    assert [limit(ShutdownSettings()) for limit in PHASES.values()] == [5, 5, 10, 5, 5]


async def leave(way: str, system: ActorSystem, story: Story, boom: Exception) -> None:
    """Leave the block of a system in some way, and tell when the actor in it has stopped."""
    with trio.CancelScope() as scope:
        async with system:
            ref = system.spawn(counter())
            system.shutdown.does("actors", partial(note_if_stopped, system, story))
            await wait_all_tasks_blocked()
            if way == "cancel":
                scope.cancel()
                await trio.sleep_forever()
            if way == "raise":
                raise boom
            assert system.lookup(ref.path) == ref


async def note_if_stopped(system: ActorSystem, story: Story) -> None:
    assert system.statistics().actors == 0
    story.append("stopped")


@pytest.mark.parametrize("way", ["normal", "raise", "cancel"])
async def test_phases_follow_each_other_in_any_case(way: str, autojump_clock: MockClock) -> None:
    """L3, L12: hooks wait in a cancelled block as well, and what the body raised leaves it unchanged."""
    story: Story = []
    boom, system = KeyError("boom"), ActorSystem()

    def hook(phase: Phase) -> Callable[[], object]:
        async def run() -> None:
            story.append(("begun", phase))
            await trio.sleep(1)
            story.append(("done", phase))

        return run

    for phase in reversed(ORDER):
        for _ in range(2):
            system.on_shutdown(phase, hook(phase))
    caught: BaseException | None = None
    try:
        await leave(way, system, story, boom)
    except KeyError as error:
        caught = error
    expected: Story = [(what, phase) for phase in ORDER for what in ("begun", "begun", "done", "done")]
    expected.insert(expected.index(("begun", "connections")), "stopped")
    assert story == expected
    assert trio.current_time() == len(ORDER)
    assert caught is (boom if way == "raise" else None)
    assert getattr(boom, "__notes__", []) == []


async def test_hooks_of_a_phase_run_together_before_the_system_acts(autojump_clock: MockClock) -> None:
    """One waits for another; actors live while hooks of their phase run."""
    said = trio.Event()
    answers: list[int] = []

    async with ActorSystem() as system:
        ref = system.spawn(counter(5))

        async def listen() -> None:
            await said.wait()
            answers.append(await system.ask(ref, lambda reply_to: Get(reply_to)))

        async def late() -> None:
            assert system.lookup(ref.path) is None

        system.on_shutdown("actors", listen)
        system.on_shutdown("actors", said.set)
        system.on_shutdown("connections", late)
    assert answers == [5]
    assert trio.current_time() == 0


async def test_a_hook_that_fails_is_told_and_harms_nobody(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """L14: as an event and a line in the log; hooks beside it, later phases and the actors go on."""
    story: Story = []
    boom = ValueError("boom")

    def fail() -> None:
        raise boom

    async def beside() -> None:
        await trio.sleep(1)
        story.append("beside")

    async with ActorSystem("shop") as system:
        events = heard(system, ShutdownHookFailed)
        await wait_all_tasks_blocked()
        system.on_shutdown("leave", fail)
        system.on_shutdown("leave", beside)
        system.on_shutdown("actors", lambda: story.append("later"))
    assert story == ["beside", "later"]
    [event] = events
    assert (event.phase, event.failure) == ("leave", boom)
    assert event.hook.endswith("fail")
    [record] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "fail failed while shop ends (leave)" in record.getMessage()
    assert record.exc_info is not None


async def test_a_late_hook_is_cancelled_at_its_deadline(autojump_clock: MockClock) -> None:
    """L3, L14: its own, or the phase's, whichever comes first; what failed inside is told as well."""
    settings = Settings(shutdown=ShutdownSettings(before_leave=2.0, drain=3.0))

    async def hang() -> None:
        await trio.sleep_forever()

    async def hang_and_fail() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hang)
            try:
                await trio.sleep_forever()
            finally:
                raise OSError("boom")

    async with ActorSystem(settings=settings) as system:
        events = heard(system, ShutdownHookFailed)
        await wait_all_tasks_blocked()
        system.on_shutdown("before-leave", hang)
        system.on_shutdown("before-leave", hang, timeout=1.0)
        system.on_shutdown("drain", hang_and_fail, timeout=100.0)
        system.on_shutdown("leave", lambda: times.append(trio.current_time()))
        times: list[float] = []
    assert times == [5.0]
    assert trio.current_time() == 5.0
    assert [(event.phase, type(event.failure)) for event in events[:2]] == [("before-leave", TimeoutError)] * 2
    assert [str(event.failure).split(" s,")[0] for event in events[:2]] == ["it took more than 1", "it took more than 2"]
    assert [event.phase for event in events[2:]] == ["drain", "drain"]
    assert {type(event.failure) for event in events[2:]} == {ExceptionGroup, TimeoutError}


async def test_a_cancelled_block_gives_hooks_their_time_and_no_more(autojump_clock: MockClock) -> None:
    """L3: a hook that hangs holds a cancelled block for its deadline; actors are cancelled at once."""
    with trio.move_on_after(1) as scope:
        async with ActorSystem() as system:
            system.on_shutdown("leave", trio.sleep_forever, timeout=3.0)
            system.spawn(hung()).tell("go")
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert trio.current_time() == 4.0


async def test_cancelled_while_it_ends(autojump_clock: MockClock) -> None:
    """L3: a cancellation that comes during a phase waits for the hooks, and cuts the actors' grace short."""
    story: Story = []
    with trio.move_on_after(1) as scope:
        async with ActorSystem() as system:
            system.spawn(hung()).tell("go")
            await wait_all_tasks_blocked()
            system.on_shutdown("drain", partial(trio.sleep, 2))
            system.on_shutdown("connections", lambda: story.append(trio.current_time()))
    assert scope.cancelled_caught
    assert story == [2.0]


async def test_hooks_may_add_hooks_to_later_phases() -> None:
    """And to none that has begun; a handle forgets one that waits."""
    story: Story = []
    system = ActorSystem()

    def first() -> None:
        system.on_shutdown("drain", partial(story.append, "second"))
        forgotten.cancel()
        begun.cancel()
        with pytest.raises(SystemClosedError, match="its phase 'before-leave' has begun"):
            system.on_shutdown("before-leave", first)

    begun = system.on_shutdown("before-leave", first)
    forgotten = system.on_shutdown("leave", lambda: story.append("forgotten"))
    assert "lambda" in repr(forgotten)
    async with system:
        pass
    assert story == ["second"]
    with pytest.raises(SystemClosedError):
        system.on_shutdown("connections", first)


async def test_who_presses_ctrl_c_is_not_kept_waiting(autojump_clock: MockClock) -> None:
    """L3, L12: what is no `Exception` ends the other hooks; the system itself still ends in order."""
    story: Story = []

    def interrupt() -> None:
        raise KeyboardInterrupt

    async def run(system: ActorSystem) -> None:
        async with system:
            system.spawn(counter())
            system.on_shutdown("before-leave", interrupt)
            system.on_shutdown("before-leave", trio.sleep_forever)
            system.on_shutdown("leave", lambda: story.append("never"))
            system.shutdown.does("actors", partial(note_if_stopped, system, story))

    with pytest.raises(KeyboardInterrupt):
        await run(ActorSystem())
    assert story == ["stopped"]
    assert trio.current_time() == 0


async def test_what_the_system_itself_does_has_the_phases_deadline(autojump_clock: MockClock) -> None:
    """L3, L14: late, it is told like a hook."""
    async with ActorSystem(settings=Settings(shutdown=ShutdownSettings(before_leave=2.5))) as system:
        events = heard(system, ShutdownHookFailed)
        await wait_all_tasks_blocked()
        system.shutdown.does("before-leave", trio.sleep_forever)
        system.on_shutdown("drain", partial(trio.sleep, 1))
    told = [(event.hook, str(event.failure)) for event in events]
    assert told == [("the phase before-leave itself", "it took more than 2.5 s")]
    assert trio.current_time() == 3.5


@pytest.mark.parametrize(("failures", "kind"), [(1, OSError), (2, ExceptionGroup)])
async def test_what_the_system_itself_fails_at_leaves_the_block(failures: int, kind: type[Exception]) -> None:
    """L12: after the other phases; alone it is in no group, and beside the body's exception it is a note."""
    story: Story = []
    boom = KeyError("boom")

    async def fail() -> None:
        raise OSError("boom")

    async def run(way: str) -> None:
        system = ActorSystem()
        for _ in range(failures):
            system.shutdown.does("leave", fail)
        system.on_shutdown("connections", lambda: story.append("last"))
        await leave(way, system, [], boom)

    with pytest.raises(kind):
        await run("normal")
    with pytest.raises(KeyError) as caught:
        await run("raise")
    assert caught.value is boom
    assert "beside it, the block failed with" in boom.__notes__[0]
    assert story == ["last", "last"]


async def test_actors_have_their_own_limit(autojump_clock: MockClock) -> None:
    """L3: grace and hooks, whatever the phase's deadline is."""
    settings = Settings(ActorSettings(grace=30.0), shutdown=ShutdownSettings(actors=0))
    async with ActorSystem(settings=settings) as system, system.events(ActorStopped):
        system.spawn(hung()).tell("go")
        await wait_all_tasks_blocked()
    assert trio.current_time() == 30.0


def test_a_node_says_goodbye_in_its_last_phase() -> None:
    """L3: hooks of that phase find the connections open; the peer hears of an orderly end."""

    async def scenario(sim: Simulation) -> None:
        def node(number: int) -> RemoteNode:
            link = LinkSettings(keep_alive=1.0)
            name = f"node-{number}"
            return RemoteNode("shop", name, 4000, name, messages=[str], insecure=True, link=link, env=sim.env(name))

        story: Story = []
        async with node(1) as one:
            async with node(2) as two:
                two.resolve("casty://shop@node-1:4000/nobody").tell("hello")
                await trio.sleep(1)
                for phase in ORDER:
                    two.on_shutdown(phase, lambda: story.append(len(two.connections)))
            assert story == [1, 1, 1, 1, 1]
            await trio.sleep(1)
            assert len(one.connections) == 0

    simulate(scenario, 1)
