"""How much may wait for a client's local actor, and what happens to the rest (L4, L5, L7)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
import sniffio
import trio
import trio.testing

from casty_trio import (
    ActorRef,
    ActorSettings,
    Behavior,
    Behaviors,
    ClientSettings,
    ClusterClient,
    ClusteredActorSystem,
    Mailbox,
    MailboxFullError,
    MessageDropped,
    OneForOneStrategy,
    SelfAskError,
    Settings,
    SettingsError,
    ShardEnvelope,
)
from casty_trio.client.mail import ClientMail
from casty_trio.model.mailbox import Overflow
from casty_trio.testing import Simulation, simulate
from tests.sim.shop import Ctx, GetAll, make_client, make_node

Program = Callable[[ClusterClient, ActorRef[Any], list[Any], trio.Event], Awaitable[object]]


def reader(read: list[Any], go_on: trio.Event) -> Behavior[Any]:
    """Puts down what it reads; before the first message it waits."""

    async def receive(ctx: Ctx, message: Any) -> None:
        await go_on.wait()
        if isinstance(message, GetAll):
            message.reply_to.tell((len(read),))
        else:
            read.append(message)

    return Behaviors.receive(receive)


def with_reader(program: Program, given: Mailbox | None = None, **settings: Any) -> None:
    async def scenario(sim: Simulation) -> None:
        read, go_on = list[Any](), trio.Event()
        async with make_node(sim), make_client(sim, settings=Settings(client=ClientSettings(**settings))) as client:
            ref = client.spawn(reader(read, go_on), "reader", mailbox=given)
            ref.tell("first")
            await trio.testing.wait_all_tasks_blocked()  # it is being handled, and takes no room
            await program(client, ref, read, go_on)

    simulate(scenario, 1)


@pytest.mark.parametrize(("overflow", "left"), [("drop_new", [0, 1, 2]), ("drop_oldest", [7, 8, 9]), ("reject", [0, 1, 2])])
@pytest.mark.parametrize("given", ["setting", "argument"])
def test_what_is_more_overflows(overflow: Overflow, left: list[int], given: str) -> None:
    """Each loss is counted and told; whoever tells hears of it only where the mailbox rejects."""

    async def program(client: ClusterClient, ref: ActorRef[Any], read: list[Any], go_on: trio.Event) -> None:
        rejected = 0
        async with client.events(MessageDropped) as drops:
            for number in range(10):
                try:
                    ref.tell(number)
                except MailboxFullError as error:
                    rejected += 1
                    assert str(error) == "the mailbox of /reader is full (3 messages wait)"  # noqa: PT017
            told = [await anext(drops) for _ in range(7)]
        assert rejected == (7 if overflow == "reject" else 0)
        assert all("the mailbox of /reader is full" in event.reason for event in told if isinstance(event, MessageDropped))
        assert (client.statistics().overflowed, client.statistics().dropped) == (7, 7)
        go_on.set()
        await trio.sleep(1)
        assert read == ["first", *left]

    if given == "setting":
        with_reader(program, mailbox=3, overflow=overflow)
    else:
        with_reader(program, Mailbox(3, overflow), mailbox=1, overflow="reject")


@pytest.mark.parametrize("overflow", ["drop_new", "drop_oldest", "reject"])
def test_an_ask_that_overflows_fails(overflow: Overflow) -> None:
    """L5: at once, by name, whether it is the new one or the oldest."""

    async def program(client: ClusterClient, ref: ActorRef[Any], read: list[Any], go_on: trio.Event) -> None:
        outcomes = list[str]()

        async def ask(number: int) -> None:
            try:
                await client.ask(ref, GetAll, timeout=60)
                outcomes.append(f"{number} answered")
            except MailboxFullError:
                outcomes.append(f"{number} full")

        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(ask, number)
                await trio.sleep(0.1)
            assert outcomes == (["0 full"] if overflow == "drop_oldest" else ["2 full"])
            go_on.set()
        assert len(outcomes) == 3

    with_reader(program, mailbox=2, overflow=overflow)


def test_senders_wait_in_order_and_those_of_one_that_stops_are_counted() -> None:
    """`send` waits for room whatever the mailbox does with the rest; a tell does not pass it."""

    async def program(client: ClusterClient, ref: ActorRef[Any], read: list[Any], go_on: trio.Event) -> None:
        async def send(number: int) -> None:
            await ref.send(number)

        async with trio.open_nursery() as nursery:
            for number in range(6):
                nursery.start_soon(send, number)
                await trio.sleep(0.01)
            ref.tell("no room")
            with trio.move_on_after(0.1) as scope:
                await ref.send("given up")
            assert scope.cancelled_caught
            assert client.statistics().overflowed == 1
            go_on.set()
        await trio.sleep(1)
        assert read == ["first", 0, 1, 2, 3, 4, 5]
        waits = client.spawn(reader([], trio.Event()), "waits", mailbox=Mailbox(1))
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(waits.send, "never")
                await trio.sleep(0.01)
            before = client.statistics().dropped
            nursery.start_soon(client.stop, waits)
        assert client.statistics().dropped - before == 3

    with_reader(program, mailbox=2)


def test_its_own_takes_no_room() -> None:
    """L7: timers, what was piped to it, and failures come in however full it is; it cannot wait for itself."""
    seen = list[Any]()

    async def receive(ctx: Ctx, message: Any) -> None:
        seen.append(message)
        if message == "begin":
            ctx.timers.once("tick", 0.1, "tick")
            ctx.pipe_to_self(anyio.sleep(0.2), lambda _: "piped")
            await anyio.sleep(1)
            ctx.self.tell("one")
            with pytest.raises(SelfAskError, match="waits for room in its own mailbox"):
                await ctx.self.send("two")

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim), make_client(sim) as client:
            supervised = Behaviors.supervise(Behaviors.receive(receive), OneForOneStrategy())
            ref = client.spawn(supervised, mailbox=Mailbox(1, "drop_oldest"))
            ref.tell("begin")
            await trio.sleep(5)
            assert seen == ["begin", "tick", "piped", "one"]
            assert client.statistics().overflowed == 0

    simulate(scenario, 1)


def test_what_the_cluster_tells_too_much_is_counted() -> None:
    """L4: the connection lives, whatever the mailbox does with it."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim) as node, make_client(sim) as client:
            read, go_on = list[Any](), trio.Event()
            ref = client.spawn(reader(read, go_on), "reader", mailbox=Mailbox(5, "reject"))
            await flood(node, client, ref)
            go_on.set()
            await trio.sleep(1)
            assert len(read) == 6
            assert client.statistics().overflowed == 14
            assert client.statistics().connections == 1

    async def flood(node: ClusteredActorSystem, client: ClusterClient, ref: ActorRef[Any]) -> None:
        async def pour(ctx: Ctx, whom: ActorRef[int]) -> None:
            for number in range(20):
                whom.tell(number)

        def tap(entity_id: str) -> Behavior[ActorRef[int]]:
            return Behaviors.receive(pour)

        node.spawn(Behaviors.sharded(tap, num_shards=1), "tap")
        await trio.sleep(1)
        taps: ActorRef[Any] = client.entity_ref("tap", num_shards=1)
        taps.tell(ShardEnvelope("a", ref))
        await trio.sleep(1)

    simulate(scenario, 1)


