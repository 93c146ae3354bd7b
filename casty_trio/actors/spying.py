"""Telling observers of what an actor is about to handle. Floor F2; only spied actors pay for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from casty_trio.actors.refs import AdapterRef, LocalRef
from casty_trio.errors import CastyError
from casty_trio.model.events import SpyEvent

if TYPE_CHECKING:
    from casty_trio.actors.cell import Cell
    from casty_trio.model.ref import ActorRef

__all__ = ["observe", "spied"]


def spied(cell: Cell[Any], handler: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The handler, with every message told to the actor's observers first."""

    def tell_and_handle(ctx: Any, message: Any) -> Any:
        observe(cell, message)
        return handler(ctx, message)

    return tell_and_handle


def observe(cell: Cell[Any], event: object) -> None:
    """Tell an actor's observers of a message or signal."""
    if cell.blueprint.observers:
        told = SpyEvent(cell.path, event, trio.current_time())
        for observer in cell.blueprint.observers:
            if isinstance(observer, AdapterRef | LocalRef) and observer.cell.ended:
                _drop(cell, observer)
            elif observer != cell.ref:  # it would never be done
                with suppress(CastyError):  # such as a mailbox that rejects: the loss is counted
                    observer.tell(told)


def _drop(cell: Cell[Any], observer: ActorRef[Any]) -> None:
    """Tell an observer that has ended no more; nor is any child told of it."""
    known = cell.blueprint
    cell.blueprint = msgspec.structs.replace(
        known,
        observers=tuple(each for each in known.observers if each != observer),
        spied_children=tuple(each for each in known.spied_children if each != observer),
    )
