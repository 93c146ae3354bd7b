"""The receptionist of a system by itself: who offers what, and who hears of it (R1, R2)."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from casty_trio import (
    ActorContext,
    ActorRef,
    ActorSystem,
    Behavior,
    Behaviors,
    DeadLetter,
    Deregister,
    Find,
    Listing,
    Mailbox,
    OneForOneStrategy,
    Register,
    ServiceKey,
    SettingsError,
    SpyEvent,
    Subscribe,
    SystemClosedError,
    Unsubscribe,
    UsageError,
)

ECHO: ServiceKey[str] = ServiceKey("echo")
OTHER: ServiceKey[str] = ServiceKey("other")


def echo() -> Behavior[str]:
    def receive(ctx: ActorContext[str], text: str) -> Behavior[str] | None:
        if text == "fail":
            raise ValueError(text)
        return Behaviors.stopped() if text == "stop" else None

    return Behaviors.receive(receive)


def paths(listing: Listing[Any]) -> list[str]:
    return [instance.ref.path for instance in listing.instances]


def collector(heard: list[list[str]]) -> Behavior[Listing[str]]:
    def receive(ctx: ActorContext[Listing[str]], listing: Listing[str]) -> None:
        heard.append(paths(listing))

    return Behaviors.receive(receive)


async def test_an_ask_that_subscribes_is_forgotten() -> None:
    """R2: it has its answer, and nobody would hear the next."""
    async with ActorSystem("demo") as system:
        first: Listing[str] = await system.ask(system.receptionist, lambda reply_to: Subscribe(ECHO, reply_to))
        assert not first
        system.spawn(Behaviors.discoverable(echo(), key=ECHO), "a")
        system.spawn(Behaviors.discoverable(echo(), key=ECHO), "b")
        assert not system.services._wanted
        assert len(system.services._interests) == 2
        assert system.statistics().dead_letters == 0


async def test_what_is_registered_is_found_in_order() -> None:
    """R1: at once, sorted by path, each once."""
    async with ActorSystem("demo") as system:
        refs = [system.spawn(echo(), name) for name in ("b", "a", "c")]
        for ref in (*refs, refs[0]):
            system.receptionist.tell(Register(ECHO, ref))
        listing = await system.lookup(ECHO)
        assert paths(listing) == ["/a", "/b", "/c"]
        assert listing
        assert listing.key == ECHO
        assert listing.instances[1].ref is refs[0]
        assert listing.instances[1].node is None
        asked: Listing[str] = await system.ask(system.receptionist, lambda r: Find(ECHO, r))
        assert asked == listing
        assert not await system.lookup(OTHER)
        assert (await system.lookup(ServiceKey[str]("echo"))) == listing


async def test_what_stops_or_is_deregistered_is_found_no_more() -> None:
    """R1."""
    async with ActorSystem("demo") as system:
        first, second = [system.spawn(Behaviors.discoverable(echo(), key=ECHO), name) for name in ("a", "b")]
        system.receptionist.tell(Register(OTHER, first))
        assert paths(await system.lookup(ECHO)) == ["/a", "/b"]
        system.receptionist.tell(Deregister(ECHO, first))
        system.receptionist.tell(Deregister(ECHO, first))
        assert paths(await system.lookup(ECHO)) == ["/b"]
        assert paths(await system.lookup(OTHER)) == ["/a"]
        second.tell("stop")
        await system.wait_stopped(second)
        assert not await system.lookup(ECHO)
        system.receptionist.tell(Register(ECHO, second))
        assert not await system.lookup(ECHO), "one that has stopped offers nothing"
        await system.stop(first)
        assert not await system.lookup(OTHER)
        assert system.services.offered() == []


async def test_subscribers_hear_the_listing_and_each_change_once() -> None:
    """R2: the present one first, then one per change, in order, and nothing when nothing changed."""
    heard: list[list[str]] = []
    async with ActorSystem("demo") as system:
        subscriber = system.spawn(collector(heard), "monitor")
        system.receptionist.tell(Subscribe(ECHO, subscriber))
        ref = system.spawn(Behaviors.discoverable(echo(), key=ECHO), "a")
        system.receptionist.tell(Register(ECHO, ref))
        system.receptionist.tell(Register(OTHER, ref))
        other = system.spawn(Behaviors.discoverable(echo(), key=ECHO), "b")
        await system.stop(ref)
        await wait_all_tasks_blocked()
        assert heard == [[], ["/a"], ["/a", "/b"], ["/b"]]
        system.receptionist.tell(Unsubscribe(ECHO, subscriber))
        system.receptionist.tell(Unsubscribe(ECHO, subscriber))
        await system.stop(other)
        await wait_all_tasks_blocked()
        assert len(heard) == 4


async def test_a_subscriber_that_stops_is_forgotten() -> None:
    """R2: also an adapter, with its actor; nothing goes to it that would be a dead letter."""
    letters: list[DeadLetter] = []
    heard: list[list[str]] = []
    async with ActorSystem("demo") as system:

        def adapted(ctx: ActorContext[list[str]]) -> Behavior[list[str]]:
            adapter: ActorRef[Listing[str]] = ctx.adapter(paths)
            ctx.system.receptionist.tell(Subscribe(ECHO, adapter))
            return Behaviors.receive(lambda _, names: heard.append(names))

        watcher: ActorRef[DeadLetter] = system.spawn(Behaviors.receive(lambda _, letter: letters.append(letter)), "letters")
        system.event_stream.subscribe(watcher, DeadLetter)
        plain = system.spawn(collector([]), "plain")
        refs: list[ActorRef[Any]] = [system.spawn(Behaviors.setup(adapted), "adapted"), plain]
        await wait_all_tasks_blocked()
        system.receptionist.tell(Subscribe(ECHO, plain))
        for ref in refs:
            await system.stop(ref)
        system.receptionist.tell(Subscribe(ECHO, plain))
        system.spawn(Behaviors.discoverable(echo(), key=ECHO), "a")
        await wait_all_tasks_blocked()
        assert heard == [[]]
        assert [each.recipient.path for each in letters] == []


async def test_it_composes_with_every_wrapper() -> None:
    """In any order, also from a setup; it outlives restarts, and a handler's other behaviours."""
    spied: list[SpyEvent] = []
    async with ActorSystem("demo") as system:
        observer: ActorRef[SpyEvent] = system.spawn(Behaviors.receive(lambda _, event: spied.append(event)), "observer")
        strategy = OneForOneStrategy(max_restarts=3)
        hooked = Behaviors.with_lifecycle(echo(), post_stop=lambda ctx: None)
        behaviors = {
            "a": Behaviors.supervise(Behaviors.discoverable(hooked, key=ECHO), strategy),
            "b": Behaviors.discoverable(Behaviors.supervise(Behaviors.spy(echo(), observer), strategy), key=ECHO),
            "c": Behaviors.discoverable(Behaviors.discoverable(echo(), key=ECHO), key=OTHER),
            "d": Behaviors.setup(lambda ctx: Behaviors.discoverable(Behaviors.supervise(echo(), strategy), key=ECHO)),
        }
        refs = {name: system.spawn(behavior, name) for name, behavior in behaviors.items()}
        await wait_all_tasks_blocked()
        assert paths(await system.lookup(ECHO)) == ["/a", "/b", "/c", "/d"]
        assert paths(await system.lookup(OTHER)) == ["/c"]
        for name in ("a", "b", "d"):
            refs[name].tell("fail")
        await wait_all_tasks_blocked()
        assert paths(await system.lookup(ECHO)) == ["/a", "/b", "/c", "/d"]
        refs["c"].tell("fail")
        await wait_all_tasks_blocked()
        assert paths(await system.lookup(ECHO)) == ["/a", "/b", "/d"]

        def begin(ctx: ActorContext[str]) -> Behavior[str]:
            ctx.spawn(Behaviors.discoverable(echo(), key=OTHER), "x")
            return Behaviors.ignore()

        parent = system.spawn(Behaviors.setup(begin), "parent")
        await wait_all_tasks_blocked()
        assert paths(await system.lookup(OTHER)) == ["/parent/x"]
        await system.stop(parent)
        assert not await system.lookup(OTHER)


