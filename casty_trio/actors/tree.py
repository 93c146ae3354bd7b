"""The tree of actors as text, for people. Floor F2: without recursion, for trees may be deeper than Python's stack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import trio

from casty_trio.actors.waiting import age_of_oldest

if TYPE_CHECKING:
    from casty_trio.actors.cell import Cell
    from casty_trio.actors.family import Family

__all__ = ["draw"]

LEVELS = 50
"""From how many levels on the branches are counted instead of drawn: their width times their number is no text to read."""


def draw(family: Family) -> Iterator[str]:
    """A line for each actor below, with branches."""
    now = trio.current_time()
    levels = [(iter(list(family.cells.values())), "")]
    ends = [_last(family)]
    while levels:
        cells, branches = levels[-1]
        cell = next(cells, None)
        if cell is None:
            levels.pop()
            ends.pop()
            continue
        last = cell is ends[-1]
        drawn = f"{branches}{'└── ' if last else '├── '}" if len(levels) <= LEVELS else f"({len(levels)} levels down) "
        yield f"{drawn}{cell.name}  {_state(cell, now)}, {cell.queued} queued{_age(cell, now)}"
        if cell.children is not None:
            below = f"{branches}{'    ' if last else '│   '}" if len(levels) < LEVELS else ""
            levels.append((iter(list(cell.children.cells.values())), below))
            ends.append(_last(cell.children))


def _last(family: Family) -> Cell[Any] | None:
    return next(reversed(family.cells.values()), None)


def _state(cell: Cell[Any], now: float) -> str:
    if cell.stopping:
        return "stopping"
    if cell.napping:
        return "waiting to restart"
    if cell.busy_since is not None:
        return f"busy for {now - cell.busy_since:.1f} s"
    return "running"


def _age(cell: Cell[Any], now: float) -> str:
    bounds = age_of_oldest(cell, now)
    if bounds is None:
        return ""
    least, greatest = (f"{bound:.1f}" for bound in bounds)
    return f", the oldest for {greatest} s" if least == greatest else f", the oldest for {least} to {greatest} s"
