"""A behaviour in the kit does what it would do in a system, in the call, and everything it does is an effect."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from casty_trio import (
    ActorContext,
    ActorRef,
    Behavior,
    Behaviors,
    DeathPactError,
    EntityInfo,
    Mailbox,
    NameInUseError,
    SettingsError,
    Signal,
    StashFullError,
    Terminated,
    UsageError,
)
from casty_trio.testing import BehaviorTestKit, RecordingRef, effects
from tests.testing.acts import Act, Get, counter, idle, performer, tell

# --- Messages and behaviours ---------------------------------------------------------------------------------------------


def test_runs_a_behaviour_in_the_call() -> None:
    kit = BehaviorTestKit(counter())
    first = kit.behavior
    kit.run(40)
    kit.run(2)
    assert kit.behavior is not first
    reader = kit.ref("reader")
    kit.run(Get(reader))
    assert reader.received == (42,)
    assert kit.effects() == (effects.Told(reader, 42),)
    kit.expect_no_effects()
    assert repr(kit) == "<BehaviorTestKit /kit, running, 0 effects>"


def test_drives_a_coroutine_that_does_not_wait() -> None:
    async def receive(ctx: ActorContext[ActorRef[str]], reply_to: ActorRef[str]) -> Behavior[ActorRef[str]]:
        await reply_to.send("hello")
        return Behaviors.stopped()

    kit = BehaviorTestKit(Behaviors.receive(receive))
    ref = kit.ref()
    kit.run(ref)
    assert ref.received == ("hello",)
    assert kit.stopped
    assert kit.failure is None
    assert kit.behavior is None
    with pytest.raises(UsageError, match="/kit has stopped"):
        kit.run(ref)
    kit.stop()


class Ready:
    def __await__(self) -> Any:
        yield from ()
        return Behaviors.stopped()


def test_takes_any_awaitable() -> None:
    kit = BehaviorTestKit(performer())
    kit.run(lambda ctx: Ready())
    assert kit.stopped


def test_setup_and_hooks_run_at_the_start() -> None:
    told: list[str] = []

    async def begin(ctx: ActorContext[str]) -> Behavior[str]:
        ctx.spawn(idle(), "child")
        told.append("setup")
        return idle()

    def hook(name: str) -> Callable[[ActorContext[Any]], None]:
        return lambda ctx: told.append(name)

    async def last(ctx: ActorContext[Any]) -> None:
        told.append("post_stop")

    inner = Behaviors.with_lifecycle(Behaviors.setup(begin), pre_start=hook("pre_start"), post_stop=last)
    kit = BehaviorTestKit(Behaviors.with_lifecycle(inner), name="parent")
    assert kit.expect_effect(effects.Spawned).name == "child"
    kit.stop()
    assert told == ["pre_start", "setup", "post_stop"]
    assert kit.stopped


@pytest.mark.parametrize("result", [7, None, Behaviors.same(), Behaviors.unhandled()])
def test_refuses_what_is_no_beginning(result: Any) -> None:
    with pytest.raises(UsageError, match="no behaviour"):
        BehaviorTestKit(Behaviors.setup(lambda ctx: result))
    with pytest.raises(UsageError, match="no behaviour"):
        BehaviorTestKit(7)  # type: ignore[arg-type]


def test_unhandled_is_an_effect() -> None:
    kit = BehaviorTestKit(Behaviors.receive(lambda ctx, message: Behaviors.unhandled()))
    kit.run("what?")
    kit.expect_effect(effects.Unhandled("what?"))


# --- Effects -------------------------------------------------------------------------------------------------------------


def test_children() -> None:
    kit = BehaviorTestKit(performer())
    child = idle()
    kit.run(lambda ctx: ctx.spawn(child, "worker", mailbox=Mailbox(3)).tell("work"))
    worker = kit.child("worker")
    assert kit.effects() == (effects.Spawned(worker, child, Mailbox(3)), effects.Told(worker, "work"))
    assert worker.path == "/kit/worker"
    assert worker.received == ("work",)
    with pytest.raises(NameInUseError):
        kit.run(lambda ctx: ctx.spawn(child, "worker"))


def test_a_stopped_child_gives_its_name_back_after_the_turn() -> None:
    kit = BehaviorTestKit(performer())
    kit.run(lambda ctx: ctx.spawn(idle(), "worker"))
    worker = kit.child("worker")
    kit.run(lambda ctx: ctx.stop(worker))
    kit.expect_effect(effects.ChildStopped(worker))
    with pytest.raises(UsageError, match="no child 'worker'"):
        kit.child("worker")
    kit.run(lambda ctx: ctx.spawn(idle(), "worker"))
    assert kit.child("worker") != worker
    with pytest.raises(UsageError, match="is no child"):
        kit.run(lambda ctx: ctx.stop(worker))


def test_what_it_spawns_in_the_system() -> None:
    kit = BehaviorTestKit(performer())
    found: list[Any] = []

    def act(ctx: ActorContext[Any]) -> None:
        found.append(ctx.system.spawn(idle(), "top"))
        found.append(ctx.system.spawn(idle()))
        found.append(ctx.system.lookup("/top"))
        found.append(ctx.system.lookup("/kit"))
        found.append(ctx.system.lookup("/nobody"))
        ctx.system.dead_letters.tell(ctx.system.name)

    kit.run(act)
    top, other, *looked_up = found
    assert top.path == "/top"
    assert other.path.startswith("/$")
    assert looked_up == [top, kit.self_ref, None]
    assert isinstance(kit.effects()[-1], effects.Told)


def test_watches() -> None:
    heard: list[Signal] = []
    kit = BehaviorTestKit(performer(lambda ctx, signal: heard.append(signal)))
    ref, other = kit.ref(), kit.ref()
    kit.run(lambda ctx: [ctx.watch(ref), ctx.watch(ref), ctx.watch(other), ctx.unwatch(other), ctx.unwatch(other)])
    assert kit.effects() == (effects.Watched(ref), effects.Watched(other), effects.Unwatched(other))
    kit.signal(Terminated(ref))
    assert heard == [Terminated(ref)]
    for unknown in (ref, other):
        with pytest.raises(UsageError, match="does not watch"):
            kit.signal(Terminated(unknown))
    with pytest.raises(UsageError, match="cannot watch itself"):
        kit.run(lambda ctx: ctx.watch(ctx.self))


def test_a_watcher_without_on_signal_dies() -> None:
    kit = BehaviorTestKit(performer())
    ref = kit.ref()
    kit.run(lambda ctx: ctx.watch(ref))
    with pytest.raises(DeathPactError):
        kit.signal(Terminated(ref))
    assert kit.stopped
    assert isinstance(kit.failure, DeathPactError)


def test_timers() -> None:
    kit = BehaviorTestKit(performer())
    ref = kit.ref()
    tick: Act = lambda ctx: ref.tell("tick")  # noqa: E731 - a message
    active: list[bool] = []
    kit.run(lambda ctx: ctx.timers.once("once", 5.0, tick))
    kit.run(lambda ctx: ctx.timers.periodic("often", 1.0, tick))
    kit.run(lambda ctx: ctx.timers.once("never", 1.0, tick))
    kit.run(lambda ctx: active.extend(ctx.timers.cancel(name) for name in ("never", "never")))
    assert kit.effects() == (
        effects.TimerStarted("once", 5.0, tick),
        effects.TimerStarted("often", 1.0, tick, periodic=True),
        effects.TimerStarted("never", 1.0, tick),
        effects.TimerCancelled("never"),
    )
    for name in ("once", "often", "often"):
        kit.fire(name)
    assert ref.received == ("tick",) * 3
    with pytest.raises(UsageError, match=r"no timer 'once' is running; there are \['often'\]"):
        kit.fire("once")
    kit.run(lambda ctx: active.extend(ctx.timers.is_active(name) for name in ("once", "often")))
    assert active == [True, False, False, True]


def test_timers_refuse_what_a_system_refuses() -> None:
    for act in (lambda ctx: ctx.timers.once("t", -1, 1), lambda ctx: ctx.timers.periodic("t", 0, 1)):
        with pytest.raises(SettingsError):
            BehaviorTestKit(performer()).run(act)


def gate() -> Behavior[str]:
    def closed(ctx: ActorContext[str], message: str) -> Behavior[str]:
        if message == "open":
            ctx.stash.unstash_all()
            return Behaviors.receive(open_)
        ctx.stash.add(message)
        return Behaviors.same()

    def open_(ctx: ActorContext[str], message: str) -> None:
        ctx.log.info("%s comes in", message)

    return Behaviors.receive(closed)


def test_the_stash_comes_back_in_order(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    kit = BehaviorTestKit(gate(), "gate")
    for message in ("ann", "bob", "open", "carl"):
        kit.run(message)
    assert kit.effects() == (effects.Stashed("ann"), effects.Stashed("bob"), effects.Unstashed(("ann", "bob")))
    assert caplog.messages == [f"/gate: {name} comes in" for name in ("ann", "bob", "carl")]
    assert caplog.records[0].__dict__["actor"] == "/gate"


def test_the_stash_has_an_end() -> None:
    kit = BehaviorTestKit(performer())
    with pytest.raises(StashFullError, match="/kit is full: 1000 messages"):
        kit.run(lambda ctx: [ctx.stash.add(number) for number in range(1001)])


def test_an_ask_is_answered_by_the_ref() -> None:
    answers: list[int] = []

    async def receive(ctx: ActorContext[str], message: str) -> None:
        ask = ctx.ask if message == "ctx" else ctx.system.ask
        answers.append(await ask(prices, Get, timeout=1.0))

    kit = BehaviorTestKit(Behaviors.receive(receive))
    prices = kit.ref("prices", on_message=lambda get: get.reply_to.tell(42))
    kit.run("ctx")
    kit.run("system")
    asked = kit.expect_effect(effects.Asked)
    assert (asked.ref, type(asked.message), asked.timeout) == (prices, Get, 1.0)
    kit.expect_effect(lambda effect: effect.ref == prices)
    kit.expect_no_effects()
    assert answers == [42, 42]
    assert len(prices.received) == 2


def test_an_ask_fails_as_the_ref_says() -> None:
    def refuse(message: object) -> None:
        raise TimeoutError

    async def receive(ctx: ActorContext[str], message: str) -> Behavior[str]:
        try:
            await ctx.ask(prices, Get)
        except TimeoutError:
            return Behaviors.stopped()
        return Behaviors.same()

    kit = BehaviorTestKit(Behaviors.receive(receive))
    prices = kit.ref(on_message=refuse)
    kit.run("ask")
    assert kit.stopped


def test_a_ref_serves_several_kits_each_with_its_own_effects() -> None:
    ref = RecordingRef[int]("shared")
    kits = [BehaviorTestKit(performer()) for _ in range(2)]
    for number, kit in enumerate(kits):
        kit.run(partial(tell, ref, number))
    ref.tell(7)
    assert [kit.effects() for kit in kits] == [(effects.Told(ref, 0),), (effects.Told(ref, 1),)]
    assert ref.received == (0, 1, 7)
    assert repr(ref) == "<RecordingRef /shared>"
    with pytest.raises(NameInUseError, match="given by the system"):
        kits[0].run(lambda ctx: ctx.spawn(idle(), "$1"))


def test_its_own_ref_and_adapters_collect_mail() -> None:
    kit = BehaviorTestKit(counter())
    adapters: list[ActorRef[str]] = []

    def begin(ctx: ActorContext[int | Get]) -> Behavior[int | Get]:
        adapters.append(ctx.adapter(len))
        ctx.self.tell(40)
        return counter()

    kit = BehaviorTestKit(Behaviors.setup(begin))
    assert kit.effects() == (effects.AdapterMade(adapters[0], len), effects.Told(kit.self_ref, 40))
    adapters[0].tell("ab")
    assert kit.waiting == (40, "ab")
    assert kit.run_waiting() == 2
    reader = kit.ref()
    kit.self_ref.tell(Get(reader))
    kit.run_waiting()
    assert reader.received == (42,)


def test_background_work_is_not_run() -> None:
    async def work(job: str) -> None:
        raise AssertionError(job)

    async def fetch() -> int:
        raise AssertionError

    kit = BehaviorTestKit(performer())
    kit.run(lambda ctx: ctx.start_soon(work, "job"))
    assert kit.effects() == (effects.StartedSoon(work, ("job",)),)
    kit.run(lambda ctx: ctx.pipe_to_self(fetch(), str, repr))
    piped = kit.expect_effect(effects.PipedToSelf)
    assert piped.name.endswith("fetch")
    assert (piped.message(1), piped.failure(KeyError(1))) == ("1", "KeyError(1)")
    kit.run(lambda ctx: ctx.pipe_to_self(Ready()))
    piped = kit.expect_effect(effects.PipedToSelf)
    assert (piped.name, piped.message(1)) == ("Ready", 1)
    with pytest.raises(KeyError):
        piped.failure(KeyError(1))


def test_nobody_waits_for_it() -> None:
    deadlines: list[float] = []
    kit = BehaviorTestKit(performer())
    kit.run(lambda ctx: deadlines.append(ctx.deadline))
    assert deadlines == [math.inf]
    contexts: list[str] = []
    kit.run(lambda ctx: contexts.append(repr(ctx)))
    assert contexts == ["<KitContext of /kit>"]


def test_expect_effect_takes_the_first_that_fits_and_leaves_the_rest() -> None:
    kit = BehaviorTestKit(performer())
    ref = kit.ref("r")
    for number in (1, 2, 3):
        kit.run(partial(tell, ref, number))
    assert kit.expect_effect(lambda told: told.message > 1) == effects.Told(ref, 2)
    with pytest.raises(AssertionError, match=r"expected an instance of Spawned, but /kit did:\n    Told\(.*=1\)\n.*=3\)$"):
        kit.expect_effect(effects.Spawned)
    with pytest.raises(AssertionError, match="expected no effects"):
        kit.expect_no_effects()
    assert kit.effects() == (effects.Told(ref, 1), effects.Told(ref, 3))
    with pytest.raises(AssertionError, match="did: nothing"):
        kit.expect_effect(effects.Told(ref, 1))


def test_an_entity_in_a_kit() -> None:
    """It knows itself, and passivates; what is no entity cannot."""
    info = EntityInfo("cart", "a", 3, (1, 2))
    seen: list[EntityInfo] = []
    kit = BehaviorTestKit(performer(), entity=info)
    kit.run(lambda ctx: seen.append(ctx.entity))
    kit.run(lambda ctx: ctx.passivate())
    assert seen == [info]
    kit.expect_effect(effects.Passivated())
    acts: list[Act] = [lambda ctx: ctx.entity, lambda ctx: ctx.passivate()]
    for act in acts:
        with pytest.raises(UsageError, match="is no entity"):
            BehaviorTestKit(performer()).run(act)
