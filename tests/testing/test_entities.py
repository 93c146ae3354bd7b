"""What the bench finds wrong with entities (S1), and that it asks each of them in the end (S3)."""

from __future__ import annotations

import pytest
import trio

from casty_trio.testing import Bench, Plan, run_plan
from casty_trio.testing.clustered import clustered
from casty_trio.testing.entities import OneInstance
from casty_trio.testing.faults import Partition
from casty_trio.testing.observer import Life
from tests.testing.test_bench import A, B, Story, bites, told


def begins(*where: tuple[str, int], at: float) -> Story:
    """An entity begins on one node after another, each of them in that cluster."""

    async def story(bench: Bench) -> None:
        one = bench.observer.add(OneInstance())
        await trio.sleep_until(at)
        for name, cluster in where:
            one.begins(_living(bench, name), "cart", cluster)

    return story


def _living(bench: Bench, name: str) -> Life:
    life = bench.observer.life_of(name)
    assert life is not None
    return life


def test_s1_two_instances_are_found() -> None:
    """Also where the nodes do not hear each other: of two sides one has to have stopped before."""
    bites("S1 one instance: node-2, 20.000000 s: cart begins, and lives on node-1", story=begins((A, 7), (B, 7), at=20))
    bites("cart begins, and lives on", Partition(5, ((A,), (B,)), 10.0), story=begins((A, 7), (B, 7), at=14))
    told(story=begins((A, 7), (A, 7), at=20))


def test_s1_two_clusters_have_the_time_to_meet() -> None:
    """From when they can: the cluster of nodes that start anew where they cannot reach the old one is another."""
    cut = Partition(5, ((A,), (B,)), 5.0)
    told(cut, story=begins((A, 7), (B, 8), at=9))
    told(cut, story=begins((A, 7), (B, 8), at=24))
    bites("cart begins, and lives on node-1", cut, story=begins((A, 7), (B, 8), at=26))


@pytest.mark.parametrize("seed", [0, 9])
def test_s3_each_entity_is_asked_in_the_end(seed: int) -> None:
    """As long as the calm is twice what it takes to ask each of them once."""
    run_plan(clustered, Plan(seed=seed, nodes=3, length=8.0, calm=21.0))
