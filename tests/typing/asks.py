"""The three ways to write an ask, for each of those that ask; and replies of another type."""

from typing import assert_type

from casty_trio import ActorContext, ActorRef, ActorSystem, ClusterClient, ShardEnvelope
from tests.typing.messages import Add, Get, Message, get

Region = ActorRef[ShardEnvelope[Message]]


async def annotated_variable(
    system: ActorSystem, ctx: ActorContext[str], client: ClusterClient, ref: ActorRef[Message], region: Region
) -> None:
    """The variable that takes the reply says its type; a lambda makes the message."""
    by_system: int = await system.ask(ref, lambda r: Get(reply_to=r), timeout=1.0)
    by_context: int = await ctx.ask(ref, lambda r: Get(reply_to=r), timeout=1.0)
    by_client: int = await client.ask(region, lambda r: ShardEnvelope("a", Get(reply_to=r)), timeout=1.0)
    to_region: int = await system.ask(region, lambda r: ShardEnvelope("a", Get(reply_to=r)))
    through_context: int = await ctx.system.ask(ref, lambda r: Get(reply_to=r))
    assert_type([by_system, by_context, by_client, to_region, through_context], list[int])


async def factory(
    system: ActorSystem, ctx: ActorContext[str], client: ClusterClient, ref: ActorRef[Message], region: Region
) -> None:
    """A function makes the message; its own annotation says the type of the reply."""

    def get_a(reply_to: ActorRef[int]) -> ShardEnvelope[Get]:
        return ShardEnvelope("a", Get(reply_to))

    assert_type(await system.ask(ref, get), int)
    assert_type(await ctx.ask(ref, get), int)
    assert_type(await client.ask(region, get_a), int)
    assert_type(await system.ask(ref, Get), int)  # the class itself is such a function


async def bound_variable(
    system: ActorSystem, ctx: ActorContext[str], client: ClusterClient, ref: ActorRef[Message], region: Region
) -> None:
    """In a loop, a default argument holds what a lambda would otherwise look up too late."""

    def get_kind(reply_to: ActorRef[int], kind: str) -> Get:
        print(kind)
        return Get(reply_to)

    for user in ("a", "b"):
        points: int = await client.ask(region, lambda r, uid=user: ShardEnvelope(uid, Get(reply_to=r)), timeout=5.0)
        mine: int = await system.ask(ref, lambda r, kind=user: get_kind(r, kind))
        other: int = await ctx.ask(ref, lambda r, kind=user: get_kind(r, kind))
        assert_type([points, mine, other], list[int])


async def wrong_replies(system: ActorSystem, client: ClusterClient, ref: ActorRef[Message], region: Region) -> None:
    by_lambda: str = await system.ask(ref, lambda r: Get(reply_to=r))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    by_class: str = await system.ask(ref, Get)  # type: ignore[arg-type] # pyright: ignore[reportAssignmentType]
    by_factory: str = await system.ask(ref, get)  # type: ignore[arg-type] # pyright: ignore[reportAssignmentType]
    # mypy does not check the reply of a lambda with a default; the guides say so.
    by_bound: str = await client.ask(region, lambda r, uid="a": ShardEnvelope(uid, Get(reply_to=r)))  # pyright: ignore[reportArgumentType]
    by_client: str = await client.ask(region, lambda r: ShardEnvelope("a", Get(reply_to=r)))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    print(by_lambda, by_class, by_factory, by_bound, by_client)


async def wrong_messages(
    system: ActorSystem, ctx: ActorContext[str], client: ClusterClient, ref: ActorRef[Message], region: Region
) -> None:
    def add(reply_to: ActorRef[int]) -> str:
        return "add"

    def no_envelope(reply_to: ActorRef[int]) -> Get:
        return Get(reply_to)

    await system.ask(ref, add)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType, reportCallIssue]
    await ctx.ask(ref, add)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType, reportCallIssue]
    await client.ask(region, no_envelope)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType, reportCallIssue]
    await system.ask(ref, Add(1))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType, reportCallIssue]
    await system.ask(ref, get, timeout="5")  # type: ignore[call-overload] # pyright: ignore[reportArgumentType, reportCallIssue]
