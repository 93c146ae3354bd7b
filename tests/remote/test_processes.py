"""Nodes in processes of their own, over real sockets: killed, stopped, started again, and reset at random bytes."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio
import trio.testing

from casty_trio import (
    ActorRef,
    Behavior,
    Behaviors,
    ClusteredActorSystem,
    DeadLetter,
    Event,
    LinkLost,
    NodeGoneError,
    OutcomeUnknownError,
)
from casty_trio.testing import FaultProxy
from tests.remote.child import LINK
from tests.remote.nodes import GetAll, Ignore, Note, Words, watcher
from tests.sim.shop import NAME, wants

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


class Child:
    """The node in another process."""

    def __init__(self) -> None:
        self.port = 0
        self._process: trio.Process | None = None

    async def start(self) -> None:
        """Start it, on the port it had before if it had one."""
        command = [sys.executable, "-m", "tests.remote.child", str(self.port)]
        self._process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE, cwd=ROOT)
        assert self._process.stdout is not None
        self.port = int(await self._process.stdout.receive_some(100))

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    async def kill(self) -> None:
        """End it without a word."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    def uri(self, path: str) -> str:
        return f"casty://{NAME}@127.0.0.1:{self.port}{path}"


@asynccontextmanager
async def beside_a_child(proxied: bool = False) -> AsyncIterator[tuple[ClusteredActorSystem, Child, FaultProxy]]:
    """A node here, one in another process, and a proxy that is dialled instead of it, if asked for."""
    child = Child()
    await child.start()
    try:
        async with FaultProxy("127.0.0.1", child.port) as proxy:
            near = proxy.port if proxied else child.port
            node = ClusteredActorSystem(
                NAME, "127.0.0.1", 0, "here", messages=[Words], link=LINK, address_map=lambda host, port: (host, near)
            )
            with trio.fail_after(50):
                async with node:
                    yield node, child, proxy
    finally:
        await child.kill()


class Story(list[Any]):
    """What is heard, and a way to wait for more of it."""

    def __init__(self) -> None:
        super().__init__()
        self._more = trio.Event()

    def append(self, item: Any) -> None:
        super().append(item)
        self._more.set()
        self._more = trio.Event()

    async def reach(self, count: int) -> None:
        """Wait until it has so many items."""
        while len(self) < count:
            await self._more.wait()


def listen(node: ClusteredActorSystem, kind: type[Event]) -> Story:
    """The events of a kind."""
    story = Story()

    def begin(ctx: Any) -> Behavior[Any]:
        node.event_stream.subscribe(ctx.self, kind)
        return Behaviors.receive(lambda ctx, message: story.append(message))

    node.spawn(Behaviors.setup(begin))
    return story


async def ask_in_vain(node: ClusteredActorSystem, ref: ActorRef[Any], ended: Story) -> None:
    """An ask that is never answered, without a timeout."""
    with pytest.raises(OutcomeUnknownError):
        await node.ask(ref, wants(Ignore), timeout=math.inf)
    ended.append(trio.current_time())


async def ask_until_answered(node: ClusteredActorSystem, ref: ActorRef[Any]) -> tuple[int, ...]:
    """What arrived; asked again whenever nobody knows what became of the ask."""
    while True:
        try:
            numbers: tuple[int, ...] = await node.ask(ref, wants(GetAll), timeout=20)
        except OutcomeUnknownError:
            continue
        return numbers


async def test_kill_and_start_again() -> None:
    """L6 and K5: asks fail at once, the watch fires once, and what starts at that address is another node."""
    async with beside_a_child() as (node, child, _), trio.open_nursery() as nursery:
        ref: ActorRef[Any] = node.resolve(child.uri("/tally"))
        assert await node.ask(ref, wants(GetAll)) == ()
        story, ended, lost = Story(), Story(), listen(node, LinkLost)
        node.spawn(watcher(story, ref))
        for _ in range(3):
            nursery.start_soon(ask_in_vain, node, ref, ended)
        ref.tell(Note(1))
        assert await node.ask(ref, wants(GetAll)) == (1,)
        killed_at = trio.current_time()
        await child.kill()
        await ended.reach(3)
        assert max(ended) - killed_at < 1
        await lost.reach(1)
        await child.start()
        assert await node.ask(ref, wants(GetAll), timeout=20) == ()
        await story.reach(1)
        assert [type(item.failure) for item in story] == [NodeGoneError]
        node.spawn(watcher(story, ref))
        await child.kill()
        await child.start()
        assert await node.ask(ref, wants(GetAll), timeout=20) == ()
        await story.reach(2)
        assert len(story) == 2


async def test_stop_and_continue() -> None:
    """L6 and W6: a node that was stopped for longer than ``dead_after`` is the same one afterwards, and judges nobody."""
    async with beside_a_child() as (node, child, _), trio.open_nursery() as nursery:
        ref: ActorRef[Any] = node.resolve(child.uri("/tally"))
        ref.tell(Note(1))
        assert await node.ask(ref, wants(GetAll)) == (1,)
        story, ended, lost = Story(), Story(), listen(node, LinkLost)
        node.spawn(watcher(story, ref))
        nursery.start_soon(ask_in_vain, node, ref, ended)
        await trio.testing.wait_all_tasks_blocked(0.1)
        child.signal(signal.SIGSTOP)
        stopped_at = trio.current_time()
        await lost.reach(1)
        await ended.reach(1)
        assert 1 < trio.current_time() - stopped_at < 1.5 + 2 * 0.3 + 1
        ref.tell(Note(2))
        child.signal(signal.SIGCONT)
        assert await node.ask(ref, wants(GetAll), timeout=20) == (1, 2)
        assert story == []
        for _ in range(2):
            child.signal(signal.SIGSTOP)
            with trio.move_on_after(0.8):
                await lost.reach(2)
            child.signal(signal.SIGCONT)
        assert await node.ask(ref, wants(GetAll), timeout=20) == (1, 2)
        assert len(lost) == 1


async def test_ten_thousand_messages_through_resets() -> None:
    """W5 and L4: nothing is reordered or doubled, and what was lost is reported, with old sockets left unread."""
    rng = Random(7)
    async with beside_a_child(proxied=True) as (node, child, proxy):
        letters, lost = listen(node, DeadLetter), listen(node, LinkLost)
        ref: ActorRef[Any] = node.resolve(child.uri("/tally"))
        for number in range(10_000):
            await ref.send(Note(number, 0, bytes(rng.randrange(200))))
            if number in (3_100, 7_100):
                await lost.reach(len(lost) + 1)  # what went into a socket that nobody reads is noticed
            elif number in (3_010, 7_010):
                proxy.leave_unread()
            elif number % 400 == 0:
                proxy.reset_after(rng.randrange(1, 30_000), towards=rng.choice(["target", "target", "source"]))
            if number % 200 == 0:
                await ask_until_answered(node, ref)
        proxy.heal()
        numbers = await ask_until_answered(node, ref)
        assert all(later > earlier for earlier, later in pairwise(numbers))
        missing = 10_000 - len(numbers) - len(letters)
        assert proxy.resets >= 5
        assert len(lost) >= 5
        assert 0 <= missing * 20 <= sum(event.unconfirmed for event in lost)
        assert len(numbers) > 5_000
