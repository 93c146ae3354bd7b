"""How a client keeps in touch: contacts that are lost, learnt and left, its buffer, and when it gives up."""

import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from casty_trio import (
    Behavior,
    Behaviors,
    ClientEvent,
    ClientSettings,
    ClusterClient,
    Connected,
    ConnectError,
    ContactPointAdded,
    ContactPointRemoved,
    ContactPoints,
    Disconnected,
    Event,
    Lagged,
    MailboxFullError,
    MemberUp,
    MessageDropped,
    OutcomeUnknownError,
    ReconnectTimeoutError,
    Settings,
    SettingsError,
    ShardEnvelope,
    SystemClosedError,
)
from casty_trio.protocol.frames import Kind
from casty_trio.testing import Conditions, Simulation, simulate
from tests.client.pretenders import pretender
from tests.sim.shop import PORT, Carts, GetAll, Host, Ignore, Put, carts_of, make_client, make_node, open_shop, to

ADDRESSES = tuple((f"node-{number}", PORT) for number in range(1, 5))


def cluster(
    program: Callable[[Simulation, list[Host], ClusterClient], Awaitable[object]],
    *,
    size: int = 3,
    deadline: float = 3_600.0,
    **settings: Any,
) -> None:
    """Simulate a cluster whose nodes can be stopped and killed, and a client that was told of the first alone."""

    async def scenario(sim: Simulation) -> None:
        async with trio.open_nursery() as nursery:
            hosts = [
                Host(sim, nursery, number, seed_nodes=ADDRESSES[:size], required_quorum=size)
                for number in range(1, size + 1)
            ]
            async with trio.open_nursery() as starting:
                for host in hosts:
                    starting.start_soon(host.start)
            async with make_client(sim, settings=Settings(client=ClientSettings(**settings))) as client:
                await program(sim, hosts, client)
            nursery.cancel_scope.cancel()

    simulate(scenario, 1, deadline=deadline)


def contact_of(hosts: list[Host], client: ClusterClient) -> Host:
    link = client.stream.link
    assert link is not None
    return next(host for host in hosts if host.node.node_id == link.peer.node_id)


def isolate(sim: Simulation, *, stalled: bool = True, nodes: int = 3) -> None:
    """Let nothing through between the client and all nodes, or everything again."""
    for number in range(1, nodes + 1):
        sim.network.set_conditions(Conditions(stalled=stalled), between=("client-1", f"node-{number}"))


# --- Contacts that are lost -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_it_survives_all_the_nodes_it_was_given(how: str) -> None:
    """K3: given one of four, it goes on with those it has learnt, though its first contact never comes back."""

    async def program(sim: Simulation, hosts: list[Host], client: ClusterClient) -> None:
        carts = carts_of(client)
        assert set(client.contact_points) == set(ADDRESSES)
        for left in (3, 2):
            contact = contact_of(hosts, client)
            async with client.events(Connected) as connections:
                await anext(connections)  # the present one
                async with trio.open_nursery() as nursery:
                    before = trio.current_time()
                    nursery.start_soon(contact.stop if how == "stop" else contact.kill)
                    await anext(connections)
                    assert trio.current_time() - before < 5
            hosts.remove(contact)
            assert len(hosts) == left
            for host in hosts:  # a majority of them is to outlive the next one, too
                with trio.fail_after(20):
                    while len(host.node.members) > left:  # noqa: ASYNC110 - several systems have to bring it about
                        await trio.sleep(0.1)
            for number in range(20):
                assert await client.ask(carts, to(f"{number}", GetAll), timeout=20) == ()

    cluster(program, size=4, contacts=4)


def test_under_load_only_what_was_written_to_the_dead_contact_is_lost() -> None:
    """K3 and K5: the contact is killed while asks come all the time: each ends, few of them with an unknown outcome.

    Entities that lived there answer when the node was removed: after 6 s to notice, 3 s to be sure, and 3 s of margin.
    """
    outcomes = list[str]()

    async def program(sim: Simulation, hosts: list[Host], client: ClusterClient) -> None:
        carts = carts_of(client)

        async def ask(number: int) -> None:
            try:
                await client.ask(carts, to(f"{number % 7}", GetAll), timeout=30)
                outcomes.append("answered")
            except OutcomeUnknownError:
                outcomes.append("unknown")

        async with trio.open_nursery() as nursery:
            for number in range(1_000):
                nursery.start_soon(ask, number)
                await trio.sleep(0.002)
                if number == 500:
                    await contact_of(hosts, client).kill()

    cluster(program)
    assert len(outcomes) == 1_000
    assert outcomes.count("unknown") < 20
    assert set(outcomes[-400:]) == {"answered"}


