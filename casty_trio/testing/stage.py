"""Where `BehaviorTestKit` runs a behaviour: a context, timers, a stash and refs that only write down. Floor F6.

Nothing here waits, and nothing has a task: what would happen later, or elsewhere, becomes an effect. Effects are written
down only while a behaviour runs, for the kit that runs it; so what a test does with the same refs is none.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count
from typing import Any, TypeVar, overload

from casty_trio.actors.post import check_beginning
from casty_trio.errors import NameInUseError, StashFullError, UsageError
from casty_trio.model import context
from casty_trio.model.address import ActorAddress, check_name
from casty_trio.model.checks import check_awaitable, check_callable, check_seconds
from casty_trio.model.entity import EntityInfo
from casty_trio.model.interpreter import collect
from casty_trio.model.kinds import Behavior
from casty_trio.model.mailbox import Mailbox
from casty_trio.model.ref import ActorRef
from casty_trio.model.services import Listing, ReceptionistMessage, ServiceKey
from casty_trio.model.settings import ActorSettings
from casty_trio.testing import effects
from casty_trio.testing.errors import WouldWaitError

__all__ = ["KitContext", "RecordingRef", "Stage"]

M = TypeVar("M")
N = TypeVar("N")
R = TypeVar("R")
M_contra = TypeVar("M_contra", contravariant=True)

SYSTEM = "test"

_performing: ContextVar[Stage | None] = ContextVar("_performing", default=None)
_numbers = count(1)


def _address(path: str) -> ActorAddress:
    """An address of its own for something new."""
    return ActorAddress(SYSTEM, path, incarnation=next(_numbers))


class RecordingRef(ActorRef[M_contra]):
    """A ref with nobody behind it that keeps what it is told; to give to behaviours in a kit.

    Parameters:
        name: how it is called; left out, a name is made up.
        on_message: called with each message, there and then. It may answer an ask: ``lambda get: get.reply_to.tell(1)``.
            What it raises, the ask raises.

    Example:
        >>> archive = RecordingRef[str]("archive")
        >>> archive.tell("a letter")
        >>> archive.received
        ('a letter',)
    """

    __slots__ = ("_address", "_on_message", "_received")

    def __init__(self, name: str | None = None, *, on_message: Callable[[Any], object] | None = None) -> None:
        self._address = _address(f"/{check_name(name) if name is not None else f'ref-{next(_numbers)}'}")
        self._on_message = on_message
        self._received: list[Any] = []

    @property
    def address(self) -> ActorAddress:
        return self._address

    @property
    def received(self) -> tuple[Any, ...]:
        """All it was told, in order."""
        return tuple(self._received)

    def tell(self, message: M_contra) -> None:
        stage = _performing.get()
        if stage is not None:
            stage.record(effects.Told(self, message))
        self.accept(message)

    async def send(self, message: M_contra) -> None:
        self.tell(message)

    def accept(self, message: Any) -> None:
        """Keep a message, and answer it if the test has said how."""
        self._received.append(message)
        if self._on_message is not None:
            self._on_message(message)


class ChildRef(RecordingRef[Any]):
    """A ref at some place in the tree."""

    __slots__ = ()

    def __init__(self, path: str) -> None:
        super().__init__()
        self._address = _address(path)


class ReplyRef(ChildRef):
    """The reply ref of an ask; what it is told is the reply, no effect."""

    __slots__ = ()

    def tell(self, message: Any) -> None:
        self.accept(message)


class OwnRef(ChildRef):
    """The behaviour's own ref, or one that adapts; what it is told waits until the test has it run."""

    __slots__ = ("_adapt", "_stage")

    def __init__(self, stage: Stage, path: str, adapt: Callable[[Any], Any] | None = None) -> None:
        super().__init__(path)
        self._stage = stage
        self._adapt = adapt

    def accept(self, message: Any) -> None:
        super().accept(message)
        self._stage.waiting.append((message, self._adapt))


