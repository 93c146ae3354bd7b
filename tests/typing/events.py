"""Events: what an iterator gives, and which actors may subscribe."""

from typing import assert_type

from casty_trio import ActorFailed, ActorRef, ActorSystem, DeadLetter, Event, Lagged, SystemStatistics
from tests.typing.messages import Message


async def iterated(system: ActorSystem) -> None:
    async with system.events(DeadLetter, capacity=10) as letters:
        async for letter in letters:
            assert_type(letter, DeadLetter | Lagged)
            if isinstance(letter, DeadLetter):
                assert_type(letter.message, object)
                assert_type(letter.reason, str)
            else:
                assert_type(letter.count, int)

    async with system.events(Event) as events:
        async for event in events:
            assert_type(event, Event | Lagged)

    system.events(int)  # type: ignore[type-var] # pyright: ignore[reportArgumentType]


def subscribed(system: ActorSystem, log: ActorRef[Event], failures: ActorRef[ActorFailed], ref: ActorRef[Message]) -> None:
    system.event_stream.subscribe(log, DeadLetter)
    system.event_stream.subscribe(failures, ActorFailed)
    system.event_stream.unsubscribe(log)

    system.event_stream.subscribe(failures, DeadLetter)  # type: ignore[misc] # pyright: ignore[reportArgumentType]
    system.event_stream.subscribe(ref, DeadLetter)  # type: ignore[misc] # pyright: ignore[reportArgumentType]


def counted(system: ActorSystem) -> None:
    assert_type(system.statistics(), SystemStatistics)
    assert_type(system.statistics().dead_letters, int)
