"""A TCP proxy that misbehaves when it is told to, for tests with real sockets. Floor F6.

It stands between whoever dials and one target, and passes bytes on in both directions, until it is told to delay them, to
hold them back, to reset connections behind a certain byte, or to leave sockets unread. `simulate` can do the same without
sockets, and repeat it from a seed; this is for what only real ones do.
"""

from __future__ import annotations

import socket  # noqa: TID251 - a reset is an option of the socket itself, and anyio has no name for it
import struct
from contextlib import suppress
from types import TracebackType
from typing import Literal, Self

import anyio
import trio
from anyio.abc import ByteStream, SocketAttribute

from casty_trio.env import Env, RealEnv
from casty_trio.model.checks import check_choice, check_count, check_seconds

__all__ = ["FaultProxy", "Towards"]

Towards = Literal["target", "source"]
"""A direction: to the target, or to who dialled."""

DIRECTIONS: tuple[Towards, Towards] = ("target", "source")
RECEIVE = 64 * 1024
CLOSING = 1.0
LINGER = struct.pack("ii", 1, 0)
"""Closing then sends a reset, and drops what was not sent yet."""

_LOST = (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)


class _Pair:
    """One connection through the proxy: its two halves."""

    def __init__(self, source: ByteStream, target: ByteStream) -> None:
        self.ends: dict[Towards, ByteStream] = {"source": source, "target": target}
        self.scope = trio.CancelScope()
        self.unread = False

    def reset(self) -> None:
        """End it with a reset on both sides."""
        for stream in self.ends.values():
            with suppress(OSError):
                stream.extra(SocketAttribute.raw_socket).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
        self.scope.cancel()

    async def close(self) -> None:
        """Close both sockets."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSING):
            for stream in self.ends.values():
                await stream.aclose()


class FaultProxy:
    """Passes bytes between whoever dials it and a target, and disturbs that on request. Used with ``async with``, on Trio.

    Parameters:
        host: where the target listens.
        port: likewise.
        env: where sockets come from; the real world when left out.

    Example:
        >>> import trio
        >>> async def main() -> None:
        ...     async with FaultProxy("127.0.0.1", 25520) as proxy:
        ...         proxy.reset_after(1_000)  # the connection that carries the 1 000th byte from now on breaks behind it
        ...         proxy.hold("source")  # nothing comes back any more
        ...         proxy.heal()
        >>> trio.run(main)
    """

    def __init__(self, host: str, port: int, *, env: Env | None = None) -> None:
        self._target = host, port
        self._env = env if env is not None else RealEnv()
        self._port = 0
        self._delay = 0.0
        self._held: dict[Towards, bool] = dict.fromkeys(DIRECTIONS, False)
        self._fuses: dict[Towards, int] = dict.fromkeys(DIRECTIONS, 0)
        self._pairs: dict[_Pair, None] = {}
        self._changed = trio.Event()
        self._connections = self._resets = 0
        self._bytes: dict[Towards, int] = dict.fromkeys(DIRECTIONS, 0)

    def __repr__(self) -> str:
        host, port = self._target
        return f"<FaultProxy {self._port} to {host}:{port}, {len(self._pairs)} open, {self._resets} resets>"

    @property
    def port(self) -> int:
        """Where to dial it, on 127.0.0.1."""
        return self._port

    @property
    def open_connections(self) -> int:
        """How many connections go through it now."""
        return len(self._pairs)

    @property
    def connections(self) -> int:
        """How many have gone through it so far."""
        return self._connections

    @property
    def resets(self) -> int:
        """How many of them it has reset."""
        return self._resets

    def carried(self, towards: Towards) -> int:
        """How many bytes it has passed on in a direction."""
        check_choice("towards", towards, DIRECTIONS)
        return self._bytes[towards]

    async def __aenter__(self) -> Self:
        """Listen on a free port.

        Raises:
            OSError: there is none.
        """
        listener = await self._env.listen("127.0.0.1", 0)
        self._port = self._env.local_port(listener)
        self._manager = trio.open_nursery()
        self._nursery = await self._manager.__aenter__()
        self._nursery.start_soon(listener.serve, self._welcome)
        self._listener = listener
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._nursery.cancel_scope.cancel()
        try:
            return await self._manager.__aexit__(kind, error, traceback)
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSING):
                await self._listener.aclose()

    # --- Faults -------------------------------------------------------------------------------------------------------

    def delay(self, seconds: float) -> None:
        """Let every piece wait so long before it is passed on, in both directions; 0 ends that."""
        check_seconds("seconds", seconds)
        self._delay = seconds

    def hold(self, towards: Towards | None = None) -> None:
        """Pass nothing on in a direction, or in both, on connections that are open and on new ones, until `heal`.

        Sockets are not read meanwhile, so that who sends is held up when its buffers are full, as by a cut network.
        """
        if towards is not None:
            check_choice("towards", towards, DIRECTIONS)
        self._held.update(dict.fromkeys(DIRECTIONS if towards is None else (towards,), True))

    def leave_unread(self) -> None:
        """Keep the connections that are open now open, and never read from them again; new ones are served."""
        for pair in self._pairs:
            pair.unread = True

    def heal(self) -> None:
        """Pass on again what was held back; connections that were left unread stay so."""
        self._held = dict.fromkeys(DIRECTIONS, False)
        self._changed.set()
        self._changed = trio.Event()

    def reset(self) -> None:
        """Reset all connections now."""
        for pair in self._pairs:
            self._reset(pair)

    def reset_after(self, size: int, *, towards: Towards = "target") -> None:
        """Reset the connection that carries the given number of further bytes in a direction, right behind the last one."""
        check_count("size", size, 1)
        check_choice("towards", towards, DIRECTIONS)
        self._fuses[towards] = size

    # --- What it does --------------------------------------------------------------------------------------------------

    async def _welcome(self, source: ByteStream) -> None:
        async with source:
            try:
                target = await self._env.connect(*self._target)
            except OSError:
                return
            self._connections += 1
            pair = _Pair(source, target)
            self._pairs[pair] = None
            try:
                with pair.scope:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._pass, pair, "target")
                        nursery.start_soon(self._pass, pair, "source")
            finally:
                del self._pairs[pair]
                await pair.close()

    async def _pass(self, pair: _Pair, towards: Towards) -> None:
        origin, end = pair.ends["source" if towards == "target" else "target"], pair.ends[towards]
        try:
            while True:
                await self._wait_free(pair, towards)
                data = await origin.receive(RECEIVE)
                if self._delay:
                    await trio.sleep(self._delay)
                await self._wait_free(pair, towards)
                fuse = self._fuses[towards]
                burns = 0 < fuse <= len(data)
                data = data[:fuse] if burns else data
                self._fuses[towards] = max(0, fuse - len(data))
                self._bytes[towards] += len(data)
                await end.send(data)
                if burns:
                    self._reset(pair)
        except anyio.EndOfStream:
            with suppress(*_LOST):
                await end.send_eof()
        except _LOST:
            self._reset(pair)

    async def _wait_free(self, pair: _Pair, towards: Towards) -> None:
        while pair.unread or self._held[towards]:
            await self._changed.wait()

    def _reset(self, pair: _Pair) -> None:
        self._resets += 1
        pair.reset()
