"""Asks between nodes: every one ends, as it is named, and leaves nothing behind on either side."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import trio

from casty_trio import (
    ActorFailedError,
    ActorRef,
    ActorStoppedError,
    AskError,
    AskTimeoutError,
    Behavior,
    Behaviors,
    ClusteredActorSystem,
    DeadLetter,
    LinkSettings,
    Mailbox,
    MailboxFullError,
    OutcomeUnknownError,
    ReplyDecodeError,
    RequestRefusedError,
    UnknownActorError,
)
from casty_trio.testing import Conditions, Simulation, simulate
from tests.remote.nodes import (
    Fail,
    GetAll,
    Ignore,
    Late,
    Leave,
    Put,
    heard,
    member,
    opened,
    peer_of,
    quick,
    until,
    uri,
)
from tests.sim.shop import Host, cart, make_node, wants

ONE_WAY = 0.001


def nothing_left(*nodes: ClusteredActorSystem) -> None:
    """No ask is open anywhere."""
    for node in nodes:
        assert node.statistics().asks == 0
        assert all((counts.asks, counts.held) == (0, 0) for counts in node.peer_statistics())
        assert all(not connection.slots for connection in node.connections)


async def stuck(ctx: Any, message: Any) -> None:
    await trio.sleep(30)


async def ending(ctx: Any, message: Any) -> Behavior[Any]:
    await trio.sleep(0.01)
    return Behaviors.stopped()


def spawn_all(node: ClusteredActorSystem) -> None:
    """Somebody to ask for each way it can go."""
    node.spawn(cart("x"), "cart").tell(Put(7))
    node.spawn(Behaviors.receive(stuck), "full", mailbox=Mailbox(1))
    node.spawn(Behaviors.receive(ending), "ending")


ENDS: list[tuple[str, Callable[[ActorRef[Any]], Any], type[AskError], str]] = [
    ("/nobody", wants(GetAll), UnknownActorError, "no such actor"),
    ("/cart", wants(Fail, "kaputt"), ActorFailedError, "kaputt"),
    ("/ending", wants(GetAll), ActorStoppedError, "/ending"),
    ("/full", wants(GetAll), MailboxFullError, "full"),
    ("/cart", wants(Ignore), AskTimeoutError, "within 5 s"),
]


@pytest.mark.parametrize("connected", [False, True])
@pytest.mark.parametrize(("path", "make", "error", "text"), ENDS)
def test_every_end(path: str, make: Callable[..., Any], error: type[AskError], text: str, connected: bool) -> None:
    """L5: at once and as named, or at the timeout; whether the ask made the connection or found one."""

    async def scenario(sim: Simulation) -> None:
        async with opened(sim) as [one, other]:
            spawn_all(one)
            if connected:
                assert await other.ask(other.resolve(uri(1, "/cart")), wants(GetAll)) == (7,)
            began = trio.current_time()
            ref: ActorRef[Any] = other.resolve(uri(1, path))
            if path in ("/full", "/ending"):
                for number in range(3):
                    ref.tell(Put(number))
            with pytest.raises(error, match=text) as caught:
                await other.ask(ref, make)
            assert type(caught.value) is error
            took = trio.current_time() - began
            assert took == 5 if error is AskTimeoutError else took < 0.1
            await trio.sleep(1)
            nothing_left(one, other)

    simulate(scenario, 1)


def test_what_one_side_does_not_know() -> None:
    """L5: a message of an unknown type is refused, a reply of one named at the asker; the connection lives."""

    async def scenario(sim: Simulation) -> None:
        async with member(sim, 1) as one, make_node(sim, 2, messages=[GetAll, Ignore]) as other:
            spawn_all(one)
            ref: ActorRef[Any] = other.resolve(uri(1, "/cart"))
            two = make_node(sim, 3, messages=[Late])
            async with two:
                two.spawn(cart("x"), "cart")
                with pytest.raises(RequestRefusedError, match="GetAll"):
                    await other.ask(other.resolve(uri(3, "/cart")), wants(GetAll))
            one.codec.register(Fail)
            one.spawn(Behaviors.receive(lambda ctx, message: message.reply_to.tell(Fail("x"))), "strange")
            with pytest.raises(ReplyDecodeError, match="Fail"):
                await other.ask(other.resolve(uri(1, "/strange")), wants(Ignore))
            assert await other.ask(ref, wants(GetAll)) == (7,)
            nothing_left(one, other)
            assert len(one.connections) == 1

    simulate(scenario, 1)


@pytest.mark.parametrize("way", ["timeout", "cancelled"])
def test_giving_up_travels(way: str) -> None:
    """L5: the node skips the message that still waits, and a reply that comes late is a dead letter there."""

    async def scenario(sim: Simulation) -> None:
        async with opened(sim) as [one, other]:
            one.spawn(cart("x"), "cart")
            ref: ActorRef[Any] = other.resolve(uri(1, "/cart"))
            assert await other.ask(ref, wants(GetAll)) == ()
            ref.tell(Late(1, 4.0, one.dead_letters))
            timeout = 1.0 if way == "timeout" else math.inf
            with trio.move_on_after(1.0):
                with pytest.raises(AskTimeoutError) if way == "timeout" else trio.CancelScope():
                    await other.ask(ref, wants(Fail, "it was not skipped"), timeout=timeout)
            await trio.sleep(0.1)
            nothing_left(one, other)
            await trio.sleep(5)
            assert await other.ask(ref, wants(GetAll)) == ()
            with trio.move_on_after(1.0):
                await other.ask(ref, wants(Late, 1, 2.0), timeout=math.inf)
            before = one.statistics().dead_letters
            await trio.sleep(3)
            assert one.statistics().dead_letters == before + 1
            assert other.statistics().dead_letters == 0
            nothing_left(one, other)

    simulate(scenario, 1)


def test_an_ask_that_still_waits_here_is_removed() -> None:
    """L5: it was never written, so nobody has to be told, and its room is free again."""

    async def scenario(sim: Simulation) -> None:
        async with member(sim, 2) as other:
            ref: ActorRef[Any] = other.resolve(uri(1, "/cart"))
            with pytest.raises(AskTimeoutError):
                await other.ask(ref, wants(GetAll), timeout=1.0)
            with trio.move_on_after(1.0):
                await other.ask(ref, wants(GetAll), timeout=math.inf)
            [counts] = other.peer_statistics()
            assert (counts.asks, counts.held, counts.held_bytes) == (0, 0, 0)
            async with member(sim, 1) as one:
                letters = heard(one, DeadLetter)
                one.spawn(cart("x"), "cart")
                assert await other.ask(ref, wants(GetAll)) == ()
                assert letters == []
                assert one.lookup("/cart").sent == 1  # type: ignore[union-attr] # a local one

    simulate(scenario, 1)


def test_an_ask_that_waits_is_sent_when_the_node_is_there() -> None:
    """K5: one that is still queued is sent after the connect, and carries what is left of its time."""

    async def scenario(sim: Simulation) -> None:
        async with member(sim, 2) as other, trio.open_nursery() as nursery:
            answers = list[object]()

            async def ask() -> None:
                answers.append(await other.ask(other.resolve(uri(1, "/cart")), wants(GetAll), timeout=10))

            nursery.start_soon(ask)
            await trio.sleep(3)
            deadlines = list[float]()

            def receive(ctx: Any, message: Any) -> None:
                deadlines.append(ctx.deadline)
                message.reply_to.tell((1,))

            async with member(sim, 1) as one:
                one.spawn(Behaviors.receive(receive), "cart")
                await until(lambda: answers)
            assert answers == [(1,)]
            assert 9.9 < deadlines[0] <= 10.1

    simulate(scenario, 1)


def test_outcome_unknown_when_the_connection_ends() -> None:
    """K5: an ask that was written fails at once when the connection does; one that waited is asked again, once."""

    async def scenario(sim: Simulation) -> None:
        async with opened(sim) as [one, other], trio.open_nursery() as nursery:
            one.spawn(cart("x"), "cart")
            ref: ActorRef[Any] = other.resolve(uri(1, "/cart"))
            errors = list[Exception]()

            async def ask() -> None:
                with pytest.raises(OutcomeUnknownError) as caught:
                    await other.ask(ref, wants(Ignore), timeout=math.inf)
                errors.append(caught.value)

            for _ in range(3):
                nursery.start_soon(ask)
            await trio.sleep(1)
            sim.network.cut("node-1", "node-2")
            await trio.sleep(0.1)
            assert len(errors) == 3
            assert "ended before a reply came" in str(errors[0])
            assert await other.ask(ref, wants(GetAll)) == ()
            nothing_left(one, other)

    simulate(scenario, 1)


@pytest.mark.parametrize("stop", ["leave", "kill"])
def test_the_node_ends_while_it_is_asked(stop: str) -> None:
    """K5 and L5: at once, and named; with its last words when it leaves in order."""

    async def scenario(sim: Simulation) -> None:
        async with member(sim, 2, link=quick()) as other, trio.open_nursery() as nursery:
            host = Host(sim, nursery)
            node = await host.start()
            node.spawn(cart("x"), "quiet")
            ref: ActorRef[Any] = other.resolve(uri(1, "/quiet"))
            ended = list[str]()

            async def ask(timeout: float) -> None:
                with pytest.raises(AskError) as caught:
                    await other.ask(ref, wants(Ignore), timeout=timeout)
                ended.append(type(caught.value).__name__)

            nursery.start_soon(ask, math.inf)
            await trio.sleep(1)
            await (host.stop() if stop == "leave" else host.kill())
            await until(lambda: ended, 3)
            assert ended == ["OutcomeUnknownError"]
            began = trio.current_time()
            nursery.start_soon(ask, math.inf)
            await until(lambda: len(ended) == 2)
            assert trio.current_time() - began < 10
            assert ended[1] == "AskError"

    simulate(scenario, 1)


def test_watching_the_one_that_is_asked() -> None:
    """L5: ``watch=True`` ends the ask when the actor stops without having replied; nothing is left on either node."""

    async def scenario(sim: Simulation) -> None:
        async with opened(sim) as [one, other], trio.open_nursery() as nursery:
            one.spawn(cart("x"), "cart")
            ref: ActorRef[Any] = other.resolve(uri(1, "/cart"))
            ended = list[str]()

            async def ask() -> None:
                with pytest.raises(ActorStoppedError):
                    await other.ask(ref, wants(Ignore), timeout=math.inf, watch=True)
                ended.append("stopped")

            for _ in range(2):
                nursery.start_soon(ask)
            await trio.sleep(1)
            assert peer_of(other, 1).watches.watching == 2
            ref.tell(Leave())
            await until(lambda: len(ended) == 2)
            await trio.sleep(1)
            nothing_left(one, other)
            assert peer_of(other, 1).watches.watching == peer_of(one, 2).watches.watched == 0

    simulate(scenario, 1)


def test_no_room_for_an_ask() -> None:
    """L5 and W6: a full queue to the node ends the ask at once, as a full mailbox would."""

    async def scenario(sim: Simulation) -> None:
        link = LinkSettings(max_frame=1024, max_message=16 * 1024, queue=16 * 1024)
        async with opened(sim, link=link) as [one, other]:
            one.spawn(cart("x"), "cart")
            ref: ActorRef[Any] = other.resolve(uri(1, "/cart"))
            for connected in (False, True):
                if connected:
                    await until(lambda: len(other.connections) == 1)
                    sim.network.set_conditions(Conditions(stalled=True), between=("node-1", "node-2"))
                before = other.statistics().dead_letters
                for _ in range(200):
                    ref.tell(Put(1))
                    ref.tell(Fail("x" * 1000))
                assert other.statistics().dead_letters > before
                with pytest.raises(MailboxFullError, match="cannot be asked now"):
                    await other.ask(ref, wants(Fail, "x" * 1000))
                assert peer_of(other, 1).asks == {}

    simulate(scenario, 1)


def test_asks_of_nobody() -> None:
    """W8: a past incarnation of our own, and an ask of ours that is over, are unknown at once."""

    async def scenario(sim: Simulation) -> None:
        async with opened(sim) as [one, _]:
            first = one.spawn(cart("x"), "cart")
            address = first.address
            await one.stop(first)
            one.spawn(cart("x"), "cart")
            ref: ActorRef[Any] = one.resolve(address)
            with pytest.raises(UnknownActorError, match="nobody"):
                await one.ask(ref, wants(GetAll))

    simulate(scenario, 1)
