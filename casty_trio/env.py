"""The one door to the world: clock, randomness, ids, sockets, name look-up, threads, files and signals. Floor F0.

Nothing else in the library reads a clock, draws a random number or opens a socket, so a run in which `Env` is simulated is
a pure function of its seed. Library code takes an `Env` as an argument and never makes one by itself, except at the public
doors (`ActorSystem`, `ClusterClient`), whose default is the real one.

Scheduler time (``trio.current_time()``, ``anyio.current_time()``) needs no door: the virtual clock of a test replaces it.
"""

from __future__ import annotations

import os
import random
import secrets
import signal
import socket
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from types import FrameType
from typing import TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread
from anyio.abc import ByteStream, Listener

__all__ = ["Disk", "Env", "RealDisk", "RealEnv"]

T = TypeVar("T")

UID_BITS = 48
"""A node's uid: wide enough never to meet again, and small enough for any peer's signed 64-bit integer."""

LONGEST_LOOK = 5.0
"""How long the end of an observing thread is waited for, in seconds: it is at most in a handler of logs, which may hang."""


class Env(ABC):
    """What a program may do that touches the world outside its own memory.

    Implement it to run a whole system somewhere else: `casty_trio.testing` has the one for simulations.
    """

    check_serialization: bool = False
    """Whether nodes send messages between their own callers and their clustered actors through the codec as well."""

    @property
    @abstractmethod
    def rng(self) -> random.Random:
        """The generator for choices that need not be secret (jitter, which peer to talk to)."""

    @abstractmethod
    def now(self) -> float:
        """Monotonic seconds. Only differences mean anything, and they are never sent to a peer."""

    @abstractmethod
    def wall_time(self) -> float:
        """Seconds since 1970, for people (logs, certificates), never for decisions between nodes."""

    @abstractmethod
    def token(self, size: int) -> bytes:
        """``size`` unpredictable bytes, for nonces and secrets."""

    @abstractmethod
    async def connect(self, host: str, port: int) -> ByteStream:
        """Open a byte stream to a listener.

        Raises:
            OSError: nobody listens there, or the name is unknown.
        """

    @abstractmethod
    async def listen(self, host: str, port: int) -> Listener[ByteStream]:
        """Listen on an address; port 0 picks a free one. `local_port` tells which.

        Raises:
            OSError: the address is taken, or is not ours.
        """

    @abstractmethod
    def local_port(self, listener: Listener[ByteStream]) -> int:
        """The port a listener of `listen` got."""

    @abstractmethod
    def disk(self, folder: str) -> Disk:
        """The files in a folder, which is made with the first of them."""

    @abstractmethod
    async def run_sync(self, function: Callable[[], T]) -> T:
        """Run a blocking function (a file, a look-up) where it does not hold the event loop up."""

    async def resolve(self, host: str) -> tuple[str, ...]:
        """The addresses of a host, each once. Without the real world, its name is its address.

        Raises:
            OSError: the name is unknown, or nobody can be asked.
        """
        await anyio.lowlevel.checkpoint()
        return (host,)

    def variable(self, name: str) -> str | None:
        """What a variable of the environment holds; None where it is not set. Without the real world, none is."""
        return None

    def signals(self, *numbers: signal.Signals) -> AbstractContextManager[AsyncIterator[int]]:
        """Take signals that the process gets, for as long as the block lasts. Without the real world, none ever comes."""
        return nullcontext(_none_ever())

    def observe_thread(
        self, seconds: float, look: Callable[[Callable[[], FrameType | None]], bool], name: str
    ) -> Callable[[], None] | None:
        """Call a function again and again from a thread of its own, which looks at the thread that calls this.

        Parameters:
            seconds: of the real clock, from one call to the next.
            look: what is called, with a function that gives the innermost frame of the observed thread. It returns whether
                it is to be called again.
            name: the thread's.

        Returns:
            What ends the thread, and waits until it has ended; None where there are no threads, as in simulations.
        """
        return None

    def uid(self) -> int:
        """A number that no other node, client or start of this process ever gets again."""
        return int.from_bytes(self.token(UID_BITS // 8), "big") | 1


class Disk(ABC):
    """A few files that outlive the process. Each is written by one task at a time.

    Any of them may raise `OSError`: the disk is full, or broken. Of an ``append`` that raised, any part may be in the file.
    """

    @abstractmethod
    async def read(self, name: str) -> bytes:
        """All that is in a file.

        Raises:
            FileNotFoundError: there is none of that name.
        """

    @abstractmethod
    async def append(self, name: str, data: bytes) -> None:
        """Write behind what is there, making the file if there is none. A crash may lose it, or its end, until `sync`."""

    @abstractmethod
    async def sync(self, name: str) -> None:
        """Return when all that was appended to a file is there to stay.

        Raises:
            FileNotFoundError: there is none of that name.
        """

    @abstractmethod
    async def replace(self, name: str, data: bytes) -> None:
        """Make this all that is in a file, for good: whatever crashes, it holds either what it did before or this."""


class RealEnv(Env):
    """The world as it is: the process's clocks, the system's generator, TCP sockets, worker threads."""

    def __init__(self) -> None:
        self._rng = random.Random(secrets.randbits(128))

    @property
    def rng(self) -> random.Random:
        return self._rng

    def now(self) -> float:
        return time.monotonic()

    def wall_time(self) -> float:
        return time.time()

    def token(self, size: int) -> bytes:
        return secrets.token_bytes(size)

    async def connect(self, host: str, port: int) -> ByteStream:
        try:
            return await anyio.connect_tcp(host, port)
        except UnicodeError as error:  # what names cannot be like is found out before anybody is asked
            raise OSError(f"{host!r} is not the name of a host: {error}") from error

    async def listen(self, host: str, port: int) -> Listener[ByteStream]:
        return await _tcp_listener(host, port)

    def local_port(self, listener: Listener[ByteStream]) -> int:
        return int(listener.extra(anyio.abc.SocketAttribute.local_port))

    def disk(self, folder: str) -> Disk:
        return RealDisk(folder, self)

    async def run_sync(self, function: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(function, abandon_on_cancel=True)

    async def resolve(self, host: str) -> tuple[str, ...]:
        try:
            found = await anyio.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except UnicodeError as error:
            raise OSError(f"{host!r} is not the name of a host: {error}") from error
        return tuple(dict.fromkeys(str(place[0]) for *_, place in found))

    def variable(self, name: str) -> str | None:
        return os.environ.get(name)

    def signals(self, *numbers: signal.Signals) -> AbstractContextManager[AsyncIterator[int]]:
        return anyio.open_signal_receiver(*numbers)

    def observe_thread(
        self, seconds: float, look: Callable[[Callable[[], FrameType | None]], bool], name: str
    ) -> Callable[[], None] | None:
        return _Observer(seconds, look, name).stop


class _Observer:
    """A thread that looks at the one that made it; a process may end without it."""

    def __init__(self, seconds: float, look: Callable[[Callable[[], FrameType | None]], bool], name: str) -> None:
        self._seconds = min(seconds, threading.TIMEOUT_MAX)
        self._look = look
        self._observed = threading.get_ident()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(LONGEST_LOOK)

    def _run(self) -> None:
        while not self._over.wait(self._seconds) and self._look(self._frame):
            pass

    def _frame(self) -> FrameType | None:
        return sys._current_frames().get(self._observed)  # pyright: ignore[reportPrivateUsage] # what else tells


async def _none_ever() -> AsyncIterator[int]:
    await anyio.sleep_forever()
    yield 0  # what makes it an iterator


class RealDisk(Disk):
    """Files of the operating system, written in worker threads.

    Parameters:
        folder: where they are.
        env: whose threads.
    """

    def __init__(self, folder: str, env: Env) -> None:
        self._folder = Path(folder)
        self._env = env

    async def read(self, name: str) -> bytes:
        return await self._env.run_sync((self._folder / name).read_bytes)

    async def append(self, name: str, data: bytes) -> None:
        def write() -> None:
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / name).open("ab") as file:
                file.write(data)

        await self._env.run_sync(write)

    async def sync(self, name: str) -> None:
        def sync() -> None:
            with (self._folder / name).open("rb+") as file:
                os.fsync(file.fileno())
            self._sync_folder()

        await self._env.run_sync(sync)

    async def replace(self, name: str, data: bytes) -> None:
        def write() -> None:
            self._folder.mkdir(parents=True, exist_ok=True)
            new = self._folder / f"{name}.new"
            with new.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._folder / name)
            self._sync_folder()

        await self._env.run_sync(write)

    def _sync_folder(self) -> None:
        """A name is in a folder for good when the folder is synced; where folders cannot be opened, they need not be."""
        with suppress(PermissionError):
            number = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(number)
            finally:
                os.close(number)


def _tcp_listener(host: str, port: int) -> Awaitable[Listener[ByteStream]]:
    # anyio types its listeners by the socket they came from; a listener of any byte stream is what we promise.
    listener: Awaitable[Listener[ByteStream]] = anyio.create_tcp_listener(local_host=host, local_port=port)
    return listener
