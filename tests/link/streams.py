"""An in-memory byte stream whose peer can be slow, gone or mute, on any library, and links over it."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.lowlevel
from anyio.abc import ByteStream

from casty_trio.link import Link, open_link
from casty_trio.model.settings import LinkSettings
from casty_trio.protocol.session import Session
from tests.protocol.sessions import LIMITS, acceptor, dialer


class Pipe(ByteStream):
    """One end of a connection in memory. `sends` is what each `send` was given; `hold` makes them wait."""

    def __init__(self) -> None:
        self.other: Pipe = self
        self.sends: list[bytes] = []
        self.closed = self.broken = self.half_closed = False
        self._inbox = bytearray()
        self._changed = anyio.Event()
        self._held = False

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return {}

    def hold(self) -> None:
        self._held = True

    def release(self) -> None:
        self._held = False
        self._change()

    def reset(self) -> None:
        for end in (self, self.other):
            end.broken = True
            end._change()

    async def send(self, item: bytes) -> None:
        self.sends.append(item)
        await anyio.lowlevel.checkpoint()
        while self._held and not self._gone():
            await self._changed.wait()
        if self.closed:
            raise anyio.ClosedResourceError
        if self._gone():
            raise anyio.BrokenResourceError("the fake broke")
        self.other._inbox += item
        self.other._change()

    async def receive(self, max_bytes: int = 65536) -> bytes:
        await anyio.lowlevel.checkpoint()
        while not self._inbox:
            if self.closed:
                raise anyio.ClosedResourceError
            if self.broken:
                raise anyio.BrokenResourceError("the fake broke")
            if self.other.closed or self.other.half_closed:
                raise anyio.EndOfStream
            await self._changed.wait()
        data = bytes(self._inbox[:max_bytes])
        del self._inbox[:max_bytes]
        return data

    async def send_eof(self) -> None:
        self.half_closed = True
        self.other._change()

    async def aclose(self) -> None:
        self.closed = True
        self._change()
        self.other._change()
        await anyio.lowlevel.checkpoint()

    def _gone(self) -> bool:
        return self.closed or self.broken or self.other.closed

    def _change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


def pipes() -> tuple[Pipe, Pipe]:
    one, other = Pipe(), Pipe()
    one.other, other.other = other, one
    return one, other


@dataclass
class End:
    """A link that runs, what came over it, and how it ended."""

    link: Link
    pipe: Pipe
    frames: list[tuple[int, bytes]] = field(default_factory=list)
    done: anyio.Event = field(default_factory=anyio.Event)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    result: str | None = None
    on_frame: Callable[[], object] = lambda: None

    async def run(self) -> None:
        with self.scope:
            self.result = await self.link.run(self._take)
        self.done.set()

    def _take(self, kind: int, body: memoryview) -> None:
        self.frames.append((kind, bytes(body)))
        self.on_frame()

    @property
    def bodies(self) -> list[bytes]:
        return [body for _, body in self.frames]


async def linked(limits: LinkSettings = LIMITS) -> tuple[End, End]:
    """Two links after their handshake, not running yet."""
    one, other = pipes()
    ends: list[End] = []

    async def shake(pipe: Pipe, session: Session) -> None:
        ends.append(End(await open_link(pipe, session), pipe))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(shake, one, dialer(limits=limits))
        tasks.start_soon(shake, other, acceptor(limits=limits))
    one.sends.clear()
    other.sends.clear()
    ends.sort(key=lambda end: end.pipe is other)
    return ends[0], ends[1]


@asynccontextmanager
async def running(limits: LinkSettings = LIMITS) -> AsyncIterator[tuple[End, End]]:
    """Two links that run; they are cancelled at the end of the block."""
    one, other = await linked(limits)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one.run)
        tasks.start_soon(other.run)
        await anyio.wait_all_tasks_blocked()
        yield one, other
        tasks.cancel_scope.cancel()
