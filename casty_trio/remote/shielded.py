"""Tasks that outlive a cancellation of the block they belong to, until they are ended. Floor F3."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

__all__ = ["Shielded"]


class Shielded:
    """Runs tasks out of the reach of any cancellation but `end`; whoever has one calls that on every way out."""

    def __init__(self) -> None:
        self._scopes: dict[trio.CancelScope, None] = {}
        self._over = False

    async def run(self, run: Callable[[], Awaitable[object]]) -> None:
        """The body of a task; at once over where all are."""
        with trio.CancelScope(shield=True) as scope:
            if self._over:
                scope.cancel()
            self._scopes[scope] = None
            try:
                await run()
            finally:
                del self._scopes[scope]

    def end(self) -> None:
        """Cancel them all, and what comes later."""
        self._over = True
        for scope in list(self._scopes):
            scope.cancel()
