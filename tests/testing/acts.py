"""Behaviours whose messages say what they do, for the tests of the kit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from casty_trio import ActorContext, ActorRef, Behavior, Behaviors

Act = Callable[[ActorContext[Any]], Any]


def acting(ctx: ActorContext[Any], act: Act) -> Any:
    """A handler whose messages say what it does."""
    result = act(ctx)
    return result if isinstance(result, (Behavior, Awaitable)) else None


def performer(on_signal: Any = None) -> Behavior[Act]:
    return Behaviors.receive(acting, on_signal)


def tell(ref: ActorRef[int], number: int, ctx: ActorContext[Any]) -> None:
    ref.tell(number)


def idle() -> Behavior[Any]:
    return Behaviors.receive(lambda ctx, message: None)


@dataclass(frozen=True)
class Get:
    reply_to: ActorRef[int]


def counter(total: int = 0) -> Behavior[int | Get]:
    def receive(ctx: ActorContext[int | Get], message: int | Get) -> Behavior[int | Get]:
        if isinstance(message, Get):
            message.reply_to.tell(total)
            return Behaviors.same()
        return counter(total + message)

    return Behaviors.receive(receive)
