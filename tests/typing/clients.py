"""What a client's `entity_ref` takes: by class, by the variable's annotation, or anything."""

from typing import Any, assert_type

from casty_trio import ActorRef, ClusterClient, ShardEnvelope
from tests.typing.messages import Add, Get, Message


def by_class(client: ClusterClient) -> None:
    adders = client.entity_ref("adder", num_shards=10, message_type=Add)
    assert_type(adders, ActorRef[ShardEnvelope[Add]])
    adders.tell(ShardEnvelope("a", Add(1)))
    client.tell(adders, ShardEnvelope("a", Add(1)))

    adders.tell(ShardEnvelope("a", "text"))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    adders.tell(Add(1))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def by_annotation(client: ClusterClient, replies: ActorRef[int]) -> None:
    counters: ActorRef[ShardEnvelope[Message]] = client.entity_ref("counter", num_shards=10)
    registered: ActorRef[ShardEnvelope[Message]] = client.entity_ref("counter", num_shards=10, message_type=Message)
    counters.tell(ShardEnvelope("a", Add(1)))
    registered.tell(ShardEnvelope("a", Get(replies)))

    counters.tell(ShardEnvelope("a", "text"))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    registered.tell(ShardEnvelope("a", 1))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    counters.tell(Add(1))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    client.entity_ref("counter")  # type: ignore[call-overload] # pyright: ignore[reportCallIssue]


async def untyped(client: ClusterClient) -> None:
    """Without either, the envelope is checked and what is in it is not."""
    counters = client.entity_ref("counter", num_shards=10)
    assert_type(counters, ActorRef[ShardEnvelope[Any]])
    counters.tell(ShardEnvelope("a", "anything"))
    total: int = await client.ask(counters, lambda r: ShardEnvelope("a", Get(reply_to=r)))
    for user in ("a", "b"):
        points: int = await client.ask(counters, lambda r, uid=user: ShardEnvelope(uid, Get(reply_to=r)))
        assert_type([total, points], list[int])

    counters.tell("anything")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    wrong: str = await client.ask(counters, lambda r: ShardEnvelope("a", Get(reply_to=r)))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    print(wrong)


async def constructed() -> None:
    async with ClusterClient(contact_points=[("127.0.0.1", 25520)], system_name="shop") as client:
        assert_type(client, ClusterClient)

    ClusterClient(contact_points=["127.0.0.1:25520"], system_name="shop")  # type: ignore[list-item] # pyright: ignore[reportArgumentType]
