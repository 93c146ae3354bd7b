"""Topics and actors by their path, on all nodes of a cluster (P1)."""

from __future__ import annotations

from collections import Counter
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
    Delivery,
    EncodeError,
    Mailbox,
    ProtocolError,
    SettingsError,
    Topic,
    UsageError,
)
from casty_trio.protocol import publications
from casty_trio.protocol.frames import Kind
from casty_trio.testing import Simulation
from tests.cluster.clusters import Cluster, cluster, run

THREE = ("n1", "n2", "n3")


@dataclass(frozen=True)
class News:
    number: int


@dataclass(frozen=True)
class Question:
    reply_to: ActorRef[str]


NEWS: Topic[News] = Topic("news")
Heard = dict[str, list[int]]


def listener(heard: Heard, name: str) -> Behavior[News]:
    """Writes down what it hears."""

    def receive(ctx: ActorContext[News], message: News) -> None:
        heard.setdefault(name, []).append(message.number)

    return Behaviors.receive(receive)


class Listeners:
    """Actors that listen, and what they have heard."""

    def __init__(self, nodes: Cluster) -> None:
        self.nodes = nodes
        self.heard: Heard = {}

    def spawn(self, node: str, name: str) -> ActorRef[News]:
        return self.nodes.systems[node].spawn(listener(self.heard, f"{node}/{name}"), name)

    def subscribe(self, node: str, name: str, group: str | None = None) -> ActorRef[News]:
        ref = self.spawn(node, name)
        self.nodes.systems[node].pubsub.subscribe(NEWS, ref, group=group)
        return ref

    def put(self, node: str, name: str) -> ActorRef[News]:
        ref = self.spawn(node, name)
        self.nodes.systems[node].pubsub.put(ref)
        return ref

    async def settle(self) -> Heard:
        await trio.sleep(0.5)
        heard, self.heard = dict(self.heard), self.heard
        self.heard.clear()
        return heard


def test_every_subscriber_gets_each_message_once_and_in_order() -> None:
    """P1: on every node, from every node; those that have stopped or ended it get none."""

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await nodes.form(*THREE)
            listeners = Listeners(nodes)
            refs = [listeners.subscribe(node, name) for node, name in (("n1", "a"), ("n1", "b"), ("n2", "a"))]
            nodes.systems["n1"].pubsub.subscribe(NEWS, refs[0])
            await trio.sleep(0.2)
            for node in THREE:
                pubsub = nodes.systems[node].pubsub
                assert (pubsub.topics(), pubsub.count_subscribers(NEWS)) == (("news",), 3)
                assert [pubsub.publish(NEWS, News(number)) for number in range(3)] == [3, 3, 3]
                assert await listeners.settle() == {"n1/a": [0, 1, 2], "n1/b": [0, 1, 2], "n2/a": [0, 1, 2]}
            await nodes.systems["n1"].stop(refs[0])
            nodes.systems["n2"].pubsub.unsubscribe("news", refs[2])
            nodes.systems["n2"].pubsub.unsubscribe("news", refs[2])
            await trio.sleep(0.2)
            assert nodes.systems["n3"].pubsub.publish("news", News(7)) == 1
            assert await listeners.settle() == {"n1/b": [7]}

    run(scenario)


def test_a_group_gets_one_copy() -> None:
    """P1: wherever its members live; beside the others, who get one each."""

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await nodes.form(*THREE)
            listeners = Listeners(nodes)
            for node in THREE:
                listeners.subscribe(node, "blue", "blue")
                listeners.subscribe(node, "red", "red")
            listeners.subscribe("n2", "single")
            await trio.sleep(0.2)
            pubsub = nodes.systems["n1"].pubsub
            assert pubsub.count_subscribers(NEWS) == 7
            assert {pubsub.publish(NEWS, News(number)) for number in range(60)} == {3}
            heard = await listeners.settle()
            shares = {group: [heard[f"{node}/{group}"] for node in THREE] for group in ("blue", "red")}
            for share in shares.values():
                assert sorted(number for numbers in share for number in numbers) == list(range(60))
            assert heard["n2/single"] == list(range(60))

    run(scenario)


