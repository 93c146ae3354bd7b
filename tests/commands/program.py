"""What the nodes of these tests run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from casty_trio import ActorContext, ActorRef, Behavior, Behaviors, ClusteredActorSystem, ServiceKey

if TYPE_CHECKING:
    from decimal import Decimal

not_callable = 1


def echo(entity_id: str) -> Behavior[str]:
    return Behaviors.receive(lambda ctx, message: None)


@dataclass(frozen=True)
class Sum:
    """Wants the sum of some numbers."""

    numbers: tuple[int, ...]
    reply_to: ActorRef[dict[str, int]]


@dataclass(frozen=True)
class Note:
    """Is put down."""

    text: str


@dataclass(frozen=True)
class Unread:
    """Cannot be read where nobody checks types."""

    price: Decimal


ADDERS: ServiceKey[Sum | Note] = ServiceKey("adders")


def adder(entity_id: str) -> Behavior[Sum | Note]:
    def receive(ctx: ActorContext[Sum | Note], message: Sum | Note) -> None:
        match message:
            case Sum(numbers, reply_to):
                reply_to.tell({entity_id: sum(numbers)})
            case Note(text):
                print(f"{entity_id} notes {text}", flush=True)

    return Behaviors.receive(receive)


def spawn_adder(system: ClusteredActorSystem) -> None:
    system.spawn(Behaviors.sharded(adder, num_shards=3), "adder")
    desk = system.spawn(Behaviors.discoverable(adder("one"), key=ADDERS), "desk")
    system.client_receptionist().register_subscriber("notes", desk)


def spawn(system: ClusteredActorSystem) -> None:
    system.spawn(Behaviors.sharded(echo, num_shards=2), "echo")


async def wait_for_two(system: ClusteredActorSystem) -> None:
    await system.wait_for(2, timeout=30.0)
    print("two are up", flush=True)
