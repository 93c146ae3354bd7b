"""References to local actors, and the mail they put. Floor F2.

`LocalRef.tell` is the hottest call of the library: one try, one `send_nowait`, one count. An actor that has stopped has
closed its end of the channel, so the exception tells; a bounded mailbox has a ref class of its own, so others pay nothing
for it.
"""

from __future__ import annotations

from abc import abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import trio
from trio.lowlevel import Abort, checkpoint, current_task, reschedule, wait_task_rescheduled

from casty_trio.actors.mail import Adapted, Asked
from casty_trio.errors import ActorStoppedError, AskError, MailboxFullError, SelfAskError
from casty_trio.model.address import ActorAddress
from casty_trio.model.ref import ActorRef

if TYPE_CHECKING:
    from collections.abc import Callable

    from casty_trio.actors.cell import Cell
    from casty_trio.actors.system import ActorSystem
    from casty_trio.model.mailbox import Mailbox

__all__ = [
    "AdapterRef",
    "AskableRef",
    "BoundedRef",
    "LocalRef",
    "PassingRef",
    "ReplySlot",
    "Room",
    "WatchableRef",
    "Watcher",
]

M = TypeVar("M", contravariant=True)


class ReplySlot(ActorRef[Any]):
    """The reply ref of an ask; it travels with the message, so whoever cannot answer can say so at once."""

    __slots__ = ("carried", "carrier", "closed", "deadline")

    carrier: Carrier | None
    """What took the ask to another node, and has to know when nobody waits any more; None for a local one."""
    carried: int
    """The number it has there."""
    closed: bool
    """The ask is over: answered, failed, timed out, or given up by its caller."""
    deadline: float
    """When the ask times out, in scheduler time."""

    @property
    def waits_until(self) -> float:
        """When the caller stops waiting: at the deadline, or earlier where its own cancel scopes are known here."""
        return self.deadline

    @abstractmethod
    def fail(self, error: AskError) -> None:
        """End the ask with an error; without effect when it is over."""

    def hear_end(self, ref: ActorRef[Any], failure: Exception | None) -> None:
        """The actor that was asked has ended."""
        self.fail(ActorStoppedError(f"{ref.path} has stopped"))


class Carrier(Protocol):
    """What takes asks to another node."""

    def give_up(self, slot: ReplySlot) -> None:
        """Nobody waits for the reply of an ask any more."""


class Watcher(Protocol):
    """What hears of an actor's end: an actor, an ask, or another node."""

    def hear_end(self, ref: ActorRef[Any], failure: Exception | None) -> None:
        """The actor has ended."""


class PassingRef(ActorRef[M]):
    """A ref to somebody outside, of whose end nobody hears."""

    __slots__ = ()

    @property
    @abstractmethod
    def closed(self) -> bool:
        """Whether what it is told now is a dead letter."""


class AskableRef(ActorRef[M]):
    """A ref that can carry an ask's slot beside the message."""

    __slots__ = ()

    @abstractmethod
    def tell_asked(self, message: M, slot: ReplySlot) -> None:
        """Deliver a message whose sender waits on ``slot``; fail the slot if it cannot be delivered."""


class WatchableRef(AskableRef[M]):
    """A ref whose actor's end can be heard of."""

    __slots__ = ()

    @abstractmethod
    def belongs_to(self, system: ActorSystem) -> bool:
        """Whether it is that system's own word for the actor."""

    @abstractmethod
    def add_watcher(self, watcher: Watcher) -> None:
        """Let it hear of the end, once; at once when that has been."""

    @abstractmethod
    def remove_watcher(self, watcher: Watcher) -> None:
        """It need not hear of the end any more; without effect when it did not watch."""


class LocalRef(WatchableRef[M]):
    """A ref to an actor of this system with an unbounded mailbox."""

    __slots__ = ("__weakref__", "_cell", "incarnation", "mask", "outbox", "sent")

    def __init__(self, cell: Cell[Any], outbox: trio.MemorySendChannel[Any], incarnation: int) -> None:
        self._cell = cell
        self.outbox: trio.MemorySendChannel[Any] = outbox
        self.incarnation: int = incarnation
        self.sent: int = 0
        self.mask: int = cell.system.high_water_mask

    @property
    def cell(self) -> Cell[Any]:
        """The actor behind the ref."""
        return self._cell

    @property
    def address(self) -> ActorAddress:
        cell = self._cell
        return cell.system.address_of(cell.path, self.incarnation)

    def tell(self, message: M) -> None:
        self.sent = sent = self.sent + 1
        try:
            self.outbox.send_nowait(message)
        except trio.BrokenResourceError:
            self._cell.discard(message, "the actor has stopped")
            return
        if not sent & self.mask:
            self._cell.note_sent()

    async def send(self, message: M) -> None:
        await checkpoint()
        self.tell(message)

    def belongs_to(self, system: ActorSystem) -> bool:
        return self._cell.system is system

    def add_watcher(self, watcher: Watcher) -> None:
        cell = self._cell
        if cell.ended:
            watcher.hear_end(self, cell.last_failure)
        else:
            cell.extras.watchers[watcher] = None

    def remove_watcher(self, watcher: Watcher) -> None:
        if not self._cell.ended:
            self._cell.extras.watchers.pop(watcher, None)

    def put(self, item: object) -> None:
        """Put something into the mailbox that is no message of anybody's."""
        self.outbox.send_nowait(item)

    def tell_item(self, item: Any) -> None:
        """Put a message in the form in which it stands in the mailbox; the cell knows its own forms."""
        self.tell(item)

    def tell_asked(self, message: M, slot: ReplySlot) -> None:
        self.refuse_self()
        self.sent += 1
        asked = Asked(message, slot)
        try:
            self.outbox.send_nowait(asked)
        except trio.BrokenResourceError:
            self._cell.discard(asked, "the actor has stopped")
            return
        if not self.sent & self.mask:
            self._cell.note_sent()

    def refuse_self(self) -> None:
        """See that it is not the actor itself that asks.

        Raises:
            SelfAskError: it is.
        """
        if self._cell.task is current_task():
            raise SelfAskError(
                f"{self.path} asks itself: it would wait for a handler that cannot run before the wait is over"
            )


