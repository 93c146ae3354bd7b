"""The coordinator of a sharded type, told step by step: what it knows, and what it decides from that."""

from __future__ import annotations

from typing import Any

from casty_trio import LeastShards
from casty_trio.protocol.coordinator import CHUNK, Began, Candidate, Coordinator, Ended
from casty_trio.protocol.homes import Say
from casty_trio.protocol.homing import Answer, Entry, Hello, Phase, Plan, Query, Report

TERM = (1, 1)
MEMBERS = [Candidate(1, "a", True), Candidate(2, "b", True), Candidate(3, "c", True)]
EPOCH = (0, 9, 4)


def said(effects: list[Any], kind: type[Any]) -> dict[int, Any]:
    """What of a kind is said, by whom it is said to."""
    return {effect.uid: effect.word for effect in effects if isinstance(effect, Say) and isinstance(effect.word, kind)}


def phases(made: Coordinator) -> dict[int, tuple[int, int, int]]:
    """How it stands with each shard: phase, owner, target."""
    return {entry.shard: (entry.phase, entry.owner, entry.target) for entry in sorted(made.entries.values(), key=_shard)}


def _shard(entry: Entry) -> int:
    return entry.shard


def begun(two: Report, three: Report, shards: int = 2) -> Coordinator:
    """One that has heard from all; node 1 has no region."""
    made = Coordinator(1, shards, "", LeastShards())
    made.set_members(0.0, MEMBERS, unreachable=False)
    for uid, report in ((1, Report(TERM)), (2, two), (3, three)):
        made.receive(0.0, uid, report)
    assert made.active
    return made


def idle(serial: int = 1, upto: int = 0, *, hosts: bool = True) -> Report:
    """A region that hosts nothing."""
    return Report(TERM, serial, upto, True, hosts)


def moving() -> Coordinator:
    """One where shard 0 is on node 2, and shard 1 on its way from node 3 to node 2."""
    made = begun(Report(TERM, 1, 0, True, True, ((0, EPOCH),)), Report(TERM, 1, 0, True, False, ((1, EPOCH),)))
    effects = made.tick(1.0)
    assert Began(1, 3, 2) in effects
    assert phases(made) == {0: (Phase.SETTLED, 2, 0), 1: (Phase.HOLD, 3, 2)}
    return made


def test_nothing_is_decided_before_all_members_were_heard() -> None:
    """S1, S3: who is silent may host what nobody else does. When it is removed, nobody has that."""
    made = Coordinator(1, 2, "", LeastShards())
    assert set(said(made.set_members(0.0, MEMBERS, unreachable=False), Query)) == {1, 2, 3}
    made.receive(0.0, 1, Report(TERM))
    effects = made.receive(0.0, 2, Report(TERM, 1, 0, True, True, ((0, EPOCH),)))
    assert not made.active
    assert not said(effects, Plan)
    assert set(said(made.tick(1.0), Query)) == {3}
    effects = made.set_members(2.0, MEMBERS[:2], unreachable=False)
    assert made.active
    assert phases(made) == {0: (Phase.SETTLED, 2, 0), 1: (Phase.START, 0, 2)}
    assert set(said(effects, Plan)) == {2}


def test_of_two_that_say_they_host_the_later_epoch_counts() -> None:
    """S1: the other one is told to stop."""
    early, late = ((0, (1, 9, 4)),), ((0, (1, 9, 5)),)
    made = begun(Report(TERM, 1, 0, True, True, late), Report(TERM, 1, 0, True, True, early))
    assert phases(made)[0] == (Phase.SETTLED, 2, 0)


def test_a_target_that_goes_before_it_has_begun() -> None:
    """S3: another one gets the shard."""
    made = begun(idle(), idle())
    assert phases(made) == {0: (Phase.START, 0, 2), 1: (Phase.START, 0, 3)}
    effects = made.set_members(1.0, MEMBERS[:2], unreachable=False)
    assert phases(made)[1] == (Phase.START, 0, 2)
    assert [entry.shard for entry in said(effects, Plan)[2].entries] == [0, 1]


def test_an_owner_that_goes() -> None:
    """S3: what it hosted is given to another; what was about to move away has perhaps come to its target."""
    made = moving()
    made.set_members(2.0, MEMBERS[:2], unreachable=False)
    assert phases(made)[1] == (Phase.OFF, 0, 2)
    effects = made.receive(2.0, 2, Answer(TERM, 9))
    assert Ended(1, 0, 2, 1.0) in effects
    assert phases(made)[1] == (Phase.START, 0, 2)
    made = begun(Report(TERM, 1, 0, True, True, ((0, EPOCH),)), idle())
    made.set_members(2.0, [MEMBERS[0], MEMBERS[2]], unreachable=False)
    assert phases(made)[0] == (Phase.START, 0, 3)


