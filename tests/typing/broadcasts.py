"""Broadcasts: what `spawn` gives, what may be told to all, and that an ask of all has a tuple of replies."""

from typing import assert_type

from casty_trio import ActorContext, ActorRef, ActorSystem, Behaviors, BroadcastRef, ClusteredActorSystem
from tests.typing.messages import Add, Get, Message, counter, get


def spawned(system: ClusteredActorSystem) -> None:
    ref = system.spawn(Behaviors.broadcasted(counter()), "counters")
    assert_type(ref, BroadcastRef[Message])
    assert_type(system.spawn(counter(), "counter"), ActorRef[Message])
    as_any_other: ActorRef[Message] = ref
    as_any_other.tell(Add(1))
    ref.tell(Add(1))

    ref.tell("text")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    Behaviors.broadcasted(counter)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def asked(
    system: ActorSystem,
    node: ClusteredActorSystem,
    ctx: ActorContext[str],
    all_of_them: BroadcastRef[Message],
    one: ActorRef[Message],
) -> None:
    by_node: tuple[int, ...] = await node.ask(all_of_them, lambda r: Get(reply_to=r))
    assert_type(await node.ask(all_of_them, get), tuple[int, ...])
    assert_type(await system.ask(all_of_them, get), tuple[int, ...])
    assert_type(await ctx.ask(all_of_them, get), tuple[int, ...])
    assert_type(await ctx.system.ask(all_of_them, get), tuple[int, ...])
    assert_type(await node.ask_or_none(all_of_them, get), tuple[int, ...] | None)
    assert_type(await node.ask(one, get), int)
    assert_type(await node.ask_or_none(one, get), int | None)
    print(by_node)

    wrong: tuple[str, ...] = await node.ask(all_of_them, lambda r: Get(reply_to=r))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    single: int = await node.ask(all_of_them, get)  # type: ignore[assignment] # pyright: ignore[reportAssignmentType]
    print(wrong, single)
