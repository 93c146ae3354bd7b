"""What a handler of a client's actor gets as ``ctx``. Floor: client, on anyio.

``self``, ``log``, ``ask``, ``timers``, ``stop`` (itself) and ``pipe_to_self``; all else needs a node, and says so.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

import anyio

from casty_trio.errors import NotSupportedOnClientError, SelfAskError, SystemClosedError, UsageError
from casty_trio.link.parking import failure_of
from casty_trio.model import context
from casty_trio.model.checks import check_awaitable, check_seconds
from casty_trio.model.ref import ActorRef

if TYPE_CHECKING:
    from casty_trio.client.actors import ClientCell
    from casty_trio.client.asks import Alarm
    from casty_trio.model.kinds import Behavior
    from casty_trio.model.mailbox import Mailbox

__all__ = ["ClientContext", "ClientTimers"]

M = TypeVar("M")
N = TypeVar("N")
R = TypeVar("R")

_log: logging.Logger = logging.getLogger("casty_trio.actor")


class _Tick(Generic[M]):
    """A timer that runs; also what stands in the mailbox when it has fired."""

    def __init__(self, name: str, message: M, interval: float | None) -> None:
        self.name = name
        self.message = message
        self.interval = interval
        self.queued = False
        self.alarm: Alarm | None = None


class ClientTimers(context.Timers[M]):
    """The timers of one actor of a client."""

    def __init__(self, cell: ClientCell) -> None:
        self._cell = cell
        self._running: dict[str, _Tick[M]] = {}

    def once(self, name: str, delay: float, message: M) -> None:
        self._start(name, delay, message, None)

    def periodic(self, name: str, interval: float, message: M) -> None:
        check_seconds(f"the interval of timer {name!r}", interval, positive=True)
        self._start(name, interval, message, interval)

    def cancel(self, name: str) -> bool:
        tick = self._running.pop(name, None)
        if tick is not None and tick.alarm is not None:
            tick.alarm.close()
        return tick is not None

    def is_active(self, name: str) -> bool:
        return name in self._running

    def cancel_all(self) -> None:
        """End all timers of this actor."""
        for name in list(self._running):
            self.cancel(name)

    def fired(self, message: Any) -> tuple[Any, bool]:
        """What a message that is being handled says, and whether it is wanted: a timer's is not when it was cancelled."""
        if type(message) is not _Tick:
            return message, True
        tick: _Tick[Any] = message  # pyright: ignore[reportUnknownVariableType] # what it says is anything
        tick.queued = False
        wanted = self._running.get(tick.name) is tick
        if wanted and tick.interval is None:
            del self._running[tick.name]
        return tick.message, wanted

    def owns(self, message: object) -> bool:
        """Whether that is what stands in the mailbox for a timer that has fired."""
        return type(message) is _Tick

    def _start(self, name: str, delay: float, message: M, interval: float | None) -> None:
        check_seconds(f"the delay of timer {name!r}", delay)
        self.cancel(name)
        tick = self._running[name] = _Tick(name, message, interval)
        self._arm(tick, delay)

    def _arm(self, tick: _Tick[M], delay: float) -> None:
        due = anyio.current_time() + delay

        def fire() -> None:
            if not tick.queued:
                tick.queued = True
                self._cell.put_own(tick)
            if (
                tick.interval is not None
            ):  # reckoned from when it was due, so it does not drift; nothing missed is made up for
                late = max(0.0, anyio.current_time() - due)
                self._arm(tick, tick.interval - late % tick.interval)

        tick.alarm = self._cell.client.after(delay, fire)


class ClientContext(context.ActorContext[M]):
    """The context of one actor of a client."""

    def __init__(self, cell: ClientCell) -> None:
        self._cell = cell

    def __repr__(self) -> str:
        return f"<ClientContext of {self._cell.path}>"

    @property
    def self(self) -> ActorRef[M]:
        return self._cell.ref

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        return logging.LoggerAdapter(_log, {"actor": self._cell.path})

    @property
    def timers(self) -> ClientTimers[M]:
        return self._cell.timers

    def stop(self, ref: ActorRef[Any]) -> None:
        if ref is not self._cell.ref:
            raise UsageError(
                f"{ref!r} is not {self._cell.path}: an actor of a client has no children, and stops itself only"
            )
        self._cell.stop(self._cell.client.actor_settings.grace)

    async def ask(
        self, ref: ActorRef[N], msg_factory: Callable[[ActorRef[R]], N], *, timeout: float = 5.0, watch: bool = False
    ) -> Any:
        if watch:
            _refuse("ask(watch=True)")
        if ref is self._cell.ref:
            raise SelfAskError(f"{self._cell.path} asked itself, and handles nothing while it waits")
        return await self._cell.client.ask(ref, msg_factory, timeout=timeout)

    def pipe_to_self(
        self,
        awaitable: Awaitable[R],
        mapper: Callable[[R], M] | None = None,
        on_failure: Callable[[Exception], M] | None = None,
    ) -> None:
        check_awaitable("what is piped", awaitable)
        cell, scope = self._cell, anyio.CancelScope()

        async def pipe() -> None:
            try:
                with scope:
                    try:
                        result = await awaitable
                        message: Any = result if mapper is None else mapper(result)
                    except BaseException as raised:  # the actor's own function decides; without one it is its failure
                        error = failure_of(raised)
                        if error is None:
                            raise
                        if on_failure is None:
                            cell.put_failure(error)
                            return
                        message = on_failure(error)
                    cell.put_own(message)
            except Exception as error:  # noqa: BLE001 - `on_failure` failed
                cell.put_failure(error)
            finally:
                cell.behind.pop(scope, None)
                if inspect.iscoroutine(awaitable):
                    awaitable.close()  # where it was never awaited

        if cell.ended.is_set():
            if inspect.iscoroutine(awaitable):
                awaitable.close()
            raise SystemClosedError(f"{cell.path} has stopped")
        cell.behind[scope] = None
        cell.client.start_soon(pipe, f"casty_trio client ({cell.path}, background)")

    # --- What needs a node --------------------------------------------------------------------------------------------

    @property
    def system(self) -> NoReturn:
        _refuse("system")

    def spawn(self, behavior: Behavior[N], name: str | None = None, *, mailbox: Mailbox | None = None) -> NoReturn:
        _refuse("spawn")

    def watch(self, ref: ActorRef[Any]) -> NoReturn:
        _refuse("watch")

    def unwatch(self, ref: ActorRef[Any]) -> NoReturn:
        _refuse("unwatch")

    @property
    def stash(self) -> NoReturn:
        _refuse("stash")

    @property
    def deadline(self) -> NoReturn:
        _refuse("deadline")

    @property
    def entity(self) -> NoReturn:
        _refuse("entity")

    def passivate(self) -> NoReturn:
        _refuse("passivate")

    def adapter(self, adapt: Callable[[N], M]) -> NoReturn:
        _refuse("adapter")

    def start_soon(self, run: Callable[..., Awaitable[object]], *args: object) -> NoReturn:
        _refuse("start_soon")


def _refuse(what: str) -> NoReturn:
    raise NotSupportedOnClientError(
        f"ctx.{what} needs a node: an actor of a client has ctx.self, log, ask, timers, stop and pipe_to_self"
    )