def test_a_target_that_goes_in_a_move() -> None:
    """S3: the owner has the shard again, and is told that the target may have had it."""
    made = moving()
    made.set_members(2.0, [MEMBERS[0], MEMBERS[2]], unreachable=False)
    assert phases(made)[1] == (Phase.BACK, 3, 2)
    made.receive(2.0, 3, Answer(TERM, 9, (1,)))
    assert phases(made)[1] == (Phase.SETTLED, 3, 3)


def test_a_move_that_takes_too_long_is_called_off_at_the_target_first() -> None:
    """S1: which may have the shard; only when it has not, its owner goes on."""
    made = moving()
    made.tick(17.0)
    assert phases(made)[1] == (Phase.OFF, 3, 2)
    number = made.entries[1].number
    made.receive(17.0, 3, Answer(TERM, number, (1,)))
    assert phases(made)[1] == (Phase.OFF, 3, 2), "the owner is not asked"
    made.receive(17.0, 2, Report(TERM, 2, number, True, True, ((0, EPOCH),)))
    assert phases(made)[1] == (Phase.BACK, 3, 0)


def test_a_report_tells_that_a_shard_has_come() -> None:
    """S3: where the answer was lost."""
    made = begun(idle(), idle())
    made.receive(1.0, 2, Report(TERM, 2, 9, True, True, ((0, (*TERM, 1)),)))
    assert phases(made)[0] == (Phase.SETTLED, 2, 0)


def test_what_a_new_region_has_is_its_own() -> None:
    """S3: while nobody can host, a member says that it does, or that it has kept what was left of a shard."""
    made = begun(idle(hosts=False), idle(hosts=False), shards=3)
    assert set(phases(made).values()) == {(Phase.FREE, 0, 0)}
    made.receive(1.0, 2, Report(TERM, 2, 9, True, False, ((0, EPOCH),), ((1, 3),)))
    assert phases(made) == {0: (Phase.SETTLED, 2, 0), 1: (Phase.BACK, 2, 0), 2: (Phase.FREE, 0, 0)}


def test_who_has_no_region_is_not_asked() -> None:
    """It has kept a shard, as it says, and is told nothing."""
    made = begun(Report(TERM, 1, kept=((0, 3),)), idle())
    assert phases(made)[0] == (Phase.BACK, 2, 0)
    assert set(said(made.tick(1.0), Plan)) == {3}


def test_nothing_moves_while_somebody_cannot_be_reached() -> None:
    """S4: a view that may change soon is none to go by."""
    made = begun(Report(TERM, 1, 0, True, True, ((0, EPOCH), (1, EPOCH))), idle())
    made.set_members(0.5, MEMBERS, unreachable=True)
    assert not any(isinstance(effect, Began) for effect in made.tick(2.0))
    made.set_members(2.5, MEMBERS, unreachable=False)
    assert Began(1, 2, 3) in made.tick(4.0)


def test_many_entries_go_in_several_plans() -> None:
    """The next one when the last was answered."""
    made = Coordinator(1, CHUNK + 3, "", LeastShards())
    made.set_members(0.0, MEMBERS[:1], unreachable=False)
    plan = said(made.receive(0.0, 1, Report(TERM, 1, 0, True, True)), Plan)[1]
    assert (plan.base, plan.upto, len(plan.entries)) == (0, plan.entries[-1].number, CHUNK)
    rest = said(made.receive(0.0, 1, Answer(TERM, plan.upto)), Plan)[1]
    assert rest.base == plan.upto
    assert {entry.shard for entry in (*plan.entries, *rest.entries)} == set(range(CHUNK + 3))


def test_a_region_that_has_lost_what_it_was_to_take() -> None:
    """S2: it may have had the shard before: what the owner has kept of it is not handled twice."""
    made = moving()
    made.receive(2.0, 2, Hello((0, 0), 2))
    assert phases(made)[1] == (Phase.BACK, 3, 2)


def test_of_two_that_keep_a_shard_the_last_owner_has_it_back() -> None:
    """S2: the other had it before, and has not heard yet that it came to run elsewhere; in whatever order they report."""
    old, new = (
        Report(TERM, 1, 0, True, True, (), ((0, 1),), since=((1, 9, 4),)),
        Report(TERM, 1, 0, True, True, (), ((0, 1),), since=((1, 9, 5),)),
    )
    assert phases(begun(new, old))[0][:2] == (Phase.BACK, 2)
    assert phases(begun(old, new))[0][:2] == (Phase.BACK, 3)
    unsaid = Report(TERM, 1, 0, True, True, (), ((0, 1),))  # an older version does not tell
    assert phases(begun(old, unsaid))[0][:2] == (Phase.BACK, 2)
