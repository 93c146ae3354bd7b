"""An ask ends (L5): every way there is but time, at its very moment, and nothing is left of it."""

import contextlib
import gc
import math
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from casty_trio import (
    ActorFailedError,
    ActorStoppedError,
    ActorSystem,
    AskError,
    AskTimeoutError,
    Behavior,
    Behaviors,
    Mailbox,
    MailboxFullError,
    SelfAskError,
    SystemClosedError,
    UnknownActorError,
    UsageError,
)
from casty_trio.actors.ask import deadline_of
from tests.actors.helpers import (
    Ctx,
    Fail,
    Gated,
    Get,
    Ref,
    ask_into,
    assert_adds_up,
    async_counter,
    census,
    counter,
    hung,
    silent,
)
from tests.actors.lives import opened


async def test_reply_before_the_handler_returns() -> None:
    """L5: the ordinary way, from plain and coroutine handlers."""
    async with ActorSystem() as system:
        for make in (counter, async_counter):
            ref = system.spawn(make(3))
            total: int = await system.ask(ref, Get)
            assert total == 3
        assert system.statistics().asks == 0


@pytest.mark.parametrize("factory", [Get, 3, None, "text"])
async def test_no_function_of_the_reply_ref(factory: Any) -> None:
    """L5: it raises at the caller, and says what is wanted; nothing waits."""
    async with ActorSystem() as system:
        ref = system.spawn(counter(3))
        if factory is Get:
            factory = Get(ref)  # a message, and not what makes one
        with pytest.raises(UsageError, match="an ask takes a function of the reply ref"):
            await system.ask(ref, factory)
        assert system.statistics().asks == 0


async def test_reply_later_from_a_child(autojump_clock: MockClock) -> None:
    """L5: a handler may return and have the answer sent later; its own later failure does not touch that ask."""

    async def work(ctx: Ctx, message: Get) -> None:
        await trio.sleep(2)
        message.reply_to.tell("done")

    def parent(ctx: Ctx, message: Any) -> None:
        if message == "fail":
            raise ValueError("later")
        ctx.system.spawn(Behaviors.receive(work)).tell(message)

    async with ActorSystem() as system:
        ref = system.spawn(Behaviors.receive(parent))
        results: list[Any] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask_into, results, system, ref)
            await wait_all_tasks_blocked()
            ref.tell("fail")
        assert results == ["done"]
        assert trio.current_time() == 2


@pytest.mark.parametrize("make", [silent, async_counter, counter])
async def test_an_answered_or_deferred_ask_is_not_failed_by_a_stop(make: Any, autojump_clock: MockClock) -> None:
    """L5: once the handler has returned, a stop of its actor no longer ends the ask: "not yet" looks like "never"."""

    def defers(ctx: Ctx, message: Any) -> None:
        return None

    async with ActorSystem() as system:
        ref = system.spawn(Behaviors.receive(defers))
        results: list[Any] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask_into, results, system, ref, 3.0)
            await wait_all_tasks_blocked()
            await system.stop(ref)
            assert results == []
        assert isinstance(results[0], AskTimeoutError)
        assert trio.current_time() == 3


async def test_target_stopped_before() -> None:
    """L5: at once, and the message is a dead letter."""
    async with ActorSystem() as system:
        ref = system.spawn(counter(), "gone")
        await system.stop(ref)
        with pytest.raises(ActorStoppedError, match="/gone"):
            await system.ask(ref, Get, timeout=math.inf)
        assert (system.statistics().dead, system.statistics().asks) == (1, 0)
        assert_adds_up(system.statistics())


async def test_target_stops_with_the_message_queued_or_in_hand(autojump_clock: MockClock) -> None:
    """L5: queued ones fail when the actor stops, the one in hand when its handler is cancelled."""
    results: list[Any] = []
    async with ActorSystem() as system:
        ref = system.spawn(hung())
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(ask_into, results, system, ref, math.inf)
            await wait_all_tasks_blocked()
            await system.stop(ref, grace=2)
        assert trio.current_time() == 2
        assert [type(each) for each in results] == [ActorStoppedError] * 3
        assert sum("while it handled" in str(each) for each in results) == 1
        assert (system.statistics().handled, system.statistics().dead) == (1, 2)


