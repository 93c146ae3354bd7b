"""What a handler gets as ``ctx``. Floor F2: the node's implementation of `ActorContext`, a thin face over its cell."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from casty_trio.actors.refs import LocalRef
from casty_trio.errors import UsageError
from casty_trio.model.context import ActorContext

if TYPE_CHECKING:
    from casty_trio.actors.cell import Cell
    from casty_trio.actors.system import ActorSystem
    from casty_trio.model.behavior import Behavior, BoundFactory
    from casty_trio.model.mailbox import Mailbox
    from casty_trio.model.ref import ActorRef

__all__ = ["Context"]

M = TypeVar("M")
N = TypeVar("N")
R = TypeVar("R")

GRACE = 5.0
"""How long the handler of a stopped actor may go on before it is cancelled, in seconds."""

_log = logging.getLogger("casty_trio.actor")


class _PathAdapter(logging.LoggerAdapter[logging.Logger]):
    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        assert self.extra is not None  # given below
        if self.isEnabledFor(level):
            path = str(self.extra["actor"])
            kwargs["extra"] = {**self.extra, **kwargs.get("extra", {})}
            kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1  # the caller's line, not this one
            text = f"{path.replace('%', '%%') if args else path}: {msg}"
            self.logger.log(level, text, *args, **kwargs)


class Context(ActorContext[M]):
    """The context of one actor on a node."""

    __slots__ = ("_cell",)

    def __init__(self, cell: Cell[M]) -> None:
        self._cell = cell

    def __repr__(self) -> str:
        return f"<Context of {self._cell.path}>"

    @property
    def self(self) -> ActorRef[M]:
        return self._cell.ref

    @property
    def system(self) -> ActorSystem:
        return self._cell.system

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        return _PathAdapter(_log, {"actor": self._cell.path})

    def spawn(self, behavior: Behavior[N], name: str | None = None, *, mailbox: Mailbox | None = None) -> ActorRef[N]:
        return self._cell.spawn(behavior, name, mailbox).ref

    def stop(self, ref: ActorRef[Any]) -> None:
        if not (isinstance(ref, LocalRef) and ref.cell.parent is self._cell.children):
            raise UsageError(f"{ref!r} is no child of {self._cell.path}: an actor stops its own children only")
        ref.cell.stop(GRACE)

    @overload
    async def ask(self, ref: ActorRef[N], msg_factory: Callable[[ActorRef[R]], N], *, timeout: float = 5.0) -> R: ...
    @overload
    async def ask(self, ref: ActorRef[N], msg_factory: BoundFactory[R, N], *, timeout: float = 5.0) -> R: ...

    async def ask(self, ref: ActorRef[N], msg_factory: Callable[[ActorRef[R]], N], *, timeout: float = 5.0) -> R:
        return await self._cell.system.ask(ref, msg_factory, timeout=timeout)
