"""What Akka's and Akka.NET's multi-node tests show of their cluster client, shown of ours in the simulator.

Which of theirs is which of ours; their settings are used (heartbeat 1 s, pause 3 s, refresh 1 s) where they matter:

| theirs | ours |
| --- | --- |
| ClusterClientSpec 1: a service is visible on all four nodes | `test_spec_1_2_3_a_service_is_reached_through_any_contact` |
| 2: `Send` to a path, whichever contact is used | the same |
| 3: `Ask` through the client | the same |
| 4: `Send` to one and `SendToAll` to two: three replies | `test_spec_4_send_to_one_and_to_all` |
| 5: the client hears of all receptionists, they of the client | `test_spec_5_events_on_both_sides` |
| 6: `ContactPointRemoved` of one that cannot be reached | `test_spec_6_a_contact_that_has_gone_is_removed` |
| 7: hard exit of the contact | `test_spec_7_hard_exit`; with real processes in `test_processes.py` |
| 8: cut off from the only node left, healed without quarantine | `test_spec_8_heal_without_quarantine` |
| 9: the node is started again on the same port | `test_spec_9_same_port`; with real processes likewise |
| ClusterClientStopSpec | `test_stop_spec` |
| ClusterClientHandoverSpec | `test_handover_spec` |
| ClusterClientDiscoverySpec | `test_discovery_spec_another_cluster` and `..._a_stale_endpoint` |
| ClusterClientStartSpec (buffer 0 tells what it drops) | `test_start_spec` |
| settings: buffer -1 and 10 001 refused; no contacts refused | `test_life.py`: `test_no_other_buffer`; `test_entering.py` |
| overflow drops the oldest, keeps the order and reply refs | `test_life.py`: `test_the_buffer`; `test_reconnecting.py` |
| stale timers | `test_life.py`: `test_each_loss_has_the_whole_time` |
| contact lists alike from all nodes, spread over clients | `test_contacts.py`: `test_a_few_of_many_...` |
| who is (not) offered as a contact | `test_contacts.py`: `test_who_leaves_or_cannot_be_reached_is_no_contact_point` |
| payloads by the program's own serializer | `test_serializer.py` |

There is no spec for two things that are not here: a tunnel actor with a life of its own (a reply finds its way by the stream
that the ask came on), and subscriptions that survive a new client after discovery (the client stays the same one).
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pytest
import trio

from casty_trio import (
    ActorContext,
    ActorRef,
    Behavior,
    Behaviors,
    ClientSettings,
    ClusterClient,
    ClusterClientEvent,
    ClusterClientUp,
    ClusteredActorSystem,
    Connected,
    ConnectError,
    ContactPointRemoved,
    ContactPoints,
    Disconnected,
    LinkSettings,
    MessageDropped,
    ReconnectTimeoutError,
    Settings,
)
from casty_trio.testing import Conditions, Simulation
from tests.cluster.clusters import NAME, PORT, Cluster, cluster, run

FOUR = ("n1", "n2", "n3", "n4")
AKKA = LinkSettings(keep_alive=1.0, dead_after=3.0)
DAY = 86_400.0


@dataclass(frozen=True)
class Hi:
    """Is answered with the node's name, if somebody wants to know."""

    text: str
    reply_to: ActorRef[str] | None = None


Heard = dict[str, list[str]]


def greeter(node: str, heard: Heard) -> Behavior[Hi]:
    def receive(ctx: ActorContext[Hi], message: Hi) -> None:
        heard.setdefault(node, []).append(message.text)
        if message.reply_to is not None:
            message.reply_to.tell(node)

    return Behaviors.receive(receive)


Program = Callable[[Cluster, ClusterClient, Heard], Awaitable[object]]


