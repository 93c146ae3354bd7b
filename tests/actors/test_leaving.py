"""Nothing is left (L3), and your exception is yours (L12), however the block is left."""

import gc
import logging
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from casty_trio import ActorRef, ActorStopped, ActorSystem, Behavior, Behaviors, SystemClosedError
from tests.actors.helpers import Ctx, Get, Ref, assert_adds_up, census, counter, hung, recorder, silent


class Boom(Exception):  # noqa: N818 - short, as it is all over
    """What the body raises."""


def tree(depth: int, width: int, leaf: Callable[[], Behavior[Any]] = silent) -> Behavior[Any]:
    """A tree of actors; mail goes down to every leaf."""

    def begin(ctx: Ctx) -> Behavior[Any]:
        if not depth:
            return leaf()
        children = [ctx.spawn(tree(depth - 1, width, leaf)) for _ in range(width)]

        def receive(ctx: Ctx, message: Any) -> None:
            for child in children:
                child.tell(message)

        return Behaviors.receive(receive)

    return Behaviors.setup(begin)


SHAPES = {"deep": (20, 1), "wide": (1, 1_000), "bushy": (3, 6)}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("leaf", [silent, hung, counter])
@pytest.mark.parametrize("way", ["normal", "raise", "group", "cancel", "timeout", "before the first step"])
async def test_no_task_is_left(shape: str, leaf: Any, way: str, autojump_clock: MockClock) -> None:
    """L3, L12: normally, by an exception, by cancellations; idle, failing on all leaves, or hanging until grace is over."""
    depth, width = SHAPES[shape]
    before = census()
    boom = ExceptionGroup("two", [Boom(1), Boom(2)]) if way == "group" else Boom()
    caught: BaseException | None = None
    system = ActorSystem()
    with trio.CancelScope() as outer:
        try:
            async with system:
                top = system.spawn(tree(depth, width, leaf), "top")
                if way != "before the first step":
                    await wait_all_tasks_blocked()
                    assert system.statistics().actors >= depth * width
                    top.tell("no number")
                    await wait_all_tasks_blocked()
                match way:
                    case "raise" | "group":
                        raise boom
                    case "cancel":
                        outer.cancel()
                        await trio.lowlevel.checkpoint()
                    case "timeout":
                        outer.deadline = trio.current_time() + 1
                    case _:
                        pass
        except Exception as error:  # noqa: BLE001 - any would be a fault, but for boom
            caught = error
    assert census() == before
    assert caught is (boom if way in ("raise", "group") else None)
    assert getattr(caught, "__notes__", []) == []
    assert outer.cancelled_caught == (way == "cancel" or (way == "timeout" and leaf is hung))
    limit = {"cancel": 0.0, "timeout": 1.0}.get(way, 5.0) if leaf is hung and way != "before the first step" else 0.0
    assert trio.current_time() == limit
    statistics = system.statistics()
    assert (statistics.actors, statistics.queued, statistics.asks) == (0, 0, 0)
    assert_adds_up(statistics)


async def test_a_cancelled_parent_ends_as_it_should(autojump_clock: MockClock) -> None:
    """L3, L4: cancelled from outside with children and mail, it still makes dead letters, and its waiters hear."""
    waited: list[str] = []

    async def wait(system: ActorSystem, ref: Ref) -> None:
        await system.wait_stopped(ref)
        waited.append(ref.path)

    def parent() -> Behavior[Any]:
        async def receive(ctx: Ctx, message: Any) -> None:
            ctx.spawn(hung(), message).tell("hang")
            await trio.sleep_forever()

        return Behaviors.receive(receive)

    async with trio.open_nursery() as nursery:
        with trio.move_on_after(1):
            async with ActorSystem() as system:
                ref = system.spawn(parent(), "parent")
                for name in ("child", "queued", "queued too"):
                    ref.tell(name)
                nursery.start_soon(wait, system, ref)
                await trio.sleep_forever()
        nursery.cancel_scope.deadline = trio.current_time() + 1
    assert waited == ["/parent"]
    assert (system.statistics().actors, system.statistics().dead) == (0, 2)
    assert_adds_up(system.statistics())


async def test_an_actor_that_ends_by_itself_gives_its_children_the_usual_grace(autojump_clock: MockClock) -> None:
    """L3: a failed or self-stopped parent is not held up for ever by a child that hangs."""

    def parent(ends: Callable[[], Any]) -> Behavior[Any]:
        def receive(ctx: Ctx, message: Any) -> Any:
            if message == "end":
                return ends()
            ctx.spawn(hung()).tell("hang")
            return None

        return Behaviors.receive(receive)

    async with ActorSystem() as system:
        for ends in (Behaviors.stopped, lambda: 1 / 0):
            ref = system.spawn(parent(ends), "parent")
            ref.tell("spawn")
            await wait_all_tasks_blocked()
            begun = trio.current_time()
            ref.tell("end")
            await system.wait_stopped(ref)
            assert trio.current_time() == begun + 5


