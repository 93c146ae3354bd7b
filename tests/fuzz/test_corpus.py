"""Every input that was ever worth keeping does no harm (W1, W2, W3)."""

import pytest

from tests.fuzz.targets import TARGETS, corpus, seeds


@pytest.mark.parametrize("target", TARGETS)
def test_kept_inputs_do_no_harm(target: str) -> None:
    kept = list(corpus(target))
    assert len(kept) > 20
    for data in kept:
        TARGETS[target](data)


@pytest.mark.parametrize("target", TARGETS)
def test_good_inputs_do_no_harm(target: str) -> None:
    good = list(seeds(target))
    assert good
    for data in [*good, b""]:
        TARGETS[target](data)
