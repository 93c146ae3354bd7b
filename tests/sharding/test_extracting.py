"""Messages of the program's own in the place of envelopes, and what an entity knows of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import trio

from casty_trio import ActorRef, Behavior, Behaviors, ClusteredActorSystem, EntityInfo, ShardEnvelope, UsageError
from casty_trio.protocol.shards import shard_of
from casty_trio.testing import Simulation, simulate
from tests.sharding.lives import Ctx, Diary, Ident, Msg
from tests.sharding.nodes import Runner
from tests.sim.shop import Carts, make_client, make_node


@dataclass(frozen=True)
class Add:
    """Adds to the total of an account."""

    account: str
    amount: int


@dataclass(frozen=True)
class Total:
    """Wants it."""

    account: str
    reply_to: ActorRef[int]


Command = Add | Total


@dataclass(frozen=True)
class Letter:
    """Something with an address on it."""

    to: str
    content: Command


def account(entity_id: str) -> Behavior[Command]:
    def holding(total: int) -> Behavior[Command]:
        def receive(ctx: Ctx, message: Command) -> Behavior[Command]:
            assert message.account == entity_id
            if isinstance(message, Add):
                return holding(total + message.amount)
            message.reply_to.tell(total)
            return Behaviors.same()

        return Behaviors.receive(receive)

    return holding(0)


def account_of(message: Command) -> str:
    return message.account


def address_of(letter: Letter) -> str:
    return letter.to


def content_of(letter: Letter) -> Command:
    return letter.content


def test_messages_of_ones_own(on_node: Runner) -> None:
    """S7's neighbours: by tell, send and ask, with and without the codec; envelopes work as well."""

    async def program(node: ClusteredActorSystem, _: Carts) -> None:
        accounts = node.spawn(Behaviors.sharded(account, extract_entity_id=account_of), "account")
        accounts.tell(Add("ann", 1))
        await accounts.send(Add("bob", 2))
        accounts.tell(Add("ann", 3))
        any_: ActorRef[Any] = accounts
        any_.tell(ShardEnvelope("ann", Add("ann", 4)))
        ann: int = await node.ask(accounts, lambda r: Total("ann", r))
        bob: int = await node.ask(accounts, lambda r: Total("bob", r))
        assert (ann, bob) == (8, 2)

    on_node(program)


def test_messages_that_are_unpacked(on_node: Runner) -> None:
    """The entity gets what is inside."""

    async def program(node: ClusteredActorSystem, _: Carts) -> None:
        behavior = Behaviors.sharded(account, extract_entity_id=address_of, extract_message=content_of)
        accounts = node.spawn(behavior, "account")
        accounts.tell(Letter("ann", Add("ann", 5)))
        total: int = await node.ask(accounts, lambda r: Letter("ann", Total("ann", r)))
        assert total == 5

    on_node(program)


def test_clients_send_envelopes_to_such_a_type() -> None:
    """K7: the functions are the node's; on the wire nothing changes."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node, make_client(sim, messages=[Add, Total]) as client:
            accounts = node.spawn(Behaviors.sharded(account, num_shards=10, extract_entity_id=account_of), "account")
            await trio.sleep(1)
            ref: ActorRef[ShardEnvelope[Command]] = client.entity_ref("account", num_shards=10)
            ref.tell(ShardEnvelope("ann", Add("ann", 5)))
            total: int = await client.ask(ref, lambda r: ShardEnvelope("ann", Total("ann", r)))
            assert total == 5
            accounts.tell(Add("ann", 1))
            total = await client.ask(ref, lambda r: ShardEnvelope("ann", Total("ann", r)))
            assert total == 6

    simulate(scenario, 1)


@pytest.mark.parametrize(
    ("functions", "text"),
    [
        ({}, r"/account takes ShardEnvelope\(entity_id, message\), not Add"),
        ({"extract_entity_id": lambda message: message.name}, r"extract_entity_id failed on a Add: AttributeError.*'name'"),
        ({"extract_entity_id": lambda message: None}, r"extract_entity_id returned None for a Add"),
        ({"extract_entity_id": lambda message: ""}, r"extract_entity_id returned '' for a Add"),
        ({"extract_entity_id": lambda message: 17}, r"extract_entity_id returned 17 for a Add: an entity id is a text"),
        ({"extract_entity_id": lambda _: "\ud800"}, r"an entity id is a text"),
        (
            {"extract_entity_id": account_of, "extract_message": lambda message: message.content},
            r"extract_message failed on a Add: AttributeError",
        ),
    ],
)
def test_what_such_a_function_does_wrong(on_node: Runner, functions: dict[str, Any], text: str) -> None:
    """It is told to who sends, on that call; nothing is started or counted."""

    async def program(node: ClusteredActorSystem, _: Carts) -> None:
        accounts: ActorRef[Any] = node.spawn(Behaviors.sharded(account, **functions), "account")
        before = node.statistics()
        with pytest.raises(UsageError, match=text):
            accounts.tell(Add("ann", 1))
        with pytest.raises(UsageError, match=text):
            await node.ask(accounts, lambda _: Add("ann", 1))
        assert node.statistics() == before

    on_node(program)


def ident(entity_id: str) -> Callable[[ActorRef[EntityInfo]], ShardEnvelope[Msg]]:
    return lambda reply_to: ShardEnvelope(entity_id, Ident(reply_to))


def test_an_entity_knows_itself(on_node: Runner) -> None:
    """S1: type, id, shard, and the token of the shard's allocation."""

    async def program(node: ClusteredActorSystem, _: Carts) -> None:
        diary = Diary()
        region: ActorRef[ShardEnvelope[Msg]] = node.spawn(Behaviors.sharded(diary.behavior, num_shards=7), "diary")
        known = await node.ask(region, ident("a/b"))
        shard = shard_of("a/b", 7)
        assert (known.shard_type, known.entity_id, known.shard) == ("diary", "a/b", shard)
        assert known.fencing_token > (0, 0)
        other = next(each for each in map(str, range(100)) if shard_of(each, 7) == shard)
        assert (await node.ask(region, ident(other))).fencing_token == known.fencing_token

    on_node(program)
