"""Spawning a sharded type, and what is refused."""

from __future__ import annotations

import pytest
import trio

from casty_trio import (
    ActorStarted,
    Behavior,
    Behaviors,
    DeadLetter,
    Event,
    Mailbox,
    NameInUseError,
    SettingsError,
    ShardEnvelope,
    SystemClosedError,
    UnknownMessageTypeError,
    UnsupportedTypeError,
    UsageError,
)
from casty_trio.testing import Simulation, simulate
from tests.sim.shop import (
    SHARDS,
    Carts,
    Ctx,
    GetAll,
    Leave,
    Msg,
    Put,
    assert_adds_up,
    cart,
    carts_of,
    census,
    make_client,
    make_node,
    open_shop,
    to,
)


def test_a_sharded_type_needs_a_name_and_no_mailbox() -> None:
    """Both are refused by name, and so is a sharded behaviour below the top."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node:
            with pytest.raises(UsageError, match="needs a name"):
                node.spawn(Behaviors.sharded(cart))
            with pytest.raises(UsageError, match="mailboxes of their own"):
                node.spawn(Behaviors.sharded(cart), "cart", mailbox=Mailbox(5))
            for bad in ("a/b", "", "a b"):
                with pytest.raises(UsageError):
                    node.spawn(Behaviors.sharded(cart), bad)
            with pytest.raises(NameInUseError):
                node.spawn(Behaviors.sharded(cart), "$1")
            assert node.statistics().actors == 0
            failed = list[str]()

            def begin(ctx: Ctx) -> Behavior[int]:
                with pytest.raises(UsageError, match="sharded"):
                    ctx.spawn(Behaviors.sharded(cart), "cart")
                failed.append("refused")
                return Behaviors.receive(lambda ctx, message: None)

            node.spawn(Behaviors.setup(begin), "other")
            await trio.sleep(1)
            assert failed == ["refused"]

    simulate(scenario, 1)


def untold(entity_id):  # type: ignore[no-untyped-def] # that is what the test is about
    """A factory without annotations."""
    return cart(entity_id)


def unsendable(entity_id: str) -> Behavior[trio.Event]:
    raise NotImplementedError


def test_a_factory_that_does_not_tell_its_messages() -> None:
    """W1: refused with the remedy, which works."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node:
            with pytest.raises(UnknownMessageTypeError, match=r"annotate it .*messages=\[CartMessage\]"):
                node.spawn(Behaviors.sharded(untold, num_shards=SHARDS), "cart")
            with pytest.raises(UnsupportedTypeError):
                node.spawn(Behaviors.sharded(unsendable), "events")
            assert node.statistics().actors == 0
        async with make_node(sim, messages=[Msg]) as node:
            node.spawn(Behaviors.sharded(untold, num_shards=SHARDS), "cart")
            async with make_client(sim) as client:
                carts_of(client).tell(ShardEnvelope("a", Put(1)))
                assert await client.ask(carts_of(client), to("a", GetAll)) == (1,)

    simulate(scenario, 1)


@pytest.mark.parametrize("num_shards", [0, -1, 65_537])
def test_numbers_of_shards_that_cannot_be(num_shards: int) -> None:
    """They are refused where they are given."""
    with pytest.raises(SettingsError, match="num_shards must be a whole number, 1 to 65536"):
        Behaviors.sharded(cart, num_shards=num_shards)


@pytest.mark.parametrize("num_shards", [1, pytest.param(65_536, marks=pytest.mark.long)])
def test_the_least_and_the_most_shards(num_shards: int) -> None:
    """K1: clients are told of both, also of many such types."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node, make_client(sim, 2) as early:
            for name in ("cart", "other", "third"):
                node.spawn(Behaviors.sharded(cart, num_shards=num_shards), name)
            async with make_client(sim) as client:
                await trio.sleep(1)
                for each in (client, early):
                    carts: Carts = each.entity_ref("cart", num_shards=num_shards)
                    assert await each.ask(carts, to("a", GetAll)) == ()
                    assert each.statistics().connections == 1
                    assert each.num_shards("third") == num_shards

    simulate(scenario, 1)


def test_spawning_outside_the_block() -> None:
    """A system that is not open, or not any more, spawns no types."""

    async def scenario(sim: Simulation) -> None:
        node = make_node(sim)
        with pytest.raises(SystemClosedError):
            open_shop(node)
        async with node:
            open_shop(node)
        with pytest.raises(SystemClosedError):
            node.spawn(Behaviors.sharded(cart), "late")

    simulate(scenario, 1)


def test_leaving_with_thousands_of_entities() -> None:
    """L3: no task is left, and the counts add up to the end."""

    async def scenario(sim: Simulation) -> None:
        before = census()
        async with make_node(sim) as node:
            carts = open_shop(node)
            for number in range(3_000):
                carts.tell(ShardEnvelope(f"{number}", Put(number)))
                if number % 10 == 0:
                    carts.tell(ShardEnvelope(f"{number}", Leave()))
            await trio.sleep(1)
            assert node.statistics().actors == 2_701
        assert_adds_up(node.statistics())
        assert node.statistics().handled == 3_300
        assert census() == before

    simulate(scenario, 1)


def test_the_events_of_an_entity() -> None:
    """L14: its start and its dead letters are events like any actor's."""
    seen = list[str]()

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node, trio.open_nursery() as nursery:
            carts = open_shop(node)
            await trio.sleep(1)

            async def watch(*, task_status: trio.TaskStatus[None]) -> None:
                async with node.events(Event) as events:
                    task_status.started()
                    async for event in events:
                        seen.append(type(event).__name__)

            await nursery.start(watch)
            for message in (Put(1), Leave(), Put(2)):
                carts.tell(ShardEnvelope("a", message))
            await trio.sleep(1)
            nursery.cancel_scope.cancel()

    simulate(scenario, 1)
    assert seen == [ActorStarted.__name__, DeadLetter.__name__, "ActorStopped"]
