"""Two and three nodes talk to each other's actors as if these were local: tell, send, refs in messages."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from casty_trio import (
    ActorAddress,
    ActorRef,
    Behaviors,
    ClusteredActorSystem,
    DeadLetter,
    DecodeError,
    EncodeError,
    InvalidNameError,
    LinkSettings,
    Mailbox,
    MessageTooLargeError,
    UsageError,
)
from casty_trio.testing import Simulation, simulate
from tests.remote.nodes import (
    Fill,
    GetAll,
    Hand,
    Note,
    PassOn,
    Put,
    heard,
    listen,
    member,
    opened,
    peer_of,
    relay,
    sink,
    until,
    uri,
)
from tests.sim.shop import NAME, PORT, assert_adds_up, cart, carts_of, make_client, open_shop, small_link, to, wants


def test_tell_and_send_in_order() -> None:
    """L1 and W5: what one sender tells and sends arrives once, in order, on one connection that is made when needed."""

    async def scenario(sim: Simulation) -> None:
        notes = list[Note]()
        async with opened(sim) as [one, other]:
            one.spawn(sink(notes), "sink")
            ref: ActorRef[Note] = other.resolve(uri(1, "/sink"))
            await trio.sleep(5)
            assert not other.connections
            for number in range(0, 200, 2):
                ref.tell(Note(number))
                await ref.send(Note(number + 1))
            await until(lambda: len(notes) == 200)
            assert [note.number for note in notes] == list(range(200))
            [counts] = other.peer_statistics()
            assert (counts.node_id, counts.connected, counts.dials, counts.held) == ("node-1", True, 1, 0)
            assert one.peer_statistics()[0].node_id == "node-2"
            for node in (one, other):
                assert_adds_up(node.statistics())
                assert len(node.connections) == 1

    simulate(scenario, 1)


def test_both_ways_on_one_connection() -> None:
    """W7: who was dialled answers on the connection there is."""

    async def scenario(sim: Simulation) -> None:
        first, second = list[Note](), list[Note]()
        async with opened(sim) as [one, other]:
            one.spawn(sink(first), "sink")
            other.spawn(sink(second), "sink")
            other.resolve(uri(1, "/sink")).tell(Note(1))
            await until(lambda: first)
            one.resolve(uri(2, "/sink")).tell(Note(2))
            await until(lambda: second)
            assert sim.network.statistics().connections == 1
            assert one.peer_statistics()[0].dials == 0

    simulate(scenario, 1)


def test_large_and_small() -> None:
    """W2: a message of several frames arrives whole, and what cannot is refused at its sender (W4)."""

    async def scenario(sim: Simulation) -> None:
        notes = list[Note]()
        async with opened(sim, link=small_link()) as [one, other]:
            one.spawn(sink(notes), "sink")
            ref: ActorRef[Any] = other.resolve(uri(1, "/sink"))
            for connected in (False, True):
                for bad, error in ((Note(0, 0, bytes(20_000)), MessageTooLargeError), (Note(2**70), EncodeError)):
                    with pytest.raises(error):
                        ref.tell(bad)
                    with pytest.raises(error):
                        await ref.send(bad)
                    with pytest.raises(error):
                        await other.ask(ref, lambda reply_to, bad=bad: bad)
                ref.tell(Note(1, 0, bytes(15_000)))
                ref.tell(Note(2))
                await until(lambda: len(notes) == 2)
                assert [len(note.ballast) for note in notes] == [15_000, 0]
                notes.clear()
                assert other.peer_statistics()[0].asks == 0
                assert len(other.connections) == 1 or not connected

    simulate(scenario, 1)


def test_a_peer_takes_less_than_we_do() -> None:
    """W4: before the connection nobody knows; then what waited is a dead letter, and its ask fails at once."""

    async def scenario(sim: Simulation) -> None:
        async with member(sim, 1, link=small_link()) as one, member(sim, 2) as other:
            one.spawn(cart("x"), "cart")
            letters = heard(other, DeadLetter)
            ref: ActorRef[Any] = other.resolve(uri(1, "/cart"))
            ref.tell(Fill(bytes(50_000)))
            ref.tell(Put(1))
            assert await other.ask(ref, wants(GetAll)) == (1,)
            await until(lambda: letters)
            assert [letter.message for letter in letters] == [Fill(bytes(50_000))]
            with pytest.raises(MessageTooLargeError):
                ref.tell(Fill(bytes(50_000)))

    simulate(scenario, 1)


def test_refs_in_messages() -> None:
    """W8: a ref that comes home is the local one; one that goes to a third node leads to its actor from there."""

    async def scenario(sim: Simulation) -> None:
        hands, notes = list[Hand](), list[Note]()
        async with opened(sim, 3) as [one, two, three]:
            mine = one.spawn(sink(notes), "mine")
            for node in (two, three):
                node.spawn(sink(hands), "hands")
            one.resolve(uri(2, "/hands")).tell(Hand(mine))
            await until(lambda: len(hands) == 1)
            at_two = hands[0].ref
            assert at_two == mine
            assert hash(at_two) == hash(mine)
            assert at_two.address == mine.address
            two.resolve(uri(3, "/hands")).tell(Hand(at_two))
            await until(lambda: len(hands) == 2)
            assert hands[1].ref == at_two
            hands[1].ref.tell(Note(3))
            at_two.tell(Note(2))
            await until(lambda: len(notes) == 2)
            one.spawn(sink(hands), "hands")
            three.resolve(uri(1, "/hands")).tell(Hand(hands[1].ref))
            await until(lambda: len(hands) == 3)
            assert hands[2].ref is mine
            assert two.resolve(mine.address) == mine
            assert one.resolve(mine.address) is mine
            assert one.resolve(uri(1, "/mine")) is mine

    simulate(scenario, 1)


def test_a_ref_to_an_old_incarnation() -> None:
    """W8: what it is told is a dead letter, although an actor of that name lives; both are told apart."""

    async def scenario(sim: Simulation) -> None:
        notes = list[Note]()
        async with opened(sim) as [one, other]:
            first = one.spawn(sink(notes), "sink")
            old = other.resolve(first.address)
            await one.stop(first)
            second = one.spawn(sink(notes), "sink")
            new = other.resolve(second.address)
            letters = heard(one, DeadLetter)
            assert old != new
            assert new == second
            old.tell(Note(1))
            new.tell(Note(2))
            await until(lambda: notes and letters)
            assert notes == [Note(2)]
            assert "/sink" in letters[0].reason
            home = one.resolve(first.address)
            assert home == first
            home.tell(Note(3))
            await home.send(Note(4))
            await until(lambda: len(letters) == 3)
            assert letters[1].recipient == first
            assert notes == [Note(2)]

    simulate(scenario, 1)


def test_a_reply_ref_that_is_passed_on() -> None:
    """L5: a third node answers in the place of the second; also when it hands the ref back to where the ask came from."""

    async def scenario(sim: Simulation) -> None:
        async with opened(sim, 3) as [one, two, three]:
            for node in (one, three):
                node.spawn(cart("x"), "cart").tell(Put(node.uid % 100))
            two.spawn(relay(), "relay")
            at_relay: ActorRef[PassOn] = one.resolve(uri(2, "/relay"))
            for node in (three, one):
                helper = one.resolve(uri(1 if node is one else 3, "/cart"))
                reply: tuple[int, ...] = await one.ask(at_relay, wants(PassOn, helper))
                assert reply == (node.uid % 100,)
            local = one.spawn(relay(), "relay")
            helper = one.resolve(uri(3, "/cart"))
            assert await one.ask(local, wants(PassOn, helper)) == (three.uid % 100,)
            await trio.sleep(1)
            for node in (one, two, three):
                assert node.statistics().dead_letters == 0
                assert all(counts.asks == 0 for counts in node.peer_statistics())
                assert all(not connection.slots for connection in node.connections)

    simulate(scenario, 1)


def test_a_clients_reply_ref_on_another_node() -> None:
    """K2: it is answered through the node the client came in by; when the client is gone, the reply is a dead letter."""

    async def scenario(sim: Simulation) -> None:
        hands = list[Hand]()
        async with opened(sim) as [one, other]:
            other.spawn(sink(hands), "hands")
            there = one.resolve(uri(2, "/hands"))

            def desk(entity_id: str) -> Any:
                return Behaviors.receive(lambda ctx, message: there.tell(Hand(message.reply_to)))

            one.spawn(Behaviors.sharded(desk, num_shards=10), "cart")
            async with make_client(sim) as client, trio.open_nursery() as nursery:
                replies = list[object]()

                async def ask() -> None:
                    replies.append(await client.ask(carts_of(client), to("a", GetAll)))

                nursery.start_soon(ask)
                await until(lambda: hands)
                assert hands[0].ref.address.host == "node-1"
                hands[0].ref.tell((1, 2))
                await until(lambda: replies)
                assert replies == [[1, 2]] or replies == [(1, 2)]
            letters = heard(one, DeadLetter)
            hands[0].ref.tell((3,))
            await until(lambda: letters)

    simulate(scenario, 1)


def test_a_client_makes_nobody_dial() -> None:
    """K7: an address that a client has made up is reason to dial nobody, and names nobody whom an actor would tell."""

    async def scenario(sim: Simulation) -> None:
        notes = list[Note]()
        async with opened(sim) as [one, other]:
            open_shop(one)
            async with make_client(sim):
                [connection] = one.connections
                for uid in (0, 99):
                    with pytest.raises(DecodeError, match="not exposed to clients"):
                        one.resolve_sent(ActorAddress(NAME, "/x", "node-2", PORT, uid, 0), connection)
                await trio.sleep(5)
                assert one.peer_statistics() == ()
                other.spawn(sink(notes), "sink")
                one.resolve(uri(2, "/sink")).tell(Note(2))
                await until(lambda: notes)
                with pytest.raises(DecodeError, match="not exposed to clients"):
                    one.resolve_sent(ActorAddress(NAME, "/sink", "node-2", PORT, 99, 0), connection)
                await trio.sleep(5)
                assert one.peer_statistics()[0].dials == 1

    simulate(scenario, 1)


def test_mailboxes_of_another_node() -> None:
    """W6 and L5: what a bounded mailbox rejects costs nobody but its sender."""

    async def scenario(sim: Simulation) -> None:
        async with opened(sim) as [one, other]:
            letters = heard(one, DeadLetter)

            async def stuck(ctx: Any, message: Any) -> None:
                await trio.sleep(10)

            for rule in ("drop_new", "drop_oldest", "reject"):
                one.spawn(Behaviors.receive(stuck), rule, mailbox=Mailbox(1, rule))
                ref = other.resolve(uri(1, f"/{rule}"))
                for number in range(4):
                    ref.tell(Note(number))
                await until(lambda: len(letters) >= 2)
                letters.clear()
            assert len(one.connections) == 1

    simulate(scenario, 1)


def test_adapters_of_another_node() -> None:
    """W8: what is told to an adapter's ref elsewhere comes to its actor, adapted."""

    async def scenario(sim: Simulation) -> None:
        got = list[Any]()
        async with opened(sim) as [one, other]:
            other.spawn(cart("x"), "cart").tell(Put(7))
            service: ActorRef[Any] = one.resolve(uri(2, "/cart"))

            def begin(ctx: Any) -> Any:
                service.tell(GetAll(ctx.adapter(lambda numbers: ("adapted", numbers))))
                return sink(got)

            ref = one.spawn(Behaviors.setup(begin), "user")
            await until(lambda: got)
            assert got == [("adapted", (7,))]
            await one.stop(ref)

    simulate(scenario, 1)


