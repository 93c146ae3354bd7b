"""S6: remembered entities are back, after whatever has happened to their node."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Collection, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from casty_trio import (
    ActorRef,
    ActorStoppedError,
    Behavior,
    Behaviors,
    ClusteredActorSystem,
    EntitySettings,
    EntityStore,
    MailboxFullError,
    Passivation,
    Settings,
    ShardClaim,
    ShardEnvelope,
    ShardingSettings,
    SqliteEntityStore,
    StaleOwnerError,
)
from casty_trio.protocol.shards import shard_of
from casty_trio.testing import Simulation, simulate
from tests.cluster.clusters import cluster, run as run_cluster
from tests.sharding.lives import Diary, Msg, Say, Who
from tests.sharding.stores import MemoryStore
from tests.sim.shop import assert_adds_up, make_node

SHARDS = 4
IDS = [f"{number}" for number in range(10)]
Region = ActorRef[ShardEnvelope[Msg]]
Body = Callable[[ClusteredActorSystem, Region, Diary], Awaitable[None]]


def life(body: Body, store: EntityStore, entities: EntitySettings | None = None, **sharded: Any) -> Diary:
    """One life of a node."""
    diary = Diary()

    async def scenario(sim: Simulation) -> None:
        settings = Settings(entities=entities or EntitySettings())
        async with make_node(sim, settings=settings) as system:
            behavior = Behaviors.sharded(diary.behavior, num_shards=SHARDS, remember_entities=store, **sharded)
            region = system.spawn(behavior, "cart")
            await body(system, region, diary)
            assert_adds_up(system.statistics())

    simulate(scenario, 1)
    return diary


async def say_all(_: ClusteredActorSystem, region: Region, __: Diary) -> None:
    for number, each in enumerate(IDS):
        region.tell(ShardEnvelope(each, Say(number)))
    await trio.sleep(2)


async def wait(_: ClusteredActorSystem, __: Region, ___: Diary) -> None:
    await trio.sleep(5)


def test_they_are_back_after_a_restart_of_all() -> None:
    """S6: without a message; and each message of before was handled once."""
    store = MemoryStore()
    diary = life(say_all, store)
    assert sorted(diary.lines) == [(each, 1, int(each)) for each in IDS]
    assert store.all() == set(IDS)
    again = life(wait, store)
    assert {each for each in IDS if again.actors(each) == 1} == set(IDS)
    assert life(wait, store).lines == []


def test_who_passivates_or_stops_is_forgotten() -> None:
    """S6: by its own wish, or because nobody needs it; but not while a next actor follows at once."""

    async def body(system: ClusteredActorSystem, region: Region, diary: Diary) -> None:
        for each, act in (("0", {"passivate": True}), ("1", {"stop": True}), ("2", {}), ("3", {"passivate": True})):
            region.tell(ShardEnvelope(each, Say(1, work=0.5, **act)))
        region.tell(ShardEnvelope("3", Say(2, work=0.2)))
        await trio.sleep(0.6)
        region.tell(ShardEnvelope("3", Say(3)))
        await trio.sleep(2)
        assert store.all() == {"2", "3"}
        assert diary.handled("3") == [1, 2, 3]

    store = MemoryStore()
    life(body, store)
    again = life(wait, store)
    assert [again.actors(each) for each in IDS[:4]] == [0, 0, 1, 1]


def test_idle_ones_are_forgotten() -> None:
    """S6 and S7: passivation of any kind."""
    store = MemoryStore()

    async def body(system: ClusteredActorSystem, region: Region, diary: Diary) -> None:
        await say_all(system, region, diary)
        await trio.sleep(10)
        assert not diary.living

    life(body, store, passivation=Passivation(idle=2.0))
    assert store.all() == set()


def who(reply_to: ActorRef[int]) -> ShardEnvelope[Msg]:
    return ShardEnvelope("0", Who(reply_to))


def test_who_fails_starts_again() -> None:
    """S6: after ``restart_least`` seconds, then twice as long, up to ``restart_most``; a message is not made to wait."""
    store = MemoryStore()

    async def body(system: ClusteredActorSystem, region: Region, diary: Diary) -> None:
        for expected in (2.0, 4.0, 5.0, 5.0):
            count = diary.actors("0")
            region.tell(ShardEnvelope("0", Say(0, fail=True)))
            await trio.sleep(0.1)
            failed_at = diary.actors("0")
            await trio.sleep(expected * 0.75)
            assert diary.actors("0") == failed_at
            await trio.sleep(expected * 0.5)
            assert diary.actors("0") == failed_at + 1 > count
        region.tell(ShardEnvelope("0", Say(0, fail=True)))
        await trio.sleep(0.1)
        before = trio.current_time()
        await system.ask(region, who)
        assert trio.current_time() == before
        await trio.sleep(10)
        assert store.all() == {"0"}

    life(body, store, EntitySettings(restart_least=2.0, restart_most=5.0))


def test_messages_do_not_multiply_restarts() -> None:
    """One that fails whatever it is told waits for one restart, however many messages have started it in between."""
    store = MemoryStore()
    starts: list[float] = []

    def broken(entity_id: str) -> Behavior[Msg]:
        starts.append(trio.current_time())
        raise RuntimeError(f"{entity_id} cannot begin")

    async def scenario(sim: Simulation) -> None:
        settings = Settings(entities=EntitySettings(restart_least=1.0, restart_most=10.0))
        async with make_node(sim, settings=settings) as system:
            region = system.spawn(Behaviors.sharded(broken, num_shards=SHARDS, remember_entities=store), "cart")
            for number in range(50):
                region.tell(ShardEnvelope("0", Say(number)))
                await trio.sleep(0.5)
            await trio.sleep(60)
            late = [at for at in starts if at > trio.current_time() - 50]
            assert 4 <= len(late) <= 8, "one in ten seconds, more or less"

    simulate(scenario, 1)


def test_what_a_store_gives_that_is_no_id_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """A fault of the program's store stops neither the node nor those entities whose ids are right."""
    store = MemoryStore()

    class Odd(EntityStore):
        async def claim(self, claim: ShardClaim) -> Collection[str]:
            found: list[Any] = [5, "", "\ud800", *await store.claim(claim)]
            return found

        async def update(self, claim: ShardClaim, started: Collection[str], stopped: Collection[str]) -> None:
            await store.update(claim, started, stopped)

    store.ids[shard_of("a", SHARDS)] = {"a"}
    diary = life(wait, Odd())
    assert diary.actors("a") == 1
    assert "claim gave 5, which is left out" in caplog.text


