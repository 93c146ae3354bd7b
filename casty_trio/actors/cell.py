"""One actor: its task, its mailbox, its present behaviour. Floor F2.

A leaf actor is one task and one memory channel. While its handlers are plain functions it carries no cancel scope; from the
first awaitable a handler gives, one scope holds the loop (a scope per handler would corrupt Trio's scope stack when a
handler opens scopes of its own). Between two messages signals are obeyed first. After at most `BATCH` messages the task lets
others run. Everything that ends an actor passes through `_end`, which is synchronous: no state is left half changed by a
cancellation.
"""

from __future__ import annotations

import inspect
import math
import traceback
from collections import deque
from collections.abc import Awaitable
from types import CoroutineType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import trio

from casty_trio.actors.context import GRACE, Context
from casty_trio.actors.family import Family
from casty_trio.actors.refs import Asked, BoundedRef, LocalRef, ReplySlot, Room
from casty_trio.errors import ActorFailedError, ActorStoppedError, AskError, SystemClosedError, UsageError
from casty_trio.model.behavior import SAME, STOPPED, Behavior, Receive, Setup, Sharded
from casty_trio.model.events import ActorFailed, ActorStarted, ActorStopped

if TYPE_CHECKING:
    from casty_trio.actors.system import ActorSystem
    from casty_trio.model.mailbox import Mailbox

__all__ = ["BATCH", "Cell"]

M = TypeVar("M")

BATCH = 64
"""How many messages an actor handles before other tasks get a turn."""


class _Wake:
    """Put into the mailbox of an idle actor, so that it looks at its signals; takes no room from mail."""

    __slots__ = ()


class _Stop:
    """The signal to stop, and the answer of the loop that it does."""

    __slots__ = ()


WAKE, STOP = _Wake(), _Stop()
Pending = Awaitable[Any] | _Stop | None


