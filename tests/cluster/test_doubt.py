"""A node that was late, or is to decide on others, asks whether it is still a member, and goes by fresh answers alone."""

from __future__ import annotations

from casty_trio.cluster.doubt import Doubt
from casty_trio.protocol.monitoring import Ping, Pong


def answer(doubt: Doubt, uid: int) -> bool:
    """Somebody answers; whether that is enough."""
    doubt.answered(uid, Pong(doubt.ping.seq))
    return doubt.resolved


def test_most_have_to_answer_what_was_asked_since() -> None:
    """C6, S1: this node is one of five that are up; two others make three."""
    doubt = Doubt(10.0, [1, 2, 3, 4, 5], 3.0, 1)
    assert doubt.ask(10.0) == [1, 2, 3, 4, 5]
    doubt.answered(2, Pong(7))
    assert not doubt.resolved, "that was asked before"
    doubt.answered(3, doubt.ping)
    assert not doubt.resolved
    assert not answer(doubt, 4)
    assert not answer(doubt, 4), "it counts once"
    assert answer(doubt, 5)
    assert doubt.ask(10.5) == [1, 2, 3]


def test_it_ends_when_everybody_would_have_been_decided_on() -> None:
    """C6: no node stands still for ever; each doubt has its own question."""
    doubt = Doubt(10.0, [1, 2], 3.0, 1)
    doubt.ask(10.0)
    assert (doubt.ask_at, doubt.until) == (10.5, 22.0)
    assert isinstance(doubt.ping, Ping)
    assert doubt.ping != Doubt(10.0, [1, 2], 3.0, 2).ping


def test_who_is_to_be_down_is_not_asked() -> None:
    """S1: but counts among those of whom most have to answer, for they may be on the other side with others."""
    doubt = Doubt(10.0, [1, 2, 3, 4, 5, 6, 7], 3.0, 1)
    doubt.decide(12.0, [6, 7, 9])
    assert not doubt.resolved
    assert (doubt.ask_at, doubt.until) == (12.0, 24.0)
    assert doubt.ask(12.0) == [1, 2, 3, 4, 5]
    assert not answer(doubt, 2)
    assert not answer(doubt, 3)
    assert answer(doubt, 4)


def test_where_most_are_to_be_down_most_of_the_others_have_to_answer() -> None:
    """C6: as by age, or where two are left of which one goes."""
    doubt = Doubt(10.0, [1, 2, 3, 4, 5], 3.0, 1)
    doubt.decide(10.0, [3, 4, 5])
    assert not doubt.resolved
    assert answer(doubt, 2)
    alone = Doubt(10.0, [1, 2], 3.0, 1)
    alone.decide(10.0, [2])
    assert alone.resolved


def test_another_situation_other_answers() -> None:
    """C6: what was to be decided is not; all are asked again."""
    doubt = Doubt(10.0, [1, 2, 3], 3.0, 1)
    doubt.decide(10.0, [3])
    doubt.decide(11.0, [])
    assert doubt.ask(11.0) == [1, 2, 3]
    assert answer(doubt, 3)
