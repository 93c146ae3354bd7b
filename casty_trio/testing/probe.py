"""`TestProbe`: an actor that keeps what it is told, for a test to wait for and look at. Floor F6.

Rules: a wait ends with the first message, right or wrong; a wrong one is an `AssertionError` that shows what came. Nothing
polls, and all time is the scheduler's, so real and virtual clocks do. Signals stand in a line of their own.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import UnionType
from typing import Any, ClassVar, Generic, TypeVar, cast, overload

import trio

from casty_trio.actors.refs import LocalRef
from casty_trio.actors.system import ActorSystem
from casty_trio.model.behavior import Behaviors
from casty_trio.model.checks import check_seconds
from casty_trio.model.context import ActorContext
from casty_trio.model.kinds import Behavior
from casty_trio.model.ref import ActorRef
from casty_trio.model.signals import Signal, Terminated
from casty_trio.testing.matching import describe, listing, matches

__all__ = ["TestProbe"]

M = TypeVar("M")
T = TypeVar("T")

PATIENCE = 3.0
"""How long a probe waits for what is expected, in seconds."""
SILENCE = 0.1
"""How long nothing has to come for `TestProbe.expect_none`, in seconds."""


class TestProbe(Generic[M]):
    """An actor at the top of a system that a test looks through.

    Parameters:
        system: where it lives; it ends with it.
        name: its name; left out, one is made up.
        message_type: what may be told to `ref`, for the type checkers; anything when left out. A variable's annotation,
            ``probe: TestProbe[Added | Removed]``, says the same.

    Raises:
        NameInUseError: a living actor has the name.
        SystemClosedError: outside the system's ``async with`` block.

    Example:
        >>> async def main() -> None:
        ...     async with ActorSystem("test") as system:
        ...         probe = TestProbe(system)
        ...         probe.ref.tell("hello")
        ...         print(await probe.expect("hello"))
        ...         await probe.expect_none()
        >>> trio.run(main)
        hello
    """

    __test__: ClassVar[bool] = False  # a class whose name begins with Test, and none of pytest's

    @overload
    def __init__(self: TestProbe[Any], system: ActorSystem, name: str | None = None) -> None: ...
    @overload
    def __init__(self, system: ActorSystem, name: str | None = None, *, message_type: type[M]) -> None: ...
    def __init__(self, system: ActorSystem, name: str | None = None, *, message_type: type[M] | None = None) -> None:
        self._received: list[M] = []
        self._waiting: deque[M] = deque()
        self._terminated: list[Terminated] = []
        self._arrival = trio.lowlevel.ParkingLot()
        self._blocks = 0
        self._wanted: str | None = None
        behavior: Behavior[M] = Behaviors.receive(self._on_message, self._on_signal)
        self._ref = cast("LocalRef[M]", system.spawn(behavior, name))

    def __repr__(self) -> str:
        return f"<TestProbe {self._ref.path}: {len(self._waiting)} wait of {len(self._received)}>"

    @property
    def ref(self) -> ActorRef[M]:
        """The probe's ref, to tell things to and to put into messages."""
        return self._ref

    @property
    def received(self) -> tuple[M, ...]:
        """All messages so far, in the order they came, those that were expected among them."""
        return tuple(self._received)

    # --- Messages -----------------------------------------------------------------------------------------------------

    @overload
    async def expect(self, wanted: type[T], *, within: float | None = None) -> T: ...
    @overload
    async def expect(self, wanted: UnionType, *, within: float | None = None) -> M: ...
    @overload
    async def expect(self, wanted: Callable[[M], object], *, within: float | None = None) -> M: ...
    @overload
    async def expect(self, wanted: T, *, within: float | None = None) -> T: ...
    async def expect(self, wanted: Any, *, within: float | None = None) -> Any:
        """Take the next message, waiting for it, and check that it is as wanted.

        Parameters:
            wanted: a message that is equal to it, its class (or a union of some), or a function that says yes to it.
            within: how long to wait, in seconds. Left out, it is 3; in a block of `within`, what is left of that.

        Raises:
            AssertionError: another message came, or none; it shows which, and what has come before and after.
            SettingsError: the time is negative, or no number.
        """
        await self._wait(lambda: bool(self._waiting), describe(wanted), self._patience(within))
        message = self._waiting.popleft()
        if not matches(wanted, message):
            raise AssertionError(self._report(f"expected {describe(wanted)}, but got {message!r}", 1))
        return message

    async def expect_none(self, *, within: float = SILENCE) -> None:
        """Check that no message waits, and that none comes for a while.

        Parameters:
            within: for how long, in seconds.

        Raises:
            AssertionError: one came; at once, and it shows which.
            SettingsError: the time is negative, or no number.
        """
        check_seconds("within", within)
        with trio.move_on_after(within):
            while not self._waiting:
                await self._arrival.park()
        if self._waiting:
            raise AssertionError(self._report(f"expected no message, but got {self._waiting[0]!r}"))

    # --- The end of others --------------------------------------------------------------------------------------------

    def watch(self, ref: ActorRef[Any]) -> None:
        """Hear of an actor's end; for `expect_terminated`, which does it by itself where it comes early enough.

        Raises:
            UsageError: the ref cannot be watched from here.
        """
        self._ref.cell.context.watch(ref)

    async def expect_terminated(self, ref: ActorRef[Any], *, within: float | None = None) -> Terminated:
        """Wait until an actor has ended; at once when it has already. All it told the probe has come by then.

        Parameters:
            ref: the actor; it is watched from here on, if it was not before.
            within: how long to wait, in seconds; as in `expect`.

        Raises:
            AssertionError: it has not ended in time.
            UsageError: the ref cannot be watched from here.
            SettingsError: the time is negative, or no number.
        """
        seconds = self._patience(within)
        if self._ended(ref) is None:
            self.watch(ref)
        await self._wait(lambda: self._ended(ref) is not None, f"the end of {ref!r}", seconds)
        terminated = self._ended(ref)
        assert terminated is not None  # that is what was waited for
        self._terminated.remove(terminated)
        return terminated

    # --- Time ---------------------------------------------------------------------------------------------------------

    @contextmanager
    def within(self, seconds: float) -> Generator[trio.CancelScope, None, None]:
        """All of a block has to be done in time: ``with probe.within(2.0): ...``; what is not, is cancelled.

        Parameters:
            seconds: how long the block may take.

        Raises:
            AssertionError: it took longer; it says what was waited for.
            SettingsError: the time is negative, or no number.
        """
        check_seconds("within", seconds)
        self._wanted = None
        self._blocks += 1
        try:
            with trio.move_on_after(seconds) as scope:
                yield scope
        finally:
            self._blocks -= 1
        if scope.cancelled_caught:
            wanted = "the block to be done" if self._wanted is None else self._wanted
            raise AssertionError(self._report(f"expected {wanted}, but it did not come about within {seconds:g} s"))

    def _patience(self, within: float | None) -> float:
        """How long to wait, in seconds."""
        if within is None:
            return math.inf if self._blocks else PATIENCE
        check_seconds("within", within)
        return within

    async def _wait(self, condition: Callable[[], bool], wanted: str, seconds: float) -> None:
        self._wanted = wanted
        with trio.move_on_after(seconds):
            await trio.lowlevel.checkpoint()
            while not condition():
                await self._arrival.park()
        self._wanted = None
        if not condition():
            raise AssertionError(self._report(f"expected {wanted}, but nothing came within {seconds:g} s"))

    # --- The actor ----------------------------------------------------------------------------------------------------

    def _on_message(self, ctx: ActorContext[M], message: M) -> None:
        self._received.append(message)
        self._waiting.append(message)
        self._arrival.unpark_all()

    def _on_signal(self, ctx: ActorContext[M], signal: Signal) -> None:
        if isinstance(signal, Terminated):
            self._terminated.append(signal)
            self._arrival.unpark_all()

    def _ended(self, ref: ActorRef[Any]) -> Terminated | None:
        return next((terminated for terminated in self._terminated if terminated.ref == ref), None)

    def _report(self, text: str, taken: int = 0) -> str:
        seen = len(self._received) - len(self._waiting) - taken
        lines = [f"{self._ref.path} {text}; before it came:{listing(self._received[:seen])}"]
        lines.append(f"and after it:{listing(list(self._waiting)[1 - taken :])}" if self._waiting else "")
        return "\n".join(filter(None, lines))