class Cell(Generic[M]):
    """The runtime's side of one actor; users see its `LocalRef` and its `Context`."""

    __slots__ = (
        "_behavior",
        "_context",
        "_handler",
        "_inbox",
        "_room",
        "_scope",
        "_signals",
        "_slot",
        "_stop_at",
        "_stopped",
        "_told",
        "_wasted",
        "children",
        "ended",
        "handled",
        "name",
        "parent",
        "ref",
        "system",
        "task",
    )

    ref_type: ClassVar[type[LocalRef[Any]]] = LocalRef
    context_type: ClassVar[type[Context[Any]]] = Context

    def __init__(
        self, system: ActorSystem, parent: Family, name: str, behavior: Behavior[M], mailbox: Mailbox | None
    ) -> None:
        _check_beginning(behavior)
        outbox, self._inbox = trio.open_memory_channel[Any](math.inf)
        self.system: ActorSystem = system
        self.parent: Family = parent
        self.name: str = name
        self._room: BoundedRef[M] | None = None
        if mailbox is not None and mailbox.capacity < math.inf:
            self._room = BoundedRef(self, outbox.send_nowait, system.next_incarnation(), Room(mailbox))
        self.ref: LocalRef[M] = self._room or self.ref_type(self, outbox.send_nowait, system.next_incarnation())
        self._behavior: Behavior[M] | None = behavior
        self._context = self.context_type(self)
        self._handler: Any = None
        self._signals: deque[object] | None = None
        self._scope: trio.CancelScope | None = None
        self._slot: ReplySlot | None = None
        self._stop_at = math.inf
        self._stopped: trio.Event | None = None
        self._told = False
        self._wasted = 0
        self.task: trio.lowlevel.Task | None = None
        self.children: Family | None = None
        self.handled: int = 0
        self.ended: bool = False

    def __repr__(self) -> str:
        return f"<Cell {self.path}>"

    @property
    def path(self) -> str:
        """The place in the tree."""
        return f"{self.parent.path}/{self.name}"

    @property
    def queued(self) -> int:
        """How many messages wait; also the one that a waiting task has been handed, and does not yet handle."""
        return 0 if self.ended else self.ref.sent - self.handled - self._wasted

    @property
    def stopping(self) -> bool:
        """Whether it has been told to stop, or has."""
        return self.ended or self._told or (self.children is not None and self.children.closing)

    @property
    def slot(self) -> ReplySlot | None:
        """The ask that the message being handled belongs to."""
        return self._slot

    # --- What others do to it -----------------------------------------------------------------------------------------

    def stop(self, grace: float) -> None:
        """Tell it to stop after the message being handled, which is cancelled when ``grace`` seconds are over."""
        if self.ended:
            return
        self._told = True
        self._stop_at = min(self._stop_at, trio.current_time() + grace)
        if self._scope is not None:
            self._scope.deadline = self._stop_at
        if self.children is not None and self.children.closing:
            self.children.tell_stop(self._stop_at)  # it ends already, and waits for them: perhaps less long now
        self._signal(STOP)

    async def wait_stopped(self) -> None:
        """Wait until it has ended."""
        if self.ended:
            await trio.lowlevel.checkpoint()
            return
        if self._stopped is None:
            self._stopped = trio.Event()
        await self._stopped.wait()

    def discard(self, item: object, reason: str, error: type[AskError] = ActorStoppedError) -> None:
        """A message to this actor will not be handled."""
        message = item
        if type(item) is Asked:
            message = item.message
            item.slot.fail(error(f"{self.path}: {reason}"))
        if self.ended:
            self.system.retire(1, 0)
        else:
            self._wasted += 1
        self.system.dead_letter(message, self.ref, reason, sent=True)

    def take_oldest(self) -> object:
        """Take the message that waits longest; a new one has to follow.

        A signal that is met before it is obeyed next all the same: the new message makes the task look.

        Raises:
            trio.WouldBlock: the task has been handed it already.
        """
        item: object = WAKE
        while item is WAKE:
            item = self._inbox.receive_nowait()
        return item

    def _signal(self, signal: object) -> None:
        if self._signals is None:
            self._signals = deque()
        if not self._signals:
            self.ref.put(WAKE)
        self._signals.append(signal)

    def spawn(self, behavior: Behavior[Any], name: str | None, mailbox: Mailbox | None) -> Cell[Any]:
        """Start a child."""
        if self.stopping:
            raise SystemClosedError(f"{self.path} is stopping: it cannot spawn")
        if self.children is None:
            self.children = Family(self.path)
            self.children.start_beside(self.parent)
        child = Cell(self.system, self.children, self.children.name_for(name), behavior, mailbox)
        self.children.add(child)
        return child

    # --- Its task -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """The actor's task, from its first behaviour to its end."""
        self.task = trio.lowlevel.current_task()
        failure: Exception | None = None
        try:
            pending = STOP if self._told else self._become(self._behavior)
            if pending is None:
                self.system.publish(ActorStarted, self.ref)
                pending = await self._mail(None, None)
            if pending is not STOP:
                with trio.CancelScope(deadline=self._stop_at) as scope:
                    self._scope = scope
                    if self._handler is None:
                        pending = await self._set_up(pending)
                    await self._mail(pending, scope)
        except Exception as error:  # noqa: BLE001 - the boundary of an actor: supervision decides what its failure means
            failure = error
            self._failed(error)
        except BaseExceptionGroup as group:  # cancelled, and a nursery of the handler failed meanwhile
            mine, others = group.split(Exception)
            if mine is not None:
                failure = mine
                self._failed(mine)
            if others is not None:
                raise others from None
        finally:
            try:
                if self.children is not None:
                    await self._close(self.children)
            finally:
                self._end(failure)
                del failure  # its traceback refers to this frame: leave no cycle

    async def _set_up(self, pending: Pending) -> Pending:
        """Wait for the first behaviour."""
        while pending is not None and not isinstance(pending, _Stop):
            pending = self._become(await pending)
        self.system.publish(ActorStarted, self.ref)
        return pending

    async def _close(self, children: Family) -> None:
        """Stop the children and wait for them; an actor that ends by itself gives them the usual grace."""
        if not self._told:
            self._stop_at = trio.current_time() + GRACE
        await children.close(self._stop_at)

    async def _mail(self, pending: Pending, scope: trio.CancelScope | None) -> Pending:
        """Handle mail until the actor is to stop; outside a scope, the first awaitable is handed back as it is."""
        inbox = self._inbox
        left = BATCH
        item: Any = None
        while True:
            while pending is not None:
                if scope is None or isinstance(pending, _Stop):
                    return pending
                pending = self._become(await pending)
            left -= 1
            if left:
                try:
                    item = inbox.receive_nowait()
                except trio.WouldBlock:
                    left = 0
            if not left:
                self._slot = None
                item = await inbox.receive()
                left = BATCH
            pending = self._handle(item)

    def _handle(self, item: Any) -> Pending:
        """Give one message to the handler; what has to be awaited comes back."""
        if self._signals:
            return self._obey(item)
        if self._room is not None and item is not WAKE:
            self._room.took()
        if type(item) is Asked:
            slot = item.slot
            if slot.closed:
                self.discard(item, "its asker gave up")
                return None
            self._slot = slot
            item = item.message
        elif item is WAKE:
            return None
        else:
            self._slot = None
        self.handled += 1
        result = self._handler(self._context, item)
        if result is None or result is SAME:
            return None
        return self._become(result)

    def _obey(self, item: object) -> Pending:
        """Signals go before mail: the message at hand is handled after them, or left when they stop the actor."""
        assert self._signals is not None  # the caller has looked
        while self._signals:
            if self._signals.popleft() is STOP:
                self._slot = None
                if item is not WAKE:
                    self._leave(item)
                return STOP
        return self._handle(item)

    def _become(self, result: Any) -> Pending:
        """Take what a handler or factory returned: a behaviour, an instruction, or something to await first."""
        while True:
            kind: object = type(result)  # pyright: ignore[reportUnknownVariableType] # a handler may return anything
            if kind is Receive:
                self._behavior, self._handler = result, result.handler
                return None
            if kind is CoroutineType:
                return result  # type: ignore[no-any-return] # that is what the type says
            if result is STOPPED:
                self._slot = None
                return STOP
            if kind is Setup:
                result = result.factory(self._context)
            elif (result is None or result is SAME) and self._handler is not None:
                return None
            elif inspect.isawaitable(result):
                return result
            else:
                raise self._not_a_behavior(result)

    def _not_a_behavior(self, result: object) -> UsageError:
        if result is None or result is SAME:
            return UsageError(f"{self.path} began with {result!r}: begin with Behaviors.receive(...) or setup(...)")
        return UsageError(
            f"a handler of {self.path} returned {result!r}: return a Behavior, or None to keep the present one"
        )

    # --- Its end ------------------------------------------------------------------------------------------------------

    def _failed(self, error: Exception) -> None:
        if self._slot is not None:
            told = traceback.format_exception_only(error)[0].strip()  # even when its str() raises
            failed = ActorFailedError(f"{self.path} failed: {told}")
            failed.__cause__ = error
            self._slot.fail(failed)
        self.system.log.error("%s failed, and stops", self.path, exc_info=error)
        self.system.publish(ActorFailed, self.ref, error)

    def _end(self, failure: Exception | None) -> None:
        if self._slot is not None:
            self._slot.fail(ActorStoppedError(f"{self.path} stopped while it handled the message"))
        self.system.event_stream.forget(self.ref)
        while True:
            try:
                item = self._inbox.receive_nowait()
            except trio.WouldBlock:
                break
            if item is not WAKE:
                self._leave(item)
        self._inbox.close()
        self.system.retire(self.ref.sent, self.handled)
        self.ended = True
        if self._room is not None:
            self._room.refuse_waiting()
        self._behavior = self._handler = self._slot = self._scope = self._signals = self.task = None
        self.parent.forget(self)
        if self._stopped is not None:
            self._stopped.set()
        self.system.publish(ActorStopped, self.ref, failure)

    def _leave(self, item: object) -> None:
        if self._room is not None:
            self._room.took()
        self.discard(item, "left in the mailbox when the actor stopped")


def _check_beginning(behavior: object) -> None:
    if type(behavior) is Sharded:
        raise UsageError("a sharded behaviour needs a ClusteredActorSystem: nothing else can spawn it")
    if not isinstance(behavior, Behavior):
        raise UsageError(f"{behavior!r} is no behaviour: spawn what Behaviors.receive(...) gives (did you call yours?)")
