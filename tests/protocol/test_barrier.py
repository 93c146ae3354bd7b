"""Barriers: all go on or none, whoever crashes, leaves, gives up or is cut off meanwhile."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from casty_trio.errors import ProtocolError
from casty_trio.protocol import barrier as barriers, rounds
from casty_trio.protocol.barrier import AGAIN, Barriers, GiveUp, Refuse, Release, Say
from casty_trio.protocol.rounds import (
    BOUND,
    COMMITTED,
    RELEASED,
    VOID,
    Answer,
    Commit,
    Committed,
    Doubt,
    Mismatch,
    Outcome,
    Propose,
    Query,
    Told,
    Vote,
    Waiting,
    Word,
)
from tests.protocol.barriers import World

ROUNDS = {"a": 2, "b": 3, "c": 4}
"""Barriers to which exactly so many parties come."""


def walk(seed: int, steps: int = 120) -> World:
    """Anything may happen, at any time; and in the end nothing more does."""
    rng = random.Random(seed)
    world = World(rng.randint(2, 5))
    to_come = [name for name, n in ROUNDS.items() for _ in range(n)]
    rng.shuffle(to_come)
    faults = rng.random() < 0.8
    for _ in range(steps):
        step(world, rng, to_come, faults=faults)
    for name in to_come:
        if world.nodes:
            world.arrive(rng.choice(list(world.nodes)), name, ROUNDS[name])
    world.settle()
    return world


def step(world: World, rng: random.Random, to_come: list[str], *, faults: bool) -> None:
    living = list(world.nodes)
    uid = rng.choice(living)
    dice = rng.random()
    if dice < 0.45 and world.queues:
        world.deliver(rng.choice(list(world.queues)))
    elif dice < 0.6 and to_come:
        name = to_come.pop()
        world.arrive(uid, name, ROUNDS[name])
    elif dice < 0.7:
        world.arrive(uid, "again", 3)
    elif dice < 0.8:
        world.look(uid)
    elif dice < 0.85:
        world.tick(rng.choice([0.1, AGAIN]))
    elif faults:
        fault(world, rng, uid, living)


def fault(world: World, rng: random.Random, uid: int, living: list[int]) -> None:
    waiting = [number for number, party in world.parties.items() if not party.fate]
    dice = rng.random()
    if dice < 0.25 and waiting:
        world.give_up(rng.choice(waiting))
    elif dice < 0.35 and waiting:
        world.abandon(rng.choice(waiting))
    elif dice < 0.55:
        world.cut(uid, rng.choice(living))
    elif dice < 0.7 and len(living) > 1:
        world.crash(min(living) if rng.random() < 0.5 else uid)
    elif dice < 0.8 and world.crashed:
        world.remove(min(world.crashed))
    elif dice < 0.88 and len(living) > 1 and uid not in world.leaving:
        world.leave(min(living))
    elif dice < 0.94 and world.leaving & set(living) and len(living) > 1:
        world.exit(min(world.leaving & set(living)))
    elif len(world.views) < 20:
        world.join(max(world.views[-1][0], default=0) + len(world.views) + 10)


@pytest.mark.long
@pytest.mark.parametrize("block", range(5))
def test_all_or_none_whatever_happens(block: int) -> None:
    for seed in range(200 * block, 200 * block + 200):
        try:
            walk(seed).check_settled(*ROUNDS)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}") from error


@pytest.mark.long
@given(st.integers(0, 2**32))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_all_or_none_by_chance(seed: int) -> None:
    walk(seed, steps=200).check_settled(*ROUNDS)


# --- Word by word --------------------------------------------------------------------------------------------------------


def node(me: int = 2, host: int = 1, members: tuple[int, ...] = (1, 2, 3)) -> Barriers:
    machine = Barriers(me)
    assert machine.set_members(0.0, members, host) == []
    return machine


def said(effects: list[barriers.Effect], to: int) -> list[Word]:
    return [effect.word for effect in effects if isinstance(effect, Say) and effect.uid == to]


def bound(me: int = 2) -> Barriers:
    """A node with one party, in ballot (1, 1) of the host, together with node 3."""
    machine = node(me)
    machine.arrive(0.0, 7, "b", 2)
    voted = machine.receive(0.0, 1, Propose(1, 1, "b", 2, ((2, 1), (3, 1))))
    assert voted == [Say(1, Vote(1, "b", True, 0))]
    return machine


def test_a_round_word_by_word() -> None:
    host = node(1)
    assert host.receive(0.0, 2, Waiting("b", 2, 1, 0.0)) == []
    proposal = Propose(1, 1, "b", 2, ((2, 1), (3, 1)))
    assert host.receive(0.0, 3, Waiting("b", 2, 1, 0.0)) == [Say(2, proposal), Say(3, proposal)]
    assert host.receive(0.0, 2, Vote(1, "b", True, 0)) == []
    assert host.receive(0.0, 3, Vote(1, "b", True, 0)) == [Say(2, Commit(1, 1, 0)), Say(3, Commit(1, 1, 0))]
    assert host.receive(0.0, 2, Committed(1, 1, 0)) == []
    released = Outcome(1, 1, 0, True)
    assert host.receive(0.0, 3, Committed(1, 1, 0)) == [Say(2, released), Say(3, released)]
    assert host.receive(0.0, 2, Told(1, 1)) == []
    assert not host.idle
    assert host.receive(0.0, 3, Told(1, 1)) == []
    assert host.idle


def test_a_party_word_by_word() -> None:
    machine = bound()
    assert machine.receive(0.0, 1, Propose(1, 1, "b", 2, ((2, 1), (3, 1)))) == [Say(1, Vote(1, "b", True, 0))]
    assert machine.receive(0.0, 1, Commit(1, 1, 0)) == [Say(1, Committed(1, 1, 0))]
    assert machine.receive(0.0, 1, Outcome(1, 1, 0, True, 1)) == [Say(1, Told(1, 1)), Release(7)]
    assert machine.idle
    assert machine.receive(0.0, 1, Outcome(1, 1, 0, True, 1)) == [Say(1, Told(1, 1))]
    assert machine.receive(0.0, 1, Commit(1, 1, 0)) == [Say(1, Told(1, 1))]


def test_what_was_not_answered_is_said_again() -> None:
    host = node(1)
    host.receive(0.0, 2, Waiting("b", 2, 1, 0.0))
    host.receive(0.0, 3, Waiting("b", 2, 1, 0.0))
    host.receive(0.0, 3, Vote(1, "b", True, 0))
    assert host.next_wakeup == AGAIN
    assert host.tick(0.5) == []
    assert said(host.tick(1.0), 2) == [Propose(1, 1, "b", 2, ((2, 1), (3, 1)))]
    host.receive(1.0, 2, Vote(1, "b", True, 0))
    host.receive(1.0, 2, Committed(1, 1, 0))
    assert host.tick(2.0) == [Say(3, Commit(1, 1, 0))]
    host.receive(2.0, 3, Committed(1, 1, 0))
    host.receive(2.0, 3, Told(1, 1))
    assert host.tick(3.0) == [Say(2, Outcome(1, 1, 0, True, 1))]


def test_a_party_that_is_late_has_no_part_in_another_round() -> None:
    machine = bound()
    assert machine.withdraw(1.0, 7) == (False, [])
    assert machine.receive(1.0, 1, Outcome(1, 1, 0, False, 1)) == [Say(1, Told(1, 1)), GiveUp(7)]
    assert machine.idle


def test_a_party_that_is_gone_is_not_released() -> None:
    machine = bound()
    assert machine.abandon(1.0, 7) == []
    assert machine.abandon(1.0, 8) == []
    assert machine.receive(1.0, 1, Outcome(1, 1, 0, True, 1)) == [Say(1, Told(1, 1))]


def test_who_left_the_ballot_says_no() -> None:
    machine = node()
    machine.arrive(0.0, 7, "b", 2)
    machine.arrive(0.0, 8, "b", 2)
    assert machine.withdraw(0.0, 7) == (True, [Say(1, Waiting("b", 2, 1, 0.0))])
    two = Propose(1, 1, "b", 2, ((2, 2),))
    assert machine.receive(0.0, 1, two) == [Say(1, Vote(1, "b", False, 1))]
    machine.arrive(0.0, 9, "b", 2)
    assert machine.receive(0.0, 1, two) == [Say(1, Vote(1, "b", False, 2))], "it stays with what it said"
    assert machine.receive(0.0, 3, Propose(1, 1, "b", 2, ((2, 1),))) == [Say(3, Vote(1, "b", False, 0))], "not the host"
    assert machine.receive(0.0, 1, Propose(2, 1, "b", 3, ((2, 1),))) == [Say(1, Vote(2, "b", False, 2))], "another n"


def test_settled_ballots_are_forgotten() -> None:
    machine = node()
    for number in range(1, 4):
        machine.receive(0.0, 1, Propose(number, 1, "b", 2, ((2, 1),)))
    assert list(machine._done) == [(1, 1), (1, 2), (1, 3)]
    machine.receive(0.0, 1, Propose(4, 3, "b", 2, ((2, 1),)))
    assert list(machine._done) == [(1, 3), (1, 4)]


def test_what_is_remembered_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(barriers, "DONE_MOST", 3)
    monkeypatch.setattr(barriers, "GONE_MOST", 2)
    machine = node(members=tuple(range(1, 10)))
    for number in range(1, 9):
        machine.receive(0.0, 1, Propose(number, 1, "b", 2, ((2, 1),)))
    assert len(machine._done) == 4
    machine.set_members(0.0, (1, 2), 1)
    assert list(machine._gone) == [8, 9]


def test_the_answer_to_a_query_is_a_promise() -> None:
    machine = bound()
    assert machine.receive(0.0, 3, Query(1, 1, 2)) == [Say(3, Answer(1, 1, 2, BOUND))]
    assert machine.receive(0.0, 1, Query(1, 1, 1)) == []
    assert machine.receive(0.0, 1, Commit(1, 1, 0)) == []
    assert machine.receive(0.0, 1, Outcome(1, 1, 0, True, 1)) == []
    assert said(machine.set_members(0.0, (2, 3), 3), 3) == [Doubt(1, 1, (2, 3), (2, 3))]
    assert machine.receive(0.0, 3, Commit(1, 1, 2)) == [Say(3, Committed(1, 1, 2))]
    assert machine.receive(0.0, 3, Query(1, 1, 3)) == [Say(3, Answer(1, 1, 3, COMMITTED))]
    assert machine.receive(0.0, 3, Outcome(1, 1, 3, True)) == [Say(3, Told(1, 1)), Release(7)]
    assert machine.receive(0.0, 3, Query(1, 1, 4)) == [Say(3, Answer(1, 1, 4, RELEASED))]
    assert machine.receive(0.0, 3, Query(1, 2, 1)) == [Say(3, Answer(1, 2, 1, VOID))], "it has no part in it ever"


def test_only_the_host_finds_out() -> None:
    machine = node()
    assert machine.receive(0.0, 3, Doubt(1, 1, (3,), (0, 0))) == []
    assert machine.idle
    assert machine.receive(0.0, 3, Waiting("b", 2, 1, 0.0)) == []


def test_a_host_finds_out_and_finds_out_again() -> None:
    """Its answers are those to its last question; a node that has promised itself to another is asked once more."""
    host = node(2, host=2, members=(2, 3, 4))
    assert host.receive(0.0, 3, Doubt(1, 1, (3, 4), (0, 0))) == [Say(3, Query(1, 1, 1)), Say(4, Query(1, 1, 1))]
    assert host.receive(0.0, 4, Doubt(1, 1, (3, 4), (1, 2))) == []
    assert host.tick(1.0) == [Say(3, Query(1, 1, 1)), Say(4, Query(1, 1, 1))]
    assert host.receive(1.0, 4, Doubt(1, 1, (3, 4), (1, 9))) == [Say(3, Query(1, 1, 2)), Say(4, Query(1, 1, 2))]
    assert host.receive(1.0, 3, Answer(1, 1, 1, COMMITTED)) == []
    assert host.receive(1.0, 3, Answer(1, 1, 2, COMMITTED)) == []
    assert host.set_members(1.0, (2, 3), 2) == [Say(3, Commit(1, 1, 2))], "the other is gone, and need not answer"
    assert host.receive(1.0, 3, Committed(1, 1, 1)) == []
    assert host.receive(1.0, 3, Committed(1, 1, 2)) == [Say(3, Outcome(1, 1, 2, True))]
    assert host.set_members(1.0, (2,), 2) == []
    assert host.idle
    assert host.receive(1.0, 3, Told(1, 1)) == []


def test_a_ballot_to_which_nobody_committed_is_void() -> None:
    host = node(2, host=2)
    host.receive(0.0, 3, Doubt(1, 1, (3,), (0, 0)))
    assert host.receive(0.0, 3, Answer(1, 1, 1, BOUND)) == [Say(3, Outcome(1, 1, 1, False))]
    host.receive(0.0, 3, Told(1, 1))
    assert host.idle


def test_somebody_else_has_decided_already() -> None:
    host = node(2, host=2)
    host.receive(0.0, 3, Doubt(1, 1, (3,), (0, 0)))
    assert host.receive(0.0, 3, Answer(1, 1, 1, COMMITTED)) == [Say(3, Commit(1, 1, 1))]
    assert host.receive(0.0, 3, Told(1, 1)) == []
    assert host.idle


def test_a_former_host_hands_its_ballot_over() -> None:
    host = node(1)
    host.receive(0.0, 2, Waiting("b", 2, 1, 0.0))
    host.receive(0.0, 3, Waiting("b", 2, 1, 0.0))
    host.receive(0.0, 2, Vote(1, "b", True, 0))
    host.receive(0.0, 3, Vote(1, "b", True, 0))
    assert host.receive(0.0, 2, Query(1, 1, 1)) == [Say(2, Answer(1, 1, 1, COMMITTED))]
    assert host.receive(0.0, 2, Committed(1, 1, 0)) == []
    assert host.receive(0.0, 3, Committed(1, 1, 0)) == [], "it decides no more"
    assert host.tick(5.0) == []
    assert host.receive(0.0, 2, Commit(1, 1, 1)) == [Say(2, Committed(1, 1, 1))]
    assert host.receive(0.0, 2, Outcome(1, 1, 1, True)) == [Say(2, Told(1, 1))]
    assert host.idle
    assert host._deciding.oldest() == 0


def test_a_query_makes_an_open_ballot_void() -> None:
    host = node(1)
    host.receive(0.0, 2, Waiting("b", 2, 1, 0.0))
    host.receive(0.0, 3, Waiting("b", 2, 1, 0.0))
    void = Outcome(1, 1, 0, False, 1)
    assert host.receive(0.0, 2, Query(1, 1, 1)) == [Say(2, void), Say(3, void), Say(2, Answer(1, 1, 1, VOID))]
    assert host.receive(0.0, 2, Vote(1, "b", True, 0)) == []


def test_who_came_later_is_refused() -> None:
    host = node(1)
    assert host.receive(9.0, 2, Waiting("b", 3, 1, 1.0)) == []
    assert host.receive(9.0, 3, Waiting("b", 4, 1, 0.5)) == [Say(3, Mismatch("b", 4, 3))]
    assert host.receive(9.0, 3, Waiting("b", 4, 1, 2.0)) == [Say(2, Mismatch("b", 3, 4))]
    assert host.arrive(9.0, 1, "b", 3) == [Refuse(1, 4)]
    assert host.idle
    machine = node()
    machine.arrive(0.0, 7, "b", 3)
    assert machine.arrive(0.0, 8, "b", 4) == [Refuse(8, 3)]
    assert machine.receive(0.0, 3, Mismatch("b", 3, 4)) == [], "not from the host"
    assert machine.receive(0.0, 1, Mismatch("b", 5, 4)) == []
    assert machine.receive(0.0, 1, Mismatch("b", 3, 4)) == [Refuse(7, 4)]
    assert bound().arrive(0.0, 8, "b", 3) == [Refuse(8, 2)]


def test_another_number_than_that_of_a_ballot_is_refused() -> None:
    host = node(1)
    host.receive(0.0, 2, Waiting("b", 1, 1, 0.0))
    assert host.receive(0.0, 3, Waiting("b", 2, 1, 5.0)) == [Say(3, Mismatch("b", 2, 1))]


def test_a_node_that_cannot_be_reached_is_not_counted() -> None:
    host = node(1)
    host.set_members(0.0, (1, 2, 3), 1, silent=[2])
    assert host.receive(0.0, 2, Waiting("b", 2, 1, 0.0)) == []
    assert host.receive(0.0, 3, Waiting("b", 2, 1, 0.0)) == []
    assert len(host.set_members(0.0, (1, 2, 3), 1)) == 2


def test_who_is_gone_before_it_voted_is_not_counted() -> None:
    host = node(1)
    for uid in (2, 3):
        host.receive(0.0, uid, Waiting("b", 2, 1, 0.0))
    host.receive(0.0, 2, Vote(1, "b", True, 0))
    assert host.set_members(0.0, (1, 2), 1) == [Say(2, Outcome(1, 1, 0, False, 1))]


def test_who_is_gone_after_it_voted_has_come() -> None:
    host = node(1)
    for uid in (2, 3):
        host.receive(0.0, uid, Waiting("b", 2, 1, 0.0))
    host.receive(0.0, 3, Vote(1, "b", True, 0))
    assert host.set_members(0.0, (1, 2), 1) == []
    assert host.receive(0.0, 2, Vote(1, "b", True, 0)) == [Say(2, Commit(1, 1, 0))]


def test_a_ballot_whose_parties_are_all_gone_is_over() -> None:
    host = node(1)
    host.receive(0.0, 2, Waiting("b", 1, 1, 0.0))
    host.receive(0.0, 2, Vote(1, "b", True, 0))
    assert host.set_members(0.0, (1,), 1) == []
    assert host.idle


def test_who_has_a_turn_is_the_last_next_time() -> None:
    host = node(1, members=(1, 2, 3, 4))
    host.receive(0.0, 2, Waiting("b", 2, 3, 0.0))
    host.receive(0.0, 3, Waiting("b", 2, 1, 0.0))
    host.receive(0.0, 4, Waiting("b", 2, 1, 0.0))
    opened = [dict(ballot.shares) for ballot in host._opened.values()]
    assert opened == [{2: 2}, {2: 1, 3: 1}]


def test_without_a_host_they_wait() -> None:
    machine = node(host=0)
    assert machine.arrive(0.0, 7, "b", 2) == []
    assert machine.tick(1.0) == []
    assert machine.set_members(1.0, (1, 2), 1) == [Say(1, Waiting("b", 2, 1, 1.0))]
    assert machine.tick(2.0) == [Say(1, Waiting("b", 2, 1, 2.0))]


def test_the_words() -> None:
    words: list[Word] = [Waiting("b", 2, 1, 0.5), Propose(1, 1, "b", 2, ((1, 1),)), Outcome(1, 1, 0, True)]
    assert [rounds.unpack(rounds.pack(word)) for word in words] == words
    for body in (b"", b"\x91\xa1x", rounds.pack(Waiting("", 2, 1, 0.0)), rounds.pack(Waiting("b", 2, -1, 0.0))):
        with pytest.raises(ProtocolError, match="a word on barriers is malformed"):
            rounds.unpack(body)
