"""Leaving a client's block, and being cancelled in it (L3, L12)."""

import math
from contextlib import suppress
from typing import Any

import pytest
import trio

from casty_trio import (
    ClientSettings,
    ClusterClient,
    ClusteredActorSystem,
    ConnectError,
    OutcomeUnknownError,
    ReconnectTimeoutError,
    Settings,
    ShardEnvelope,
    SystemClosedError,
)
from casty_trio.testing import Simulation, simulate
from tests.sim.shop import (
    PORT,
    Carts,
    GetAll,
    Ignore,
    Late,
    Put,
    both,
    carts_of,
    census,
    make_client,
    make_node,
    open_shop,
    to,
)
from tests.sim.steps import MOST, count_lives

# --- Leaving ------------------------------------------------------------


def test_what_was_told_last_arrives() -> None:
    """Leaving flushes: 5 000 tells right before the end are handled."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node:
            local = open_shop(node)
            async with make_client(sim) as client:
                for number in range(5_000):
                    carts_of(client).tell(ShardEnvelope("a", Put(number)))
            await trio.sleep(1)
            assert await node.ask(local, to("a", GetAll)) == tuple(range(5_000))

    simulate(scenario, 1)


def test_the_exception_of_the_body_leaves_unchanged() -> None:
    """L12: the very object, with no group around it."""
    mine = KeyError("mine")

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node:
            open_shop(node)
            await trio.sleep(1)
            before = census()
            with pytest.raises(KeyError) as caught:
                async with make_client(sim):
                    raise mine
            assert caught.value is mine
            await trio.sleep(1)
            assert census() == before

    simulate(scenario, 1)


def test_asks_of_others_end_when_the_block_is_left() -> None:
    """L5: a task outside the block that waits for a reply hears that there will be none."""
    ended = list[str]()

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node, trio.open_nursery() as nursery:
            open_shop(node)
            async with make_client(sim) as client:
                carts = carts_of(client)

                async def wait() -> None:
                    try:
                        await client.ask(carts, to("a", Ignore), timeout=math.inf)
                    except (SystemClosedError, OutcomeUnknownError) as error:
                        ended.append(type(error).__name__)

                nursery.start_soon(wait)
                await trio.sleep(1)
            await trio.sleep(1)
            assert len(ended) == 1
            assert client.statistics().asks == 0

    simulate(scenario, 1)


def test_an_ask_while_the_block_is_being_left() -> None:
    """It is refused as what it is: the client is closed, and no mailbox is full."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node, trio.open_nursery() as nursery:
            open_shop(node)
            leaving = trio.Event()

            async def ask_late(client: ClusterClient, carts: Carts) -> None:
                await leaving.wait()
                with pytest.raises(SystemClosedError):
                    await client.ask(carts, to("a", GetAll))

            async with make_client(sim) as client:
                nursery.start_soon(ask_late, client, carts_of(client))
                await trio.sleep(1)
                leaving.set()

    simulate(scenario, 1)


def test_where_only_others_are_found_too_long_the_block_ends() -> None:
    """L12: the one error of ours is raised by itself, not in a group; its notes tell who refused the client."""

    async def scenario(sim: Simulation) -> None:
        async def nodes(running: trio.Event) -> None:
            async with make_node(sim) as node:
                open_shop(node)
                running.set()
                await trio.sleep(1)
            other = ClusteredActorSystem("other", "node-1", PORT, "node-1", env=sim.env("node-1"), insecure=True)
            async with other:
                await trio.sleep_forever()

        async with trio.open_nursery() as nursery:
            running = trio.Event()
            nursery.start_soon(nodes, running)
            await running.wait()
            settings = Settings(client=ClientSettings(reconnect_timeout=20.0))
            with pytest.raises(ReconnectTimeoutError) as caught:
                async with make_client(sim, settings=settings):
                    await trio.sleep(60)
            assert any("node-1" in note and "system" in note for note in caught.value.__notes__)
            nursery.cancel_scope.cancel()

    simulate(scenario, 1)


# --- Cancellation ------------------------------------------------------------


async def live(sim: Simulation) -> None:
    """A short life."""
    with suppress(ConnectError):
        async with make_client(sim, connect_timeout=0.05) as client:
            carts = carts_of(client)
            carts.tell(ShardEnvelope("a", Put(1)))
            await client.ask(carts, to("a", GetAll))


@pytest.mark.parametrize(("world", "by"), [("node", "steps"), ("node", "time"), ("mute", "time"), ("nobody", "time")])
def test_cancelled_at_every_step_of_its_life(world: str, by: str) -> None:
    """L3 and L12: whatever it was at, no task and no connection is left, and the cancellation is what leaves."""

    lives = list[int]()

    async def count(sim: Simulation) -> int:
        await trio.sleep(1)
        return await count_lives(sim, by, live, rest=0.1)

    async def scenario(sim: Simulation) -> None:
        if world == "nobody":
            lives.append(await count(sim))
        elif world == "mute":
            async with await sim.env("node-1").listen("node-1", PORT):
                lives.append(await count(sim))
        else:
            async with make_node(sim) as node:
                open_shop(node).tell(ShardEnvelope("a", Put(1)))
                lives.append(await count(sim))
                assert not node.connections

    result = simulate(scenario, 3)
    assert 20 < lives[0] < MOST
    assert result.network.connections > 10 or world == "nobody"


def test_cancelled_in_the_middle_of_an_ask() -> None:
    """The block ends as the caller's scope says, and leaves no ask behind."""

    async def scenario(sim: Simulation, node: Any, client: ClusterClient, carts: Any) -> None:
        with trio.move_on_after(1) as scope:
            await client.ask(carts, to("a", Late, 1, 3.0))
        assert scope.cancelled_caught
        assert client.statistics().asks == 0
        assert await client.ask(carts, to("a", GetAll)) == ()

    both(scenario)
