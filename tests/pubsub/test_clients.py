"""What clients send by path and topic, through their contact (K7, P1)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import trio

from casty_trio import (
    ActorContext,
    ActorRef,
    Behavior,
    Behaviors,
    ClusterClient,
    ClusterClientEvent,
    ClusterClientUnreachable,
    ClusterClientUp,
    ClusteredActorSystem,
    Mailbox,
    MailboxFullError,
    ProtocolError,
    RequestRefusedError,
    SettingsError,
    SystemClosedError,
    Topic,
    UnknownActorError,
    UsageError,
)
from casty_trio.protocol import publications
from casty_trio.protocol.frames import Kind
from casty_trio.testing import Simulation
from tests.cluster.clusters import NAME, PORT, Cluster, cluster, run

THREE = ("n1", "n2", "n3")
NEWS: Topic[Note] = Topic("news")


@dataclass(frozen=True)
class Note:
    number: int


@dataclass(frozen=True)
class Where:
    reply_to: ActorRef[str]


Message = Note | Where
Heard = dict[str, list[int]]


def service(node: str, heard: Heard) -> Behavior[Message]:
    def receive(ctx: ActorContext[Message], message: Message) -> None:
        match message:
            case Note(number):
                heard.setdefault(node, []).append(number)
            case Where(reply_to):
                reply_to.tell(node)

    return Behaviors.receive(receive)


Program = Callable[[Cluster, ClusterClient, Heard], Awaitable[object]]


def with_client(program: Program, names: tuple[str, ...] = THREE) -> None:
    """A cluster with an actor at /service on each node that is registered nowhere yet, and a client."""

    async def scenario(sim: Simulation) -> None:
        heard: Heard = {}

        def begin(system: ClusteredActorSystem) -> None:
            system.spawn(service(system.node_id, heard), "service")

        async with cluster(sim, messages=[Note, Where]) as nodes:
            await nodes.form(*names, begin=begin)

            async def outside(env: Any, _: str) -> None:
                async with ClusterClient([("n1", PORT)], NAME, env=env) as client:
                    await program(nodes, client, heard)

            await sim.host("c1").run(outside)

    run(scenario)


def at(nodes: Cluster, name: str) -> ActorRef[Any]:
    ref = nodes.systems[name].lookup("/service")
    assert ref is not None
    return ref


async def settle(heard: Heard) -> Heard:
    await trio.sleep(0.5)
    kept = dict(heard)
    heard.clear()
    return kept


async def where(client: ClusterClient, ref: ActorRef[Any], **options: Any) -> str:
    node: str = await client.ask(ref, lambda r: Where(r), **options)
    return node


def test_one_or_all_of_those_at_a_path() -> None:
    """K7: those that are registered, on any node; with local affinity the contact's own. Replies come on the same stream."""

    async def program(nodes: Cluster, client: ClusterClient, heard: Heard) -> None:
        for name in ("n2", "n3"):
            nodes.systems[name].client_receptionist().register_service(at(nodes, name))
        await trio.sleep(0.2)
        asked = [await where(client, client.service_ref("/service")) for _ in range(20)]
        assert set(asked) == {"n2", "n3"}
        nodes.systems["n1"].client_receptionist().register_service(at(nodes, "n1"))
        for number in range(10):
            client.send("/service", Note(number), local_affinity=True)
        assert await settle(heard) == {"n1": list(range(10))}
        assert await where(client, client.service_ref("service", local_affinity=True)) == "n1"
        for number in range(30):
            client.send("/service", Note(number))
        got = await settle(heard)
        assert sorted(got) == ["n1", "n2", "n3"]
        assert sorted(number for numbers in got.values() for number in numbers) == list(range(30))
        client.send_to_all("/service", Note(7))
        assert await settle(heard) == {"n1": [7], "n2": [7], "n3": [7]}
        assert client.statistics().streams == 0
        nodes.systems["n1"].client_receptionist().unregister_service(at(nodes, "n1"))
        await nodes.systems["n2"].stop(at(nodes, "n2"))
        await trio.sleep(0.2)
        client.send_to_all("/service", Note(8))
        assert await settle(heard) == {"n3": [8]}

    with_client(program)


