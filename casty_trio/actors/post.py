"""The half of an actor that others touch: its mailbox, its signals, who watches it. Floor F2.

Everything here but one wait is synchronous, and called from any task of the system. What the actor's own task does with
it is in `cell.py`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

import trio
from trio.lowlevel import Task, checkpoint

from casty_trio.actors.context import Context
from casty_trio.actors.extras import Extras
from casty_trio.actors.mail import WAKE, Adapted, Asked, Finish, Notice, Wake
from casty_trio.actors.orders import BackgroundFailure, Escalated, Restart
from casty_trio.actors.refs import BoundedRef, LocalRef, ReplySlot, Room, WatchableRef
from casty_trio.actors.reporting import log_failure
from casty_trio.actors.timers import Timer
from casty_trio.actors.waiting import mark
from casty_trio.errors import ActorFailedError, ActorStoppedError, AskError, UsageError
from casty_trio.model.checks import check_callable, check_instance
from casty_trio.model.events import ActorFailed, MailboxHighWater
from casty_trio.model.interpreter import PLAIN, Blueprint, collect
from casty_trio.model.kinds import Behavior, Broadcasted, Receive, Setup, Sharded, Singleton
from casty_trio.model.mailbox import Mailbox
from casty_trio.model.signals import Terminated
from casty_trio.model.words import in_words

if TYPE_CHECKING:
    from casty_trio.actors.cell import Cell
    from casty_trio.actors.family import Family
    from casty_trio.actors.system import ActorSystem
    from casty_trio.model.ref import ActorRef

__all__ = ["STOP", "UNCOUNTED", "Post", "Stop", "check_beginning"]

M = TypeVar("M")


class Stop:
    """The signal to stop, and the answer of the loop that it does."""

    __slots__ = ()


STOP = Stop()

UNCOUNTED = frozenset({Wake, Timer, Notice, Finish})
"""What takes no room in a bounded mailbox, and is no message of anybody's."""


