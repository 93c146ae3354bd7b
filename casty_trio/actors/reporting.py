"""Saying what went wrong: to a log without failing, and to whoever wrote a handler. Floor F2."""

from __future__ import annotations

import logging
from contextlib import suppress

from casty_trio.errors import UsageError
from casty_trio.model.kinds import SAME
from casty_trio.model.words import in_words

__all__ = ["log_failure", "not_a_behavior"]


def log_failure(log: logging.Logger, failure: Exception, text: str, *args: object) -> None:
    """Log an exception with its traceback; in words, where it is made so badly that it has none to show."""
    try:
        log.error(text, *args, exc_info=(type(failure), failure, failure.__traceback__))
    except Exception:  # noqa: BLE001 - a method of the failure, or a handler of the program's
        with suppress(Exception):
            log.error(f"{text}: %s", *args, in_words(failure))  # noqa: G004 # the text has places for the arguments


def not_a_behavior(path: str, result: object) -> UsageError:
    """What an actor fails with that begins, or goes on, with anything else."""
    if result is None or result is SAME:
        return UsageError(f"{path} began with {result!r}: begin with Behaviors.receive(...) or setup(...)")
    return UsageError(f"a handler of {path} returned {result!r}: return a Behavior, or None to keep the present one")
