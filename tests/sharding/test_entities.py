"""Entities on their own node: one per id, with and without messages going through the codec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
import trio

from casty_trio import (
    ActorFailed,
    ActorFailedError,
    ActorRef,
    ActorStoppedError,
    AskTimeoutError,
    Behavior,
    Behaviors,
    ClusteredActorSystem,
    Lagged,
    NameInUseError,
    SelfAskError,
    ShardEnvelope,
    UnknownActorError,
    UsageError,
)
from casty_trio.testing import Simulation, simulate
from tests.sharding.nodes import Runner
from tests.sim.shop import (
    SHARDS,
    Carts,
    Ctx,
    Fail,
    GetAll,
    Late,
    Leave,
    Msg,
    Name,
    Put,
    assert_adds_up,
    cart,
    carts_of,
    make_client,
    make_node,
    open_shop,
    to,
    wants,
)

# --- One actor per id ------------------------------------------------------------


def test_one_actor_per_id(on_node: Runner) -> None:
    """S5: ids have actors of their own, started by their first message; the counts add up, entities included."""

    async def program(node: ClusteredActorSystem, carts: Carts) -> None:
        for number in range(300):
            carts.tell(ShardEnvelope(f"{number % 30}", Put(number)))
        for entity in range(30):
            assert await node.ask(carts, to(f"{entity}", GetAll)) == tuple(range(entity, 300, 30))
            assert await node.ask(carts, to(f"{entity}", Name)) == f"{entity}"
        statistics = node.statistics()
        assert (statistics.actors, statistics.handled, statistics.sent) == (31, 360, 360)
        assert_adds_up(statistics)

    on_node(program)


@pytest.mark.parametrize(
    "entity_id",
    [
        "a/b",
        "/",
        "//",
        ".",
        "..",
        "%2F",
        "%",
        "$1",
        "a b",
        "\n",
        "\0",
        "käse",
        "日本",
        "\U0001f600",
        "e\u0301",
        "x" * 10_000,
        "a#1.2",
        "?q=1",
    ],
)
def test_any_text_is_an_id(on_node: Runner, entity_id: str) -> None:
    """Slashes, blanks, controls, other scripts, ten thousand characters: each is another entity, and finds its way back."""

    async def program(node: ClusteredActorSystem, carts: Carts) -> None:
        others = [entity_id + "x", quote(entity_id, safe="") + "y", "plain"]
        for each in (entity_id, *others):
            assert await node.ask(carts, to(each, Name)) == each
        assert node.statistics().actors == 5
        address = node.resolve_entity("cart", entity_id).address
        assert address.name == entity_id
        assert node.lookup(address.path) is not None
        assert await node.ask(node.resolve_entity("cart", entity_id), wants(Name)) == entity_id

    on_node(program)


def test_ids_that_look_alike_are_not_one(on_node: Runner) -> None:
    """No two texts share an entity, however they are written in paths."""
    ids = ["a/b", "a%2Fb", "a%252Fb", "\u00e9", "e\u0301", "%C3%A9", " ", "%20", "+"]

    async def program(node: ClusteredActorSystem, carts: Carts) -> None:
        for number, entity_id in enumerate(ids):
            carts.tell(ShardEnvelope(entity_id, Put(number)))
        for number, entity_id in enumerate(ids):
            assert await node.ask(carts, to(entity_id, GetAll)) == (number,)

    on_node(program)


@pytest.mark.parametrize("entity_id", ["", None, 5, b"a", "\ud800", ["a"]])
def test_what_is_no_id(on_node: Runner, entity_id: Any) -> None:
    """It raises at the caller, starts nothing and counts nothing."""

    async def program(node: ClusteredActorSystem, carts: Carts) -> None:
        with pytest.raises(UsageError, match="entity id is a text"):
            carts.tell(ShardEnvelope(entity_id, Put(1)))
        with pytest.raises(UsageError, match="entity id is a text"):
            await node.ask(carts, to(entity_id, GetAll))
        with pytest.raises(UsageError, match="entity id is a text"):
            node.entity_home("cart", entity_id)
        with pytest.raises(UsageError, match="ShardEnvelope"):
            carts.tell(Put(1))  # type: ignore[arg-type]
        assert node.statistics().actors == 1
        assert node.statistics().sent == 0

    on_node(program)


@pytest.mark.parametrize("shard_type", ["till", "", None, ["cart"]])
def test_what_is_no_type(on_node: Runner, shard_type: Any) -> None:
    """It raises at the caller, and says what is to be done."""

    async def program(node: ClusteredActorSystem, carts: Carts) -> None:
        for ask in (node.shard_homes, node.region_state, node.sharding_statistics):
            with pytest.raises(UnknownActorError, match=r"has no sharded type .*: spawn it here, too"):
                ask(shard_type)
        with pytest.raises(UnknownActorError, match="has no sharded type"):
            node.entity_ref(shard_type, "a")

    on_node(program)


def test_a_type_that_has_ended_is_none(on_node: Runner) -> None:
    """It is not told of as of one that is there and has nothing."""

    async def program(node: ClusteredActorSystem, carts: Carts) -> None:
        assert node.region_state("cart").shards
        await node.stop(carts)
        for ask in (node.shard_homes, node.region_state, node.sharding_statistics):
            with pytest.raises(UnknownActorError, match="has no sharded type 'cart'"):
                ask("cart")

    on_node(program)


def test_send_and_tell_from_actors(on_node: Runner) -> None:
    """L1: through the region, in the order they were sent, from a task and from an actor."""

    async def program(node: ClusteredActorSystem, carts: Carts) -> None:
        async def feed(ctx: Ctx, message: int) -> None:
            for number in range(message):
                if number % 2:
                    await carts.send(ShardEnvelope("a", Put(number)))
                else:
                    carts.tell(ShardEnvelope("a", Put(number)))

        feeder = node.spawn(Behaviors.receive(feed), "feeder")
        feeder.tell(100)
        await trio.sleep(1)
        assert await node.ask(carts, to("a", GetAll)) == tuple(range(100))

    on_node(program)


# --- Failing, stopping, starting again ------------------------------------------------------------


def test_a_failed_entity_begins_anew(on_node: Runner) -> None:
    """L2 and L5: the asker is told, siblings go on, and the next message starts the entity again."""

    async def program(node: ClusteredActorSystem, carts: Carts) -> None:
        for entity_id in ("a", "b"):
            carts.tell(ShardEnvelope(entity_id, Put(1)))
        with pytest.raises(ActorFailedError, match="RuntimeError: kaputt"):
            await node.ask(carts, to("a", Fail, "kaputt"))
        assert await node.ask(carts, to("a", GetAll)) == ()
        assert await node.ask(carts, to("b", GetAll)) == (1,)
        assert_adds_up(node.statistics())

    on_node(program)


def test_an_entity_that_stops_itself_begins_anew(on_node: Runner) -> None:
    """L4: what waits when it stops is a dead letter; what comes later starts it again."""

    async def program(node: ClusteredActorSystem, carts: Carts) -> None:
        carts.tell(ShardEnvelope("a", Put(1)))
        carts.tell(ShardEnvelope("a", Leave()))
        carts.tell(ShardEnvelope("a", Put(2)))
        await trio.sleep(1)
        assert node.statistics().actors == 1
        assert node.statistics().dead == 1
        carts.tell(ShardEnvelope("a", Put(3)))
        assert await node.ask(carts, to("a", GetAll)) == (3,)
        assert_adds_up(node.statistics())

    on_node(program)


def test_a_factory_that_fails_fails_alone() -> None:
    """L8, as far as there are strategies: the entity is stopped with its failure; the region and other entities live."""
    failures = list[str]()

    def picky(entity_id: str) -> Behavior[Msg]:
        if entity_id == "bad":
            raise RuntimeError("no such customer")
        if entity_id == "none":
            return None  # type: ignore[return-value]
        return cart(entity_id)

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node, trio.open_nursery() as nursery:
            region = node.spawn(Behaviors.sharded(picky, num_shards=SHARDS), "cart")

            async def watch(*, task_status: trio.TaskStatus[None]) -> None:
                async with node.events(ActorFailed) as events:
                    task_status.started()
                    async for event in events:
                        assert not isinstance(event, Lagged)
                        failures.append(f"{event.ref.path} {event.failure}")

            await nursery.start(watch)
            for entity_id in ("bad", "none"):
                before = trio.current_time()
                with pytest.raises(ActorStoppedError):
                    await node.ask(region, to(entity_id, GetAll))
                assert trio.current_time() == before
            assert await node.ask(region, to("good", GetAll)) == ()
            await trio.sleep(1)
            assert_adds_up(node.statistics())
            nursery.cancel_scope.cancel()

    simulate(scenario, 1)
    assert failures[0] == "/cart/bad no such customer"
    assert len(failures) == 2


def test_two_types_do_not_disturb_each_other(on_node: Runner) -> None:
    """S5: neither by equal ids, nor by failing, nor by stopping."""

    async def program(node: ClusteredActorSystem, carts: Carts) -> None:
        others = node.spawn(Behaviors.sharded(cart, num_shards=3), "other")
        for number in range(10):
            carts.tell(ShardEnvelope("a", Put(number)))
            others.tell(ShardEnvelope("a", Put(-number)))
        others.tell(ShardEnvelope("a", Fail("kaputt")))
        assert await node.ask(carts, to("a", GetAll)) == tuple(range(10))
        assert await node.ask(others, to("a", GetAll)) == ()
        await node.stop(others)
        assert await node.ask(carts, to("a", GetAll)) == tuple(range(10))
        with pytest.raises(ActorStoppedError):
            await node.ask(others, to("a", GetAll))

    on_node(program)


def test_a_region_is_stopped_and_spawned_again(on_node: Runner) -> None:
    """L9: its name is free as soon as it has stopped; refs to entities find the new one, for they name type and id."""

    async def program(node: ClusteredActorSystem, carts: Carts) -> None:
        carts.tell(ShardEnvelope("a", Put(1)))
        entity = node.resolve_entity("cart", "a")
        with pytest.raises(NameInUseError):
            open_shop(node)
        assert await node.ask(entity, wants(GetAll)) == (1,)
        await node.stop(carts)
        assert node.lookup("/cart") is None
        assert node.statistics().actors == 0
        entity.tell(Put(2))
        carts.tell(ShardEnvelope("a", Put(2)))
        assert node.statistics().dead_letters == 2
        again = node.spawn(Behaviors.sharded(cart, num_shards=20), "cart")
        again.tell(ShardEnvelope("a", Put(3)))
        assert await node.ask(again, to("a", GetAll)) == (3,)
        assert await node.ask(entity, wants(GetAll)) == (3,)
        carts.tell(ShardEnvelope("a", Put(4)))
        assert await node.ask(again, to("a", GetAll)) == (3,)
        assert_adds_up(node.statistics())

    on_node(program)


def test_clients_hear_of_a_region_that_is_spawned_again() -> None:
    """K1: with another number of shards, too; a client's refs to entities follow."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node, make_client(sim) as client:
            carts = open_shop(node)
            await trio.sleep(1)
            carts_of(client).tell(ShardEnvelope("a", Put(1)))
            await node.stop(carts)
            with pytest.raises(ActorStoppedError):
                await client.ask(carts_of(client), to("a", GetAll))
            node.spawn(Behaviors.sharded(cart, num_shards=20), "cart")
            await trio.sleep(1)
            again: Carts = client.entity_ref("cart", num_shards=20)
            assert await client.ask(again, to("a", GetAll)) == ()

    simulate(scenario, 1)


