"""A fingerprint of a whole run: which task ran when, and what the scenario noted. Floor F6.

Two runs with one digest took the same steps at the same virtual times. Tasks are numbered as they first appear, because
names repeat and addresses differ from process to process. With a trace kept, the first line that differs between
two runs is where they parted.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from struct import Struct
from zlib import crc32

import trio

__all__ = ["COLLECT_EVERY", "STEPS_PER_INSTANT", "StepDigest"]

STEPS_PER_INSTANT = 1_000_000
"""More steps than this without any virtual time passing are a livelock; about ten real seconds."""

COLLECT_EVERY = 100_000
"""Steps between two collections of garbage: seldom enough to cost nothing, often enough to bound the memory."""

_pack_step = Struct("<qd").pack


class StepDigest(trio.abc.Instrument):
    """An instrument for `trio.run` that folds each task step into a CRC.

    Parameters:
        trace: keep every step and record as a line of text, too.
        on_livelock: called once when `STEPS_PER_INSTANT` steps were taken at one virtual time.

    Example::

        digest = StepDigest()
        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0), instruments=[digest])
        print(digest.hexdigest())
    """

    def __init__(self, *, trace: bool = False, on_livelock: Callable[[], None] | None = None) -> None:
        self._crc = 0
        self._indices: dict[trio.lowlevel.Task, int] = {}
        self._tasks = 0
        self._steps_now = 0
        self._collect_at = COLLECT_EVERY
        self._time: Callable[[], float] = trio.current_time
        self._on_livelock = on_livelock
        self.steps: int = 0
        self.now: float = 0.0
        self.before: float = 0.0
        """The virtual time of the last step that was not taken `now`."""
        self.trace: list[str] | None = [] if trace else None

    def __repr__(self) -> str:
        return f"<StepDigest {self.hexdigest()} after {self.steps} steps, {self.now:.6f} s>"

    def hexdigest(self) -> str:
        """Everything so far in eight hexadecimal digits."""
        return f"{self._crc:08x}"

    def record(self, text: str) -> None:
        """Fold a text into the digest."""
        self._crc = crc32(text.encode(), self._crc)
        if self.trace is not None:
            self.trace.append(f"{trio.current_time():.9f} record {text}")

    def before_run(self) -> None:
        """Called by Trio."""
        self._time = trio.lowlevel.current_clock().current_time

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Called by Trio."""
        index = self._indices.get(task)
        if index is None:
            index = self._indices[task] = self._tasks
            self._tasks += 1
        now = self._time()
        self._crc = crc32(_pack_step(index, now), self._crc)
        self.steps += 1
        if now != self.now:
            self.before, self.now, self._steps_now = self.now, now, 1
        else:
            self._steps_now += 1
            if self._steps_now == STEPS_PER_INSTANT and self._on_livelock is not None:
                self._on_livelock()
        if self.steps >= self._collect_at:
            self._collect()
        if self.trace is not None:
            self.trace.append(f"{now:.9f} task {index} {task.name}")

    def _collect(self) -> None:
        self._collect_at += COLLECT_EVERY
        if not gc.isenabled():
            gc.collect()

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        """Called by Trio. A task that ended never steps again, so it need not be kept alive."""
        self._indices.pop(task, None)
