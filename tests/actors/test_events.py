"""Events: to whom they go, what is lost and told, and that telling them harms nobody."""

from typing import Any

import pytest
import trio
from hypothesis import given, strategies as st
from trio.testing import wait_all_tasks_blocked

from casty_trio import (
    ActorFailed,
    ActorStarted,
    ActorStopped,
    ActorSystem,
    Behaviors,
    DeadLetter,
    Event,
    Lagged,
    Mailbox,
    SettingsError,
    SystemClosedError,
)
from tests.actors.helpers import Ctx, Gated, assert_adds_up, counter, recorder, run


async def test_by_class_and_base_class() -> None:
    """Subscribing to a class is subscribing to its subclasses; each event comes once."""
    started, everything = list[Any](), list[Any]()
    async with ActorSystem() as system:
        one, all_ = system.spawn(recorder(started)), system.spawn(recorder(everything))
        await wait_all_tasks_blocked()
        system.event_stream.subscribe(one, ActorStarted)
        system.event_stream.subscribe(all_, Event)
        system.event_stream.subscribe(all_, ActorStarted)
        ref = system.spawn(counter())
        ref.tell("no number")
        await system.wait_stopped(ref)
        ref.tell("late")
        await wait_all_tasks_blocked()
        assert started == [ActorStarted(ref)]
        assert [type(event) for event in everything] == [ActorStarted, ActorFailed, ActorStopped, DeadLetter]


async def test_unsubscribe() -> None:
    """From one class, or from all."""
    seen: list[Any] = []
    async with ActorSystem() as system:
        stream, ref = system.event_stream, system.spawn(recorder(seen))
        for event_type in (ActorStarted, DeadLetter):
            stream.subscribe(ref, event_type)
        stream.unsubscribe(ref, ActorStarted)
        system.spawn(counter())
        system.dead_letters.tell(1)
        await wait_all_tasks_blocked()
        stream.unsubscribe(ref)
        stream.unsubscribe(ref, Event)
        system.dead_letters.tell(2)
        await wait_all_tasks_blocked()
        assert [event.message for event in seen] == [1]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_dead_subscriber_is_forgotten(when: str) -> None:
    """L4: whether it died before or after it subscribed, events make no dead letters of themselves."""
    async with ActorSystem() as system:
        ref = system.spawn(recorder([]))
        if when == "before":
            await system.stop(ref)
        system.event_stream.subscribe(ref, Event)
        await system.stop(ref)
        for _ in range(10):
            system.dead_letters.tell("one")
        await wait_all_tasks_blocked()
        assert system.statistics().dead_letters == 10
        assert_adds_up(system.statistics())


@pytest.mark.parametrize("overflow", ["drop_new", "drop_oldest", "reject"])
async def test_a_full_subscriber_of_dead_letters_makes_no_loop(overflow: Any) -> None:
    """L4: its own losses are counted, but are no news that would be lost again; nobody else fails of it."""
    seen: list[Any] = []
    async with ActorSystem() as system:
        gated = Gated()
        full = system.spawn(gated.behavior, mailbox=Mailbox(2, overflow=overflow))
        full.tell("in hand")
        await gated.begun.wait()
        system.event_stream.subscribe(full, DeadLetter)
        system.event_stream.subscribe(system.spawn(recorder(seen)), DeadLetter)
        for number in range(100):
            system.dead_letters.tell(number)
        await wait_all_tasks_blocked()
        assert [event.message for event in seen] == list(range(100))
        assert system.statistics().dead == 98
        assert system.statistics().queued == 2
        assert_adds_up(system.statistics())
        gated.gate.set()


