"""What a handler gets as ``ctx``. Floor F2: the node's implementation of `ActorContext`, a thin face over its cell."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, overload

from casty_trio.actors.refs import AdapterRef, LocalRef, WatchableRef
from casty_trio.errors import SystemClosedError, UsageError
from casty_trio.model.checks import check_awaitable, check_callable
from casty_trio.model.context import ActorContext

if TYPE_CHECKING:
    from casty_trio.actors.cell import Cell
    from casty_trio.actors.stash import Stash
    from casty_trio.actors.system import ActorSystem
    from casty_trio.actors.timers import Timers
    from casty_trio.model.broadcast import BroadcastRef
    from casty_trio.model.entity import EntityInfo
    from casty_trio.model.kinds import Behavior, BoundFactory
    from casty_trio.model.mailbox import Mailbox
    from casty_trio.model.ref import ActorRef

__all__ = ["Context"]

M = TypeVar("M")
N = TypeVar("N")
R = TypeVar("R")

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
        ref.cell.stop(self._cell.system.settings.grace)

    def watch(self, ref: ActorRef[Any]) -> None:
        self._cell.watch(self._watchable(ref))

    def unwatch(self, ref: ActorRef[Any]) -> None:
        self._cell.unwatch(self._watchable(ref))

    @property
    def timers(self) -> Timers[M]:
        return self._cell.extras.timers

    @property
    def stash(self) -> Stash[M]:
        return self._cell.extras.stash

    @property
    def entity(self) -> EntityInfo:
        raise UsageError(f"{self._cell.path} is no entity of a sharded type: only those have ctx.entity")

    def passivate(self) -> None:
        raise UsageError(f"{self._cell.path} is no entity of a sharded type: return Behaviors.stopped() to stop it")

    @property
    def deadline(self) -> float:
        slot = self._cell.slot
        return math.inf if slot is None else slot.waits_until

    def adapter(self, adapt: Callable[[N], M]) -> ActorRef[N]:
        check_callable("the function of an adapter", adapt)
        return AdapterRef(self._cell.ref, adapt, self._cell.system.next_incarnation())

    def start_soon(self, run: Callable[..., Awaitable[object]], *args: object) -> None:
        check_callable("what is to run in the background", run)
        name = getattr(run, "__qualname__", None) or type(run).__name__
        self._cell.family().start_task(partial(run, *args), name)

    def pipe_to_self(
        self,
        awaitable: Awaitable[R],
        mapper: Callable[[R], M] | None = None,
        on_failure: Callable[[Exception], M] | None = None,
    ) -> None:
        check_awaitable("what is piped", awaitable)

        async def pipe() -> None:
            try:
                result = await awaitable
                message: Any = result if mapper is None else mapper(result)
            except Exception as error:  # the actor's own function decides; without one it is the actor's failure
                if on_failure is None:
                    raise
                message = on_failure(error)
            await self._cell.ref.send(message)  # which waits while a bounded mailbox is full

        try:
            self.start_soon(pipe)
        except SystemClosedError:
            if inspect.iscoroutine(awaitable):
                awaitable.close()  # nobody will wait for it
            raise

    @overload
    async def ask(
        self, ref: BroadcastRef[N], msg_factory: Callable[[ActorRef[R]], N], *, timeout: float = 5.0, watch: bool = False
    ) -> tuple[R, ...]: ...
    @overload
    async def ask(
        self, ref: ActorRef[N], msg_factory: Callable[[ActorRef[R]], N], *, timeout: float = 5.0, watch: bool = False
    ) -> R: ...
    @overload
    async def ask(
        self, ref: ActorRef[N], msg_factory: BoundFactory[R, N], *, timeout: float = 5.0, watch: bool = False
    ) -> R: ...

    async def ask(
        self, ref: ActorRef[N], msg_factory: Callable[[ActorRef[R]], N], *, timeout: float = 5.0, watch: bool = False
    ) -> Any:
        return await self._cell.system.ask(ref, msg_factory, timeout=timeout, watch=watch)

    def _watchable(self, ref: ActorRef[Any]) -> WatchableRef[Any]:
        if isinstance(ref, WatchableRef) and ref.belongs_to(self._cell.system) and ref is not self._cell.ref:
            return ref
        raise UsageError(
            f"{self._cell.path} cannot watch {ref!r}: it is not another actor of this system, or of a node it knows"
        )
