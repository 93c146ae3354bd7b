"""What is left of an ask's time, in a message that is sent again."""

from __future__ import annotations

import pytest

from casty_trio.protocol import wire
from casty_trio.protocol.frames import Kind


@pytest.mark.parametrize("budget", [None, 1.5])
def test_a_message_to_an_entity_gets_another_budget_and_stays_the_same(budget: float | None) -> None:
    """W4: what waited on the way has less time left."""
    body = wire.with_budget(Kind.ENTITY, wire.pack_entity(7, 3.0, "cart", 10, "user-1", "Add", b"\x01"), budget)
    frame = wire.unpack_entity(body)
    assert (frame.ask, frame.budget, frame.shard_type, frame.num_shards) == (7, budget, "cart", 10)
    assert (frame.entity_id, frame.name, bytes(frame.body)) == ("user-1", "Add", b"\x01")


def test_so_does_one_to_an_actor() -> None:
    body = wire.with_budget(Kind.ACTOR, wire.pack_actor(7, 3.0, ("/cart", 5), "Add", b"\x01"), 0.5)
    frame = wire.unpack_actor(body)
    assert (frame.ask, frame.budget, frame.path, frame.incarnation) == (7, 0.5, "/cart", 5)
    assert (frame.name, bytes(frame.body)) == ("Add", b"\x01")


@pytest.mark.parametrize("uid", [0, 99])
def test_an_actor_of_one_start_of_its_node_stays_that(uid: int) -> None:
    body = wire.with_budget(Kind.ACTOR, wire.pack_actor(7, 3.0, ("/cart", 0), "Add", b"\x01", uid), 0.5)
    assert wire.unpack_actor(body).uid == uid