def spec(
    program: Program,
    names: Iterable[str] = FOUR,
    *,
    contacts: Iterable[str] = ("n1", "n2"),
    link: LinkSettings = AKKA,
    **settings: Any,
) -> None:
    """A cluster with a greeter for clients on each node, and a client of it."""
    settings = {"refresh": 1.0, "contacts": 4, **settings}

    async def scenario(sim: Simulation) -> None:
        heard: Heard = {}

        async with cluster(sim, *names, messages=[Hi]) as nodes:
            await nodes.form(*names, begin=lambda system: open_to_clients(system, heard))

            async def outside(env: Any, _: str) -> None:
                given = Settings(client=ClientSettings(**settings), link=link)
                points = [(name, PORT) for name in contacts]
                async with ClusterClient(points, NAME, settings=given, env=env) as client:
                    await program(nodes, client, heard)

            await sim.host("c1").run(outside)

    run(scenario)


def open_to_clients(system: ClusteredActorSystem, heard: Heard, path: str = "greeter") -> None:
    ref = system.spawn(greeter(system.node_id, heard), path)
    system.client_receptionist().register_service(ref)


async def hi(client: ClusterClient, *, timeout: float = 10.0) -> str:
    node: str = await client.ask(client.service_ref("/greeter"), lambda r: Hi("ask", r), timeout=timeout)
    return node


def contact(client: ClusterClient) -> str:
    """The name of the node that the client is connected to."""
    assert client.stream.connected is not None
    return client.stream.connected.node_id


def only(nodes: Cluster, name: str) -> None:
    """Let the client reach that node alone."""
    for each in FOUR:
        nodes.sim.network.set_conditions(Conditions(stalled=each != name), between=("c1", each))


# --- ClusterClientSpec ------------------------------------------------------------------------------------------------


def test_spec_1_2_3_a_service_is_reached_through_any_contact() -> None:
    """R1, K2, K7: registered on one node, it is reached through each of the four, by send and by ask."""

    async def scenario(sim: Simulation) -> None:
        heard: Heard = {}
        async with cluster(sim, messages=[Hi]) as nodes:
            await nodes.form(*FOUR)
            open_to_clients(nodes.systems["n3"], heard)
            await trio.sleep(1)

            async def outside(env: Any, name: str) -> None:
                async with ClusterClient([("n" + name[1:], PORT)], NAME, env=env) as client:
                    assert contact(client) == "n" + name[1:]
                    client.send("/greeter", Hi(f"from {name}"))
                    assert await hi(client) == "n3"

            for number in range(1, 5):
                await sim.host(f"c{number}").run(outside)
        assert heard == {"n3": ["from c1", "ask", "from c2", "ask", "from c3", "ask", "from c4", "ask"]}

    run(scenario)


def test_spec_4_send_to_one_and_to_all() -> None:
    """K7: one of those at one path, all of those at another: three in all."""

    async def program(nodes: Cluster, client: ClusterClient, heard: Heard) -> None:
        for name in ("n2", "n3"):
            open_to_clients(nodes.systems[name], heard, "second")
        await trio.sleep(1)
        client.send("/greeter", Hi("one", None), local_affinity=True)
        client.send_to_all("/second", Hi("all"))
        await trio.sleep(1)
        told = sorted((node, text) for node, texts in heard.items() for text in texts)
        assert told == sorted([(contact(client), "one"), ("n2", "all"), ("n3", "all")])

    spec(program)


def test_spec_5_events_on_both_sides() -> None:
    """K3: the client ends with exactly the four contact points; its contact, and no other node, has heard of it."""

    async def program(nodes: Cluster, client: ClusterClient, heard: Heard) -> None:
        async with client.events(ContactPoints) as events:
            first = await anext(events)
        assert isinstance(first, ContactPoints)
        assert set(first.points) == {(name, PORT) for name in FOUR}
        for name, system in nodes.systems.items():
            async with system.events(ClusterClientEvent) as clients:
                with trio.move_on_after(1) as scope:
                    up = await anext(clients)
                    assert isinstance(up, ClusterClientUp)
                    assert up.uid == client.identity.uid
            assert scope.cancelled_caught == (name != contact(client))

    spec(program)


