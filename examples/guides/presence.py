"""A monitor hears who comes and who goes, on whichever node: two nodes in one process, over loopback."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from casty_trio import ActorContext, ActorRef, Behavior, Behaviors, ClusteredActorSystem, Listing, ServiceKey, Subscribe


@dataclass(frozen=True)
class Say:
    text: str


@dataclass(frozen=True)
class Leave:
    pass


ChatMsg = Say | Leave
CHAT: ServiceKey[ChatMsg] = ServiceKey("chat")


def user(name: str) -> Behavior[ChatMsg]:
    def receive(ctx: ActorContext[ChatMsg], message: ChatMsg) -> Behavior[ChatMsg] | None:
        match message:
            case Say(text):
                print(f"  {name} reads: {text}")
                return None
            case Leave():
                return Behaviors.stopped()

    return Behaviors.receive(receive)


def presence_monitor(known: frozenset[str] = frozenset()) -> Behavior[Listing[ChatMsg]]:
    def receive(ctx: ActorContext[Listing[ChatMsg]], listing: Listing[ChatMsg]) -> Behavior[Listing[ChatMsg]]:
        now = frozenset(instance.ref.address.name for instance in listing.instances)
        for name in sorted(now - known):
            print(f"joined: {name}")
        for name in sorted(known - now):
            print(f"left: {name}")
        return presence_monitor(now)

    return Behaviors.receive(receive)


async def until(system: ClusteredActorSystem, count: int) -> Listing[ChatMsg]:
    """Wait until so many are there."""
    async with system.subscribe(CHAT) as listings:
        async for listing in listings:
            if len(listing.instances) == count:
                return listing
    raise RuntimeError("the system has stopped")


async def main() -> None:
    async with ClusteredActorSystem("chat", "127.0.0.1", 0, "node-1") as first:
        seeds = [("127.0.0.1", first.address.port or 0)]
        async with ClusteredActorSystem("chat", "127.0.0.1", 0, "node-2", seed_nodes=seeds) as second:
            await second.wait_for(2)
            monitor: ActorRef[Listing[ChatMsg]] = first.spawn(presence_monitor(), "monitor")
            first.receptionist.tell(Subscribe(key=CHAT, reply_to=monitor))
            alice = first.spawn(Behaviors.discoverable(user("Alice"), key=CHAT), "alice")
            await until(second, 1)
            second.spawn(Behaviors.discoverable(user("Bob"), key=CHAT), "bob")
            everybody = (await until(first, 2)).instances  # sorted by node; here by name, for ports differ each time
            for instance in sorted(everybody, key=lambda each: each.ref.path):
                await instance.ref.send(Say("hello"))
                await trio.sleep(0.2)
            alice.tell(Leave())
            await until(second, 1)
        await until(first, 0)  # the second node has left, and Bob with it
        await trio.sleep(0.1)


trio.run(main)