class Post(Generic[M]):
    """The state of an actor, and what others may do to it; `Cell` is one that runs."""

    __slots__ = (
        "_context",
        "_current",
        "_extras",
        "_front",
        "_handler",
        "_inbox",
        "_initial",
        "_left",
        "_on_signal",
        "_room",
        "_scope",
        "_signals",
        "_slot",
        "_stop_at",
        "_told",
        "_wasted",
        "apart",
        "blueprint",
        "busy_since",
        "children",
        "ended",
        "epitaph",
        "handled",
        "marks",
        "name",
        "parent",
        "ref",
        "seen",
        "since",
        "system",
        "task",
    )

    ref_type: ClassVar[type[LocalRef[Any]]] = LocalRef
    context_type: ClassVar[type[Context[Any]]] = Context

    # Nothing, until it is needed: most actors have none of it.
    _current: object
    _extras: Extras | None
    _front: deque[Any] | None
    _handler: Any
    _on_signal: Any
    _scope: trio.CancelScope | None
    _signals: deque[object] | None
    _slot: ReplySlot | None
    busy_since: float | None
    children: Family | None
    epitaph: str | None
    marks: list[tuple[int, float]] | None
    since: float | None
    task: Task | None

    def __init__(
        self,
        system: ActorSystem,
        parent: Family,
        name: str,
        behavior: Behavior[M],
        mailbox: Mailbox | None,
        known: Blueprint = PLAIN,
    ) -> None:
        self._initial: Behavior[Any]
        self.blueprint: Blueprint
        self._initial, self.blueprint = collect(behavior, known)
        check_beginning(self._initial)
        outbox, self._inbox = trio.open_memory_channel[Any](math.inf)
        self.system: ActorSystem = system
        self.parent: Family = parent
        self.name: str = name
        me = cast("Cell[M]", self)  # a Post is only ever the half of a Cell
        self._room: BoundedRef[M] | None = None if mailbox is None else bounded(me, outbox, mailbox)
        self.ref: LocalRef[M] = self._room or self.ref_type(me, outbox, system.next_incarnation())
        self._context = self.context_type(me)
        self._current = self._extras = self._front = self._handler = self._on_signal = None
        self._scope = self._signals = self._slot = None
        self.busy_since = self.children = self.epitaph = self.marks = self.since = self.task = None
        self._stop_at = math.inf
        self._left = self._wasted = 0
        self._told = False
        self.apart: int = 0
        self.seen: int = 0
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
    def napping(self) -> bool:
        """Whether it waits before a restart."""
        return self._extras is not None and self._extras.nap is not None

    @property
    def stashed(self) -> int:
        """How many messages it has put aside."""
        return 0 if self._extras is None else len(self._extras.stash)

    @property
    def stashed_since(self) -> float | None:
        """When it put the oldest of them aside."""
        return self._extras.stash.since if self._extras is not None and self._extras.stash else None

    @property
    def has_front(self) -> bool:
        """Whether there are messages that come before those in the channel."""
        return bool(self._front)

    @property
    def slot(self) -> ReplySlot | None:
        """The ask that the message being handled belongs to."""
        return self._slot

    @property
    def initial(self) -> Behavior[Any]:
        """What it begins with, also after a restart."""
        return self._initial

    @property
    def context(self) -> Context[M]:
        """What its handlers and hooks get."""
        return self._context

    @property
    def last_failure(self) -> Exception | None:
        """What ended it, for those who ask later: in words, for the exception would hold on to all that it happened in."""
        return None if self.epitaph is None else ActorFailedError(self.epitaph)

    @property
    def extras(self) -> Extras:
        """Timers, stash and watches; made when first asked for."""
        if self._extras is None:
            self._extras = Extras(cast("Cell[M]", self))
        return self._extras

    # --- What others do to it -----------------------------------------------------------------------------------------

    def stop(self, grace: float) -> None:
        """Tell it to stop after the message being handled, which is cancelled when ``grace`` seconds are over."""
        stop_at = trio.current_time() + grace
        below = self.stop_by(stop_at)
        if below is not None:
            below.tell_stop(stop_at)

    def stop_by(self, stop_at: float) -> Family | None:
        """The same, to a point in time; what comes back are children for which it already waits, now less long."""
        if self.ended:
            return None
        self._told = True
        sooner = stop_at < self._stop_at
        if sooner:
            self._stop_at = stop_at
        if self._extras is not None:
            self._extras.stop()
        if self._scope is not None:
            self._scope.deadline = self._stop_at
        self.signal(STOP)
        return self.children if sooner and self.children is not None and self.children.closing else None

    def signal(self, signal: object) -> None:
        """Have something obeyed before the next message; an order to restart is void while it restarts."""
        if self.ended:
            return
        if isinstance(signal, Restart):
            if self.napping:
                return
            if self._scope is not None:  # what it is at may take as long as when it is told to stop
                grace = self.system.settings.grace
                self._scope.deadline = min(self._scope.deadline, trio.current_time() + grace)
        if self._signals is None:
            self._signals = deque()
        if not self._signals:
            self.ref.put(WAKE)
        self._signals.append(signal)

    async def wait_stopped(self) -> None:
        """Wait until it has ended."""
        if self.ended:
            await checkpoint()
            return
        extras = self.extras
        if extras.stopped is None:
            extras.stopped = trio.Event()
        await extras.stopped.wait()

    def discard(
        self,
        item: object,
        reason: str,
        error: type[AskError] = ActorStoppedError,
        cause: Exception | None = None,
    ) -> None:
        """A message to this actor will not be handled; ``cause`` is what ended the actor, if that is why."""
        message = item
        if type(item) is Asked:
            message = item.message
            failed = error(f"{self.path}: {reason}")
            failed.__cause__ = cause
            item.slot.fail(failed)
        if type(message) is Adapted:
            message = message.message
        if self.ended:
            self.system.retire(1, 0)
        else:
            self._wasted += 1
        self.system.dead_letter(message, self.ref, reason, sent=True)

    def _leave(self, item: object, failure: Exception | None = None) -> None:
        """A message stays in the mailbox at the end."""
        if self._room is not None:
            self._room.took()
        reason = "left in the mailbox when the actor stopped"
        if failure is not None:
            reason = f"{reason} by {in_words(failure)}"
        self.discard(item, reason, cause=failure)

    def _all_mail(self) -> Iterable[Any]:
        """What was put aside, what comes next, what waits: in the order it would have been handled."""
        if self._extras is not None:
            self.put_front(self._extras.stash.take_all())
        while self._front:
            yield self._front.popleft()
        while True:
            try:
                yield self._inbox.receive_nowait()
            except trio.WouldBlock:
                return

    def _tell(self, extras: Extras, failure: Exception | None) -> None:
        """Those who wait for its end."""
        if extras.stopped is not None:
            extras.stopped.set()
        for watcher in extras.watchers:
            watcher.hear_end(self.ref, failure)

    def take_oldest(self) -> object:
        """Take the message that waits longest, which may have come back from the stash; a new one has to follow.

        What stands before it and is no message is seen to next all the same: the new message makes the task look.

        Raises:
            trio.WouldBlock: the task has been handed it already.
        """
        for index, item in enumerate(self._front or ()):
            if type(item) not in UNCOUNTED:
                del cast("deque[Any]", self._front)[index]
                return item
        while type(item := self._inbox.receive_nowait()) in UNCOUNTED:
            if item is not WAKE:
                self._put_first([])
                assert self._front is not None  # it was made just now
                self._front.append(item)
        return item

    def put_front(self, items: Iterable[object]) -> None:
        """Have messages that were put aside handled next."""
        items = list(items)
        if self._room is not None:
            self._room.returned(len(items))
        self._put_first(items)
        if not self.ended:
            self.ref.put(WAKE)  # whoever put them back may not be the actor's own turn

    def forget_orders(self) -> list[Exception]:
        """It ends or begins again: what was signalled concerned what has ended; failures of that are still seen."""
        signals, self._signals = self._signals, None
        if self._scope is not None:
            self._scope.deadline = self._stop_at
        failures = [each.failure for each in signals or () if isinstance(each, (BackgroundFailure, Escalated))]
        for failure in failures:
            self.note_failure(failure)
        return failures

    def count_own(self) -> None:
        """It handles a message that nobody else has sent."""
        self.ref.sent += 1
        self.apart += 1
        self.handled += 1

    def note_failure(self, failure: Exception) -> None:
        """A failure beside its end or restart, which changes nothing any more."""
        log_failure(self.system.log, failure, "%s failed while it ended", self.path)
        self.system.publish(ActorFailed, self.ref, failure)

    def _put_first(self, items: list[Any]) -> None:
        """Put items at the head of the line; ``items`` keep their order."""
        if self._front is None:
            self._front = deque()
        self._front.extendleft(reversed(items))

    def note_sent(self) -> None:
        """Look at the mailbox: mark when its mail came; tell when there is very much, and again when it is twice as much."""
        self.ref.mask = self.system.high_water_mask
        queued = self.queued
        if queued > 0:
            mark(self)
        if queued >= self.system.settings.high_water and self._room is None and queued >= self.extras.high:
            self.extras.high = 2 * queued
            self.system.publish(MailboxHighWater, self.ref, queued)

    def watch(self, ref: WatchableRef[Any]) -> None:
        """Hear of another actor's end."""
        watching = self.extras.watching
        if ref in watching or self.ended:
            return
        watching[ref] = None
        ref.add_watcher(self)

    def unwatch(self, ref: WatchableRef[Any]) -> None:
        """Hear of it no more, also if it has ended and the notice is on its way."""
        self.extras.watching.pop(ref, None)
        ref.remove_watcher(self)

    def hear_end(self, ref: ActorRef[Any], failure: Exception | None) -> None:
        """An actor that it watches has ended."""
        if not self.ended:
            self.ref.put(Notice(Terminated(ref, failure)))


