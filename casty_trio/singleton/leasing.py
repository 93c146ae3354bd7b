"""A node's hold on the lease of a singleton. Floor F5: one task, from when the node may run the actor until it has let go.

The lease is asked for again and again. It counts as lost when it is refused, or when nobody has said for a while that it is
still had: the time runs from when the last question was asked, by a deadline of the system's, whatever the program's own
functions do meanwhile. Nothing waits for these longer than ``SingletonSettings.lease_timeout``.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import trio

from casty_trio.model.deadlines import Due
from casty_trio.model.lease import Lease, LeaseAcquired, LeaseFailed, LeaseLost
from casty_trio.model.words import in_words

if TYPE_CHECKING:
    from casty_trio.singleton.place import Place

__all__ = ["Keeper"]


class Keeper:
    """Holds a lease as long as it is told to.

    Parameters:
        place: the singleton on this node, which is told when the lease is had, lost, and given back.
        lease: the program's own.

    Attributes:
        going: whether it was told to give the lease back.
    """

    def __init__(self, place: Place, lease: Lease) -> None:
        self._place = place
        self._lease = lease
        self._system = place.system
        self._settings = place.system.all_settings.singletons
        # One of its own: a call that was given up may be done much later, and must not give away what the next one has.
        self._holder = f"{place.system.node_id}-{place.system.uid}-{place.system.next_incarnation()}"
        self._until = -math.inf
        self._end: Due | None = None
        self._asked = self._over = False
        self._scope = trio.CancelScope()
        self.going: bool = False
        self._system.start_service(self._run, f"lease of {place.name}")

    @property
    def held(self) -> bool:
        """Whether the lease is had, for sure."""
        return trio.current_time() < self._until

    def let_go(self) -> None:
        """The actor has ended: give the lease back, in limited time; `Place.lease_over` follows."""
        if not self.going:
            self.going = True
            self._until = -math.inf
            self._due(trio.current_time() + self._settings.lease_timeout, self._finish)
            self._scope.cancel()

    async def _run(self) -> None:
        try:
            while not self.going:
                await self._ask()
                with trio.CancelScope(deadline=trio.current_time() + self._settings.lease_interval) as self._scope:
                    if not self.going:
                        await trio.sleep_forever()
            if self._asked:
                await self._call("given back", partial(self._lease.release, self._holder))
        finally:
            self._finish()

    async def _ask(self) -> None:
        self._asked = True
        since = trio.current_time()
        granted = await self._call("had", partial(self._lease.acquire, self._holder))
        if self.going or granted is None:
            return
        if not granted:
            self._lose("somebody else has it")
        elif (until := since + self._settings.lease_lost_after) > trio.current_time():
            before, self._until = self.held, until
            self._due(until, self._expire)
            if not before:
                self._system.publish(LeaseAcquired, self._place.name, self._holder)
                self._place.lease_held()

    async def _call(self, done: str, function: Callable[[], Awaitable[object]]) -> bool | None:
        """Call a function of the program's; None when nothing is known of what came of it."""
        try:
            with trio.move_on_after(self._settings.lease_timeout) as self._scope:
                return bool(await function())
        except Exception as error:  # noqa: BLE001 - whatever it raises, it is tried again
            reason = f"it could not be {done}: {in_words(error)}"
        else:
            reason = f"it was not {done} within {self._settings.lease_timeout:g} s"
            if self.going and done == "had":
                return None  # it was called off
        self._system.quiet.warning(("lease", self._place.name, done), "the lease of %r: %s", self._place.name, reason)
        self._system.publish(LeaseFailed, self._place.name, self._holder, reason)
        return None

    def _expire(self) -> None:
        if self._until > -math.inf and not self._over:
            self._lose(f"nobody has said for {self._settings.lease_lost_after:g} s that it is still had")

    def _lose(self, reason: str) -> None:
        if self._until > -math.inf:
            self._until = -math.inf
            self._close_due()
            self._system.log.warning("the lease of %r is lost: %s", self._place.name, reason)
            self._system.publish(LeaseLost, self._place.name, self._holder, reason)
            self._place.lease_lost()

    def _finish(self) -> None:
        if not self._over:
            self._over = True
            self._close_due()
            self._place.lease_over()

    def _due(self, deadline: float, do: Callable[[], None]) -> None:
        self._close_due()
        self._end = Due(deadline, do)
        self._system.watch_deadline(self._end)

    def _close_due(self) -> None:
        if self._end is not None:
            self._end.closed = True
            self._end = None
