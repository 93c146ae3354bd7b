"""Watching the actors of other nodes: exactly one Terminated, after everything the actor had told, whatever happens."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from casty_trio import (
    ActorAddress,
    ActorFailedError,
    ActorRef,
    Behaviors,
    ClusteredActorSystem,
    LinkLost,
    NodeGone,
    NodeGoneError,
    Terminated,
)
from casty_trio.testing import Conditions, Simulation, simulate
from tests.remote.nodes import (
    Fail,
    GetAll,
    Hand,
    Leave,
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
from tests.sim.shop import PORT, Host, cart, small_link, wants

STALLED = Conditions(stalled=True)


def ends(story: list[Any]) -> list[Terminated]:
    """What was heard of ends."""
    return [item for item in story if isinstance(item, Terminated)]


@pytest.mark.parametrize("pinned", [False, True])
@pytest.mark.parametrize("connected", [False, True])
def test_one_end(pinned: bool, connected: bool) -> None:
    """L6: it ends, it fails, it has ended before; by path, or by incarnation; two watchers share one WATCH."""

    async def scenario(sim: Simulation) -> None:
        stories = [list[Any](), list[Any](), list[Any]()]
        async with opened(sim) as [one, other]:
            actor = one.spawn(cart("x"), "cart")
            ref: ActorRef[Any] = other.resolve(actor.address if pinned else uri(1, "/cart"))
            if connected:
                await other.ask(ref, wants(GetAll))
            for story in stories[:2]:
                other.spawn(watcher(story, ref, ref))
            await trio.sleep(1)
            assert (peer_of(other, 1).watches.watching, peer_of(one, 2).watches.watched) == (2, 1)
            assert stories == [[], [], []]
            ref.tell(Leave())
            await until(lambda: stories[0] and stories[1])
            other.spawn(watcher(stories[2], ref))
            await until(lambda: stories[2])
            await trio.sleep(60)
            assert stories == [[Terminated(ref, None)]] * 3
            second = one.spawn(cart("x"), "cart")
            failing = list[Any]()
            other.spawn(watcher(failing, other.resolve(second.address)))
            await trio.sleep(1)
            second.tell(Fail("kaputt\n"))
            await until(lambda: failing)
            assert isinstance(failing[0].failure, ActorFailedError)
            assert "kaputt\\n" in str(failing[0].failure)
            assert (peer_of(other, 1).watches.watching, peer_of(one, 2).watches.watched) == (0, 0)

    simulate(scenario, 1)


def test_watching_no_more() -> None:
    """L6: who unwatches, or ends, hears nothing, and nothing is left on either node."""

    async def scenario(sim: Simulation) -> None:
        story = list[Any]()
        async with opened(sim) as [one, other]:
            actor = one.spawn(cart("x"), "cart")
            ref: ActorRef[Any] = other.resolve(actor.address)

            def begin(ctx: Any) -> Any:
                ctx.watch(ref)

                def receive(ctx: Any, message: Any) -> None:
                    ctx.unwatch(ref)
                    ctx.unwatch(ref)

                return Behaviors.receive(receive, on_signal=lambda ctx, signal: story.append(signal))

            first = other.spawn(Behaviors.setup(begin))
            second = other.spawn(watcher(story, ref))
            await trio.sleep(1)
            first.tell("unwatch")
            await trio.sleep(1)
            assert (peer_of(other, 1).watches.watching, peer_of(one, 2).watches.watched) == (1, 1)
            await other.stop(second)
            await trio.sleep(1)
            assert (peer_of(other, 1).watches.watching, peer_of(one, 2).watches.watched) == (0, 0)
            await one.stop(actor)
            await trio.sleep(60)
            assert story == []

    simulate(scenario, 1)


@pytest.mark.parametrize("seed", range(30))
def test_after_everything_it_told(seed: int) -> None:
    """L7: across a link that breaks at any byte, too; what is missing was lost in front of it."""

    async def scenario(sim: Simulation) -> None:
        rng = sim.rng("test")
        story = list[Any]()
        async with opened(sim, link=quick(max_frame=1024, max_message=4096, queue=300_000)) as [one, other]:
            sim.network.set_conditions(Conditions(delay=(0.0, 0.05)))

            def begin(ctx: Any) -> Any:
                def receive(ctx: Any, message: Any) -> Any:
                    for number in range(100):
                        message.ref.tell(Note(number, 0, bytes(rng.randrange(2_000))))
                    return Behaviors.stopped()

                return Behaviors.receive(receive)

            actor = one.spawn(Behaviors.setup(begin), "teller")
            ref: ActorRef[Any] = other.resolve(actor.address if seed % 2 else uri(1, "/teller"))
            watching = other.spawn(watcher(story, ref))
            await trio.sleep(1)
            if seed:
                sim.network.cut("node-1", "node-2", after=rng.randrange(1, 120_000))
            ref.tell(Hand(watching))
            await until(lambda: ends(story))
            await trio.sleep(60)
            assert story[-1] == Terminated(ref, None)
            numbers = [note.number for note in story[:-1]]
            assert numbers == sorted(set(numbers))
            if not seed:
                assert numbers == list(range(100))

    simulate(scenario, seed)


@pytest.mark.parametrize("seed", range(30))
def test_exactly_one_under_resets(seed: int) -> None:
    """L6: resets at any moment, many actors, some end: each end is told once, and nobody else's."""

    async def scenario(sim: Simulation) -> None:
        rng = sim.rng("test")
        story = list[Any]()
        async with opened(sim, link=quick()) as [one, other]:
            sim.network.set_conditions(Conditions(delay=(0.0, 0.1)))
            actors = [one.spawn(cart("x"), f"cart-{number}") for number in range(20)]
            refs: list[ActorRef[Any]] = [other.resolve(actor.address) for actor in actors]
            other.spawn(watcher(story, *refs))
            ended = list[ActorRef[Any]]()
            for actor, ref in zip(actors, refs, strict=True):
                match rng.randrange(4):
                    case 0:
                        await one.stop(actor)
                        ended.append(ref)
                    case 1:
                        sim.network.cut("node-1", "node-2")
                    case 2:
                        sim.network.cut("node-1", "node-2", after=rng.randrange(1, 300))
                    case _:
                        await trio.sleep(rng.random())
            await trio.sleep(60)
            assert sorted(item.ref.path for item in ends(story)) == sorted(ref.path for ref in ended)
            for actor in actors:
                await one.stop(actor)
            await until(lambda: len(story) == 20)
            await trio.sleep(60)
            assert sorted(item.ref.path for item in ends(story)) == sorted(ref.path for ref in refs)
            assert {item.failure for item in ends(story)} == {None}

    simulate(scenario, seed)