def test_spec_6_a_contact_that_has_gone_is_removed() -> None:
    """K3: it goes while the client is cut off from all nodes; the client hears of it within 10 s after that.

    Theirs forgets also what it was given; ours never does, so that there is a way back when all it has learnt is gone.
    """

    async def program(nodes: Cluster, client: ClusterClient, heard: Heard) -> None:
        only(nodes, "")
        nodes.sim.host("n4").crash()
        await trio.sleep(30)
        async with client.events(ContactPointRemoved) as removals:
            for name in FOUR:
                nodes.sim.network.set_conditions(Conditions(), between=("c1", name))
            with trio.fail_after(10):
                assert await anext(removals) == ContactPointRemoved("n4", PORT)
        assert await hi(client) != "n4"

    spec(program)


def test_spec_7_hard_exit() -> None:
    """K3, K5: the contact crashes: the next message is answered by another, which got that one alone."""

    async def program(nodes: Cluster, client: ClusterClient, heard: Heard) -> None:
        for number in range(5):
            client.send("/greeter", Hi(f"before {number}"), local_affinity=True)
        await trio.sleep(1)
        gone = contact(client)
        assert heard == {gone: [f"before {number}" for number in range(5)]}
        heard.clear()
        async with client.events(Connected) as connections:
            await anext(connections)
            nodes.sim.host(gone).crash()
            await anext(connections)
        there = contact(client)
        assert there != gone
        client.send("/greeter", Hi("after"), local_affinity=True)
        await trio.sleep(1)
        assert heard == {there: ["after"]}
        async with client.events(ContactPoints) as events:
            with trio.fail_after(60):
                async for event in events:
                    assert isinstance(event, ContactPoints)
                    if {host for host, _ in event.points} == set(FOUR) - {gone}:
                        break

    spec(given_others(program))


def given_others(program: Program) -> Program:
    """The client forgets what it was given, as theirs would: what is left is what it has learnt."""

    async def run_it(nodes: Cluster, client: ClusterClient, heard: Heard) -> None:
        client.contacts.given = ()
        await program(nodes, client, heard)

    return run_it


def test_spec_8_heal_without_quarantine() -> None:
    """K3, K4: cut off from the only node there is for a minute: nothing arrives meanwhile, and then the same node serves.

    Theirs loses what was sent meanwhile; ours holds what was sent after it had noticed.
    """

    async def program(nodes: Cluster, client: ClusterClient, heard: Heard) -> None:
        uid = nodes.systems["n1"].uid
        nodes.sim.network.set_conditions(Conditions(stalled=True), between=("c1", "n1"))
        async with client.events(Disconnected) as ends:
            await anext(ends)
        client.send("/greeter", Hi("held"))
        await trio.sleep(60)
        assert heard == {}
        nodes.sim.network.set_conditions(Conditions(), between=("c1", "n1"))
        assert await hi(client) == "n1"
        assert heard == {"n1": ["held", "ask"]}
        [row] = client.members
        assert row.uid == uid

    spec(program, ("n1",), contacts=("n1",))


def test_spec_9_same_port() -> None:
    """K3: the node's process is started again at the same address: told as lost and connected, and messages flow."""

    async def program(nodes: Cluster, client: ClusterClient, heard: Heard) -> None:
        async with client.events(Disconnected) as ends, client.events(Connected) as connections:
            await anext(connections)
            before = client.members[0].uid
            nodes.sim.host("n1").crash(reset=True)
            await anext(ends)
            await trio.sleep(1)
            nodes.start("n1", begin=lambda system: open_to_clients(system, heard))
            with trio.fail_after(10):
                await anext(connections)
        assert client.members[0].uid != before
        assert await hi(client) == "n1"

    spec(program, ("n1",), contacts=("n1",))


