"""Every event type is emitted and every setting is read (L14); one that is added without a test here fails."""

import dataclasses
import logging
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import casty_trio
from casty_trio import (
    ActorFailed,
    ActorRestarted,
    ActorSettings,
    ActorStarted,
    ActorStopped,
    ActorSystem,
    AllForOneStrategy,
    Backoff,
    Behavior,
    Behaviors,
    ClientEvent,
    ClusterEvent,
    DeadLetter,
    Event,
    Lagged,
    LeaseEvent,
    LinkLost,
    LoopBlocked,
    Mailbox,
    MailboxHighWater,
    NodeGone,
    OneForOneStrategy,
    RestForOneStrategy,
    SettingsError,
    ShardEvent,
    ShutdownHookFailed,
    SpyEvent,
    StashFullError,
    SupervisionStrategy,
    TakeOverAdvanced,
    UnhandledMessage,
)
from tests.actors.helpers import Ctx, Fail, counter, hung, run
from tests.actors.lives import Boom, Story, heard, obedient, opened, supervised

# --- Events -----------------------------------------------------------------------------------------------------------


async def provoke_started(system: ActorSystem) -> Event:
    return ActorStarted(system.spawn(counter()))


async def provoke_stopped(system: ActorSystem) -> Event:
    ref = system.spawn(counter())
    await system.stop(ref)
    return ActorStopped(ref)


async def provoke_failed(system: ActorSystem) -> Event:
    ref, failure = system.spawn(counter()), Boom()
    ref.tell(Fail(failure))
    return ActorFailed(ref, failure)


async def provoke_restarted(system: ActorSystem) -> Event:
    ref, failure = system.spawn(supervised([])), Boom()
    ref.tell(failure)
    return ActorRestarted(ref, failure)


async def provoke_unhandled(system: ActorSystem) -> Event:
    ref = system.spawn(Behaviors.receive(lambda ctx, message: Behaviors.unhandled()))
    ref.tell("what")
    return UnhandledMessage("what", ref)


async def provoke_high_water(system: ActorSystem) -> Event:
    ref = system.spawn(counter())
    for _ in range(system.settings.high_water):
        ref.tell(1)
    return MailboxHighWater(ref, system.settings.high_water)


async def provoke_dead_letter(system: ActorSystem) -> Event:
    system.dead_letters.tell("unwanted")
    return DeadLetter("unwanted", system.dead_letters, "sent to the dead letters")


PROVOKE: dict[type[Event], Callable[[ActorSystem], Awaitable[Event]]] = {
    ActorFailed: provoke_failed,
    ActorRestarted: provoke_restarted,
    ActorStarted: provoke_started,
    ActorStopped: provoke_stopped,
    DeadLetter: provoke_dead_letter,
    MailboxHighWater: provoke_high_water,
    UnhandledMessage: provoke_unhandled,
}
ELSEWHERE = {Event, Lagged, LinkLost, LoopBlocked, NodeGone, ShutdownHookFailed, SpyEvent, TakeOverAdvanced}
"""The base; what only an iterator (`test_events.py`), an observer (`test_spy.py`), a node (`test_peers_life.py`), the end of
a system (`test_shutdown.py`) and a thread (`test_watchdog.py`) tell. Those of clusters have `test_cluster_events.py`, those
of shards `test_moves.py`, of leases `test_leases.py`, and those of clients `tests/client/test_life.py`."""


def test_every_exported_event_is_provoked() -> None:
    """L14: a new one needs a line above."""
    exported = {thing for thing in vars(casty_trio).values() if isinstance(thing, type) and issubclass(thing, Event)}
    local = {event for event in exported if not issubclass(event, ClusterEvent | ClientEvent | LeaseEvent | ShardEvent)}
    assert local == PROVOKE.keys() | ELSEWHERE


@pytest.mark.parametrize("event_type", list(PROVOKE))
async def test_every_event_is_emitted(event_type: type[Event]) -> None:
    """L14: to who subscribed to it, and to who subscribed to all, with the fields it documents."""
    async with opened(settings=ActorSettings(high_water=64)) as system:
        exact, everything = heard(system, event_type), heard(system, Event)
        await wait_all_tasks_blocked()
        exact.clear()
        expected = await PROVOKE[event_type](system)
        await wait_all_tasks_blocked()
        assert expected in exact
        assert expected in everything
        assert all(isinstance(event, event_type) for event in exact)


async def test_high_water_is_told_again_at_twice_as_much() -> None:
    """L14: and not between; a mailbox that is emptied in time tells nothing."""
    async with opened(settings=ActorSettings(high_water=100)) as system:
        events = heard(system, MailboxHighWater)
        calm = system.spawn(counter())
        for _ in range(50):
            for _ in range(50):
                calm.tell(1)
            await wait_all_tasks_blocked()
        assert events == []
        busy = system.spawn(hung())
        for _ in range(1_000):
            busy.tell(1)
        await wait_all_tasks_blocked()
        marks = [event.queued for event in events]
        assert 100 <= marks[0] < 200
        assert all(later >= 2 * earlier for earlier, later in pairwise(marks))
        assert len(marks) >= 3
        await system.stop(busy, grace=0)


