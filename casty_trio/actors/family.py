"""The children of one actor, or of the system: their names and the nursery they run in. Floor F2.

The nursery is held by a *supervisor task* that lives beside the actor, in the parent's nursery, and starts with the first
spawn; so a leaf actor has none, and the tree of nurseries is the tree of actors. Spawning is synchronous: what is spawned
before the nursery is open waits for it. Children always end before their parent does.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import trio

from casty_trio.actors.orders import BackgroundFailure, Escalated
from casty_trio.errors import ActorFailedError, NameInUseError, SystemClosedError
from casty_trio.model.address import check_name
from casty_trio.model.blocks import flat
from casty_trio.model.strategies import RestartWindow, SupervisionStrategy
from casty_trio.model.words import in_words

if TYPE_CHECKING:
    from casty_trio.actors.cell import Cell

__all__ = ["Family"]

MARGIN = 2.0
"""How long beyond the children's own grace their end is waited for under a cancellation, in seconds."""

RestartWindows = MutableMapping[SupervisionStrategy, RestartWindow]

log: logging.Logger = logging.getLogger("casty_trio.actors")


class Family:
    """Names, nursery and end of the actors with one parent."""

    __slots__ = (
        "_closing",
        "_done",
        "_levels",
        "_nursery",
        "_owner",
        "_shared",
        "_tasks",
        "_unnamed",
        "_waiting",
        "_waiting_families",
        "_windows",
        "cells",
        "path",
    )

    def __init__(self, path: str, owner: Cell[Any] | None = None) -> None:
        self.path: str = path
        self.cells: dict[str, Cell[Any]] = {}
        self._windows: dict[Cell[Any], RestartWindows] = {}
        self._shared: RestartWindows | None = None
        self._levels = 0
        self._owner = owner
        self._tasks: dict[trio.CancelScope, tuple[Callable[[], Awaitable[object]], str]] = {}
        self._waiting: list[Cell[Any]] = []
        self._waiting_families: list[Family] = []
        self._unnamed = 0
        self._nursery: trio.Nursery | None = None
        self._closing = trio.Event()
        self._done = trio.Event()

    @property
    def closing(self) -> bool:
        """Whether the children have been told to stop, or have."""
        return self._closing.is_set()

    def name_for(self, name: str | None) -> str:
        """A free name: the one asked for, or one made up."""
        if self._closing.is_set():
            raise SystemClosedError(f"{self.path or 'the system'} is stopping: nothing can be spawned in it")
        if name is None:
            self._unnamed += 1
            return f"${self._unnamed}"
        if check_name(name).startswith("$"):
            raise check_reserved(name)
        if name in self.cells:
            raise NameInUseError(f"{self.path}/{name} is alive: stop it first, or leave the name out")
        return name

    def add(self, cell: Cell[Any]) -> None:
        """Start a new child's task; what it offers is found from now on."""
        services = cell.blueprint.services
        if services:
            cell.system.services.beyond.check(cell, cell.initial, services)
        if self._nursery is None:
            self._waiting.append(cell)
        else:
            self._start(cell.run, name=cell.path)
        self.cells[cell.name] = cell
        if services:
            cell.system.services.offer(cell, services)

    def forget(self, cell: Cell[Any]) -> None:
        """A child has ended: its name is free."""
        self.cells.pop(cell.name, None)
        self._windows.pop(cell, None)

    def window(self, cell: Cell[Any], strategy: SupervisionStrategy) -> RestartWindow:
        """What counts the restarts of a child, or of its group; it goes with them."""
        if not strategy.shares_window:
            windows = self._windows.setdefault(cell, {})
        elif self._shared is None:
            windows = self._shared = WeakKeyDictionary()
        else:
            windows = self._shared
        return windows.setdefault(strategy, RestartWindow())

    def start_task(self, run: Callable[[], Awaitable[object]], name: str) -> trio.CancelScope:
        """Run a background task of the owner's; it ends with the children. Its failure is the owner's."""
        if self._closing.is_set():
            raise SystemClosedError(f"{self.path} is stopping: nothing can be started in it")
        scope = trio.CancelScope()
        name = f"{self.path} ({name})"
        if self._nursery is not None:
            self._start(self._run_task, scope, name=name)
        self._tasks[scope] = run, name
        return scope

    def _start(self, run: Callable[..., Awaitable[object]], *args: object, name: str) -> None:
        assert self._nursery is not None  # the caller has looked
        try:
            self._nursery.start_soon(run, *args, name=name)
        except RuntimeError as error:  # it was cancelled, is through, and its task has not had its turn yet
            raise SystemClosedError(f"{self.path or 'the system'} is stopping: nothing can be started in it") from error

    def escalate(self, failure: Exception) -> None:
        """Hand a child's failure to the nearest ancestor that has a strategy; without one it leaves the system's block."""
        family = self
        while (owner := family._owner) is not None and (owner.ended or not owner.blueprint.strategies):
            family = owner.parent
        if family._owner is not None:
            family._owner.signal(Escalated(failure))
        elif family._nursery is not None:
            family._nursery.start_soon(_raise, failure, name="an escalated failure")

    def start_in(self, nursery: trio.Nursery) -> None:
        """Start the supervisor task."""
        nursery.start_soon(self._supervise, name=f"{self.path or '/'} (supervisor)")

    def start_beside(self, other: Family) -> None:
        """Start the supervisor task in the nursery that ``other`` holds."""
        if other._nursery is None:
            other._waiting_families.append(self)
        else:
            self.start_in(other._nursery)

    async def close(self, stop_at: float) -> None:
        """Stop all children and wait until they have ended; ``stop_at`` bounds their handlers, in scheduler time."""
        self.tell_stop(stop_at)
        try:
            await self._done.wait()
        finally:
            await self._wait_done(stop_at)

    def tell_stop(self, stop_at: float) -> None:
        """Tell all children to stop; no new ones from here on. Without recursion, for trees may be deeper than the stack."""
        families: list[Family] = [self]
        while families:
            family = families.pop()
            family._closing.set()
            for scope in list(family._tasks):
                scope.cancel()
            for cell in list(family.cells.values()):
                below = cell.stop_by(stop_at)
                if below is not None:
                    families.append(below)

    async def _wait_done(self, stop_at: float) -> None:
        """Under a cancellation the children are being cancelled too; see them end before the parent does."""
        if self._done.is_set():
            return
        limit = min(stop_at, trio.current_time()) + MARGIN + self._time_for_hooks()
        with trio.CancelScope(shield=True, deadline=limit) as scope:
            await self._done.wait()
        if scope.cancelled_caught:
            log.error("children of %s outlive their cancellation: %s", self.path or "the system", list(self.cells))

    def _time_for_hooks(self) -> float:
        """How long the last hooks of all below may take, level after level, in seconds."""
        return self._height() * max((cell.system.settings.hook_timeout for cell in self.cells.values()), default=0.0)

    def _height(self) -> int:
        """How many levels there are below; remembered for all of them, for when all are cancelled each one asks."""
        todo: list[Family] = [self]
        while todo:
            family = todo[-1]
            below = [cell.children for cell in family.cells.values() if cell.children is not None]
            unknown = [each for each in below if not each._levels]
            if unknown:
                todo.extend(unknown)
            else:
                family._levels = 1 + max((each._levels for each in below), default=0)
                todo.pop()
        return self._levels

    def _open(self, nursery: trio.Nursery) -> None:
        # A function of its own: the supervisor task lives long, and its variables would keep the last child.
        self._nursery = nursery
        for cell in self._waiting:
            nursery.start_soon(cell.run, name=cell.path)
        self._waiting.clear()
        for scope, (_, name) in self._tasks.items():
            nursery.start_soon(self._run_task, scope, name=name)
        for family in self._waiting_families:
            family.start_in(nursery)
        self._waiting_families.clear()

    async def _supervise(self) -> None:
        raised: BaseException | None = None
        try:
            async with trio.open_nursery() as nursery:
                self._open(nursery)
                await self._closing.wait()
        except BaseExceptionGroup as group:
            raised = flat(group, trio.Cancelled)  # a group for each level is more than Trio and Python can take apart
        finally:
            self._nursery = None
            self._closing.set()  # also when it was cancelled: what would be spawned now would never run
            self._done.set()
        if raised is not None:
            try:
                raise raised
            finally:
                del raised  # a traceback refers to this frame: leave no cycle

    async def _run_task(self, scope: trio.CancelScope) -> None:
        try:
            with scope:
                await self._tasks[scope][0]()
        except Exception as error:  # noqa: BLE001 - the actor's supervision decides what it means
            self._task_failed(error)
        except BaseExceptionGroup as group:  # cancelled, and a nursery of the task failed meanwhile
            failure, others = group.split(Exception)
            if failure is not None:
                self._task_failed(failure)
            if others is not None:
                raise others from None
        finally:
            del self._tasks[scope]

    def _task_failed(self, failure: Exception) -> None:
        assert self._owner is not None  # only actors start background tasks
        if self.closing:
            self._owner.note_failure(failure)
        else:
            self._owner.signal(BackgroundFailure(failure))


async def _raise(failure: Exception) -> None:
    try:
        repr(failure)
    except Exception:  # noqa: BLE001 - Trio puts the repr into its reason to cancel, and does not survive one that raises
        raise ActorFailedError(f"{in_words(failure)} (the cause is the exception, which has no repr)") from failure
    raise failure


def check_reserved(name: str) -> NameInUseError:
    """The error for a name that only the system gives."""
    return NameInUseError(f"{name!r}: names that begin with $ are given by the system")