def test_clients_hear_that_a_region_has_stopped() -> None:
    """K1: the state that clients route by follows the end of a type as well as its start."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node, make_client(sim) as client:
            carts = open_shop(node)
            await trio.sleep(1)
            assert client.num_shards("cart") > 0
            await node.stop(carts)
            await trio.sleep(1)
            with pytest.raises(UnknownActorError):
                client.num_shards("cart")

    simulate(scenario, 1)


# --- What an entity is ------------------------------------------------------------


@dataclass(frozen=True)
class Adopt:
    """Makes the entity spawn a child, and tell how that is called."""

    name: str
    reply_to: ActorRef[str]


@dataclass(frozen=True)
class Me:
    """Wants the entity's ref."""

    reply_to: ActorRef[ActorRef[Any]]


@dataclass(frozen=True)
class AskYourself:
    """Makes the entity ask itself, and tell what came of it."""

    reply_to: ActorRef[str]


@dataclass(frozen=True)
class Again:
    """Makes the entity tell itself so, a few times."""

    times: int
    reply_to: ActorRef[str]


def parent(entity_id: str) -> Behavior[Adopt | Me | AskYourself | Again | Leave]:
    async def receive(ctx: Ctx, message: Adopt | Me | AskYourself | Again | Leave) -> Behavior[Any]:
        match message:
            case Adopt(name, reply_to):
                child = ctx.spawn(Behaviors.receive(lambda ctx, answer: answer.tell(ctx.self.path)), name)
                child.tell(reply_to)
            case Me(reply_to):
                reply_to.tell(ctx.self)
            case AskYourself(reply_to):
                with pytest.raises(SelfAskError):
                    await ctx.ask(ctx.self, wants(Me))
                reply_to.tell("refused")
            case Again(times, reply_to):
                if times:
                    ctx.self.tell(Again(times - 1, reply_to))
                else:
                    reply_to.tell("done")
            case Leave():
                return Behaviors.stopped()
        return Behaviors.same()

    return Behaviors.receive(receive)


