"""Bounded mailboxes: what does not fit is seen (L4), and senders that wait are served in their order."""

from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from casty_trio import ActorStopped, ActorSystem, Behavior, Behaviors, DeadLetter, Mailbox, MailboxFullError
from tests.actors.helpers import Ctx, Gated, Ref, assert_adds_up, recorder


async def full(system: ActorSystem, overflow: Any = "drop_new", capacity: int = 2) -> tuple[Gated, Ref]:
    """An actor with a message in hand and no room left."""
    gated = Gated()
    ref = system.spawn(gated.behavior, mailbox=Mailbox(capacity, overflow=overflow))
    ref.tell("in hand")
    await gated.begun.wait()
    for number in range(capacity):
        ref.tell(number)
    return gated, ref


@pytest.mark.parametrize(
    ("overflow", "kept", "lost"),
    [("drop_new", [0, 1], ["a", "b"]), ("drop_oldest", ["a", "b"], [0, 1]), ("reject", [0, 1], ["a", "b"])],
)
async def test_overflow(overflow: Any, kept: list[Any], lost: list[Any]) -> None:
    """L4: each rule drops what it says, as a dead letter with a reason; `reject` tells the teller besides."""
    letters: list[DeadLetter] = []
    async with ActorSystem() as system:
        system.event_stream.subscribe(system.spawn(recorder(letters)), DeadLetter)
        gated, ref = await full(system, overflow)
        for message in ("a", "b"):
            if overflow == "reject":
                with pytest.raises(MailboxFullError, match="is full"):
                    ref.tell(message)
            else:
                ref.tell(message)
            assert system.statistics().queued - 0 >= 2
        await wait_all_tasks_blocked()
        assert [(letter.message, letter.recipient) for letter in letters] == [(message, ref) for message in lost]
        assert all("full" in letter.reason for letter in letters)
        assert system.statistics().queued == 2
        assert_adds_up(system.statistics())
        gated.gate.set()
        await wait_all_tasks_blocked()
        assert gated.handled == ["in hand", *kept]


async def test_none_is_a_message_like_any_other() -> None:
    """L4: dropping the oldest drops one, also when it is None."""
    async with ActorSystem() as system:
        gated, ref = await full(system, "drop_oldest", capacity=1)
        for message in (None, None, "last"):
            ref.tell(message)
        assert (system.statistics().dead, system.statistics().queued) == (3, 1)
        gated.gate.set()
        await wait_all_tasks_blocked()
        assert gated.handled == ["in hand", "last"]


async def test_senders_are_served_in_their_order() -> None:
    """L1, L4: first come, first served; a `tell` never passes a sender that waits."""
    done: list[int] = []

    async def sender(number: int) -> None:
        await ref.send(f"sent {number}")
        done.append(number)

    async with ActorSystem() as system:
        gated, ref = await full(system)
        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(sender, number)
                await wait_all_tasks_blocked()
            assert done == []
            assert system.statistics().queued == 2
            ref.tell("dropped")
            gated.gate.set()
        await wait_all_tasks_blocked()
        assert sorted(done) == list(range(10))
        assert gated.handled == ["in hand", 0, 1, *(f"sent {number}" for number in range(10))]
        assert system.statistics().dead == 1


async def test_a_cancelled_sender_sent_nothing() -> None:
    """L4: when the wait is cancelled the message was not sent; the others keep their places."""
    scopes = [trio.CancelScope() for _ in range(5)]

    async def sender(number: int) -> None:
        with scopes[number]:
            await ref.send(f"sent {number}")

    async with ActorSystem() as system:
        gated, ref = await full(system)
        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(sender, number)
                await wait_all_tasks_blocked()
            for number in (0, 2, 4):
                scopes[number].cancel()
            await wait_all_tasks_blocked()
            gated.gate.set()
        await wait_all_tasks_blocked()
        assert gated.handled == ["in hand", 0, 1, "sent 1", "sent 3"]
        assert (system.statistics().sent, system.statistics().dead) == (5, 0)


@pytest.mark.parametrize("bounded", [True, False])
async def test_send_in_a_cancelled_scope_sends_nothing(bounded: bool) -> None:
    """L4: `send` is a checkpoint before it sends, with room and without a bound too."""
    seen: list[Any] = []
    async with ActorSystem() as system:
        ref = system.spawn(recorder(seen), mailbox=Mailbox(5) if bounded else None)
        with trio.CancelScope() as scope:
            scope.cancel()
            await ref.send("never")
        await ref.send("sent")
        await wait_all_tasks_blocked()
        assert seen == ["sent"]
        assert system.statistics().sent == 1


async def test_senders_that_wait_when_the_actor_stops() -> None:
    """L4: what they wait with becomes dead letters, in order, and they go on."""
    letters: list[DeadLetter] = []
    async with ActorSystem() as system:
        system.event_stream.subscribe(system.spawn(recorder(letters)), DeadLetter)
        gated, ref = await full(system)
        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(ref.send, f"sent {number}")
                await wait_all_tasks_blocked()
            nursery.start_soon(system.stop, ref)
            await wait_all_tasks_blocked()
            gated.gate.set()
        await wait_all_tasks_blocked()
        assert [letter.message for letter in letters] == [0, 1, "sent 0", "sent 1", "sent 2"]
        assert_adds_up(system.statistics())
        await ref.send("late")
        assert system.statistics().dead == 6


