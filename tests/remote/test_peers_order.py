"""Order and conservation between nodes: crossing dials, and connections that break at any byte, over many seeds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product
from random import Random
from typing import Any

import pytest
import trio

from casty_trio import ActorAddress, ActorRef, ClusteredActorSystem, DeadLetter, LinkLost
from casty_trio.protocol import wire
from casty_trio.protocol.frames import Kind
from casty_trio.testing import Conditions, Simulation, simulate
from tests.remote.nodes import Note, heard, member, opened, peer_of, quick, sink, until, uri
from tests.sim.shop import Host, assert_adds_up, census, small_link

BATCH = 20


def batches(count: int) -> list[range]:
    """Seeds in pieces, each of which is a test."""
    return [range(start, min(start + BATCH, count)) for start in range(0, count, BATCH)]


def mesh(nodes: Sequence[ClusteredActorSystem]) -> dict[tuple[int, int], ActorRef[Note]]:
    """A ref from each node to the sink of each other."""
    pairs = [(one, two) for one in range(len(nodes)) for two in range(len(nodes)) if one != two]
    return {(one, two): nodes[one].resolve(uri(two + 1, "/sink")) for one, two in pairs}


def check_order(notes: list[Note]) -> None:
    """W5: what came from one sender came in order, and once."""
    for sender in {note.sender for note in notes}:
        numbers = [note.number for note in notes if note.sender == sender]
        assert all(later > earlier for earlier, later in pairwise(numbers)), numbers


# --- Crossing dials --------------------------------------------------------------------------------------------------------


def check_one(node: ClusteredActorSystem, got: list[Note], others: int) -> None:
    """W7: one connection for each other node, and all that they said."""
    check_order(got)
    assert len(got) == 10 * others
    assert len(node.connections) == others
    assert all(counts.connected and not counts.held for counts in node.peer_statistics())
    assert node.statistics().dead_letters == 0


def crossing(seed: int, count: int) -> None:
    """All nodes dial all others at almost the same moment, over links of any speed."""

    async def scenario(sim: Simulation) -> None:
        rng = sim.rng("test")
        slowest = rng.choice([0.0, 0.01, 0.2])
        for one, two in product(range(1, count + 1), repeat=2):
            delay = (0.0, rng.random() * slowest)
            sim.network.set_conditions(Conditions(delay=delay), one_way=(f"node-{one}", f"node-{two}"))
        before = census()
        async with opened(sim, count) as nodes, trio.open_nursery() as nursery:
            notes: list[list[Note]] = [[] for _ in nodes]
            lost = [heard(node, LinkLost) for node in nodes]
            for node, got in zip(nodes, notes, strict=True):
                node.spawn(sink(got), "sink")

            async def talk(sender: int, ref: ActorRef[Note], begin: float) -> None:
                await trio.sleep(begin)
                for number in range(10):
                    ref.tell(Note(number, sender))
                    if number % 3 == 0:
                        await trio.sleep(rng.random() * slowest)

            for (one, _), ref in mesh(nodes).items():
                nursery.start_soon(talk, one, ref, rng.random() * slowest)
            await until(lambda: all(len(got) == 10 * (count - 1) for got in notes))
            await trio.sleep(10)
            assert lost == [[] for _ in nodes]
            for node, got in zip(nodes, notes, strict=True):
                check_one(node, got, count - 1)
        assert census() == before

    simulate(scenario, seed)


@pytest.mark.parametrize("seeds", batches(320), ids=str)
def test_two_nodes_that_dial_each_other_at_once(seeds: range) -> None:
    """W7: exactly one connection remains, and nothing is lost or doubled."""
    for seed in seeds:
        crossing(seed, 2)


@pytest.mark.parametrize("seeds", batches(40), ids=str)
def test_four_nodes_that_dial_each_other_at_once(seeds: range) -> None:
    """W7: one connection for each pair."""
    for seed in seeds:
        crossing(seed, 4)


# --- Connections that break -----------------------------------------------------------------------------------------------


class Flow:
    """Numbered messages from one node to another, and where each of them went."""

    def __init__(self, sender: ClusteredActorSystem, ref: ActorRef[Note], rng: Random, number: int) -> None:
        self.ref = ref
        self.sent = 0
        self._sender, self._rng, self._number = sender, rng, number

    async def run(self, count: int) -> None:
        """Tell and send, in bursts."""
        rng = self._rng
        for _ in range(count):
            note = Note(self.sent, self._number, bytes(rng.choice([0, 0, 10, 3_000])))
            self.sent += 1
            if rng.randrange(2):
                self.ref.tell(note)
            else:
                await self.ref.send(note)
            if not rng.randrange(4):
                await trio.sleep(rng.random() * 0.05)


async def break_often(sim: Simulation, rng: Random, times: int) -> None:
    """Cut the network between two nodes at bytes and moments."""
    for _ in range(times):
        ends = ["node-1", "node-2"]
        rng.shuffle(ends)
        match rng.randrange(4):
            case 0:
                sim.network.cut(ends[0], ends[1])
            case 1:
                sim.network.set_conditions(Conditions(stalled=True), one_way=(ends[0], ends[1]))
                await trio.sleep(rng.random() * 4)
                sim.network.set_conditions(SLOW, between=("node-1", "node-2"))
            case _:
                sim.network.cut(ends[0], ends[1], after=rng.randrange(1, 20_000))
        await trio.sleep(rng.random() * 0.5)


SLOW = Conditions(delay=(0.0, 0.02))


def unaccounted(got: list[Note], events: list[LinkLost], dead: list[DeadLetter]) -> int:
    """How many messages are missing and were no dead letters; they are in what broken links report."""
    check_order(got)
    reported = {letter.message.number for letter in dead if isinstance(letter.message, Note)}
    arrived = {note.number for note in got}
    assert not reported & arrived
    missing = set(range(151)) - arrived - reported
    assert not missing or sum(event.unconfirmed for event in events) >= 10 * len(missing), missing
    return len(missing)


def breaking(seed: int) -> int:
    """Both nodes send while connections break; how many messages were lost."""
    lost = list[int]()

    async def scenario(sim: Simulation) -> None:
        rng = sim.rng("test")
        link = small_link(keep_alive=0.5, dead_after=2.0, handshake_timeout=1.0, gone_after=1_000.0)
        sim.network.set_conditions(SLOW, between=("node-1", "node-2"))
        async with opened(sim, link=link) as nodes:
            notes: list[list[Note]] = [[], []]
            for node, got in zip(nodes, notes, strict=True):
                node.spawn(sink(got), "sink")
            breaks = [heard(node, LinkLost) for node in nodes]
            letters = [heard(node, DeadLetter) for node in nodes]
            flows = [Flow(nodes[one], ref, rng, one) for (one, _), ref in mesh(nodes).items()]
            async with trio.open_nursery() as nursery:
                nursery.start_soon(break_often, sim, rng, 12)
                for flow in flows:
                    nursery.start_soon(flow.run, 150)
            for ends in (("node-1", "node-2"), ("node-2", "node-1")):
                sim.network.cut(*ends, after=10**9)
            await trio.sleep(30)
            for flow in flows:
                flow.ref.tell(Note(flow.sent, flow._number))
            await until(lambda: all(got and got[-1].number == 150 for got in notes))
            await trio.sleep(30)
            for got, events, dead in zip(reversed(notes), breaks, letters, strict=True):
                lost.append(unaccounted(got, events, dead))
            for node in nodes:
                assert len(node.connections) == 1
                assert all(not counts.held and not counts.asks for counts in node.peer_statistics())
                assert_adds_up(node.statistics())
            for one, other in ((0, 2), (1, 1)):
                peer = peer_of(nodes[one], other)
                assert (peer._admitted, peer._confirming) == (0, 0)

    simulate(scenario, seed)
    return sum(lost)


@pytest.mark.parametrize("seeds", batches(60), ids=str)
def test_order_over_connections_that_break(seeds: range) -> None:
    """W5 and L4: strictly increasing numbers; what is missing was a dead letter, or unconfirmed on a link that was lost."""
    assert sum(breaking(seed) for seed in seeds) > 0


def test_the_connection_breaks_behind_any_byte() -> None:
    """W5: a few messages, and a cut behind every other byte of them, in both directions."""

    async def scenario(sim: Simulation) -> None:
        notes: list[Any] = []
        async with opened(sim, link=quick()) as [one, other]:
            one.spawn(sink(notes), "sink")
            lost = heard(other, LinkLost)
            ref: ActorRef[Note] = other.resolve(uri(1, "/sink"))
            number = 0
            for after in range(1, 150, 2):
                for ends in (("node-2", "node-1"), ("node-1", "node-2")):
                    sim.network.cut(*ends, after=after)
                    had, before = len(notes), len(lost)
                    for _ in range(3):
                        ref.tell(Note(number))
                        number += 1
                    await until(lambda had=had, before=before: len(notes) - had == 3 or len(lost) > before)  # type: ignore[misc] # as bound
                    await trio.sleep(1)
            ref.tell(Note(number))
            await until(lambda: notes[-1].number == number)
            check_order(notes)
            assert len(lost) > 40
            assert len(notes) > 200

    simulate(scenario, 1)


def test_what_was_queued_goes_ahead_of_what_came_after_the_end() -> None:
    """W5: a connection breaks with mail in its queue, and more is told before anybody has looked after it."""

    async def scenario(sim: Simulation) -> None:
        notes = list[Note]()
        async with opened(sim) as [one, other]:
            one.spawn(sink(notes), "sink")
            ref: ActorRef[Note] = other.resolve(uri(1, "/sink"))
            ref.tell(Note(0))
            await until(lambda: notes)
            [connection] = other.connections
            sim.network.set_conditions(Conditions(stalled=True, window=1024), between=("node-1", "node-2"))
            ref.tell(Note(1, ballast=bytes(50_000)))
            await trio.sleep(0.1)  # it is being written, and will be lost
            for number in range(2, 6):
                ref.tell(Note(number))
            connection.link.abandon("for a test")
            sim.network.set_conditions(Conditions(), between=("node-1", "node-2"))
            for number in range(6, 11):
                ref.tell(Note(number))
            assert peer_of(other, 1).connection is connection
            await until(lambda: len(notes) == 10)
            assert [note.number for note in notes] == [0, *range(2, 11)]

    simulate(scenario, 1)


def test_what_a_replaced_connection_brings_is_not_heard() -> None:
    """W5: what its reader has in its hands when a newer connection takes its place never comes after that one's mail."""

    async def scenario(sim: Simulation) -> None:
        notes = list[Note]()
        async with opened(sim) as [one, other]:
            one.spawn(sink(notes), "sink")
            ref: ActorRef[Note] = other.resolve(uri(1, "/sink"))
            ref.tell(Note(0))
            await until(lambda: notes)
            [connection] = one.connections
            name, body = other.codec.encode(Note(1), other.write_ref)
            connection.retire("replaced by a newer connection")
            connection.on_frame(Kind.ACTOR, memoryview(wire.pack_actor(0, None, ("/sink", 0), name, body)))
            await until(lambda: not one.connections)
            ref.tell(Note(2))
            await until(lambda: len(notes) == 2)
            assert [note.number for note in notes] == [0, 2]

    simulate(scenario, 1)