async def wait_long(_: ClusteredActorSystem, __: Region, ___: Diary) -> None:
    await trio.sleep(60)


def test_what_a_store_gives_that_cannot_be_read_is_asked_for_again(caplog: pytest.LogCaptureFixture) -> None:
    """S6: a cursor that fails midway, or a text, has told nothing of who lives."""
    store = MemoryStore()

    class Odd(EntityStore):
        def __init__(self) -> None:
            self.given: list[Any] = [None, "a", self._cut_off()]

        def _cut_off(self) -> Iterator[str]:
            yield "b"
            raise OSError("the cursor is closed")

        async def claim(self, claim: ShardClaim) -> Collection[str]:
            found = await store.claim(claim)
            return self.given.pop() if self.given and found else found

        async def update(self, claim: ShardClaim, started: Collection[str], stopped: Collection[str]) -> None:
            await store.update(claim, started, stopped)

    store.ids[shard_of("a", SHARDS)] = {"a", "b"}
    diary = life(wait_long, Odd())
    assert diary.actors("a") == 1
    assert "the cursor is closed" in caplog.text
    assert "claim gave a text" in caplog.text


def test_mail_is_refused_where_the_store_has_a_later_owner(caplog: pytest.LogCaptureFixture) -> None:
    """S6: as when two clusters have one store; nobody waits for what cannot be stored."""

    class Taken(EntityStore):
        async def claim(self, claim: ShardClaim) -> Collection[str]:
            raise StaleOwnerError("another cluster has it")

        async def update(self, claim: ShardClaim, started: Collection[str], stopped: Collection[str]) -> None:
            raise StaleOwnerError("another cluster has it")

    async def body(system: ClusteredActorSystem, region: Region, diary: Diary) -> None:
        await trio.sleep(1)
        for _ in range(2):
            with pytest.raises(ActorStoppedError, match="later owner in the store: another cluster has it"):
                await system.ask(region, who, timeout=5)
        assert diary.actors("0") == 0

    life(body, Taken())
    assert "another cluster has it" in caplog.text