# --- Settings ---------------------------------------------------------------------------------------------------------


class Steps(trio.abc.Instrument):
    """Counts the turns that tasks get."""

    taken = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.taken += 1


async def turns(settings: ActorSettings) -> object:
    """How many messages an actor handles in one turn."""
    steps = Steps()
    in_step = Counter[int]()

    def receive(ctx: Ctx, message: Any) -> None:
        in_step[steps.taken] += 1

    async with ActorSystem(settings=settings) as system:
        trio.lowlevel.add_instrument(steps)
        ref = system.spawn(Behaviors.receive(receive))
        await wait_all_tasks_blocked()
        for number in range(100):
            ref.tell(number)
        await wait_all_tasks_blocked()
        trio.lowlevel.remove_instrument(steps)
    return max(in_step.values())


async def grace(settings: ActorSettings) -> object:
    """How long a stop waits for a handler."""
    async with ActorSystem(settings=settings) as system:
        ref = system.spawn(hung())
        ref.tell("go")
        await wait_all_tasks_blocked()
        await system.stop(ref)
    return trio.current_time()


async def grace_of_leaving(settings: ActorSettings) -> object:
    """How long the end of the block waits for a handler."""
    async with ActorSystem(settings=settings) as system:
        system.spawn(hung()).tell("go")
        await wait_all_tasks_blocked()
    return trio.current_time()


async def hook_timeout(settings: ActorSettings) -> object:
    """How long a post_stop may take."""

    async def post_stop(ctx: Ctx) -> None:
        await trio.sleep_forever()

    async with ActorSystem(settings=settings) as system:
        system.spawn(Behaviors.with_lifecycle(counter(), post_stop=post_stop))
    return trio.current_time()


async def high_water(settings: ActorSettings) -> object:
    """How many messages wait when it is told."""
    async with ActorSystem(settings=settings) as system:
        events = heard(system, MailboxHighWater)
        ref = system.spawn(counter())
        for _ in range(2_000):
            ref.tell(1)
        await wait_all_tasks_blocked()
    return events[0].queued


async def stash_capacity(settings: ActorSettings) -> object:
    """How many fit."""

    def fill(ctx: Ctx, message: Any) -> None:
        try:
            while True:
                ctx.stash.add("x")
        except StashFullError:
            assert len(ctx.stash) == ctx.stash.capacity
            found.append(len(ctx.stash))

    found: Story = []
    async with ActorSystem(settings=settings) as system:
        system.spawn(Behaviors.receive(fill)).tell("go")
        await wait_all_tasks_blocked()
    return found[0]


