"""Exceptions in words, also badly made ones. Floor F1: pure.

Whoever wrote an exception class may have broken its ``str()``, ``repr()``, ``bool()`` or ``add_note()``. None of these may
decide what becomes of an actor, so they are only called from here.
"""

from __future__ import annotations

import traceback
from contextlib import suppress

__all__ = ["add_note", "in_code", "in_words"]


def in_words(error: BaseException) -> str:
    """An exception's type and text, also of one whose own ``str()`` raises."""
    try:
        return traceback.format_exception_only(error)[0].strip()
    except Exception:  # noqa: BLE001 - some method of the exception
        return type(error).__name__


def in_code(error: BaseException) -> str:
    """An exception's ``repr()``; its words, where that raises."""
    try:
        return repr(error)
    except Exception:  # noqa: BLE001 - its repr()
        return in_words(error)


def add_note(error: BaseException, note: str) -> None:
    """Add a note, where an exception takes one."""
    with suppress(Exception):
        BaseException.add_note(error, note)