async def test_an_iteration_hears_the_listing_and_its_changes() -> None:
    """R2: in order."""
    async with ActorSystem("demo") as system, system.subscribe(ECHO) as listings:
        ref = system.spawn(Behaviors.discoverable(echo(), key=ECHO), "a")
        assert repr(listings) == "<listings: 2 wait>"
        assert paths(await anext(listings)) == []
        assert paths(await anext(listings)) == ["/a"]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(system.stop, ref)
            assert paths(await anext(listings)) == []


async def test_an_iteration_ends_with_the_system() -> None:
    heard: list[list[str]] = []

    async def listen() -> None:
        async with system.subscribe(ECHO) as listings:
            heard.extend([paths(listing) async for listing in listings])

    async with trio.open_nursery() as nursery, ActorSystem("demo") as system:
        nursery.start_soon(listen)
        await wait_all_tasks_blocked()
    assert heard == [[]]
    with pytest.raises(SystemClosedError, match="no more listings"):
        async with system.subscribe(ECHO):
            pass
    with pytest.raises(SystemClosedError):
        await system.lookup(ECHO)


async def test_a_slow_iteration_gets_the_last_listing() -> None:
    """R2: where its buffer is full, the latest takes the place of the one before; and none comes twice in a row."""
    async with ActorSystem("demo") as system, system.subscribe(ECHO, capacity=2) as listings:
        first = system.spawn(Behaviors.discoverable(echo(), key=ECHO), "a")
        for name in "bcd":
            system.spawn(Behaviors.discoverable(echo(), key=ECHO), name)
        assert paths(await anext(listings)) == []
        assert paths(await anext(listings)) == ["/a", "/b", "/c", "/d"]
        async with system.subscribe(OTHER, capacity=1) as others:
            assert paths(await anext(others)) == []
            system.receptionist.tell(Register(OTHER, first))
            system.receptionist.tell(Deregister(OTHER, first))
            system.receptionist.tell(Register(OTHER, first))
            assert paths(await anext(others)) == ["/a"]
            system.receptionist.tell(Deregister(OTHER, first))
            system.receptionist.tell(Register(OTHER, first))
            with trio.move_on_after(0) as scope:
                await anext(others)
            assert scope.cancelled_caught, "it is as it was when it was told last"


