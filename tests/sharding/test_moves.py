"""How shards move: deadlines and bounds, the events that tell of it, clients meanwhile, and whose strategy counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import trio

from casty_trio import (
    AllocationStrategy,
    Behavior,
    Behaviors,
    ClusteredActorSystem,
    DeadLetter,
    ExplicitShards,
    HandOffAdvanced,
    HandOffFinished,
    HandOffStarted,
    MailboxFullError,
    RendezvousHash,
    Settings,
    SettingsError,
    ShardEnvelope,
    ShardHomeChanged,
    ShardHost,
    ShardingSettings,
    TakeOverAdvanced,
)
from casty_trio.protocol.coordinator import Timing
from casty_trio.protocol.homes import Homes
from casty_trio.protocol.shards import shard_of
from casty_trio.sharding.coordination import timing_of
from tests.cluster.clusters import PORT, Cluster
from tests.sharding.test_nodes import IDS, Carts, Log, cluster_of, opener, settled
from tests.sim.shop import GetAll, Msg, Put, make_client, to

SLOW = Settings(sharding=ShardingSettings(drain_timeout=1.0, rebalance_interval=4.0))


def collected(system: ClusteredActorSystem, kind: type[Any]) -> list[Any]:
    """The events of a class, as they come."""
    events: list[Any] = []

    def note(ctx: Any, event: Any) -> None:
        events.append(event)

    system.event_stream.subscribe(system.spawn(Behaviors.receive(note)), kind)
    return events


def test_what_a_deadline_leaves_goes_ahead_in_order() -> None:
    """S2: with `drain_timeout` over, the rest is handled by the new owner, before anything newer."""

    async def scenario(cluster: Cluster) -> None:
        log, refs = Log(), dict[str, Carts]()
        await cluster.form(
            "n1", begin=opener(log, refs, 0.5, allocation=ExplicitShards({shard_of("a", 12): "n2"})), settings=SLOW
        )
        await settled(cluster, 1)
        finished = collected(cluster.systems["n1"], HandOffFinished)
        started = collected(cluster.systems["n1"], HandOffStarted)
        begun = trio.current_time()
        cluster.start("n2", begin=opener(log, refs, 0.5), settings=SLOW)
        await cluster.formed("n1", "n2")
        await trio.sleep(2)
        assert started == [], "rebalance_interval has not passed"
        for number in range(30):
            refs["n1"].tell(ShardEnvelope("a", Put(number)))
        while not finished:  # noqa: ASYNC110 - another task brings it about
            await trio.sleep(0.1)
        assert trio.current_time() - begun > 4.0
        refs["n1"].tell(ShardEnvelope("a", Put(30)))
        asked = to("a", GetAll)
        assert await cluster.systems["n1"].ask(refs["n1"], asked, timeout=60) == tuple(range(31))
        nodes = [node for node, _ in log.handled["a"]]
        assert nodes == sorted(nodes)
        assert set(nodes) == {"n1", "n2"}
        [move] = [event for event in finished if event.shard == shard_of("a", 12)]
        assert move.moved
        assert move.home == cluster.systems["n2"].self_node
        assert 1.0 <= move.duration < 3.0
        assert started[0].source.node_id == "n1"
        assert started[0].target.node_id == "n2"

    cluster_of(1, scenario)


def test_asks_that_wait_where_a_shard_leaves_are_answered_where_it_arrives() -> None:
    """S2, K2: the way back of an ask goes with its message."""

    async def scenario(cluster: Cluster) -> None:
        log, refs = Log(), dict[str, Carts]()
        await cluster.form(
            "n1", begin=opener(log, refs, 0.5, allocation=ExplicitShards({shard_of("a", 12): "n2"})), settings=SLOW
        )
        await settled(cluster, 1)
        cluster.start("n2", begin=opener(log, refs, 0.5), settings=SLOW)
        await cluster.formed("n1", "n2")
        await trio.sleep(3)
        answers: list[Any] = []

        async def ask(asker: Any, ref: Any) -> None:
            answers.append(await asker.ask(ref, to("a", GetAll), timeout=30))

        async with make_client(cluster.sim, contacts=[("n1", PORT)]) as client, trio.open_nursery() as nursery:
            carts = client.entity_ref("cart", num_shards=12)
            for _ in range(5):
                nursery.start_soon(ask, cluster.systems["n1"], refs["n1"])
                nursery.start_soon(ask, cluster.systems["n2"], refs["n2"])
                nursery.start_soon(ask, client, carts)
        assert answers == [()] * 15
        homes = {home.node_id for home in cluster.systems["n1"].shard_homes("cart") if home is not None}
        assert homes == {"n1", "n2"}

    cluster_of(1, scenario)


def test_each_step_of_a_move_is_told_where_it_is_taken() -> None:
    """S2: once; and so is each step of a coordinator that takes over."""

    async def scenario(cluster: Cluster) -> None:
        log, refs = Log(), dict[str, Carts]()
        await cluster.form("n1", "n2", begin=opener(log, refs))
        await settled(cluster, 2)
        steps = {name: collected(cluster.systems[name], HandOffAdvanced) for name in ("n1", "n2")}
        started = collected(cluster.systems["n1"], HandOffStarted)
        terms = collected(cluster.systems["n2"], TakeOverAdvanced)
        cluster.start("n3", begin=opener(log, refs))
        await cluster.formed("n1", "n2", "n3")
        await settled(cluster, 3)
        assert started
        for move in started:
            told = {name: [each.step for each in steps[name] if each.shard == move.shard] for name in steps}
            assert move.source is not None
            home = move.source.node_id
            assert told == {name: ["flushed", "stopped"] if name == home else ["held"] for name in steps}
        assert terms == []
        cluster.sim.host("n1").crash()
        await cluster.formed("n2", "n3")
        await settled(cluster, 2)
        assert terms[0].step == "asks"
        assert terms[-1].step == "decides"
        assert terms[-1].missing == 0
        assert {each.term for each in terms} == {2}

    cluster_of(1, scenario)


def test_entities_have_less_time_than_the_move() -> None:
    """S4: else a shard whose entities are never idle would begin to move again and again, and never have moved."""
    with pytest.raises(
        SettingsError, match=r"ShardingSettings.drain_timeout must be seconds, less than hand_off_timeout, not 15.0"
    ):
        ShardingSettings(drain_timeout=15.0)
    with pytest.raises(SettingsError, match="hand_off_timeout, not 5"):
        ShardingSettings(hand_off_timeout=4.0)


def test_a_marker_that_does_not_come_calls_the_move_off() -> None:
    """S2: nothing is forced; after `hand_off_timeout` the shard is where it was, and moves when the node is heard again."""

    async def scenario(cluster: Cluster) -> None:
        log, refs = Log(), dict[str, Carts]()
        settings = Settings(sharding=ShardingSettings(hand_off_timeout=1.0, drain_timeout=0.5))
        await cluster.form("n1", "n3", begin=opener(log, refs), settings=settings)
        await settled(cluster, 2)
        finished = collected(cluster.systems["n1"], HandOffFinished)
        started = collected(cluster.systems["n1"], HandOffStarted)
        cluster.start("n2", begin=opener(log, refs), settings=settings)
        await cluster.formed("n1", "n2", "n3")
        while not started:  # noqa: ASYNC110 - another task brings it about
            await trio.sleep(0.0001)
        cluster.sim.host("n3").pause()
        await trio.sleep(2)
        cluster.sim.host("n3").resume()
        assert not all(event.moved for event in finished)
        await settled(cluster, 3)
        assert any(event.moved for event in finished)
        for number in range(20):
            assert await cluster.systems["n2"].ask(refs["n2"], to(f"id-{number}", GetAll)) == ()

    cluster_of(1, scenario)


def test_a_node_that_leaves_waits_for_its_shards_only_so_long() -> None:
    """C8: `leave_timeout`; then its entities are told to stop, and others start them."""

    async def scenario(cluster: Cluster) -> None:
        log, refs = Log(), dict[str, Carts]()
        settings = Settings(sharding=ShardingSettings(leave_timeout=2.0, drain_timeout=50.0, hand_off_timeout=100.0))
        await cluster.form("n1", "n2", begin=opener(log, refs, 40.0), settings=settings)
        await settled(cluster, 2)
        for number in range(20):
            refs["n1"].tell(ShardEnvelope(f"id-{number}", Put(1)))
        await trio.sleep(1)
        begun = trio.current_time()
        cluster.sim.host("n1").terminate()
        assert await cluster.wait_ended("n1") is None
        assert 2.0 <= trio.current_time() - begun < 10.0
        await settled(cluster, 1)

    cluster_of(1, scenario)


def test_what_has_stopped_on_a_node_that_leaves_starts_there_no_more() -> None:
    """S1: mail that was long on the way comes when others are about to start its entities."""

    async def scenario(cluster: Cluster) -> None:
        living, twice, refs = dict[str, list[str]](), list[str](), dict[str, Carts]()

        def begin(system: ClusteredActorSystem) -> None:
            def entity(entity_id: str) -> Behavior[Msg]:
                async def receive(ctx: Any, message: Any) -> None:
                    await trio.sleep(message.number)

                def start(ctx: Any) -> Behavior[Msg]:
                    twice.extend(f"{entity_id} begins on {system.node_id}, lives on {node}" for node in nodes)
                    nodes.append(system.node_id)
                    return Behaviors.receive(receive)

                nodes = living.setdefault(entity_id, [])
                return Behaviors.with_lifecycle(Behaviors.setup(start), post_stop=lambda ctx: nodes.remove(system.node_id))

            refs[system.node_id] = system.spawn(Behaviors.sharded(entity, num_shards=12), "cart")

        await cluster.form("n1", "n2", "n3", begin=begin, settings=Settings(sharding=ShardingSettings(leave_timeout=1.0)))
        await settled(cluster, 3)
        system = cluster.systems["n1"]
        homes = {entity: home.node_id for entity in IDS if (home := system.entity_home("cart", entity)) is not None}
        slow, *others = [entity for entity in IDS if homes[entity] == "n2"]
        cluster.split(["n2"], ["n3"])  # so the markers of one do not come, and no shard of the other moves
        for entity in others:
            refs["n3"].tell(ShardEnvelope(entity, Put(30)))
        refs["n1"].tell(ShardEnvelope(slow, Put(3)))  # what leaves waits for the end of this
        cluster.sim.host("n2").terminate()
        await trio.sleep(2)
        cluster.heal(["n2"], ["n3"])
        while "n2" not in cluster.errors:
            for entity in others:
                refs["n1"].tell(ShardEnvelope(entity, Put(0)))
            await trio.sleep(0.1)
        await settled(cluster, 2)
        assert twice == []
        assert {node for entity in others for node in living[entity]} == {"n1", "n3"}

    cluster_of(3, scenario)


def test_what_waits_for_a_home_is_bounded() -> None:
    """L4, S2: `buffer` messages are held; the next is a dead letter with a reason, and its ask fails at once."""

    async def scenario(cluster: Cluster) -> None:
        log, refs = Log(), dict[str, Carts]()
        settings = Settings(sharding=ShardingSettings(buffer=3))
        await cluster.form("n1", begin=opener(log, refs, role="nobody"), settings=settings)
        system = cluster.systems["n1"]
        dead = collected(system, DeadLetter)
        for number in range(4):
            refs["n1"].tell(ShardEnvelope("a", Put(number)))
        with pytest.raises(MailboxFullError, match="3 messages wait for shards without a home"):
            await system.ask(refs["n1"], to("a", GetAll))
        await trio.testing.wait_all_tasks_blocked()
        assert [event.message for event in dead][:1] == [Put(3)]
        statistics = system.sharding_statistics("cart")
        assert (statistics.held, statistics.dropped, statistics.homeless, statistics.coordinator) == (3, 2, 12, "")
        cluster.start("n2", begin=opener(log, refs, role="nobody"), roles={"nobody"})
        await cluster.formed("n1", "n2")
        assert await system.ask(refs["n1"], to("a", GetAll)) == (0, 1, 2)
        statistics = system.sharding_statistics("cart")
        assert (statistics.held, statistics.coordinator, statistics.sent) == (0, "n2", 4)

    cluster_of(1, scenario)


def test_what_is_not_answered_is_said_again() -> None:
    """S3: after `retry` seconds, on both sides."""
    timing = timing_of(ShardingSettings(retry=7.0, hand_off_timeout=8.0, rebalance_interval=9.0, longest_stay=10.0))
    assert timing == Timing(7.0, 8.0, 9.0, 10.0)
    homes = Homes(1, 4, retry=7.0)
    homes.set_members(100.0, [1, 2], 2)
    assert homes.next_wakeup == 107.0
    assert homes.tick(106.0) == []
    assert len(homes.tick(107.0)) == 1


def test_every_node_tells_where_shards_have_gone() -> None:
    """L14: `ShardHomeChanged`, and what clients and `entity_home` know."""

    async def scenario(cluster: Cluster) -> None:
        log, refs = Log(), dict[str, Carts]()
        begin = opener(log, refs, allocation=RendezvousHash())
        await cluster.form("n1", begin=begin)
        await settled(cluster, 1)
        async with make_client(cluster.sim, contacts=[("n1", PORT)]) as client:
            changes = collected(cluster.systems["n1"], ShardHomeChanged)
            cluster.start("n2", begin=begin)
            await cluster.formed("n1", "n2")
            await trio.sleep(5)
            homes = cluster.systems["n1"].shard_homes("cart")
            assert {home.node_id for home in homes if home is not None} == {"n1", "n2"}
            assert [event.home for event in changes] == [homes[event.shard] for event in changes]
            assert {event.shard for event in changes} == {
                shard for shard, home in enumerate(homes) if home is not None and home.node_id == "n2"
            }
            seen = dict(client.topology.shard_homes)["cart"]
            assert [home.uid for home in seen if home is not None] == [home.uid for home in homes if home is not None]

    cluster_of(1, scenario)


class Wrong(AllocationStrategy):
    """A program's own, which fails, or names nobody."""

    def allocate(self, shard: int, hosts: Sequence[ShardHost]) -> ShardHost:
        if shard % 2:
            raise RuntimeError("not today")
        return ShardHost("nobody", 99)

    def rebalance(self, hosts: Sequence[ShardHost], moving: int) -> dict[int, ShardHost]:
        raise RuntimeError("nor tomorrow")