async def test_a_woken_sender_may_send_again_at_once() -> None:
    """L4: the bound holds under senders that never rest."""
    most, seen = 0, list[Any]()

    def receive(ctx: Ctx, message: Any) -> None:
        nonlocal most
        seen.append(message)
        most = max(most, system.statistics().queued)

    async def sender(me: int) -> None:
        for number in range(50):
            await ref.send((me, number))

    async with ActorSystem() as system:
        ref = system.spawn(Behaviors.receive(receive), mailbox=Mailbox(3))
        async with trio.open_nursery() as nursery:
            for me in range(5):
                nursery.start_soon(sender, me)
        await wait_all_tasks_blocked()
        assert most <= 3
        for me in range(5):
            assert [number for who, number in seen if who == me] == list(range(50))


async def test_an_unbounded_mailbox_object_is_no_bound() -> None:
    """L4: `Mailbox()` says what leaving it out says."""
    async with ActorSystem() as system:
        gated = Gated()
        ref = system.spawn(gated.behavior, mailbox=Mailbox())
        for number in range(5_000):
            ref.tell(number)
        assert (system.statistics().queued, system.statistics().dead) == (5_000, 0)


async def test_bounds_of_children() -> None:
    """L4: `ctx.spawn` takes a mailbox too."""

    def begin(ctx: Ctx) -> Behavior[Any]:
        child = ctx.spawn(recorder([]), mailbox=Mailbox(1))
        for number in range(3):
            child.tell(number)
        return recorder([])

    async with ActorSystem() as system:
        system.spawn(Behaviors.setup(begin))
        await wait_all_tasks_blocked()
        assert system.statistics().dead == 2


async def test_a_teller_that_dies_of_a_rejection_is_one_actor() -> None:
    """L2, L4: `MailboxFullError` in a handler is that handler's failure."""
    async with ActorSystem() as system, system.events(ActorStopped) as stops:
        _, ref = await full(system, "reject")
        teller: Ref = system.spawn(Behaviors.receive(lambda ctx, message: ref.tell(message)))
        teller.tell("too much")
        async for stop in stops:
            assert isinstance(stop, ActorStopped)
            assert stop.ref == teller
            assert isinstance(stop.failure, MailboxFullError)
            break
        assert_adds_up(system.statistics())
        await system.stop(ref, grace=0)


class Shelf:
    """An actor that puts all aside until it is told to open, and then takes its time for each at a gate."""

    def __init__(self) -> None:
        self.gate = trio.Event()
        self.handled = list[Any]()
        self.behavior: Behavior[Any] = Behaviors.receive(self._put_aside)

    def _put_aside(self, ctx: Ctx, message: Any) -> Any:
        if message != "open":
            ctx.stash.add(message)
            return None
        ctx.stash.unstash_all()
        return Behaviors.receive(self._take)

    async def _take(self, ctx: Ctx, message: Any) -> None:
        await self.gate.wait()
        self.handled.append(message)


async def opened_shelf(system: ActorSystem, overflow: Any) -> tuple[Shelf, Any]:
    """Capacity 2; one in hand, and four that came back wait."""
    shelf = Shelf()
    ref = system.spawn(shelf.behavior, mailbox=Mailbox(2, overflow=overflow))
    for number in range(5):
        ref.tell(number)
        await wait_all_tasks_blocked()
    ref.tell("open")
    await wait_all_tasks_blocked()
    return shelf, ref


async def test_what_came_back_from_the_stash_is_the_oldest() -> None:
    """L4: it is dropped first, one for one, and what the mailbox holds does not grow."""
    letters: list[DeadLetter] = []
    async with ActorSystem() as system:
        system.event_stream.subscribe(system.spawn(recorder(letters)), DeadLetter)
        shelf, ref = await opened_shelf(system, "drop_oldest")
        for message in "abcdef":
            ref.tell(message)
            assert ref.cell.queued == 4
            assert_adds_up(system.statistics())
        await wait_all_tasks_blocked()
        assert [letter.message for letter in letters] == [1, 2, 3, 4, "a", "b"]
        shelf.gate.set()
        await wait_all_tasks_blocked()
        assert shelf.handled == [0, "c", "d", "e", "f"]
        assert_adds_up(system.statistics())


@pytest.mark.parametrize("overflow", ["drop_new", "drop_oldest", "reject"])
async def test_senders_wait_until_there_is_room_again_after_a_stash_came_back(overflow: Any) -> None:
    """L4: what is above the capacity goes first; the senders are let in one by one, in their order, never above it."""
    async with ActorSystem() as system:
        shelf, ref = await opened_shelf(system, overflow)
        most = list[int]()
        async with trio.open_nursery() as nursery:
            for message in "abcde":
                nursery.start_soon(ref.send, message)
                await wait_all_tasks_blocked()
            assert ref.cell.queued == 4
            assert len(nursery.child_tasks) == 5
            shelf.gate.set()
            while nursery.child_tasks:
                await trio.lowlevel.checkpoint()
                if len(nursery.child_tasks) < 5:  # somebody has been let in
                    most.append(ref.cell.queued)
        await wait_all_tasks_blocked()
        assert shelf.handled == [0, 1, 2, 3, 4, *"abcde"]
        assert max(most) <= 2
        assert_adds_up(system.statistics())