def test_an_entity_knows_itself_by_type_and_id(on_node: Runner) -> None:
    """W8: ``ctx.self`` is one value wherever it comes from, and survives the end of the actor behind it."""

    async def program(node: ClusteredActorSystem, carts: Carts) -> None:
        parents: ActorRef[ShardEnvelope[Any]] = node.spawn(Behaviors.sharded(parent), "parent")
        one = await node.ask(parents, to("a/1", Me))
        same = await node.ask(one, wants(Me))
        other = await node.ask(parents, to("b", Me))
        assert one == same == node.resolve_entity("parent", "a/1") != other
        assert len({one, same, other}) == 2
        assert one.path == "/parent/a%2F1"
        one.tell(Leave())
        await trio.sleep(1)
        assert node.lookup(one.path) is None
        assert await node.ask(one, wants(Me)) == one
        assert await node.ask(one, wants(AskYourself)) == "refused"
        assert await node.ask(one, wants(Again, 3)) == "done"

    on_node(program)


def test_an_entity_has_children(on_node: Runner) -> None:
    """L10: they stop before it, and their names are free when it begins anew."""

    async def program(node: ClusteredActorSystem, carts: Carts) -> None:
        parents: ActorRef[ShardEnvelope[Any]] = node.spawn(Behaviors.sharded(parent), "parent")
        for _ in range(3):
            paths = [await node.ask(parents, to("a", Adopt, name)) for name in ("x", "y")]
            assert paths == ["/parent/a/x", "/parent/a/y"]
            assert node.lookup("/parent/a/x") is not None
            parents.tell(ShardEnvelope("a", Leave()))
            await trio.sleep(1)
            assert node.lookup("/parent/a") is None
        assert node.statistics().actors == 2

    on_node(program)


