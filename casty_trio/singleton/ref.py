"""The ref to a singleton, and the cells behind it. Floor F5.

On each node a singleton has a cell of its name, which handles nothing: its ref hands mail to the place. Where the singleton
runs, its actor is that cell's child. Another child is there on each, and handles nothing either: what an actor that moves
has left comes to its ref, for that is older than what waits on the node it comes to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import trio

from casty_trio.actors.cell import Cell
from casty_trio.actors.context import Context
from casty_trio.actors.refs import LocalRef, ReplySlot
from casty_trio.cluster.careful import CarefulCell
from casty_trio.model.ref import ActorRef

if TYPE_CHECKING:
    from casty_trio.singleton.place import Place

__all__ = ["LEFT", "InstanceCell", "LeftCell", "SingletonCell", "SingletonRef"]

LEFT = "left"
"""The name of the child to which goes what was left."""

M = TypeVar("M", contravariant=True)


class SingletonRef(LocalRef[M]):
    """What `spawn` gives for a singleton: it reaches the actor wherever that runs, and holds mail while it moves."""

    __slots__ = ("_place",)

    def bind(self, place: Place) -> None:
        """Tell the ref whose it is."""
        self._place = place

    @property
    def place(self) -> Place:
        """The singleton on this node."""
        return self._place

    def tell(self, message: M) -> None:
        self._place.deliver(message, None)

    async def send(self, message: M) -> None:
        await self._place.send(message)

    def tell_asked(self, message: M, slot: ReplySlot) -> None:
        self._place.deliver(message, slot)


class SingletonCell(Cell[Any]):
    """The parent of a singleton's actor, on every node."""

    __slots__ = ()
    ref_type: ClassVar[type[LocalRef[Any]]] = SingletonRef

    @property
    def _place(self) -> Place:
        ref: Any = self.ref  # this kind of cell makes a SingletonRef
        place: Place = ref.place
        return place

    async def _close(self, failure: Exception | None) -> Exception | None:
        try:
            self._place.retire()
            with trio.CancelScope(deadline=self._stop_at):
                await self._place.wait_idle()
        finally:
            failure = await super()._close(failure)
        return failure

    def _end(self, failure: Exception | None) -> None:
        super()._end(failure)
        self._place.disappear(self)


class LeftRef(SingletonRef[M]):
    """Where another node's place puts what its actor has left."""

    __slots__ = ()

    def tell(self, message: M) -> None:
        self.place.take_over(message, None)

    def tell_asked(self, message: M, slot: ReplySlot) -> None:
        self.place.take_over(message, slot)


class LeftCell(Cell[Any]):
    """What stands behind such a ref."""

    __slots__ = ()
    ref_type: ClassVar[type[LocalRef[Any]]] = LeftRef


class InstanceContext(Context[Any]):
    """What the singleton's handler gets: its own ref is the one that survives moves."""

    __slots__ = ()
    _cell: InstanceCell

    @property
    def self(self) -> ActorRef[Any]:
        return self._cell.place.ref


class InstanceCell(CarefulCell):
    """The actor itself."""

    __slots__ = ("keeps", "place")
    context_type: ClassVar[type[Context[Any]]] = InstanceContext
    place: Place
    keeps: bool

    def _leave(self, item: object, failure: Exception | None = None) -> None:
        if self.keeps:
            self.ref.sent -= 1  # whoever gets it next counts it
            self.place.keep(item)
        else:
            super()._leave(item, failure)

    def _end(self, failure: Exception | None) -> None:
        super()._end(failure)
        self.place.instance_ended()