def test_a_group_leaves_out_whom_it_cannot_reach_and_nodes_that_are_gone() -> None:
    """P1: one copy for those that live."""

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim, downing=None) as nodes:
            await nodes.form(*THREE)
            listeners = Listeners(nodes)
            for node in ("n2", "n3"):
                listeners.subscribe(node, "blue", "blue")
            await trio.sleep(0.2)
            sim.host("n3").crash()
            one = nodes.systems["n1"]
            with trio.fail_after(20):
                while not one.cluster_state.unreachable:  # noqa: ASYNC110 - several systems bring it about
                    await trio.sleep(0.1)
            for number in range(20):
                assert one.pubsub.publish(NEWS, News(number)) == 1
            assert await listeners.settle() == {"n2/blue": list(range(20))}
            one.down("n3")
            await nodes.formed("n1", "n2")
            assert one.pubsub.count_subscribers(NEWS) == 1

    run(scenario)


def test_without_anybody_it_is_a_dead_letter() -> None:
    """P1."""

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await nodes.form("n1")
            one = nodes.systems["n1"]
            listeners = Listeners(nodes)
            ref = listeners.put("n1", "a")
            async with one.events(DeadLetter) as letters:
                assert one.pubsub.publish("a b/c", News(1)) == 0
                assert one.pubsub.send("/nobody", News(2)) is False
                assert one.pubsub.send_to_all("/a", News(3), exclude_self=True) == 0
                assert await one.pubsub.publish_confirmed(NEWS, News(4)) == Delivery(0, 0)
                told: list[Any] = [await anext(letters) for _ in range(4)]
            assert [(each.recipient.path, each.message, each.reason) for each in told] == [
                ("/$topics/a%20b%2Fc", News(1), "nobody has subscribed"),
                ("/nobody", News(2), "nobody was put at this path"),
                ("/a", News(3), "nobody was put at this path"),
                ("/$topics/news", News(4), "nobody has subscribed"),
            ]
            one.pubsub.remove(ref)
            one.pubsub.remove(ref)
            assert not one.pubsub.send("/a", News(5))
            await one.stop(ref)
            one.pubsub.put(ref)
            assert not one.pubsub.send("/a", News(6))

    run(scenario)


def test_one_of_those_at_a_path_or_all() -> None:
    """With local affinity the one of the node itself, if it has one; else any of them."""

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await nodes.form(*THREE)
            listeners = Listeners(nodes)
            listeners.put("n1", "a")
            listeners.put("n2", "a")
            listeners.put("n2", "b")
            await trio.sleep(0.2)
            one, three = nodes.systems["n1"].pubsub, nodes.systems["n3"].pubsub
            assert all(one.send("/a", News(number), local_affinity=True) for number in range(10))
            assert await listeners.settle() == {"n1/a": list(range(10))}
            for pubsub in (one, three):
                assert all(pubsub.send("a", News(number)) for number in range(40))
                counts = Counter({name: len(numbers) for name, numbers in (await listeners.settle()).items()})
                assert counts.total() == 40
                assert min(counts["n1/a"], counts["n2/a"]) > 5
            assert three.send("/b", News(1), local_affinity=True)
            assert await listeners.settle() == {"n2/b": [1]}
            assert one.send_to_all("/a", News(2)) == 2
            assert one.send_to_all("/a", News(3), exclude_self=True) == 1
            assert await listeners.settle() == {"n1/a": [2], "n2/a": [2, 3]}

    run(scenario)


def test_a_node_that_joins_later_hears_of_all() -> None:
    """P1: what was registered before it came, also by actors of a node that starts again."""

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await nodes.form("n1", "n2")
            listeners = Listeners(nodes)
            listeners.subscribe("n1", "a")
            listeners.subscribe("n2", "a")
            nodes.start("n3")
            await nodes.formed(*THREE)
            await trio.sleep(0.5)
            assert nodes.systems["n3"].pubsub.publish(NEWS, News(1)) == 2
            assert await listeners.settle() == {"n1/a": [1], "n2/a": [1]}
            sim.host("n2").crash()
            await nodes.formed("n1", "n3")
            nodes.start("n2")
            await nodes.formed(*THREE)
            await trio.sleep(0.5)
            for number, node in enumerate(("n3", "n2"), 2):
                assert nodes.systems[node].pubsub.publish(NEWS, News(number)) == 1
                assert await listeners.settle() == {"n1/a": [number]}

    run(scenario)


