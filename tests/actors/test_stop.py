"""Stops go ahead of mail (L7), names come free (L9), and misuse is told."""

import logging
import math
from contextlib import nullcontext
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from casty_trio import (
    ActorFailed,
    ActorStopped,
    ActorSystem,
    Behavior,
    Behaviors,
    InvalidNameError,
    Mailbox,
    MailboxFullError,
    NameInUseError,
    SystemClosedError,
    UsageError,
)
from tests.actors.helpers import Ctx, Gated, Get, Ref, assert_adds_up, counter, hung, recorder, silent


@pytest.mark.parametrize("mailbox", [None, Mailbox(1_000), Mailbox(1_000, overflow="drop_oldest")])
async def test_stop_goes_ahead_of_queued_mail(mailbox: Mailbox | None) -> None:
    """L7: the message in hand ends, 1 000 that wait are dead letters."""
    gated = Gated()
    async with ActorSystem() as system:
        ref = system.spawn(gated.behavior, mailbox=mailbox)
        ref.tell("in hand")
        await gated.begun.wait()
        for number in range(1_000):
            ref.tell(number)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(system.stop, ref)
            await wait_all_tasks_blocked()
            gated.gate.set()
        assert gated.handled == ["in hand"]
        assert (system.statistics().handled, system.statistics().dead) == (1, 1_000)
        assert_adds_up(system.statistics())


@pytest.mark.parametrize("overflow", ["drop_new", "drop_oldest", "reject"])
@pytest.mark.parametrize("first", ["mail", "stop"])
async def test_stop_is_never_lost_with_a_full_mailbox(overflow: Any, first: str) -> None:
    """L7: whatever is dropped around it, before and after, and though `drop_oldest` may pass over it."""
    gated = Gated()
    async with ActorSystem() as system:
        ref = system.spawn(gated.behavior, mailbox=Mailbox(1, overflow=overflow))
        ref.tell("in hand")
        await gated.begun.wait()
        async with trio.open_nursery() as nursery:
            if first == "mail":
                ref.tell("queued")
            nursery.start_soon(system.stop, ref)
            await wait_all_tasks_blocked()
            for number in range(5):
                with (
                    pytest.raises(MailboxFullError)
                    if overflow == "reject" and (first, number) != ("stop", 0)
                    else nullcontext()
                ):
                    ref.tell(number)
            gated.gate.set()
        assert gated.handled == ["in hand"]
        assert system.statistics().actors == 0
        assert_adds_up(system.statistics())


async def test_a_stop_before_the_first_step_is_a_stop() -> None:
    """L7, L9: an actor stopped before it began never runs its setup; that is no failure."""
    events: list[Any] = []

    def begin(ctx: Ctx) -> Behavior[Any]:
        ctx.spawn(counter())
        return counter()

    async with ActorSystem() as system:
        system.event_stream.subscribe(system.spawn(recorder(events)), ActorFailed)
        ref = system.spawn(Behaviors.setup(begin), "brief")
        ref.tell("left")
        await system.stop(ref)
        await wait_all_tasks_blocked()
        assert events == []
        assert system.statistics().dead == 1
        system.spawn(Behaviors.setup(begin), "brief")


async def test_stop_while_setting_up(autojump_clock: MockClock) -> None:
    """L7: a setup that hangs is given its grace, and no more."""

    async def begin(ctx: Ctx) -> Behavior[Any]:
        await trio.sleep_forever()
        return counter()

    async with ActorSystem() as system:
        ref = system.spawn(Behaviors.setup(begin))
        await wait_all_tasks_blocked()
        await system.stop(ref, grace=3)
        assert trio.current_time() == 3


@pytest.mark.parametrize("grace", [0.0, 2.0, 5.0])
async def test_grace_is_exact_and_the_shortest_counts(grace: float, autojump_clock: MockClock) -> None:
    """L7: a hung handler is cancelled when the earliest grace is over."""
    async with ActorSystem() as system:
        ref = system.spawn(hung())
        ref.tell("hang")
        await wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: system.stop(ref, grace=math.inf))
            nursery.start_soon(lambda: system.stop(ref, grace=50))
            nursery.start_soon(lambda: system.stop(ref, grace=grace))
        assert trio.current_time() == grace
        await system.stop(ref)
        await system.wait_stopped(ref)


@pytest.mark.parametrize(("takes", "ends"), [(3.0, 5.0), (10.0, 5.0), (0.0, 5.0)])
async def test_children_have_what_is_left_of_the_grace(takes: float, ends: float, autojump_clock: MockClock) -> None:
    """L10: a stop takes one grace at most, however many levels have handlers that hang."""

    async def receive(ctx: Ctx, message: Any) -> None:
        for name in ("a", "b"):
            middle = Behaviors.setup(lambda ctx: recorder([ctx.spawn(hung(), "leaf").tell("hang")]))
            ctx.spawn(hung() if name == "a" else middle, name).tell("hang")
        await trio.sleep(takes)

    async with ActorSystem() as system:
        ref = system.spawn(Behaviors.receive(receive), "top")
        ref.tell("begin")
        await wait_all_tasks_blocked()
        start = trio.current_time()
        await system.stop(ref)
        assert trio.current_time() == start + ends