async def test_full_subscribers_of_dead_letters_with_other_mail_do_not_recurse() -> None:
    """L4: two of them, each dropping its oldest for the news of the other's loss, come to an end; bounds hold."""
    capacity = 2_000
    async with ActorSystem() as system:
        subscribers = []
        for _ in range(2):
            gated = Gated()
            ref = system.spawn(gated.behavior, mailbox=Mailbox(capacity, overflow="drop_oldest"))
            ref.tell("in hand")
            await gated.begun.wait()
            for number in range(capacity):
                ref.tell(number)
            system.event_stream.subscribe(ref, DeadLetter)
            subscribers.append(gated)
        system.dead_letters.tell("the first")
        assert system.statistics().queued == 2 * capacity
        assert_adds_up(system.statistics())
        for gated in subscribers:
            gated.gate.set()
        await wait_all_tasks_blocked()
        assert {len(gated.handled) for gated in subscribers} == {capacity + 1}


async def test_a_rejecting_subscriber_of_stops_harms_no_stop() -> None:
    """L2, L3: an event that its subscriber rejects does not fail in the actor that it tells of."""
    async with ActorSystem() as system:
        gated = Gated()
        full = system.spawn(gated.behavior, mailbox=Mailbox(1, overflow="reject"))
        full.tell("in hand")
        await gated.begun.wait()
        full.tell("queued")
        system.event_stream.subscribe(full, Event)
        refs = [system.spawn(counter()) for _ in range(10)]
        refs[0].tell("no number")
        for ref in refs:
            await system.stop(ref)
        assert system.statistics().actors == 1
        gated.gate.set()


async def test_all_subscribers_see_one_order() -> None:
    """An event that is published while another is told comes after it, for every subscriber."""
    first, second = list[Any](), list[Any]()
    async with ActorSystem() as system:
        gated = Gated()
        full = system.spawn(gated.behavior, mailbox=Mailbox(1, overflow="drop_oldest"))
        full.tell("in hand")
        await gated.begun.wait()
        full.tell("queued")
        for ref in (system.spawn(recorder(first)), full, system.spawn(recorder(second))):
            system.event_stream.subscribe(ref, DeadLetter)
        system.dead_letters.tell("outer")
        await wait_all_tasks_blocked()
        assert [event.message for event in first] == [event.message for event in second] == ["outer", "queued"]
        gated.gate.set()


async def test_iteration_ends_with_the_system() -> None:
    """What is buffered is still given, then the iteration ends; a new one is refused."""
    seen: list[Any] = []

    async def iterate(system: ActorSystem, ready: trio.Event) -> None:
        async with system.events(ActorStopped) as events:
            ready.set()
            seen.extend([event async for event in events])

    async with trio.open_nursery() as nursery, ActorSystem() as system:
        ready = trio.Event()
        nursery.start_soon(iterate, system, ready)
        await ready.wait()
        refs = {system.spawn(counter()) for _ in range(5)}
        await wait_all_tasks_blocked()
    assert {event.ref for event in seen} == refs
    with pytest.raises(SystemClosedError):
        async with system.events(Event):
            pass
    with pytest.raises(SystemClosedError):
        system.event_stream.subscribe(system.dead_letters, Event)


async def test_an_iteration_is_forgotten_when_its_block_is_left() -> None:
    """Leaving by `break` or an exception leaves no listener; going on iterating ends at once."""
    async with ActorSystem() as system:
        for _ in range(3):
            async with system.events(DeadLetter) as events:
                system.dead_letters.tell("x")
                async for _event in events:
                    break
            assert [event async for event in events] == []
        with pytest.raises(KeyError):
            async with system.events(DeadLetter):
                raise KeyError
        assert not any(system.event_stream._listeners.values())


async def test_cancelled_iteration_loses_nothing() -> None:
    """An iteration whose wait is cancelled gets the next event all the same."""
    async with ActorSystem() as system, system.events(DeadLetter) as events:
        with trio.CancelScope() as scope:
            scope.cancel()
            await anext(events)
        system.dead_letters.tell(1)
        with trio.CancelScope() as scope:
            scope.cancel()
            await anext(events)
        event = await anext(events)
        assert isinstance(event, DeadLetter)
        assert event.message == 1


