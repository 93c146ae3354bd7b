"""Actors that live on one node of the cluster only, and stand still where that is in doubt. Floor F4.

A node that was late may have been removed meanwhile, and what it hosts may have been started elsewhere. Such an actor
neither begins nor handles anything until its node knows better; what is in its mailbox stays there, in order. It looks
before each message, for the handler of the last one may be what has made the node late.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any, ClassVar, Protocol

from casty_trio.actors.cell import UNUSUAL, Cell
from casty_trio.model.kinds import STOPPED

__all__ = ["CarefulCell", "Host"]


class Host(Protocol):
    """Who knows whether an actor may run.

    Attributes:
        in_doubt: whether it is not known.
    """

    @property
    def in_doubt(self) -> bool: ...

    async def sure(self) -> None:
        """Wait until it is known."""
        ...


class Everything(Container[object]):
    """What has whatever is looked for."""

    def __contains__(self, item: object) -> bool:
        return True


class CarefulCell(Cell[Any]):
    """One of them.

    Attributes:
        host: who knows whether it may run.
    """

    __slots__ = ("host",)
    unusual: ClassVar[Container[object]] = Everything()
    handled: int
    host: Host

    def _first(self, order: Any) -> Any:
        return self._begin_when_sure() if order is None and self.host.in_doubt else super()._first(order)

    async def _begin_when_sure(self) -> Any:
        await self.host.sure()
        return STOPPED if self._told else self._initial

    def _handle(self, item: Any) -> Any:
        if self.host.in_doubt and not self._told:
            self._put_first([item])
            return self._work_when_sure()
        if type(item) in UNUSUAL or self._signals or self._room is not None:
            return super()._handle(item)
        self._slot = None  # from here on as `Cell._work`, without the cost of a call
        self.handled += 1
        self._current = item
        result = self._handler(self._context, item)
        return None if result is None else self._become(result)

    async def _work_when_sure(self) -> None:
        """Mail is handled, or left, when it is known which of both."""
        await self.host.sure()
        self._left = self.system.settings.batch
