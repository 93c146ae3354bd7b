"""The actors that the other files of this folder talk to."""

from dataclasses import dataclass

from casty_trio import ActorContext, ActorRef, Behavior, Behaviors


@dataclass(frozen=True)
class Add:
    amount: int


@dataclass(frozen=True)
class Get:
    reply_to: ActorRef[int]


Message = Add | Get


def counter(total: int = 0) -> Behavior[Message]:
    def receive(ctx: ActorContext[Message], message: Message) -> Behavior[Message]:
        match message:
            case Add(amount):
                return counter(total + amount)
            case Get(reply_to):
                reply_to.tell(total)
                return Behaviors.same()

    return Behaviors.receive(receive)


def entity(entity_id: str) -> Behavior[Message]:
    return counter(len(entity_id))


def get(reply_to: ActorRef[int]) -> Get:
    return Get(reply_to)