def bounded(cell: Cell[M], outbox: trio.MemorySendChannel[Any], mailbox: Mailbox) -> BoundedRef[M] | None:
    """The ref of an actor whose mailbox has a bound; None if that is infinity."""
    check_instance("mailbox", mailbox, Mailbox)
    if mailbox.capacity == math.inf:
        return None
    return BoundedRef(cell, outbox, cell.system.next_incarnation(), Room(mailbox))


def check_beginning(behavior: object) -> None:
    """Refuse what no actor can begin with. What is spawned by the thousands comes first, and is looked at no further."""
    kind: object = type(behavior)
    if kind is Receive:
        check_callable("the handler of a behaviour", cast("Any", behavior).handler)
        return
    if kind is Setup:
        check_callable("the factory of a behaviour", cast("Any", behavior).factory)
        return
    if isinstance(behavior, Sharded):
        raise UsageError(
            "a sharded behaviour is spawned by a ClusteredActorSystem itself, with no wrapper around it: "
            "wrap the behaviour that its factory returns"
        )
    if isinstance(behavior, Broadcasted):
        raise UsageError(
            "a broadcasted behaviour is spawned by a ClusteredActorSystem itself, with no wrapper around it: "
            "wrap the behaviour inside"
        )
    if isinstance(behavior, Singleton):
        raise UsageError(
            "a singleton is spawned by a ClusteredActorSystem itself, with no wrapper around it: wrap the behaviour inside"
        )
    if not isinstance(behavior, Behavior):
        raise UsageError(f"{behavior!r} is no behaviour: spawn what Behaviors.receive(...) gives (did you call yours?)")