def test_an_end_in_the_gap_between_two_connections() -> None:
    """L6: by path too, although another actor has taken the name before the next connection."""

    async def scenario(sim: Simulation) -> None:
        story = list[Any]()
        async with opened(sim, link=quick()) as [one, other]:
            actor = one.spawn(cart("x"), "cart")
            ref: ActorRef[Any] = other.resolve(uri(1, "/cart"))
            other.spawn(watcher(story, ref))
            await trio.sleep(1)
            sim.network.set_conditions(STALLED, between=("node-1", "node-2"))
            await trio.sleep(3)
            assert not one.connections
            actor.tell(Fail("in the gap"))
            await one.wait_stopped(actor)
            one.spawn(cart("x"), "cart")
            sim.network.set_conditions(Conditions(), between=("node-1", "node-2"))
            await until(lambda: story)
            await trio.sleep(60)
            [end] = story
            assert end.ref is ref
            assert "in the gap" in str(end.failure)

    simulate(scenario, 1)


def test_what_is_not_asked_for_again_is_forgotten() -> None:
    """L6: a watch that ended without a connection leaves nothing, two connections later."""

    async def scenario(sim: Simulation) -> None:
        async with opened(sim, link=quick()) as [one, other]:
            one.spawn(cart("x"), "cart")
            ref: ActorRef[Any] = other.resolve(uri(1, "/cart"))
            watching = other.spawn(watcher([], ref))
            await trio.sleep(1)
            sim.network.set_conditions(STALLED, between=("node-1", "node-2"))
            await trio.sleep(3)
            await other.stop(watching)
            sim.network.set_conditions(Conditions(), between=("node-1", "node-2"))
            for _ in range(2):
                assert await other.ask(ref, wants(GetAll), timeout=60) == ()
                sim.network.cut("node-1", "node-2")
                await trio.sleep(1)
            assert await other.ask(ref, wants(GetAll)) == ()
            assert peer_of(one, 2).watches.watched == 0

    simulate(scenario, 1)