def test_a_contact_that_hangs_is_left_after_the_pause() -> None:
    """K3: a node that says nothing any more, while its connection stands, is silent for 13 seconds, and then it is left."""

    async def program(sim: Simulation, hosts: list[Host], client: ClusterClient) -> None:
        contact = contact_of(hosts, client)
        name = contact.node.node_id
        sim.network.set_conditions(Conditions(stalled=True), between=("client-1", name))
        before = trio.current_time()
        async with client.events(Disconnected) as events:
            event = await anext(events)
            assert isinstance(event, Disconnected)
            assert event.node_id == contact.node.node_id
        assert 12 < trio.current_time() - before < 18
        async with client.events(Connected) as connections:
            await anext(connections)
        assert contact_of(hosts, client) is not contact
        assert await client.ask(carts_of(client), to("a", GetAll)) == ()

    cluster(program)


@pytest.mark.slow
@pytest.mark.long
def test_a_hundred_isolations_leave_nothing_behind() -> None:
    """K3: cut off for a minute and healed, again and again: it works each time, and nothing has become more.

    Counted are tasks, asks, the node's connections and open sockets. What real sockets and memory do is in
    `test_isolation.py`.
    """
    held = list[tuple[int, ...]]()

    async def program(sim: Simulation, hosts: list[Host], client: ClusterClient) -> None:
        carts = carts_of(client)
        for _ in range(100):
            isolate(sim)
            await trio.sleep(60)
            carts.tell(ShardEnvelope("a", Put(1)))
            isolate(sim, stalled=False)
            assert isinstance(await client.ask(carts, to("a", GetAll), timeout=10), tuple)
            await trio.sleep(20)
            tasks = trio.lowlevel.current_statistics().tasks_living
            connections = sum(len(host.node.connections) for host in hosts)
            held.append((tasks, len(client.asks.open), connections, sim.network.open_ends()))
        assert client.statistics().connections == 101

    cluster(program, size=1, deadline=20_000.0)
    assert len(held) == 100
    assert set(held) == {held[0]}


# --- Contact points ---------------------------------------------------------------------------------------------------


def test_it_learns_as_many_as_it_may() -> None:
    """K3: beside those it was given."""

    async def program(sim: Simulation, hosts: list[Host], client: ClusterClient) -> None:
        assert len(client.contact_points) in (1, 2)
        assert ADDRESSES[0] in client.contact_points

    cluster(program, contacts=1)


def test_what_happens_is_told() -> None:
    """The present state first, then every change: to an iterator, and to one that hears of one class alone."""
    told = list[Event]()

    async def program(sim: Simulation, hosts: list[Host], client: ClusterClient) -> None:
        first = client.contact_points
        async with client.events(ClientEvent) as events, client.events(ContactPointRemoved) as removals:
            contact = contact_of(hosts, client)
            await contact.stop()
            removed = await anext(removals)
            assert isinstance(removed, ContactPointRemoved)
            assert (removed.host, removed.port) == (contact.node.node_id, PORT)
            with trio.move_on_after(5):
                async for event in events:
                    told.append(event)
        name = contact.node.node_id
        assert told[:2] == [ContactPoints(first), Connected(name, name, PORT)]
        kinds = [type(event) for event in told[2:]]
        assert {Disconnected, Connected, ContactPoints, ContactPointRemoved} <= set(kinds)
        assert kinds.index(Disconnected) < kinds.index(Connected)
        assert client.contact_points == told[-1].points if isinstance(told[-1], ContactPoints) else True

    def given_another(sim: Simulation, hosts: list[Host], client: ClusterClient) -> Awaitable[object]:
        client.contacts.given = ADDRESSES[2:]  # or the one that goes would stay, for it was given
        return program(sim, hosts, client)

    cluster(given_another)