async def test_a_shorter_stop_reaches_children_that_are_stopping(autojump_clock: MockClock) -> None:
    """L3: a stop without end is overtaken by one with a grace, at any depth, and by leaving the block."""
    begun = 0.0
    async with ActorSystem() as system:
        for grace in (1.0, None):
            top = system.spawn(tree(4, 2, hung), "top")
            await wait_all_tasks_blocked()
            top.tell("hang")
            await wait_all_tasks_blocked()
            with trio.move_on_after(100):
                await system.stop(top, grace=float("inf"))
            assert system.lookup("/top") == top
            begun = trio.current_time()
            if grace is not None:
                await system.stop(top, grace=grace)
                assert trio.current_time() == begun + grace
    assert trio.current_time() == begun + 5


async def test_children_end_before_their_parent(autojump_clock: MockClock) -> None:
    """L3: in a deep tree whose leaves take their time, the stops come from the leaves up."""
    stops: list[str] = []

    def slow() -> Behavior[Any]:
        async def receive(ctx: Ctx, message: Any) -> None:
            await trio.sleep(2)

        return Behaviors.receive(receive)

    async with ActorSystem() as system, system.events(ActorStopped) as events:
        top = system.spawn(tree(3, 2, slow), "top")
        await wait_all_tasks_blocked()
        top.tell("work")
        await wait_all_tasks_blocked()
        await system.stop(top)
        async for event in events:
            assert isinstance(event, ActorStopped)
            stops.append(event.ref.path)
            if event.ref == top:
                break
    assert len(stops) == 15
    for index, path in enumerate(stops):
        assert not any(later.startswith(path + "/") for later in stops[index:])


async def test_spawning_in_a_system_that_was_cancelled(autojump_clock: MockClock) -> None:
    """L3: what would never run is refused, in the body's clean-up too."""
    with trio.move_on_after(1):
        async with ActorSystem() as system:
            ref = system.spawn(counter())
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(1)
                    assert system.statistics().actors == 0
                    with pytest.raises(SystemClosedError):
                        system.spawn(counter())
                    ref.tell("late")
    assert system.statistics().dead == 1


async def test_spawning_below_an_actor_that_is_being_cancelled(autojump_clock: MockClock) -> None:
    """L3: a shielded handler whose children are gone cannot make new ones that never run."""
    problems: list[Exception] = []

    async def receive(ctx: Ctx, message: Any) -> None:
        ctx.spawn(silent())
        with trio.CancelScope(shield=True):
            await trio.sleep(2)
            try:
                ctx.spawn(silent()).tell("never handled")
            except SystemClosedError as error:
                problems.append(error)

    with trio.move_on_after(1):
        async with ActorSystem() as system:
            system.spawn(Behaviors.receive(receive)).tell("go")
            await trio.sleep_forever()
    assert len(problems) == 1
    assert system.statistics().actors == 0


async def test_what_failed_beside_is_a_note() -> None:
    """L12: the body's exception leaves as itself when the system broke too."""
    boom, before = Boom(), census()
    with pytest.raises(Boom) as caught:  # noqa: PT012 - what leaves the block
        async with ActorSystem() as system:
            system.start_service(_break, "broken")
            try:
                await trio.sleep_forever()
            finally:
                raise boom
    assert caught.value is boom
    assert boom.__notes__ == ["beside it, the block failed with RuntimeError('broken')"]
    assert census() == before


async def test_our_own_error_leaves_alone() -> None:
    """L12: when one error of ours ends the block it is not in a group."""
    with pytest.raises(RuntimeError, match="broken"):  # noqa: PT012 - what leaves the block
        async with ActorSystem() as system:
            system.start_service(_break, "broken")
            await trio.sleep_forever()


async def test_several_errors_of_ours_leave_in_a_group() -> None:
    """L12: more than one stay together."""
    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 - what leaves the block
        async with ActorSystem() as system:
            system.start_service(_break, "broken")
            system.start_service(_break, "broken too")
            await trio.sleep_forever()
    assert len(caught.value.exceptions) == 2


async def _break() -> None:
    raise RuntimeError("broken")


async def test_a_cancellation_inside_the_body_stays_inside(autojump_clock: MockClock) -> None:
    """L12: scopes of the body end where they begin; the system goes on."""
    async with ActorSystem() as system:
        with trio.move_on_after(1) as scope:
            await trio.sleep_forever()
        assert scope.cancelled_caught
        total: int = await system.ask(system.spawn(counter(1)), Get)
        assert total == 1


