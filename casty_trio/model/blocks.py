"""How errors leave a public ``async with``. Floor F1: no library of tasks is named here, so nodes and clients share it.

The exception of the user's own body leaves unchanged, with what failed beside it as a note. Otherwise a group with a single
error is unwrapped, never one that holds a cancellation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from casty_trio.model.words import add_note, in_code

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractAsyncContextManager

__all__ = ["flat", "holds", "leave_nursery", "unwrap"]


def members(error: BaseException | None) -> tuple[BaseException, ...] | None:
    """The exceptions in a group; None for anything else."""
    if isinstance(error, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", error).exceptions
    return None


def holds(error: BaseException | None, cancelled: type[BaseException]) -> bool:
    """Whether an exception is a cancellation, or a group with one in it."""
    return any(isinstance(each, cancelled) for each in leaves(error))


def leaves(error: BaseException | None) -> Iterator[BaseException]:
    """The exceptions in a group that are no groups, in their order; without recursion, for groups nest as deep as actors."""
    todo = [] if error is None else [error]
    while todo:
        error = todo.pop()
        inner = members(error)
        if inner is None:
            yield error
        else:
            todo.extend(reversed(inner))


def flat(error: BaseException, cancelled: type[BaseException]) -> BaseException:
    """The same without groups in groups, and with one cancellation at most; what is alone stands by itself."""
    found = list(leaves(error))
    cancellations = [each for each in found if isinstance(each, cancelled)]
    rest = [each for each in found if not isinstance(each, cancelled)] + cancellations[:1]
    return rest[0] if len(rest) == 1 else BaseExceptionGroup("together", rest)


def unwrap(error: BaseException, cancelled: type[BaseException]) -> BaseException:
    """The only error in a group of groups of one; anything else as it is."""
    inner = error
    while (group := members(inner)) is not None and len(group) == 1:
        inner = group[0]
    return error if group is not None or holds(inner, cancelled) else inner


def _notes(error: BaseException) -> str:
    """The notes of what failed, in brackets: the paths of the actors that escalated it stand there."""
    told = [getattr(leaf, "__notes__", None) for leaf in leaves(error)]
    notes = [note for each in told if isinstance(each, list) for note in cast("list[object]", each) if isinstance(note, str)]
    return f" ({'; '.join(notes)})" if notes else ""


def _together(body: BaseException, stopping: BaseException | None, cancelled: type[BaseException]) -> BaseException:
    """What a cancelled body raised, with what was raised while the block stopped; its cancellation alone adds nothing."""
    if stopping is None or isinstance(stopping, cancelled):
        return body
    return (
        stopping
        if isinstance(body, cancelled)
        else BaseExceptionGroup("the body, and the end of the block", [body, stopping])
    )


async def leave_nursery(
    manager: AbstractAsyncContextManager[Any],
    body: BaseException | None,
    stopping: BaseException | None,
    cancelled: type[BaseException],
) -> bool:
    """Exit a nursery (or task group) that a block of ours holds, and decide what leaves the block.

    A cancellation goes through the nursery, which may be the one that asked for it; the body's own exception does not, so
    that no group is put around it. Returns what ``__aexit__`` has to return.

    Parameters:
        manager: the nursery's context manager, entered.
        body: what the user's body raised.
        stopping: what was raised while the block was stopping.
        cancelled: the class of cancellations where this runs.
    """
    own = body is not None and not holds(body, cancelled)
    passed = stopping if own or body is None else _together(body, stopping, cancelled)
    try:
        absorbed = await manager.__aexit__(
            type(passed) if passed else None, passed, passed.__traceback__ if passed else None
        )
    except BaseException as ours:  # noqa: BLE001 - it is what leaves, below
        out: BaseException | None = ours
    else:
        out = None if passed is None or absorbed else passed
    if own and body is not None:
        if out is not None and not holds(out, cancelled):
            add_note(body, f"beside it, the block failed with {in_code(unwrap(out, cancelled))}{_notes(out)}")
        return False
    if out is None:
        return True
    if out is body or members(out) == (body,):
        return False
    raise unwrap(out, cancelled)
