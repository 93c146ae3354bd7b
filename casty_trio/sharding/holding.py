"""Mail of entities that have no actor, or whose actor goes: what keeps it, and the end of a whole shard. Floor F5."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import trio
from trio.lowlevel import current_task

from casty_trio.actors.finishing import Limit
from casty_trio.actors.mail import Asked
from casty_trio.actors.refs import ReplySlot
from casty_trio.errors import SelfAskError

if TYPE_CHECKING:
    from casty_trio.sharding.entities import EntityCell
    from casty_trio.sharding.routing import Routing

__all__ = ["Drain", "Held", "Left", "Target", "Unstored", "put"]

Left = tuple[str, Any, ReplySlot | None]
"""A message that nobody has handled: to which entity, the message, and the slot of its asker."""


class Target(Protocol):
    """What takes an entity's mail: its actor, or what holds the mail until there is one."""

    @property
    def cell(self) -> Any:
        """The actor, if there is one."""

    def tell(self, message: Any) -> None:
        """A message comes."""

    def tell_asked(self, message: Any, slot: ReplySlot) -> None:
        """One comes whose sender waits for a reply."""


class Held:
    """Keeps the mail of an entity whose actor goes, or that must not have one.

    Attributes:
        cell: the actor, if there is one.
        left: what the actor has not handled when it has ended.
        refused: why nobody will get the mail, when that is so.
        limit: until when the actor has to stop, where that was set.
    """

    __slots__ = ("_items", "cell", "left", "limit", "refused")

    def __init__(self, cell: EntityCell | None = None, limit: Limit | None = None) -> None:
        self.cell: EntityCell | None = cell
        self.left: list[object] = []
        self.refused: str | None = None
        self.limit: Limit | None = limit
        self._items: list[object] = []

    def tell(self, message: Any) -> None:
        self._items.append(message)

    def tell_asked(self, message: Any, slot: ReplySlot) -> None:
        cell = self.cell
        if cell is not None and cell.task is not None and cell.task is current_task():
            raise SelfAskError(f"{cell.path} asks itself while it is passivated: it would wait for the actor after it")
        self._items.append(Asked(message, slot))

    def take(self) -> list[Any]:
        """All of the mail, in the order it came."""
        items = [*self.left, *self._items]
        self.left, self._items = [], []
        return items


class Unstored(Held):
    """Keeps the mail of an entity that waits until it is stored: within the room that the type has for mail that waits."""

    __slots__ = ("_entity_id", "_routing")

    def __init__(self, routing: Routing, entity_id: str) -> None:
        super().__init__()
        self._routing = routing
        self._entity_id = entity_id

    def tell(self, message: Any) -> None:
        if self._routing.admit((self._entity_id, message, None)):
            super().tell(message)

    def tell_asked(self, message: Any, slot: ReplySlot) -> None:
        if self._routing.admit((self._entity_id, message, slot)):
            super().tell_asked(message, slot)

    def take(self) -> list[Any]:
        items = super().take()
        self._routing.dismiss(len(items))
        return items


class Drain:
    """The end of a shard's entities on this node.

    Attributes:
        done: set when all of them have ended.
        left: what nobody has handled, in order for each entity; complete when it is done.
        late: what keeps the mail of entities that were not there when it came.
        closed: whether it is done; for the system's deadlines.
        deadline: when those that are left are stopped at once; likewise.
    """

    def __init__(self, cells: dict[str, EntityCell], deadline: float, on_done: Callable[[Drain], None] | None) -> None:
        self.done: trio.Event = trio.Event()
        self.left: list[Left] = []
        self.closed: bool = False
        self.deadline: float = deadline
        self._cells = cells
        self.late: dict[str, Held] = {}
        self._on_done = on_done

    def hold(self, entity_id: str) -> Held:
        """What keeps mail for an entity that must not start any more."""
        held = self.late[entity_id] = Held()
        return held

    def add(self, entity_id: str, items: list[Any]) -> None:
        """What an entity has left."""
        for item in items:
            message, slot = (item.message, item.slot) if type(item) is Asked else (item, None)
            self.left.append((entity_id, message, slot))

    def expire(self) -> None:
        """Time is over."""
        for cell in list(self._cells.values()):
            cell.stop(0.0)

    def finish(self) -> None:
        """All have ended."""
        self.closed = True
        self.done.set()
        if self._on_done is not None:
            self._on_done(self)


def put(target: Target, item: Any) -> None:
    """Give mail, as it stood in a mailbox, to who is next."""
    if type(item) is Asked:
        target.tell_asked(item.message, item.slot)
    else:
        target.tell(item)
