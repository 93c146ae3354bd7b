"""Random trees under random failures, stops and cancellations, a function of the seed (L3, L4, L6, L10)."""

import functools

import pytest

from casty_trio.testing import simulate
from tests.actors.forest import scenario

SEEDS = 400
"""For each way out; a failing one is named in a note on the error, and replays."""


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL")


@pytest.mark.parametrize("way", ["normal", "raise", "cancel"])
def test_trees_end_whole_and_every_message_and_watch_is_accounted_for(way: str) -> None:
    """L3: no task is left, children end first; L4: each message is found once; L6: each watch ends once; L10: hooks."""
    heard = sum(simulate(functools.partial(scenario, way), seed).value for seed in range(SEEDS))
    assert heard > SEEDS  # the books were about something


@pytest.mark.parametrize("way", ["normal", "cancel"])
def test_a_seed_is_one_run(way: str) -> None:
    """L3, L4, L6: what fails once fails again."""
    for seed in range(3):
        first, second = (simulate(functools.partial(scenario, way), seed) for _ in range(2))
        assert (first.digest, first.steps, first.value) == (second.digest, second.steps, second.value)
