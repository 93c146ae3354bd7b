"""Services as clients see and reach them (R1, R2, K7)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import trio
from msgspec.structs import replace

from casty_trio import (
    ActorAddress,
    ActorContext,
    ActorRef,
    Behavior,
    Behaviors,
    ClientEvent,
    ClusterClient,
    ClusteredActorSystem,
    LinkSettings,
    Listing,
    RequestRefusedError,
    ServiceKey,
    SettingsError,
    SystemClosedError,
    TopologySnapshot,
    UnknownActorError,
)
from casty_trio.client.refs import ClientRef
from casty_trio.errors import ProtocolError
from casty_trio.model.services import ServiceEntry
from casty_trio.protocol import listings
from casty_trio.protocol.listings import ServiceRow, ServicesFrame, frames_of
from casty_trio.testing import Simulation
from tests.cluster.clusters import NAME, PORT, Cluster, cluster, run

THREE = ("n1", "n2", "n3")


@dataclass(frozen=True)
class Say:
    text: str
    reply_to: ActorRef[str]


@dataclass(frozen=True)
class Open:
    """Wants a ref to an actor that offers nothing."""

    reply_to: ActorRef[ActorRef[str]]


@dataclass(frozen=True)
class Tell:
    """Whoever that is, it is told something."""

    whom: ActorRef[str]
    reply_to: ActorRef[bool]


Message = Say | Open | Tell
ECHO: ServiceKey[Message] = ServiceKey("echo")


def echo(name: str, told: list[str]) -> Behavior[Message]:
    def receive(ctx: ActorContext[Message], message: Message) -> None:
        match message:
            case Say(text, reply_to):
                reply_to.tell(f"{text} from {name}")
            case Open(reply_to):

                def private(ctx: ActorContext[str], text: str) -> None:
                    told.append(text)

                reply_to.tell(ctx.spawn(Behaviors.receive(private)))
            case Tell(whom, reply_to):
                whom.tell("hello")
                reply_to.tell(True)

    return Behaviors.receive(receive)


def begin(system: ClusteredActorSystem, told: list[str] | None = None) -> None:
    behavior = echo(system.node_id, told if told is not None else [])
    system.spawn(Behaviors.discoverable(behavior, key=ECHO), "echo")


def places(listing: Listing[Any]) -> list[str]:
    return [f"{instance.node[0] if instance.node else ''}{instance.ref.path}" for instance in listing.instances]


async def say(client: ClusterClient, ref: ActorRef[Message], **options: Any) -> str:
    reply: str = await client.ask(ref, lambda r: Say("hello", r), **options)
    return reply


async def send_on(client: ClusterClient, ref: ActorRef[Message], whom: ActorRef[str]) -> bool:
    done: bool = await client.ask(ref, lambda r: Tell(whom, r))
    return done


def with_client(
    program: Callable[[Simulation, Cluster, ClusterClient], Awaitable[object]],
    names: tuple[str, ...] = THREE,
    start: Callable[[ClusteredActorSystem], None] | None = begin,
) -> None:
    """A cluster, with a client whose contact is n1."""

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim, messages=[str, Say, Open, Tell]) as nodes:
            await nodes.form(*names, **({"begin": start} if start is not None else {}))
            await trio.sleep(0.5)

            async def outside(env: Any, _: str) -> None:
                contacts = [(name, PORT) for name in names]
                async with ClusterClient(contacts, NAME, env=env) as client:
                    await program(sim, nodes, client)

            await sim.host("c1").run(outside)

    run(scenario)


def test_a_client_finds_services_at_once_and_talks_straight_to_each() -> None:
    """R1, K1: inside the block all are known; each answers itself, on whichever node it lives."""

    async def program(sim: Simulation, nodes: Cluster, client: ClusterClient) -> None:
        listing = client.lookup(ECHO)
        assert places(listing) == ["n1/echo", "n2/echo", "n3/echo"]
        assert [await say(client, each.ref) for each in listing.instances] == [f"hello from n{n}" for n in (1, 2, 3)]
        assert client.statistics().streams == 2
        assert not client.lookup(ServiceKey[Message]("nothing"))
        assert [(entry.key, entry.node) for entry in client.topology.registry] == [("echo", (name, PORT)) for name in THREE]
        assert client.topology.registry == nodes.systems["n1"]._topology().registry

    with_client(program)


def test_a_client_hears_of_changes_in_order() -> None:
    """R2: the listing first, then one for each change; a service that has stopped is gone everywhere (R1)."""

    async def program(sim: Simulation, nodes: Cluster, client: ClusterClient) -> None:
        async with client.subscribe(ECHO) as listings:
            assert places(await anext(listings)) == ["n1/echo", "n2/echo", "n3/echo"]
            two = nodes.systems["n2"]
            ref = two.lookup("/echo")
            assert ref is not None
            old = client.lookup(ECHO).instances[1].ref
            await two.stop(ref)
            assert places(await anext(listings)) == ["n1/echo", "n3/echo"]
            with pytest.raises(UnknownActorError, match="not exposed to clients, or has stopped"):
                await say(client, old)
            begin(two)
            assert places(await anext(listings)) == ["n1/echo", "n2/echo", "n3/echo"]
            with pytest.raises(UnknownActorError):
                await say(client, old)
            sim.host("n3").crash()
            assert places(await anext(listings)) == ["n1/echo", "n2/echo"]
            with trio.move_on_after(10) as scope:
                await anext(listings)
            assert scope.cancelled_caught, "nothing has changed"

    with_client(program)


def test_a_client_goes_on_with_another_contact_and_hears_only_changes() -> None:
    """R2, K3: what the new contact tells is what is known already, but for what has changed."""

    async def program(sim: Simulation, nodes: Cluster, client: ClusterClient) -> None:
        async with client.subscribe(ECHO) as listings:
            assert len((await anext(listings)).instances) == 3
            contact = client.stream.link
            assert contact is not None
            name = contact.peer.node_id
            sim.host(name).crash()
            left = [f"{each}/echo" for each in THREE if each != name]
            assert places(await anext(listings)) == left
            assert client.statistics().connections >= 2
            for instance in client.lookup(ECHO).instances:
                assert (await say(client, instance.ref)).startswith("hello")

    with_client(program)


def test_an_iteration_ends_with_the_client() -> None:
    kept: list[Any] = []

    async def program(sim: Simulation, nodes: Cluster, client: ClusterClient) -> None:
        manager = client.subscribe(ECHO, capacity=1)
        listings = await manager.__aenter__()
        kept.extend([manager, listings, client, client.subscribe(ECHO), client.events(ClientEvent)])
        with pytest.raises(SettingsError, match="capacity"):
            async with client.subscribe(ECHO, capacity=0):
                pass
        with pytest.raises(SettingsError, match="key must be"):
            client.lookup("echo")  # type: ignore[arg-type]

    with_client(program, names=("n1",))

    async def rest() -> None:
        manager, listings, client, *late = kept
        assert [places(each) async for each in listings] == [["n1/echo"]]
        await manager.__aexit__(None, None, None)
        with pytest.raises(SystemClosedError):
            client.lookup(ECHO)
        for each in late:  # nobody would end it
            with pytest.raises(SystemClosedError, match="there will be no more"):
                await each.__aenter__()

    trio.run(rest)


def test_what_offers_nothing_is_not_reached() -> None:
    """K7: not by its path, nor by its address, nor by a handler that is given a ref to it which the client has made up."""
    told: list[str] = []

    def start(system: ClusteredActorSystem) -> None:
        begin(system, told)

        def private(ctx: ActorContext[str], text: str) -> None:
            told.append(text)

        system.spawn(Behaviors.receive(private), "private")

    async def program(sim: Simulation, nodes: Cluster, client: ClusterClient) -> None:
        service = client.lookup(ECHO).instances[0].ref
        for name in ("n1", "n2"):
            system = nodes.systems[name]
            private = system.lookup("/private")
            assert private is not None
            for address in (private.address, ActorAddress(NAME, "/private", name, PORT), ActorAddress(NAME, "/private")):
                forged = ClientRef(client, address)
                forged.tell("psst")
                with pytest.raises(UnknownActorError, match="is not exposed to clients"):
                    await client.ask(forged, lambda r: "psst")
                with pytest.raises(RequestRefusedError, match="is not exposed to clients, and was not sent"):
                    await client.ask(service, lambda r, ref=forged: Tell(ref, r))
            echo_there = system.lookup("/echo")
            assert echo_there is not None
            anybody = ClientRef(client, ActorAddress(NAME, "/echo", name, PORT, system.uid, 0))
            with pytest.raises(UnknownActorError, match="is not exposed to clients"):
                await say(client, anybody)
        await trio.sleep(1)
        assert told == []

    with_client(program, names=("n1", "n2"), start=start)


def test_a_client_may_send_back_the_refs_it_was_sent_and_those_of_services() -> None:
    """K7: to whoever it likes; but it reaches nobody by them who offers nothing."""
    told: list[str] = []

    async def program(sim: Simulation, nodes: Cluster, client: ClusterClient) -> None:
        one, two = (each.ref for each in client.lookup(ECHO).instances)
        private: ActorRef[str] = await client.ask(one, Open)
        with pytest.raises(UnknownActorError):
            await client.ask(private, lambda r: "psst")
        assert await send_on(client, one, private)
        await trio.sleep(0.5)
        assert told == ["hello"]
        other: Any = two
        assert await send_on(client, one, other)

    with_client(program, names=("n1", "n2"), start=lambda system: begin(system, told))


def test_which_of_the_refs_it_was_sent_a_client_may_send_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """K7: the latest, on the connection that brought them; the node remembers no more than that."""
    monkeypatch.setattr("casty_trio.remote.connection.LENT", 3)

    async def program(sim: Simulation, nodes: Cluster, client: ClusterClient) -> None:
        one, two = (each.ref for each in client.lookup(ECHO).instances)
        first, second, third = [await client.ask(one, Open) for _ in range(3)]
        [connection] = [each for each in nodes.systems["n1"].connections if each.peer is None]
        reads: Any = nodes.systems["n1"].lookup(first.path)
        connection.write_ref(reads)  # sent once more: it is the latest now
        fourth = await client.ask(one, Open)
        assert len(connection._lent) == 3
        for ref in (first, third, fourth):
            assert await send_on(client, one, ref)
        for service, ref in ((one, second), (two, first)):
            with pytest.raises(RequestRefusedError, match="was not sent to this one"):
                await send_on(client, service, ref)

    with_client(program, names=("n1", "n2"))


def test_a_message_for_a_service_of_another_node_reaches_that_one() -> None:
    """W8 and K1: when the client has no way there, its contact passes it on, though an actor of that path and incarnation
    lives there, too; where that node is no member any more, it is refused."""

    async def program(sim: Simulation, nodes: Cluster, client: ClusterClient) -> None:
        one, two = (each.ref for each in client.lookup(ECHO).instances)
        assert one.address.incarnation == two.address.incarnation
        contact = client.stream.link
        assert contact is not None
        far = two if contact.peer.node_id == "n1" else one
        client.routes._shunned = {far.address.uid: (1, trio.current_time() + 100)}
        assert await say(client, far) == f"hello from {'n2' if contact.peer.node_id == 'n1' else 'n1'}"
        nobody = ClientRef(client, replace(far.address, uid=5))
        with pytest.raises(UnknownActorError, match="is not exposed to clients, or has stopped"):
            await say(client, nobody)

    with_client(program, names=("n1", "n2"))


def test_many_services_come_in_parts_and_change_one_by_one() -> None:
    """R1: no frame is larger than a link takes."""
    entries = [ServiceEntry("k" * 200, ActorAddress(NAME, f"/{'p' * 100}{n}", "n1", PORT, 7, n + 1)) for n in range(3_000)]
    frames = [listings.unpack(body) for body in frames_of(0, 5, entries)]
    assert len(frames) > 1
    assert [frame.more for frame in frames] == [True] * (len(frames) - 1) + [False]
    assert [row.entry(NAME) for frame in frames for row in frame.added] == entries
    assert max(len(body) for body in frames_of(0, 5, entries)) < 512 * 1024
    [nothing] = frames_of(3, 4, [])
    assert listings.unpack(nothing) == ServicesFrame(3, 4, False, (), ())
    [removed] = frames_of(3, 4, [], entries[:1])
    assert [row.entry(NAME) for row in listings.unpack(removed).removed] == entries[:1]

    def start(system: ClusteredActorSystem) -> None:
        for number in range(1_500):
            key: ServiceKey[str] = ServiceKey(f"{'k' * 150}{number % 3}")
            system.spawn(Behaviors.discoverable(Behaviors.ignore(), key=key), f"{'p' * 100}{number}")

    async def program(sim: Simulation, nodes: Cluster, client: ClusterClient) -> None:
        key: ServiceKey[str] = ServiceKey(f"{'k' * 150}0")
        assert len(client.lookup(key).instances) == 500
        assert len(client.topology.registry) == 1_500
        ref = nodes.systems["n1"].lookup(f"/{'p' * 100}0")
        assert ref is not None
        await nodes.systems["n1"].stop(ref)
        await trio.sleep(0.5)
        assert len(client.lookup(key).instances) == 499
        assert len(client.topology.registry) == 1_499

    with_client(program, names=("n1",), start=start)


MANY: ServiceKey[str] = ServiceKey("many")
ROW = ServiceRow("a", "n1", 1, 2, "/a", 3)


def test_more_services_than_a_link_holds() -> None:
    """R1, K1: the client is ready, and hears of all as fast as its link takes it."""
    small = LinkSettings(max_frame=16_384, max_message=32_768, queue=32_768)

    def start(system: ClusteredActorSystem) -> None:
        for number in range(600):
            system.spawn(Behaviors.discoverable(Behaviors.ignore(), key=MANY), f"{'p' * 100}{number}")

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim, messages=[str, Say, Open, Tell], link=small) as nodes:
            await nodes.form("n1", begin=start)

            async def outside(env: Any, _: str) -> None:
                async with ClusterClient([("n1", PORT)], NAME, env=env) as client, client.subscribe(MANY) as told:
                    async for listing in told:
                        if len(listing.instances) == 600:
                            break
                    assert client.statistics().connections == 1

            with trio.fail_after(30):
                await sim.host("c1").run(outside)

    run(scenario)


def test_what_does_not_follow_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """W2: a node that tells what cannot be is cut off, and the next connection begins anew."""

    async def program(sim: Simulation, nodes: Cluster, client: ClusterClient) -> None:
        services = client.services
        services.disconnected()
        services.on_frame(memoryview(listings.pack(ServicesFrame(0, 5, False, (ROW, ROW), ()))))
        assert len(services.registry) == 1
        with pytest.raises(ProtocolError, match="from version 4 on, and 5 is known"):
            services.on_frame(memoryview(listings.pack(ServicesFrame(4, 6, False, (ROW,), ()))))
        services.on_frame(memoryview(listings.pack(ServicesFrame(5, 6, True, (), (ROW, ROW)))))
        assert len(services.registry) == 1
        services.on_frame(memoryview(listings.pack(ServicesFrame(5, 6, False, (), ()))))
        assert not services.registry
        services.on_frame(memoryview(listings.pack(ServicesFrame(6, 7, True, (ROW,), ()))))
        services.disconnected()
        services.on_frame(memoryview(listings.pack(ServicesFrame(0, 2, False, (), ()))))
        assert not services.registry
        services.on_frame(memoryview(listings.pack(ServicesFrame(0, 3, True, (ROW,), ()))))
        services.on_frame(memoryview(listings.pack(ServicesFrame(0, 4, False, (), ()))))  # a full link kept the rest of it
        assert not services.registry
        monkeypatch.setattr("casty_trio.client.services.MOST_SERVICES", 50)
        for _ in range(50):
            services.on_frame(memoryview(listings.pack(ServicesFrame(4, 5, True, (), ()))))
        with pytest.raises(ProtocolError, match="more than 50 services"):
            services.on_frame(memoryview(listings.pack(ServicesFrame(4, 5, True, (), ()))))
        services.disconnected()
        for body in (b"\xc1", b"\x95\x00\x00\xc2\x90\x90", listings.pack(ServicesFrame(-1, 1, False, (), ()))):
            with pytest.raises(ProtocolError, match="malformed"):
                services.on_frame(memoryview(body))

    with_client(program, names=("n1",))


def test_nodes_hear_the_same_as_clients() -> None:
    async def program(sim: Simulation, nodes: Cluster, client: ClusterClient) -> None:
        snapshot = client.topology
        assert isinstance(snapshot, TopologySnapshot)
        for name in THREE:
            assert places(await nodes.systems[name].lookup(ECHO)) == places(client.lookup(ECHO))

    with_client(program)
