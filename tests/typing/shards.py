"""Sharded types whose messages say by themselves for which entity they are."""

from typing import Any, assert_type

from casty_trio import (
    ActorRef,
    Behavior,
    Behaviors,
    ClusteredActorSystem,
    DaemonsRef,
    EntityInfo,
    Passivation,
    ShardEnvelope,
)
from casty_trio.model.kinds import Daemons, Sharded
from tests.typing.messages import Add, Message, counter


def entity(entity_id: str) -> Behavior[Message]:
    return counter()


def id_of(message: Message) -> str:
    return "a"


def text_id(message: str) -> str:
    return message


def message_of(message: str) -> Message:
    return Add(len(message))


def sharded(system: ClusteredActorSystem) -> None:
    plain = Behaviors.sharded(entity, passivation=Passivation(limit=10), stop_message=Add(1))
    assert_type(plain, Sharded[Message])
    assert_type(system.spawn(plain), ActorRef[ShardEnvelope[Message]])
    own = system.spawn(Behaviors.sharded(entity, extract_entity_id=id_of))
    assert_type(own, ActorRef[Message])
    packed = system.spawn(Behaviors.sharded(entity, extract_entity_id=text_id, extract_message=message_of))
    assert_type(packed, ActorRef[str])
    own.tell("text")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    packed.tell(Add(1))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def known(ctx: Any) -> None:
    info: EntityInfo = ctx.entity
    assert_type(info.fencing_token, tuple[int, int])


def worker(index: int, count: int) -> Behavior[Message]:
    return counter()


def daemons(system: ClusteredActorSystem) -> None:
    eight = Behaviors.daemons(worker, 8, keep_alive=1.0)
    assert_type(eight, Daemons[Message])
    workers = system.spawn(eight, "workers")
    assert_type(workers, DaemonsRef[Message])
    assert_type(workers.worker(3), ActorRef[Message])
    workers.tell(ShardEnvelope("3~0", Add(1)))
    workers.worker(3).tell("text")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