async def test_a_cancelled_stop_still_stops() -> None:
    """L7: who asked for the stop may leave; the actor stops all the same."""
    gated = Gated()
    async with ActorSystem() as system:
        ref = system.spawn(gated.behavior, "worker")
        ref.tell("in hand")
        await gated.begun.wait()
        with trio.CancelScope() as scope:
            scope.cancel()
            await system.stop(ref)
        gated.gate.set()
        await system.wait_stopped(ref)
        assert system.lookup("/worker") is None


async def test_ctx_stop_stops_a_child_only() -> None:
    """L9: an actor stops its own children; anything else is told at once."""
    seen: list[Any] = []

    def begin(ctx: Ctx) -> Behavior[Any]:
        child = ctx.spawn(counter(), "child")

        def receive(ctx: Ctx, message: Any) -> None:
            match message:
                case "stop child":
                    ctx.stop(child)
                    ctx.stop(child)
                case _:
                    for stranger in (ctx.self, message):
                        with pytest.raises(UsageError, match="no child"):
                            ctx.stop(stranger)
                    seen.append("told")

        return Behaviors.receive(receive)

    async with ActorSystem() as system:
        stranger = system.spawn(counter())
        parent = system.spawn(Behaviors.setup(begin), "parent")
        await wait_all_tasks_blocked()
        child = system.lookup("/parent/child")
        assert child is not None
        parent.tell(stranger)
        parent.tell("stop child")
        await system.wait_stopped(child)
        assert seen == ["told"]
        parent.tell("stop child")
        await wait_all_tasks_blocked()
        assert system.statistics().actors == 2


async def test_a_name_is_free_at_once() -> None:
    """L9: right after `wait_stopped`, and already in the task that hears of the stop; the new one is another actor."""
    async with ActorSystem() as system:
        refs: list[Ref] = []
        for round_ in range(20):
            ref = system.spawn(counter(round_), "name")
            refs.append(ref)
            total: int = await system.ask(ref, Get)
            assert total == round_
            await system.stop(ref)
            assert system.lookup("/name") is None
        assert len(set(refs)) == 20
        assert len({ref.address for ref in refs}) == 20
        assert len({ref.path for ref in refs}) == 1
        refs[0].tell("to the first")
        assert system.statistics().dead == 1


async def test_a_failed_actors_name_is_free_when_its_stop_is_published() -> None:
    """L9: who hears `ActorStopped` can use the name."""
    async with ActorSystem() as system, system.events(ActorStopped) as stops:
        ref = system.spawn(counter(), "name")
        ref.tell("no number")
        async for event in stops:
            assert isinstance(event, ActorStopped)
            assert event.ref == ref
            assert isinstance(event.failure, TypeError)
            break
        system.spawn(counter(), "name")


async def test_a_duplicate_disturbs_nobody() -> None:
    """L9: a second actor under a live name raises; the first, its mail and its siblings go on."""
    problems: list[Exception] = []

    def begin(ctx: Ctx) -> Behavior[Any]:
        child = ctx.spawn(counter(5), "child")
        try:
            ctx.spawn(counter(6), "child")
        except NameInUseError as error:
            problems.append(error)
        return Behaviors.receive(lambda ctx, message: child.tell(message))

    async with ActorSystem() as system:
        parent = system.spawn(Behaviors.setup(begin), "parent")
        with pytest.raises(NameInUseError, match="/parent is alive"):
            system.spawn(counter(), "parent")
        total: int = await system.ask(parent, Get)
        assert total == 5
        assert len(problems) == 1
        assert isinstance(problems[0], ValueError)
        assert system.statistics().actors == 2


async def test_a_name_is_taken_until_its_actor_has_ended() -> None:
    """L9: also while it stops, and from the very spawn."""
    gated = Gated()
    async with ActorSystem() as system:
        ref = system.spawn(gated.behavior, "name")
        with pytest.raises(NameInUseError):
            system.spawn(counter(), "name")
        ref.tell("in hand")
        await gated.begun.wait()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(system.stop, ref)
            await wait_all_tasks_blocked()
            with pytest.raises(NameInUseError):
                system.spawn(counter(), "name")
            gated.gate.set()
        system.spawn(counter(), "name")


async def test_names_with_a_dollar_are_the_systems() -> None:
    """L9: made-up names never meet given ones."""
    async with ActorSystem() as system:
        with pytest.raises(NameInUseError, match="given by the system"):
            system.spawn(counter(), "$1")
        refs = [system.spawn(counter()) for _ in range(100)]
        assert len({ref.path for ref in refs}) == 100
        assert system.lookup(refs[7].path) == refs[7]
        system.spawn(counter(), "us$")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "tab\t", "new\nline", "end\n", "ä", "x" * 256, 5, b"bytes"])
