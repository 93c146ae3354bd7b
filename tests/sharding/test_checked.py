"""Messages that go through the codec on their way within a node: ``check_serialization=True`` (W4)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import trio

from casty_trio import (
    ActorFailedError,
    ActorRef,
    Behavior,
    Behaviors,
    ClusteredActorSystem,
    EncodeError,
    MessageTooLargeError,
    ShardEnvelope,
    UnsupportedTypeError,
)
from casty_trio.testing import Simulation, simulate
from tests.sharding.nodes import Program
from tests.sim.shop import Carts, Ctx, Fill, GetAll, assert_adds_up, make_node, open_shop, small_link, to


class Opaque:
    """Nothing that can be sent."""


@dataclass(frozen=True)
class Holder:
    """Holds anything."""

    inside: object


def checked(program: Program) -> None:
    async def scenario(sim: Simulation) -> None:
        link = small_link()
        async with make_node(sim, check_serialization=True, link=link, messages=[Holder, Whatever]) as node:
            await program(node, open_shop(node))

    simulate(scenario, 1)


@dataclass(frozen=True)
class Whatever:
    """Wants what it holds back; nothing says what that may be."""

    inside: list[object]
    reply_to: ActorRef[object]


def mirror(entity_id: str) -> Behavior[Whatever]:
    def receive(ctx: Ctx, message: Whatever) -> None:
        match message.inside:
            case ["opaque"]:
                message.reply_to.tell(Opaque())
            case ["large"]:
                message.reply_to.tell(bytes(20_000))
            case _:
                message.reply_to.tell(message.inside)

    return Behaviors.receive(receive)


@pytest.mark.parametrize("through", ["region", "entity"])
def test_what_cannot_be_sent_fails_when_it_is_checked(through: str) -> None:
    """W4: at the sender, in the call, through either kind of ref; too large is as bad as unencodable."""

    async def program(node: ClusteredActorSystem, carts: Any) -> None:
        entity: Any = node.resolve_entity("cart", "a")
        for message, error in (
            (Opaque(), UnsupportedTypeError),
            (Holder(Opaque()), EncodeError),
            (Fill(bytes(20_000)), MessageTooLargeError),
        ):
            what = message if through == "entity" else ShardEnvelope("a", message)
            ref = entity if through == "entity" else carts
            with pytest.raises(error):
                ref.tell(what)
            with pytest.raises(error):
                await ref.send(what)
            with pytest.raises(error):
                await node.ask(ref, lambda reply_to, what=what: what)
        assert node.statistics().sent == 0
        assert node.statistics().asks == 0
        assert await node.ask(carts, to("a", GetAll)) == ()

    checked(program)


def test_messages_and_replies_are_copies_when_they_are_checked() -> None:
    """What an actor gets is what it would get from another node."""

    async def program(node: ClusteredActorSystem, carts: Carts) -> None:
        mirrors: ActorRef[ShardEnvelope[Whatever]] = node.spawn(Behaviors.sharded(mirror), "mirror")
        mine: list[object] = [[1], "a"]
        back = await node.ask(mirrors, to("a", Whatever, mine))
        assert back == mine
        assert back is not mine
        assert isinstance(back, list)
        assert back[0] is not mine[0]

    checked(program)


@dataclass(frozen=True)
class Grow:
    """Has the entity add to the list that it gets."""

    inside: list[int]
    reply_to: ActorRef[int]


def grower(entity_id: str) -> Behavior[Grow]:
    def receive(ctx: Ctx, message: Grow) -> None:
        message.inside.append(0)
        message.reply_to.tell(len(message.inside))

    return Behaviors.receive(receive)


@pytest.mark.parametrize(("settings", "mutated"), [({}, [1]), ({"check_serialization": False}, [1, 0])])
def test_messages_are_checked_in_simulations(settings: dict[str, Any], mutated: list[int]) -> None:
    """W4: unless they are told not to, so that a list an entity changes is its own."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim, **settings) as node:
            growers: ActorRef[ShardEnvelope[Grow]] = node.spawn(Behaviors.sharded(grower), "grower")
            mine = [1]
            assert await node.ask(growers, to("a", Grow, mine)) == 2
            assert mine == mutated

    simulate(scenario, 1)


def test_messages_are_not_checked_in_the_real_world() -> None:
    """W4: it costs what the wire costs; who wants it says so."""
    assert not ClusteredActorSystem("shop", "127.0.0.1", 0, "node-1").check_serialization
    assert ClusteredActorSystem("shop", "127.0.0.1", 0, "node-1", check_serialization=True).check_serialization


@dataclass(frozen=True)
class TellIt:
    """Has the entity tell, send or ask an actor something."""

    how: str
    actor: ActorRef[Any]
    reply_to: ActorRef[object]