class Stage:
    """What the behaviour has, and what it did."""

    def __init__(self, name: str, entity: EntityInfo | None = None) -> None:
        self.path: str = f"/{check_name(name)}"
        self.entity: EntityInfo | None = entity
        self.effects: list[effects.Effect] = []
        self.children: dict[str, RecordingRef[Any]] = {}
        self.stopping: list[str] = []
        self.watching: dict[ActorRef[Any], None] = {}
        self.timers: dict[str, effects.TimerStarted] = {}
        self.stash: list[Any] = []
        self.front: deque[Any] = deque()
        self.waiting: deque[tuple[Any, Callable[[Any], Any] | None]] = deque()
        self.waited: WouldWaitError | None = None
        self.unnamed: int = 0
        self.own: OwnRef = OwnRef(self, self.path)

    @contextmanager
    def performance(self) -> Generator[None, None, None]:
        """In this block the behaviour runs: what is told is an effect of it."""
        token = _performing.set(self)
        try:
            yield
        finally:
            _performing.reset(token)
            for path in self.stopping:  # what was told to stop has: its name is free
                self.children.pop(path, None)
            self.stopping.clear()

    def record(self, effect: effects.Effect) -> None:
        """Write down what the behaviour did; what a test does with its context is no effect."""
        if _performing.get() is self:
            self.effects.append(effect)

    def spawn(self, path: str, behavior: Behavior[Any], name: str | None, mailbox: Mailbox | None) -> RecordingRef[Any]:
        """Write a new actor down; its name is taken from here on."""
        check_beginning(collect(behavior)[0])
        if name is None:
            self.unnamed += 1
            name = f"${self.unnamed}"
        elif check_name(name).startswith("$"):
            raise NameInUseError(f"{name!r}: names that begin with $ are given by the system")
        if f"{path}/{name}" in self.children:
            raise NameInUseError(f"{path}/{name} is alive: stop it first, or leave the name out")
        ref = self.children[f"{path}/{name}"] = ChildRef(f"{path}/{name}")
        self.record(effects.Spawned(ref, behavior, mailbox))
        return ref

    def clear(self) -> None:
        """End what belonged to the incarnation that failed; what it had put aside comes back."""
        for child in self.children.values():
            if child.path.startswith(f"{self.path}/"):
                self.watching.pop(child, None)
        self.children.clear()
        self.timers.clear()
        self.front.extendleft(reversed(self.stash))
        self.stash.clear()

    def would_wait(self, what: str) -> WouldWaitError:
        """The error for a wait, also when the behaviour catches it."""
        self.waited = self.waited or WouldWaitError(
            f"{self.path} waits for {what}: a kit has no clock and no tasks, so nothing would end that; "
            "test it in an ActorSystem, with a TestProbe"
        )
        return self.waited

    async def ask(self, ref: ActorRef[Any], msg_factory: Callable[[ActorRef[Any]], Any], timeout: float) -> Any:
        """Ask a ref that answers at once."""
        reply_ref = ReplyRef("/$asks")
        message = msg_factory(reply_ref)
        self.record(effects.Asked(ref, message, timeout))
        if isinstance(ref, RecordingRef):
            ref.accept(message)
        if not reply_ref.received:
            raise self.would_wait(f"a reply from {ref!r} (give it kit.ref(on_message=...), which answers)")
        return reply_ref.received[0]


class KitTimers(context.Timers[M]):
    """Timers that never run by themselves."""

    __slots__ = ("_stage",)

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def once(self, name: str, delay: float, message: M) -> None:
        check_seconds(f"the delay of timer {name!r}", delay)
        self._start(effects.TimerStarted(name, delay, message))

    def periodic(self, name: str, interval: float, message: M) -> None:
        check_seconds(f"the interval of timer {name!r}", interval, positive=True)
        self._start(effects.TimerStarted(name, interval, message, periodic=True))

    def cancel(self, name: str) -> bool:
        if self._stage.timers.pop(name, None) is None:
            return False
        self._stage.record(effects.TimerCancelled(name))
        return True

    def is_active(self, name: str) -> bool:
        return name in self._stage.timers

    def _start(self, timer: effects.TimerStarted) -> None:
        self._stage.timers[timer.name] = timer
        self._stage.record(timer)


class KitStash(context.Stash[M]):
    """A stash; what comes back is run right after the present message."""

    __slots__ = ("_stage",)

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def __len__(self) -> int:
        return len(self._stage.stash)

    @property
    def capacity(self) -> int:
        return ActorSettings().stash_capacity

    def add(self, message: M) -> None:
        if len(self) >= self.capacity:
            raise StashFullError(f"the stash of {self._stage.path} is full: {self.capacity} messages wait in it")
        self._stage.stash.append(message)
        self._stage.record(effects.Stashed(message))

    def unstash_all(self) -> None:
        stage = self._stage
        stage.record(effects.Unstashed(tuple(stage.stash)))
        stage.front.extendleft(reversed(stage.stash))
        stage.stash.clear()


