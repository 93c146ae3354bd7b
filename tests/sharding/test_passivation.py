"""S7: entities that nobody needs go, and no message is lost by it."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from hypothesis import given, settings, strategies as st

from casty_trio import (
    ActorRef,
    ActorSystem,
    AskError,
    Behavior,
    Behaviors,
    ClusteredActorSystem,
    DeadLetter,
    EntitySettings,
    Lagged,
    Passivation,
    SelfAskError,
    Settings,
    ShardEnvelope,
    UsageError,
)
from casty_trio.testing import Simulation, simulate
from tests.sharding.lives import Close, Ctx, Diary, Msg, Say, Who
from tests.sim.shop import SHARDS, assert_adds_up, make_node

Region = ActorRef[ShardEnvelope[Msg]]
Body = Callable[[ClusteredActorSystem, Region, Diary], Awaitable[None]]


def run(body: Body, seed: int = 1, node: dict[str, Any] | None = None, **sharded: Any) -> None:
    """Run a program with a node and entities that keep a diary; all counts add up in the end."""

    async def scenario(sim: Simulation) -> None:
        diary = Diary()
        async with make_node(sim, **(node or {})) as system:
            region = system.spawn(Behaviors.sharded(diary.behavior, num_shards=SHARDS, **sharded), "cart")
            await body(system, region, diary)
            await trio.sleep(100)
            assert_adds_up(system.statistics())
        assert not diary.living

    simulate(scenario, seed)


def say(region: Region, entity_id: str, *numbers: int, **keywords: Any) -> None:
    for number in numbers:
        region.tell(ShardEnvelope(entity_id, Say(number, **keywords)))


def who(entity_id: str, work: float = 0.0) -> Callable[[ActorRef[int]], ShardEnvelope[Msg]]:
    return lambda reply_to: ShardEnvelope(entity_id, Who(reply_to, work))


# --- By its own request ---------------------------------------------------------------------------------------------


def test_an_entity_passivates_itself() -> None:
    """S7: what its mailbox holds is handled by it, what comes later by the next actor, in order."""

    async def body(system: ClusteredActorSystem, region: Region, diary: Diary) -> None:
        say(region, "a", 1)
        say(region, "a", 2, passivate=True)
        say(region, "a", 3)
        say(region, "a", 4, work=1.0)
        await trio.sleep(0.5)
        say(region, "a", 5, 6)
        await trio.sleep(2)
        assert diary.lines == [("a", 1, 1), ("a", 1, 2), ("a", 1, 3), ("a", 1, 4), ("a", 2, 5), ("a", 2, 6)]
        assert system.statistics().actors == 2

    run(body)


def test_an_entity_that_nobody_wants_is_gone() -> None:
    """S7: no actor is started for nothing."""

    async def body(system: ClusteredActorSystem, region: Region, diary: Diary) -> None:
        say(region, "a", 1, passivate=True)
        await trio.sleep(1)
        assert system.statistics().actors == 1
        assert system.lookup("/cart/a") is None
        assert await system.ask(region, who("a")) == 2

    run(body)


def test_stopping_at_once_leaves_the_mailbox_to_the_next() -> None:
    """S7: ``passivate()`` and then ``stopped()``: queued mail, stashed mail and later mail, in this order."""

    async def body(system: ClusteredActorSystem, region: Region, diary: Diary) -> None:
        say(region, "a", 1, stash=True)
        say(region, "a", 2, work=1.0, passivate=True, stop=True)
        say(region, "a", 3, 4)
        await trio.sleep(0.5)
        say(region, "a", 5)
        await trio.sleep(2)
        assert diary.lines == [("a", 1, 2), ("a", 2, 3), ("a", 2, 4), ("a", 2, 5)]  # the stashed one is put aside again
        assert system.statistics().dead == 0
        system.resolve_entity("cart", "a").tell(Say(6, passivate=True, stop=True))
        await trio.sleep(1)

    run(body)


def test_asks_keep_their_reply_path() -> None:
    """S7: those queued, those held, and those that were stashed."""

    async def body(system: ClusteredActorSystem, region: Region, diary: Diary) -> None:
        replies = dict[str, int]()

        async def ask(name: str, delay: float) -> None:
            await trio.sleep(delay)
            replies[name] = await system.ask(region, who("a"))

        say(region, "a", 1, work=1.0, passivate=True, stop=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, "queued", 0.5)
            nursery.start_soon(ask, "later", 1.5)
            await trio.sleep(0.6)
            say(region, "a", 2)
        assert replies == {"queued": 2, "later": 2}

    run(body)


def test_an_ask_that_is_held_times_out() -> None:
    """L5: exactly, and it is skipped then."""

    async def body(system: ClusteredActorSystem, region: Region, diary: Diary) -> None:
        say(region, "a", 1, passivate=True)
        say(region, "a", 2, work=5.0)
        await trio.sleep(0.1)
        before = trio.current_time()
        assert await system.ask_or_none(region, who("a"), timeout=1.0) is None
        assert trio.current_time() == before + 1.0
        await trio.sleep(10)
        assert diary.handled("a") == [1, 2]

    run(body)


def test_a_failure_while_it_goes_loses_only_that_message() -> None:
    """S7 and L2: the rest is handled by the next actor."""

    async def body(system: ClusteredActorSystem, region: Region, diary: Diary) -> None:
        say(region, "a", 1, passivate=True)
        say(region, "a", 2, fail=True)
        say(region, "a", 3)
        await trio.sleep(1)
        assert diary.lines == [("a", 1, 1), ("a", 2, 3)]

    run(body)


def test_an_entity_that_goes_does_not_ask_itself() -> None:
    """L5: it would wait for the actor after it."""
    caught = list[Exception]()

    def behavior(entity_id: str) -> Behavior[int]:
        async def receive(ctx: Ctx, message: int) -> None:
            ctx.passivate()
            try:
                await ctx.ask(ctx.self, lambda reply_to: message)
            except SelfAskError as error:
                caught.append(error)

        return Behaviors.receive(receive)

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node:
            node.spawn(Behaviors.sharded(behavior), "cart").tell(ShardEnvelope("a", 1))
            await trio.sleep(1)

    simulate(scenario, 1)
    assert len(caught) == 1


def test_what_comes_through_an_adapter_is_not_lost() -> None:
    """S7: an answer to an entity that has gone since is its next actor's."""
    got = list[int]()

    def behavior(entity_id: str) -> Behavior[int | str]:
        def receive(ctx: Ctx, message: int | str) -> None:
            if isinstance(message, str):
                ctx.passivate()
                ctx.adapter(len).tell("four")
            else:
                got.append(message)

        return Behaviors.receive(receive)

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node:
            node.spawn(Behaviors.sharded(behavior), "cart").tell(ShardEnvelope("a", "go"))
            await trio.sleep(1)
            assert_adds_up(node.statistics())

    simulate(scenario, 1)
    assert got == [4]


