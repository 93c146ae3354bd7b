"""What clients are promised of services, topics and replies, and what they may not reach: on Trio and on asyncio."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anyio
import anyio.to_thread
import pytest
import sniffio

from casty_trio import (
    ActorRef,
    Behaviors,
    ClusterClient,
    ClusteredActorSystem,
    RequestRefusedError,
    ServiceKey,
    ShardEnvelope,
    Topic,
    UnknownActorError,
)
from casty_trio.client.refs import ClientRef
from casty_trio.model.address import ActorAddress
from tests.client.test_libraries import NodeInThread
from tests.sim.shop import NAME, Carts, Ctx, Late, Name, Put, carts_of, to, wants

pytestmark = [pytest.mark.slow, pytest.mark.anyio]

KEY: ServiceKey[Put | Name] = ServiceKey("both")
NEWS: Topic[Put] = Topic("news")


@pytest.fixture
def node() -> Iterator[NodeInThread]:
    running = NodeInThread()
    yield running
    running.stop()


class Offers:
    """Actors of the node, which are started and stopped from outside."""

    def __init__(self, node: NodeInThread) -> None:
        self.read: dict[str, list[int]] = {}
        self._node = node

    def _receive(self, ctx: Ctx, message: Put | Name) -> None:
        if isinstance(message, Put):
            self.read.setdefault(ctx.self.address.name, []).append(message.number)
        else:
            message.reply_to.tell(ctx.self.address.name)

    async def start(self, name: str) -> ActorRef[Any]:
        def begin(system: ClusteredActorSystem) -> ActorRef[Any]:
            ref = system.spawn(Behaviors.discoverable(Behaviors.receive(self._receive), key=KEY), name)
            system.client_receptionist().register_subscriber(NEWS, ref)
            return ref

        return await anyio.to_thread.run_sync(self._node.call, begin)

    async def stop(self, ref: ActorRef[Any]) -> None:
        await anyio.to_thread.run_sync(
            self._node.call, lambda system: system.start_service(lambda: system.stop(ref), "stop")
        )


async def test_services(node: NodeInThread, anyio_backend_name: str) -> None:
    """R1, R2: the present listing first, then one for each change; each service answers, and one that has stopped goes."""
    assert sniffio.current_async_library() == anyio_backend_name
    offers = Offers(node)
    first = await offers.start("first")
    async with ClusterClient([("127.0.0.1", node.port)], NAME) as client, client.subscribe(KEY) as listings:
        assert [each.ref.address.name for each in (await anext(listings)).instances] == ["first"]
        await offers.start("second")
        instances = (await anext(listings)).instances
        assert [each.ref.address.name for each in instances] == ["first", "second"]
        assert [await client.ask(each.ref, wants(Name)) for each in instances] == ["first", "second"]
        await offers.stop(first)
        assert [each.ref.address.name for each in (await anext(listings)).instances] == ["second"]
        assert [each.ref.address.name for each in client.lookup(KEY).instances] == ["second"]


async def test_topics(node: NodeInThread, anyio_backend_name: str) -> None:
    """P1: each message once to each subscriber, in order."""
    assert sniffio.current_async_library() == anyio_backend_name
    offers = Offers(node)
    await offers.start("first")
    await offers.start("second")
    async with ClusterClient([("127.0.0.1", node.port)], NAME) as client:
        for number in range(20):
            client.publish(NEWS, Put(number))
        for instance in client.lookup(KEY).instances:
            await client.ask(instance.ref, wants(Name))  # behind them, on the same stream
        assert offers.read == {"first": list(range(20)), "second": list(range(20))}


async def test_own_replies(node: NodeInThread, anyio_backend_name: str) -> None:
    """K2: twenty default clients, ten asks of each at once, answered after 100 ms."""
    assert sniffio.current_async_library() == anyio_backend_name
    replies: dict[tuple[int, int], int] = {}

    async def ask(client: ClusterClient, carts: Carts, number: int, index: int) -> None:
        make = to(f"{index}-{number}", Late, 1_000 * number + index, 0.1)
        replies[number, index] = await client.ask(carts, make, timeout=30)

    async def live(number: int) -> None:
        async with ClusterClient([("127.0.0.1", node.port)], NAME) as client, anyio.create_task_group() as tasks:
            for index in range(10):
                tasks.start_soon(ask, client, carts_of(client), number, index)

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(live, number)
    assert replies == {(number, index): 1_000 * number + index for number in range(20) for index in range(10)}


async def test_what_is_not_exposed(node: NodeInThread, anyio_backend_name: str) -> None:
    """K7: actor paths and system paths are refused by name, and so is a ref that the client was not sent."""
    assert sniffio.current_async_library() == anyio_backend_name
    told: list[object] = []
    await anyio.to_thread.run_sync(
        node.call, lambda system: system.spawn(Behaviors.receive(lambda ctx, message: told.append(message)), "private")
    )
    async with ClusterClient([("127.0.0.1", node.port)], NAME) as client:
        for path in ("/private", "/$receptionist", "/cart", "/", "/nobody"):
            ref = ClientRef(client, ActorAddress(NAME, path, "127.0.0.1", node.port, node.node.uid, 0))
            with pytest.raises(UnknownActorError, match="is not exposed to clients"):
                await client.ask(ref, wants(Name))
            with pytest.raises(UnknownActorError, match="nothing is exposed at"):
                await client.ask(client.service_ref(path), wants(Name))
            with pytest.raises(RequestRefusedError):
                await client.ask(carts_of(client), lambda r, ref=ref: ShardEnvelope("a", Late(1, 0.0, ref)))
        assert client.statistics().connections == 1
    assert told == []
