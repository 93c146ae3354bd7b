"""The local messages, and the counter in a module whose annotations are evaluated.

Without ``from __future__ import annotations`` Python evaluates the annotations of an inner function whenever it is defined:
here, for each message that changes the state. A row shows what that costs; all other programs do not evaluate theirs.
"""

from dataclasses import dataclass

from casty_trio import ActorContext, ActorRef, Behavior, Behaviors


@dataclass(frozen=True)
class Add:
    amount: int


@dataclass(frozen=True)
class Get:
    reply_to: ActorRef[int]


Message = Add | Get


def annotated(total: int = 0) -> Behavior[Message]:
    def receive(ctx: ActorContext[Message], message: Message) -> Behavior[Message]:
        match message:
            case Add(amount):
                return annotated(total + amount)
            case Get(reply_to):
                reply_to.tell(total)
                return Behaviors.same()

    return Behaviors.receive(receive)