def test_a_node_that_comes_is_added() -> None:
    """K3: learnt from the contact, when it is up."""

    async def scenario(sim: Simulation) -> None:
        async with (
            make_node(sim, 1),
            make_client(sim) as client,
            client.events(ContactPointAdded) as events,
            make_node(sim, 2, seed_nodes=ADDRESSES[:1], required_quorum=2),
        ):
            assert await anext(events) == ContactPointAdded(*ADDRESSES[1])
            assert set(client.contact_points) == set(ADDRESSES[:2])

    simulate(scenario, 1)


def test_contact_points_can_be_recorded_for_the_next_client() -> None:
    """K3: another client is given them, and enters though the first node has gone."""

    async def program(sim: Simulation, hosts: list[Host], client: ClusterClient) -> None:
        recorded = client.contact_points
        await hosts[0].kill()
        again = ClusterClient(recorded, "shop", env=sim.env("client-2"))
        async with again:
            assert await again.ask(carts_of(again), to("b", GetAll)) == ()

    cluster(program)


def test_an_iterator_that_is_slow_is_told_what_it_missed() -> None:
    async def program(sim: Simulation, hosts: list[Host], client: ClusterClient) -> None:
        async with client.events(MessageDropped, capacity=2) as events:
            for _ in range(5):
                client.drop(None, "for the test")
            told = [await anext(events) for _ in range(3)]
        assert told == [MessageDropped("for the test"), MessageDropped("for the test"), Lagged(3)]
        async for _ in events:
            pytest.fail("it has ended")

    cluster(program, size=1)


# --- The buffer -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("buffer", "kept"), [(1_000, 1_000), (0, 0), (10_000, 1_500)])
def test_the_buffer(buffer: int, kept: int) -> None:
    """K4: of 1 500 messages without a contact the newest 1 000 arrive, in order, and each of the others is told."""

    async def program(sim: Simulation, hosts: list[Host], client: ClusterClient) -> None:
        carts = carts_of(client)
        await hosts[0].stop()
        await trio.sleep(1)
        async with client.events(MessageDropped, capacity=10_000) as drops:
            for number in range(1_500):
                carts.tell(ShardEnvelope("a", Put(number)))
            assert client.statistics().held == kept
            assert client.statistics().dropped == 1_500 - kept
            for _ in range(1_500 - kept):
                assert isinstance(await anext(drops), MessageDropped)
        async with client.events(Connected) as connections:
            await hosts[0].start()
            await anext(connections)
        assert await client.ask(carts, to("a", GetAll)) == tuple(range(1_500 - kept, 1_500))
        assert client.statistics().held == 0

    cluster(program, size=1, buffer=buffer)


def test_without_a_buffer_an_ask_fails_at_once() -> None:
    """K4: 0 turns it off, and who asks hears so."""

    async def program(sim: Simulation, hosts: list[Host], client: ClusterClient) -> None:
        await hosts[0].stop()
        await trio.sleep(1)
        before = trio.current_time()
        with pytest.raises(MailboxFullError, match="there is no contact"):
            await client.ask(carts_of(client), to("a", GetAll), timeout=60)
        assert trio.current_time() == before

    cluster(program, size=1, buffer=0)


@pytest.mark.parametrize("event_type", [MemberUp, Lagged, int, "Connected"])
def test_a_client_tells_its_own_events_only(event_type: Any) -> None:
    """What nodes tell of would never come; the base of all events is the base of a client's, too."""

    async def program(sim: Simulation, hosts: list[Host], client: ClusterClient) -> None:
        with pytest.raises(SettingsError, match="event_type must be ClientEvent or a subclass of it"):
            async with client.events(event_type):
                pytest.fail("it was taken")
        async with client.events(Event) as events:
            assert isinstance(await anext(events), ContactPoints)

    cluster(program, size=1)


@pytest.mark.parametrize("buffer", [-1, 10_001, 1.5, True, None])
def test_no_other_buffer(buffer: Any) -> None:
    with pytest.raises(SettingsError, match=r"ClientSettings\.buffer must be a whole number, 0 to 10000"):
        ClientSettings(buffer=buffer)


# --- Giving up --------------------------------------------------------------------------------------------------------


