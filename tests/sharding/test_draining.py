"""A shard leaves its node: its entities finish what they have accepted, and what they leave comes back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from hypothesis import given, settings, strategies as st

from casty_trio import ActorRef, Behaviors, ClusteredActorSystem, Passivation, ShardEnvelope
from casty_trio.protocol.shards import shard_of
from casty_trio.sharding.entities import EntityFamily
from casty_trio.sharding.holding import Drain
from casty_trio.testing import Simulation, simulate
from tests.sharding.lives import Close, Diary, Msg, Say, Who
from tests.sim.shop import assert_adds_up, make_node

Region = ActorRef[ShardEnvelope[Msg]]
Body = Callable[[ClusteredActorSystem, Region, EntityFamily, Diary], Awaitable[None]]

SHARDS = 3
ZERO, ONE = ([each for each in map(str, range(30)) if shard_of(each, SHARDS) == shard][:3] for shard in (0, 1))


def run(body: Body, **sharded: Any) -> None:
    """Run a program with a node and its entities."""

    async def scenario(sim: Simulation) -> None:
        diary = Diary()
        async with make_node(sim) as system:
            region = system.spawn(Behaviors.sharded(diary.behavior, num_shards=SHARDS, **sharded), "cart")
            actor: Any = region
            await body(system, region, actor.cell.children, diary)
            await trio.sleep(100)
            assert_adds_up(system.statistics())
        assert not diary.living

    simulate(scenario, 1)


def say(region: Region, entity_id: str, *numbers: int, **keywords: Any) -> None:
    for number in numbers:
        region.tell(ShardEnvelope(entity_id, Say(number, **keywords)))


def numbers(drain: Drain) -> list[tuple[str, int]]:
    return [(entity_id, message.number) for entity_id, message, _ in drain.left]


def test_what_was_accepted_is_finished() -> None:
    """S2: and what comes later is given back; other shards are not disturbed, and this one can begin again."""

    async def body(system: ClusteredActorSystem, region: Region, family: EntityFamily, diary: Diary) -> None:
        done = list[Drain]()
        for each in (*ZERO, *ONE):
            say(region, each, 1, 2, work=1.0)
        drain = family.stop_shard(0, trio.current_time() + 10, done.append)
        assert family.stop_shard(0, 0.0) is drain
        say(region, ZERO[0], 3)
        say(region, ONE[0], 3)
        await trio.sleep(1.5)
        assert not done
        say(region, ZERO[0], 4)
        await trio.sleep(1)
        assert done == [drain]
        assert drain.done.is_set()
        assert numbers(drain) == [(ZERO[0], 3), (ZERO[0], 4)]
        for each in ZERO:
            assert diary.lines.count((each, 1, 2)) == 1
            assert (each, 1) not in diary.living
        assert diary.handled(ONE[0]) == [1, 2, 3]
        assert {(each, 1) for each in ONE} <= diary.living
        say(region, ZERO[0], 5)
        await trio.sleep(1)
        assert diary.lines[-1] == (ZERO[0], 2, 5)

    run(body)


def test_a_shard_without_entities() -> None:
    """S2: it is done at once."""

    async def body(system: ClusteredActorSystem, region: Region, family: EntityFamily, diary: Diary) -> None:
        done = list[Drain]()
        drain = family.stop_shard(0, trio.current_time() + 10, done.append)
        assert done == [drain]
        assert drain.left == []

    run(body)


def test_the_deadline_ends_it() -> None:
    """S2: a handler that takes too long is cancelled; what it had not begun comes back, in order, with its reply slots."""

    async def body(system: ClusteredActorSystem, region: Region, family: EntityFamily, diary: Diary) -> None:
        def who(reply_to: ActorRef[int]) -> ShardEnvelope[Msg]:
            return ShardEnvelope(ZERO[0], Who(reply_to))

        async def ask() -> None:
            assert await system.ask(region, who) == 77

        say(region, ZERO[0], 1, work=100.0)
        say(region, ZERO[0], 2)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.sleep(0.5)
            begun = trio.current_time()
            drain = family.stop_shard(0, begun + 3)
            say(region, ZERO[0], 3)
            say(region, ZERO[1], 4)
            await drain.done.wait()
            assert trio.current_time() == begun + 3
            said = [(each, message.number) for each, message, _ in drain.left if isinstance(message, Say)]
            assert said == [(ZERO[0], 2), (ZERO[0], 3), (ZERO[1], 4)]
            [slot] = [slot for _, message, slot in drain.left if isinstance(message, Who)]
            assert slot is not None
            slot.tell(77)
        assert diary.lines == []

    run(body)


def test_the_stop_message_is_respected() -> None:
    """S2: behind what was accepted; an entity that is passivated already gets one, not two."""

    async def body(system: ClusteredActorSystem, region: Region, family: EntityFamily, diary: Diary) -> None:
        say(region, ZERO[0], 1)
        say(region, ZERO[1], 1, passivate=True)
        await trio.sleep(0.1)
        drain = family.stop_shard(0, trio.current_time() + 10)
        await drain.done.wait()
        assert [line for line in diary.lines if line[2] == "close"] == [(ZERO[1], 1, "close"), (ZERO[0], 1, "close")]

    run(body, stop_message=Close(1.0))


def test_one_that_stops_by_itself_meanwhile() -> None:
    """S2: what it leaves is not lost, though it would be without the drain."""

    async def body(system: ClusteredActorSystem, region: Region, family: EntityFamily, diary: Diary) -> None:
        say(region, ZERO[0], 1, work=1.0, stop=True)
        say(region, ZERO[0], 2)
        await trio.sleep(0.5)
        drain = family.stop_shard(0, trio.current_time() + 10)
        say(region, ZERO[0], 3)
        await drain.done.wait()
        assert numbers(drain) == [(ZERO[0], 2), (ZERO[0], 3)]
        assert system.statistics().dead_letters == 0

    run(body)


def test_one_that_is_being_stopped() -> None:
    """S2: what it leaves comes back, too."""

    async def body(system: ClusteredActorSystem, region: Region, family: EntityFamily, diary: Diary) -> None:
        say(region, ZERO[0], 1, work=1.0)
        say(region, ZERO[0], 2)
        await trio.sleep(0.5)
        family.refs[ZERO[0]].cell.stop(5.0)
        drain = family.stop_shard(0, trio.current_time() + 10)
        say(region, ZERO[0], 3)
        await drain.done.wait()
        assert numbers(drain) == [(ZERO[0], 2), (ZERO[0], 3)]
        assert diary.handled(ZERO[0]) == [1]

    run(body)


def test_the_type_stops_meanwhile() -> None:
    """S2 and L3: the drain ends, and has what was left."""

    async def body(system: ClusteredActorSystem, region: Region, family: EntityFamily, diary: Diary) -> None:
        say(region, ZERO[0], 1, work=1.0)
        say(region, ZERO[0], 2)
        await trio.sleep(0.5)
        drain = family.stop_shard(0, trio.current_time() + 10)
        await system.stop(region)
        assert drain.done.is_set()
        assert numbers(drain) == [(ZERO[0], 2)]

    run(body)


def test_the_node_is_downed_meanwhile() -> None:
    """C6: it has nothing to hand over any more; what it held are dead letters, and the drain ends."""

    async def body(system: ClusteredActorSystem, region: Region, family: EntityFamily, diary: Diary) -> None:
        say(region, ZERO[0], 1, work=1.0)
        say(region, ZERO[0], 2)
        say(region, ZERO[1], 1, work=1.0, passivate=True)
        await trio.sleep(0.5)
        drain = family.stop_shard(0, trio.current_time() + 10)
        say(region, ZERO[1], 2)
        say(region, ZERO[2], 3)
        system.let_go()
        await drain.done.wait()
        assert drain.left == []
        assert system.statistics().dead_letters == 3

    run(body)


@pytest.mark.long
@given(
    st.lists(st.tuples(st.sampled_from([*ZERO, *ONE]), st.sampled_from([0.0, 0.0, 0.5]), st.booleans(), st.booleans())),
    st.integers(0, 20),
    st.sampled_from([0.0, 0.3, 2.0, 1000.0]),
    st.sampled_from([None, Passivation(limit=2, idle=1.0)]),
)
@settings(max_examples=50)
def test_each_message_is_handled_or_comes_back(
    steps: list[tuple[str, float, bool, bool]], at: int, time: float, wanted: Passivation | None
) -> None:
    """S2: once, in order; only what a handler was at when time was over is lost."""

    async def body(system: ClusteredActorSystem, region: Region, family: EntityFamily, diary: Diary) -> None:
        drain: Drain | None = None
        given = list[tuple[str, int]]()

        def collect(done: Drain) -> None:
            given.extend(numbers(done))

        for number, (entity_id, work, pause, passivate) in enumerate(steps):
            if number == at:
                drain = family.stop_shard(0, trio.current_time() + time, collect)
            say(region, entity_id, number, work=work, passivate=passivate)
            if pause:
                await trio.sleep(0.25)
        await trio.sleep(500)
        for entity_id in (*ZERO, *ONE):
            expected = [number for number, step in enumerate(steps) if step[0] == entity_id]
            handled = [what for what in diary.handled(entity_id) if isinstance(what, int)]
            back = [number for each, number in given if each == entity_id]
            assert sorted({*handled, *back}) == sorted([*handled, *back]), "each once"
            cut = [number for number in expected if number not in (*handled, *back)]
            assert len(cut) <= (time < 1000 and drain is not None)
            assert back == sorted(back)
            assert handled == sorted(handled)

    run(body, passivation=wanted)