async def test_what_a_receptionist_refuses() -> None:
    async with ActorSystem("demo") as system, ActorSystem("other") as other:
        mine, theirs = system.spawn(echo(), "a"), other.spawn(echo(), "b")
        receptionist: Any = system.receptionist
        with pytest.raises(UsageError, match="takes Register"):
            receptionist.tell("hello")
        with pytest.raises(UsageError, match="is not an actor of the system demo"):
            receptionist.tell(Register(ECHO, theirs))
        with pytest.raises(SettingsError, match="key must be"):
            receptionist.tell(Register("echo", mine))  # type: ignore[arg-type]
        with pytest.raises(SettingsError, match="key must be"):
            Behaviors.discoverable(echo(), key="echo")  # type: ignore[arg-type]
        with pytest.raises(SettingsError, match="behavior must be"):
            Behaviors.discoverable(Behaviors.broadcasted(echo()), key=ECHO)
        with pytest.raises(SettingsError, match="capacity"):
            async with system.subscribe(ECHO, capacity=0):
                pass
        for name in ("", "x" * 256, "\ud800", 3):
            with pytest.raises(SettingsError, match="the name of a service"):
                ServiceKey(name)  # type: ignore[arg-type]
        await receptionist.send(Register(ECHO, mine))
        assert paths(await system.lookup(ECHO)) == ["/a"]
        assert receptionist.path == "/$receptionist"
    receptionist.tell(Register(ECHO, mine))
    assert system.statistics().dead_letters == 1


async def test_a_subscriber_whose_mailbox_rejects_disturbs_nobody() -> None:
    async with ActorSystem("demo") as system:
        heard: list[list[str]] = []
        stuck = trio.Event()

        async def wait(ctx: ActorContext[Listing[str]], listing: Listing[str]) -> None:
            await stuck.wait()

        full = system.spawn(Behaviors.receive(wait), "full", mailbox=Mailbox(1, "reject"))
        system.receptionist.tell(Subscribe(ECHO, full))
        await wait_all_tasks_blocked()
        system.receptionist.tell(Subscribe(ECHO, system.spawn(collector(heard), "fine")))
        for name in "abc":
            system.spawn(Behaviors.discoverable(echo(), key=ECHO), name)
        await wait_all_tasks_blocked()
        assert len(heard) == 4
        stuck.set()
