"""One actor: its task, its mailbox, its present behaviour. Floor F2.

A leaf actor is one task and one memory channel. While its handlers are plain functions it carries no cancel scope; from the
first awaitable a handler gives, one scope holds the loop (a scope per handler would corrupt Trio's scope stack when a
handler opens scopes of its own). Between two messages signals are obeyed first. After at most a batch of messages the task
lets others run. Everything that ends an actor passes through `_end`, which is synchronous: no state is left half changed
by a cancellation.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Container
from types import CoroutineType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

import trio
from trio.lowlevel import Task, current_task

from casty_trio.actors.family import Family
from casty_trio.actors.life import adopt, begin, run_post_stop
from casty_trio.actors.mail import NO_MESSAGE, WAKE, Adapted, Asked, Finish, Notice, Wake
from casty_trio.actors.orders import BackgroundFailure, Escalated, Restart
from casty_trio.actors.post import STOP, UNCOUNTED, Post, Stop
from casty_trio.actors.reporting import log_failure, not_a_behavior
from casty_trio.actors.spying import observe, spied
from casty_trio.actors.supervision import escalates, judge
from casty_trio.actors.timers import Timer
from casty_trio.actors.waiting import arm
from casty_trio.errors import ActorFailedError, ActorStoppedError, DeathPactError, SystemClosedError
from casty_trio.model.events import ActorFailed, ActorRestarted, ActorStarted, ActorStopped, UnhandledMessage
from casty_trio.model.interpreter import PLAIN, Blueprint
from casty_trio.model.kinds import SAME, STOPPED, UNHANDLED, Behavior, Receive, Setup, is_wrapped
from casty_trio.model.strategies import Directive
from casty_trio.model.words import add_note, in_words

if TYPE_CHECKING:
    from collections import deque

    from casty_trio.model.mailbox import Mailbox

__all__ = ["UNUSUAL", "Cell"]

M = TypeVar("M")


class _Resume:
    """The order to go on with the present behaviour."""

    __slots__ = ()


class _Nothing:
    """In the place of an item: take the next one."""

    __slots__ = ()


RESUME, NOTHING = _Resume(), _Nothing()
Pending = Awaitable[Any] | Stop | None
Order = Restart | _Resume | None

SPECIAL = frozenset({Wake, Timer, Adapted, Notice, Finish})
UNUSUAL = SPECIAL | {Asked}


class Cell(Post[M]):
    """The runtime's side of one actor; users see its `LocalRef` and its `Context`."""

    __slots__ = ()
    unusual: ClassVar[Container[object]] = UNUSUAL
    """The kinds of mail that go through `_handle`; a subclass that looks at each message before has all of them."""
    apart: int
    blueprint: Blueprint
    busy_since: float | None
    children: Family | None
    ended: bool
    epitaph: str | None
    handled: int
    marks: list[tuple[int, float]] | None
    seen: int
    task: Task | None

    def spawn(self, behavior: Behavior[Any], name: str | None, mailbox: Mailbox | None) -> Cell[Any]:
        """Start a child."""
        family = self.family()
        observers = self.blueprint.spied_children
        known = Blueprint(observers=observers, spied_children=observers) if observers else PLAIN
        child = Cell(self.system, family, family.name_for(name), behavior, mailbox, known)
        family.add(child)
        return child

    def family(self) -> Family:
        """What holds its children and background tasks; made when first needed."""
        if self.stopping:
            raise SystemClosedError(f"{self.path} is stopping: it cannot spawn")
        if self.children is None:
            self.children = Family(self.path, self)
            self.children.start_beside(self.parent)
        return self.children

    # --- Its task -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:  # noqa: C901 - in one piece, for every frame of an idle actor is memory
        """The actor's task, from its first behaviour to its end."""
        order, failure = self._enter()
        try:
            while True:
                try:
                    pending = STOP if self._told else self._first(order)
                    while pending is None:
                        pending = self._work(await self._inbox.receive())
                    if pending is not STOP:
                        with self._open_scope() as self._scope:
                            while self._handler is None and isinstance(pending, Awaitable):
                                pending = self._begin(await pending, order)
                            while not isinstance(pending, Stop):
                                if pending is None:
                                    item = await self._inbox.receive()
                                    self._begin_turn()
                                    pending = self._work(item)
                                else:
                                    pending = await self._work_on(pending)
                        self._cut_short(pending)
                    break
                except Exception as error:  # noqa: BLE001 - the boundary of an actor: supervision decides what it means
                    order, failure = self._judge(error)
                    if order is None:
                        break
        except BaseExceptionGroup as group:  # cancelled, and a nursery of the handler failed meanwhile
            failure, others = self._split(group)
            if others is not None:
                raise others from None
        finally:
            try:
                failure = await self._close(failure)
            finally:
                self._end(failure)
                del failure, order  # a traceback refers to this frame: leave no cycle

    def _enter(self) -> tuple[Order, Exception | None]:
        self.task = current_task()
        return None, None

    def _cut_short(self, pending: Pending) -> None:
        """Without an answer that it stops, it was cancelled: it is told to, or it kept its group from restarting.

        Raises:
            Restart: the latter.
        """
        if isinstance(pending, Stop) or self._told:
            return
        for signal in list(self._signals or ()):
            if isinstance(signal, Restart):
                cast("deque[object]", self._signals).remove(signal)
                if self._slot is not None:
                    failed = ActorFailedError(f"{self.path} was cancelled on the message, for its group restarts")
                    failed.__cause__ = signal.failure
                    self._slot.fail(failed)
                    self._slot = None
                raise signal

    def _open_scope(self) -> trio.CancelScope:
        self._begin_turn()
        return trio.CancelScope(deadline=self._stop_at)

    def _begin_turn(self) -> None:
        """From here on a handler may take its time, and others can see it."""
        self.busy_since = now = trio.current_time()
        if self.since is None:
            self.since = now
        self.seen = self.ref.sent - self.apart
        self.ref.mask = 0

    def _end_turn(self) -> None:
        self.busy_since = None
        self.seen = 0
        self.ref.mask = self.system.high_water_mask

    def _begin(self, result: Any, order: Order) -> Pending:
        """Take what the way to the first behaviour gave."""
        pending = self._become(result)
        if pending is None:
            self._end_turn()
            if isinstance(order, Restart):
                self.system.publish(ActorRestarted, self.ref, order.failure)
            else:
                self.system.publish(ActorStarted, self.ref)
        return pending

    def _first(self, order: Order) -> Pending:
        if order is RESUME:
            return None
        self._handler = self._on_signal = None
        if order is None and not self.blueprint.hooks:
            pending = self._become(self._initial)
            if pending is None:
                self.system.publish(ActorStarted, self.ref)
            return pending
        return begin(self, order if isinstance(order, Restart) else None)

    def _work(self, item: Any) -> Pending:  # noqa: C901 - in one piece, for it runs once a message
        """Handle mail without waiting, until there is none, a batch is done, or something has to be awaited."""
        receive_nowait, left, alone = self._inbox.receive_nowait, self._left, False
        if item is not NOTHING:
            left = self.system.settings.batch
            alone = not self._front
            if not alone:
                item = self._queue_behind_front(item)
        while left > 0:
            if item is NOTHING:
                if self._front:
                    item = self._front.popleft()
                else:
                    try:
                        item = receive_nowait()
                    except trio.WouldBlock:
                        break
            left -= 1
            if type(item) in self.unusual or self._signals or self._room is not None:
                pending = self._handle(item)
            else:  # what `_handle` would do, without the cost of a call
                self._slot = None
                self.handled += 1
                self._current = item
                result = self._handler(self._context, item)
                kind: object = type(result)  # pyright: ignore[reportUnknownVariableType] # a handler may return anything
                pending = None
                if kind is Receive and not self.blueprint.observers:
                    self._handler, self._on_signal = result.handler, result.on_signal
                elif result is not None and result is not SAME:
                    pending = result if kind is CoroutineType else self._become(result)
            if pending is not None:
                self._left = left
                return pending
            item = NOTHING
            # An idle actor has mostly been sent one message: to find no other by an exception would cost more.
            if alone and self.ref.sent - self.handled - self._wasted <= 0 and not self._front:
                break
            alone = False
        self._end_batch(whole=left <= 0)
        return None

    async def _work_on(self, awaited: Awaitable[Any]) -> Pending:
        """Await what a handler gave, then go on with its batch, as long as there is mail that has to be awaited, too."""
        while True:
            result: object = await awaited
            pending = None if result is None else self._become(result)
            if pending is not None:
                return pending
            if self._left <= 0 or self._front or self._signals or self._room is not None:
                return self._work(NOTHING)
            try:
                item = self._inbox.receive_nowait()
            except trio.WouldBlock:
                self._end_batch(whole=False)
                return None
            self._left -= 1
            if type(item) in self.unusual:
                pending = self._handle(item)
            else:  # as `_work` does
                self._slot = None
                self.handled += 1
                self._current = item
                given: Any = self._handler(self._context, item)
                kind: object = type(given)  # pyright: ignore[reportUnknownVariableType] # a handler may return anything
                if kind is CoroutineType:
                    awaited = given
                    continue
                pending = self._become(given)
            if pending is None:
                return self._work(NOTHING)
            if isinstance(pending, Stop):
                return pending
            awaited = pending

    def _end_batch(self, *, whole: bool) -> None:
        """There is no more mail, or the rest comes after other tasks had a turn."""
        self._left = 0
        self._slot = self._current = None
        if whole and self._front:
            self.ref.put(WAKE)
        if not whole or self.queued <= 0:
            self.since = self.marks = None
        elif self.since is None:
            self.since = trio.current_time()
            self.seen = self.ref.sent - self.apart
        if self.busy_since is not None:
            self._end_turn()

    def _queue_behind_front(self, item: object) -> object:
        if item is not WAKE:
            assert self._front is not None  # the caller has looked
            self._front.append(item)
        return NOTHING

    def _handle(self, item: Any) -> Pending:
        """Give one message to the handler; what has to be awaited comes back."""
        if self._signals:
            return self._obey(item)
        kind: object = type(item)  # pyright: ignore[reportUnknownVariableType] # mail may be anything
        if self._room is not None and kind not in UNCOUNTED:
            self._room.took()
        if kind is Asked:
            slot = item.slot
            if slot.closed:
                self.discard(item, "its asker gave up")
                return None
            self._slot = slot
            item = item.message
            if type(item) is Adapted:
                return self._handle_special(item)
        else:
            self._slot = None
            if kind in SPECIAL:
                return self._handle_special(item)
        self.handled += 1
        self._current = item
        result = self._handler(self._context, item)
        return None if result is None or result is SAME else self._become(result)

    def _handle_special(self, item: object) -> Pending:
        """Handle what is no plain message."""
        match item:
            case Timer():
                if item.closed:
                    return None
                self.extras.timers.fired(item)  # pyright: ignore[reportUnknownArgumentType] # a timer of this very actor
                self.count_own()
                message: Any = item.message  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
            case Adapted():
                self.handled += 1  # also when the adapting fails
                message = item.adapt(item.message)
            case Notice():
                return self._hear(item.signal)
            case Finish():
                if item.message is NO_MESSAGE:
                    return STOP
                item.reached_at = trio.current_time()
                self.count_own()
                message = item.message
            case _:
                return None  # a wake-up whose signal has been obeyed
        self._current = message
        result = self._handler(self._context, message)
        return None if result is None or result is SAME else self._become(result)

    def _hear(self, signal: Any) -> Pending:
        """Pass a signal that is still wanted to ``on_signal``."""
        if self.extras.watching.pop(signal.ref, self) is self:
            return None
        if self._on_signal is None:
            raise DeathPactError(
                f"{self.path} watched {signal.ref.path}, which has ended, and has no on_signal to hear of it"
            )
        if self.blueprint.observers:
            observe(self, signal)
        self._current = signal
        result = self._on_signal(self._context, signal)
        return None if result is None or result is SAME else self._become(result)

    def _obey(self, item: object) -> Pending:
        """Signals go before mail: the message at hand is handled after them, or left when they stop the actor."""
        assert self._signals is not None  # the caller has looked
        signal = self._signals.popleft()
        if signal is STOP:
            self._slot = None
            if type(item) not in UNCOUNTED:
                self._leave(item)
            return STOP
        self._slot = None
        self._put_first([item])
        assert isinstance(signal, Exception)  # an order to restart, or the failure of a descendant
        raise signal

    def _become(self, result: Any) -> Pending:
        """Take what a handler or factory returned: a behaviour, an instruction, or something to await first."""
        while True:
            kind: object = type(result)  # pyright: ignore[reportUnknownVariableType] # a handler may return anything
            if kind is Receive:
                handler = result.handler
                self._handler = spied(self, handler) if self.blueprint.observers else handler
                self._on_signal = result.on_signal
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
            elif result is UNHANDLED and self._handler is not None:
                self.system.publish(UnhandledMessage, self._current, self.ref)
                return None
            elif is_wrapped(result):
                result = adopt(self, cast("Behavior[Any]", result), self._handler is None)
            elif inspect.isawaitable(result):
                return result
            else:
                raise not_a_behavior(self.path, result)

    # --- Its failures and its end -------------------------------------------------------------------------------------

    def _judge(self, error: Exception) -> tuple[Order, Exception | None]:
        """What follows a failure; without an order it is the end, by that failure."""
        if self._front:
            self.ref.put(WAKE)  # what waits there is for the one that goes on
        if isinstance(error, Restart):
            return (None, None) if self._told else (error, None)
        failure = error.failure if isinstance(error, (Escalated, BackgroundFailure)) else error
        verdict: Directive | Restart = Directive.stop if self._told else judge(self, failure)
        if isinstance(verdict, Restart):
            self._failed(failure, "and restarts")
            return verdict, None
        if verdict is Directive.resume and self._handler is not None:
            self._failed(failure, "and goes on")
            return RESUME, None
        if verdict is not Directive.escalate:
            self._failed(failure, "and stops")
            return None, failure
        add_note(failure, f"escalated by {self.path}")
        self._failed(failure, "and escalates")
        self.parent.escalate(failure)
        return None, failure

    def _split(
        self, group: BaseExceptionGroup[BaseException]
    ) -> tuple[Exception | None, BaseExceptionGroup[BaseException] | None]:
        failure, others = group.split(Exception)
        if failure is not None:
            self._failed(failure, "and stops")
        return failure, others

    def _failed(self, error: Exception, consequence: str) -> None:
        if self._slot is not None:
            failed = ActorFailedError(f"{self.path} failed: {in_words(error)}")
            failed.__cause__ = error
            self._slot.fail(failed)
            self._slot = None
        log_failure(self.system.log, error, "%s failed, %s", self.path, consequence)
        self.system.publish(ActorFailed, self.ref, error)

    async def _close(self, failure: Exception | None) -> Exception | None:
        """End what it owns: timers, children, background tasks; then run the hooks, which may be the first to fail."""
        if self._extras is not None:
            self._extras.stop()
        try:
            if not self._told:  # it ends by itself, and gives its children the usual grace
                self._told = True
                if self._signals:
                    self._pass_on()
                self._stop_at = trio.current_time() + self.system.settings.grace
            if self.children is not None or self.blueprint.hooks:
                arm(self)
            if self.children is not None:
                await self.children.close(self._stop_at)
        finally:
            if self.blueprint.hooks:
                beside = await run_post_stop(self)
                failure = beside if failure is None else failure
        return failure

    def _pass_on(self) -> None:
        """Its own turn ended it before it could hear of these: those that it would have escalated go on their way."""
        for failure in self.forget_orders():
            if escalates(self, failure):
                add_note(failure, f"escalated by {self.path}")
                self.parent.escalate(failure)

    def _end(self, failure: Exception | None) -> None:
        if self._slot is not None:
            self._slot.fail(ActorStoppedError(f"{self.path} stopped while it handled the message"))
        self.system.event_stream.forget(self.ref)
        self.forget_orders()
        for item in self._all_mail():
            if type(item) not in UNCOUNTED:
                self._leave(item, failure)
        self._inbox.close()
        self.system.retire(self.ref.sent, self.handled)
        self.ended = True
        if self._room is not None:
            self._room.refuse_waiting()
        extras = self._extras
        if extras is not None:
            extras.stop()  # again: a hook may have started a timer
            for ref in list(extras.watching):
                self.unwatch(ref)
        self._initial = SAME
        self._handler = self._on_signal = self._slot = self._scope = self._signals = None
        self._extras = self._front = self._current = self.task = None
        self.epitaph = None if failure is None else f"{self.path} failed: {type(failure).__name__}"
        self.parent.forget(self)
        self.system.publish(ActorStopped, self.ref, failure)
        if extras is not None:
            self._tell(extras, failure)
