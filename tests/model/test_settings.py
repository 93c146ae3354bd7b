"""Settings are checked when they are made."""

import math
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from casty_trio import LinkSettings, SettingsError


def test_defaults_are_good() -> None:
    """L14: the defaults are what the documents say."""
    settings = LinkSettings()
    assert (settings.max_frame, settings.max_message, settings.queue) == (64 * 1024, 4 * 1024 * 1024, 8 * 1024 * 1024)
    assert (settings.handshake_timeout, settings.close_timeout) == (5.0, 1.0)
    with pytest.raises(FrozenInstanceError):
        settings.queue = 1  # type: ignore[misc] # frozen


@pytest.mark.parametrize("name", [field.name for field in fields(LinkSettings)])
@pytest.mark.parametrize("value", [0, -1, math.nan])
def test_nothing_is_zero_or_less(name: str, value: Any) -> None:
    """L14: the error names the setting."""
    with pytest.raises(SettingsError, match=rf"LinkSettings\.{name}"):
        LinkSettings(**{name: value})


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"max_frame": 1023}, "max_frame"),
        ({"max_message": 64 * 1024 - 1}, "max_message"),
        ({"queue": 4 * 1024 * 1024 - 1}, "queue"),
    ],
)
def test_sizes_fit_together(values: dict[str, Any], name: str) -> None:
    """L14: a frame fits in a message, a message in the queue."""
    with pytest.raises(SettingsError, match=name):
        LinkSettings(**values)


def test_the_smallest_that_work() -> None:
    """L14: the bounds themselves are allowed."""
    assert LinkSettings(max_frame=1024, max_message=1024, queue=1024).queue == 1024
