"""What the nodes of these tests run."""

from __future__ import annotations

from casty_trio import Behavior, Behaviors, ClusteredActorSystem

not_callable = 1


def echo(entity_id: str) -> Behavior[str]:
    return Behaviors.receive(lambda ctx, message: None)


def spawn(system: ClusteredActorSystem) -> None:
    system.spawn(Behaviors.sharded(echo, num_shards=2), "echo")


async def wait_for_two(system: ClusteredActorSystem) -> None:
    await system.wait_for(2, timeout=30.0)
    print("two are up", flush=True)
