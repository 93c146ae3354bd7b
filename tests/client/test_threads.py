"""A client that is used in another thread than that of its block, or in a loop there: refused, and nothing is harmed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import pytest

from casty_trio import ActorRef, Behaviors, ClusterClient, ServiceKey, ShardEnvelope, UsageError
from tests.client.test_libraries import NodeInThread
from tests.sim.shop import NAME, SHARDS, Carts, GetAll, Name, Put, to

pytestmark = [pytest.mark.slow, pytest.mark.anyio]

KEY: ServiceKey[Put] = ServiceKey("nobody")


@pytest.fixture
def node() -> Iterator[NodeInThread]:
    running = NodeInThread()
    yield running
    running.stop()


def named(ctx: Any, message: Name) -> None:
    message.reply_to.tell("local")


def connected(node: NodeInThread) -> ClusterClient:
    return ClusterClient([("127.0.0.1", node.port)], NAME)


def in_a_loop(backend: str, function: Callable[..., Any], *arguments: Any) -> None:
    """Run an async function in an event loop of this thread."""
    anyio.run(function, *arguments, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
async def test_it_is_refused_and_the_client_goes_on(node: NodeInThread, backend: str) -> None:
    """W8: whatever is called; the client's own asks are answered as before, and nothing is counted or left open."""
    async with connected(node) as client:
        carts: Carts = client.entity_ref("cart", num_shards=SHARDS)
        local: ActorRef[Any] = client.spawn(Behaviors.receive(named), "local")
        path = client.service_ref("/somebody")
        everywhere: list[tuple[ActorRef[Any], object]] = [(carts, put := ShardEnvelope("a", Put(1)))]
        everywhere += [(local, Put(1)), (path, Put(1))]
        sync: list[Callable[[], object]] = [
            *(partial(ref.tell, message) for ref, message in everywhere),
            partial(client.tell, carts, put),
            partial(client.send, "/somebody", Put(1)),
            partial(client.send_to_all, "/somebody", Put(1)),
            partial(client.publish, "topic", Put(1)),
            partial(client.spawn, Behaviors.receive(named)),
            partial(client.entity_ref, "cart", num_shards=SHARDS),
            partial(client.lookup, KEY),
            partial(client.subscribe, KEY),
        ]
        waiting: list[Callable[[], Any]] = [
            *(partial(ref.send, message) for ref, message in everywhere),
            partial(client.ask, carts, to("a", GetAll), timeout=1),
            partial(client.ask, local, Name, timeout=1),
            partial(client.stop, local),
        ]

        async def stray() -> None:
            for call in sync:
                with pytest.raises(UsageError, match="belong to the thread"):
                    call()
            for wait in waiting:
                with pytest.raises(UsageError, match=r"anyio\.from_thread"):
                    await wait()

        for _ in range(20):
            await anyio.to_thread.run_sync(in_a_loop, backend, stray)
            with anyio.fail_after(2):
                assert await client.ask(carts, to("a", GetAll)) == ()
                assert await client.ask(local, Name) == "local"
        statistics = client.statistics()
        assert (statistics.asks, statistics.dropped, statistics.actors) == (0, 0, 1)


async def test_a_reply_in_another_thread_is_refused(node: NodeInThread) -> None:
    """W8: the ask is answered when the reply comes where it belongs."""
    refused: list[str] = []

    async def receive(ctx: Any, message: Name) -> None:
        def thread() -> None:
            with pytest.raises(UsageError) as caught:
                message.reply_to.tell("from nowhere")
            refused.append(str(caught.value))
            anyio.from_thread.run_sync(message.reply_to.tell, "from a thread")

        await anyio.to_thread.run_sync(thread)

    async with connected(node) as client:
        local: ActorRef[Name] = client.spawn(Behaviors.receive(receive))
        with anyio.fail_after(5):
            assert await client.ask(local, Name) == "from a thread"
        assert len(refused) == 1


async def test_what_the_error_says_works(node: NodeInThread) -> None:
    """K6: from a thread of anyio's, and from any other with the token of the block's event loop."""
    async with connected(node) as client:
        carts: Carts = client.entity_ref("cart", num_shards=SHARDS)
        token, told = anyio.lowlevel.current_token(), list[object]()
        over = anyio.Event()

        def work(**options: Any) -> None:
            anyio.from_thread.run_sync(carts.tell, ShardEnvelope("a", Put(1)), **options)
            told.append(anyio.from_thread.run(client.ask, carts, to("a", GetAll), **options))

        def elsewhere() -> None:
            work(token=token)
            anyio.from_thread.run_sync(over.set, token=token)

        await anyio.to_thread.run_sync(work)
        thread = threading.Thread(target=elsewhere)
        thread.start()
        with anyio.fail_after(5):
            await over.wait()
        await anyio.to_thread.run_sync(thread.join)
        assert told == [(1,), (1, 1)]