class KitSystem(context.System):
    """What a behaviour sees of its system: a place to spawn in and to send to."""

    __slots__ = ("_dead_letters", "_receptionist", "_stage")

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._dead_letters = ChildRef("/$dead-letters")
        self._receptionist = ChildRef("/$receptionist")

    @property
    def name(self) -> str:
        return SYSTEM

    def spawn(self, behavior: Behavior[N], name: str | None = None, *, mailbox: Mailbox | None = None) -> ActorRef[N]:
        return self._stage.spawn("", behavior, name, mailbox)

    async def ask(
        self, ref: ActorRef[Any], msg_factory: Callable[..., Any], *, timeout: float = 5.0, watch: bool = False
    ) -> Any:
        return await self._stage.ask(ref, msg_factory, timeout)

    async def stop(self, ref: ActorRef[Any], *, grace: float | None = None) -> None:
        raise self._stage.would_wait(f"the end of {ref!r}")

    async def wait_stopped(self, ref: ActorRef[Any]) -> None:
        raise self._stage.would_wait(f"the end of {ref!r}")

    @overload
    def lookup(self, path: str) -> ActorRef[Any] | None: ...
    @overload
    def lookup(self, path: ServiceKey[N]) -> Awaitable[Listing[N]]: ...

    def lookup(self, path: str | ServiceKey[Any]) -> Any:
        if not isinstance(path, str):
            return _nobody(path)
        path = "/" + path.strip("/")
        return self._stage.own if path == self._stage.path else self._stage.children.get(path)

    @property
    def receptionist(self) -> ActorRef[ReceptionistMessage]:
        return self._receptionist

    @property
    def dead_letters(self) -> ActorRef[Any]:
        return self._dead_letters


async def _nobody(key: ServiceKey[N]) -> Listing[N]:
    """The listing of a service: a behaviour in a kit is alone, and what it tells the receptionist is an effect."""
    return Listing(key)


class _PathAdapter(logging.LoggerAdapter[logging.Logger]):
    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        assert self.extra is not None  # given below
        return f"{self.extra['actor']}: {msg}", {**kwargs, "extra": {**self.extra, **(kwargs.get("extra") or {})}}


class KitContext(context.ActorContext[M]):
    """The context of a behaviour in a kit."""

    __slots__ = ("_stage", "_stash", "_system", "_timers")

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._stash = KitStash[M](stage)
        self._system = KitSystem(stage)
        self._timers = KitTimers[M](stage)

    def __repr__(self) -> str:
        return f"<KitContext of {self._stage.path}>"

    @property
    def self(self) -> ActorRef[M]:
        return self._stage.own

    @property
    def system(self) -> context.System:
        return self._system

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        return _PathAdapter(logging.getLogger("casty_trio.actor"), {"actor": self._stage.path})

    def spawn(self, behavior: Behavior[N], name: str | None = None, *, mailbox: Mailbox | None = None) -> ActorRef[N]:
        return self._stage.spawn(self._stage.path, behavior, name, mailbox)

    def stop(self, ref: ActorRef[Any]) -> None:
        if self._stage.children.get(ref.path) != ref or not ref.path.startswith(f"{self._stage.path}/"):
            raise UsageError(f"{ref!r} is no child of {self._stage.path}: an actor stops its own children only")
        self._stage.stopping.append(ref.path)
        self._stage.record(effects.ChildStopped(ref))

    def watch(self, ref: ActorRef[Any]) -> None:
        if ref == self._stage.own:
            raise UsageError(f"{self._stage.path} cannot watch itself")
        if ref not in self._stage.watching:
            self._stage.watching[ref] = None
            self._stage.record(effects.Watched(ref))

    def unwatch(self, ref: ActorRef[Any]) -> None:
        if self._stage.watching.pop(ref, self) is None:
            self._stage.record(effects.Unwatched(ref))

    @property
    def timers(self) -> context.Timers[M]:
        return self._timers

    @property
    def stash(self) -> context.Stash[M]:
        return self._stash

    @property
    def entity(self) -> EntityInfo:
        if self._stage.entity is None:
            raise UsageError(f"{self._stage.path} is no entity: give the kit an entity=EntityInfo(...)")
        return self._stage.entity

    def passivate(self) -> None:
        if self._stage.entity is None:
            raise UsageError(f"{self._stage.path} is no entity: give the kit an entity=EntityInfo(...)")
        self._stage.record(effects.Passivated())

    @property
    def deadline(self) -> float:
        return math.inf

    def adapter(self, adapt: Callable[[N], M]) -> ActorRef[N]:
        check_callable("the function of an adapter", adapt)
        ref = OwnRef(self._stage, f"{self._stage.path}/$adapter", adapt)
        self._stage.record(effects.AdapterMade(ref, adapt))
        return ref

    def start_soon(self, run: Callable[..., Awaitable[object]], *args: object) -> None:
        check_callable("what is to run in the background", run)
        self._stage.record(effects.StartedSoon(run, args))

    def pipe_to_self(
        self,
        awaitable: Awaitable[R],
        mapper: Callable[[R], M] | None = None,
        on_failure: Callable[[Exception], M] | None = None,
    ) -> None:
        check_awaitable("what is piped", awaitable)
        name = getattr(awaitable, "__qualname__", None) or type(awaitable).__name__
        close = getattr(awaitable, "close", None)
        if close is not None:
            close()  # a coroutine that nobody will await
        self._stage.record(effects.PipedToSelf(name, mapper, on_failure))

    async def ask(
        self, ref: ActorRef[Any], msg_factory: Callable[..., Any], *, timeout: float = 5.0, watch: bool = False
    ) -> Any:
        return await self._stage.ask(ref, msg_factory, timeout)