@pytest.mark.parametrize("text", ["", "casty://", "http://shop@node-1:1/x", "casty://shop@node-1/x"])
async def test_addresses_that_are_none(text: str) -> None:
    """W8: refused by name."""
    async with ClusteredActorSystem(NAME, "127.0.0.1", 0, "node-1") as node:
        with pytest.raises(InvalidNameError):
            node.resolve(text)
        with pytest.raises(UsageError, match="is not in the system"):
            node.resolve("casty://other@127.0.0.1:1/x")


@pytest.mark.parametrize("host", ["a..b", "x" * 300, "127.0.0.1", "a\0b"])
@pytest.mark.parametrize("port", [1, 70_000])
async def test_addresses_nobody_has(host: str, port: int) -> None:
    """W6: whatever stands in a ref that somebody sent, the node lives, and what it is told becomes a dead letter."""
    link = LinkSettings(gone_after=0.2)
    async with ClusteredActorSystem(NAME, "127.0.0.1", 0, "node-1", messages=[str], link=link) as node:
        lost = trio.Event()
        listen(node, DeadLetter, noting(lost))
        await trio.testing.wait_all_tasks_blocked()
        node.peers.ref(ActorAddress(NAME, "/x", host, port), dial=True).tell("lost")
        with trio.fail_after(20):
            await lost.wait()


def noting(event: trio.Event) -> Any:
    """Sets an event when anything comes."""
    return Behaviors.receive(lambda ctx, message: event.set())


def test_peers_are_sorted_and_shown() -> None:
    """The counts come by address; a peer says who it is."""

    async def scenario(sim: Simulation) -> None:
        async with opened(sim, 3) as [one, *_]:
            for number in (3, 2):
                one.resolve(uri(number, "/x"))
            assert [counts.host for counts in one.peer_statistics()] == ["node-2", "node-3"]
            assert repr(peer_of(one, 2)) == f"<Peer node-2:{PORT} at node-2:{PORT}>"

    simulate(scenario, 1)
