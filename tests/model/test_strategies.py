"""How long a back-off waits."""

import random

import pytest
from hypothesis import given, strategies as st

from casty_trio import Backoff

SECONDS = st.floats(0.001, 1_000.0)


@given(SECONDS, SECONDS, st.floats(1.0, 5.0), st.integers(1, 200))
def test_each_wait_is_the_one_before_times_the_factor(initial: float, more: float, factor: float, restarts: int) -> None:
    """L8: up to the maximum, where it stays."""
    backoff = Backoff(initial, initial + more, factor, jitter=0.0)
    wait = initial
    for _ in range(restarts - 1):
        wait = min(wait * factor, initial + more)
    assert backoff.delay(restarts, random.Random(1)) == pytest.approx(wait)


@given(st.integers(1, 10**9), st.floats(0.0, 0.99), st.integers())
def test_a_wait_is_bounded_for_ever(restarts: int, jitter: float, seed: int) -> None:
    """L8: by the jitter around the maximum, also for who tries for years; and computed at once."""
    wait = Backoff(0.1, 3.0, 2, jitter).delay(restarts, random.Random(seed))
    assert 0.1 * (1 - jitter) <= wait <= 3.0 * (1 + jitter)