class Room:
    """How much room a bounded mailbox has left, and who waits for it."""

    __slots__ = ("mailbox", "queued", "waiting")

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox: Mailbox = mailbox
        self.queued: int = 0
        self.waiting: dict[trio.lowlevel.Task, object] = {}

    @property
    def free(self) -> bool:
        """Whether a message may be put now without passing a sender that waits."""
        return self.queued < self.mailbox.capacity and not self.waiting


class BoundedRef(LocalRef[M]):
    """A ref to an actor of this system whose waiting mail is bounded."""

    __slots__ = ("_room",)
    sent: int

    def __init__(self, cell: Cell[Any], outbox: trio.MemorySendChannel[Any], incarnation: int, room: Room) -> None:
        super().__init__(cell, outbox, incarnation)
        self._room = room

    def tell(self, message: M) -> None:
        self._offer(message)

    def tell_asked(self, message: M, slot: ReplySlot) -> None:
        self.refuse_self()
        with suppress(MailboxFullError):  # the slot has it
            self._offer(Asked(message, slot))

    async def send(self, message: M) -> None:
        await checkpoint()
        if self._room.free or self._cell.ended:
            self._accept(message)
            return
        task = current_task()
        if task is self._cell.task:
            raise SelfAskError(f"{self.path} waits for room in its own mailbox: tell() itself, or bound it less tightly")
        self._room.waiting[task] = message

        def give_up(_: object) -> Abort:
            del self._room.waiting[task]
            return Abort.SUCCEEDED

        await wait_task_rescheduled(give_up)

    def took(self) -> None:
        """A message has left the mailbox: the sender that waited longest gets its place."""
        room = self._room
        room.queued -= 1
        if room.waiting and room.queued < room.mailbox.capacity:  # it may be over it, with what came back from a stash
            task = next(iter(room.waiting))
            self._accept(room.waiting.pop(task))
            reschedule(task)

    def returned(self, count: int) -> None:
        """Messages that were put aside wait again."""
        self._room.queued += count

    def refuse_waiting(self) -> None:
        """The actor has ended: what senders wait with becomes dead letters."""
        waiting, self._room.waiting = self._room.waiting, {}
        for task, message in waiting.items():
            self._accept(message)
            reschedule(task)

    def _accept(self, item: object) -> None:
        self.sent += 1
        try:
            self.outbox.send_nowait(item)
        except trio.BrokenResourceError:
            self._cell.discard(item, "the actor has stopped")
        else:
            self._room.queued += 1
            if not self.sent & self.mask:
                self._cell.note_sent()

    def _offer(self, item: object) -> None:
        if self._room.free or self._cell.ended:
            self._accept(item)
            return
        match self._room.mailbox.overflow:
            case "drop_oldest":
                self._replace_oldest(item)
            case "drop_new":
                self._refuse()
                self._cell.discard(item, "the mailbox is full", MailboxFullError)
            case "reject":
                self._refuse()
                self._cell.discard(item, "the mailbox is full: rejected", MailboxFullError)
                raise MailboxFullError(f"the mailbox of {self.path} is full ({self._room.queued} messages wait)")

    def _refuse(self) -> None:
        self.sent += 1
        self._cell.apart += 1

    def _replace_oldest(self, item: object) -> None:
        try:
            oldest = self._cell.take_oldest()
        except trio.WouldBlock:
            self._accept(item)  # what waited is about to be handled
            return
        self._room.queued -= 1
        self._accept(item)
        self._cell.discard(oldest, "the mailbox is full: dropped as the oldest", MailboxFullError)


class AdapterRef(AskableRef[M]):
    """A ref of another message type; what it is told becomes a message of its actor's, in the actor's own turn."""

    __slots__ = ("_adapt", "_incarnation", "_ref")

    def __init__(self, ref: LocalRef[Any], adapt: Callable[[M], Any], incarnation: int) -> None:
        self._ref = ref
        self._adapt = adapt
        self._incarnation = incarnation

    @property
    def cell(self) -> Cell[Any]:
        """The actor behind the ref."""
        return self._ref.cell

    @property
    def address(self) -> ActorAddress:
        cell = self._ref.cell
        return cell.system.address_of(f"{cell.path}/$adapter", self._incarnation)

    def tell(self, message: M) -> None:
        self._ref.tell_item(Adapted(self._adapt, message))

    async def send(self, message: M) -> None:
        await self._ref.send(Adapted(self._adapt, message))

    def tell_asked(self, message: M, slot: ReplySlot) -> None:
        self._ref.tell_asked(Adapted(self._adapt, message), slot)
