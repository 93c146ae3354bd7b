"""`BehaviorTestKit`: runs one behaviour synchronously, without a system, and writes down what it did. Floor F6.

Rules: no event loop, no task, no time. A handler that is a coroutine function is driven to its end in the call, and refused
when it really waits. Wrappers are taken off as a system does it, so strategies, hooks and observers are honoured.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any, Generic, TypeVar, cast, overload

from casty_trio.actors.post import check_beginning
from casty_trio.errors import DeathPactError, UsageError
from casty_trio.model.checks import check_instance
from casty_trio.model.entity import EntityInfo
from casty_trio.model.events import SpyEvent
from casty_trio.model.interpreter import Blueprint, afresh, collect, collect_later
from casty_trio.model.kinds import SAME, STOPPED, UNHANDLED, Behavior, Receive, Setup, Wrapper
from casty_trio.model.ref import ActorRef
from casty_trio.model.signals import Signal, Terminated
from casty_trio.model.strategies import Directive, RestartWindow, SupervisionStrategy
from casty_trio.testing import effects
from casty_trio.testing.errors import WouldWaitError
from casty_trio.testing.matching import describe, listing, matches
from casty_trio.testing.stage import KitContext, RecordingRef, Stage

__all__ = ["BehaviorTestKit"]

M = TypeVar("M")
F = TypeVar("F", bound=effects.Effect)

LOOPS = ("trio", "anyio", "asyncio", "sniffio")


class BehaviorTestKit(Generic[M]):
    """Runs one behaviour, a message at a time, in the calls of the test.

    What it begins with is run at once: hooks, then the factories of `Behaviors.setup`. A failure goes to the strategies
    around the behaviour. Where none decides, or one says escalate, the actor ends and the failure leaves the call.

    Parameters:
        behavior: what an actor would be spawned with.
        name: how the actor is called.
        entity: what ``ctx.entity`` is, for the behaviour of an entity; without it, the actor is none.

    Raises:
        WouldWaitError: the behaviour waits for something already at the start.

    Example:
        >>> from casty_trio.model import Behaviors
        >>> def greet(ctx: ActorContext[ActorRef[str]], reply_to: ActorRef[str]) -> None:
        ...     reply_to.tell("Hello")
        >>> kit = BehaviorTestKit(Behaviors.receive(greet))
        >>> ann = kit.ref("ann")
        >>> kit.run(ann)
        >>> ann.received
        ('Hello',)
    """

    def __init__(self, behavior: Behavior[M], name: str = "kit", *, entity: EntityInfo | None = None) -> None:
        check_instance("entity", entity, EntityInfo)
        self._stage = Stage(name, entity)
        self._context = KitContext[M](self._stage)
        self._blueprint: Blueprint
        self._initial, self._blueprint = collect(behavior)
        check_beginning(self._initial)
        self._windows: dict[SupervisionStrategy, RestartWindow] = {}
        self._receive: Receive[Any] | None = None
        self._current: object = None
        self._stopped = False
        self._failure: Exception | None = None
        self._turn(self._start)

    def __repr__(self) -> str:
        state = "stopped" if self._stopped else "running"
        return f"<BehaviorTestKit {self._stage.path}, {state}, {len(self._stage.effects)} effects>"

    # --- Having it run ------------------------------------------------------------------------------------------------

    def run(self, message: M) -> None:
        """Have it handle a message, and after it what it unstashed.

        Raises:
            WouldWaitError: a coroutine handler waits for something.
            UsageError: it has stopped.
            Exception: what the handler raised, when no strategy decides about it.
        """
        self._turn(partial(self._handle, message))

    def signal(self, signal: Signal) -> None:
        """Have it hear a signal, such as the `Terminated` of an actor it watches.

        Raises:
            UsageError: it does not watch that actor, so it would never hear of it; or it has stopped.
            DeathPactError: it has no ``on_signal``, and no strategy decides about that.
        """
        if isinstance(signal, Terminated) and signal.ref not in self._stage.watching:
            raise UsageError(f"{self._stage.path} does not watch {signal.ref!r}: it would not hear of its end")
        self._turn(partial(self._hear, signal))

    def fire(self, timer: str) -> None:
        """Have a timer's time come, and its message handled.

        Raises:
            UsageError: no timer of that name is running.
        """
        started = self._stage.timers.get(timer)
        if started is None:
            raise UsageError(f"no timer {timer!r} is running; there are {sorted(self._stage.timers)}")
        if not started.periodic:
            del self._stage.timers[timer]
        self._turn(partial(self._handle, started.message))

    def run_waiting(self) -> int:
        """Have it handle what was told to its own ref and its adapters, until nothing waits; says how many."""
        count = 0
        while self._stage.waiting and not self._stopped:
            message, adapt = self._stage.waiting.popleft()
            count += 1
            self._turn(partial(self._handle, message, adapt))
        return count

    def stop(self) -> None:
        """Stop it, as its parent might; a second time is no error."""
        if not self._stopped:
            self._turn(lambda: STOPPED)

    # --- What it did --------------------------------------------------------------------------------------------------

    def effects(self) -> tuple[effects.Effect, ...]:
        """What it did since this was last asked, in order, without what `expect_effect` has taken."""
        taken = tuple(self._stage.effects)
        self._stage.effects.clear()
        return taken

    @overload
    def expect_effect(self, wanted: type[F]) -> F: ...
    @overload
    def expect_effect(self, wanted: F) -> F: ...
    @overload
    def expect_effect(self, wanted: Callable[[Any], object]) -> Any: ...
    def expect_effect(self, wanted: Any) -> Any:
        """Take the first effect that is as wanted; the others stay.

        Parameters:
            wanted: an effect that is equal to it, a class of effects, or a function that says yes to one.

        Raises:
            AssertionError: there is none; the message lists those there are.
        """
        for index, effect in enumerate(self._stage.effects):
            if matches(wanted, effect):
                return self._stage.effects.pop(index)
        raise AssertionError(f"expected {describe(wanted)}, but {self._stage.path} did:{listing(self._stage.effects)}")

    def expect_no_effects(self) -> None:
        """Check that it did nothing that has not been taken yet.

        Raises:
            AssertionError: it did; the message lists what.
        """
        if self._stage.effects:
            raise AssertionError(f"expected no effects, but {self._stage.path} did:{listing(self._stage.effects)}")

    @property
    def behavior(self) -> Behavior[M] | None:
        """What it will do with its next message; None when it has stopped."""
        return None if self._stopped else self._receive

    @property
    def stopped(self) -> bool:
        """Whether it has ended."""
        return self._stopped

    @property
    def failure(self) -> Exception | None:
        """What ended it; None when it has not ended, or ended as it should."""
        return self._failure

    # --- Who is around it ---------------------------------------------------------------------------------------------

    @property
    def self_ref(self) -> ActorRef[M]:
        """Its own ref, ``ctx.self``; what it is told waits for `run_waiting`."""
        return self._stage.own

    @property
    def waiting(self) -> tuple[Any, ...]:
        """What was told to its own ref and its adapters, and not run yet."""
        return tuple(message for message, _ in self._stage.waiting)

    def ref(self, name: str | None = None, *, on_message: Callable[[Any], object] | None = None) -> RecordingRef[Any]:
        """A new `RecordingRef`, for short; what a behaviour begins with needs one before there is a kit."""
        return RecordingRef(name, on_message=on_message)

    def child(self, name: str) -> RecordingRef[Any]:
        """A living child of its, which keeps what it is told.

        Raises:
            UsageError: there is none of that name.
        """
        child = self._stage.children.get(f"{self._stage.path}/{name}")
        if child is None:
            raise UsageError(f"{self._stage.path} has no child {name!r}; there are {list(self._stage.children)}")
        return child

    # --- One turn -----------------------------------------------------------------------------------------------------

    def _turn(self, first: Callable[[], object]) -> None:
        """Run something, and then what was unstashed by it."""
        if self._stopped:
            raise UsageError(f"{self._stage.path} has stopped: make a new kit")
        stage = self._stage
        with stage.performance():
            self._step(first)
            while stage.front and not self._stopped:
                self._step(partial(self._handle, stage.front.popleft()))

    def _step(self, step: Callable[[], object]) -> None:
        try:
            self._become(step())
        except Exception as error:  # noqa: BLE001 - the boundary of an actor: supervision decides what it means
            if isinstance(error, (RuntimeError, AttributeError)) and _is_from_a_loop(error):
                self._stage.would_wait("something of the event loop").__cause__ = error
            if self._stage.waited is None:
                self._failed(error)
        if self._stage.waited is not None:
            self._stopped = True
            raise self._stage.waited

    def _start(self) -> object:
        for hooks in self._blueprint.hooks:
            if hooks.pre_start is not None:
                self._finish(hooks.pre_start(self._context))
        return self._initial

    def _handle(self, message: Any, adapt: Callable[[Any], Any] | None = None) -> object:
        assert self._receive is not None  # it has begun
        message = message if adapt is None else adapt(message)
        self._current = message
        self._observe(message)
        return self._receive.handler(self._context, message)

    def _hear(self, signal: Signal) -> object:
        assert self._receive is not None  # it has begun
        stage = self._stage
        self._current = signal
        self._observe(signal)
        if isinstance(signal, Terminated):
            stage.watching.pop(signal.ref, None)
            stage.children.pop(signal.ref.path, None)
        if self._receive.on_signal is not None:
            return self._receive.on_signal(self._context, signal)
        raise DeathPactError(f"{stage.path} has no on_signal to hear {signal!r}")

    def _observe(self, event: object) -> None:
        for observer in self._blueprint.observers:
            told = SpyEvent(self._stage.path, event, 0.0)
            if isinstance(observer, RecordingRef):
                observer.accept(told)  # by the runtime: no effect of the behaviour
            else:
                observer.tell(told)

    def _become(self, result: Any) -> None:
        """Take what a handler or factory returned; as a system does, but what has to be awaited is driven here."""
        while True:
            if inspect.isawaitable(result):
                result = self._finish(result)
            elif isinstance(result, Receive):
                self._receive = result
                return
            elif isinstance(result, Setup):
                result = cast("Any", result).factory(self._context)
            elif isinstance(result, Wrapper):
                result = self._adopt(cast("Any", result))
            elif result is STOPPED:
                self._end(None)
                return
            elif self._receive is not None and (result is None or result is SAME or result is UNHANDLED):
                if result is UNHANDLED:
                    self._stage.record(effects.Unhandled(self._current))
                return
            else:
                raise UsageError(f"{self._stage.path} got {result!r}, which is no behaviour to go on with")

    def _adopt(self, behavior: Behavior[Any]) -> Behavior[Any]:
        """Take on the wrappers of what a setup or handler returned; hooks that come with a first setup start at once."""
        known = self._blueprint
        beginning = self._receive is None
        behavior, self._blueprint = collect_later(behavior, known, beginning)
        for hooks in self._blueprint.hooks[len(known.hooks) :] if beginning and not known.fixed else ():
            if hooks.pre_start is not None:
                self._finish(hooks.pre_start(self._context))
        return behavior

    def _finish(self, result: Any) -> Any:
        """Drive an awaitable to its end; anything else comes back."""
        if not inspect.isawaitable(result):
            return result
        coroutine = result if inspect.iscoroutine(result) else _wrap(result)
        try:
            coroutine.send(None)
        except StopIteration as end:
            return end.value
        would_wait = self._stage.would_wait(f"something, {_place(coroutine)}")
        try:
            coroutine.throw(would_wait)
        except (StopIteration, WouldWaitError):
            pass
        finally:
            coroutine.close()
        raise would_wait

    # --- Failures and the end -----------------------------------------------------------------------------------------

    def _failed(self, failure: Exception) -> None:
        if self._stopped:  # a hook of the end, about which nobody decides any more
            self._failure = failure if self._failure is None else self._failure
            raise failure
        directive, delay = self._judge(failure)
        if directive is Directive.restart:
            self._stage.record(effects.Restarted(failure, delay))
            self._step(partial(self._restart, failure))
        elif directive is Directive.resume and self._receive is not None:
            self._stage.record(effects.Resumed(failure))
        else:
            self._end(failure)
            if directive is Directive.escalate:
                raise failure

    def _judge(self, failure: Exception) -> tuple[Directive, float]:
        """What its strategies say, from the inside out, and the wait before a restart; without any it is to escalate."""
        for strategy in self._blueprint.strategies:
            directive = strategy.decide(failure)
            if not isinstance(cast("object", directive), Directive):
                self._end(failure)
                raise UsageError(
                    f"the decider of {type(strategy).__name__} returned {directive!r} about {failure!r}, which is no "
                    f"Directive: in a system {self._stage.path} would be stopped, and this logged"
                )
            if directive is Directive.escalate:
                continue
            if directive is not Directive.restart:
                return directive, 0.0
            number = self._windows.setdefault(strategy, RestartWindow()).restart(strategy, 0.0)
            if number is None:
                return Directive.stop, 0.0
            backoff = strategy.backoff
            return directive, 0.0 if backoff is None else replace(backoff, jitter=0.0).delay(number, Random(0))
        return Directive.escalate, 0.0

    def _restart(self, failure: Exception) -> object:
        for hooks in reversed(self._blueprint.hooks):
            if hooks.pre_restart is not None:
                self._finish(hooks.pre_restart(self._context, failure))
        self._receive = None
        self._stage.clear()
        self._blueprint = afresh(self._blueprint)
        for hooks in self._blueprint.hooks:
            if hooks.post_restart is not None:
                self._finish(hooks.post_restart(self._context))
        return self._initial

    def _end(self, failure: Exception | None) -> None:
        self._stopped = True
        self._failure = failure
        self._stage.clear()
        self._stage.front.clear()
        errors: list[Exception] = []
        for hooks in reversed(self._blueprint.hooks):
            try:
                self._finish(hooks.post_stop(self._context) if hooks.post_stop is not None else None)
            except Exception as error:  # noqa: BLE001 - the other hooks run all the same
                errors.append(error)
        if errors:
            raise errors[0]


async def _wrap(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def _is_from_a_loop(error: BaseException) -> bool:
    """Whether a library of tasks raised it, for want of a loop that runs."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback is not None and str(traceback.tb_frame.f_globals.get("__name__")).split(".")[0] in LOOPS


def _place(coroutine: Coroutine[Any, Any, Any]) -> str:
    """Where a coroutine waits, in the code of whoever wrote it."""
    frames = [frame for frame in _frames(coroutine) if frame.f_globals.get("__name__", "").split(".")[0] not in LOOPS]
    return f"at {frames[-1].f_code.co_filename}:{frames[-1].f_lineno}" if frames else "somewhere"


def _frames(awaitable: Any) -> Iterator[Any]:
    while awaitable is not None:
        frame = getattr(awaitable, "cr_frame", None) or getattr(awaitable, "gi_frame", None)
        if frame is not None:
            yield frame
        awaitable = getattr(awaitable, "cr_await", None) or getattr(awaitable, "gi_yieldfrom", None)