def test_a_block_that_is_cancelled_forgets_nothing() -> None:
    """S6: however a node ends, by an exception or a cancellation, at work or idle."""
    store = MemoryStore()
    store.delay = 0.0

    async def body(system: ClusteredActorSystem, region: Region, diary: Diary) -> None:
        await say_all(system, region, diary)
        region.tell(ShardEnvelope("0", Say(1, work=1000.0)))
        await trio.sleep(0.1)
        raise KeyError("the program's own")

    with pytest.raises(KeyError):
        life(body, store)
    assert store.all() == set(IDS)

    async def scenario(sim: Simulation) -> None:
        with trio.CancelScope() as scope:
            async with make_node(sim) as system:
                behavior = Behaviors.sharded(Diary().behavior, num_shards=SHARDS, remember_entities=store)
                region: Region = system.spawn(behavior, "cart")
                await say_all(system, region, Diary())
                region.tell(ShardEnvelope("0", Say(1, work=1000.0)))
                await trio.sleep(0.1)
                scope.cancel()
                await trio.sleep(1)

    simulate(scenario, 1)
    assert store.all() == set(IDS)


def test_revival_is_paced() -> None:
    """S6: ``revive_rate`` a second."""
    store = MemoryStore()
    for number in range(300):
        store.ids.setdefault(shard_of(f"{number}", SHARDS), set()).add(f"{number}")

    async def body(system: ClusteredActorSystem, region: Region, diary: Diary) -> None:
        counts: list[int] = []
        while len(diary.living) < 300:
            counts.append(len(diary.living))
            await trio.sleep(1)
        steps = [late - early for early, late in pairwise(counts)]
        assert max(steps) <= 60
        assert 5 <= len(counts) <= 10

    life(body, store, EntitySettings(revive_rate=50))
    life(wait, store, EntitySettings(revive_rate=math.inf))


def test_nothing_is_lost_while_the_store_fails() -> None:
    """S6: an entity starts when it is stored; its mail waits, in order."""
    store = MemoryStore()
    store.failing = 5

    async def body(system: ClusteredActorSystem, region: Region, diary: Diary) -> None:
        for number in range(5):
            region.tell(ShardEnvelope("a", Say(number)))
        assert diary.lines == []
        await trio.sleep(20)
        assert diary.handled("a") == [0, 1, 2, 3, 4]
        assert diary.actors("a") == 1

    life(body, store)


def test_many_are_stored_together() -> None:
    """S6: a slow store is not asked once for each."""
    store = MemoryStore()
    store.delay = 0.5

    async def body(system: ClusteredActorSystem, region: Region, diary: Diary) -> None:
        for number in range(500):
            region.tell(ShardEnvelope(f"{number}", Say(number)))
        await trio.sleep(10)
        assert len(diary.lines) == 500
        assert store.calls < 20

    life(body, store)


def test_they_move_with_their_shard() -> None:
    """S6: when a node crashes, and when one leaves, its entities live elsewhere, without a message; never two at a time."""

    async def scenario(sim: Simulation) -> None:
        store, diary = MemoryStore(), Diary()
        regions: dict[str, Region] = {}

        def begin(system: ClusteredActorSystem) -> None:
            behavior = Behaviors.sharded(diary.behavior, num_shards=SHARDS, remember_entities=store)
            regions[system.node_id] = system.spawn(behavior, "cart")

        async with cluster(sim, begin=begin) as nodes:
            await nodes.form("n1")
            nodes.start("n2", "n3")
            await nodes.formed("n1", "n2", "n3")
            await trio.sleep(15)
            for number, each in enumerate(IDS):
                regions["n1"].tell(ShardEnvelope(each, Say(number)))
            await trio.sleep(3)
            assert {each for each, _ in diary.living} == set(IDS)
            nodes.sim.host("n3").terminate()
            await nodes.wait_ended("n3")
            await trio.sleep(10)
            assert {each for each, _ in diary.living} == set(IDS)
            diary.living = {life for life in diary.living if nodes.systems["n1"].lookup(f"/cart/{life[0]}") is not None}
            nodes.sim.host("n2").crash()
            await trio.sleep(60)
            assert {each for each, _ in diary.living} == set(IDS)

    run_cluster(scenario)