def test_only_entities_can() -> None:
    """L14: other actors are told what to do instead."""
    caught = list[str]()

    def receive(ctx: Ctx, message: int) -> None:
        for what in (ctx.passivate, lambda: ctx.entity):
            with pytest.raises(UsageError, match="is no entity") as error:
                what()
            caught.append(str(error.value))

    async def scenario(sim: Simulation) -> None:
        async with ActorSystem() as system:
            system.spawn(Behaviors.receive(receive), "plain").tell(1)
            await trio.sleep(1)

    simulate(scenario, 1)
    assert len(caught) == 2


# --- The stop message -----------------------------------------------------------------------------------------------


def test_the_stop_message_comes_behind_all_mail() -> None:
    """S7: instead of a plain stop; what comes while the entity takes its time is the next actor's."""

    async def body(system: ClusteredActorSystem, region: Region, diary: Diary) -> None:
        say(region, "a", 1, passivate=True)
        say(region, "a", 2)
        await trio.sleep(1)
        say(region, "a", 3)
        await trio.sleep(9)
        assert diary.lines == [("a", 1, 1), ("a", 1, 2), ("a", 1, "close"), ("a", 2, 3)]

    run(body, stop_message=Close(linger=5.0))


def test_an_entity_that_ignores_its_stop_message_is_stopped() -> None:
    """S7: ``stop_timeout`` after it has handled it, however long its mail took; the next actor is not kept waiting."""

    async def body(system: ClusteredActorSystem, region: Region, diary: Diary) -> None:
        say(region, "a", 1, passivate=True)
        say(region, "a", 2, work=5.0)
        say(region, "a", 3, work=4.0)
        await trio.sleep(0.1)
        before = trio.current_time() - 0.1
        assert await system.ask(region, who("a"), timeout=100.0) == 2
        assert trio.current_time() - before == pytest.approx(9 + 3)
        assert diary.handled("a") == [1, 2, 3, 99]

    run(body, stop_message=Say(99, work=0.001), node={"settings": Settings(entities=EntitySettings(stop_timeout=3.0))})


def test_one_that_hangs_in_its_stop_message_is_cancelled() -> None:
    """S7: after ``stop_timeout`` and the grace."""

    async def body(system: ClusteredActorSystem, region: Region, diary: Diary) -> None:
        say(region, "a", 1, passivate=True)
        await trio.sleep(0.1)
        before = trio.current_time() - 0.1
        assert await system.ask(region, who("a"), timeout=100.0) == 2
        assert trio.current_time() - before == pytest.approx(10 + 5)

    run(body, stop_message=Close(linger=math.inf))