def test_topics_for_clients_are_apart_from_those_of_the_cluster() -> None:
    """P1, K7: each subscriber once, a group one copy; and nobody who has subscribed only within the cluster."""

    async def program(nodes: Cluster, client: ClusterClient, heard: Heard) -> None:
        for name in ("n1", "n2"):
            nodes.systems[name].client_receptionist().register_subscriber(NEWS, at(nodes, name))
        inside = nodes.systems["n3"]
        inside.pubsub.subscribe(NEWS, at(nodes, "n3"))
        inside.pubsub.put(at(nodes, "n3"))
        await trio.sleep(0.2)
        client.publish(NEWS, Note(1))
        client.publish("news", Note(2))
        assert await settle(heard) == {"n1": [1, 2], "n2": [1, 2]}
        assert inside.pubsub.topics() == ("news",)
        assert inside.pubsub.publish(NEWS, Note(3)) == 1
        assert await settle(heard) == {"n3": [3]}
        nodes.systems["n1"].client_receptionist().unregister_subscriber("news", at(nodes, "n1"))
        for name in THREE:
            nodes.systems[name].client_receptionist().register_subscriber("group", at(nodes, name), group="g")
        await trio.sleep(0.2)
        client.publish(NEWS, Note(4))
        for number in range(10, 20):
            client.publish("group", Note(number))
        got = await settle(heard)
        assert sorted(number for numbers in got.values() for number in numbers) == [4, *range(10, 20)]

    with_client(program)


def test_what_is_not_registered_is_refused_by_name() -> None:
    """K7: nothing is reached; a message that is told is a dead letter on the contact."""

    async def program(nodes: Cluster, client: ClusterClient, heard: Heard) -> None:
        one = nodes.systems["n1"]
        one.client_receptionist("partners").register_service(at(nodes, "n1"))
        one.client_receptionist().register_subscriber("/service", at(nodes, "n1"))
        one.pubsub.put(at(nodes, "n1"))
        before = one.statistics().dead_letters
        for path in ("/service", "/", "/$receptionist", "/nobody"):
            with pytest.raises(UnknownActorError, match="nothing is exposed at"):
                await where(client, client.service_ref(path))
        client.send("/service", Note(1))
        client.send_to_all("/service", Note(2))
        client.publish("nothing", Note(3))
        assert await settle(heard) == {}
        assert one.statistics().dead_letters == before + 7
        assert await where(client, client.service_ref("/service", receptionist="partners")) == "n1"
        client.send("/service", Note(5), receptionist="partners")
        client.publish("/service", Note(6))
        assert await settle(heard) == {"n1": [5, 6]}

    with_client(program)


def test_names_cannot_be_made_to_meet() -> None:
    """K7: a receptionist's name and a path are not mixed up, whatever is in them."""

    async def program(nodes: Cluster, client: ClusterClient, heard: Heard) -> None:
        nodes.systems["n1"].client_receptionist("a").register_subscriber("b/c", at(nodes, "n1"))
        for receptionist, topic in (("ab", "/c"), ("a", "b/c/"), ("ta", "b/c")):
            client.publish(topic, Note(1), receptionist=receptionist)
        assert await settle(heard) == {}
        client.publish("b/c", Note(2), receptionist="a")
        assert await settle(heard) == {"n1": [2]}

    with_client(program, names=("n1",))


def test_the_end_of_an_ask_comes_back() -> None:
    """K5, L5: a mailbox that is full, an actor that stops, a message that its node does not know."""

    @dataclass(frozen=True)
    class Strange:
        reply_to: ActorRef[int]

    async def program(nodes: Cluster, client: ClusterClient, heard: Heard) -> None:
        one = nodes.systems["n1"]

        async def wait(ctx: ActorContext[Message], message: Message) -> None:
            await trio.sleep_forever()

        full = one.spawn(Behaviors.receive(wait), "full", mailbox=Mailbox(1, "reject"))
        one.client_receptionist().register_service(full)
        one.client_receptionist().register_service(at(nodes, "n1"))
        client.send("/full", Note(1))
        client.send("/full", Note(2))
        with pytest.raises(MailboxFullError):
            await where(client, client.service_ref("/full"))
        with pytest.raises(RequestRefusedError):
            _: int = await client.ask(client.service_ref("/service"), lambda r: Strange(r))
        with pytest.raises(TimeoutError):
            await client.ask(client.service_ref("/service"), lambda r: Note(1), timeout=1.0)

    with_client(program, names=("n1",))


def test_a_node_hears_of_its_clients_and_first_of_those_there_are() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await nodes.form("n1")
            one = nodes.systems["n1"]

            async def outside(env: Any, name: str) -> None:
                async with ClusterClient([("n1", PORT)], NAME, client_host=name, env=env):
                    await sim.host(name).wait_terminated()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(sim.host("c1").run, outside)
                await trio.sleep(0.5)
                async with one.events(ClusterClientEvent) as events:
                    nursery.start_soon(sim.host("c2").run, outside)
                    first, second = await anext(events), await anext(events)
                    assert isinstance(first, ClusterClientUp)
                    assert isinstance(second, ClusterClientUp)
                    assert (first.host, second.host) == ("c1", "c2")
                    sim.host("c1").terminate()
                    third = await anext(events)
                    assert third == ClusterClientUnreachable(first.client, first.uid, first.host, first.port)
                    sim.host("c2").crash()
                    fourth = await anext(events)
                    assert isinstance(fourth, ClusterClientUnreachable)
                    assert fourth.uid == second.uid

    run(scenario)


