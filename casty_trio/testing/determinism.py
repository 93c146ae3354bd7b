"""Makes one `trio.run` a function of its seed. Floor F6; the only file that touches Trio's private names.

Trio shuffles runnable tasks on purpose, with a private generator, and keeps waiters in sets that are ordered by memory
address. Its flag for Hypothesis sorts the tasks before shuffling them; flag *and* seed are both needed (the flag alone
is random, the seed alone holds for small runs only, by luck). The cyclic garbage collector starts whenever enough was
allocated, and finalizers make that visible: it is off, and `StepDigest` starts it after a fixed number of steps. What
tasks themselves draw from the module `random` comes from the seed too. Everything is put back afterwards.
"""

from __future__ import annotations

import gc
import random
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, cast

import trio
import trio._core._run as trio_run  # private: there is no public way (python-trio/trio#2022)

from casty_trio.testing.errors import UnsupportedTrioError

__all__ = ["FLAG", "GENERATOR", "SCHEDULER", "deterministic", "idle_watch", "run_queue", "scheduler_generator"]

FLAG = "_ALLOW_DETERMINISTIC_SCHEDULING"
GENERATOR = "_r"
KNOWN_GOOD = "0.32 to 0.35"

SCHEDULER: ModuleType = trio_run


@contextmanager
def deterministic(seed: int) -> Generator[None]:
    """Let the next `trio.run` inside depend on ``seed`` alone.

    Raises:
        UnsupportedTrioError: this Trio has no such flag, no such generator, or does not use them.
    """
    generator = scheduler_generator(SCHEDULER)
    flag, scheduler_state = getattr(SCHEDULER, FLAG), generator.getstate()
    module_state, collecting = random.getstate(), gc.isenabled()
    try:
        setattr(SCHEDULER, FLAG, True)
        generator.seed(f"{seed}:scheduler")
        random.seed(f"{seed}:random")  # noqa: TID251 - what a scenario draws from the module must not differ either
        gc.disable()
        yield
    finally:
        if collecting:
            gc.enable()
        random.setstate(module_state)
        generator.setstate(scheduler_state)
        setattr(SCHEDULER, FLAG, flag)


def run_queue() -> deque[trio.lowlevel.Task]:
    """The tasks of the present run that run next: one that is taken out does not, until it is put back.

    Raises:
        UnsupportedTrioError: this Trio keeps them elsewhere.
    """
    runner = getattr(getattr(SCHEDULER, "GLOBAL_RUN_CONTEXT", None), "runner", None)
    queue: object = getattr(runner, "runq", None)
    if not isinstance(queue, deque):
        raise UnsupportedTrioError(
            f"trio {trio.__version__} queues tasks in a way that is not known here: none can be paused"
        )
    return cast("deque[trio.lowlevel.Task]", queue)


def idle_watch() -> Callable[[], bool]:
    """A function that says whether a task of the present run waits until all others do, as `wait_all_tasks_blocked` does, or
    a call from outside is to be made: no time may pass then.

    Raises:
        UnsupportedTrioError: this Trio keeps these elsewhere.
    """
    runner: Any = getattr(getattr(SCHEDULER, "GLOBAL_RUN_CONTEXT", None), "runner", None)
    try:
        waiting, calls, single_calls = runner.waiting_for_idle, runner.entry_queue.queue, runner.entry_queue.idempotent_queue
    except AttributeError as error:
        raise UnsupportedTrioError(
            f"trio {trio.__version__} keeps who waits for the others in a way that is not known here: no time can pass"
        ) from error
    return lambda: bool(waiting or calls or single_calls)


def scheduler_generator(run: ModuleType) -> random.Random:
    """Trio's own generator, after making sure that the scheduler still uses it the way this file believes."""
    generator = getattr(run, GENERATOR, None)
    scheduler = getattr(getattr(run, "unrolled_run", None), "__code__", None)
    names: tuple[str, ...] = getattr(scheduler, "co_names", ())
    if not isinstance(generator, random.Random) or not hasattr(run, FLAG) or not {FLAG, GENERATOR} <= set(names):
        raise UnsupportedTrioError(
            f"trio {trio.__version__} schedules in a way that is not known here, so a seed would not fix a run. "
            f"Simulations are known to work with trio {KNOWN_GOOD}: install one of these."
        )
    return generator