def test_a_strategy_that_fails_leaves_no_shard_homeless(caplog: pytest.LogCaptureFixture) -> None:
    """S3: it is told, and another is asked."""

    async def scenario(cluster: Cluster) -> None:
        log, refs = Log(), dict[str, Carts]()
        await cluster.form("n1", begin=opener(log, refs, allocation=Wrong()))
        await settled(cluster, 1)
        await trio.sleep(5)
        assert await cluster.systems["n1"].ask(refs["n1"], to("a", GetAll)) == ()

    cluster_of(1, scenario)
    assert "the allocation of 'cart' failed" in caplog.text


class Swinging(AllocationStrategy):
    """One that wants every shard elsewhere than it is."""

    def allocate(self, shard: int, hosts: Sequence[ShardHost]) -> ShardHost:
        return hosts[0]

    def rebalance(self, hosts: Sequence[ShardHost], moving: int) -> dict[int, ShardHost]:
        return {shard: other for host, other in zip(hosts, hosts[::-1], strict=True) for shard in host.shards}


def test_a_strategy_that_never_settles_is_held_up() -> None:
    """S4: its shards stay longer and longer, until the members change."""

    async def scenario(cluster: Cluster) -> None:
        begin = opener(Log(), {}, allocation=Swinging())
        await cluster.form("n1", "n2", begin=begin)
        finished = collected(cluster.systems["n1"], HandOffFinished)
        await trio.sleep(240)
        moves = [event for event in finished if event.shard == 0]
        assert 6 <= len(moves) <= 11, "after 1, 2, 4 seconds, and so on, and then each minute"
        assert all(event.moved for event in moves)
        finished.clear()
        cluster.start("n3", roles={"other"})
        await cluster.formed("n1", "n2", "n3")
        await trio.sleep(10)
        assert not finished, "who is no host makes no difference"

    cluster_of(1, scenario)
