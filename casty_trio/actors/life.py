"""The turns of an actor's life that may wait: its hooks, and a restart. Floor F2.

Restart: ``pre_restart``, children stopped, timers and background tasks ended, back-off, ``post_restart``, initial behaviour.
    The mailbox is kept all the while, with what was stashed ahead of it. A hook that raises fails the actor like a handler
    does.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

import trio

from casty_trio.actors.orders import Restart
from casty_trio.actors.refs import LocalRef
from casty_trio.actors.reporting import log_failure
from casty_trio.actors.waiting import arm
from casty_trio.model.events import ActorFailed
from casty_trio.model.interpreter import afresh, collect_later
from casty_trio.model.kinds import STOPPED, Behavior, Hooks

if TYPE_CHECKING:
    from casty_trio.actors.cell import Cell

__all__ = ["adopt", "begin", "run_post_stop"]

log: logging.Logger = logging.getLogger("casty_trio.actors")


async def begin(cell: Cell[Any], restart: Restart | None) -> Behavior[Any]:
    """Run the hooks of a start or restart; the behaviour to begin with comes back."""
    if restart is None:
        for hooks in cell.blueprint.hooks:
            if hooks.pre_start is not None:
                await _finish(hooks.pre_start(cell.context))
        return cell.initial
    for hooks in reversed(cell.blueprint.hooks):
        if hooks.pre_restart is not None:
            await _finish(hooks.pre_restart(cell.context, restart.failure))
    await _clear(cell)
    if restart.delay and not cell.stopping:
        extras = cell.extras
        arm(cell)
        try:
            with trio.CancelScope(deadline=trio.current_time() + restart.delay) as extras.nap:
                await trio.sleep_forever()
        finally:
            extras.nap = None
    else:
        await trio.lowlevel.checkpoint()  # one that cannot begin, and tries again and again, is not alone
    if cell.stopping:
        return STOPPED
    cell.forget_orders()
    for hooks in cell.blueprint.hooks:
        if hooks.post_restart is not None:
            await _finish(hooks.post_restart(cell.context))
    cell.blueprint = afresh(cell.blueprint)
    return cell.initial


def adopt(cell: Cell[Any], behavior: Behavior[Any], beginning: bool) -> Behavior[Any] | Awaitable[Behavior[Any]]:
    """Take on the wrappers of what a setup or handler returned; hooks that come with a first setup start at once."""
    known = cell.blueprint
    behavior, cell.blueprint = collect_later(behavior, known, beginning)
    services = cell.blueprint.services
    if services and services != known.services:
        cell.system.services.beyond.check(cell, behavior, services)
        cell.system.services.offer(cell, services)
    late = cell.blueprint.hooks[len(known.hooks) :] if beginning and not known.fixed else ()
    return _start_late(cell, late, behavior) if late else behavior


async def _start_late(cell: Cell[Any], late: tuple[Hooks, ...], behavior: Behavior[Any]) -> Behavior[Any]:
    for hooks in late:
        if hooks.pre_start is not None:
            await _finish(hooks.pre_start(cell.context))
    return behavior


async def run_post_stop(cell: Cell[Any]) -> Exception | None:
    """Run the last hooks, shielded and for a limited time; the failure of one comes back."""
    failure: Exception | None = None
    timeout = cell.system.settings.hook_timeout
    with trio.CancelScope(shield=True, deadline=trio.current_time() + timeout) as scope:
        for hooks in reversed(cell.blueprint.hooks):
            if hooks.post_stop is None:
                continue
            try:
                await _finish(hooks.post_stop(cell.context))
            except Exception as error:  # noqa: BLE001 - it is logged and told, and the other hooks run
                failure = error if failure is None else failure
                _note(cell, error)
            except BaseExceptionGroup as group:  # out of time, and a nursery of the hook failed meanwhile
                beside, others = group.split(Exception)
                if beside is not None:
                    failure = beside if failure is None else failure
                    _note(cell, beside)
                if others is not None:
                    raise others from None
    if scope.cancelled_caught:
        log.error("post_stop of %s took more than %g s, and was cancelled", cell.path, timeout)
    return failure


def _note(cell: Cell[Any], error: Exception) -> None:
    log_failure(log, error, "post_stop of %s failed", cell.path)
    cell.system.publish(ActorFailed, cell.ref, error)


async def _clear(cell: Cell[Any]) -> None:
    """End what belongs to the incarnation that failed."""
    extras = cell.extras
    extras.timers.cancel_all()
    extras.stash.unstash_all()
    if cell.children is not None:
        for ref in [ref for ref in extras.watching if isinstance(ref, LocalRef) and ref.cell.parent is cell.children]:
            cell.unwatch(ref)  # also one that has ended, and whose notice waits
        await cell.children.close(trio.current_time() + cell.system.settings.grace)
        cell.children = None


async def _finish(result: Awaitable[None] | None) -> None:
    if inspect.isawaitable(result):
        await result