# --- The other specs --------------------------------------------------------------------------------------------------


def test_stop_spec() -> None:
    """K3: the whole cluster ends: the client's block ends by a named error, within 10 s, with ``reconnect_timeout`` 3 s."""
    took: list[float] = []

    async def scenario(sim: Simulation) -> None:
        settings = Settings(client=ClientSettings(reconnect_timeout=3.0), link=LinkSettings(keep_alive=1.0, dead_after=1.0))
        async with cluster(sim, "n1", "n2") as nodes:
            await nodes.form("n1", "n2")

            async def outside(env: Any, _: str) -> None:
                begun = trio.current_time()
                try:
                    async with ClusterClient([("n1", PORT)], NAME, settings=settings, env=env):
                        for name in ("n1", "n2"):
                            sim.host(name).crash()
                        begun = trio.current_time()
                        await trio.sleep_forever()
                except ReconnectTimeoutError as error:
                    assert "no contact to shop for 3 s" in str(error)  # noqa: PT017 - what else raises is no matter of pytest
                    took.append(trio.current_time() - begun)

            await sim.host("c1").run(outside)

    run(scenario)
    assert 3.0 <= took[0] <= 10.0


def test_handover_spec() -> None:
    """K3: with a day between heartbeats and refreshes, only the word of a node that leaves sends its clients on: in 5 s."""

    async def program(nodes: Cluster, client: ClusterClient, heard: Heard) -> None:
        gone = contact(client)
        async with client.events(Connected) as connections:
            await anext(connections)
            with trio.fail_after(5):
                nodes.sim.host(gone).terminate()
                await anext(connections)
        assert contact(client) != gone
        assert await hi(client) != gone
        with trio.fail_after(5):
            while (gone, PORT) in client.contact_points:  # noqa: ASYNC110 - the other node has to hear of it
                await trio.sleep(0.1)

    slow = LinkSettings(keep_alive=DAY, dead_after=DAY)
    spec(given_others(program), ("n1", "n2", "n3"), contacts=("n1",), link=slow, refresh=DAY)


def discovering(program: Callable[[Cluster, ClusterClient, list[str], Heard], Awaitable[object]]) -> None:
    """A client that knows nobody but what a discovery names, which is first the node ``n1``."""

    async def scenario(sim: Simulation) -> None:
        heard: Heard = {}
        named = ["n1"]

        async def find() -> list[tuple[str, int]]:
            return [(name, PORT) for name in named]

        async with cluster(sim, messages=[Hi]) as nodes:
            await nodes.form("n1", begin=lambda system: open_to_clients(system, heard))

            async def outside(env: Any, _: str) -> None:
                settings = Settings(client=ClientSettings(refresh=1.0), link=AKKA)
                async with ClusterClient([], NAME, discovery=find, settings=settings, env=env) as client:
                    assert await hi(client) == "n1"
                    await program(nodes, client, named, heard)

            await sim.host("c1").run(outside)

    run(scenario)


def alone(nodes: Cluster, name: str, heard: Heard) -> None:
    """Start a node that is a cluster of its own."""
    nodes.start(name, seed_nodes=[], begin=lambda system: open_to_clients(system, heard))


def test_discovery_spec_another_cluster() -> None:
    """K3: the only node leaves and is named no more; another, of a new cluster, is: connected within 10 s."""

    async def program(nodes: Cluster, client: ClusterClient, named: list[str], heard: Heard) -> None:
        nodes.sim.host("n1").terminate()
        named.clear()
        await nodes.wait_ended("n1")
        alone(nodes, "n2", heard)
        await nodes.formed("n2")
        named.append("n2")
        with trio.fail_after(10):
            assert await hi(client, timeout=math.inf) == "n2"

    discovering(program)


