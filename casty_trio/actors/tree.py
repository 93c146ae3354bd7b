"""The tree of actors as text, for people. Floor F2."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import trio

if TYPE_CHECKING:
    from casty_trio.actors.cell import Cell
    from casty_trio.actors.family import Family

__all__ = ["draw"]


def draw(family: Family) -> Iterator[str]:
    """A line for each actor below, with branches."""
    cells = list(family.cells.values())
    for cell in cells:
        last = cell is cells[-1]
        yield f"{'└── ' if last else '├── '}{cell.name}  {_state(cell)}, {cell.queued} queued"
        if cell.children is not None:
            for line in draw(cell.children):
                yield f"{'    ' if last else '│   '}{line}"


def _state(cell: Cell[Any]) -> str:
    if cell.stopping:
        return "stopping"
    if cell.napping:
        return "waiting to restart"
    if cell.busy_since is not None:
        return f"busy for {trio.current_time() - cell.busy_since:.1f} s"
    return "running"
