"""Refs: what `spawn` gives, what may be told to it, and which ref stands for which."""

from typing import Any, assert_type

from casty_trio import ActorContext, ActorRef, ActorSystem, Behaviors, ClusteredActorSystem, Mailbox, ShardEnvelope
from tests.typing.messages import Add, Get, Message, counter, entity


def spawned(system: ActorSystem, ctx: ActorContext[str]) -> None:
    assert_type(system.spawn(counter()), ActorRef[Message])
    assert_type(system.spawn(counter(), "counter", mailbox=Mailbox(10, overflow="reject")), ActorRef[Message])
    assert_type(ctx.spawn(counter(), "child"), ActorRef[Message])
    assert_type(ctx.system.spawn(counter()), ActorRef[Message])
    assert_type(ctx.self, ActorRef[str])
    assert_type(system.lookup("/counter"), ActorRef[Any] | None)
    assert_type(system.dead_letters, ActorRef[Any])

    system.spawn(counter)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    system.spawn(counter(), mailbox=10)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    Mailbox(10, overflow="drop_all")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def told(ref: ActorRef[Message], replies: ActorRef[int]) -> None:
    ref.tell(Add(1))
    ref.tell(Get(replies))
    await ref.send(Add(1))

    ref.tell("text")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    ref.tell(Add)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    ref.tell(Add("1"))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await ref.send(None)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    ref.tell(Get(ref))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    replies.tell("one")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    ref.tell(ShardEnvelope("a", Add(1)))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def sharded(system: ClusteredActorSystem) -> None:
    region = system.spawn(Behaviors.sharded(entity, num_shards=10), "counter")
    assert_type(region, ActorRef[ShardEnvelope[Message]])
    region.tell(ShardEnvelope("a", Add(1)))

    region.tell(Add(1))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    region.tell(ShardEnvelope("a", "text"))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    region.tell(ShardEnvelope(1, Add(1)))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    Behaviors.sharded(counter())  # type: ignore[call-overload] # pyright: ignore[reportArgumentType]
    Behaviors.sharded(counter)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def variance(
    ref: ActorRef[Message], adds: ActorRef[Add], region: ActorRef[ShardEnvelope[Message]], envelope: ShardEnvelope[Add]
) -> None:
    """Who takes every message takes an Add; an envelope with an Add is one with a message."""
    narrow_ref: ActorRef[Add] = ref
    narrow_region: ActorRef[ShardEnvelope[Add]] = region
    wide_envelope: ShardEnvelope[Message] = envelope
    region.tell(envelope)
    print(narrow_ref, narrow_region, wide_envelope)

    wide_ref: ActorRef[Message] = adds  # type: ignore[assignment] # pyright: ignore[reportAssignmentType]
    print(wide_ref)
