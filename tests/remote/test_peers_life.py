"""Connections between nodes: bounds, keep-alive, peers that are slow, mute or gone, addresses, and how it all ends."""

from __future__ import annotations

import logging
import math
from typing import Any

import pytest
import trio

from casty_trio import (
    ActorRef,
    AskError,
    ClusteredActorSystem,
    DeadLetter,
    LinkLost,
    NodeGone,
    OutcomeUnknownError,
)
from casty_trio.testing import Conditions, Simulation, simulate
from tests.remote.nodes import (
    GetAll,
    Ignore,
    Note,
    Put,
    heard,
    member,
    opened,
    peer_of,
    quick,
    sink,
    until,
    uri,
    watcher,
)
from tests.sim.shop import NAME, PORT, Host, assert_adds_up, cart, make_node, small_link, wants

STALLED = Conditions(stalled=True)
BALLAST = bytes(900)


# --- Bounds ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("connected", [False, True])
def test_a_queue_is_bounded(connected: bool) -> None:
    """W6, L4: `tell` overflows to counted dead letters, `send` waits; nothing is lost silently, and order holds."""

    async def scenario(sim: Simulation) -> None:
        notes = list[Note]()
        link = small_link(max_message=1024, queue=16 * 1024, gone_after=1_000.0, dead_after=1_000.0)
        async with opened(sim, link=link) as [one, other]:
            one.spawn(sink(notes), "sink")
            letters = heard(other, DeadLetter)
            await trio.sleep(0.1)
            ref: ActorRef[Note] = other.resolve(uri(1, "/sink"))
            if connected:
                ref.tell(Note(-1))
                await until(lambda: notes)
            sim.network.set_conditions(Conditions(stalled=True, window=1024), between=("node-1", "node-2"))
            for number in range(100):
                ref.tell(Note(number, 0, BALLAST))
            await trio.sleep(1)
            [counts] = other.peer_statistics()
            assert max(counts.held_bytes, counts.queued_bytes) <= 16 * 1024
            assert 80 <= len(letters) < 90
            assert "wait" in letters[0].reason
            async with trio.open_nursery() as nursery:
                for number in range(100, 110):
                    nursery.start_soon(ref.send, Note(number, 1, BALLAST))
                nursery.start_soon(ref.send, Note(110, 2, BALLAST))
                await trio.sleep(60)
                assert len(nursery.child_tasks) >= 9
                sim.network.set_conditions(Conditions(), between=("node-1", "node-2"))
            await until(lambda: len([note for note in notes if note.number >= 100]) == 11)
            arrived = [note.number for note in notes if 0 <= note.number < 100]
            assert arrived == sorted(arrived)
            assert len(arrived) + len(letters) == 100
            assert_adds_up(one.statistics())

    simulate(scenario, 1)


def test_who_waits_for_room_hears_of_the_end() -> None:
    """W6: a `send` that waits is a dead letter when the node is gone, and is over when it is cancelled."""

    async def scenario(sim: Simulation) -> None:
        link = small_link(max_message=1024, queue=1024, gone_after=5.0, handshake_timeout=1.0)
        async with member(sim, 2, link=link) as other:
            ref: ActorRef[Note] = other.resolve(uri(1, "/sink"))
            ref.tell(Note(1, 0, BALLAST))
            with trio.move_on_after(1) as scope:
                await ref.send(Note(2, 0, BALLAST))
            assert scope.cancelled_caught
            async with trio.open_nursery() as nursery:
                for number in range(3):
                    nursery.start_soon(ref.send, Note(number, 0, BALLAST))
                await trio.sleep(3)
                assert len(nursery.child_tasks) == 3
                await trio.sleep(20)
            assert other.statistics().dead_letters + other.peer_statistics()[0].held == 4

    simulate(scenario, 1)


