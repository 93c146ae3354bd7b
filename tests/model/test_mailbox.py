"""What a mailbox may be told."""

import math
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from casty_trio import Mailbox, SettingsError


@pytest.mark.parametrize("capacity", [1, 1000, math.inf])
@pytest.mark.parametrize("overflow", ["drop_new", "drop_oldest", "reject"])
def test_good_ones(capacity: float, overflow: Any) -> None:
    """L4: every capacity from one up, every rule."""
    mailbox = Mailbox(capacity, overflow=overflow)
    assert (mailbox.capacity, mailbox.overflow) == (capacity, overflow)
    assert mailbox == Mailbox(capacity, overflow)
    with pytest.raises(FrozenInstanceError):
        mailbox.capacity = 2  # type: ignore[misc] # frozen


def test_without_a_word_it_has_no_bound() -> None:
    """L4: unbounded, and nothing is dropped."""
    assert Mailbox() == Mailbox(math.inf, "drop_new")


@pytest.mark.parametrize("capacity", [0, -1, 0.5, math.nan, -math.inf])
def test_no_room_is_refused(capacity: float) -> None:
    """L4: at least one message has to fit."""
    with pytest.raises(SettingsError, match=r"Mailbox\.capacity"):
        Mailbox(capacity)


@pytest.mark.parametrize("overflow", ["", "drop", "DROP_NEW", None])
def test_unknown_rules_are_refused(overflow: Any) -> None:
    """L4: the error lists what there is."""
    with pytest.raises(SettingsError, match="drop_oldest"):
        Mailbox(1, overflow=overflow)
