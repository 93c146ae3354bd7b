"""A node that was late asks whether it is still a member, and goes by fresh answers alone."""

from __future__ import annotations

from casty_trio.cluster.doubt import Doubt
from casty_trio.protocol.monitoring import Ping, Pong


def test_most_have_to_answer_what_was_asked_since() -> None:
    """C6, S1: this node is one of five that are up; two others make three."""
    doubt = Doubt(10.0, [1, 2, 3, 4, 5], 3.0, 1)
    assert doubt.ask(10.0) == [1, 2, 3, 4, 5]
    assert not doubt.answered(2, Pong(7)), "that was asked before"
    assert not doubt.answered(3, doubt.ping)
    assert not doubt.answered(4, Pong(doubt.ping.seq))
    assert not doubt.answered(4, Pong(doubt.ping.seq)), "it counts once"
    assert doubt.answered(5, Pong(doubt.ping.seq))
    assert doubt.ask(10.5) == [1, 2, 3]


def test_it_ends_when_everybody_would_have_been_decided_on() -> None:
    """C6: no node stands still for ever; each doubt has its own question."""
    doubt = Doubt(10.0, [1, 2], 3.0, 1)
    doubt.ask(10.0)
    assert (doubt.ask_at, doubt.until) == (10.5, 22.0)
    assert isinstance(doubt.ping, Ping)
    assert doubt.ping != Doubt(10.0, [1, 2], 3.0, 2).ping


def test_who_is_down_answers_no_more() -> None:
    """S1: that is decided of others says nothing of the node itself, unless nobody else is left."""
    doubt = Doubt(10.0, [1, 2, 3, 4, 5, 6, 7], 3.0, 1)
    assert not doubt.decided([6, 7, 9])
    assert doubt.ask(10.0) == [1, 2, 3, 4, 5]
    assert not doubt.answered(2, Pong(doubt.ping.seq))
    assert doubt.answered(3, Pong(doubt.ping.seq))
    assert Doubt(10.0, [1, 2], 3.0, 1).decided([2])