def test_a_context_that_outlives_its_entity() -> None:
    """``ctx.self`` is still the entity when somebody kept the context."""
    kept = list[Ctx]()

    def keeper(entity_id: str) -> Behavior[Msg]:
        def receive(ctx: Ctx, message: Msg) -> Behavior[Msg]:
            kept.append(ctx)
            return Behaviors.stopped()

        return Behaviors.receive(receive)

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node:
            node.spawn(Behaviors.sharded(keeper), "keeper").tell(ShardEnvelope("ü", Put(1)))
            await trio.sleep(1)
            assert kept[0].self == node.resolve_entity("keeper", "ü")

    simulate(scenario, 1)


def test_asks_time_out_and_are_skipped_as_ever(on_node: Runner) -> None:
    """L5: exactly, checked or not; late replies are dead letters."""

    async def program(node: ClusteredActorSystem, carts: Carts) -> None:
        before = trio.current_time()
        with pytest.raises(AskTimeoutError):
            await node.ask(carts, to("a", Late, 1, 2.0), timeout=1.5)
        assert trio.current_time() == before + 1.5
        with trio.move_on_after(0.25):
            await node.ask(carts, to("a", Fail, "handled"))
        await trio.sleep(5)
        assert await node.ask(carts, to("a", Late, 5, 0.5)) == 5
        assert node.statistics().dead_letters == 2
        assert_adds_up(node.statistics())

    on_node(program)