async def test_bad_names_raise(name: Any) -> None:
    """L9: what a path cannot carry is refused where it is given, and leaves nothing."""
    async with ActorSystem() as system:
        with pytest.raises(InvalidNameError):
            system.spawn(counter(), name)
        assert system.statistics().actors == 0
    with pytest.raises(InvalidNameError):
        ActorSystem(name)


async def test_lookup() -> None:
    """L9: by path, the living only."""

    def nested(depth: int) -> Behavior[Any]:
        def begin(ctx: Ctx) -> Behavior[Any]:
            if depth:
                ctx.spawn(nested(depth - 1), "next")
            return silent()

        return Behaviors.setup(begin)

    async with ActorSystem() as system:
        top = system.spawn(nested(3), "top")
        await wait_all_tasks_blocked()
        assert system.lookup("/top") == system.lookup("top") == top
        deep = system.lookup("/top/next/next/next")
        assert deep is not None
        assert deep.path == "/top/next/next/next"
        for nobody in ("", "/", "/nobody", "/top/nobody", "/top/next/next/next/next", "/top//next", "//"):
            assert system.lookup(nobody) is None
        await system.stop(top)
        assert system.lookup("/top/next") is None


async def test_use_outside_the_block() -> None:
    """L12: the system says how to write it."""
    system = ActorSystem()
    with pytest.raises(SystemClosedError, match="async with"):
        system.spawn(counter())
    async with system:
        ref = system.spawn(counter())
    for name in (None, "named"):
        with pytest.raises(SystemClosedError):
            system.spawn(counter(), name)
    with pytest.raises(SystemClosedError):
        await system.ask(ref, Get)
    with pytest.raises(SystemClosedError, match="new system"):
        async with system:
            pass
    ref.tell("late")
    await ref.send("late")
    await system.stop(ref)
    await system.wait_stopped(ref)
    assert system.lookup(ref.path) is None
    assert system.statistics().dead == 2
    assert_adds_up(system.statistics())


async def test_entering_twice_at_once() -> None:
    """L12: a system has one block; the first is not disturbed."""
    async with ActorSystem() as system:
        with pytest.raises(SystemClosedError):
            async with system:
                pass
        total: int = await system.ask(system.spawn(counter(1)), Get)
        assert total == 1


async def test_strangers_are_not_stopped() -> None:
    """L9: refs of another system, and refs that are no actors, are refused."""
    async with ActorSystem("one") as one, ActorSystem("two") as two:
        ref = two.spawn(counter(3))
        for stranger in (ref, one.dead_letters):
            with pytest.raises(UsageError):
                await one.stop(stranger)
            with pytest.raises(UsageError):
                await one.wait_stopped(stranger)
        total: int = await one.ask(ref, Get)
        assert total == 3


async def test_the_log_of_an_actor(caplog: pytest.LogCaptureFixture) -> None:
    """`ctx.log` begins with the path and carries it as it is, percent signs too, and names the caller's line."""

    def receive(ctx: Ctx, message: Any) -> None:
        ctx.log.info("plain 100%")
        ctx.log.warning("with %s", message)
        ctx.log.debug("with %s", message, extra={"more": 1})

    with caplog.at_level(logging.DEBUG, "casty_trio.actor"):
        async with ActorSystem() as system:
            system.spawn(Behaviors.receive(receive), "50%25s").tell("args")
            await wait_all_tasks_blocked()
    records = [record for record in caplog.records if record.name == "casty_trio.actor"]
    assert [record.getMessage() for record in records] == ["/50%25s: plain 100%", "/50%25s: with args", "/50%25s: with args"]
    assert {record.__dict__["actor"] for record in records} == {"/50%25s"}
    assert {record.filename for record in records} == {"test_stop.py"}
    assert {record.funcName for record in records} == {"receive"}
    assert records[2].__dict__["more"] == 1


async def test_spawning_while_stopping() -> None:
    """L3: an actor that is told to stop spawns no more; the system neither."""
    problems: list[Exception] = []
    gated = Gated()

    async def receive(ctx: Ctx, message: Any) -> None:
        gated.begun.set()
        await gated.gate.wait()
        for name in (None, "child"):
            try:
                ctx.spawn(counter(), name)
            except SystemClosedError as error:
                problems.append(error)
        try:
            ctx.system.spawn(counter())
        except SystemClosedError as error:
            problems.append(error)

    async with trio.open_nursery() as nursery, ActorSystem() as system:
        system.spawn(Behaviors.receive(receive)).tell("go")
        await gated.begun.wait()
        nursery.start_soon(_open_when_blocked, gated.gate)
    assert len(problems) == 3


async def _open_when_blocked(gate: trio.Event) -> None:
    await wait_all_tasks_blocked()
    gate.set()