def test_a_publication_that_is_confirmed() -> None:
    """P1: it tells how many have it; who has stopped meanwhile, is full or cannot be reached, has not."""

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim, downing=None) as nodes:
            await nodes.form(*THREE)
            listeners = Listeners(nodes)
            for node in THREE:
                listeners.subscribe(node, "a")
                listeners.subscribe(node, "b", "group")
            await trio.sleep(0.2)
            pubsub = nodes.systems["n1"].pubsub
            done = await pubsub.publish_confirmed(NEWS, News(1))
            assert done == Delivery(4, 4)
            assert done.complete
            two = nodes.systems["n2"]

            async def wait(ctx: ActorContext[News], message: News) -> None:
                await trio.sleep_forever()

            full = two.spawn(Behaviors.receive(wait), "full", mailbox=Mailbox(1, "reject"))
            two.pubsub.subscribe("full", full)
            nodes.systems["n1"].pubsub.subscribe("full", nodes.systems["n1"].spawn(Behaviors.ignore(), "empty"))
            await trio.sleep(0.2)
            results = [await pubsub.publish_confirmed("full", News(number)) for number in range(3)]
            assert results == [Delivery(2, 2), Delivery(2, 2), Delivery(2, 1)]
            nodes.split(["n1"], ["n2"])
            begun = trio.current_time()
            assert await pubsub.publish_confirmed("full", News(9), timeout=1.5) == Delivery(2, 1)
            assert trio.current_time() - begun == pytest.approx(1.5)
            sim.host("n2").crash()
            nodes.heal(["n1"], ["n2"])
            with trio.fail_after(30):
                while nodes.systems["n1"].peer_statistics()[0].connected:  # noqa: ASYNC110
                    await trio.sleep(0.1)
            begun = trio.current_time()
            assert await pubsub.publish_confirmed("full", News(9)) == Delivery(2, 1)
            assert trio.current_time() == begun, "there is nobody to wait for"
            assert not pubsub._pending  # type: ignore[attr-defined]

    run(scenario)


def test_a_confirmation_of_a_node_that_has_gone_is_not_waited_for() -> None:
    """P1: nobody will say what it has; those of the others are waited for."""

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await nodes.form(*THREE)
            listeners = Listeners(nodes)
            for node in THREE:
                listeners.subscribe(node, "a")
            await trio.sleep(0.2)
            pubsub = nodes.systems["n1"].pubsub
            done: list[Delivery] = []

            async def publish() -> None:
                done.append(await pubsub.publish_confirmed(NEWS, News(1), timeout=100))

            nodes.split(["n1"], ["n2"])
            async with trio.open_nursery() as nursery:
                nursery.start_soon(publish)
                await trio.sleep(0.5)
                assert not done
                sim.host("n2").crash()
                with trio.fail_after(40):
                    while not done:  # noqa: ASYNC110 - the failure detector has to bring it about
                        await trio.sleep(0.1)
            assert done == [Delivery(3, 2)]
            assert not pubsub._pending  # type: ignore[attr-defined]

    run(scenario)


def test_an_adapter_subscribes_and_ends_with_its_actor() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await nodes.form("n1", "n2")
            heard: list[str] = []
            one, two = nodes.systems["n1"], nodes.systems["n2"]

            def begin(ctx: ActorContext[str]) -> Behavior[str]:
                adapter: ActorRef[News] = ctx.adapter(lambda news: f"number {news.number}")
                one.pubsub.subscribe(NEWS, adapter)
                return Behaviors.receive(lambda _, text: heard.append(text))

            ref = one.spawn(Behaviors.setup(begin), "adapted")
            one.codec.register(News)
            await trio.sleep(0.5)
            assert two.pubsub.publish(NEWS, News(1)) == 1
            assert one.pubsub.publish(NEWS, News(2)) == 1
            assert await two.pubsub.publish_confirmed(NEWS, News(3)) == Delivery(1, 1)
            await one.stop(ref)
            await trio.sleep(0.5)
            assert two.pubsub.publish(NEWS, News(4)) == 0
            assert sorted(heard) == ["number 1", "number 2", "number 3"]

    run(scenario)


