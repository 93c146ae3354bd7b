"""Who holds the event loop up: a thread that asks the loop for a sign, and looks at its stack when none comes. Floor F2.

The loop does nothing for it but answer, a few times a second. A question that is not answered in time means that some code
does not come back to the loop; then the thread looks whose it is, at each of its turns. The warning is logged at once, while
the code still blocks, for it may do so for ever; the event follows when the loop runs again, and tells how long it took.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

import trio

from casty_trio.actors.family import Family
from casty_trio.actors.post import Post
from casty_trio.model.events import LoopBlocked

if TYPE_CHECKING:
    from casty_trio.actors.system import ActorSystem

__all__ = ["Watchdog", "watch_loop"]

LOOKS = 4
"""How often the thread has its turn while the loop may be silent: so much later than allowed, at most, it is noticed."""

OWNERS = {"casty_trio.actors.cell", "casty_trio.actors.family"}
"""Where the frames are whose ``self`` tells which actor runs."""


class Watchdog:
    """Watches the loop that it is started in.

    Parameters:
        system: whose actors are known by name.
        limit: how long the loop may be without a turn, in seconds of the real clock.
    """

    def __init__(self, system: ActorSystem, limit: float) -> None:
        self._system = system
        self._limit = limit
        self._token = trio.lowlevel.current_trio_token()
        self._answered = True
        self._asked_at = 0.0
        self._paths: list[str] = []
        self._told: tuple[float, str, str] | None = None
        every = limit / LOOKS
        self._stop = system.env.observe_thread(every, self._look, f"{system.name} (watchdog)")

    def stop(self) -> None:
        """End the thread; it has ended when this returns."""
        if self._stop is not None:
            self._stop()

    def _look(self, frame: Callable[[], FrameType | None]) -> bool:
        """A turn of the thread; whether there is to be another."""
        now = self._system.env.now()
        if self._answered:
            self._answered = False
            self._asked_at = now
            self._paths.clear()
            try:
                self._token.run_sync_soon(self._answer)
            except trio.RunFinishedError:  # it did not end as it should
                return False
            return True
        found = who_runs(frame())
        if found is not None:
            path, where = found
            self._paths.append(path)
            if now - self._asked_at >= self._limit and self._told is None:
                self._tell(now - self._asked_at, where)
        return True

    def _tell(self, seconds: float, where: str) -> None:
        # Several that were seen, one after the other, each took some of the time: none of them is to blame.
        path = self._paths[0] if len(set(self._paths)) == 1 else ""
        self._told = self._asked_at, path, where
        text = "%s: the event loop has had no turn for %.1f s, and nothing else runs: %s is in %s"
        self._system.log.warning(text, self._system.name, seconds, path or "something that is no single actor", where)

    def _answer(self) -> None:
        """The loop's sign, in the loop."""
        told, self._told = self._told, None
        if told is not None:
            since, path, where = told
            self._system.publish(LoopBlocked, self._system.env.now() - since, path, where)
        self._answered = True


def watch_loop(system: ActorSystem) -> Watchdog | None:
    """Watch the loop that this is called in, if the system's settings, or its kind, ask for it."""
    limit = system.settings.blocked_after
    limit = system.blocked_after if limit is None else limit
    return Watchdog(system, limit) if limit < math.inf else None


def who_runs(frame: FrameType | None) -> tuple[str, str] | None:
    """The path of the actor that a stack belongs to, empty if it is nobody's, and the innermost place; None if it waits."""
    if frame is None or (frame.f_code.co_name == "get_events" and module_of(frame).startswith("trio.")):
        return None
    where = f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"
    outer: FrameType | None = frame
    while outer is not None:
        if module_of(outer) in OWNERS:
            owner = outer.f_locals.get("self")
            if isinstance(owner, Post | Family):
                return str(owner.path), where
        task = outer.f_locals.get("task") if module_of(outer) == "trio._core._run" else None
        if isinstance(task, trio.lowlevel.Task):
            return actor_above(task), where
        outer = outer.f_back
    return "", where


def actor_above(task: trio.lowlevel.Task | None) -> str:
    """The path of the actor whose handler has started a task; tasks of actors are called by their paths."""
    while task is not None and not task.name.startswith("/"):
        task = task.parent_nursery.parent_task if task.parent_nursery is not None else None
    return "" if task is None else task.name.partition(" ")[0]


def module_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))
