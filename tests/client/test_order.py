"""Order and size of what a client sends."""

import random
from dataclasses import dataclass
from typing import Any

import pytest
import trio

from casty_trio import (
    ActorRef,
    Behavior,
    Behaviors,
    ClusterClient,
    ClusteredActorSystem,
    LinkSettings,
    MessageTooLargeError,
    ShardEnvelope,
)
from casty_trio.testing import Simulation, simulate
from tests.sim.shop import (
    NAME,
    SHARDS,
    Carts,
    Ctx,
    Fill,
    GetAll,
    Put,
    assert_adds_up,
    carts_of,
    make_client,
    make_node,
    open_shop,
    small_link,
    to,
)

COUNT = 10_000


@dataclass(frozen=True)
class Numbered:
    """One of a row; with a reply ref it wants to hear how many came before it, in order."""

    number: int
    ballast: bytes = b""
    reply_to: ActorRef[int] | None = None


def counter(entity_id: str) -> Behavior[Numbered]:
    """Fails on the first number that is not the next."""

    def expecting(number: int) -> Behavior[Numbered]:
        def receive(ctx: Ctx, message: Numbered) -> Behavior[Numbered]:
            if message.number != number:
                raise AssertionError(f"{message.number} came, and not {number}")
            if message.reply_to is not None:
                message.reply_to.tell(number)
            return expecting(number + 1)

        return Behaviors.receive(receive)

    return expecting(0)


def ballast_of(rng: random.Random, kind: str) -> bytes:
    """Nothing, or now and then more than a frame holds."""
    if kind == "large" and rng.random() < 0.05:
        return bytes(rng.randrange(1_000, 14_000))
    return b""


@pytest.mark.parametrize("kind", ["small", "large"])
@pytest.mark.parametrize("seed", [1, 2])
def test_ten_thousand_arrive_in_order(kind: str, seed: int) -> None:
    """L1 and W2: tells, sends and asks to one entity are handled in the order they were made, also when they are split."""

    async def scenario(sim: Simulation) -> None:
        link = small_link(queue=8 * 1024 * 1024)
        async with make_node(sim, link=link) as node:
            node.spawn(Behaviors.sharded(counter, num_shards=SHARDS), "counter")
            async with make_client(sim, link=link) as client, trio.open_nursery() as nursery:
                ref: ActorRef[ShardEnvelope[Numbered]] = client.entity_ref("counter", num_shards=SHARDS)
                rng = sim.rng("order")

                async def ask(number: int, ballast: bytes) -> None:
                    reply = await client.ask(ref, to("a", Numbered, number, ballast), timeout=60)
                    assert reply == number

                for number in range(COUNT):
                    ballast = ballast_of(rng, kind)
                    match rng.randrange(50):
                        case 0:
                            await ask(number, ballast)
                        case 1:
                            await ref.send(ShardEnvelope("a", Numbered(number, ballast)))
                        case _:
                            ref.tell(ShardEnvelope("a", Numbered(number, ballast)))
                nursery.start_soon(ask, COUNT, b"")
            statistics = node.statistics()
            assert statistics.handled == COUNT + 1
            assert_adds_up(statistics)

    simulate(scenario, seed)


def test_asks_and_tells_made_in_one_step_keep_their_order() -> None:
    """L1: an ask that is started between two tells is handled between them."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node:
            open_shop(node)
            async with make_client(sim) as client:
                carts = carts_of(client)

                async def put_ask_put() -> tuple[int, ...]:
                    carts.tell(ShardEnvelope("a", Put(1)))
                    return await client.ask(carts, ask_and_tell)

                def ask_and_tell(reply_to: ActorRef[tuple[int, ...]]) -> Any:
                    carts.tell(ShardEnvelope("a", Put(2)))  # made while the ask is being made: it goes first
                    return ShardEnvelope("a", GetAll(reply_to))

                assert await put_ask_put() == (1, 2)

    simulate(scenario, 1)


def largest(client: ClusterClient, carts: Any) -> int:
    """How much ballast a message of the largest size has."""
    sample = client.link_settings.max_message // 2
    overhead = len(carts.frame(ShardEnvelope("a", Fill(bytes(sample))), 0, None)[1]) - sample
    return client.link_settings.max_message - overhead


def test_up_to_the_largest_message_and_over_it() -> None:
    """W4: the last byte that fits arrives, one more raises at the sender, and the connection lives."""

    async def scenario(sim: Simulation) -> None:
        link = small_link()
        async with make_node(sim, link=link) as node:
            open_shop(node)
            async with make_client(sim, link=link) as client:
                carts = carts_of(client)
                size = largest(client, carts)
                sizes = [0, 1, 900, 1_000, 1_100, 5_000, size - 1, size]
                for each in sizes:
                    await carts.send(ShardEnvelope("a", Fill(bytes(each))))
                for ref in (carts, client.entity_ref("cart", num_shards=SHARDS)):
                    with pytest.raises(MessageTooLargeError, match="exceeds the limit of 16384 bytes"):
                        ref.tell(ShardEnvelope("a", Fill(bytes(size + 1))))
                    with pytest.raises(MessageTooLargeError):
                        await ref.send(ShardEnvelope("a", Fill(bytes(size + 1))))
                assert await client.ask(carts, to("a", GetAll)) == tuple(sizes)
                assert client.statistics().connections == 1

    simulate(scenario, 1)


def test_the_smaller_limit_counts() -> None:
    """W4: of both ends' largest messages and frames the smaller ones hold, for messages and for replies."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim, link=small_link()) as node:
            open_shop(node)
            async with make_client(sim) as client:
                carts = carts_of(client)
                with pytest.raises(MessageTooLargeError, match="16384"):
                    carts.tell(ShardEnvelope("a", Fill(bytes(17_000))))
                carts.tell(ShardEnvelope("a", Fill(bytes(10_000))))
                assert await client.ask(carts, to("a", GetAll)) == (10_000,)

    simulate(scenario, 1)


@pytest.mark.slow
async def test_large_messages_over_tcp() -> None:
    """W2: four MiB, many times, split and mixed with small ones; a longer queue than the system's buffers."""
    settings = LinkSettings(handshake_timeout=60)
    async with ClusteredActorSystem(NAME, "127.0.0.1", 0, "node-1") as node:
        open_shop(node)
        contact = ("127.0.0.1", node.address.port or 0)
        async with ClusterClient([contact], NAME, link=settings, connect_timeout=60) as client:
            carts: Carts = client.entity_ref("cart", num_shards=SHARDS)
            size = largest(client, carts)
            for number in range(10):
                carts.tell(ShardEnvelope("a", Put(number)))
                await carts.send(ShardEnvelope("a", Fill(bytes(size - number))))
            numbers = await client.ask(carts, to("a", GetAll), timeout=60)
    assert numbers[::2] == tuple(range(10))
    assert numbers[1::2] == tuple(size - number for number in range(10))