def test_a_reply_ref_travels_with_a_publication() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await nodes.form("n1", "n2")
            one, two = nodes.systems["n1"], nodes.systems["n2"]

            def receive(ctx: ActorContext[Question], message: Question) -> None:
                message.reply_to.tell("an answer")

            two.pubsub.put(two.spawn(Behaviors.receive(receive), "service"))
            await trio.sleep(0.2)
            answers: list[str] = []
            inbox: ActorRef[str] = one.spawn(Behaviors.receive(lambda _, text: answers.append(text)), "inbox")
            assert one.pubsub.send("/service", Question(inbox))
            await trio.sleep(0.5)
            assert answers == ["an answer"]

    run(scenario)


def test_what_cannot_be_published_reaches_nobody() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await nodes.form("n1", "n2")
            listeners = Listeners(nodes)
            listeners.subscribe("n1", "a")
            listeners.subscribe("n2", "a")
            await trio.sleep(0.2)
            one = nodes.systems["n1"]
            unsendable: Any = News(object())  # type: ignore[arg-type]
            with pytest.raises(EncodeError):
                one.pubsub.publish(NEWS, unsendable)
            with pytest.raises(EncodeError):
                await one.pubsub.publish_confirmed(NEWS, unsendable)
            assert await listeners.settle() == {}

    run(scenario)


def test_what_is_refused() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await nodes.form("n1", "n2")
            one, two = nodes.systems["n1"], nodes.systems["n2"]
            ref: ActorRef[News] = one.spawn(Behaviors.ignore(), "a")
            for topic in ("", "x" * 256, 3):
                with pytest.raises(SettingsError, match="the name of a topic"):
                    one.pubsub.subscribe(topic, ref)  # type: ignore[arg-type]
            with pytest.raises(SettingsError, match="group"):
                one.pubsub.subscribe(NEWS, ref, group="")
            with pytest.raises(SettingsError, match="timeout"):
                await one.pubsub.publish_confirmed(NEWS, News(1), timeout=-1)
            with pytest.raises(SettingsError, match="path"):
                one.pubsub.send("", News(1))
            with pytest.raises(UsageError, match="its own node subscribes"):
                two.pubsub.subscribe(NEWS, ref)
            with pytest.raises(UsageError, match="its own node subscribes"):
                two.pubsub.put(two.resolve(ref.address))

    run(scenario)


@pytest.mark.parametrize("kind", [Kind.DELIVER, Kind.DELIVERED, Kind.TOPICS])
def test_a_malformed_word_ends_the_connection(kind: int) -> None:
    """W2."""

    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await nodes.form("n1", "n2")
            one, two = nodes.systems["n1"], nodes.systems["n2"]
            [connection] = two.connections
            if kind < 32:
                connection.link.write_control(kind, b"\xc1")
            else:
                connection.link.write(kind, b"\xc1")
            await trio.sleep(1.0)
            assert one.protocol_errors == 1
            assert nodes.agreed("n1", "n2")

    run(scenario)


def test_words_come_back_and_late_ones_do_nothing() -> None:
    async def scenario(sim: Simulation) -> None:
        async with cluster(sim) as nodes:
            await nodes.form("n1", "n2")
            two: ClusteredActorSystem = nodes.systems["n2"]
            [connection] = two.connections
            late = publications.pack(publications.Delivered(99, 1))
            connection.link.write_control(Kind.DELIVERED, late)
            gone = publications.Deliver(1, (("/gone", 3),), "int", publications.raw(b"\x01"))
            connection.link.write(Kind.DELIVER, publications.pack(gone))
            await trio.sleep(0.5)
            assert nodes.systems["n1"].statistics().dead_letters == 1
            unknown = publications.Deliver(2, (("/gone", 3),), "no:Such", publications.raw(b"\x01"))  # counted once, too
            connection.link.write(Kind.DELIVER, publications.pack(unknown))
            await trio.sleep(0.5)
            assert nodes.systems["n1"].statistics().dead_letters == 2
            assert nodes.systems["n1"].protocol_errors == 0

    run(scenario)
    for unpack in (publications.unpack_deliver, publications.unpack_delivered):
        with pytest.raises(ProtocolError, match="malformed"):
            unpack(b"\x90")
