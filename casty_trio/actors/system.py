"""`ActorSystem`: the block that owns every actor. Floor F2.

Two nurseries: the outer one holds the system's own tasks (the deadlines of asks), the inner one, in the root family's
supervisor task, holds the actors. Leaving the block stops the actors first, children before parents, and then the rest.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar, overload

import trio

from casty_trio.actors.ask import AskSlot, Deadlines, Expiring
from casty_trio.actors.callers import refuse_waiting
from casty_trio.actors.cell import Cell
from casty_trio.actors.dead import DeadLetterRef
from casty_trio.actors.events import EventStream
from casty_trio.actors.family import Family
from casty_trio.actors.finding import Finding
from casty_trio.actors.refs import AskableRef, LocalRef, WatchableRef
from casty_trio.actors.services import Services
from casty_trio.actors.shutdown import Phase, Shutdown, ShutdownHook
from casty_trio.actors.tree import draw
from casty_trio.actors.watchdog import Watchdog, watch_loop
from casty_trio.env import Env, RealEnv
from casty_trio.errors import ActorStoppedError, AskTimeoutError, SystemClosedError, UsageError
from casty_trio.model.address import ActorAddress, check_name
from casty_trio.model.blocks import leave_nursery
from casty_trio.model.broadcast import BroadcastRef
from casty_trio.model.checks import check_instance, check_seconds, no_factory
from casty_trio.model.events import DeadLetter, Event, Lagged
from casty_trio.model.kinds import Behavior, BoundFactory
from casty_trio.model.mailbox import Mailbox
from casty_trio.model.ref import ActorRef
from casty_trio.model.settings import ActorSettings
from casty_trio.model.statistics import SystemStatistics
from casty_trio.settings import Settings, merge_settings

__all__ = ["ActorSystem"]

M = TypeVar("M")
R = TypeVar("R")
E = TypeVar("E", bound=Event)


class ActorSystem(Finding):
    """A tree of actors, owned by an ``async with`` block.

    When the block is left, every task it started is gone. Leaving it stops the actors: each handles the message it is at,
    its children end, then it does. The body's own exception leaves unchanged.

    Parameters:
        name: how the system is called in addresses.
        settings: how long things may take, and how much may wait: all `Settings`, or those of the actors alone; the defaults
            when left out.
        env: the door to clock, randomness and sockets; the real world when left out.

    Example:
        >>> import trio
        >>> def greeter() -> Behavior[ActorRef[str]]:
        ...     return Behaviors.receive(lambda ctx, reply_to: reply_to.tell("Hello"))
        >>> async def main() -> None:
        ...     async with ActorSystem("demo") as system:
        ...         ref = system.spawn(greeter(), "greeter")
        ...         greeting: str = await system.ask(ref, lambda reply_to: reply_to)
        ...         print(greeting)
        >>> trio.run(main)
        Hello
    """

    blocked_after: ClassVar[float] = math.inf
    """What it is where ``ActorSettings.blocked_after`` does not say it."""

    def __init__(
        self, name: str = "casty", *, settings: Settings | ActorSettings | None = None, env: Env | None = None
    ) -> None:
        self._name = check_name(name, "system")
        check_instance("env", env, Env)
        self.all_settings: Settings = merge_settings(settings)
        self.settings: ActorSettings = self.all_settings.actors
        self.high_water_mask: int = _mask(self.settings.high_water)
        self.env: Env = env if env is not None else RealEnv()
        self.uid: int = self.env.uid()
        self.log: logging.Logger = logging.getLogger("casty_trio.actors")
        self.event_stream: EventStream = EventStream()
        self._root = Family("")
        self.services: Services = Services(self)
        self._asks: Deadlines[AskSlot] = Deadlines()
        self._named_asks: dict[int, AskSlot] = {}
        self.deadlines: Deadlines[Expiring] = Deadlines()
        self.shutdown: Shutdown = Shutdown(self)
        self.shutdown.does("actors", self._stop_actors, limited=False)
        self.clock: Callable[[], float] = trio.current_time
        self._nursery_manager: AbstractAsyncContextManager[trio.Nursery] | None = None
        self._left = False
        self.takes_signals: bool = False
        self._watchdog: Watchdog | None = None
        self._incarnation = 0
        self._retired_sent = self._retired_handled = self._dead = self._dead_letters = 0
        self._dead_letter_ref = DeadLetterRef(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name} with {self.statistics().actors} actors>"

    @property
    def name(self) -> str:
        return self._name

    @property
    def running(self) -> bool:
        """Whether this is inside its block."""
        return self._nursery_manager is not None and not self._left

    # --- The block ----------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Open the system.

        Raises:
            SystemClosedError: it was entered before; make a new one.
        """
        if self._nursery_manager is not None:
            raise SystemClosedError(f"{self._name} was entered before: make a new system for a new block")
        self._nursery_manager = trio.open_nursery()
        nursery = await self._nursery_manager.__aenter__()
        self._nursery = nursery
        self.clock = trio.lowlevel.current_clock().current_time  # what `trio.current_time` looks up at each call
        self.start_service(self._asks.run, "asks")
        self.start_service(self.deadlines.run, "timers")
        self._root.start_in(nursery)
        self._watchdog = watch_loop(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        """Stop all actors, and everything else the system runs, in the phases that `on_shutdown` names.

        Raises:
            BaseException: what failed in the system itself, without a group around it when it is alone; only when the body
                did not raise.
        """
        assert self._nursery_manager is not None  # it was entered
        stopping: BaseException | None = None
        try:
            await self.shutdown.run()
        except BaseException as raised:  # noqa: BLE001 - it goes through the nursery, whose cancellation it may be
            stopping = raised
        self._left = True
        if self._watchdog is not None:
            self._watchdog.stop()
        self.deadlines.close()
        for slot in self._asks.close():
            slot.fail(ActorStoppedError("the system has stopped: nobody is left to reply"))
        self.event_stream.close()
        self.services.close()
        self._nursery.cancel_scope.cancel()
        return await leave_nursery(self._nursery_manager, error, stopping, trio.Cancelled)

    def stop_actors(self) -> None:
        """Tell all actors to stop, now."""
        self._root.tell_stop(trio.current_time() + self.settings.grace)

    def take_new_uid(self) -> None:
        """Become another start of the system, to others."""
        self.uid = self.env.uid()

    async def _stop_actors(self) -> None:
        await self._root.close(trio.current_time() + self.settings.grace)

    # --- What programs do -------------------------------------------------------------------------------------------------

    def spawn(self, behavior: Behavior[M], name: str | None = None, *, mailbox: Mailbox | None = None) -> ActorRef[M]:
        """Start an actor at the top of the tree; it starts in its own task, and can be told things at once.

        Parameters:
            behavior: what it does with its first message.
            name: unique among the living actors at the top; left out, one is made up.
            mailbox: a bound for its waiting mail; left out, there is none.

        Raises:
            NameInUseError: a living actor has the name.
            InvalidNameError: a path cannot carry the name.
            SystemClosedError: outside the ``async with`` block, or while it stops.
            UsageError: it is no behaviour, or one for another kind of system.
            SettingsError: its handler is no function, or ``mailbox`` no `Mailbox`.
        """
        return self.spawn_cell(behavior, name, Cell, mailbox).ref

    @overload
    async def ask(
        self, ref: BroadcastRef[M], msg_factory: Callable[[ActorRef[R]], M], *, timeout: float = 5.0, watch: bool = False
    ) -> tuple[R, ...]: ...
    @overload
    async def ask(
        self, ref: ActorRef[M], msg_factory: Callable[[ActorRef[R]], M], *, timeout: float = 5.0, watch: bool = False
    ) -> R: ...
    @overload
    async def ask(
        self, ref: ActorRef[M], msg_factory: BoundFactory[R, M], *, timeout: float = 5.0, watch: bool = False
    ) -> R: ...

    async def ask(
        self, ref: ActorRef[M], msg_factory: Callable[[ActorRef[R]], M], *, timeout: float = 5.0, watch: bool = False
    ) -> Any:
        """Send a message that carries a reply ref, and wait for what is told to that ref.

        Parameters:
            ref: whom to ask; through a `BroadcastRef`, that of a node's system, all members, for a tuple of their replies.
            msg_factory: gets the reply ref, returns the message. The checkers want the type of the reply: annotate the
                variable that takes it, or write the factory as a function.
            timeout: how long to wait, in seconds; ``math.inf`` waits as long as the caller does.
            watch: end with `ActorStoppedError` also when the actor stops after it has handled the message without
                replying (it may have handed the reply ref on).

        Raises:
            AskTimeoutError: no reply came in time.
            ActorStoppedError: the actor had stopped, or stopped with the message queued or in its hands.
            ActorFailedError: it failed on this message; the exception is the cause.
            MailboxFullError: its bounded mailbox had no room.
            BroadcastAskError: not all members replied; it has the replies of the others.
            AskError: the base of these, and of those that only other nodes give.
            SettingsError: the timeout is negative, or no number.
            UsageError: an actor asks itself, ``msg_factory`` is no function, or ``watch`` wanted of what cannot be watched.
            SystemClosedError: outside the ``async with`` block, or while it stops.

        Example:
            >>> # total: int = await system.ask(counter, lambda reply_to: Get(reply_to))
        """
        self._check_open()
        if type(timeout) is not float or not timeout >= 0:  # looked at closely only when it is no usual one
            check_seconds("timeout", timeout)
        watched = self._watched(ref) if watch else None
        slot = AskSlot(self, ref, timeout)
        try:
            message = msg_factory(slot)
            if isinstance(ref, AskableRef):
                ref.tell_asked(message, slot)
            else:
                ref.tell(message)
        except BaseException:  # the caller's own: nobody waits, whoever has been given the reply ref meanwhile
            slot.abandon()
            if not callable(msg_factory):
                raise no_factory(msg_factory) from None
            raise
        if slot.closed:
            await trio.lowlevel.checkpoint()
        else:
            self._asks.add(slot)  # one without end too: it ends with the system
            if watched is not None:
                await self._wait_watching(watched, slot)
            else:
                try:
                    await slot.park()
                except BaseException:
                    slot.give_up()
                    raise
        return slot.result()

    @overload
    async def ask_or_none(
        self, ref: BroadcastRef[M], msg_factory: Callable[[ActorRef[R]], M], *, timeout: float = 5.0, watch: bool = False
    ) -> tuple[R, ...] | None: ...
    @overload
    async def ask_or_none(
        self, ref: ActorRef[M], msg_factory: Callable[[ActorRef[R]], M], *, timeout: float = 5.0, watch: bool = False
    ) -> R | None: ...
    @overload
    async def ask_or_none(
        self, ref: ActorRef[M], msg_factory: BoundFactory[R, M], *, timeout: float = 5.0, watch: bool = False
    ) -> R | None: ...

    async def ask_or_none(
        self, ref: ActorRef[M], msg_factory: Callable[[ActorRef[R]], M], *, timeout: float = 5.0, watch: bool = False
    ) -> Any:
        """As `ask`, but None when no reply came in time; other errors are raised."""
        try:
            return await self.ask(ref, msg_factory, timeout=timeout, watch=watch)
        except AskTimeoutError:
            return None

    async def stop(self, ref: ActorRef[Any], *, grace: float | None = None) -> None:
        """Stop an actor, and wait until it has: it ends the message it is at, its children stop, then it does.

        Parameters:
            ref: the actor; one that has stopped is no error.
            grace: how long its present handler may go on before it is cancelled, in seconds; ``ActorSettings.grace``, which
                is 5, when left out.

        Raises:
            UsageError: it is not an actor of this system; it is the actor that calls, which returns `Behaviors.stopped()`,
                or an ancestor of that, which waits for it: tell it, or stop it from a background task.
            SettingsError: the grace is negative, or no number.
        """
        if grace is not None:
            check_seconds("grace", grace)
        cell = self._cell_of(ref)
        refuse_waiting(cell)
        cell.stop(self.settings.grace if grace is None else grace)
        await cell.wait_stopped()

    async def wait_stopped(self, ref: ActorRef[Any]) -> None:
        """Wait until an actor has stopped; at once when it has already.

        Raises:
            UsageError: it is not an actor of this system; or it is the actor that calls, or an ancestor of that, which
                cannot stop before the wait is over.
        """
        cell = self._cell_of(ref)
        refuse_waiting(cell)
        await cell.wait_stopped()

    def on_shutdown(self, phase: Phase, hook: Callable[[], object], *, timeout: float | None = None) -> ShutdownHook:
        """Run something when the block is left, be it by an exception or a cancellation.

        The phases are ``before-leave`` (all still runs), ``drain``, ``leave`` (a node leaves its cluster), ``actors`` (they
        stop) and ``connections`` (peers are told goodbye). The hooks of a phase run all at once before what the system does
        in it; they are shielded from the cancellation. One that fails is logged and published as `ShutdownHookFailed`. They
        may add hooks to later phases.

        Parameters:
            phase: when.
            hook: a function without parameters, async or not.
            timeout: after how many seconds it is cancelled, the phase's own time (`ShutdownSettings`) at most.

        Returns:
            What forgets the hook again: ``.cancel()``.

        Raises:
            SettingsError: there is no such phase, or another argument is wrong.
            SystemClosedError: the phase has begun already.

        Example:
            >>> # system.on_shutdown("before-leave", health_server.aclose, timeout=2.0)
        """
        return self.shutdown.add(phase, hook, timeout)

    def events(self, event_type: type[E], *, capacity: int = 1024) -> AbstractAsyncContextManager[AsyncIterator[E | Lagged]]:
        """Iterate over events of a class, its subclasses included, from the moment the block is entered.

        Parameters:
            event_type: which events.
            capacity: how many may wait for the iteration; what does not fit is counted and told as `Lagged`.

        Raises:
            SettingsError: when the block is entered: that is no class of events, or no capacity.
            SystemClosedError: outside the system's block.

        Example:
            >>> # async with system.events(DeadLetter) as letters:
            >>> #     async for letter in letters: ...
        """
        return self.event_stream.events(event_type, capacity=capacity)

    @property
    def dead_letters(self) -> ActorRef[Any]:
        """A ref that makes a `DeadLetter` of all it is told: the address for replies nobody wants."""
        return self._dead_letter_ref

    def statistics(self) -> SystemStatistics:
        """Count everything; costs a walk over the living actors."""
        cells = list(self._walk(self._root))
        return SystemStatistics(
            actors=len(cells),
            sent=self._retired_sent + sum(cell.ref.sent for cell in cells),
            handled=self._retired_handled + sum(cell.handled for cell in cells),
            dead=self._dead,
            queued=sum(cell.queued for cell in cells),
            asks=len(self._asks),
            dead_letters=self._dead_letters,
        )

    def tree(self) -> str:
        """The living actors as text, a line each: name, state, how many messages wait, and for how long the oldest has.

        An actor is busy since its present turn began: for as long as its handler has been running, when messages come one
        by one. Messages carry no time of arrival, for all would pay for it; so the age of the oldest is often exact, to a
        pass of the scheduler, and otherwise given by two bounds. Stashed messages wait since they were put aside.

        Example:
            >>> # print(system.tree())
            >>> # demo
            >>> # ├── counter  running, 0 queued
            >>> # ├── team  busy for 2.0 s, 3 queued, the oldest for 1.5 s
            >>> # └── till  busy for 4.1 s, 2 queued, the oldest for 0.0 to 4.1 s
        """
        return "\n".join([self._name, *draw(self._root)])

    # --- What the runtime does ---------------------------------------------------------------------------------------

    def start_service(self, run: Callable[[], Awaitable[object]], name: str) -> None:
        """Run a task of the system itself; it is cancelled after the actors have stopped."""
        self._nursery.start_soon(run, name=f"{self._name} ({name})")

    def watch_deadline(self, slot: Expiring) -> None:
        """End an ask when its deadline has come."""
        if slot.deadline < math.inf:
            self.deadlines.add(slot)

    def address_of(self, path: str, incarnation: int) -> ActorAddress:
        """The address of something that lives in this system."""
        return ActorAddress(self._name, path, None, None, self.uid, incarnation)

    def next_incarnation(self) -> int:
        """A number no other actor of this start of the system has."""
        self._incarnation += 1
        return self._incarnation

    def name_ask(self, slot: AskSlot) -> int:
        """Give an ask a number under which its reply ref is found while it waits.

        Nobody can guess it: who could, would answer in the place of whoever was asked.
        """
        number = int.from_bytes(self.env.token(8), "big") >> 1 | 1  # so many bits as an incarnation has
        self._named_asks[number] = slot
        return number

    def forget_ask(self, number: int) -> None:
        """The ask of that number is over."""
        self._named_asks.pop(number, None)

    def ask_named(self, number: int) -> AskSlot | None:
        """The ask of that number, if it waits."""
        return self._named_asks.get(number)

    def publish(self, event_type: Callable[..., Event], *fields: object) -> None:
        """Publish an event, if anybody listens."""
        self.event_stream.publish(event_type, *fields)

    def retire(self, sent: int, handled: int) -> None:
        """Keep the counts of an actor that ends."""
        self._retired_sent += sent
        self._retired_handled += handled

    def dead_letter(self, message: object, recipient: ActorRef[Any], reason: str, *, sent: bool = False) -> None:
        """Make a message nobody will handle visible; ``sent`` when a local actor's count has it."""
        self._dead_letters += 1
        self._dead += sent
        if isinstance(message, Event):
            return  # an event its subscriber missed makes no event again
        logged = self.settings.logged_dead_letters
        if self._dead_letters <= logged:
            more = "; further ones are counted and published only" if self._dead_letters == logged else ""
            self.log.info("dead letter for %s (%s): %s%s", recipient.path, reason, type(message).__name__, more)
        self.publish(DeadLetter, message, recipient, reason)

    def spawn_cell(
        self,
        behavior: Behavior[M],
        name: str | None,
        cell_type: type[Cell[Any]],
        mailbox: Mailbox | None = None,
    ) -> Cell[M]:
        """Start an actor at the top of the tree, of a kind of cell of its own."""
        self._check_open()
        cell = cell_type(self, self._root, self._root.name_for(name), behavior, mailbox)
        self._root.add(cell)
        return cell

    async def _wait_watching(self, ref: WatchableRef[Any], slot: AskSlot) -> None:
        ref.add_watcher(slot)
        try:
            if slot.closed:  # it has ended already
                await trio.lowlevel.checkpoint()
            else:
                await slot.wait_closed()
        finally:
            ref.remove_watcher(slot)

    def _watched(self, ref: ActorRef[Any]) -> WatchableRef[Any]:
        if isinstance(ref, WatchableRef) and ref.belongs_to(self):
            return ref
        raise UsageError(f"{ref!r} is not an actor that the system {self._name} can watch")

    def _check_open(self) -> None:
        if not self.running:
            raise SystemClosedError(f"{self._name} is used outside its block: write 'async with {type(self).__name__}(...)'")

    def _cell_of(self, ref: ActorRef[Any]) -> Cell[Any]:
        if isinstance(ref, LocalRef) and ref.cell.system is self:
            return ref.cell
        raise UsageError(f"{ref!r} is not an actor of the system {self._name}")

    def _walk(self, family: Family) -> Iterator[Cell[Any]]:
        families = [family]
        while families:  # no recursion: trees may be deeper than Python's stack
            for cell in families.pop().cells.values():
                yield cell
                if cell.children is not None:
                    families.append(cell.children)


def _mask(high_water: int) -> int:
    """Every how many tells of one ref the mailbox is looked at: often enough for the setting, as bits to test."""
    return min(1 << (high_water.bit_length() - 1), 1024) - 1