@dataclass(frozen=True)
class Carry:
    """Carries a list, and perhaps a reply ref."""

    inside: list[int]
    reply_to: ActorRef[Any] | None = None


LISTS = dict[str, list[int]]()


def teller(entity_id: str) -> Behavior[TellIt]:
    mine = LISTS[entity_id] = [1]

    async def receive(ctx: Ctx, message: TellIt) -> None:
        actor = message.actor
        match message.how:
            case "tell opaque":
                actor.tell(Opaque())
            case "send opaque":
                await actor.send(Opaque())
            case "ask opaque":
                await ctx.ask(actor, lambda reply_to: Opaque())
            case "tell large":
                actor.tell(Carry([0] * 20_000))
            case "tell":
                actor.tell(Carry(mine))
            case "send":
                await actor.send(Carry(mine))
            case "ask":
                await ctx.ask(actor, lambda reply_to: Carry(mine, reply_to))
            case "stop":
                await ctx.system.stop(actor)
        message.reply_to.tell(message.actor)

    return Behaviors.receive(receive)


def told(program: Callable[[ClusteredActorSystem, ActorRef[Any], ActorRef[Any], list[object]], Awaitable[None]]) -> None:
    """Runs a program with tellers, and an actor, no entity, that keeps what it is told and changes it."""

    async def scenario(sim: Simulation) -> None:
        kept = list[object]()

        def receive(ctx: Ctx, message: Any) -> None:
            kept.append(message)
            if isinstance(message, Carry):
                message.inside.append(len(kept))
                if message.reply_to is not None:
                    message.reply_to.tell(message.inside)

        async with make_node(sim, link=small_link(), messages=[Carry]) as node:
            tellers: ActorRef[Any] = node.spawn(Behaviors.sharded(teller), "teller")
            await program(node, tellers, node.spawn(Behaviors.receive(receive), "keeper"), kept)

    simulate(scenario, 1)


@pytest.mark.parametrize("how", ["tell opaque", "send opaque", "ask opaque", "tell large"])
def test_what_an_entity_tells_other_actors_is_checked_too(how: str) -> None:
    """W4: at the entity, which fails of it; the actor, whose ref was in a message, gets nothing."""

    async def program(node: ClusteredActorSystem, tellers: ActorRef[Any], keeper: ActorRef[Any], kept: list[object]) -> None:
        with pytest.raises(ActorFailedError) as caught:
            await node.ask(tellers, to("a", TellIt, how, keeper))
        assert isinstance(caught.value.__cause__, MessageTooLargeError if "large" in how else UnsupportedTypeError)
        assert kept == []
        assert_adds_up(node.statistics())

    told(program)


@pytest.mark.parametrize("how", ["tell", "send", "ask"])
def test_other_actors_get_copies_from_entities(how: str) -> None:
    """W4: the list that the actor changes is its own; and the ref comes back equal."""

    async def program(node: ClusteredActorSystem, tellers: ActorRef[Any], keeper: ActorRef[Any], kept: list[object]) -> None:
        back = await node.ask(tellers, to("a", TellIt, how, keeper))
        assert back == keeper
        assert hash(back) == hash(keeper)
        await trio.sleep(1)
        assert [each.inside for each in kept if isinstance(each, Carry)] == [[1, 1]]
        assert LISTS["a"] == [1]
        assert_adds_up(node.statistics())

    told(program)


def test_an_actor_can_be_stopped_by_a_ref_that_was_checked() -> None:
    """W4: such a ref is as good as the actor's own."""

    async def program(node: ClusteredActorSystem, tellers: ActorRef[Any], keeper: ActorRef[Any], kept: list[object]) -> None:
        back: ActorRef[Any] = await node.ask(tellers, to("a", TellIt, "stop", keeper))
        assert node.lookup("/keeper") is None
        await node.wait_stopped(back)
        back.tell(Carry([]))
        assert node.statistics().dead_letters == 1
        assert_adds_up(node.statistics())

    told(program)


@pytest.mark.parametrize("what", ["opaque", "large"])
def test_a_reply_that_cannot_be_sent_fails_when_it_is_checked(what: str) -> None:
    """W4 and L5: where it is told; so the entity fails, and the asker hears of it at once."""

    async def program(node: ClusteredActorSystem, carts: Carts) -> None:
        mirrors: ActorRef[ShardEnvelope[Whatever]] = node.spawn(Behaviors.sharded(mirror), "mirror")
        with pytest.raises(ActorFailedError, match=r"Unsupported|TooLarge"):
            await node.ask(mirrors, to("a", Whatever, [what]))

    checked(program)