def test_a_mute_peer_delays_nobody() -> None:
    """W6: one that is dialled and does not answer, one that takes nothing: traffic to a third is as quick as without."""

    async def scenario(sim: Simulation) -> None:
        sim.network.set_conditions(Conditions(delay=(0.001, 0.001), cut=0))
        link = quick(gone_after=1_000.0, dead_after=1_000.0)
        async with opened(sim, 3, link=link) as [one, two, three]:
            two.spawn(cart("x"), "cart")
            three.spawn(cart("x"), "cart")
            good: ActorRef[Any] = one.resolve(uri(2, "/cart"))
            slow: ActorRef[Any] = one.resolve(uri(3, "/cart"))
            mute: ActorRef[Any] = one.resolve(uri(4, "/cart"))
            await one.ask(good, wants(GetAll))
            await one.ask(slow, wants(GetAll))

            async def times() -> list[float]:
                took = list[float]()
                for _ in range(50):
                    began = trio.current_time()
                    await one.ask(good, wants(GetAll))
                    took.append(trio.current_time() - began)
                    slow.tell(Put(1))
                    mute.tell(Put(1))
                return took

            before = max(await times())
            for number in (3, 4):
                sim.network.set_conditions(STALLED, between=("node-1", f"node-{number}"))
            await trio.sleep(0.1)
            assert max(await times()) < before + 0.02

    simulate(scenario, 1)


# --- Keep-alive -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [("node-1", "node-2"), ("node-2", "node-1"), None])
@pytest.mark.parametrize("busy", [False, True])
def test_a_half_open_connection_is_noticed(way: tuple[str, str] | None, busy: bool) -> None:
    """W6: on both sides, within ``dead_after`` and what it takes to ask; the asks on it end then."""

    async def scenario(sim: Simulation) -> None:
        notes = list[Note]()
        async with opened(sim, link=quick(gone_after=1_000.0)) as [one, other], trio.open_nursery() as nursery:
            one.spawn(sink(notes), "sink")
            ref: ActorRef[Any] = other.resolve(uri(1, "/sink"))
            ref.tell(Note(0))
            await trio.sleep(20)
            assert len(one.connections) == len(other.connections) == 1
            ended = list[str]()

            async def ask() -> None:
                with pytest.raises(OutcomeUnknownError, match=r"nothing came from the peer|lost|without a goodbye"):
                    await other.ask(ref, wants(Ignore), timeout=math.inf)
                ended.append("ask")

            async def talk() -> None:
                while True:
                    ref.tell(Note(1))
                    await trio.sleep(0.1)

            nursery.start_soon(ask)
            if busy:
                nursery.start_soon(talk)
            await trio.sleep(1)
            lost = [heard(node, LinkLost) for node in (one, other)]
            await trio.sleep(0.01)
            if way is None:
                sim.network.set_conditions(STALLED, between=("node-1", "node-2"))
            else:
                sim.network.set_conditions(STALLED, one_way=way)
            began = trio.current_time()
            await until(lambda: ended and all(lost))
            assert 1.4 < trio.current_time() - began < 2 * (2.0 + 0.5)
            nursery.cancel_scope.cancel()

    simulate(scenario, 1)


def test_a_link_in_use_is_not_asked_needlessly() -> None:
    """W6: where something comes all the time nobody asks; where only one end talks, it asks what has arrived."""

    async def scenario(sim: Simulation) -> None:
        notes = list[Note]()
        async with opened(sim, link=quick(keep_alive=1.0, dead_after=3.0)) as [one, other], trio.open_nursery() as nursery:
            one.spawn(sink(notes), "sink")
            ref: ActorRef[Any] = other.resolve(uri(1, "/sink"))
            ref.tell(Note(0))
            await until(lambda: notes)
            [speaker], [listener] = other.connections, one.connections

            async def talk() -> None:
                while True:
                    ref.tell(Note(1))
                    await trio.sleep(0.1)

            nursery.start_soon(talk)
            await trio.sleep(100)
            pings = speaker.link.statistics().frames_out - len(notes)
            assert 90 <= pings <= 110
            assert listener.link.statistics().frames_out <= pings + 2  # it answers, and asks nothing
            assert speaker.link.statistics().unconfirmed < 2_000
            nursery.cancel_scope.cancel()
        assert len(notes) > 900

    simulate(scenario, 1)


