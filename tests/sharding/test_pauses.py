"""A node that was paused: what it hosts stands still until it is known whether others host it by now."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from casty_trio import (
    ActorContext,
    Behavior,
    Behaviors,
    ClusteredActorSystem,
    ClusterSettings,
    MemberStatus,
    NodeDownedError,
    Settings,
    ShardEnvelope,
)
from tests.cluster.clusters import Cluster
from tests.sharding.test_nodes import IDS, Carts, cluster_of, settled
from tests.sim.shop import GetAll, Msg, Put, to


class Handled:
    """What entities have handled: when, and where."""

    def __init__(self) -> None:
        self.all: list[tuple[float, str, int]] = []

    def opener(self, refs: dict[str, Carts], delay: float, *, proxy: bool = False) -> Any:
        def begin(system: Any) -> None:
            def factory(entity_id: str) -> Behavior[Msg]:
                async def receive(ctx: ActorContext[Any], message: Any) -> None:
                    if isinstance(message, Put):
                        self.all.append((trio.current_time(), system.node_id, message.number))
                        await trio.sleep(delay)
                    else:
                        message.reply_to.tell(())

                return Behaviors.receive(receive)

            refs[system.node_id] = system.spawn(Behaviors.sharded(factory, num_shards=12, proxy=proxy), "cart")

        return begin


@pytest.mark.parametrize(("seed", "leaves"), [(0, False), (1, False), (2, False), (3, False), (1, True)])
def test_a_node_that_wakes_when_it_was_removed_handles_nothing(seed: int, *, leaves: bool) -> None:
    """S1, C6: mail that waited for its entities when it was paused, and what has come in meanwhile; also while it leaves."""

    async def scenario(cluster: Cluster) -> None:
        handled, refs = Handled(), dict[str, Carts]()
        await cluster.form("n1", "n2", "n3", begin=handled.opener(refs, 0.5))
        await settled(cluster, 3)
        for number in range(20):
            for entity in IDS:
                refs["n3"].tell(ShardEnvelope(entity, Put(number)))
        await trio.sleep(1)
        if leaves:
            cluster.sim.host("n3").terminate()
        await trio.sleep(1)
        cluster.sim.host("n3").pause()
        paused = trio.current_time()
        assert any(node == "n3" for _, node, _ in handled.all)
        for entity in IDS:
            refs["n1"].tell(ShardEnvelope(entity, Put(100)))
        await trio.sleep(40)
        assert len(cluster.systems["n1"].members) == 2
        cluster.sim.host("n3").resume()
        await trio.sleep(20)
        assert not [each for each in handled.all if each[1] == "n3" and each[0] > paused + 0.01]
        assert isinstance(cluster.errors["n3"], NodeDownedError)

    cluster_of(3, scenario, seed=seed)


def test_a_node_that_wakes_when_it_was_removed_and_did_not_know_that_it_was_up_handles_nothing() -> None:
    """S1, C6: it was given a shard by somebody who had heard of that before it had."""
    slow = Settings(cluster=ClusterSettings(gossip_interval=3.0, gossip_interval_changing=3.0))

    async def scenario(cluster: Cluster) -> None:
        handled, refs = Handled(), dict[str, Carts]()
        await cluster.form("n1", "n2", "n3", begin=handled.opener(refs, 0.5, proxy=True), settings=slow)
        cluster.start("n4", begin=handled.opener(refs, 0.5), settings=slow)
        for number in range(20):
            refs["n1"].tell(ShardEnvelope("a", Put(number)))
        with trio.fail_after(30):
            while not handled.all:  # noqa: ASYNC110 - several nodes have to bring it about
                await trio.sleep(0.01)
        assert cluster.systems["n4"].self_node.status != MemberStatus.UP
        cluster.sim.host("n4").pause()
        before = list(handled.all)
        await trio.sleep(40)
        assert {member.node_id for member in cluster.systems["n1"].members} == {"n1", "n2", "n3"}
        cluster.sim.host("n4").resume()
        await trio.sleep(20)
        assert handled.all == before

    cluster_of(3, scenario, seed=6)


def test_a_node_that_wakes_in_time_goes_on() -> None:
    """S2: as soon as most members have answered; nothing is lost, and all is in order."""

    async def scenario(cluster: Cluster) -> None:
        handled, refs = Handled(), dict[str, Carts]()
        await cluster.form("n1", "n2", "n3", begin=handled.opener(refs, 0.1))
        await settled(cluster, 3)
        for number in range(20):
            refs["n3"].tell(ShardEnvelope("user-1", Put(number)))
        home = cluster.systems["n3"].entity_home("cart", "user-1")
        assert home is not None
        await trio.sleep(0.5)
        cluster.sim.host(home.node_id).pause()
        await trio.sleep(2.5)
        cluster.sim.host(home.node_id).resume()
        woken = trio.current_time()
        await cluster.systems["n1"].ask(refs["n1"], to("user-1", GetAll), timeout=10)
        assert [number for _, _, number in handled.all] == list(range(20))
        assert trio.current_time() < woken + 5.0
        assert {node for _, node, _ in handled.all} == {home.node_id}

    cluster_of(3, scenario)


def test_a_node_that_wakes_alone_goes_on_when_it_has_decided() -> None:
    """S3: nobody answers, for the other one was killed meanwhile; of two the lower address stays."""

    async def scenario(cluster: Cluster) -> None:
        handled, refs = Handled(), dict[str, Carts]()
        await cluster.form("n1", "n2", begin=handled.opener(refs, 0.5))
        await settled(cluster, 2)
        for number in range(20):
            for entity in IDS:
                refs["n1"].tell(ShardEnvelope(entity, Put(number)))
        await trio.sleep(1)
        cluster.sim.host("n1").pause()
        cluster.sim.host("n2").crash()
        await trio.sleep(1.5)
        cluster.sim.host("n1").resume()
        woken = trio.current_time()
        await trio.sleep(30)
        later = [at for at, node, _ in handled.all if node == "n1" and at > woken]
        assert min(later) > woken + 3.0
        assert await cluster.systems["n1"].ask(refs["n1"], to("user-1", GetAll), timeout=20) == ()

    cluster_of(2, scenario)


def test_an_entity_looks_before_each_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """S1: a handler that blocks makes its node late; what is left of the batch waits until the node is sure."""
    late, sure = [False], trio.Event()

    async def wait(self: ClusteredActorSystem) -> None:
        await sure.wait()

    monkeypatch.setattr(ClusteredActorSystem, "in_doubt", property(lambda self: late[0]))
    monkeypatch.setattr(ClusteredActorSystem, "sure", wait)

    async def scenario(cluster: Cluster) -> None:
        handled: list[int] = []

        def factory(entity_id: str) -> Behavior[Msg]:
            def receive(ctx: ActorContext[Any], message: Any) -> None:
                handled.append(message.number)
                late[0] = message.number == 1

            return Behaviors.receive(receive)

        await cluster.form("n1")
        carts = cluster.systems["n1"].spawn(Behaviors.sharded(factory, num_shards=12), "cart")
        await settled(cluster, 1)
        for number in range(5):
            carts.tell(ShardEnvelope("a", Put(number)))
        await trio.sleep(1)
        assert handled == [0, 1]
        late[0] = False
        sure.set()
        await trio.sleep(1)
        assert handled == [0, 1, 2, 3, 4]

    cluster_of(1, scenario)
