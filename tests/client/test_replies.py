"""Whose reply is whose: many clients, reply refs that travel, and what clients may not reach."""

import zlib
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import trio

from casty_trio import (
    ActorRef,
    AskTimeoutError,
    Behavior,
    Behaviors,
    ClusterClient,
    ClusteredActorSystem,
    LinkSettings,
    ShardEnvelope,
    UnknownActorError,
)
from casty_trio.client.refs import ClientRef
from casty_trio.model.address import ActorAddress
from casty_trio.testing import Simulation, simulate
from tests.sim.shop import NAME, SHARDS, Ctx, Late, Put, carts_of, make_client, make_node, open_shop, to, wants

ASKS = 20


async def ask_all(client: ClusterClient, number: int) -> int:
    """Twenty asks at once to twenty entities that all clients share; a checksum of the replies, in their order."""
    carts = carts_of(client)
    replies = dict[int, int]()

    async def ask(index: int) -> None:
        replies[index] = await client.ask(carts, to(f"{number}-{index}", Late, 1_000 * number + index, 0.1), timeout=60)

    async with trio.open_nursery() as nursery:
        for index in range(ASKS):
            nursery.start_soon(ask, index)
    return zlib.crc32(repr(sorted(replies.items())).encode())


def expected(number: int) -> int:
    """What `ask_all` gives when nothing is mixed up."""
    return zlib.crc32(repr([(index, 1_000 * number + index) for index in range(ASKS)]).encode())


async def crowd(clients: list[Callable[[], ClusterClient]]) -> list[int]:
    """All clients at once; their checksums."""
    sums = [0] * len(clients)
    entered = 0
    everybody = trio.Event()

    async def live(number: int) -> None:
        nonlocal entered
        async with clients[number]() as client:
            entered += 1
            if entered == len(clients):
                everybody.set()
            await everybody.wait()
            sums[number] = await ask_all(client, number)
            statistics = client.statistics()
            assert (statistics.asks, statistics.dropped, statistics.connections) == (0, 0, 1)

    async with trio.open_nursery() as nursery:
        for number in range(len(clients)):
            nursery.start_soon(live, number)
    return sums


@pytest.mark.parametrize("count", [2, 200])
def test_every_client_gets_its_own_replies(count: int) -> None:
    """K2: default clients on one node, replies 100 ms late, twenty asks each at once."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node:
            open_shop(node)
            sums = await crowd([partial(make_client, sim, number) for number in range(count)])
            assert sums == [expected(number) for number in range(count)]
            await trio.sleep(1)
            assert not node.connections
            assert node.statistics().dead_letters == 0

    simulate(scenario, count)


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 200])
async def test_every_client_gets_its_own_replies_over_tcp(count: int) -> None:
    """K2: the same over real sockets; all clients have the default host and port: only the stream tells them apart."""
    async with ClusteredActorSystem(NAME, "127.0.0.1", 0, "node-1") as node:
        open_shop(node)
        contact = ("127.0.0.1", node.address.port or 0)
        settings = LinkSettings(handshake_timeout=60)  # two shared cores may be busy
        clients = [lambda: ClusterClient([contact], NAME, link=settings, connect_timeout=60) for _ in range(count)]
        sums = await crowd(clients)
        assert sums == [expected(number) for number in range(count)]
        assert node.statistics().dead_letters == 0


# --- Reply refs that travel ------------------------------------------------------------


@dataclass(frozen=True)
class Post:
    """Leaves one's reply ref for somebody else."""

    reply_to: ActorRef[str]


@dataclass(frozen=True)
class Collect:
    """Wants the reply refs that were left."""

    reply_to: ActorRef[tuple[ActorRef[str], ...]]


@dataclass(frozen=True)
class Answer:
    """Answers all who left their reply ref."""

    text: str


def letterbox(entity_id: str) -> Behavior[Post | Collect | Answer]:
    """Keeps the reply refs of its askers."""

    def keeping(refs: tuple[ActorRef[str], ...]) -> Behavior[Post | Collect | Answer]:
        def receive(ctx: Ctx, message: Post | Collect | Answer) -> Behavior[Post | Collect | Answer]:
            match message:
                case Post(reply_to):
                    return keeping((*refs, reply_to))
                case Collect(reply_to):
                    reply_to.tell(refs)
                case Answer(text):
                    for ref in refs:
                        ref.tell(text)
            return Behaviors.same()

        return Behaviors.receive(receive)

    return keeping(())


def with_boxes(program: Callable[..., Awaitable[None]], clients: int = 2) -> None:
    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node, AsyncExitStack() as stack:
            node.spawn(Behaviors.sharded(letterbox, num_shards=SHARDS), "box")
            open_shop(node)
            guests = [await stack.enter_async_context(make_client(sim, number)) for number in range(clients)]
            await program(node, *[(client, client.entity_ref("box", num_shards=SHARDS)) for client in guests])

    simulate(scenario, 1)


Guest = tuple[ClusterClient, ActorRef[Any]]


def envelope(make: Callable[[Any], Any]) -> Callable[[ActorRef[Any]], ShardEnvelope[Any]]:
    return lambda reply_to: ShardEnvelope("a", make(reply_to))


