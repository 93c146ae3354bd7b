"""Logging a failure without failing. Floor F2."""

from __future__ import annotations

import logging
from contextlib import suppress

from casty_trio.model.words import in_words

__all__ = ["log_failure"]


def log_failure(log: logging.Logger, failure: Exception, text: str, *args: object) -> None:
    """Log an exception with its traceback; in words, where it is made so badly that it has none to show."""
    try:
        log.error(text, *args, exc_info=(type(failure), failure, failure.__traceback__))
    except Exception:  # noqa: BLE001 - a method of the failure, or a handler of the program's
        with suppress(Exception):
            log.error(f"{text}: %s", *args, in_words(failure))  # noqa: G004 # the text has places for the arguments
