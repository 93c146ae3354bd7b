"""Sharded types whose messages say by themselves for which entity they are."""

from typing import Any, assert_type

from casty_trio import ActorRef, Behavior, Behaviors, ClusteredActorSystem, EntityInfo, Passivation, ShardEnvelope
from casty_trio.model.kinds import Sharded
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