async def test_target_stops_itself_on_the_message() -> None:
    """L5: an actor that answers with `stopped()` leaves the ask of that message to whoever replies; queued ones fail."""
    results: list[Any] = []

    def last(ctx: Ctx, message: Get) -> Behavior[Any]:
        message.reply_to.tell("bye")
        return Behaviors.stopped()

    async with ActorSystem() as system, trio.open_nursery() as nursery:
        ref = system.spawn(Behaviors.receive(last))
        nursery.start_soon(ask_into, results, system, ref)
        nursery.start_soon(ask_into, results, system, ref)
        await system.wait_stopped(ref)
    assert sorted(map(str, results))[1] == "bye"
    assert sum(isinstance(each, ActorStoppedError) for each in results) == 1


@pytest.mark.parametrize("make", [counter, async_counter])
async def test_target_fails_on_the_message(make: Any) -> None:
    """L5: at once, with the exception as the cause; the ask queued behind it hears of the stop."""
    boom, results = ValueError("boom"), list[Any]()

    async def asking(system: ActorSystem, ref: Ref) -> None:
        with pytest.raises(ActorFailedError, match="ValueError: boom") as caught:
            await system.ask(ref, lambda reply_to: Fail(boom, reply_to), timeout=math.inf)
        assert caught.value.__cause__ is boom

    async with ActorSystem() as system, trio.open_nursery() as nursery:
        ref = system.spawn(make())
        nursery.start_soon(asking, system, ref)
        await trio.testing.wait_all_tasks_blocked(0)
        nursery.start_soon(ask_into, results, system, ref)
    assert isinstance(results[0], ActorStoppedError)


async def test_a_failure_on_another_message_is_not_its_failure() -> None:
    """L5: an ask whose handler returned is not blamed for a tell that fails later in the same batch."""
    late: list[Ref] = []

    def receive(ctx: Ctx, message: Any) -> None:
        if isinstance(message, Get):
            late.append(message.reply_to)
        else:
            raise ValueError(message)

    async with ActorSystem() as system, trio.open_nursery() as nursery:
        ref = system.spawn(Behaviors.receive(receive))
        results: list[Any] = []
        nursery.start_soon(ask_into, results, system, ref)
        nursery.start_soon(ref.send, "boom")
        await system.wait_stopped(ref)
        assert results == []
        late[0].tell("still answered")
    assert results == ["still answered"]


async def test_nobody_at_the_address() -> None:
    """L5: the address of dead letters answers nothing, and says so at once."""
    async with ActorSystem() as system:
        with pytest.raises(UnknownActorError):
            await system.ask(system.dead_letters, Get, timeout=math.inf)
        assert system.statistics().dead_letters == 1


@pytest.mark.parametrize("overflow", ["drop_new", "reject"])
async def test_no_room_for_the_message(overflow: Any) -> None:
    """L5, L4: an ask that does not fit fails at once and is a dead letter; the mailbox keeps what it had."""
    gated = Gated()
    async with ActorSystem() as system:
        ref = system.spawn(gated.behavior, mailbox=Mailbox(1, overflow=overflow))
        ref.tell("in hand")
        await gated.begun.wait()
        ref.tell("queued")
        with pytest.raises(MailboxFullError):
            await system.ask(ref, Get, timeout=math.inf)
        assert (system.statistics().dead, system.statistics().queued) == (1, 1)
        assert_adds_up(system.statistics())
        gated.gate.set()
        await wait_all_tasks_blocked()
        assert gated.handled == ["in hand", "queued"]


async def test_dropped_as_the_oldest() -> None:
    """L5: an ask that makes room for newer mail fails at once."""
    gated, results = Gated(), list[Any]()
    async with ActorSystem() as system, trio.open_nursery() as nursery:
        ref = system.spawn(gated.behavior, mailbox=Mailbox(1, overflow="drop_oldest"))
        ref.tell("in hand")
        await gated.begun.wait()
        nursery.start_soon(ask_into, results, system, ref, math.inf)
        await wait_all_tasks_blocked()
        ref.tell("newer")
        await wait_all_tasks_blocked()
        assert isinstance(results[0], MailboxFullError)
        gated.gate.set()


@pytest.mark.parametrize("mailbox", [None, Mailbox(1)])
async def test_asking_oneself_raises_at_once(mailbox: Mailbox | None) -> None:
    """L5: an actor that asks itself is told, and goes on."""

    async def receive(ctx: Ctx, message: Get) -> None:
        with pytest.raises(SelfAskError, match="/narcissus asks itself"):
            await ctx.ask(ctx.self, Get, timeout=math.inf)
        message.reply_to.tell("told")

    async with ActorSystem() as system:
        ref = system.spawn(Behaviors.receive(receive), "narcissus", mailbox=mailbox)
        for _ in range(2):
            answer: str = await system.ask(ref, Get)
            assert answer == "told"
        assert system.statistics().sent == 2


