"""How actors are found: by their path, or by what they offer. Floor F2; the part of `ActorSystem` that does that."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, TypeVar, overload

import trio

from casty_trio.model.context import System
from casty_trio.model.ref import ActorRef
from casty_trio.model.services import Listing, ReceptionistMessage, ServiceKey

if TYPE_CHECKING:
    from casty_trio.actors.cell import Cell
    from casty_trio.actors.family import Family
    from casty_trio.actors.services import Services

__all__ = ["Finding"]

M = TypeVar("M")


class Finding(System):
    """A system whose actors can be found.

    Attributes:
        services: who offers what.
    """

    services: Services
    _root: Family

    @abstractmethod
    def _check_open(self) -> None:
        """Refuse what only works inside the block."""

    @overload
    def lookup(self, path: str) -> ActorRef[Any] | None: ...
    @overload
    def lookup(self, path: ServiceKey[M]) -> Awaitable[Listing[M]]: ...

    def lookup(self, path: str | ServiceKey[Any]) -> Any:
        """The living actor at a path such as ``/team/worker-0``, or None; awaited, who offers a service.

        Raises:
            SettingsError: when it is awaited: that is neither a path nor a `ServiceKey`.
            SystemClosedError: when it is awaited: outside the ``async with`` block.

        Example:
            >>> # listing = await system.lookup(PAYMENT)
            >>> # for instance in listing.instances: instance.ref.tell(Pay(100))
        """
        if not isinstance(path, str):
            return self._find(path)
        return self._at(path)

    async def _find(self, key: ServiceKey[M]) -> Listing[M]:
        self._check_open()
        await trio.lowlevel.checkpoint()
        return self.services.find(key)

    @property
    def receptionist(self) -> ActorRef[ReceptionistMessage]:
        """Who knows the actors that offer services, on all nodes: takes `Register`, `Deregister`, `Find`, `Subscribe` and
        `Unsubscribe`, and does what it is told at once.

        Telling it what cannot be, to register an actor of another node say, raises `UsageError`.
        """
        return self.services.ref

    def subscribe(self, key: ServiceKey[M], *, capacity: int = 64) -> AbstractAsyncContextManager[AsyncIterator[Listing[M]]]:
        """Iterate over the listings of a service: first the present one, then one for each change, in order.

        Parameters:
            key: the service.
            capacity: how many listings may wait for the iteration. When there are so many, the latest takes the place of
                the one before it: who is slow misses what lay between, and always gets the last.

        Raises:
            SettingsError: ``key`` is no `ServiceKey`, or the capacity is not 1 or more.
            SystemClosedError: the system has stopped.

        Example:
            >>> # async with system.subscribe(CHAT) as listings:
            >>> #     async for listing in listings: print(len(listing.instances))
        """
        return self.services.iterate(key, capacity)

    def _at(self, path: str) -> ActorRef[Any] | None:
        family: Family | None = self._root
        cell: Cell[Any] | None = None
        for name in path.strip("/").split("/"):
            cell = family.cells.get(name) if family is not None else None
            if cell is None:
                return None
            family = cell.children
        return cell.ref if cell is not None else None