async def check_gone(node: ClusteredActorSystem, old: ActorRef[Any]) -> None:
    """W8: a ref to an actor of a start that is gone."""
    before = node.statistics().dead_letters
    old.tell(Put(1))
    await old.send(Put(1))
    assert node.statistics().dead_letters == before + 2
    end = list[Any]()
    node.spawn(watcher(end, old))
    await until(lambda: end)
    assert isinstance(end[0].failure, NodeGoneError)


@pytest.mark.parametrize("stop", ["leave", "kill"])
@pytest.mark.parametrize("pinned", [False, True])
def test_the_node_starts_anew(stop: str, pinned: bool) -> None:
    """L6 and W8: what lived in the earlier start has ended, once; who lives at that path now is not it."""

    async def scenario(sim: Simulation) -> None:
        story, later = list[Any](), list[Any]()
        async with member(sim, 2, link=quick()) as other, trio.open_nursery() as nursery:
            host = Host(sim, nursery)
            node = await host.start()
            actor = node.spawn(cart("x"), "one")
            ref: ActorRef[Any] = other.resolve(actor.address if pinned else uri(1, "/one"))
            other.spawn(watcher(story, ref))
            gone = heard(other, NodeGone)
            lost = heard(other, LinkLost)
            await trio.sleep(1)
            assert story == []
            await (host.stop() if stop == "leave" else host.kill())
            again = await host.start()
            again.spawn(cart("x"), "one")
            await until(lambda: lost and (gone or stop == "leave"))
            new: ActorRef[Any] = other.resolve(uri(1, "/one"))
            other.spawn(watcher(later, new))
            await until(lambda: story)
            await trio.sleep(60)
            assert [end.ref for end in ends(story)] == [ref]
            assert later == []
            if stop == "kill":
                assert isinstance(story[0].failure, NodeGoneError)
            assert [event.uid for event in gone] == [node.uid]
            assert gone[0].host == "node-1"
            assert len(lost) == 1
            await check_gone(other, other.resolve(actor.address))
            assert await other.ask(new, wants(GetAll)) == ()
            await host.stop()

    simulate(scenario, 1)


def test_the_node_does_not_come_back() -> None:
    """L6: after ``gone_after`` it is declared gone, once; not before, and never while it is in touch."""

    async def scenario(sim: Simulation) -> None:
        story = list[Any]()
        async with opened(sim, link=quick(gone_after=20.0)) as [one, other]:
            actor = one.spawn(cart("x"), "cart")
            ref: ActorRef[Any] = other.resolve(actor.address)
            other.spawn(watcher(story, ref))
            gone = heard(other, NodeGone)
            for pause in (15, 15):
                await trio.sleep(100)
                sim.network.set_conditions(STALLED, between=("node-1", "node-2"))
                await trio.sleep(pause)
                sim.network.set_conditions(Conditions(), between=("node-1", "node-2"))
            await trio.sleep(100)
            assert story == gone == []
            sim.network.set_conditions(STALLED, between=("node-1", "node-2"))
            began = trio.current_time()
            await until(lambda: story)
            assert 20 < trio.current_time() - began < 24
            assert gone[0].uid == one.uid
            assert isinstance(story[0].failure, NodeGoneError)
            sim.network.set_conditions(Conditions(), between=("node-1", "node-2"))
            before = other.statistics().dead_letters
            ref.tell(Put(1))
            assert other.statistics().dead_letters == before + 1
            await one.stop(actor)
            await trio.sleep(100)
            assert len(story) == 1

    simulate(scenario, 1)