async def test_actors_ask_actors() -> None:
    """L5: `ctx.ask` from a coroutine handler; a failure there is a failure of the asking handler, cause after cause."""

    def asks(other: Ref) -> Behavior[Any]:
        async def receive(ctx: Ctx, message: Any) -> None:
            inner: Any = Get if isinstance(message, Get) else lambda reply_to: Fail(message.error, reply_to)
            answer: Any = await ctx.ask(other, inner)
            message.reply_to.tell(("via", answer))

        return Behaviors.receive(receive)

    async with ActorSystem() as system:
        chain = system.spawn(counter(7))
        for _ in range(5):
            chain = system.spawn(asks(chain))
        nested: Any = await system.ask(chain, Get)
        for _ in range(5):
            assert nested[0] == "via"
            nested = nested[1]
        assert nested == 7
        boom = ValueError("deep")
        with pytest.raises(ActorFailedError) as caught:
            await system.ask(chain, lambda reply_to: Fail(boom, reply_to))
        cause: BaseException | None = caught.value
        for _ in range(6):
            assert isinstance(cause, ActorFailedError)
            cause = cause.__cause__
        assert cause is boom


async def test_many_asks_leave_no_growth() -> None:
    """L5: 10 000 asks one after another keep neither deadlines, nor tasks, nor garbage that needs the collector."""
    async with ActorSystem() as system:
        ref = system.spawn(counter(), "counter")
        for _ in range(1_000):
            await system.ask(ref, Get)
        before = census()
        gc.collect()
        gc.disable()
        try:
            objects = len(gc.get_objects())
            for _ in range(10_000):
                await system.ask(ref, Get)
            assert len(gc.get_objects()) - objects < 1_000
        finally:
            gc.enable()
        assert census() == before
        assert len(system.deadlines._heap) <= 128
        assert (system.statistics().asks, system.statistics().queued) == (0, 0)


async def test_failed_asks_leave_no_cycles(autojump_clock: MockClock) -> None:
    """L5: errors of asks refer to no frame that refers to them."""
    async with ActorSystem() as system:
        gone, mute = system.spawn(counter(), "gone"), system.spawn(silent())
        await system.stop(gone)

        async def fail(times: int) -> None:
            for number in range(times):
                with contextlib.suppress(AskError):
                    await system.ask((gone, mute)[number % 2], Get, timeout=0.1)

        await fail(200)
        gc.collect()
        gc.disable()
        try:
            await fail(200)
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            assert [each for each in gc.garbage if isinstance(each, AskError)] == []
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()


async def test_asks_of_other_tasks_end_with_the_system(autojump_clock: MockClock) -> None:
    """L5, L3: who asks from outside the block, of an actor that only defers, hears when the system is gone."""
    results: list[Any] = []
    async with trio.open_nursery() as nursery:
        async with ActorSystem() as system:
            ref = system.spawn(silent())
            for timeout in (math.inf, 1_000.0):
                nursery.start_soon(ask_into, results, system, ref, timeout)
            await wait_all_tasks_blocked()
        begun = trio.current_time()
    assert [type(each) for each in results] == [ActorStoppedError] * 2
    assert trio.current_time() == begun
    with pytest.raises(SystemClosedError):
        await system.ask(ref, Get)


async def test_a_factory_that_raises_sends_nothing() -> None:
    """L5: the caller's own error is the caller's."""

    def factory(reply_to: Ref) -> Any:
        raise KeyError("mine")

    async with ActorSystem() as system:
        ref = system.spawn(counter())
        with pytest.raises(KeyError, match="mine"):
            await system.ask(ref, factory)
        assert (system.statistics().sent, system.statistics().asks) == (0, 0)


@pytest.mark.parametrize("asks_itself", [False, True])
async def test_an_ask_that_was_never_sent_leaves_nothing(asks_itself: bool) -> None:
    """L4, L5: its reply ref may be in other hands, where it has a name; what it is told is a dead letter."""
    kept: list[Ref] = []

    def factory(reply_to: Ref) -> Any:
        kept.append(reply_to)
        assert reply_to.path.startswith("/$asks/")
        if not asks_itself:
            raise KeyError("mine")

    async def ask_self(ctx: Ctx, message: Any) -> None:
        with pytest.raises(SelfAskError):
            await ctx.ask(ctx.self, factory)

    async with ActorSystem() as system:
        ref = system.spawn(Behaviors.receive(ask_self))
        if asks_itself:
            ref.tell("now")
            await wait_all_tasks_blocked()
        else:
            with pytest.raises(KeyError, match="mine"):
                await system.ask(ref, factory)
        [reply_to] = kept
        assert system.ask_named(reply_to.address.incarnation) is None
        reply_to.tell("late")
        assert system.statistics().dead_letters == 1


