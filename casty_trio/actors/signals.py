"""Ending a block when the process is told to end. Floor F2: opt-in, for signals belong to the program.

Only the body is cancelled, so the system around it ends in order, phase after phase. From the first signal on they mean
again what they meant before: a second SIGTERM ends the process at once, a second Ctrl-C raises `KeyboardInterrupt`. A first
one that comes while the system ends already changes nothing.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

import trio

from casty_trio.errors import SystemClosedError, UsageError
from casty_trio.model.checks import check_given, refuse
from casty_trio.model.context import System

if TYPE_CHECKING:
    from casty_trio.actors.system import ActorSystem

__all__ = ["SignalScope", "shutdown_on_signals"]


class SignalScope:
    """The block of `shutdown_on_signals`.

    Attributes:
        received: the signal that ended the body; None as long as there was none.
    """

    def __init__(self, system: ActorSystem, numbers: tuple[signal.Signals, ...]) -> None:
        self.received: signal.Signals | None = None
        self._system = system
        self._numbers = numbers
        self._body = trio.CancelScope()
        self._receiver = ExitStack()

    async def __aenter__(self) -> Self:
        """Take the signals from here on.

        Raises:
            RuntimeError: this is not the main thread, which alone may.
            SystemClosedError: the system's block has not been entered, or is left.
            UsageError: there has been such a block in this system.
        """
        system = self._system
        if not system.running:
            raise SystemClosedError(f"{system.name} does not run: take signals inside its block")
        if system.takes_signals:
            raise UsageError(f"{system.name} takes signals already, until it has ended: one such block is enough")
        signals = self._receiver.enter_context(system.env.signals(*self._numbers))
        system.takes_signals = True
        system.start_service(partial(self._wait, signals), "signals")
        self._body.__enter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        """The cancellation of the body ends here."""
        return bool(self._body.__exit__(kind, error, traceback))

    async def _wait(self, signals: AsyncIterator[int]) -> None:
        with self._receiver:
            self.received = signal.Signals(await anext(signals))
        name = self._system.name
        self._system.log.info("%s: %s ends in order; a second one ends it at once", self.received.name, name)
        self._body.cancel()


def shutdown_on_signals(system: ActorSystem, *signals: signal.Signals) -> SignalScope:
    """A block that SIGTERM and SIGINT end as if its body had come to an end; write it inside the system's.

    Parameters:
        system: the system that is to end in order then.
        signals: others instead of these two.

    Returns:
        An async context manager; what it yields tells in ``.received`` which signal it was, if any.

    Raises:
        SettingsError: one of them is no signal.

    Example:
        >>> # async with ActorSystem("shop") as system, shutdown_on_signals(system):
        >>> #     system.spawn(cart(), "cart")
        >>> #     await trio.sleep_forever()
    """
    check_given("system", system, System)
    for number in signals:
        if not isinstance(number, signal.Signals):
            refuse("signals", number, "members of signal.Signals")
    return SignalScope(system, signals or (signal.SIGTERM, signal.SIGINT))
