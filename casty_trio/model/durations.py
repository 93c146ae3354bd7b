"""Checks of times that programs give, in seconds. Floor F1: pure."""

from __future__ import annotations

import math
from numbers import Real

from casty_trio.errors import SettingsError, UsageError

__all__ = ["check_number", "check_seconds"]


def check_number(value: object, what: str) -> None:
    """Refuse what is no number.

    Raises:
        SettingsError: it is none; True and False are none either.
    """
    if not isinstance(value, Real) or isinstance(value, bool):
        raise SettingsError(f"{what} must be a number, not {value!r}")


def check_seconds(
    value: object, what: str, *, above: bool = False, endless: bool = True, error: type[UsageError] = SettingsError
) -> None:
    """Refuse what is no time: NaN, text, True and False, and what is below zero.

    Parameters:
        value: what the program gave.
        what: how the program calls it.
        above: whether it must be more than 0.
        endless: whether it may be ``math.inf``.
        error: the class of what is raised.

    Raises:
        UsageError: or that subclass of it.
    """
    if isinstance(value, Real) and not isinstance(value, bool):
        seconds = float(value)
        if (seconds > 0 or (seconds == 0 and not above)) and (endless or seconds < math.inf):
            return
    limits = "greater than 0" if above else "0 or more"
    end = "" if endless else ", and finite"
    raise error(f"{what} must be a number of seconds, {limits}{end}, not {value!r}")
