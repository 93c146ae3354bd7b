"""What leaves a block of ours (L12), with nurseries of Trio."""

from collections.abc import Awaitable, Callable

import pytest
import trio

from casty_trio.model.blocks import leave_nursery


class StopError(Exception):
    """What was raised while the block was stopping."""


class BesideError(Exception):
    """What a task of the block raised."""


async def fail(error: Exception) -> None:
    raise error


async def sleeping() -> None:
    """A body that waits: it raises `Cancelled`."""
    await trio.sleep_forever()


async def holding(*errors: Exception) -> None:
    """A body with a nursery of its own: it raises a group, of a `Cancelled` and of what its children raised."""
    async with trio.open_nursery() as children:
        for error in errors:
            children.start_soon(fail, error)
        await trio.sleep_forever()


async def cancelled(body: Callable[..., Awaitable[None]], *arguments: Exception) -> BaseException:
    """What a body raises whose scope is cancelled."""
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await body(*arguments)
        except BaseException as error:  # noqa: BLE001 - it is what is looked at
            return error
    raise AssertionError("it went on")


async def leave(body: BaseException | None, stopping: BaseException | None) -> bool:
    """Leave a nursery whose scope is cancelled."""
    manager = trio.open_nursery()
    nursery = await manager.__aenter__()
    nursery.cancel_scope.cancel()
    return await leave_nursery(manager, body, stopping, trio.Cancelled)


async def test_a_quiet_block_raises_nothing() -> None:
    """L12: whether its nursery was cancelled or not."""
    assert await leave(None, None)


async def test_the_bodys_own_exception_leaves_with_a_note() -> None:
    """L12: unchanged; what failed beside it is a note."""
    body = KeyError("mine")
    assert not await leave(body, StopError("late"))
    assert body.__notes__ == ["beside it, the block failed with StopError('late')"]


async def test_the_note_says_who_escalated() -> None:
    """L11, L12: the notes of what failed are in it, so the actors' paths are not lost, not even those of a group."""
    first, second, body = StopError("first"), StopError("second"), KeyError("mine")
    for path in ("/team/worker", "/team"):
        first.add_note(f"escalated by {path}")
    second.add_note("escalated by /till")
    assert not await leave(body, ExceptionGroup("together", [first, second]))
    [note] = body.__notes__
    assert note.endswith("(escalated by /team/worker; escalated by /team; escalated by /till)")


@pytest.mark.parametrize("body", [sleeping, holding])
async def test_what_fails_while_a_cancelled_block_stops_leaves_alone(body: Callable[[], Awaitable[None]]) -> None:
    """L12: a cancellation adds nothing to it, and there is no group around one error."""
    with pytest.raises(StopError):
        await leave(await cancelled(body), StopError())


async def test_a_cancelled_body_that_failed_as_well_keeps_its_failure() -> None:
    """L12: neither hides the other, and no cancellation leaves a scope that asked for it."""
    with pytest.raises(ExceptionGroup) as caught:
        await leave(await cancelled(holding, BesideError()), StopError())
    assert caught.group_contains(BesideError)
    assert caught.group_contains(StopError)
    assert not caught.group_contains(trio.Cancelled)