# --- Because it is idle ---------------------------------------------------------------------------------------------


def test_idle_entities_go() -> None:
    """S7: after the idle time, and a quarter more at most; those that are used stay."""

    async def body(system: ClusteredActorSystem, region: Region, diary: Diary) -> None:
        for number in range(20):
            say(region, "idle", number) if number == 0 else None
            say(region, "used", number)
            await trio.sleep(1)
            assert ("idle", 1) in diary.living or number >= 9
            assert ("used", 1) in diary.living
        assert ("idle", 1) not in diary.living
        await trio.sleep(12)
        assert not diary.living

    run(body, passivation=Passivation(idle=10.0))


def test_idle_to_the_quarter() -> None:
    """S7: for any time it is between that and a quarter more, also for very short ones."""
    for idle in (0.001, 0.05, 1.0, 3.0, 500.0):

        async def body(system: ClusteredActorSystem, region: Region, diary: Diary, idle: float = idle) -> None:
            say(region, "a", 1)
            await trio.sleep(idle / 2)
            say(region, "a", 2)
            await trio.sleep(idle * 0.999)
            assert diary.living
            await trio.sleep(idle * 0.26 + 0.05)
            assert not diary.living

        run(body, passivation=Passivation(idle=idle))


def test_one_at_work_is_not_idle() -> None:
    """S7: a handler that takes longer than the idle time is not idle, nor is the mail behind it."""

    async def body(system: ClusteredActorSystem, region: Region, diary: Diary) -> None:
        say(region, "a", 1, 2, work=50.0)
        await trio.sleep(101)
        assert diary.lines == [("a", 1, 1), ("a", 1, 2)]
        await trio.sleep(13)
        assert not diary.living

    run(body, passivation=Passivation(idle=10.0))


def test_timers_do_not_keep_an_entity() -> None:
    """S7: only what others send counts."""
    ended = list[float]()

    def behavior(entity_id: str) -> Behavior[str]:
        def begin(ctx: Ctx) -> Behavior[str]:
            ctx.timers.periodic("tick", 1.0, "tick")
            return Behaviors.with_lifecycle(
                Behaviors.receive(lambda ctx, message: None), post_stop=lambda _: ended.append(trio.current_time())
            )

        return Behaviors.setup(begin)

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node:
            region = node.spawn(Behaviors.sharded(behavior, passivation=Passivation(idle=10.0)), "cart")
            begun = trio.current_time()
            region.tell(ShardEnvelope("a", "x"))
            await trio.sleep(15)
            assert [round(end - begun) for end in ended] in ([10], [11], [12])

    simulate(scenario, 1)


# --- Because there are too many -------------------------------------------------------------------------------------


def test_the_least_recently_used_goes() -> None:
    """S7: exactly that one, by use and not by age; one that goes by itself makes room."""

    async def body(system: ClusteredActorSystem, region: Region, diary: Diary) -> None:
        for each in ("b", "a", "c", "a", "b"):
            say(region, each, 1)
            await trio.sleep(1)
        say(region, "d", 1)
        await trio.sleep(1)
        assert diary.living == {("a", 1), ("b", 1), ("d", 1)}
        say(region, "b", 2, passivate=True)
        await trio.sleep(1)
        say(region, "e", 1)
        await trio.sleep(1)
        assert diary.living == {("a", 1), ("d", 1), ("e", 1)}

    run(body, passivation=Passivation(limit=3, idle=math.inf))


def test_id_after_id() -> None:
    """S7: with a limit of ten, the eleventh has the first go, and so on; all are handled."""

    async def body(system: ClusteredActorSystem, region: Region, diary: Diary) -> None:
        for number in range(1, 200):
            say(region, f"{number}", number)
            await trio.sleep(0.01)
            assert diary.living == {(f"{each}", 1) for each in range(max(1, number - 9), number + 1)}
        assert len(diary.lines) == 199

    run(body, passivation=Passivation(limit=10))


def test_a_flood_of_ids_is_handled() -> None:
    """S7: a limit of one, thousands of messages at once: nothing is lost, and each entity's are in order."""

    async def body(system: ClusteredActorSystem, region: Region, diary: Diary) -> None:
        for number in range(3_000):
            say(region, f"{number % 7}", number)
        await trio.sleep(60)
        for each in range(7):
            assert diary.handled(f"{each}") == list(range(each, 3_000, 7))
        assert len(diary.living) == 1

    run(body, passivation=Passivation(limit=1))