async def test_reply_refs_are_refs() -> None:
    """L5: a reply ref is a value with an address of its own, and can be sent on."""
    kept: list[Ref] = []

    def forwards(ctx: Ctx, message: Get) -> None:
        kept.append(message.reply_to)
        message.reply_to.tell(message.reply_to.path)

    async with ActorSystem("named") as system:
        ref = system.spawn(Behaviors.receive(forwards))
        paths: list[str] = [await system.ask(ref, Get) for _ in range(2)]
        assert len(set(paths)) == len(set(kept)) == 2
        assert kept[0] == kept[0]
        assert kept[0] != kept[1]
        assert all(path.startswith("/$asks/") for path in paths)
        assert kept[0].address.system == "named"


async def test_the_asker_hears_why_the_beginning_failed() -> None:
    """L5: a setup that fails ends the asks that wait for it with the cause, not only with the fact."""

    def begin(ctx: Ctx) -> Behavior[Any]:
        raise ValueError("no such table")

    async with ActorSystem() as system:
        ref = system.spawn(Behaviors.setup(begin))
        with pytest.raises(ActorStoppedError, match="ValueError: no such table") as raised:
            await system.ask(ref, Get)
        assert isinstance(raised.value.__cause__, ValueError)


# --- How long the caller waits ----------------------------------------------------------------------------------------


class Patience:
    """An actor that says, when told, until when the asker of its message waits."""

    def __init__(self) -> None:
        self.begun, self.gate = trio.Event(), trio.Event()
        self.deadlines = list[float]()
        self.behavior: Behavior[Any] = Behaviors.receive(self._receive)

    async def _receive(self, ctx: Ctx, message: Get) -> None:
        self.deadlines.append(ctx.deadline)
        self.begun.set()
        await self.gate.wait()
        self.deadlines.append(ctx.deadline)
        message.reply_to.tell(None)


@pytest.mark.parametrize(("timeout", "own", "waits"), [(5.0, 0.5, 0.5), (0.5, 5.0, 0.5), (math.inf, 2.0, 2.0)])
async def test_the_deadline_is_also_that_of_the_callers_own_scopes(
    timeout: float, own: float, waits: float, autojump_clock: MockClock
) -> None:
    """L5: the earliest counts, and the caller's own scope ends as a scope does, without an error."""
    async with opened() as system:
        patience = Patience()
        ref = system.spawn(patience.behavior)
        start = trio.current_time()
        with (
            trio.CancelScope(deadline=start + 60),
            trio.CancelScope(deadline=start + own),
            contextlib.suppress(AskTimeoutError),
        ):
            await system.ask(ref, Get, timeout=timeout)
        assert trio.current_time() == start + waits
        assert patience.deadlines == [start + waits]
        patience.gate.set()
        await wait_all_tasks_blocked()
        assert patience.deadlines[1] == start + waits  # also when it is over


async def test_a_caller_that_gives_up_early_waits_no_longer(autojump_clock: MockClock) -> None:
    """L5: the handler can see it."""
    async with opened() as system:
        patience = Patience()
        ref = system.spawn(patience.behavior)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(system.ask, ref, Get)
            await patience.begun.wait()
            await trio.sleep(1)
            nursery.cancel_scope.cancel()
        ended = trio.current_time()
        await trio.sleep(1)
        patience.gate.set()
        await wait_all_tasks_blocked()
        assert patience.deadlines == [ended + 4, ended]


async def test_what_trio_does_not_say_itself(autojump_clock: MockClock) -> None:
    """The deadline of another task's scopes is private to Trio: here it is compared with what it says of the present one."""
    task = trio.lowlevel.current_task()
    now = trio.current_time()
    outer, inner = trio.CancelScope(deadline=now + 3), trio.CancelScope(deadline=now + 7)
    with outer, trio.CancelScope(shield=True), inner:
        await trio.lowlevel.checkpoint()
        assert deadline_of(task) == trio.current_effective_deadline() == trio.current_time() + 7
    assert deadline_of(task) == trio.current_effective_deadline()
    assert deadline_of(object()) == math.inf  # type: ignore[arg-type] # as a Trio that has changed
