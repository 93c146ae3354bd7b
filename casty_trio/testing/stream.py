"""The ends of simulated connections, as anyio's byte streams and listeners. Floor F6.

They behave as anyio's TCP sockets on Trio do, and a conformance test holds both to one list: every call is a
checkpoint, two tasks must not send (or receive) at once, closing wakes who waits. Closing with unread bytes resets the
connection, as the system's sockets do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import anyio
import trio
from anyio.abc import ByteStream, Listener, SocketAttribute, TaskGroup

from casty_trio.testing.clock import Parking, VirtualClock
from casty_trio.testing.pipe import Pipe

__all__ = ["SimulatedListener", "SimulatedStream"]

BACKLOG = 65_536  # connections that wait to be accepted; anyio's default

Address = tuple[str, int]


class SimulatedStream(ByteStream):
    """One end of a connection: it sends into one pipe and receives from another."""

    def __init__(self, out: Pipe, in_: Pipe, local: Address, remote: Address) -> None:
        self._out, self._in = out, in_
        self._local, self._remote = local, remote
        self._sending = self._receiving = self._closed = False  # flags cost a third of anyio's guards

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{self._out!r}"
        return f"<SimulatedStream {self._local} to {self._remote}, {state}>"

    async def send(self, item: bytes) -> None:
        self._begin_sending()
        try:
            await self._out.send(bytes(item))
        finally:
            self._sending = False

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        if max_bytes < 1:
            raise ValueError("max_bytes must be a positive integer")
        if self._receiving:
            raise anyio.BusyResourceError("reading from")
        self._receiving = True
        try:
            return await self._in.receive(max_bytes)
        finally:
            self._receiving = False

    async def send_eof(self) -> None:
        self._begin_sending()
        try:
            if self._closed:
                raise anyio.ClosedResourceError
            self._out.finish()
        finally:
            self._sending = False
        await trio.lowlevel.checkpoint()

    def _begin_sending(self) -> None:
        if self._sending:
            raise anyio.BusyResourceError("writing to")
        self._sending = True

    async def aclose(self) -> None:
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self, *, reset: bool = False) -> None:
        """Close at once, without a checkpoint.

        Parameters:
            reset: tear the connection down even if everything that arrived was read.
        """
        if self._closed:
            return
        self._closed = True
        unread = self._in.close_receiver()
        if unread or reset:
            self._in.break_at(self._out.reset())
        else:
            self._out.finish()
        self._out.close_sender()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return {
            SocketAttribute.local_address: lambda: self._local,
            SocketAttribute.local_port: lambda: self._local[1],
            SocketAttribute.remote_address: lambda: self._remote,
            SocketAttribute.remote_port: lambda: self._remote[1],
        }


class SimulatedListener(Listener[ByteStream]):
    """A taken address, and the connections that wait there to be accepted."""

    def __init__(self, address: Address, clock: VirtualClock, release: Callable[[], object]) -> None:
        self._address = address
        self._release = release
        self._waiting: deque[SimulatedStream] = deque()
        self._parking = Parking(clock)
        self._accepting = anyio.ResourceGuard("accepting connections from")
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{len(self._waiting)} waiting"
        return f"<SimulatedListener {self._address[0]}:{self._address[1]}, {state}>"

    async def serve(self, handler: Callable[[ByteStream], Any], task_group: TaskGroup | None = None) -> None:
        # A group of its own even when it is given one: so does anyio, and errors leave both in the same shape.
        async with anyio.create_task_group() as own:
            while True:
                (task_group or own).start_soon(handler, await self._accept())

    async def _accept(self) -> SimulatedStream:
        with self._accepting:
            await trio.lowlevel.checkpoint()
            while not self._waiting:
                if self._closed:
                    raise anyio.ClosedResourceError
                await self._parking.wait()
            return self._waiting.popleft()

    def offer(self, stream: SimulatedStream) -> None:
        """A dial has arrived."""
        self._waiting.append(stream)
        self._parking.wake()

    def is_full(self) -> bool:
        """Whether a further dial is refused."""
        return len(self._waiting) >= BACKLOG

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            self._release()
            while self._waiting:
                self._waiting.popleft().close(reset=True)
            self._parking.wake()
        await trio.lowlevel.checkpoint()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return {
            SocketAttribute.local_address: lambda: self._address,
            SocketAttribute.local_port: lambda: self._address[1],
        }
