"""How errors leave a public ``async with``. Floor F2.

The exception of the user's own body leaves unchanged, with what failed beside it as a note. Otherwise a group with a single
error is unwrapped, never one that holds a cancellation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import trio

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

__all__ = ["holds_cancelled", "leave_nursery", "unwrap"]


def members(error: BaseException | None) -> tuple[BaseException, ...] | None:
    """The exceptions in a group; None for anything else."""
    if isinstance(error, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", error).exceptions
    return None


def holds_cancelled(error: BaseException | None) -> bool:
    """Whether an exception is a cancellation, or a group with one in it."""
    inner = members(error)
    if inner is not None:
        return any(holds_cancelled(each) for each in inner)
    return isinstance(error, trio.Cancelled)


def unwrap(error: BaseException) -> BaseException:
    """The only error in a group of groups of one; anything else as it is."""
    inner = error
    while (group := members(inner)) is not None and len(group) == 1:
        inner = group[0]
    return error if group is not None or holds_cancelled(inner) else inner


async def leave_nursery(
    manager: AbstractAsyncContextManager[trio.Nursery], body: BaseException | None, stopping: BaseException | None
) -> bool:
    """Exit a nursery that a block of ours holds, and decide what leaves the block.

    A cancellation goes through the nursery, which may be the one that asked for it; the body's own exception does not, so that
    no group is put around it. Returns what ``__aexit__`` has to return.

    Parameters:
        manager: the nursery's context manager, entered.
        body: what the user's body raised.
        stopping: what was raised while the block was stopping.
    """
    own = body is not None and not holds_cancelled(body)
    passed = stopping if stopping is not None else None if own else body
    try:
        absorbed = await manager.__aexit__(
            type(passed) if passed else None, passed, passed.__traceback__ if passed else None
        )
    except BaseException as ours:
        out: BaseException | None = ours
    else:
        out = None if passed is None or absorbed else passed
    if own and body is not None:
        if out is not None and not holds_cancelled(out):
            body.add_note(f"beside it, the block failed with {unwrap(out)!r}")
        return False
    if out is None or out is body:
        return out is None
    raise unwrap(out)