# --- A store that fails -----------------------------------------------------------------------------------------------


class Broken(MemoryStore):
    """It cannot store the ids of one shard: it raises, or never comes back."""

    def __init__(self, shard: int, *, hangs: bool = False) -> None:
        super().__init__()
        self.shard: int | None = shard
        self.hangs = hangs
        self.times: list[float] = []

    async def update(self, claim: ShardClaim, started: Collection[str], stopped: Collection[str]) -> None:
        if claim.shard == self.shard:
            self.times.append(trio.current_time())
            if self.hangs:
                await trio.sleep_forever()
            raise OSError("no")
        await super().update(claim, started, stopped)


async def ask(system: ClusteredActorSystem, region: Region, entity_id: str, timeout: float) -> int:
    return await system.ask(region, lambda reply_to: ShardEnvelope(entity_id, Who(reply_to)), timeout=timeout)


def test_shards_do_not_wait_for_one_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """S6: it is tried again, after longer and longer; the entities of the other shards start."""
    store = Broken(0)
    (bad, *_), good = in_shard(0), in_shard(1)

    async def body(system: ClusteredActorSystem, region: Region, diary: Diary) -> None:
        await trio.sleep(1)
        region.tell(ShardEnvelope(bad, Say(1)))
        for each in good[:20]:
            await ask(system, region, each, 0.5)
            await trio.sleep(1)
        assert diary.actors(bad) == 0
        statistics = system.sharding_statistics("cart")
        assert (statistics.held, statistics.dropped) == (1, 0)
        gaps = [later - earlier for earlier, later in pairwise(store.times)]
        for gap, expected in zip(gaps, (1, 2, 4, 8), strict=False):
            assert 0.79 * expected <= gap <= 1.21 * expected
        store.shard = None
        await trio.sleep(13)
        assert diary.handled(bad) == [1]
        assert system.sharding_statistics("cart").held == 0

    life(body, store)
    assert any("the store of cart, for shard 0: OSError: no" in each for each in caplog.messages)


def test_a_call_that_hangs_is_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    """S6: after ``store_timeout`` seconds; the other shards wait a second for it, once."""
    store = Broken(0, hangs=True)
    (bad, *_), good = in_shard(0), in_shard(1)

    async def body(system: ClusteredActorSystem, region: Region, diary: Diary) -> None:
        await trio.sleep(1)
        region.tell(ShardEnvelope(bad, Say(1)))
        await trio.testing.wait_all_tasks_blocked()
        for wait, each in zip((1.5, *[0.5] * 19), good[:20], strict=True):
            await ask(system, region, each, wait)
            await trio.sleep(1)
        assert 4.8 <= store.times[1] - store.times[0] <= 5.2 + 1
        store.shard = None
        await trio.sleep(15)
        assert diary.handled(bad) == [1]

    life(body, store, EntitySettings(store_timeout=4.0))
    assert any("for shard 0: no answer within 4 seconds" in each for each in caplog.messages)


