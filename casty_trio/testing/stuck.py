"""Tells where every task of a run is, for the errors of runs that do not end. Floor F6."""

from __future__ import annotations

from collections.abc import Iterator

import trio

__all__ = ["census", "where_tasks_are"]

TASKS_SHOWN = 30
LIBRARIES = ("trio", "anyio", "outcome")


def where_tasks_are() -> str:
    """One line for each task of the program, with the place where it waits."""
    main = trio.lowlevel.current_root_task()
    lines = [line for task in _program_of(main) for line in _tree(task, "")] if main else []
    more = [f"... and {len(lines) - TASKS_SHOWN} more"] if len(lines) > TASKS_SHOWN else []
    return "\n".join(["tasks:", *lines[:TASKS_SHOWN], *more])


def census() -> dict[trio.lowlevel.Task, None]:
    """All tasks of the program."""
    main = trio.lowlevel.current_root_task()
    found: dict[trio.lowlevel.Task, None] = {}
    todo = _program_of(main) if main else []
    while todo:
        task = todo.pop()
        found[task] = None
        for nursery in task.child_nurseries:
            todo.extend(_children(nursery))
    return found


def _program_of(root: trio.lowlevel.Task) -> list[trio.lowlevel.Task]:
    # Below Trio's own root task: its first nursery holds the system's tasks, the one opened inside holds the program's.
    return _children(root.child_nurseries[-1]) if root.child_nurseries else []


def _children(nursery: trio.Nursery) -> list[trio.lowlevel.Task]:
    return sorted(nursery.child_tasks, key=lambda task: task.name)  # a set, in an order that can be shown


def _tree(task: trio.lowlevel.Task, indent: str) -> Iterator[str]:
    yield f"{indent}  {task.name} {_place(task)}"
    for nursery in task.child_nurseries:
        for child in _children(nursery):
            yield from _tree(child, indent + "  ")


def _place(task: trio.lowlevel.Task) -> str:
    frames = list(task.iter_await_frames())
    if not frames:
        return "runs"
    # The innermost frame outside the libraries is where the reader's own code waits.
    own = [item for item in frames if str(item[0].f_globals.get("__name__")).split(".")[0] not in LIBRARIES]
    frame, line = own[-1] if own else frames[0]
    return f"at {frame.f_code.co_filename}:{line} in {frame.f_code.co_qualname}"
