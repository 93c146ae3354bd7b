"""Services on all nodes of a cluster: found everywhere, gone everywhere (R1), and heard of in order (R2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import trio

from casty_trio import (
    ActorContext,
    ActorRef,
    Behavior,
    Behaviors,
    ClusteredActorSystem,
    DeadLetter,
    Deregister,
    Listing,
    ProtocolError,
    ReceptionistSettings,
    Register,
    ServiceKey,
    Settings,
    Subscribe,
    TopologySnapshot,
    UnknownMessageTypeError,
    UsageError,
)
from casty_trio.protocol import buckets
from casty_trio.protocol.buckets import Entry, Full
from casty_trio.protocol.frames import Kind
from casty_trio.testing import Simulation
from tests.cluster.clusters import Cluster, cluster, run

THREE = ("n1", "n2", "n3")


@dataclass(frozen=True)
class Say:
    text: str
    reply_to: ActorRef[str]


ECHO: ServiceKey[Say] = ServiceKey("echo")


def echo(name: str = "") -> Behavior[Say]:
    def receive(ctx: ActorContext[Say], message: Say) -> None:
        message.reply_to.tell(f"{message.text} from {name}")

    return Behaviors.receive(receive)


async def ask(system: ClusteredActorSystem, ref: ActorRef[Say]) -> str:
    reply: str = await system.ask(ref, lambda r: Say("hello", r))
    return reply


def begin(system: ClusteredActorSystem) -> None:
    """An echo on each node."""
    system.spawn(Behaviors.discoverable(echo(system.node_id), key=ECHO), "echo")


def places(listing: Listing[Any]) -> list[str]:
    return [f"{instance.node[0] if instance.node else ''}{instance.ref.path}" for instance in listing.instances]


async def listed(system: ClusteredActorSystem, key: ServiceKey[Any] = ECHO) -> list[str]:
    return places(await system.lookup(key))


async def eventually(check: Callable[[], Any], within: float = 5.0) -> None:
    with trio.fail_after(within):
        while not await check():  # noqa: ASYNC110 - several systems have to bring it about
            await trio.sleep(0.05)


async def all_list(nodes: Cluster, *expected: str, within: float = 5.0, names: tuple[str, ...] = ()) -> None:
    """Wait until all nodes list the same."""

    async def so() -> bool:
        return all([await listed(nodes.systems[name]) == list(expected) for name in names or nodes.systems])

    await eventually(so, within)


def test_services_are_found_on_every_node_and_answer() -> None:
    """R1: registered anywhere, found everywhere at once; a ref of another node is told and asked like any."""

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await nodes.form(*THREE, begin=begin)
            await trio.sleep(0.1)
            await all_list(nodes, "n1/echo", "n2/echo", "n3/echo", within=0.1)
            one, three = nodes.systems["n1"], nodes.systems["n3"]
            listing = await one.lookup(ECHO)
            for instance in listing.instances:
                reply = await ask(one, instance.ref)
                assert instance.node is not None
                assert reply == f"hello from {instance.node[0]}"
            assert [each.ref for each in listing.instances] == [each.ref for each in (await three.lookup(ECHO)).instances]
            ref = three.lookup("/echo")
            assert ref is not None
            await three.stop(ref)
            await trio.sleep(0.1)
            await all_list(nodes, "n1/echo", "n2/echo", within=0.1)
            own = one.lookup("/echo")
            assert own is not None
            one.receptionist.tell(Deregister(ECHO, own))
            await trio.sleep(0.1)
            await all_list(nodes, "n2/echo", within=0.1)

    run(scenario)


def test_a_node_that_joins_hears_of_all_and_one_that_leaves_or_crashes_takes_its_own_along() -> None:
    """R1."""

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await nodes.form("n1", "n2", begin=begin)
            nodes.start("n3", begin=begin)
            await nodes.formed(*THREE)
            await all_list(nodes, "n1/echo", "n2/echo", "n3/echo", within=1.0)
            sim.host("n2").terminate()
            await nodes.wait_ended("n2")
            await all_list(nodes, "n1/echo", "n3/echo", within=1.0)
            nodes.start("n4", begin=begin)
            await nodes.formed("n1", "n3", "n4")
            await all_list(nodes, "n1/echo", "n3/echo", "n4/echo", within=1.0)
            sim.host("n4").crash()
            await nodes.formed("n1", "n3")
            await all_list(nodes, "n1/echo", "n3/echo", within=1.0)
            nodes.start("n4", begin=begin)
            await nodes.formed("n1", "n3", "n4")
            await all_list(nodes, "n1/echo", "n3/echo", "n4/echo", within=1.0)

    run(scenario)


def test_subscribers_hear_one_listing_per_change_in_order() -> None:
    """R2: on another node too; many changes in one step there are one word, and so one listing."""

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await nodes.form(*THREE)
            heard: list[list[str]] = []
            one, two = nodes.systems["n1"], nodes.systems["n2"]
            monitor: ActorRef[Listing[Say]] = one.spawn(
                Behaviors.receive(lambda _, listing: heard.append(places(listing))), "monitor"
            )
            one.receptionist.tell(Subscribe(ECHO, monitor))
            for number in range(3):
                two.spawn(Behaviors.discoverable(echo(), key=ECHO), f"e{number}")
            await trio.sleep(1.0)
            assert heard == [[], ["n2/e0", "n2/e1", "n2/e2"]]
            gone = two.lookup("/e1")
            assert gone is not None
            await two.stop(gone)
            await trio.sleep(1.0)
            two.spawn(echo(), "silent")
            await trio.sleep(5.0)
            assert heard[2:] == [["n2/e0", "n2/e2"]]

    run(scenario)


def test_a_listing_goes_to_a_subscriber_on_another_node() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim, messages=[Listing]) as nodes:
            await nodes.form("n1", "n2")
            heard: list[list[str]] = []
            one, two = nodes.systems["n1"], nodes.systems["n2"]

            def receive(ctx: ActorContext[Listing[Any]], listing: Listing[Any]) -> None:
                heard.append(places(listing))

            monitor = one.spawn(Behaviors.receive(receive), "monitor")
            remote = two.resolve(monitor.address)
            two.receptionist.tell(Subscribe(ECHO, remote))
            begin(two)
            await trio.sleep(1.0)
            await one.stop(monitor)
            await trio.sleep(1.0)
            letters = one.statistics().dead_letters
            begin(one)
            await trio.sleep(1.0)
            assert heard == [[], ["n2/echo"]]
            assert one.statistics().dead_letters == letters

    run(scenario)


@pytest.mark.parametrize("seed", range(5))
def test_what_was_lost_on_the_way_comes_when_nodes_compare(seed: int) -> None:
    """R1: through a third node, too, when two of them do not hear each other; and every ``compare_interval``."""

    async def scenario(sim: Simulation) -> None:
        settings = Settings(receptionist=ReceptionistSettings(compare_interval=0.5))
        async with cluster(sim, settings=settings, downing=None) as nodes:
            await nodes.form(*THREE)
            await trio.sleep(3.0)
            nodes.split(["n1"], ["n3"])
            begin(nodes.systems["n1"])
            await all_list(nodes, "n1/echo", within=2.0)
            ref = nodes.systems["n1"].lookup("/echo")
            assert ref is not None
            await nodes.systems["n1"].stop(ref)
            await all_list(nodes, within=2.0)
            nodes.heal(["n1"], ["n3"])

    run(scenario, seed)


def test_each_side_of_a_split_knows_its_own_and_after_it_all_know_all() -> None:
    """R1: after the heal, with the part that was down back as other members, whose actors have lived on."""

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim, on_downed="rejoin") as nodes:
            await nodes.form(*THREE, begin=begin)
            nodes.split(["n1"], ["n2", "n3"])
            await all_list(nodes, "n2/echo", "n3/echo", within=20.0, names=("n2", "n3"))
            await all_list(nodes, "n1/echo", within=20.0, names=("n1",))
            nodes.systems["n1"].spawn(Behaviors.discoverable(echo("late"), key=ECHO), "late")
            nodes.heal(["n1"], ["n2", "n3"])
            await nodes.formed(*THREE, within=60.0)
            await all_list(nodes, "n1/echo", "n1/late", "n2/echo", "n3/echo", within=3.0)
            for instance in (await nodes.systems["n2"].lookup(ECHO)).instances:
                await ask(nodes.systems["n2"], instance.ref)

    run(scenario)


def test_the_topology_tells_of_services() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await nodes.form("n1", "n2")
            two = nodes.systems["n2"]
            async with two.events(TopologySnapshot) as events:
                first = await anext(events)
                assert isinstance(first, TopologySnapshot)
                assert first.registry == ()
                begin(nodes.systems["n1"])
                told = await anext(events)
                assert isinstance(told, TopologySnapshot)
                [entry] = told.registry
                assert (entry.key, entry.node, entry.path) == ("echo", ("n1", 2_000), "/echo")
                [instance] = (await two.lookup(ECHO)).instances
                assert entry.address == instance.ref.address

    run(scenario)


def test_a_service_tells_which_messages_it_takes() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await nodes.form("n1", "n2")
            one, two = nodes.systems["n1"], nodes.systems["n2"]
            silent: Behavior[Any] = Behaviors.receive(lambda _, message: None)
            with pytest.raises(UnknownMessageTypeError, match=r"/x does not tell which messages it handles"):
                one.spawn(Behaviors.discoverable(silent, key=ECHO), "x")
            assert one.lookup("/x") is None
            one.receptionist.tell(Register(ECHO, one.spawn(echo("n1"), "by_hand")))
            later = Behaviors.setup(lambda ctx: Behaviors.discoverable(echo("n1"), key=ECHO))
            one.spawn(later, "later")
            remote = two.resolve("casty://shop@n1:2000/by_hand")
            with pytest.raises(UsageError, match="its own node registers an actor"):
                two.receptionist.tell(Register(ECHO, remote))
            await all_list(nodes, "n1/by_hand", "n1/later")
            for instance in (await two.lookup(ECHO)).instances:
                assert await ask(two, instance.ref) == "hello from n1"

    run(scenario)


def test_a_ref_to_a_service_that_has_stopped_is_a_dead_letter() -> None:
    """W8: the listing names one incarnation, not whoever lives there next."""

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await nodes.form("n1", "n2", begin=begin)
            await all_list(nodes, "n1/echo", "n2/echo")
            one, two = nodes.systems["n1"], nodes.systems["n2"]
            old = (await two.lookup(ECHO)).instances[0].ref
            own = one.lookup("/echo")
            assert own is not None
            await one.stop(own)
            begin(one)
            await trio.sleep(0.5)
            new = (await two.lookup(ECHO)).instances[0].ref
            assert old != new
            async with one.events(DeadLetter) as letters:
                old.tell(Say("hello", two.dead_letters))
                letter = await anext(letters)
            assert isinstance(letter, DeadLetter)
            assert await ask(two, new) == "hello from n1"

    run(scenario)


def test_a_node_that_says_too_much_is_cut_off() -> None:
    """W2: memory for what another node registers is bounded."""

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim, downing=None) as nodes:
            await nodes.form("n1", "n2")
            one, two = nodes.systems["n1"], nodes.systems["n2"]
            [connection] = two.connections
            entries = tuple(Entry("k" * 200, f"/{'x' * 200}{n}", n + 1) for n in range(5_000))
            connection.link.write(Kind.SERVICES, buckets.pack(Full(two.uid, 7, entries)))
            await trio.sleep(1.0)
            assert one.protocol_errors == 1
            assert await listed(one, ServiceKey("k" * 200)) == []
            with pytest.raises(ProtocolError):
                buckets.unpack(b"\x93\x01\x01")

    run(scenario)


def test_a_change_costs_what_has_changed() -> None:
    """R1: of all other services the very same values are told again, so that nobody has to look at them."""
    keys: list[ServiceKey[Say]] = [ServiceKey(f"k{number}") for number in range(20)]

    def begin(system: ClusteredActorSystem) -> None:
        for key in keys:
            system.spawn(Behaviors.discoverable(echo(), key=key))

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await nodes.form("n1", "n2", begin=begin)
            await trio.sleep(1)
            one, two = nodes.systems["n1"], nodes.systems["n2"]
            registry = {entry: entry for entry in one._topology().registry}
            assert len(registry) == 40
            assert list(registry) == sorted(registry)
            two.spawn(Behaviors.discoverable(echo(), key=keys[7]))
            await trio.sleep(1)
            after = one._topology().registry
            assert list(after) == sorted(after)
            assert len(after) == 41
            assert [entry.key for entry in after if registry.get(entry) is not entry] == ["k7"] * 3
            one.spawn(Behaviors.discoverable(echo(), key=keys[3]))
            assert len(one.services.find(keys[3]).instances) == 3

    run(scenario)
