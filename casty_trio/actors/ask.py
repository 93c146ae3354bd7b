"""Asking a local actor, in two task switches. Floor F2.

The slot is the reply ref: it travels with the message, and replying, or failing, wakes the asking task directly. There is no
cancel scope per ask: all deadlines of a system stand in one heap, and one task sleeps until the earliest.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

import trio
from trio.lowlevel import Abort, Task, checkpoint, current_task, reschedule, wait_task_rescheduled

from casty_trio.actors.refs import Carrier, ReplySlot
from casty_trio.errors import AskError, AskTimeoutError
from casty_trio.model.address import ActorAddress
from casty_trio.model.deadlines import DeadlineHeap

if TYPE_CHECKING:
    from casty_trio.actors.system import ActorSystem

__all__ = ["AskSlot", "Deadlines", "Expiring", "deadline_of"]

X = TypeVar("X", bound="Expiring")


class Expiring(Protocol):
    """Something with a deadline that `Deadlines` watches."""

    closed: bool
    deadline: float

    def expire(self) -> None:
        """The deadline has come."""


class AskSlot(ReplySlot):
    """One ask of a task in this process."""

    __slots__ = ("_number", "_system", "_task", "_timeout", "_value", "error", "target")

    def __init__(self, system: ActorSystem, target: object, timeout: float) -> None:
        self.carrier: Carrier | None = None
        self.closed: bool = False
        self.deadline: float = system.clock() + timeout
        self.target: object = target
        self.error: AskError | None = None
        self._system = system
        self._timeout = timeout
        self._task: Task | None = None
        self._value: Any = None
        self._number = 0

    @property
    def number(self) -> int:
        """The ask's number in its system; given when first needed."""
        if not self._number:
            self._number = self._system.name_ask(self)
        return self._number

    @property
    def address(self) -> ActorAddress:
        return self._system.address_of(f"/$asks/{self.number}", self.number)

    def tell(self, message: Any) -> None:
        if self.closed:
            self._system.dead_letter(message, self, "the ask is over: a late or second reply")
            return
        self._value = message
        self._close()

    async def send(self, message: Any) -> None:
        await checkpoint()
        self.tell(message)

    def fail(self, error: AskError) -> None:
        if not self.closed:
            self.error = error
            self._close()

    def abandon(self) -> None:
        """It was never sent: a reply is a dead letter."""
        if not self.closed:
            self._close()

    def expire(self) -> None:
        self.fail(AskTimeoutError(f"no reply from {self.target!r} within {self._timeout:g} s"))

    @property
    def waits_until(self) -> float:
        return self.deadline if self._task is None else min(self.deadline, deadline_of(self._task))

    async def wait_closed(self) -> None:
        """Wait until the ask is over."""
        try:
            await self.park()
        except BaseException:
            self.give_up()
            raise

    def park(self) -> Awaitable[object]:
        """What ends when the ask is over; await it at once, and `give_up` when that raises. A coroutine less per ask."""
        self._task = current_task()
        return wait_task_rescheduled(self._abort)  # noqa: ASYNC105 - the caller awaits it

    def give_up(self) -> None:
        """The caller was cancelled: whoever carries the ask need not go on.

        Called in the task's own turn: Trio aborts the waits of a scope in no fixed order, and others hear of this.
        """
        if self.carrier is not None:
            self.carrier.give_up(self)

    def result(self) -> Any:
        """The reply.

        Raises:
            AskError: there is none; the subclass says why.
        """
        error = self.error
        if error is None:
            value, self._value = self._value, None
            return value
        try:
            raise error
        finally:
            self.error = error = None  # the traceback refers to this frame: leave no cycle

    def _close(self) -> None:
        self.closed = True
        if self._number:
            self._system.forget_ask(self._number)
        self.target = None  # the heap may keep what is closed for a while: only itself
        if self.carrier is not None:  # however it ended: what came from elsewhere, or by a watch, that one does not know
            self.carrier.give_up(self)
        task, self._task = self._task, None
        if task is not None:
            reschedule(task)

    def _abort(self, _: object) -> Abort:
        self.closed = True
        if self._number:
            self._system.forget_ask(self._number)
        self.deadline = trio.current_time()  # the caller waits no longer
        self.target = self._task = None
        return Abort.SUCCEEDED


def deadline_of(task: Task) -> float:
    """When the cancel scopes that another task is in end; infinity when Trio does not tell.

    `trio.current_effective_deadline` tells it of the present task only. To call it in each ask costs a twentieth of one,
    for a handler that may never look; so it is looked up when one does, in what is private to Trio.
    """
    try:
        return float(cast("Any", task)._cancel_status.effective_deadline())
    except (AttributeError, RecursionError):  # another Trio; or more scopes, one in the other, than it can count
        return math.inf


class Deadlines(Generic[X]):
    """Tells entries that their deadline has come; one task for all."""

    __slots__ = ("_heap", "_life", "_scope")

    def __init__(self) -> None:
        self._heap: DeadlineHeap[X] = DeadlineHeap()
        self._life = trio.CancelScope(shield=True)
        self._scope: trio.CancelScope | None = None

    def __len__(self) -> int:
        return self._heap.open

    def add(self, entry: X) -> None:
        """Watch an entry's deadline."""
        if self._heap.add(entry.deadline, entry) and self._scope is not None:
            self._scope.deadline = entry.deadline

    async def run(self) -> None:
        """The task that watches, also while everything around it is cancelled; runs until `close`."""
        with self._life:
            while True:
                with trio.CancelScope(deadline=self._heap.earliest) as self._scope:
                    await trio.sleep_forever()
                for entry in self._heap.due(trio.current_time()):
                    entry.expire()

    def close(self) -> list[X]:
        """End the task; what still waits comes back."""
        self._life.cancel()
        return self._heap.due(math.inf)
