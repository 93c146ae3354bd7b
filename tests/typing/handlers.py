"""Handlers and factories: plain and async, and those whose message or result does not fit."""

from typing import assert_type

from casty_trio import ActorContext, ActorRef, Behavior, Behaviors
from tests.typing.messages import Add, Message, counter


def plain(ctx: ActorContext[Message], message: Message) -> Behavior[Message]:
    return Behaviors.same()


async def waiting(ctx: ActorContext[Message], message: Message) -> Behavior[Message] | None:
    return Behaviors.stopped() if isinstance(message, Add) else None


def silent(ctx: ActorContext[Message], message: Message) -> None:
    """None keeps the behaviour."""


def of_object(ctx: ActorContext[Message], message: object) -> Behavior[Message]:
    """It takes more than is sent to it."""
    return Behaviors.same()


def handlers() -> None:
    assert_type(Behaviors.receive(plain), Behavior[Message])
    assert_type(Behaviors.receive(waiting), Behavior[Message])
    assert_type(Behaviors.receive(silent), Behavior[Message])
    wide: Behavior[Message] = Behaviors.receive(of_object)
    by_lambda: Behavior[str] = Behaviors.receive(lambda ctx, message: ctx.log.info(message.upper()))
    print(wide, by_lambda)


def begin(ctx: ActorContext[Message]) -> Behavior[Message]:
    child = ctx.spawn(counter())
    assert_type(child, ActorRef[Message])
    ctx.stop(child)
    return counter()


async def begin_later(ctx: ActorContext[Message]) -> Behavior[Message]:
    total: int = await ctx.ask(ctx.spawn(counter()), lambda r: _get(r))
    return counter(total)


def _get(reply_to: ActorRef[int]) -> Message:
    return Add(1)


def factories() -> None:
    assert_type(Behaviors.setup(begin), Behavior[Message])
    assert_type(Behaviors.setup(begin_later), Behavior[Message])


def no_result(ctx: ActorContext[Message], message: Message) -> int:
    return 1


def no_message(ctx: ActorContext[Message]) -> Behavior[Message]:
    return Behaviors.same()


def other_message(ctx: ActorContext[Message], message: str) -> Behavior[Message]:
    return Behaviors.same()


def nothing(ctx: ActorContext[Message]) -> None: ...


def refused() -> None:
    Behaviors.receive(no_result)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    Behaviors.receive(no_message)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    Behaviors.receive(counter())  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    Behaviors.setup(nothing)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    Behaviors.setup(plain)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    wrong: Behavior[Message] = Behaviors.receive(other_message)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    print(wrong)


def wrong_state() -> Behavior[str]:
    return counter()  # type: ignore[return-value] # pyright: ignore[reportReturnType]