async def logged_dead_letters(settings: ActorSettings) -> object:
    """How many are in the log."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign, assignment] # a test may
    logger = logging.getLogger("casty_trio.actors")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel("INFO")
    try:
        async with ActorSystem(settings=settings) as system:
            for number in range(50):
                system.dead_letters.tell(number)
            assert system.statistics().dead_letters == 50
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    return sum("dead letter" in record.getMessage() for record in records)


async def blocked_after(settings: ActorSettings) -> object:
    """Whether it is told that a handler sleeps a third of a second."""

    def block(ctx: Ctx, message: Any) -> None:
        time.sleep(0.3)

    async with ActorSystem(settings=settings) as system:
        events = heard(system, LoopBlocked)
        system.spawn(Behaviors.receive(block)).tell("go")
        await wait_all_tasks_blocked()
        await wait_all_tasks_blocked()  # the thread's word has come, and then the event
    return len(events)


DIFFERENCES: list[tuple[str, Callable[[ActorSettings], Awaitable[object]], Any, object, Any, object]] = [
    ("batch", turns, 1, 1, 7, 7),
    ("grace", grace, 1.5, 1.5, 0.0, 0.0),
    ("grace", grace_of_leaving, 2.5, 2.5, 5.0, 5.0),
    ("hook_timeout", hook_timeout, 0.5, 0.5, 4.0, 4.0),
    ("high_water", high_water, 16, 16, 1024, 1024),
    ("stash_capacity", stash_capacity, 1, 1, 30, 30),
    ("blocked_after", blocked_after, 0.02, 1, math.inf, 0),
    ("logged_dead_letters", logged_dead_letters, 0, 0, 3, 3),
]


def test_every_setting_makes_a_difference_somewhere() -> None:
    """L14: a new one needs a line above; a new class of settings, tests of its own."""
    assert {name for name, *_ in DIFFERENCES} == {field.name for field in dataclasses.fields(ActorSettings)}
    settings = {name for name, thing in vars(casty_trio).items() if name.endswith("Settings") and isinstance(thing, type)}
    nodes = {"AccessSettings", "ClusterSettings", "DetectorSettings", "LinkSettings"}
    above = {
        "ClientSettings",
        "EntitySettings",
        "ReceptionistSettings",
        "RegistrySettings",
        "ShardingSettings",
        "SingletonSettings",
    }
    assert settings == nodes | above | {"ActorSettings", "Settings", "ShutdownSettings"}


@pytest.mark.parametrize(("name", "measure", "one", "this", "other", "that"), DIFFERENCES)
def test_every_setting_is_read(
    name: str, measure: Callable[[ActorSettings], Awaitable[object]], one: Any, this: object, other: Any, that: object
) -> None:
    """L14: another value, another behaviour; and the values are those that were asked for."""
    assert run(lambda: measure(ActorSettings(**{name: one}))) == this
    assert run(lambda: measure(ActorSettings(**{name: other}))) == that


# --- The parameters of strategies, back-off and mailboxes -----------------------------------------------------------------


async def restarts(strategy: SupervisionStrategy, failures: int, apart: float) -> list[float]:
    """When an actor begins that fails that often, at that distance."""
    times: list[float] = []
    async with opened() as system:
        ref = system.spawn(supervised([], strategy, lambda ctx: times.append(trio.current_time())))
        for _ in range(failures):
            await trio.sleep(apart)
            ref.tell(Boom())
        await trio.sleep(100)
    return times


@pytest.mark.parametrize("kind", [OneForOneStrategy, AllForOneStrategy, RestForOneStrategy])
def test_every_parameter_of_a_strategy_is_read(kind: type[SupervisionStrategy]) -> None:
    """L14: each changes how often, or when, an actor begins."""
    stop = casty_trio.Directive.stop
    read = {
        "max_restarts": run(lambda: restarts(kind(max_restarts=1), 5, 1)) == [0, 1],
        "within": run(lambda: restarts(kind(max_restarts=1, within=1), 5, 1)) == [0, 1, 2, 3, 4, 5],
        "backoff": run(lambda: restarts(kind(backoff=Backoff(2, 2, jitter=0)), 1, 1)) == [0, 3],
        "decider": run(lambda: restarts(kind(decider=lambda failure: stop), 5, 1)) == [0],
    }
    assert all(read.values()), read
    assert read.keys() == {field.name for field in dataclasses.fields(kind)}


def test_every_parameter_of_a_backoff_is_read() -> None:
    """L14: each changes the waits."""

    def waits(**changed: float) -> list[float]:
        backoff = Backoff(**{"initial": 1.0, "maximum": 16.0, "factor": 2.0, "jitter": 0.0, **changed})
        times = run(lambda: restarts(OneForOneStrategy(max_restarts=6, backoff=backoff), 4, 50))
        return [round(after - before - 50, 6) for before, after in zip([0.0, *times[1:]], times[1:], strict=False)]

    base = waits()
    assert [wait % 50 for wait in base] != [wait % 50 for wait in waits(initial=3.0)]
    for name, value in {"maximum": 1.5, "factor": 3.0, "jitter": 0.5}.items():
        assert waits(**{name: value}) != base, name
    assert {field.name for field in dataclasses.fields(Backoff)} == {"initial", "maximum", "factor", "jitter"}


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (OneForOneStrategy, {"max_restarts": -1}),
        (OneForOneStrategy, {"within": 0}),
        (OneForOneStrategy, {"within": float("nan")}),
        (Backoff, {"initial": 0, "maximum": 1}),
        (Backoff, {"initial": 2, "maximum": 1}),
        (Backoff, {"initial": 1, "maximum": 1, "factor": 0.5}),
        (Backoff, {"initial": 1, "maximum": 1, "jitter": 1}),
        (Backoff, {"initial": 1, "maximum": 1, "jitter": -0.1}),
        (ActorSettings, {"grace": -1}),
        (ActorSettings, {"hook_timeout": float("nan")}),
        (ActorSettings, {"stash_capacity": 0}),
        (Mailbox, {"capacity": 0}),
    ],
)
def test_values_that_cannot_be_are_refused(kind: Any, values: dict[str, Any]) -> None:
    """L14: when they are made, by name."""
    with pytest.raises(SettingsError):
        kind(**values)


def test_events_are_values() -> None:
    """L14: frozen, and equal by their fields."""
    for event_type in PROVOKE:
        assert event_type.__struct_config__.frozen
        assert event_type.__struct_config__.eq
        assert all(field.name.isidentifier() for field in msgspec.structs.fields(event_type))


async def test_unhandled_keeps_the_behaviour(autojump_clock: MockClock) -> None:
    """L14, L2: whichever way the handler says so."""

    async def later(ctx: Ctx, message: Any) -> Behavior[Any]:
        await trio.sleep(1)
        return Behaviors.unhandled()

    async with opened() as system:
        events = heard(system, UnhandledMessage)
        ref = system.spawn(Behaviors.receive(later))
        plain = system.spawn(obedient([]))
        for message in (1, 2):
            ref.tell(message)
        plain.tell(Behaviors.unhandled())
        await trio.sleep(5)
        assert [event.message for event in events if event.ref == ref] == [1, 2]
        assert len(events) == 3
