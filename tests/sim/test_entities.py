"""S1 to S5 on whole clusters, seed by seed; `planned` and the swarm run many more."""

from __future__ import annotations

import pytest

from casty_trio.testing import Swarm, run_plan
from casty_trio.testing.clustered import clustered
from tests.sim import planned

pytestmark = pytest.mark.long


@pytest.mark.parametrize("seed", [8, 10])
def test_rolling_restarts_lose_nothing(seed: int) -> None:
    """S2, S4, C8: what entities are told is handled, once, in order; and then all is even, and still."""
    figures = run_plan(planned.planned, planned.rolling(seed)).figures
    assert figures["items told"] > 100
    assert figures["hand-offs"] > 20


@pytest.mark.parametrize("seed", [3, 21])
def test_entities_of_a_cluster_in_trouble(seed: int) -> None:
    """S1, S3, S4: one instance of each, and all of them answer when it is over."""
    figures = run_plan(clustered, Swarm(nodes=(3, 4)).plan(seed)).figures
    assert figures["entities begun"] > 10


def test_a_slice_of_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    """The command tells what it has done."""
    assert planned.main(["--seeds", "42..43"]) == 0
    assert "seeds, of which failed: 1, 0" in capsys.readouterr().out