def test_what_was_confirmed_is_not_lost() -> None:
    """L4: an idle connection that breaks has lost nothing, and says so."""

    async def scenario(sim: Simulation) -> None:
        notes = list[Note]()
        async with opened(sim, link=quick()) as [one, other]:
            one.spawn(sink(notes), "sink")
            ref: ActorRef[Any] = other.resolve(uri(1, "/sink"))
            lost = heard(other, LinkLost)
            ref.tell(Note(0, 0, bytes(1000)))
            await trio.sleep(10)
            sim.network.cut("node-1", "node-2")
            await until(lambda: lost)
            ref.tell(Note(1, 0, bytes(1000)))
            await until(lambda: len(notes) == 2)
            sim.network.cut("node-1", "node-2")
            await until(lambda: len(lost) == 2)
            assert lost[0].unconfirmed == 0
            assert 1000 < lost[1].unconfirmed < 1200
            assert (lost[0].node_id, lost[0].host, lost[0].port) == ("node-1", "node-1", PORT)

    simulate(scenario, 1)


@pytest.mark.parametrize(("setting", "noticed"), [({"dead_after": 2.0}, True), ({"dead_after": math.inf}, False)])
def test_settings_of_keep_alive_are_read(setting: dict[str, float], noticed: bool) -> None:
    """L14: `math.inf` never gives up."""

    async def scenario(sim: Simulation) -> None:
        async with opened(sim, link=quick(**setting)) as [one, other]:
            one.spawn(sink([]), "sink")
            other.resolve(uri(1, "/sink")).tell(Note(0))
            await trio.sleep(1)
            sim.network.set_conditions(STALLED, between=("node-1", "node-2"))
            await trio.sleep(100)
            assert bool(other.connections) != noticed

    simulate(scenario, 1)


# --- Gone -----------------------------------------------------------------------------------------------------------------


async def declare_gone(sim: Simulation, node: ClusteredActorSystem, *, connected: bool) -> None:
    """Let a node declare node 1 gone, with a connection to it or without."""
    await trio.sleep(0.1)
    if not connected:
        sim.network.cut("node-1", "node-2")
        sim.network.set_conditions(STALLED, between=("node-1", "node-2"))
        await trio.sleep(0.1)
    node.peers.declare_gone(peer_of(node, 1), "for a test")
    sim.network.set_conditions(Conditions(), between=("node-1", "node-2"))


@pytest.mark.parametrize("connected", [True, False])
def test_a_node_that_is_declared_gone(connected: bool) -> None:
    """L6: its connection ends, both sides refuse that start of the other for good, and a new start is another node."""

    async def scenario(sim: Simulation) -> None:
        story = list[Any]()
        async with member(sim, 2, link=quick()) as other, trio.open_nursery() as nursery:
            host = Host(sim, nursery, link=quick())
            one = await host.start()
            actor = one.spawn(cart("x"), "one")
            pinned: ActorRef[Any] = other.resolve(actor.address)
            free: ActorRef[Any] = other.resolve(uri(1, "/one"))
            other.spawn(watcher(story, pinned, free))
            mine = other.spawn(cart("x"), "mine")
            back: ActorRef[Any] = one.resolve(mine.address)
            back.tell(Put(1))
            await trio.sleep(1)
            gone = [heard(node, NodeGone) for node in (one, other)]
            await declare_gone(sim, other, connected=connected)
            await until(lambda: len(story) == 2)
            assert len({str(end.failure) for end in story}) == 1
            for ref in (pinned, free):
                with pytest.raises(AskError):
                    await other.ask(ref, wants(GetAll))
            with pytest.raises(AskError):
                await one.ask(back, wants(GetAll))
            await trio.sleep(30)
            assert [event.uid for events in gone for event in events] == [other.uid, one.uid]
            assert not one.connections
            assert not other.connections
            assert one.uid in other.peers.gone
            assert other.uid in one.peers.gone
            await host.stop()
            again = await host.start()
            again.spawn(cart("x"), "one")
            assert await other.ask(free, wants(GetAll), timeout=60) == ()
            assert len(story) == 2
            await host.stop()

    simulate(scenario, 1)


def test_a_gone_node_that_is_just_coming_in() -> None:
    """L6: one that was let in before it was declared gone, and becomes a connection after, is turned away."""

    async def scenario(sim: Simulation) -> None:
        sim.network.set_conditions(Conditions(delay=(0.1, 0.1), cut=0))
        async with opened(sim, link=quick()) as [one, other]:
            one.spawn(sink([]), "sink")
            ref = other.resolve(uri(1, "/sink"))
            for wait in (0.1, 0.45, 0.5, 0.55):
                ref.tell(Note(1))
                await trio.sleep(wait)
                other.peers.gone[one.uid] = "for a test"
                await trio.sleep(5)
                assert not one.connections
                assert not other.connections
                one.peers.gone.clear()
                other.peers.gone.clear()

    simulate(scenario, 1)


