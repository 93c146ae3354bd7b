"""A client program that knows neither Trio nor asyncio; run as a script it takes a port and the library to run on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import anyio
import trio

from casty_trio import ActorRef, CastyError, ClusterClient, ShardEnvelope
from tests.sim.shop import NAME, SHARDS, Carts, Fail, Fill, GetAll, Ignore, Late, Msg, Name, Put, to


async def program(port: int, prefix: str, say: Callable[..., None]) -> None:
    """Everything a client can do, told line by line; ``prefix`` keeps its entities apart from those of other runs."""
    async with ClusterClient([("127.0.0.1", port)], NAME) as client:
        carts: Carts = client.entity_ref("cart", num_shards=SHARDS)
        one = f"{prefix}-one"
        for number in range(5):
            client.tell(carts, ShardEnvelope(one, Put(number)))
        await carts.send(ShardEnvelope(one, Fill(bytes(200_000))))
        say("numbers", await client.ask(carts, to(one, GetAll)))
        say("name", (await client.ask(carts, to(f"{prefix}-two", Name))).removeprefix(prefix))
        await say_errors(client, carts, prefix, say)
        await say_crowd(client, carts, prefix, say)
        with anyio.move_on_after(0.05) as scope:
            await client.ask(carts, to(f"{prefix}-slow", Late, 1, 0.3))
        say("cancelled", scope.cancelled_caught)
        say("asks", client.statistics().asks, "dropped", client.statistics().dropped)
        carts.tell(ShardEnvelope(one, Put(99)))
    async with ClusterClient([("127.0.0.1", port)], NAME) as client:
        say("afterwards", await client.ask(client.entity_ref("cart", num_shards=SHARDS), to(one, GetAll)))


async def say_errors(client: ClusterClient, carts: Carts, prefix: str, say: Callable[..., None]) -> None:
    """What goes wrong, by name."""
    basket: ActorRef[ShardEnvelope[Msg]] = client.entity_ref("basket", num_shards=3)
    attempts: list[tuple[Any, Any, float]] = [
        (carts, to(f"{prefix}-bad", Fail, "kaputt"), 5.0),
        (carts, to(f"{prefix}-mute", Ignore), 0.05),
        (carts, to(f"{prefix}-mute", Ignore), -1.0),
        (basket, to("x", GetAll), 5.0),
        (carts, lambda reply_to: ShardEnvelope("x", Fill(bytes(5_000_000))), 5.0),
        (carts, lambda reply_to: Put(1), 5.0),
    ]
    for ref, factory, timeout in attempts:
        try:
            await client.ask(ref, factory, timeout=timeout)
        except CastyError as error:
            say(type(error).__name__, str(error).replace(prefix, ""))


async def say_crowd(client: ClusterClient, carts: Carts, prefix: str, say: Callable[..., None]) -> None:
    """Many asks at once, answered in the other order."""
    order = list[int]()

    async def ask(number: int) -> None:
        order.append(await client.ask(carts, to(f"{prefix}-{number}", Late, number, 0.4 - number / 25)))

    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(ask, number)
    say("crowd", order)


async def main(port: int) -> None:
    await program(port, sys.argv[2], print)


if __name__ == "__main__":
    if sys.argv[2] == "asyncio":
        asyncio.run(main(int(sys.argv[1])))
    else:
        trio.run(main, int(sys.argv[1]))
