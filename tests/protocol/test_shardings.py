"""S1 to S4: shard machines on random links; every seed is another order of what happens."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import pytest

from casty_trio import RendezvousHash, ShardHost
from tests.protocol.shardings import LEAVING, Cluster

SEEDS = [*range(10), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(10, 40))]
ONCE_WRONG = {
    "mail waits for a home that began anew, and crashes": [146, 454, 505],
    "a home is told of before it is known as a member": [44, 255, 270, 334, 341, 634],
    "a target has handled what was left, and is gone before the owner knows": [1616],
    "the type ends while its mail is about to be let go": [845, 2182],
}
KNOWN = [pytest.param(seed, id=f"{seed}, {what}") for what, seeds in ONCE_WRONG.items() for seed in seeds]


def check_all_handled(cluster: Cluster) -> None:
    for node in cluster.nodes.values():
        for shard, number in node.sent.items():
            assert cluster.handled.get((shard, node.uid), []) == list(range(1, number + 1))


def leave(cluster: Cluster, uid: int) -> None:
    """A node hands its shards over, and goes when it has none."""
    node = cluster.nodes[uid]
    cluster.do(node, node.homes.set_hosts(cluster.now, hosts=False))
    for _ in range(20_000):
        cluster.step()
        if node.homes.free_to_go and not any(node.held.values()):
            break
    else:
        raise AssertionError(f"{uid} does not get rid of its shards: {cluster.explain()}")
    cluster.status(uid, LEAVING)
    for _ in range(60):
        cluster.step()
    assert node.homes.empty
    while any(lane[0] == uid or lane[1] == uid for lane in cluster.lanes if lane[2] == "user"):
        cluster.step()
    node.alive = False
    for lane in [lane for lane in cluster.lanes if lane[1] == uid]:
        del cluster.lanes[lane]
    cluster.remove(uid)


@pytest.mark.parametrize("seed", SEEDS)
def test_planned_changes_lose_and_reorder_nothing(seed: int) -> None:
    """S2, S1: joins, leaves and rebalances, with everybody sending all the time."""
    cluster = Cluster(random.Random(seed), shards=5)
    for _ in range(3):
        cluster.join()
    for round_ in range(5):
        for _ in range(400):
            cluster.step()
            if cluster.rng.random() < 0.3:
                node = cluster.rng.choice(cluster.living())
                if node.homes.hosts:
                    cluster.tell(node, cluster.rng.randrange(cluster.shards))
        if round_ % 2:
            cluster.join()
        elif len(cluster.living()) > 2:
            leave(cluster, cluster.rng.choice(cluster.living()[:2]).uid)
    cluster.settle()
    check_all_handled(cluster)
    assert cluster.moved
    assert not cluster.strays


@pytest.mark.parametrize("seed", [*SEEDS, *KNOWN])
def test_crashes_and_cuts_end_in_a_cluster_that_answers(seed: int) -> None:  # noqa: C901 - it says what happens
    """S1, S3: any node may go at any time, and connections break; order holds, and in the end everything has one home."""
    cluster = Cluster(random.Random(seed), shards=5)
    for _ in range(4):
        cluster.join()
    for _ in range(2500):
        cluster.step()
        chance = cluster.rng.random()
        if chance < 0.3:
            cluster.tell(cluster.rng.choice(cluster.with_type() or cluster.living()), cluster.rng.randrange(cluster.shards))
        elif chance < 0.302 and len(cluster.living()) > 2:
            cluster.crash(cluster.rng.choice(cluster.living()).uid)
        elif chance < 0.305 and len(cluster.living()) < 6:
            cluster.join()
        elif chance < 0.32:
            cluster.cut()
        elif chance < 0.323:
            node = cluster.rng.choice(cluster.living())
            if not node.open:
                cluster.reopen(node)
            elif len(cluster.with_type()) > 1:
                cluster.shut(node)
    if not cluster.with_type():  # the others have crashed
        cluster.reopen(cluster.living()[0])
    cluster.settle()
    for node in cluster.with_type():
        for shard in range(cluster.shards):
            cluster.tell(node, shard)
    cluster.settle()
    for node in cluster.with_type():
        for shard in range(cluster.shards):
            assert cluster.handled[shard, node.uid][-1] == node.sent[shard]


class Restless(RendezvousHash):
    """Moves every shard on, from host to host, as soon as it may."""

    def rebalance(self, hosts: Sequence[ShardHost], moving: int) -> Mapping[int, ShardHost]:
        return {shard: hosts[place - 1] for place, host in enumerate(hosts) for shard in host.shards}


@pytest.mark.parametrize("seed", SEEDS)
def test_shards_that_move_all_the_time_do_move(seed: int) -> None:
    """S2: no move has to be called off, though the next begins before all have heard of the last."""
    cluster = Cluster(random.Random(seed), shards=3, strategy=Restless())
    for _ in range(3):
        cluster.join()
    for _ in range(6_000):
        cluster.step()
        if cluster.rng.random() < 0.1:
            cluster.tell(cluster.rng.choice(cluster.living()), cluster.rng.randrange(cluster.shards))
    assert cluster.called_off == 0
    assert cluster.moved > 40