def test_what_is_held_for_a_contact_goes_out_in_order() -> None:
    """K4: messages by path and topic wait like any others, and one whose ask was given up does not go."""

    async def scenario(sim: Simulation) -> None:
        heard: Heard = {}

        def begin(system: ClusteredActorSystem) -> None:
            ref = system.spawn(service(system.node_id, heard), "service")
            system.client_receptionist().register_service(ref)
            system.client_receptionist().register_subscriber(NEWS, ref)

        async with cluster(sim, messages=[Note, Where]) as nodes:
            await nodes.form("n1", begin=begin)

            async def outside(env: Any, _: str) -> None:
                async with ClusterClient([("n1", PORT)], NAME, env=env) as client:
                    sim.host("n1").crash()
                    await trio.sleep(30)
                    client.send("/service", Note(1))
                    client.publish(NEWS, Note(2))
                    with pytest.raises(TimeoutError):
                        await where(client, client.service_ref("/service"), timeout=1.0)
                    client.send_to_all("/service", Note(3))
                    nodes.start("n1", begin=begin)
                    await trio.sleep(30)
                    assert heard == {"n1": [1, 2, 3]}

            await sim.host("c1").run(outside)

    run(scenario)


def test_what_is_refused() -> None:
    kept: list[ClusterClient] = []

    async def program(nodes: Cluster, client: ClusterClient, heard: Heard) -> None:
        one, ref = nodes.systems["n1"], at(nodes, "n1")
        kept.append(client)
        for name in ("", "x" * 256, 3):
            with pytest.raises(SettingsError, match="receptionist"):
                one.client_receptionist(name)  # type: ignore[arg-type]
            with pytest.raises(SettingsError, match="receptionist"):
                client.publish("news", Note(1), receptionist=name)  # type: ignore[arg-type]
            with pytest.raises(SettingsError, match="topic"):
                client.publish(name, Note(1))  # type: ignore[arg-type]
            with pytest.raises(SettingsError, match="path"):
                client.send(name, Note(1))  # type: ignore[arg-type]
        with pytest.raises(SettingsError, match="local_affinity"):
            client.send("/service", Note(1), local_affinity=1)  # type: ignore[arg-type]
        with pytest.raises(SettingsError, match="local_affinity"):
            one.pubsub.send("/service", Note(1), local_affinity=1)  # type: ignore[arg-type]
        with pytest.raises(SettingsError, match="exclude_self"):
            one.pubsub.send_to_all("/service", Note(1), exclude_self=1)  # type: ignore[arg-type]
        with pytest.raises(SettingsError, match="what clients are to reach"):
            one.client_receptionist("x" * 200).register_subscriber("y" * 100, ref)
        with pytest.raises(SettingsError, match="does not begin with"):
            one.pubsub.subscribe("$11preceptionist/service", ref)
        with pytest.raises(SettingsError, match="does not begin with"):
            one.pubsub.publish("$11preceptionist/service", Note(1))
        with pytest.raises(UsageError, match="its own node"):
            one.client_receptionist().register_service(one.resolve("casty://shop@n9:2000/x"))
        with pytest.raises(SettingsError, match="ref must be of class"):
            one.client_receptionist().register_service("/x")  # type: ignore[arg-type]
        assert one.client_receptionist() is one.client_receptionist("receptionist")
        assert one.client_receptionist("a").name == "a"
        assert client.service_ref("a").path == "/a"

    with_client(program, names=("n1",))
    with pytest.raises(SystemClosedError):
        kept[0].send("/service", Note(1))


def test_only_a_client_says_so_and_only_what_can_be() -> None:
    """W2."""

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await nodes.form("n1", "n2")
            [connection] = nodes.systems["n2"].connections
            frame = publications.SendFrame(0, None, 0, "receptionist", "/x", "int", publications.raw(b"\x01"))
            connection.link.write(Kind.SEND, publications.pack(frame))
            await trio.sleep(1.0)
            assert nodes.systems["n1"].protocol_errors == 1

    run(scenario)
    for body in (b"\xc1", b"\x90", publications.pack((0, None, 4, "a", "/x", "int", 1))):
        with pytest.raises(ProtocolError, match="malformed"):
            publications.unpack_send(body)
