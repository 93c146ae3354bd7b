"""What the bench finds wrong with singletons (S8)."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from casty_trio.protocol.singleton import Singleton
from casty_trio.singleton.place import Place
from casty_trio.testing import InvariantError, Plan, Swarm, run_plan
from casty_trio.testing.clustered import clustered
from casty_trio.testing.faults import Leave
from casty_trio.testing.observer import Life
from casty_trio.testing.singletons import OneSingleton
from tests.sim.planned import planned

LEAVES = (Leave(at=10.0, node="node-1", seconds=5.0), Leave(at=25.0, node="node-2", seconds=5.0))
PLANNED = Plan(seed=3, nodes=3, steps=LEAVES, length=35.0, calm=40.0)
BUSY = Plan(seed=15, nodes=3, steps=LEAVES, length=35.0, calm=40.0)
"""One in which something is told while nobody runs it."""
QUIET = Plan(seed=3, nodes=3, length=10.0, calm=20.0)


def test_one_singleton_from_the_beginning_on() -> None:
    """S8: it never runs twice, when nodes start at once, and when they leave one after the other; and all is handled."""
    figures = run_plan(planned, PLANNED).figures
    assert figures["singletons begun"] >= 2
    assert figures["singleton told"] > 50


@pytest.mark.long
@pytest.mark.parametrize("seed", [7, 8])
def test_a_singleton_of_a_cluster_in_trouble(seed: int) -> None:
    """S8: with pauses, cuts and crashes it moves often, runs once, and answers all when it is over."""
    assert run_plan(clustered, Swarm().plan(seed)).figures["singletons begun"] >= 2


def impatient(self: Singleton, now: float) -> None:
    """A claim waits for nobody."""
    self._waiting.clear()
    if self.phase.value == "idle" and self._eligible:
        self.phase = type(self.phase)("claiming")


def never(self: Any, *_: Any) -> None:
    """Do nothing."""


@pytest.mark.long
@pytest.mark.parametrize(
    ("plan", "kind", "name", "bug", "seen"),
    [
        (PLANNED, Singleton, "_consider", impatient, "S8 one singleton.*begins, and lives on node-"),
        (BUSY, Place, "_hold", never, "S8 complete.*were not handled"),
        (QUIET, Place, "_start", never, "S8 singleton answers.*no answer of the singleton has come to node-1, node-2"),
    ],
)
def test_a_singleton_with_a_bug_is_found(
    monkeypatch: pytest.MonkeyPatch, plan: Plan, kind: type[Any], name: str, bug: Callable[..., Any], seen: str
) -> None:
    """S8: one that is there twice, mail that is lost, and one that nobody runs any more."""
    monkeypatch.setattr(kind, name, bug)
    with pytest.raises(InvariantError, match=seen):
        run_plan(clustered if plan is QUIET else planned, plan)


async def test_two_that_run_are_found_later_too() -> None:
    """S8: as when one was paused when the other began, and goes on though it was removed."""
    errors: list[Exception] = []
    awake, steady = {"a", "b"}, {"a": -100.0, "b": -100.0}
    nodes = SimpleNamespace(awake=awake, steady_since=steady.get)
    observer: Any = SimpleNamespace(nodes=nodes, hears=lambda node: True, fail=errors.append)
    state = SimpleNamespace(cluster=1)
    system: Any = SimpleNamespace(in_doubt=False, cluster_state=state)
    a, b = (Life(node, uid, system, 0.0) for uid, node in enumerate("ab", 1))
    one = OneSingleton()
    one.bind(observer)
    awake.remove("a")
    one.begins(a, "singleton")
    one.begins(b, "singleton")
    one.poll()
    awake.add("a")
    steady["a"] = trio.current_time()
    one.poll()
    assert errors == [], "it may not know yet"
    steady["a"] -= 6.0
    one.poll()
    assert "S8 one singleton: a" in str(errors[0])
    assert "it runs the singleton, and so does b" in str(errors[0])
    one.ends(a, "singleton")
    one.poll()
    assert len(errors) == 1
