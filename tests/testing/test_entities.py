"""What the bench finds wrong with entities (S1), and that it asks each of them in the end (S3)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import trio

from casty_trio.testing import Bench, Plan, entities, run_plan
from casty_trio.testing.clustered import clustered
from casty_trio.testing.entities import OneInstance
from casty_trio.testing.faults import Partition
from casty_trio.testing.observer import Life
from tests.testing.test_bench import A, B, Story, bites, told


@pytest.fixture
def clusters(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """In which cluster each node is, by its name."""
    found: dict[str, int] = {}

    def system_of(life: Life) -> Any:
        return SimpleNamespace(cluster_state=SimpleNamespace(cluster=found[life.node]), in_doubt=False)

    monkeypatch.setattr(entities, "system_of", system_of)
    return found


def begins(*names: str, at: float) -> Story:
    """An entity begins on one node after another."""

    async def story(bench: Bench) -> None:
        one = bench.observer.add(OneInstance())
        await trio.sleep_until(at)
        for name in names:
            life = bench.observer.life_of(name)
            assert life is not None
            one.begins(life, "cart")

    return story


def test_s1_two_instances_are_found(clusters: dict[str, int]) -> None:
    """Also where the nodes do not hear each other, for of two sides one has stopped before; and on a node that has left."""
    clusters |= {A: 7, B: 7}
    bites("S1 one instance: node-2, 20.000000 s: cart begins, and lives on node-1", story=begins(A, B, at=20))
    bites("cart begins, and lives on node-1", Partition(5, ((A,), (B,)), 10.0), story=begins(A, B, at=14))
    told(story=begins(A, A, at=20))
    clusters[A] = 0
    bites("cart begins, and lives on node-1", story=begins(A, B, at=20))


def test_s1_two_clusters_have_one_each(clusters: dict[str, int]) -> None:
    """Nodes that start anew where they cannot reach the cluster found another one."""
    clusters |= {A: 7, B: 8}
    told(story=begins(A, B, at=20))


@pytest.mark.parametrize("seed", [0, 9])
def test_s3_each_entity_is_asked_in_the_end(seed: int) -> None:
    """As long as the calm is a bit more than twice what it takes to ask each of them once."""
    run_plan(clustered, Plan(seed=seed, nodes=3, length=8.0, calm=24.0))
