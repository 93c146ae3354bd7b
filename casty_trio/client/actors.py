"""The local actors of a client: which there are, and one's life. Floor: client, on anyio.

They run the same behaviours as a node's actors, interpreted by the same functions, one message at a time, each in a task of
the client's block. They have no children and watch nobody; what they may use is in `ClientContext`. The cluster reaches them
through the client's streams, so their refs are good for as long as the client is connected to the node it sent them to.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import anyio
from anyio.lowlevel import checkpoint

from casty_trio.client.context import ClientContext, ClientTimers
from casty_trio.client.mail import ClientMail
from casty_trio.errors import (
    ActorFailedError,
    ActorStoppedError,
    AskError,
    MailboxFullError,
    NameInUseError,
    NotSupportedOnClientError,
    SelfAskError,
    UsageError,
)
from casty_trio.link.parking import Parking, failure_of, parking_class, running_thread
from casty_trio.model.address import ActorAddress, check_name
from casty_trio.model.checks import check_instance
from casty_trio.model.interpreter import afresh, collect, collect_later
from casty_trio.model.kinds import (
    SAME,
    STOPPED,
    UNHANDLED,
    Behavior,
    Hooks,
    Receive,
    Setup,
    Special,
    Supervised,
    WithLifecycle,
    behavior_message_types,
    is_wrapped,
)
from casty_trio.model.mailbox import Mailbox
from casty_trio.model.ref import ActorRef
from casty_trio.model.settings import ActorSettings
from casty_trio.model.strategies import Directive, RestartWindow, SupervisionStrategy
from casty_trio.model.words import in_words

if TYPE_CHECKING:
    from casty_trio.client.asks import ClientAsk
    from casty_trio.client.client import ClusterClient

__all__ = ["ClientActors", "ClientCell", "LocalActorRef"]

M = TypeVar("M")

log: logging.Logger = logging.getLogger("casty_trio.client")


class LocalActorRef(ActorRef[M]):
    """The ref to an actor of this client; it can be sent to the cluster."""

    __slots__ = ("cell", "client")

    def __init__(self, cell: ClientCell) -> None:
        self.cell: ClientCell = cell
        self.client: ClusterClient = cell.client

    @property
    def address(self) -> ActorAddress:
        return self.client.address_of(self.cell.path, self.cell.incarnation)

    def tell(self, message: M) -> None:
        if running_thread() != self.client.thread:  # `check_thread`, without the call
            raise self.client.used_elsewhere()
        self.cell.put(message)

    async def send(self, message: M) -> None:
        self.client.check_thread()
        await checkpoint()
        await self.cell.send(message)

    def submit(self, message: Any, ask: ClientAsk) -> None:
        """Put the message of an ask."""
        with suppress(MailboxFullError):  # the ask has it
            self.cell.put(message, ask.number)


class _Failed:
    """In a mailbox: what runs in the background for the actor has failed."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class ClientCell:
    """One local actor.

    Attributes:
        path: its place, ``/name``.
        ref: its ref.
        ended: set when it has ended.
        behind: what runs in the background for it.
    """

    def __init__(self, actors: ClientActors, path: str, behavior: Behavior[Any], incarnation: int, mailbox: Mailbox) -> None:
        self.client: ClusterClient = actors.client
        self.path: str = path
        self.incarnation: int = incarnation
        self.ref: LocalActorRef[Any] = LocalActorRef(self)
        self.ended: anyio.Event = anyio.Event()
        self.behind: dict[anyio.CancelScope, None] = {}
        self.timers: ClientTimers[Any] = ClientTimers(self)
        self.context: ClientContext[Any] = ClientContext(self)
        self._actors = actors
        self._initial, self._blueprint = collect(behavior)
        self._handler: Receive[Any] | None = None
        self._mail = ClientMail(mailbox)
        self._task = 0  # its own, as the library numbers it
        self._ask = 0  # that of the message at hand
        self._parking: Parking = parking_class()()
        self._scope = anyio.CancelScope()
        self._stopping = False
        self._windows: dict[int, RestartWindow] = {}
        self._backoff = 0.0

    # --- Mail ---------------------------------------------------------------------------------------------------------

    def put(self, message: Any, ask: int = 0) -> None:
        """Add a message to the mailbox; what overflows is counted, and an ask of it fails.

        Raises:
            MailboxFullError: there is no room, and it rejects.
        """
        mail = self._mail
        if self._stopping:
            self._refuse(message, ask)
            return
        if not mail.free:
            full = f"the mailbox of {self.path} is full"
            if mail.bound.overflow != "drop_oldest":
                self._overflow(ask, full)
                if mail.bound.overflow == "reject":
                    raise MailboxFullError(f"{full} ({mail.queued} messages wait)")
                return
            self._overflow(mail.take_oldest()[1], f"{full}: the oldest is dropped")
        mail.put(message, ask)
        self._parking.unpark()

    def put_own(self, item: Any) -> None:
        """Add something of its own, a timer's message say, which takes no room."""
        if self._stopping:
            self._refuse(item, 0)
            return
        self._mail.put(item, 0, counted=False)
        self._parking.unpark()

    async def send(self, message: Any) -> None:
        """Add a message as soon as there is room.

        Raises:
            SelfAskError: it is the actor itself that would wait.
        """
        if self._stopping or self._mail.free:
            self.put(message)
            return
        if self.is_running_here():
            raise SelfAskError(f"{self.path} waits for room in its own mailbox: tell() itself, or bound it less tightly")
        await self._mail.wait(message)

    def put_failure(self, error: Exception) -> None:
        """Let it fail in its own turn."""
        self.put_own(_Failed(error))

    def _overflow(self, ask: int, reason: str) -> None:
        self._actors.overflowed += 1
        self.client.lose(ask, MailboxFullError(reason), reason)

    def _refuse(self, message: Any, ask: int) -> None:
        if ask:
            self._fail_ask(ask, ActorStoppedError(f"{self.path} has stopped"))
        elif not isinstance(message, _Failed) and not self.timers.owns(message):
            self.client.drop(message, f"{self.path} has stopped")

    def _fail_ask(self, number: int, error: AskError) -> None:
        ask = self.client.asks.get(number)
        if ask is not None:
            ask.fail(error)

    def stop(self, grace: float) -> None:
        """Tell it to stop after the message at hand, which is cancelled when it takes longer than the grace."""
        self._stopping = True
        self._scope.deadline = min(self._scope.deadline, anyio.current_time() + grace)
        self._parking.unpark()

    def is_running_here(self) -> bool:
        """Whether it is the actor's own task that calls."""
        return anyio.get_current_task().id == self._task

    # --- Its task -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """The actor's task, from its first behaviour to its end.

        Raises:
            Exception: a failure that all strategies escalated: it ends the client's block.
        """
        restarted: Exception | None = None
        begun = False
        self._task = anyio.get_current_task().id
        try:
            with self._scope:
                while not self._stopping:
                    try:
                        if not begun:
                            await self._begin(restarted)
                            begun = True
                        await self._work()
                    except BaseException as raised:
                        error = failure_of(raised)
                        if error is None:
                            raise
                        directive = self._judge(error)
                        if directive is Directive.escalate:
                            raise error  # noqa: B904 - it is what was raised, or has that for its cause
                        if directive is Directive.stop:
                            break
                        if directive is Directive.resume and not begun:
                            break  # there is no behaviour to go on with
                        if directive is Directive.restart:
                            restarted, begun = error, False
        finally:
            await self._end()

    async def _begin(self, restarted: Exception | None) -> None:
        """Run the hooks of a start or restart, and set up the first behaviour."""
        hooks = self._blueprint.hooks
        if restarted is None:
            await self._run_hooks(hooks)
        else:
            for each in reversed(hooks):
                if each.pre_restart is not None:
                    await finish(each.pre_restart(self.context, restarted))
            self._let_go()
            await anyio.sleep(self._backoff)
            for each in hooks:
                if each.post_restart is not None:
                    await finish(each.post_restart(self.context))
            self._blueprint = afresh(self._blueprint)
        self._handler = None
        await self._become(self._initial)

    async def _run_hooks(self, hooks: tuple[Hooks, ...]) -> None:
        for each in hooks:
            if each.pre_start is not None:
                await finish(each.pre_start(self.context))

    async def _work(self) -> None:
        """Handle mail until it is to stop."""
        left = batch = self.client.actor_settings.batch
        while not self._stopping:
            if not self._mail:
                await self._parking.park()
                continue
            message, self._ask = self._mail.take()
            if not self.client.asks.is_over(self._ask):
                await self._handle(message)
            self._ask = 0
            left -= 1
            if not left:
                left = batch
                await checkpoint()

    async def _handle(self, message: Any) -> None:
        if isinstance(message, _Failed):
            raise message.error
        message, wanted = self.timers.fired(message)
        if not wanted:
            return
        assert self._handler is not None  # `_begin` has set it
        result: Any = self._handler.handler(self.context, message)
        if inspect.isawaitable(result):
            result = await result
        if result is UNHANDLED:
            self.client.drop(message, f"{self.path} does not handle it")
        elif result is not None and result is not SAME:
            await self._become(result)

    async def _become(self, behavior: Behavior[Any]) -> None:
        """Take on what a setup or handler returned."""
        while True:
            beginning, known = self._handler is None, self._blueprint
            check_supported(behavior)
            behavior, self._blueprint = collect_later(behavior, known, beginning)
            if beginning and not known.fixed:
                await self._run_hooks(self._blueprint.hooks[len(known.hooks) :])
            if isinstance(behavior, Setup):
                made: Any = behavior.factory(self.context)
                behavior = await made if inspect.isawaitable(made) else made
                continue
            if isinstance(behavior, Receive):
                self._handler = behavior
            elif behavior is STOPPED:
                self._stopping = True
            elif behavior is not SAME or beginning:
                raise UsageError(f"{self.path} cannot become {behavior!r}: return a behaviour that receives, or stopped()")
            return

    # --- Failure ------------------------------------------------------------------------------------------------------

    def _judge(self, error: Exception) -> Directive:
        """What its strategies say, from the inside out."""
        log.error("%s failed", self.path, exc_info=error)
        if self._ask:
            failed = ActorFailedError(f"{self.path} failed: {in_words(error)}")
            failed.__cause__ = error
            self._fail_ask(self._ask, failed)
            self._ask = 0
        for number, strategy in enumerate(self._blueprint.strategies):
            try:
                directive = strategy.decide(error)
            except Exception:  # a function of the program's
                log.exception("the decider of %s failed: it is stopped", self.path)
                return Directive.stop
            if directive is Directive.restart:
                return self._restart(number, strategy)
            if directive is not Directive.escalate:
                return directive
        return Directive.escalate if self._blueprint.strategies else Directive.stop

    def _restart(self, number: int, strategy: SupervisionStrategy) -> Directive:
        window = self._windows.setdefault(number, RestartWindow())
        times = window.restart(strategy, anyio.current_time())
        if times is None:
            most, within = strategy.max_restarts, strategy.within
            log.error("%s failed more than %d times in %g s: it is stopped", self.path, most, within)
            return Directive.stop
        rng = self.client.env.rng
        self._backoff = strategy.backoff.delay(times, rng) if strategy.backoff is not None else 0.0
        return Directive.restart

    # --- Its end ------------------------------------------------------------------------------------------------------

    def _let_go(self) -> None:
        """End what belongs to the incarnation that failed, or to the actor."""
        self.timers.cancel_all()
        for scope in list(self.behind):
            scope.cancel()

    async def _end(self) -> None:
        self._stopping = True
        self._let_go()
        timeout = self._actors.settings.hook_timeout
        try:
            with anyio.move_on_after(timeout, shield=True) as scope:
                await self._run_post_stop()
            if scope.cancelled_caught:
                log.error("post_stop of %s took more than %g s, and was cancelled", self.path, timeout)
        finally:
            self._let_go()  # what post_stop has begun
            if self._ask:
                self._fail_ask(self._ask, ActorStoppedError(f"{self.path} has stopped"))
            for message in self._mail.refuse_waiting():
                self._refuse(message, 0)
            while self._mail:
                self._refuse(*self._mail.take())
            self._actors.forget(self)
            self.ended.set()

    async def _run_post_stop(self) -> None:
        for hooks in reversed(self._blueprint.hooks):
            try:
                if hooks.post_stop is not None:
                    await finish(hooks.post_stop(self.context))
            except BaseException as raised:
                error = failure_of(raised)
                if error is None:
                    raise
                log.error("post_stop of %s failed", self.path, exc_info=error)  # and the other hooks run


class ClientActors:
    """All local actors of a client.

    Args:
        client: whose they are; its settings of actors say how long things may take.
    """

    def __init__(self, client: ClusterClient) -> None:
        self.client: ClusterClient = client
        self.settings: ActorSettings = client.actor_settings
        self.overflowed: int = 0
        self._cells: dict[str, ClientCell] = {}
        self._spawned = 0

    def __len__(self) -> int:
        return len(self._cells)

    def spawn(self, behavior: Behavior[M], name: str | None, mailbox: Mailbox | None) -> LocalActorRef[M]:
        """Start an actor; see `ClusterClient.spawn`."""
        check_supported(behavior)
        check_instance("mailbox", mailbox, Mailbox)
        if mailbox is None:
            mailbox = Mailbox(self.client.settings.mailbox, self.client.settings.overflow)
        self._spawned += 1
        if name is None:
            name = f"${self._spawned}"
        elif check_name(name).startswith("$"):
            raise UsageError(f"{name!r}: names that begin with $ are made up for actors without one")
        path = f"/{name}"
        if path in self._cells:
            raise NameInUseError(f"{path} is alive: stop it first, or leave the name out")
        self.client.codec.register(*behavior_message_types(behavior))
        cell = self._cells[path] = ClientCell(self, path, behavior, self._spawned, mailbox)
        self.client.start_soon(cell.run, f"casty_trio client ({path})")
        return cell.ref

    def find(self, path: str, incarnation: int) -> ClientCell | None:
        """The living actor at a path; incarnation 0 means whichever."""
        cell = self._cells.get(path)
        return cell if cell is not None and incarnation in (0, cell.incarnation) else None

    async def stop(self, ref: ActorRef[Any]) -> None:
        """Stop an actor, and wait until it has."""
        if not isinstance(ref, LocalActorRef) or ref.client is not self.client:
            raise UsageError(f"{ref!r} is no actor of this client")
        if ref.cell.is_running_here():
            path = ref.cell.path
            raise UsageError(f"{path} would wait for itself: an actor stops itself by returning Behaviors.stopped()")
        ref.cell.stop(self.settings.grace)
        await ref.cell.ended.wait()

    async def close(self, grace: float) -> None:
        """Stop all, and wait until they have; a handler that takes longer than the grace is cancelled."""
        cells = list(self._cells.values())
        for cell in cells:
            cell.stop(grace)
        for cell in cells:
            await cell.ended.wait()

    def forget(self, cell: ClientCell) -> None:
        """It has ended: its name is free again."""
        del self._cells[cell.path]
        self.client.event_stream.unsubscribe(cell.ref)


async def finish(result: Awaitable[None] | None) -> None:
    """Wait for what a hook gave, if there is anything to wait for."""
    if inspect.isawaitable(result):
        await result


def check_supported(behavior: Any) -> None:
    """See that actors of a client can be what a behaviour says.

    Raises:
        NotSupportedOnClientError: they cannot.
        UsageError: it is no behaviour.
    """
    while is_wrapped(behavior):
        if type(behavior) not in (Supervised, WithLifecycle):
            _refuse(behavior)
        behavior = behavior.behavior
    if not isinstance(behavior, Receive | Setup | Special):
        _refuse(behavior)


def _refuse(behavior: object) -> NoReturn:
    if not issubclass(type(behavior), Behavior):
        raise UsageError(f"{behavior!r} is no behaviour: give what Behaviors.receive(...) gives (did you call yours?)")
    raise NotSupportedOnClientError(
        f"{type(behavior).__name__.lower()} needs a node: an actor of a client is made of Behaviors.receive, setup, "
        "with_lifecycle and supervise"
    )