# --- Ends -----------------------------------------------------------------------------------------------------------


def test_a_type_that_stops_refuses_what_is_held() -> None:
    """L4 and L5: dead letters with a reason, asks that fail at once; nothing hangs."""
    letters = list[str]()

    async def body(system: ClusteredActorSystem, region: Region, diary: Diary) -> None:
        async def watch(*, task_status: trio.TaskStatus[None]) -> None:
            async with system.events(DeadLetter) as events:
                task_status.started()
                async for event in events:
                    assert not isinstance(event, Lagged)
                    letters.append(event.reason)

        async def ask() -> None:
            with pytest.raises(AskError, match="cart is stopping"):
                await system.ask(region, who("a"), timeout=1000.0)

        async with trio.open_nursery() as nursery:
            await nursery.start(watch)
            say(region, "a", 1, passivate=True)
            say(region, "a", 2, work=2.0)
            await trio.sleep(0.1)
            say(region, "a", 3)
            async with trio.open_nursery() as asking:
                asking.start_soon(ask)
                await trio.sleep(0.1)
                await system.stop(region)
            nursery.cancel_scope.cancel()
        assert diary.handled("a") == [1, 2]

    run(body)
    assert letters == ["cart is stopping on node-1"] * 2


def test_leaving_the_block_while_entities_go() -> None:
    """L3: at any moment of it."""
    for delay in (0.0, 0.1, 1.1, 2.1):

        async def scenario(sim: Simulation, delay: float = delay) -> None:
            diary = Diary()
            async with make_node(sim) as system:
                sharded = Behaviors.sharded(
                    diary.behavior, stop_message=Close(1.0), passivation=Passivation(limit=2, idle=1)
                )
                region: Region = system.spawn(sharded, "cart")
                for number in range(10):
                    say(region, f"{number}", 1, passivate=True)
                    say(region, f"{number}", 2, work=1.0)
                await trio.sleep(delay)
                for number in range(10):
                    say(region, f"{number}", 3)
            assert not diary.living

        simulate(scenario, 1)


# --- Any order of events --------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from([0.0, 0.0, 0.2, 1.0]),  # how long it works
        st.sampled_from([{}, {}, {"passivate": True}, {"passivate": True, "stop": True}]),
        st.sampled_from([0.0, 0.0, 0.1, 0.5, 3.0]),  # how long until the next
    ),
    max_size=25,
)


@pytest.mark.long
@given(
    STEPS,
    st.sampled_from([None, Passivation(idle=1.0), Passivation(limit=1), Passivation(limit=2, idle=0.5)]),
    st.sampled_from([None, Close(), Close(0.3), Close(100.0)]),
    st.booleans(),
)
@settings(max_examples=60)
def test_each_message_is_handled_once_in_order(
    steps: list[tuple[str, float, dict[str, bool], float]], wanted: Passivation | None, stop: Msg | None, checked: bool
) -> None:
    """S7 and L1: whatever passivates when, one actor lives at a time, and each message is handled once, in order."""

    async def body(system: ClusteredActorSystem, region: Region, diary: Diary) -> None:
        for number, (entity_id, work, act, pause) in enumerate(steps):
            say(region, entity_id, number, work=work, **act)
            if pause:
                await trio.sleep(pause)
        await trio.sleep(1000)
        for entity_id in "abc":
            expected = [number for number, step in enumerate(steps) if step[0] == entity_id]
            assert diary.handled(entity_id) == expected
        assert system.statistics().dead_letters == 0

    run(body, passivation=wanted, stop_message=stop, node={"check_serialization": checked})


@pytest.mark.parametrize("asked", [True, False])
def test_who_ends_before_it_has_handled_anything_is_not_started_again_for_that(*, asked: bool) -> None:
    """An entity that fails at its beginning, and was to passivate, would be started for the same mail for ever."""

    async def scenario(sim: Simulation) -> None:
        started = list[str]()

        def fails(entity_id: str) -> Behavior[Msg]:
            def begin(ctx: Ctx) -> Behavior[Msg]:
                started.append(entity_id)
                if asked:
                    ctx.passivate()
                raise OSError("no database")

            return Behaviors.setup(begin)

        async with make_node(sim) as system:
            region = system.spawn(Behaviors.sharded(fails, num_shards=SHARDS, passivation=Passivation(limit=2)), "cart")
            for number in range(20):
                say(region, str(number), 1, 2)
            with pytest.raises(AskError):
                await system.ask(region, who("a"))
            assert len(started) == 21
            assert system.statistics().dead == 41
            assert_adds_up(system.statistics())

    simulate(scenario, 1)
