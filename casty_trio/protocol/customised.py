"""Tells the types that the hooks of a user's cattrs converter serve. Floor F1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cattrs

from casty_trio.protocol.shapes import is_data

__all__ = ["customised_by"]


def customised_by(converter: cattrs.Converter | None) -> Callable[[Any], bool]:
    """A test for the types that a converter serves in another way than a new one does.

    A data class counts when a hook was registered for it, by name or predicate; a hook factory for data classes does not:
    what it makes cannot be told from what cattrs makes by itself.
    """
    if converter is None:
        return lambda annotation: False
    theirs, usual = converter, cattrs.Converter()

    def customised(annotation: Any) -> bool:
        pairs = (
            (theirs.get_unstructure_hook, usual.get_unstructure_hook),
            (theirs.get_structure_hook, usual.get_structure_hook),
        )
        return any(_differ(_hook(mine, annotation), _hook(other, annotation), annotation) for mine, other in pairs)

    return customised


def _hook(get: Callable[..., Any], annotation: Any) -> Any:
    try:
        hook = get(annotation, cache_result=False)
        if is_data(annotation) and get(annotation, cache_result=False) is not hook:
            return None  # made anew each time: by cattrs, from the fields
    except (cattrs.errors.StructureHandlerNotFoundError, NameError, TypeError, AttributeError, ValueError):
        return None
    return hook


def _differ(mine: Any, usual: Any, annotation: Any) -> bool:
    return mine is not None and _code(mine) != _code(usual) and mine is not annotation


def _code(hook: Any) -> Any:
    """What makes two hooks the same: their code; the converter they belong to does not."""
    function = getattr(hook, "__func__", hook)
    return getattr(function, "__code__", function)
