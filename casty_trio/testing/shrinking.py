"""Makes a plan that fails smaller for as long as it still fails. Floor F6.

Steps are left out first, by halves, quarters and so on (delta debugging), then knobs are set back to what is usual, then
nodes that no step names and time that no step needs. Each try is a whole run, so there is a limit to them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from math import inf
from typing import Any

from casty_trio.testing.plan import Knobs, Plan

__all__ = ["shrink"]

TRIES = 200
"""So many runs at most, when nothing is said."""

FEWEST = 3
"""No fewer nodes are tried."""


def shrink(plan: Plan, fails: Callable[[Plan], bool], *, tries: int = TRIES) -> Plan:
    """The smallest plan that was found to fail still.

    Parameters:
        plan: one that fails.
        fails: whether a plan does; it should look for the same failure, and not for just any.
        tries: how often it may be called.

    Example:
        >>> from casty_trio.testing.faults import Restart
        >>> plan = Plan(seed=1, steps=tuple(Restart(float(at), "node-1") for at in range(20)))
        >>> len(shrink(plan, lambda plan: any(step.at == 7 for step in plan.steps)).steps)
        1
    """
    left = _Left(fails, tries)
    while (smaller := _simpler(_fewer_steps(plan, left), left)) != plan:
        plan = smaller
    return plan


class _Left:
    """Asks whether a plan fails, so many times; then no further one does."""

    def __init__(self, fails: Callable[[Plan], bool], tries: int) -> None:
        self._fails, self._tries = fails, tries

    def fails(self, plan: Plan) -> bool:
        self._tries -= 1
        return self._tries >= 0 and self._fails(plan)


def _fewer_steps(plan: Plan, left: _Left) -> Plan:
    """Zeller's delta debugging: leave out ever smaller parts, until no single step can be."""
    size = len(plan.steps)
    while size:
        for start in reversed(range(0, len(plan.steps), size)):
            smaller = replace(plan, steps=plan.steps[:start] + plan.steps[start + size :])
            if len(smaller.steps) < len(plan.steps) and left.fails(smaller):
                plan = smaller
        size = min(size // 2, len(plan.steps))
    return plan


def _simpler(plan: Plan, left: _Left) -> Plan:
    """Try each simplification once, on what the ones before have left."""
    usual = Knobs()
    changes: list[Callable[[Plan], Plan]] = [
        *(partial(_with_knob, name=each.name, value=getattr(usual, each.name)) for each in fields(Knobs)),
        _without_last_node,
        _without_last_node,
        _without_last_node,
        _without_last_node,
        _shorter,
    ]
    for change in changes:
        smaller = change(plan)
        if smaller != plan and left.fails(smaller):
            plan = smaller
    return plan


def _with_knob(plan: Plan, name: str, value: Any) -> Plan:
    return replace(plan, knobs=replace(plan.knobs, **{name: value}))


def _without_last_node(plan: Plan) -> Plan:
    """One node fewer, if no step is about it and three are left: two are no cluster that could decide anything."""
    last = plan.names[-1]
    if plan.nodes <= FEWEST or any(repr(last) in repr(step) for step in plan.steps):
        return plan
    return replace(plan, nodes=plan.nodes - 1)


def _shorter(plan: Plan) -> Plan:
    """No more time for faults than they take."""
    needed = max((step.at + (step.lasts if step.lasts < inf else 0.0) for step in plan.steps), default=0.0)
    return replace(plan, length=min(plan.length, needed + 1.0))
