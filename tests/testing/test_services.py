"""What the bench finds wrong with listings (R1, R2)."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import pytest

from casty_trio.client.services import ClientServices
from casty_trio.model.services import Listing
from casty_trio.protocol.registry import Registry
from casty_trio.testing import InvariantError, Plan, Swarm, run_plan
from casty_trio.testing.clustered import clustered
from casty_trio.testing.faults import Crash, Isolate, Kill, Partition, Restart

PLAN = Plan(seed=3, nodes=3, length=10.0, calm=20.0)


def test_services_come_and_go_and_all_is_well() -> None:
    """R1: without any fault; with all of them it is looked at on every seed."""
    figures = run_plan(clustered, PLAN).figures
    assert figures["services"] > 10
    assert figures["listings"] > 20


HARD = Swarm(kinds=(Crash, Kill, Restart, Partition, Isolate), chance=1.0, nodes=(3, 3), length=(30.0, 40.0))


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("seed", [4, 5])
def test_through_crashes_and_partitions(seed: int) -> None:
    """R1, R2: dead refs are gone and none is lost, for each node and for a client on each host, when it is over."""
    plan = HARD.plan(seed)
    assert {step.kind for step in plan.steps} & {"Crash", "Kill", "Restart"}
    assert {step.kind for step in plan.steps} & {"Isolate", "Partition"}
    figures = run_plan(clustered, plan).figures
    assert figures["services"] > 20
    assert figures["clients"] == 3


def deaf(self: ClientServices, body: object) -> None:
    """Hears of services once."""
    if not self._by_key:
        HEARD(self, body)


HEARD: Any = ClientServices.on_frame


def test_a_client_that_hears_of_no_change_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """R1."""
    monkeypatch.setattr(ClientServices, "on_frame", deaf)
    with pytest.raises(InvariantError, match=r"R1 listings.*to its client, <ClusterClient of bench.*it lists"):
        run_plan(clustered, PLAN)


def never_withdrawn(self: Registry, entry: Any) -> bool:
    return False


def never_compared(self: Registry, now: float) -> list[Any]:
    self.next_wakeup = inf
    return []


@pytest.mark.parametrize(
    ("name", "bug", "seen"),
    [
        ("remove", never_withdrawn, r"missing are \[\], and gone are \[/\$"),
        ("flush", lambda self: [], r"missing are \[/\$"),
    ],
)
def test_a_registry_with_a_bug_is_found(
    monkeypatch: pytest.MonkeyPatch, name: str, bug: Callable[..., Any], seen: str
) -> None:
    """R1: services that are gone, or missing."""
    monkeypatch.setattr(Registry, name, bug)
    if name == "flush":
        monkeypatch.setattr(Registry, "tick", never_compared)
    with pytest.raises(InvariantError, match=f"R1 listings.*{seen}"):
        run_plan(clustered, PLAN)


def test_a_listing_that_is_told_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """R2."""
    monkeypatch.setattr(Listing, "__eq__", lambda self, other: False)
    monkeypatch.setattr("casty_trio.testing.services._same", lambda one, other: True)
    with pytest.raises(InvariantError, match=r"R1 listings.*is told the same twice"):
        run_plan(clustered, PLAN)