@pytest.mark.anyio
async def test_waiting_on_both_libraries(anyio_backend_name: str) -> None:
    """K6: the room that is left goes to who has waited longest, and a cancelled one leaves nothing."""
    assert sniffio.current_async_library() == anyio_backend_name
    mail = ClientMail(Mailbox(1))
    mail.put("a", 0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(mail.wait, "b")
        await anyio.wait_all_tasks_blocked()
        with anyio.move_on_after(0.01):
            await mail.wait("c")
        mail.put("own", 0, counted=False)
        assert mail.take() == ("a", 0)
    assert [mail.take()[0], mail.take()[0], bool(mail)] == ["own", "b", False]


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_others_get_a_turn_after_a_batch(batch: int) -> None:
    """L14: ``ActorSettings.batch`` counts for a client's actors as for a node's."""
    turn, handled = [0], Counter[int]()

    def receive(ctx: Ctx, message: Any) -> None:
        handled[turn[0]] += 1

    async def count_turns() -> None:
        while handled.total() < 200:
            turn[0] += 1
            await trio.lowlevel.checkpoint()

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim), make_client(sim, settings=Settings(actors=ActorSettings(batch=batch))) as client:
            ref = client.spawn(Behaviors.receive(receive))
            await trio.testing.wait_all_tasks_blocked()
            for number in range(200):
                ref.tell(number)
            await count_turns()

    simulate(scenario, 1)
    assert max(handled.values()) in (batch, 2 * batch), "two batches, where one ends and one begins between two looks"
    assert 200 / batch / 2 <= len(handled) <= 200 / batch + 1


def test_settings_that_cannot_be() -> None:
    for value in (0, -1, 1.5, None, "many"):
        with pytest.raises(SettingsError, match=r"ClientSettings\.mailbox"):
            ClientSettings(mailbox=value)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=r"ClientSettings\.overflow must be one of"):
        ClientSettings(overflow="explode")  # type: ignore[arg-type]
    assert ClientSettings(mailbox=math.inf).mailbox == math.inf

    async def program(client: ClusterClient, ref: ActorRef[Any], read: list[Any], go_on: trio.Event) -> None:
        with pytest.raises(SettingsError, match="mailbox must be"):
            client.spawn(Behaviors.ignore(), mailbox=5)  # type: ignore[arg-type]
        go_on.set()

    with_reader(program)