def test_a_ref_to_a_start_that_nobody_here_knew() -> None:
    """W8: the node at that address is asked; it is another one, so the ref is to an earlier start."""

    async def scenario(sim: Simulation) -> None:
        story, notes = list[Any](), list[Note]()
        async with opened(sim) as [one, other]:
            one.spawn(sink(notes), "sink")
            stale: ActorRef[Any] = other.resolve(ActorAddress(one.name, "/sink", "node-1", PORT, 77, 1))
            for connected in (False, True):
                began = trio.current_time()
                stale.tell(Note(1))
                other.spawn(watcher(story, stale))
                await until(lambda: story)
                assert trio.current_time() - began < 1
                assert isinstance(story[0].failure, NodeGoneError)
                story.clear()
                assert len(other.connections) == 1
                stale = other.resolve(ActorAddress(one.name, "/sink", "node-1", PORT, 78 + connected, 1))
            dials = other.peer_statistics()[0].dials
            stale = other.resolve(ActorAddress(one.name, "/sink", "node-1", PORT, 77, 1))
            stale.tell(Note(1))
            await trio.sleep(10)
            assert other.peer_statistics()[0].dials == dials
            assert other.statistics().dead_letters == 3
            other.resolve(uri(1, "/sink")).tell(Note(2))
            await until(lambda: notes)
            assert notes == [Note(2)]
            assert len(one.connections) == 1

    simulate(scenario, 1)


def test_mail_that_waited_for_any_start() -> None:
    """W8: it goes to the node that is there in the end; what waited for the earlier start is a dead letter."""

    async def scenario(sim: Simulation) -> None:
        async with member(sim, 2, link=quick()) as other, trio.open_nursery() as nursery:
            host = Host(sim, nursery)
            node = await host.start()
            actor = node.spawn(cart("x"), "one")
            bound: ActorRef[Any] = other.resolve(actor.address)
            free: ActorRef[Any] = other.resolve(uri(1, "/one"))
            assert await other.ask(free, wants(GetAll)) == ()
            await host.kill()
            await trio.sleep(0.1)
            for number in range(3):
                bound.tell(Put(number))
                free.tell(Put(10 + number))
            assert other.peer_statistics()[0].held == 6
            async with member(sim, 1) as again:
                again.spawn(cart("x"), "one")
                assert await other.ask(free, wants(GetAll), timeout=60) == (10, 11, 12)
            assert other.statistics().dead_letters == 3

    simulate(scenario, 1)


def test_more_words_than_there_is_room_for() -> None:
    """L6 and L7: a thousand watches through a small queue, both ways; none is lost."""

    async def scenario(sim: Simulation) -> None:
        story = list[Any]()
        async with opened(sim, link=small_link(max_message=1024, queue=1024)) as [one, other]:
            actors = [one.spawn(cart("x"), f"cart-{number}") for number in range(200)]
            refs: list[ActorRef[Any]] = [other.resolve(actor.address) for actor in actors]
            other.spawn(watcher(story, *refs))
            await trio.sleep(1)
            await until(lambda: peer_of(one, 2).watches.watched == 200)
            for actor in actors:
                actor.tell(Leave())
            await trio.sleep(0.001)
            sim.network.cut("node-1", "node-2", after=1500)
            await until(lambda: len(story) == 200)
            await trio.sleep(60)
            assert {end.ref for end in ends(story)} == set(refs)
            assert len(story) == 200
            huge = other.resolve(uri(1, "/" + "x" * 5_000))
            other.spawn(watcher(story, huge))
            await trio.sleep(60)
            assert len(one.connections) == 1

    simulate(scenario, 1)