def test_what_was_queued_for_one_start_of_a_node_is_not_for_the_next() -> None:
    """L1 and W8: a ref that names the start of a node, and not who lives there, as those to a singleton do."""

    async def scenario(sim: Simulation) -> None:
        notes = list[Note]()
        async with member(sim, 2, link=quick()) as other, trio.open_nursery() as nursery:
            host = Host(sim, nursery, messages=[Note])
            first = await host.start()
            early = list[Note]()
            first.spawn(sink(early), "sink")
            anyone: ActorRef[Note] = other.resolve(uri(1, "/sink"))
            here = first.address
            this: ActorRef[Note] = other.resolve(ActorAddress(here.system, "/sink", here.host, here.port, first.uid))
            dead = heard(other, DeadLetter)
            this.tell(Note(-1))
            await until(lambda: early)
            sim.network.set_conditions(Conditions(stalled=True, window=1024), between=("node-1", "node-2"))
            anyone.tell(Note(0, ballast=bytes(50_000)))
            await trio.sleep(0.1)  # it is being written, and will be lost
            this.tell(Note(1))
            anyone.tell(Note(2))
            await host.kill()
            sim.network.set_conditions(Conditions(), between=("node-1", "node-2"))
            again = await host.start()
            again.spawn(sink(notes), "sink")
            await until(lambda: notes and dead)
            assert [note.number for note in notes] == [2]
            assert [letter.message for letter in dead] == [Note(1)]
            await host.stop()

    simulate(scenario, 1)