def test_discovery_spec_a_stale_endpoint() -> None:
    """K3: the node is killed and still named when a third one is: the client ends there within 20 s."""

    async def program(nodes: Cluster, client: ClusterClient, named: list[str], heard: Heard) -> None:
        nodes.sim.host("n1").crash()
        await trio.sleep(5)
        alone(nodes, "n3", heard)
        await nodes.formed("n3")
        named.append("n3")
        with trio.fail_after(20):
            assert await hi(client, timeout=math.inf) == "n3"
        assert contact(client) == "n3"

    discovering(program)


def test_start_spec(caplog: pytest.LogCaptureFixture) -> None:
    """K4: without a buffer, what is sent while there is no contact is dropped, which an event and the log tell."""

    async def program(nodes: Cluster, client: ClusterClient, heard: Heard) -> None:
        async with client.events(Disconnected) as ends:
            nodes.sim.host("n1").crash(reset=True)
            await anext(ends)
        async with client.events(MessageDropped) as drops:
            with caplog.at_level("INFO", "casty_trio.client"):
                client.send("/greeter", Hi("into the void"))
            assert await anext(drops) == MessageDropped("there is no contact")
        assert "a message is dropped: there is no contact" in caplog.text
        assert client.statistics().dropped == 1
        assert heard == {}

    spec(program, ("n1",), contacts=("n1",), buffer=0)


def test_a_node_that_leaves_and_goes_on() -> None:
    """K3, C8: ``leave()`` within a block hands the clients over as its end does; the node takes none after it."""

    async def program(nodes: Cluster, client: ClusterClient, heard: Heard) -> None:
        gone = contact(client)
        system = nodes.systems[gone]
        async with client.events(Connected) as connections, trio.open_nursery() as nursery:
            await anext(connections)
            nursery.start_soon(system.leave)
            with trio.fail_after(5):
                await anext(connections)
        assert contact(client) != gone
        assert await hi(client) != gone
        assert system.running
        assert not [each for each in system.connections if each.peer is None]
        with pytest.raises(ConnectError):
            async with ClusterClient([(gone, PORT)], NAME, connect_timeout=5, env=nodes.sim.env("c2")):
                pytest.fail("it was let in")
        with trio.fail_after(5):
            while (gone, PORT) in client.contact_points:  # noqa: ASYNC110 - the other node has to hear of it
                await trio.sleep(0.1)

    slow = LinkSettings(keep_alive=DAY, dead_after=DAY)
    spec(given_others(program), ("n1", "n2", "n3"), contacts=("n1",), link=slow, refresh=DAY)


def test_a_contact_that_leaves_and_dies_before_it_hears_the_farewell() -> None:
    """K3, K5: the client's word that it parts, which was never sent, is none of the messages that go to the next contact."""

    async def program(nodes: Cluster, client: ClusterClient, heard: Heard) -> None:
        gone = contact(client)
        nodes.sim.network.set_conditions(Conditions(stalled=True), one_way=("c1", gone))
        for number in range(10):
            client.send("/greeter", Hi(f"{number} {'.' * 50_000}"))
        await trio.sleep(0.5)
        async with client.events(Connected) as connections, trio.open_nursery() as nursery:
            await anext(connections)
            nursery.start_soon(nodes.systems[gone].leave)
            await trio.sleep(0.5)
            assert client.stream.link is not None
            assert client.stream.link.statistics().queued > 50_000
            nodes.sim.host(gone).crash()
            with trio.fail_after(10):
                await anext(connections)
            nursery.cancel_scope.cancel()
        assert await hi(client) != gone
        await trio.sleep(1)
        arrived = sorted(int(text.split()[0]) for name in heard if name != gone for text in heard[name] if text != "ask")
        assert arrived, "what was never sent goes to the next contact; that may choose the dead node's service again"
        assert arrived == sorted(set(arrived))

    slow = LinkSettings(keep_alive=DAY, dead_after=DAY)
    spec(given_others(program), ("n1", "n2", "n3"), contacts=("n1",), link=slow, refresh=DAY)