async def test_a_group_with_a_cancellation_is_not_unwrapped(autojump_clock: MockClock) -> None:
    """L12: an exception beside a cancellation of the body's surroundings: both arrive where they belong."""
    with pytest.raises(ExceptionGroup) as caught, trio.CancelScope() as outer:  # noqa: PT012 - what leaves the block
        async with ActorSystem() as system:
            system.spawn(counter())
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_raises_when_cancelled)
                await trio.lowlevel.checkpoint()
                outer.cancel()
                await trio.sleep_forever()
    assert outer.cancelled_caught
    assert caught.group_contains(Boom)
    assert caught.value.split(Boom)[1] is None


async def _raises_when_cancelled() -> None:
    try:
        await trio.sleep_forever()
    finally:
        raise Boom


async def test_a_second_cancellation_while_the_block_stops(autojump_clock: MockClock) -> None:
    """L3, L12: a body that raised, in a scope that is cancelled while handlers have their grace."""
    before, boom = census(), Boom()
    with pytest.raises(Boom) as caught, trio.move_on_after(2):  # noqa: PT012 - what leaves the block
        async with ActorSystem() as system:
            system.spawn(hung()).tell("hang")
            await wait_all_tasks_blocked()
            raise boom
    assert caught.value is boom
    assert trio.current_time() == 2
    assert census() == before


async def test_a_handler_that_shields_itself_is_waited_for(autojump_clock: MockClock) -> None:
    """L3: nothing is left behind, not even a task that refuses its cancellation for a while."""
    before = census()

    async def receive(ctx: Ctx, message: Any) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(20)

    async with ActorSystem() as system:
        system.spawn(tree(2, 2, lambda: Behaviors.receive(receive))).tell("go")
        await wait_all_tasks_blocked()
    assert trio.current_time() == 20
    assert census() == before


async def test_systems_nest_and_are_independent() -> None:
    """L3: one inside another, one inside an actor."""
    before = census()

    async def receive(ctx: Ctx, message: Get) -> None:
        async with ActorSystem("inner") as inner:
            total: int = await inner.ask(inner.spawn(counter(4)), Get)
        message.reply_to.tell(total)

    async with ActorSystem("outer") as outer, ActorSystem("beside") as beside:
        total: int = await beside.ask(outer.spawn(Behaviors.receive(receive)), Get)
        assert total == 4
    assert census() == before


async def test_stopped_actors_are_collected(caplog: pytest.LogCaptureFixture) -> None:
    """L3: 1 000 actors with children, mail, failures and asks leave no object behind."""
    caplog.set_level(logging.CRITICAL, "casty_trio.actors")  # what is captured would keep the failures
    refs: list[weakref.ref[ActorRef[Any]]] = []
    async with ActorSystem() as system:
        await _come_and_go(system, refs)
        await wait_all_tasks_blocked()
        gc.collect()
        assert sum(ref() is not None for ref in refs) == 0
        assert len(refs) == 1_000
        assert system.statistics().actors == 0


async def _come_and_go(system: ActorSystem, refs: list[weakref.ref[ActorRef[Any]]]) -> None:
    for number in range(500):
        ref = system.spawn(Behaviors.setup(lambda ctx: _with_child(ctx, refs)))
        refs.append(weakref.ref(ref))
        _: int = await system.ask(ref, Get)
        if number % 2:
            ref.tell("no number")
            await system.wait_stopped(ref)
        else:
            await system.stop(ref)


def _with_child(ctx: Ctx, refs: list[weakref.ref[ActorRef[Any]]]) -> Behavior[Any]:
    child = ctx.spawn(counter())
    child.tell(1)
    refs.append(weakref.ref(child))
    return counter()


async def test_a_failure_makes_no_cycle(caplog: pytest.LogCaptureFixture) -> None:
    """L3: the exception of a failed actor is freed with its last user, without the garbage collector."""
    caplog.set_level(logging.CRITICAL, "casty_trio.actors")  # what is captured would keep the failure

    class Freed(Exception):  # noqa: N818 - it is freed
        pass

    def fails(ctx: Ctx, message: Any) -> None:
        raise Freed

    async with ActorSystem() as system:
        gc.collect()
        gc.disable()
        try:
            ref = system.spawn(Behaviors.receive(fails))
            ref.tell("go")
            await system.wait_stopped(ref)
            await wait_all_tasks_blocked()
            assert [each for each in gc.get_objects() if isinstance(each, Freed)] == []
        finally:
            gc.enable()


async def test_recorder_ends_too() -> None:
    """L3: messages told after the block are dead letters, never handled."""
    seen: list[Any] = []
    async with ActorSystem() as system:
        ref = system.spawn(recorder(seen))
        ref.tell("in time")
        await wait_all_tasks_blocked()
    ref.tell("late")
    assert seen == ["in time"]
    assert system.statistics().dead_letters == 1