@given(st.integers(1, 4), st.lists(st.integers(0, 6), max_size=12))
def test_lagged_counts_exactly(capacity: int, bursts: list[int]) -> None:
    """Events and `Lagged` add up to what was published, in order, whatever the reader's pace, to the very end."""

    async def program() -> None:
        got: list[int] = []
        published = 0

        def take(event: DeadLetter | Lagged) -> None:
            match event:
                case Lagged(count):
                    assert count > 0
                    got.extend(range(len(got), len(got) + count))
                case DeadLetter(message):
                    assert isinstance(message, int)
                    got.append(message)

        async with ActorSystem() as system, system.events(DeadLetter, capacity=capacity) as events:
            for burst in bursts:
                for _ in range(burst):
                    system.dead_letters.tell(published)
                    published += 1
                if len(got) < published:
                    take(await anext(events))
            while len(got) < published:
                with trio.fail_after(1):
                    take(await anext(events))
        assert got == list(range(published))

    run(program)


async def test_a_slow_iteration_is_told_at_once_what_it_lost() -> None:
    """`Lagged` stands in the place of what is missing, does not wait for a later event, and takes no room."""
    async with ActorSystem() as system, system.events(DeadLetter, capacity=1) as events:
        for number in range(5):
            system.dead_letters.tell(number)
        first, lagged = await anext(events), await anext(events)
        assert isinstance(first, DeadLetter)
        assert lagged == Lagged(4)
        system.dead_letters.tell(5)
        again = await anext(events)
        assert isinstance(again, DeadLetter)
        assert again.message == 5


async def test_no_room_at_all_is_refused() -> None:
    """A capacity of nothing would tell nothing but losses."""
    async with ActorSystem() as system:
        with pytest.raises(SettingsError):
            async with system.events(Event, capacity=0):
                pass


async def test_a_loss_wakes_a_reader_too() -> None:
    """A second reader of the iteration hears of it; it need not wait for a later event."""
    seen: list[Any] = []

    async def read(events: Any) -> None:
        seen.append(await anext(events))

    async with ActorSystem() as system, system.events(DeadLetter, capacity=1) as events:
        with trio.move_on_after(1):
            async with trio.open_nursery() as nursery:
                for _ in range(2):
                    nursery.start_soon(read, events)
                await wait_all_tasks_blocked()
                for number in range(3):
                    system.dead_letters.tell(number)
        assert seen[1:] == [Lagged(2)]


async def test_two_readers_of_one_iteration() -> None:
    """Each event goes to one of them."""
    seen: list[Any] = []

    async def read(events: Any) -> None:
        seen.append(await anext(events))

    async with ActorSystem() as system, system.events(DeadLetter) as events:
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(read, events)
            await wait_all_tasks_blocked()
            system.dead_letters.tell(1)
            system.dead_letters.tell(2)
        assert sorted(event.message for event in seen) == [1, 2]


async def test_no_event_is_made_for_nobody() -> None:
    """Without a subscriber nothing is constructed."""
    async with ActorSystem() as system:
        made: list[Any] = []

        def make(*fields: object) -> Event:
            made.append(fields)
            return Event()

        system.publish(make, 1)
        assert made == []


async def test_a_subscriber_may_spawn_and_stop_what_it_hears_of() -> None:
    """Events of an actor's own doing come to it as mail, never as a nested call."""
    heard: list[str] = []

    def receive(ctx: Ctx, message: Any) -> None:
        heard.append(type(message).__name__)
        if isinstance(message, ActorStopped) and len(heard) < 10:
            ctx.stop(ctx.spawn(counter()))

    async with ActorSystem() as system:
        ref = system.spawn(Behaviors.receive(receive))
        await wait_all_tasks_blocked()
        system.event_stream.subscribe(ref, ActorStopped)
        await system.stop(system.spawn(counter()))
        await wait_all_tasks_blocked()
        assert heard == ["ActorStopped"] * 10