def test_what_waits_for_the_store_is_bounded() -> None:
    """S6: with what waits for a home, by ``ShardingSettings.buffer``; new entities are refused at once when that is full."""
    store, diary = Broken(0), Diary()
    ids = in_shard(0)

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim, settings=Settings(sharding=ShardingSettings(buffer=3))) as system:
            behavior = Behaviors.sharded(diary.behavior, num_shards=SHARDS, remember_entities=store)
            region = system.spawn(behavior, "cart")
            await trio.sleep(1)
            for number in range(2):
                region.tell(ShardEnvelope(ids[0], Say(number)))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask, system, region, ids[1], 30.0)  # the last for which there is room
                await trio.testing.wait_all_tasks_blocked()
                for each in ids[:3]:
                    with pytest.raises(MailboxFullError, match="3 messages wait for entities that are not stored yet"):
                        await ask(system, region, each, 30.0)
                region.tell(ShardEnvelope(ids[0], Say(9)))
                statistics = system.sharding_statistics("cart")
                assert (statistics.held, statistics.dropped) == (3, 4)
                assert system.statistics().dead_letters >= 1
                store.shard = None
            assert diary.handled(ids[0]) == [0, 1]
            assert diary.actors(ids[2]) == 0
            await ask(system, region, ids[2], 1.0)
            assert system.sharding_statistics("cart").held == 0
            store.shard = shard_of("last", SHARDS)
            region.tell(ShardEnvelope("last", Say(1)))
            assert system.sharding_statistics("cart").held == 1
        assert_adds_up(system.statistics())

    simulate(scenario, 1)


# --- SQLite ---------------------------------------------------------------------------------------------------------


def right(token: tuple[int, int] = (1, 1), *, cluster: int = 7, shard: int = 0, shards: int = SHARDS) -> ShardClaim:
    return ShardClaim("cart", shard, shards, cluster, token)


def in_shard(shard: int, shards: int = SHARDS) -> list[str]:
    return [each for each in map(str, range(100)) if shard_of(each, shards) == shard]


def test_sqlite_keeps_what_lives(tmp_path: Path) -> None:
    """S6: for another process, too; a type's ids are found whatever its number of shards is."""

    async def program() -> None:
        store = SqliteEntityStore(tmp_path / "entities.db")
        ids = in_shard(0)
        assert await store.claim(right()) == []
        await store.update(right(), ids, [])
        await store.update(right(), [], ids[:2])
        again = SqliteEntityStore(str(tmp_path / "entities.db"))
        assert await again.claim(right((2, 1))) == sorted(ids[2:])
        assert await again.claim(right(shard=1)) == []
        found = [each for shard in range(7) for each in await again.claim(right(shard=shard, shards=7))]
        assert sorted(found) == sorted(ids[2:])

    trio.run(program)


def test_sqlite_refuses_former_owners(tmp_path: Path) -> None:
    """S1: by the token, within one cluster; and by the last claim, between clusters: a new one begins anew."""

    async def program() -> None:
        store = SqliteEntityStore(tmp_path / "entities.db")
        await store.claim(right((2, 5)))
        for stale in (right((2, 4)), right((1, 9))):
            with pytest.raises(StaleOwnerError, match="later owner"):
                await store.claim(stale)
            with pytest.raises(StaleOwnerError):
                await store.update(stale, ["x"], [])
        await store.update(right((2, 5)), ["x"], [])
        with pytest.raises(StaleOwnerError):
            await store.update(right((1, 1), cluster=8), ["y"], [])
        assert await store.claim(right((1, 1), cluster=8)) == ["x"]
        with pytest.raises(StaleOwnerError):
            await store.update(right((2, 5)), ["z"], [])

    trio.run(program)


def test_sqlite_in_a_node(tmp_path: Path) -> None:
    """S6: a whole restart on a real disk."""
    path = tmp_path / "entities.db"

    async def program(say: bool) -> Diary:
        diary = Diary()
        async with ClusteredActorSystem(name="shop", host="127.0.0.1", port=0, node_id="node-1") as system:
            store = SqliteEntityStore(path)
            behavior = Behaviors.sharded(diary.behavior, num_shards=SHARDS, remember_entities=store)
            region: Region = system.spawn(behavior, "cart")
            await system.wait_for(1)
            with trio.fail_after(20):
                if say:
                    for each in IDS:
                        await system.ask(region, lambda r, each=each: ShardEnvelope(each, Who(r)), timeout=20.0)
                while len(diary.living) < len(IDS):  # noqa: ASYNC110 - threads and a database bring it about
                    await trio.sleep(0.01)
        return diary

    trio.run(program, True)
    diary = trio.run(program, False)
    assert sorted(diary.actors(each) for each in IDS) == [1] * len(IDS)