def test_gone_after_and_a_node_nobody_knew() -> None:
    """L6 and L14: what waits for an address where nobody ever was ends at ``gone_after``, and may be tried again."""

    async def scenario(sim: Simulation) -> None:
        async with member(sim, 2, link=quick(gone_after=3.0)) as other:
            story, gone = list[Any](), heard(other, NodeGone)
            ref: ActorRef[Any] = other.resolve(uri(1, "/cart"))
            other.spawn(watcher(story, ref))
            began = trio.current_time()
            with pytest.raises(AskError, match="could not be reached in time"):
                await other.ask(ref, wants(GetAll), timeout=60)
            assert 2.9 < trio.current_time() - began < 3.2
            await trio.sleep(0.01)  # the watcher hears of it in a turn of its own
            assert len(story) == 1
            async with member(sim, 1) as one:
                one.spawn(cart("x"), "cart")
                assert await other.ask(ref, wants(GetAll), timeout=60) == ()
            assert gone == []

    simulate(scenario, 1)


# --- Addresses ------------------------------------------------------------------------------------------------------------


def test_advertised_and_mapped_addresses() -> None:
    """A node says where it is reached, and another turns that into what it can dial."""

    async def scenario(sim: Simulation) -> None:
        dialled = list[tuple[str, int]]()

        def through_the_tunnel(host: str, port: int) -> tuple[str, int]:
            dialled.append((host, port))
            return ("node-1", 7_000) if host == "inside.example" else (host, port)

        inside = make_node(
            sim, 1, port=7_000, advertised_host="inside.example", advertised_port=1, bind_port=7_000, messages=[Put]
        )
        async with inside, make_node(sim, 2, messages=[Put], address_map=through_the_tunnel) as outside:
            notes = list[Any]()
            inside.spawn(sink(notes), "sink")
            assert inside.address.uri == f"casty://{NAME}@inside.example:1/"
            outside.resolve(f"casty://{NAME}@inside.example:1/sink").tell(Put(1))
            await until(lambda: notes)
            assert dialled == [("inside.example", 1)]
            assert [counts.host for counts in outside.peer_statistics()] == ["inside.example"]

    simulate(scenario, 1)


def test_another_name_of_an_address(caplog: pytest.LogCaptureFixture) -> None:
    """W7: a node is talked to by the one address that it gives; else there would be two connections, and no order."""

    async def scenario(sim: Simulation) -> None:
        async with make_node(sim, 1, advertised_host="one.example", messages=[Put, GetAll]) as one, member(sim, 2) as other:
            one.spawn(cart("x"), "cart")
            with pytest.raises(AskError, match="is to be reached at one"):
                await other.ask(other.resolve(uri(1, "/cart")), wants(GetAll))
            for _ in range(1000):
                other.resolve(uri(1, "/cart")).tell(Put(1))
                await trio.sleep(0.01)
            await trio.sleep(10)
            assert peer_of(other, 1).dials < 20
            assert not one.connections
            impostor = make_node(sim, 3, advertised_host="node-2", messages=[Put])
            async with impostor:
                impostor.resolve(uri(2, "/x"))
                with pytest.raises(AskError):
                    await other.ask(other.resolve(uri(3, "/cart")), wants(GetAll))

    with caplog.at_level(logging.WARNING):
        simulate(scenario, 1)
    assert sum("cannot talk to node-1" in record.getMessage() for record in caplog.records) == 1


def test_oneself_by_another_name() -> None:
    """W3: a node that dials itself is told so, and what waits is a dead letter."""

    async def scenario(sim: Simulation) -> None:
        aliases = {"alias": "node-1"}
        node = member(sim, 1, address_map=lambda host, port: (aliases.get(host, host), port))
        async with node:
            with pytest.raises(AskError, match="did it dial itself"):
                await node.ask(node.resolve(f"casty://{NAME}@alias:{PORT}/x"), wants(GetAll))

    simulate(scenario, 1)
