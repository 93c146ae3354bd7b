"""How a node that leaves parts with its clients. Floor F4.

It asks them to send it nothing more, and waits until each has said that it does: whatever came before can be passed on.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import trio

from casty_trio.errors import LinkClosedError, LinkFullError
from casty_trio.protocol.frames import Kind
from casty_trio.remote import Connection, FrameHandler

__all__ = ["Parting"]


class Parting:
    """The clients that were asked, and have not answered."""

    def __init__(self, handlers: dict[int, FrameHandler]) -> None:
        handlers[Kind.LEAVING] = self._on_frame
        self._asked: dict[Connection, None] = {}
        self._changed = trio.Event()

    async def ask(self, connections: Iterable[Connection], patience: float) -> None:
        """Ask those of the connections that are to clients, and wait for as many seconds at most."""
        for connection in [each for each in connections if each.peer is None]:
            with suppress(LinkClosedError, LinkFullError):
                connection.link.write(Kind.LEAVING, b"")
                self._asked[connection] = None
        with trio.move_on_after(patience):
            while self._asked:
                await self._changed.wait()

    def over(self, connection: Connection) -> None:
        """A client has sent all that it sends here, or has gone."""
        if self._asked.pop(connection, connection) is None:
            self._changed.set()
            self._changed = trio.Event()

    def _on_frame(self, connection: Connection, body: memoryview) -> None:
        """A client says that it sends nothing more here."""
        self.over(connection)
