"""Lives that are cancelled at every step of theirs: nothing of them may be left (L3)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from casty_trio.testing import Conditions, Simulation, simulate
from tests.sim.shop import census

Live = Callable[[Simulation], Awaitable[None]]

WHILE = 0.000_2
"""Seconds between two cancellations ``by`` time."""

MOST = 400


def assert_nothing_is_left(by: str, live: Live) -> None:
    """Run a life again and again in a world of its own, cancelled a little later each time.

    Args:
        by: what a little later is: ``"steps"``, a round of the scheduler, or ``"time"``.
        live: what is run.
    """
    assert 20 < simulate(lambda sim: count_lives(sim, by, live), 5).value < MOST


async def count_lives(sim: Simulation, by: str, live: Live, *, rest: float = 0.0) -> int:
    """How often a life is cancelled before it ends by itself.

    Args:
        rest: how long what it said last may be on its way, in seconds.
    """
    if by == "steps":
        sim.network.set_conditions(Conditions(delay=(0, 0)))  # so that all happens in one moment, step by step
    before, listeners = census(), _listeners(sim)
    for steps in range(MOST):
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as scope:
                nursery.start_soon(_cancel_after, steps, by, scope)
                await live(sim)
            nursery.cancel_scope.cancel()
        if rest:
            await trio.sleep(rest)
        assert census() == before, census() - before
        assert _listeners(sim) == listeners
        if not scope.cancelled_caught:
            return steps
    raise AssertionError("it never ends")


async def _cancel_after(steps: int, by: str, scope: trio.CancelScope) -> None:
    for _ in range(steps):
        if by == "time":
            await trio.sleep(WHILE)
        else:
            await trio.lowlevel.checkpoint()
    scope.cancel()


def _listeners(sim: Simulation) -> str:
    return repr(sim.network).partition(" listeners")[0]
