"""A client and its cluster whose codecs disagree: what ends the ask, and by which name (W1, W4)."""

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
import trio

from casty_trio import (
    ActorFailedError,
    ActorRef,
    Behavior,
    Behaviors,
    ClusterClient,
    ClusteredActorSystem,
    EncodeError,
    MessageTooLargeError,
    ReplyDecodeError,
    ShardEnvelope,
    UnsupportedTypeError,
)
from casty_trio.client.asks import ClientAsk
from casty_trio.link.parking import parking_class
from casty_trio.testing import Simulation, simulate
from tests.sim.shop import Ctx, Fill, GetAll, Host, carts_of, make_client, make_node, open_shop, small_link, to


class Opaque:
    """Nothing that can be sent."""

    def __init__(self) -> None:
        self.me = self


@dataclass(frozen=True)
class Wrapped:
    """A reply."""

    inside: object


@dataclass(frozen=True)
class Want:
    """Wants some reply."""

    what: str
    reply_to: ActorRef[object]


def oracle(entity_id: str) -> Behavior[Want]:
    """Replies with what is hard to reply with."""

    def receive(ctx: Ctx, want: Want) -> None:
        match want.what:
            case "opaque":
                want.reply_to.tell(Opaque())
            case "caught":
                with pytest.raises(UnsupportedTypeError):
                    want.reply_to.tell(Opaque())
                want.reply_to.tell("after all")
            case "large":
                want.reply_to.tell(b"x" * 20_000)
            case "late stranger":
                want.reply_to.tell(Unknown(1))
            case _:
                want.reply_to.tell(want.what)

    return Behaviors.receive(receive)


class Unknown(msgspec.Struct, frozen=True):
    """A reply that the client cannot know: it is named in no annotation."""

    number: int


def with_oracle(program: Any, **link: int) -> None:
    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node:
            node.spawn(Behaviors.sharded(oracle, num_shards=10), "oracle")
            async with make_client(sim, link=small_link(**link)) as client:
                await program(sim, node, client, client.entity_ref("oracle", num_shards=10))

    simulate(scenario, 1)


def want(what: str) -> Any:
    return lambda reply_to: ShardEnvelope("a", Want(what, reply_to))


def test_a_reply_that_cannot_be_decoded_here() -> None:
    """L5: at once, by name; the connection lives."""

    async def program(sim: Simulation, node: ClusteredActorSystem, client: ClusterClient, oracle: ActorRef[Any]) -> None:
        with pytest.raises(ReplyDecodeError, match="Unknown"):
            await client.ask(oracle, want("late stranger"))
        client.codec.register(Unknown)
        assert await client.ask(oracle, want("late stranger")) == Unknown(1)
        assert client.statistics().connections == 1

    with_oracle(program)


@pytest.mark.parametrize("what", ["opaque", "large"])
def test_a_reply_that_cannot_be_encoded(what: str) -> None:
    """W4 and L5: it raises where it was told, so the entity fails on the message, and the asker hears so at once."""

    async def program(sim: Simulation, node: ClusteredActorSystem, client: ClusterClient, oracle: ActorRef[Any]) -> None:
        before = trio.current_time()
        with pytest.raises(ActorFailedError, match=r"UnsupportedTypeError|EncodeError|MessageTooLargeError"):
            await client.ask(oracle, want(what))
        assert trio.current_time() - before < 0.1
        assert await client.ask(oracle, want("fine")) == "fine"

    with_oracle(program)


def test_an_entity_may_catch_what_it_cannot_reply() -> None:
    """W4: nothing was sent, so the ask still waits for its reply."""

    async def program(sim: Simulation, node: ClusteredActorSystem, client: ClusterClient, oracle: ActorRef[Any]) -> None:
        assert await client.ask(oracle, want("caught")) == "after all"

    with_oracle(program)


@pytest.mark.parametrize("connected", [True, False])
@pytest.mark.parametrize(
    ("message", "error"),
    [(Fill(bytes(20_000)), MessageTooLargeError), (Opaque(), UnsupportedTypeError), (Wrapped(Opaque()), EncodeError)],
)
def test_what_cannot_be_encoded_raises_at_the_sender(message: Any, error: type[Exception], connected: bool) -> None:
    """W4: in the call, whether there is a connection or not; nothing of it is sent or kept, and the connection lives."""

    async def scenario(sim: Simulation) -> None:
        async with trio.open_nursery() as nursery:
            host = Host(sim, nursery)
            await host.start()
            async with make_client(sim, link=small_link()) as client:
                carts: Any = carts_of(client)
                if not connected:
                    await host.stop()
                    await trio.sleep(1)
                    assert client.statistics().link is None
                with pytest.raises(error):
                    carts.tell(ShardEnvelope("a", message))
                with pytest.raises(error):
                    await carts.send(ShardEnvelope("a", message))
                with pytest.raises(error):
                    await client.ask(carts, lambda reply_to: ShardEnvelope("a", message))
                statistics = client.statistics()
                assert (statistics.asks, statistics.dropped) == (0, 0)
                if not connected:
                    await host.start()
                assert await client.ask(carts, to("a", GetAll), timeout=20) == ()
                assert client.statistics().connections == 1 + (not connected)
            nursery.cancel_scope.cancel()

    simulate(scenario, 1)


def test_refs_that_mean_nothing_to_the_cluster() -> None:
    """W4: a reply ref of another client is refused where it was to be sent."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node:
            open_shop(node)
            async with make_client(sim, 1) as one, make_client(sim, 2) as other:
                with pytest.raises(EncodeError, match="cannot be sent from this client"):
                    await other.ask(carts_of(other), lambda reply_to: ShardEnvelope("a", GetAll(node.dead_letters)))
                with pytest.raises(EncodeError, match="cannot be sent from this client"):
                    await one.ask(carts_of(one), lambda mine: ShardEnvelope("a", GetAll(foreign(other))))
                assert (one.statistics().asks, other.statistics().asks) == (0, 0)

    simulate(scenario, 1)


def foreign(client: ClusterClient) -> ActorRef[Any]:
    """A reply ref of an ask of a client."""
    return ClientAsk(client, 1, carts_of(client), 1.0, parking_class()())