def test_a_client_replies_to_another() -> None:
    """K2 and K7: the reply ref of one is handed to the other by an entity; its reply comes back through the node."""

    async def program(node: ClusteredActorSystem, one: Guest, other: Guest) -> None:
        replies = list[str]()

        async def ask() -> None:
            replies.append(await one[0].ask(one[1], envelope(Post)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.sleep(1)
            [ref] = await other[0].ask(other[1], envelope(Collect))
            assert isinstance(ref, ClientRef)
            ref.tell("from the other")
        assert replies == ["from the other"]
        assert not any(connection.slots for connection in node.connections)
        ref.tell("again")
        await trio.sleep(1)
        assert one[0].statistics().dropped + node.statistics().dead_letters == 1

    with_boxes(program)


def test_a_client_gets_its_own_reply_ref_back() -> None:
    """W8: it is the very ask, and can be answered without the cluster."""

    async def program(node: ClusteredActorSystem, one: Guest) -> None:
        client, box = one
        replies = list[str]()

        async def ask() -> None:
            replies.append(await client.ask(box, envelope(Post)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.sleep(1)
            [ref] = await client.ask(box, envelope(Collect))
            ref.tell("from myself")
        assert replies == ["from myself"]

    with_boxes(program, clients=1)


def test_the_reply_ref_of_a_client_that_has_left() -> None:
    """L4: what it is told is a dead letter, on the node; an ask ends at once."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node, make_client(sim, 2) as other:
            node.spawn(Behaviors.sharded(letterbox, num_shards=SHARDS), "box")
            async with make_client(sim, 1) as one, trio.open_nursery() as nursery:
                nursery.start_soon(one.ask, one.entity_ref("box", num_shards=SHARDS), envelope(Post))
                await trio.sleep(1)
                box = other.entity_ref("box", num_shards=SHARDS)
                [ref] = await other.ask(box, envelope(Collect))
                nursery.cancel_scope.cancel()
            await trio.sleep(1)
            ref.tell("anybody?")
            box.tell(ShardEnvelope("a", Answer("anybody?")))
            with pytest.raises(UnknownActorError, match="not exposed"):
                await other.ask(ref, lambda reply_to: "anybody?")
            await trio.sleep(1)
            assert node.statistics().dead_letters == 3

    simulate(scenario, 1)


def test_a_ref_can_be_asked_and_answers_when_it_likes() -> None:
    """A reply ref takes any message; an ask of it that is not answered ends at its timeout."""

    async def program(node: ClusteredActorSystem, one: Guest, other: Guest) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one[0].ask, one[1], envelope(Post))
            await trio.sleep(1)
            [ref] = await other[0].ask(other[1], envelope(Collect))
            with pytest.raises(AskTimeoutError):
                await other[0].ask(ref, lambda reply_to: "hello", timeout=1.0)

    with_boxes(program)


# --- What a client may not reach ------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/private",
        "/box",
        "/cart/a",
        "/",
        "",
        "/$dead-letters",
        "/$asks/1",
        "/$clients/1/1",
        "/$clients/x/1",
        f"/$clients/{'9' * 5_000}/1",
        f"/$clients/1/{'9' * 5_000}",
        "/$clients/\u0661/\u0661",
        "/$clients/99999999999999999999/1",
        "/nobody",
    ],
)
def test_paths_are_not_exposed(path: str) -> None:
    """K7: refused by name, whatever lives there; the node and the connection live."""
    told = list[object]()

    async def program(node: ClusteredActorSystem, one: Guest) -> None:
        client, box = one
        private: Behavior[Any] = Behaviors.receive(lambda ctx, message: told.append(message))
        node.spawn(private, "private")
        carts_of(client).tell(ShardEnvelope("a", Put(1)))
        ref = ClientRef(client, ActorAddress(NAME, path, "node-1", 25_520, node.uid, 0))
        ref.tell("psst")
        with pytest.raises(UnknownActorError, match="is not exposed to clients"):
            await client.ask(ref, lambda reply_to: "psst")
        assert told == []
        assert await client.ask(box, envelope(Collect)) == ()
        assert client.statistics().connections == 1
        assert node.statistics().dead_letters == 2

    with_boxes(program, clients=1)


def test_a_forged_number_of_another_client_harms_nobody() -> None:
    """K2: a reply to an ask that does not exist is dropped by the client it comes to."""

    async def program(node: ClusteredActorSystem, one: Guest, other: Guest) -> None:
        uid = one[0].identity.uid
        forged = ClientRef(other[0], ActorAddress(NAME, f"/$clients/{uid}/12345", "node-1", 25_520, node.uid, 12_345))
        forged.tell("surprise")
        await trio.sleep(1)
        assert one[0].statistics().dropped == 1
        assert await one[0].ask(one[1], envelope(Collect)) == ()

    with_boxes(program)


def test_entity_refs_of_a_client() -> None:
    """An entity tells its ref; it can be told and asked, and sent on, and equals the one on the node."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node:
            node.spawn(Behaviors.sharded(introducer, num_shards=SHARDS), "who")
            async with make_client(sim) as client:
                who: ActorRef[ShardEnvelope[Who]] = client.entity_ref("who", num_shards=SHARDS)
                ref = await client.ask(who, to("a b/ü", Who, None))
                assert ref == node.resolve_entity("who", "a b/ü")
                assert ref.address.name == "a b/ü"
                again = await client.ask(ref, wants(Who, None))
                assert again == ref
                assert len({again, ref}) == 1
                through = await client.ask(who, to("other", Who, ref))
                assert through == ref
                assert node.statistics().actors == 3

    simulate(scenario, 1)


@dataclass(frozen=True)
class Who:
    """Wants the entity's ref, or that of the one who is named."""

    named: ActorRef[Any] | None
    reply_to: ActorRef[ActorRef[Any]]


def introducer(entity_id: str) -> Behavior[Who]:
    """Tells its own ref, or asks on."""

    def receive(ctx: Ctx, message: Who) -> None:
        if message.named is None:
            message.reply_to.tell(ctx.self)
        else:
            message.named.tell(Who(None, message.reply_to))

    return Behaviors.receive(receive)