def test_the_block_ends_when_there_is_no_contact_for_too_long() -> None:
    """``reconnect_timeout``: by a named error, which says what each contact point said; asks that wait end with it."""
    ended = list[float]()

    async def scenario(sim: Simulation) -> None:
        async with trio.open_nursery() as nursery:
            host = Host(sim, nursery)
            await host.start()
            settings = Settings(client=ClientSettings(reconnect_timeout=20.0))

            async def ask(client: ClusterClient) -> None:
                with pytest.raises(SystemClosedError):
                    await client.ask(carts_of(client), to("a", GetAll), timeout=math.inf)

            async def live() -> None:
                async with make_client(sim, settings=settings) as client:
                    await trio.sleep(5)
                    await host.stop()
                    ended.append(trio.current_time())
                    nursery.start_soon(ask, client)
                    await trio.sleep_forever()

            with pytest.raises(ReconnectTimeoutError, match="no contact to shop for 20 s") as caught:
                await live()
            ended.append(trio.current_time())
            assert any(note.startswith("node-1:25520: ") for note in caught.value.__notes__)
            assert isinstance(caught.value, ConnectError | TimeoutError)

    simulate(scenario, 1)
    assert ended[1] - ended[0] == pytest.approx(20, abs=0.1)


def test_each_loss_has_the_whole_time() -> None:
    """``reconnect_timeout`` is counted from the last contact: what was lost and found before does not matter later."""

    async def program(sim: Simulation, hosts: list[Host], client: ClusterClient) -> None:
        for _ in range(5):
            await hosts[0].stop()
            await trio.sleep(12)
            async with client.events(Connected) as connections:
                await hosts[0].start()
                await anext(connections)
            await trio.sleep(30)
        assert await client.ask(carts_of(client), to("a", GetAll)) == ()

    cluster(program, size=1, reconnect_timeout=20.0)


def test_a_node_that_does_not_tell_the_state_is_left() -> None:
    """K1: after ``establishing`` seconds the next contact point is tried, still within the time to enter."""

    async def scenario(sim: Simulation) -> None:
        async with (
            await sim.env("node-1").listen("node-1", PORT) as listener,
            make_node(sim, 2) as node,
            trio.open_nursery() as nursery,
        ):
            open_shop(node)
            nursery.start_soon(listener.serve, pretender(lambda link, kind: None))
            before = trio.current_time()
            settings = Settings(client=ClientSettings(establishing=2.0))
            async with make_client(sim, nodes=(1, 2), settings=settings) as client:
                assert 2.0 <= trio.current_time() - before < 2.5
                assert await client.ask(carts_of(client), to("a", GetAll)) == ()
            nursery.cancel_scope.cancel()

    simulate(scenario, 1)


def test_a_change_that_was_not_told_is_learnt_by_asking() -> None:
    """``refresh``: a node whose link was full when something changed does not tell it again by itself."""

    async def program(sim: Simulation, hosts: list[Host], client: ClusterClient) -> None:
        [connection] = hosts[0].node.connections
        connection.subscribed = False
        hosts[0].node.spawn(Behaviors.sharded(_basket, num_shards=3), "basket")
        await trio.sleep(1)
        connection.subscribed = True
        assert "basket" not in client.inbound.shards
        await trio.sleep(5)
        assert "basket" in client.inbound.shards

    cluster(program, size=1, refresh=5.0)


def test_a_refresh_needs_a_subscription() -> None:
    """W2: and a version; anything else ends the connection."""

    async def program(sim: Simulation, hosts: list[Host], client: ClusterClient) -> None:
        async with client.events(Disconnected) as events:
            assert client.stream.link is not None
            client.stream.link.write_control(Kind.REFRESH, b"")
            event = await anext(events)
            assert isinstance(event, Disconnected)
            assert "REFRESH" in event.reason

    cluster(program, size=1)


def test_written_asks_end_with_the_connection() -> None:
    """K5: and those that were held are asked of the next node, within their own time."""

    async def program(sim: Simulation, hosts: list[Host], client: ClusterClient) -> None:
        carts = carts_of(client)

        async def written() -> None:
            with pytest.raises(OutcomeUnknownError):
                await client.ask(carts, to("a", Ignore), timeout=60)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(written)
            await trio.sleep(0.5)
            isolate(sim)
            await trio.sleep(20)
            nursery.start_soon(_asked, client, carts)
            await trio.sleep(5)
            isolate(sim, stalled=False)

    cluster(program)


async def _asked(client: ClusterClient, carts: Carts) -> None:
    assert await client.ask(carts, to("b", GetAll), timeout=60) == ()


def _basket(entity_id: str) -> Behavior[Put]:
    raise AssertionError(entity_id)
