"""How a node that talks to others ends: in order, cancelled at any step, and what is left to those who hold refs."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from casty_trio import ActorRef, LinkClosedError, LinkLost
from casty_trio.testing import Simulation, simulate
from tests.remote.nodes import GetAll, Note, Put, heard, member, opened, peer_of, sink, until, uri, watcher
from tests.sim.shop import cart, census, wants
from tests.sim.steps import assert_nothing_is_left


def test_leaving_says_goodbye() -> None:
    """L3: what was said still arrives, watchers hear of ends first, and what waits for others is a dead letter."""

    async def scenario(sim: Simulation) -> None:
        before = census()
        story, notes = list[Any](), list[Note]()
        async with member(sim, 1) as one:
            one.spawn(sink(notes), "sink")
            async with member(sim, 2) as other:
                mine = other.spawn(cart("x"), "mine")
                one.spawn(watcher(story, one.resolve(mine.address)))
                ref: ActorRef[Any] = other.resolve(uri(1, "/sink"))
                nowhere: ActorRef[Any] = other.resolve(uri(9, "/x"))
                await trio.sleep(1)
                lost = heard(one, LinkLost)
                for number in range(100):
                    ref.tell(Note(number))
                nowhere.tell(Note(1))
            assert other.statistics().dead_letters == 1
            await until(lambda: lost)
            assert [note.number for note in notes] == list(range(100))
            assert [end.failure for end in story] == [None]
            assert "node-2 leaves" in lost[0].reason
            assert lost[0].unconfirmed == 0 or lost[0].unconfirmed < 100
            ref.tell(Note(1))
            assert other.statistics().dead_letters == 2
        assert census() == before

    simulate(scenario, 1)


@pytest.mark.parametrize("by", ["steps", "time"])
def test_cancelled_at_every_step(by: str) -> None:
    """L3: two nodes in the middle of anything leave no task and no connection behind."""

    async def live(sim: Simulation) -> None:
        async with opened(sim) as [one, other]:
            story = list[Any]()
            one.spawn(cart("x"), "cart")
            ref: ActorRef[Any] = other.resolve(uri(1, "/cart"))
            other.spawn(watcher(story, ref))
            ref.tell(Put(1))
            other.resolve(uri(7, "/x")).tell(Put(1))
            await other.ask(ref, wants(GetAll))
            one.resolve(uri(2, "/x")).tell(Put(1))

    assert_nothing_is_left(by, live)


def test_after_the_end() -> None:
    """L3: whoever still holds a ref gets dead letters, and no task is started."""

    async def scenario(sim: Simulation) -> None:
        async with opened(sim) as [_, other]:
            ref: ActorRef[Any] = other.resolve(uri(1, "/x"))
            peer = peer_of(other, 1)
        before = census()
        ref.tell(Put(1))
        await ref.send(Put(1))
        with pytest.raises(LinkClosedError, match="leaves"):
            peer.write(33, b"x", 0)
        assert other.statistics().dead_letters == 2
        assert census() == before

    simulate(scenario, 1)
