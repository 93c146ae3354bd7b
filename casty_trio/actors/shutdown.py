"""The end of a system, in phases that have names. Floor F2.

The phases come one after the other, however the block is left. In each, the program's hooks run first, all at once, and
then what the system itself does. Hooks are shielded from the cancellation of the block, each with a deadline; what the
system does is not, for actors and connections are being cancelled then anyhow. What goes wrong in a phase keeps no later
one from its turn.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Literal

import trio

from casty_trio.actors.reporting import log_failure
from casty_trio.errors import SystemClosedError
from casty_trio.model.blocks import flat, leaves
from casty_trio.model.checks import check_choice, check_seconds, refuse
from casty_trio.model.events import ShutdownHookFailed
from casty_trio.model.settings import ShutdownSettings

if TYPE_CHECKING:
    from casty_trio.actors.system import ActorSystem

__all__ = ["PHASES", "Phase", "Shutdown", "ShutdownHook"]

Hook = Callable[[], object]
Phase = Literal["before-leave", "drain", "leave", "actors", "connections"]

PHASES: dict[Phase, Callable[[ShutdownSettings], float]] = {
    "before-leave": lambda settings: settings.before_leave,
    "drain": lambda settings: settings.drain,
    "leave": lambda settings: settings.leave,
    "actors": lambda settings: settings.actors,
    "connections": lambda settings: settings.connections,
}
"""In their order, each with the setting that is its deadline."""

MARGIN = 1.0
"""How long hooks that are cancelled at the deadline may take to clean up, before what they wait for is cancelled too."""


class ShutdownHook:
    """A hook that waits for its phase; `ActorSystem.on_shutdown` gives it."""

    __slots__ = ("_waiting", "name", "run", "timeout")

    def __init__(self, run: Hook, timeout: float | None, waiting: dict[ShutdownHook, None]) -> None:
        self.run: Hook = run
        self.timeout: float | None = timeout
        self.name: str = getattr(run, "__qualname__", None) or type(run).__qualname__
        self._waiting = waiting
        waiting[self] = None

    def __repr__(self) -> str:
        return f"<ShutdownHook {self.name}>"

    def cancel(self) -> None:
        """Forget it. Nothing happens when it has begun already."""
        self._waiting.pop(self, None)


class Shutdown:
    """The phases of one system's end."""

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self._hooks: dict[Phase, dict[ShutdownHook, None]] = {phase: {} for phase in PHASES}
        self._bodies: dict[Phase, list[Callable[[], Awaitable[object]]]] = {phase: [] for phase in PHASES}

    def add(self, phase: Phase, hook: Hook, timeout: float | None) -> ShutdownHook:
        """See `ActorSystem.on_shutdown`."""
        check_choice("phase", phase, tuple(PHASES))
        if not callable(hook):
            refuse("hook", hook, "a function without parameters")
        if timeout is not None:
            check_seconds("timeout", timeout)
        waiting = self._hooks.get(phase)
        if waiting is None:
            raise SystemClosedError(f"{self._system.name} ends, and its phase {phase!r} has begun: it takes no more hooks")
        return ShutdownHook(hook, timeout, waiting)

    def does(self, phase: Phase, body: Callable[[], Awaitable[object]], *, limited: bool = True) -> None:
        """Have the system itself do something in a phase, after its hooks.

        Parameters:
            phase: when.
            body: what; a cancellation of the block reaches it, and what it raises leaves the block.
            limited: whether it is cancelled at the phase's deadline, which then begins anew; not so what has limits itself.
        """
        self._bodies[phase].append(partial(self._run_limited, phase, body) if limited else body)

    async def run(self) -> None:
        """All phases.

        Raises:
            BaseException: what the system's own part of them raised; the first cancellation, if that is all.
        """
        raised: list[BaseException] = []
        try:
            for phase in PHASES:
                hooks = self._hooks.pop(phase)
                if hooks and all(map(_lets_hooks_run, raised)):
                    await self._note(raised, partial(self._run_hooks, phase, hooks))
                for body in self._bodies[phase]:
                    await self._note(raised, body)
            if raised:
                raise raised[0] if len(raised) == 1 else flat(BaseExceptionGroup("at the end", raised), trio.Cancelled)
        finally:
            del raised  # a traceback refers to this frame: leave no cycle

    async def _note(self, raised: list[BaseException], run: Callable[[], Awaitable[object]]) -> None:
        try:
            await run()
        except BaseException as error:  # noqa: BLE001 - it leaves when all phases are through
            raised.append(error)

    async def _run_limited(self, phase: Phase, body: Callable[[], Awaitable[object]]) -> None:
        limit = PHASES[phase](self._system.all_settings.shutdown)
        with trio.move_on_after(limit) as scope:
            await body()
        if scope.cancelled_caught:
            self._failed(phase, f"the phase {phase} itself", TimeoutError(f"it took more than {limit:g} s"))

    async def _run_hooks(self, phase: Phase, hooks: dict[ShutdownHook, None]) -> None:
        limit = PHASES[phase](self._system.all_settings.shutdown)
        name = f"{self._system.name} (shutdown)"
        with trio.CancelScope(shield=True, deadline=trio.current_time() + limit + MARGIN):
            async with trio.open_nursery() as nursery:
                while hooks:  # those that come before the first of them runs
                    hook = next(iter(hooks))
                    hook.cancel()
                    nursery.start_soon(self._run_hook, phase, hook, limit, name=name)

    async def _run_hook(self, phase: Phase, hook: ShutdownHook, limit: float) -> None:
        if hook.timeout is not None:
            limit = min(limit, hook.timeout)
        with trio.move_on_after(limit) as scope:
            try:
                result = hook.run()
                if inspect.isawaitable(result):
                    await result
            except Exception as error:  # noqa: BLE001 - it is logged and told, and the other hooks run
                self._failed(phase, hook.name, error)
            except BaseExceptionGroup as group:  # out of time, and a nursery of the hook failed meanwhile
                failure, others = group.split(Exception)
                if failure is not None:
                    self._failed(phase, hook.name, failure)
                if others is not None:
                    raise others from None
        if scope.cancelled_caught:
            self._failed(phase, hook.name, TimeoutError(f"it took more than {limit:g} s, and was cancelled"))

    def _failed(self, phase: Phase, hook: str, failure: Exception) -> None:
        log_failure(self._system.log, failure, "%s failed while %s ends (%s)", hook, self._system.name, phase)
        self._system.publish(ShutdownHookFailed, phase, hook, failure)


def _lets_hooks_run(error: BaseException) -> bool:
    """Whether the program's hooks have their turn after this; not so when somebody pressed Ctrl-C, and wants to be out."""
    return all(isinstance(each, Exception | trio.Cancelled) for each in leaves(error))
