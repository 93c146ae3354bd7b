"""Words on shards as bytes, and what coordinator and regions make of what they should not be told."""

from __future__ import annotations

from typing import Any

import pytest

from casty_trio import LeastShards, RendezvousHash, ShardHost
from casty_trio.errors import ProtocolError
from casty_trio.protocol import homing
from casty_trio.protocol.coordinator import Candidate, Coordinator, Failed
from casty_trio.protocol.homes import GONE_MOST, Drain, Forget, Gain, Hand, Homes, Open, Refused, Say, Source
from casty_trio.protocol.homing import Answer, Entry, Hello, Phase, Plan, Query, Refuse, Report

TERM = (1, 1)
ALL = [Candidate(1, "a", True), Candidate(2, "b", True)]


def said(effects: list[Any], kind: type[Any]) -> list[Any]:
    return [effect.word for effect in effects if isinstance(effect, Say) and isinstance(effect.word, kind)]


def region(uid: int = 2) -> Homes:
    """One that obeys term (1, 1)."""
    homes = Homes(uid, 2)
    homes.set_members(0.0, [1, 2, 3], 1)
    homes.receive(0.0, 1, Query(TERM, 2))
    return homes


def plan(number: int, *entries: Entry, heard: int = 1) -> Plan:
    return Plan(TERM, heard, 0, number, entries, (1, 2, 3), True)


def active(**more: Any) -> Coordinator:
    """One that has heard from both members, and of node 2 that it hosts."""
    made = Coordinator(1, 2, "", more.get("strategy", LeastShards()))
    made.set_members(0.0, ALL, unreachable=False)
    made.receive(0.0, 1, Report(TERM))
    made.receive(0.0, 2, Report(TERM, 1, 0, True, True))
    assert made.active
    return made


@pytest.mark.parametrize(
    "word",
    [
        Hello(TERM, 10, "r"),
        Query(TERM, 10),
        Report(TERM, 1, 2, True, True, ((3, (1, 1, 4)),), ((5, 6),), True),
        Refuse("why"),
        Plan(TERM, 1, 2, 3, (Entry(1, 3, Phase.HOLD, 4, 5),), (1, 2), True),
        Answer(TERM, 3, (1,)),
    ],
)
def test_words_come_back_from_bytes(word: homing.Word) -> None:
    assert homing.unpack(homing.pack(homing.Typed("cart", word))) == homing.Typed("cart", word)


def test_frames_come_back_from_bytes() -> None:
    epoch = (1, 2, 3)
    marker, handover = homing.Marker("cart", 1, epoch), homing.Handover("cart", 1, epoch, 4)
    assert homing.unpack_marker(homing.pack(marker)) == marker
    assert homing.unpack_handover(homing.pack(handover)) == handover
    leftover = homing.Leftover("cart", 1, epoch, 0, 0, None, "a", "Put", homing.raw(homing.pack([1])))
    assert bytes(homing.unpack_leftover(homing.pack(leftover)).body) == homing.pack([1])
    with pytest.raises(ProtocolError, match="a word on shards is malformed"):
        homing.unpack(b"\xc1")


def test_a_region_obeys_the_highest_term_only() -> None:
    """S1: what older coordinators say, or somebody else in their name, is not heard."""
    homes = region()
    assert homes.receive(1.0, 3, Query((9, 1), 2)) == []
    assert said(homes.receive(1.0, 3, Query((0, 3), 2)), Report)[0].term == TERM
    assert homes.receive(1.0, 3, plan(5)) == []
    assert homes.receive(1.0, 1, Plan((0, 1), 0, 0, 5)) == []
    assert homes.receive(1.0, 1, Answer(TERM, 1)) == []
    assert said(homes.receive(1.0, 1, Query((2, 1), 3)), Hello)[0].num_shards == 2
    assert homes.tick(0.0) == []
    assert said(homes.receive(1.0, 1, Plan(TERM, 1, 7, 9, (Entry(0, 9, Phase.START, 0, 2),))), Answer)[0].upto == 0


def test_a_region_reports_what_the_coordinator_has_wrong() -> None:
    """S3: it is taken for a host, and is none."""
    homes = region()
    effects = homes.receive(1.0, 1, plan(2, Entry(0, 1, Phase.SETTLED, 2), Entry(1, 2, Phase.BACK, 2)))
    assert said(effects, Report)[0].hosted == ()
    assert not any(isinstance(effect, Open) for effect in effects)
    homes.close(2.0)
    assert said(homes.receive(3.0, 1, plan(3, Entry(0, 3, Phase.START, 0, 2))), Report)[0].ended
    assert homes.nobody_hosts is False


def test_a_move_that_is_called_off_at_each_step() -> None:
    """S2: waiting for markers, with entities that drain, and with all handed over."""
    hold, off, back = Entry(0, 2, Phase.HOLD, 2, 3), Entry(0, 3, Phase.OFF, 2, 3), Entry(0, 4, Phase.BACK, 2)
    homes = region()
    homes.receive(1.0, 1, plan(1, Entry(0, 1, Phase.START, 0, 2)))
    homes.receive(1.0, 1, plan(2, hold))
    homes.receive(1.0, 1, plan(3, off))
    assert homes.takes(0)
    assert said(homes.receive(1.0, 1, plan(4, back)), Answer)[0].hosting == (0,)

    homes.receive(1.0, 1, plan(5, Entry(0, 5, Phase.HOLD, 2, 3)))
    homes.marker(1.0, 1, 0, (*TERM, 5))
    assert Drain(0) in homes.marker(1.0, 3, 0, (*TERM, 5))
    assert said(homes.receive(1.0, 1, plan(6, Entry(0, 6, Phase.BACK, 2))), Answer)[0].hosting == ()
    assert Gain(0, (*TERM, 6), Source.KEPT) in homes.drained(1.0, 0)
    assert homes.drained(1.0, 0) == []
    assert dict(homes.owned) == {0: (*TERM, 6)}

    homes.marker(1.0, 3, 0, (*TERM, 7))  # quicker than the coordinator
    homes.marker(1.0, 1, 0, (*TERM, 7))
    assert Drain(0) in homes.receive(1.0, 1, plan(7, Entry(0, 7, Phase.HOLD, 2, 3)))
    assert Hand(0, 3, (*TERM, 7)) in homes.drained(1.0, 0)
    assert Hand(0, 3, (*TERM, 7)) in homes.tick(9.0)
    assert Forget(0) in homes.receive(9.0, 1, plan(8, Entry(0, 8, Phase.SETTLED, 3)))
    assert homes.routes == [3, 0]


def test_a_shard_that_comes_back_before_its_going_was_settled_here() -> None:
    """S2, S3: plans tell how it stands now; of two moves of a shard a region may hear the second alone."""
    homes = region()
    homes.receive(1.0, 1, plan(1, Entry(0, 1, Phase.START, 0, 2)))
    homes.marker(1.0, 1, 0, (*TERM, 2))
    homes.marker(1.0, 3, 0, (*TERM, 2))
    homes.receive(1.0, 1, plan(2, Entry(0, 2, Phase.HOLD, 2, 3)))
    assert Hand(0, 3, (*TERM, 2)) in homes.drained(1.0, 0)
    assert Forget(0) in homes.receive(2.0, 1, plan(4, Entry(0, 4, Phase.HOLD, 3, 2)))
    assert homes.empty
    assert Gain(0, (*TERM, 4), Source.SENT) in homes.handover(2.0, 3, 0, (*TERM, 4))
    assert homes.takes(0)


def test_a_marker_of_an_older_move_is_none() -> None:
    """S2: of those that are quicker than the coordinator's word, the latest move's count."""
    homes = region()
    homes.receive(1.0, 1, plan(1, Entry(0, 1, Phase.START, 0, 2)))
    homes.marker(1.0, 3, 0, (*TERM, 7))
    homes.marker(1.0, 1, 0, (*TERM, 5))
    assert Drain(0) not in homes.receive(1.0, 1, plan(7, Entry(0, 7, Phase.HOLD, 2, 3)))
    assert Drain(0) in homes.marker(1.0, 1, 0, (*TERM, 7))


def test_a_shard_is_to_move_again_while_its_entities_still_drain() -> None:
    """S2: they go on with that; all have to say anew that nothing is on the way."""
    homes = region()
    homes.receive(1.0, 1, plan(1, Entry(0, 1, Phase.START, 0, 2)))
    homes.receive(1.0, 1, plan(2, Entry(0, 2, Phase.HOLD, 2, 3)))
    for sender in (1, 3):
        homes.marker(1.0, sender, 0, (*TERM, 2))
    homes.receive(1.0, 1, plan(3, Entry(0, 3, Phase.OFF, 2, 3)))
    homes.receive(1.0, 1, plan(4, Entry(0, 4, Phase.HOLD, 2, 3)))
    assert not any(isinstance(effect, Hand) for effect in homes.drained(2.0, 0))
    homes.marker(2.0, 1, 0, (*TERM, 4))
    assert Hand(0, 3, (*TERM, 4)) in homes.marker(2.0, 3, 0, (*TERM, 4))


def test_of_members_that_are_gone_the_oldest_are_forgotten() -> None:
    """S3: no cluster of any age fills the memory; and whoever is told the same again has nothing to do."""
    homes = Homes(1, 1)
    homes.set_members(0.0, range(1, GONE_MOST + 10), 1)
    homes.set_members(0.0, [1], 1)
    assert len(homes._gone) == GONE_MOST
    assert 2 not in homes._gone
    assert homes.set_hosts(0.0, hosts=True) == []


def test_another_shape_is_refused_until_nobody_has_the_type() -> None:
    """S5: neither its regions nor their shards hear anything of it."""
    made = active()
    assert not made.deserted
    assert "2 shards and no role" in said(made.receive(1.0, 1, Hello((0, 0), 3)), Refuse)[0].reason
    assert made.receive(1.0, 9, Hello((0, 0), 2)) == []
    assert said(made.receive(1.0, 1, Hello((0, 0), 2)), Query)[0].term == TERM
    made.receive(1.0, 2, Report(TERM, 2, 4, True, False, ended=True))
    assert made.deserted
    assert said(made.receive(1.0, 2, Hello((7, 3), 2)), Query)[0].term == (8, 1)


def test_a_region_that_is_refused_takes_no_part() -> None:
    """S5: as if the type had ended: its own coordinator hears so, and for others it is none; until it begins again."""
    homes = region()
    effects = homes.receive(1.0, 3, Refuse("why"))
    assert effects[0] == Refused("why")
    (report,) = said(effects, Report)
    assert (report.routes, report.ended, report.hosts) == (False, True, False)
    assert said(homes.receive(1.0, 3, Query((9, 3), 5, "x")), Report) == [Report((9, 3))]
    assert said(homes.receive(1.0, 3, Query((0, 3), 5)), Report) == [Report(TERM)]
    assert said(homes.tick(9.0), Hello) == []
    assert homes.receive(1.0, 3, Refuse("again")) == []
    homes.receive(1.0, 1, plan(1, Entry(0, 1, Phase.START, 0, 2)))
    assert homes.empty
    assert said(homes.reopen(2.0, hosts=True), Hello) == [Hello(TERM, 2)]


def test_a_region_that_has_had_a_plan_is_not_refused() -> None:
    """S5: it tells that its shape is in use, until the type ends there."""
    homes = region()
    homes.receive(1.0, 1, plan(0))
    assert homes.receive(1.0, 3, Refuse("why")) == []
    assert said(homes.receive(1.0, 3, Query((9, 3), 5)), Hello) == [Hello(TERM, 2, "", True)]
    homes.close(2.0)
    assert said(homes.reopen(2.0, hosts=True), Hello) == [Hello(TERM, 2)]


def asking(role: str = "") -> Coordinator:
    """One that has heard from node 1 alone."""
    made = Coordinator(1, 2, role, LeastShards())
    made.set_members(0.0, ALL, unreachable=False)
    made.receive(0.0, 1, Hello((0, 0), 2, role))
    made.receive(0.0, 1, Report(TERM, 1, 0, True, True))
    return made


def refused(effects: list[Any]) -> list[int]:
    return [effect.uid for effect in effects if isinstance(effect, Say) and isinstance(effect.word, Refuse)]


@pytest.mark.parametrize("role", ["", "x", "a"])
def test_a_coordinator_gives_way_to_a_shape_that_is_in_use(role: str) -> None:
    """S1, S5: whatever the roles are; those of its own shape hear why they are refused, and it never decides."""
    made = asking("b")
    effects = made.receive(1.0, 2, Hello((4, 7), 3, role, incumbent=True))
    assert made.yielded
    assert refused(effects) == [1]
    assert f"3 shards and {f'the role {role!r}' if role else 'no role'}" in said(effects, Refuse)[0].reason
    made.receive(1.0, 2, Report(TERM))
    assert not made.active
    assert refused(made.receive(1.0, 2, Hello((0, 0), 2, "b"))) == [2]


def test_of_two_shapes_that_begin_at_once_the_role_decides() -> None:
    """S1, S5: both coordinators decide alike; and who wins waits until the other has said that it is refused."""
    loser = asking("x")
    assert refused(loser.receive(1.0, 2, Hello((0, 0), 2, "b"))) == [1]
    assert loser.yielded
    winner = asking("b")
    effects = winner.receive(1.0, 2, Hello((0, 0), 2, "x"))
    assert refused(effects) == [2]
    assert len(said(effects, Query)) == 1
    assert (winner.yielded, winner.active) == (False, False)
    winner.receive(2.0, 2, Hello((0, 0), 2, "x"))
    winner.receive(2.0, 2, Report(TERM))
    assert winner.active


def test_a_shape_that_is_in_use_does_not_give_way_to_one_that_is_not() -> None:
    """S5: after a coordinator's crash, too; in use is what somebody hosts, or has a plan of."""
    made = Coordinator(1, 2, "x", LeastShards())
    made.set_members(0.0, ALL, unreachable=False)
    assert not made.backed
    made.receive(0.0, 1, Report(TERM, 1, 0, True, True, ((0, (0, 9, 4)),)))
    assert made.backed
    assert refused(made.receive(0.0, 2, Hello((0, 0), 2))) == [2]
    proxies = Coordinator(1, 2, "x", LeastShards())
    proxies.set_members(0.0, ALL, unreachable=False)
    proxies.receive(0.0, 1, Hello((0, 0), 2, "x", incumbent=True))
    proxies.receive(0.0, 1, Report(TERM, 1, 0, True))
    assert refused(proxies.receive(0.0, 2, Hello((0, 0), 2))) == [2]


def test_who_had_no_region_and_begins_in_another_shape_is_heard_again() -> None:
    """S1: before anything is decided; and one that is gone does not count."""
    made = Coordinator(1, 2, "x", LeastShards())
    made.set_members(0.0, [*ALL, Candidate(3, "c", True)], unreachable=False)
    made.receive(0.0, 1, Report(TERM, 1, 0, True, True))
    made.receive(0.0, 2, Report(TERM))
    made.receive(0.0, 2, Hello((0, 0), 2))
    made.set_members(0.0, ALL[:1], unreachable=False)
    assert made.active


def test_a_region_that_was_lost_and_begins_anew_hosts_nothing() -> None:
    """S3: it knows of no term any more, so whatever it had has stopped."""
    made = active()
    made.receive(1.0, 2, Answer(TERM, 4, (0, 1)))
    assert {entry.phase for entry in made.entries.values()} == {Phase.SETTLED}
    made.receive(2.0, 2, Hello((0, 0), 2))
    assert {entry.phase for entry in made.entries.values()} == {Phase.FREE}
    made.receive(2.0, 2, Report(TERM, 1, 0, True, True))
    assert {entry.phase for entry in made.entries.values()} == {Phase.START}
    made.receive(2.0, 1, Answer(TERM, 9))
    made.receive(2.0, 2, Report(TERM, 0, 0, True, True))


class Fails(RendezvousHash):
    """A program's own strategy."""

    def allocate(self, shard: int, hosts: Any) -> ShardHost:
        if shard:
            return ShardHost("nobody", 9)
        raise RuntimeError("never")

    def rebalance(self, hosts: Any, moving: int) -> Any:
        raise RuntimeError("never")


def test_a_strategy_that_fails_is_told_and_another_asked() -> None:
    """S3: every shard has a home all the same."""
    made = active(strategy=Fails())
    made.receive(1.0, 2, Answer(TERM, 4, (0, 1)))
    assert {entry.owner for entry in made.entries.values()} == {2}
    assert any(isinstance(effect, Failed) for effect in made.tick(50.0))


def test_what_waits_for_the_last_home_goes_before_what_comes_since() -> None:
    """S2, S3: the coordinator knows sooner that it is gone; what waits for it is back when we know, and goes first."""
    homes = region(3)
    homes.receive(1.0, 1, plan(1, Entry(0, 1, Phase.SETTLED, 2)))
    assert homes.routes[0] == 2
    given = Plan(TERM, 1, 1, 2, (Entry(0, 2, Phase.SETTLED, 1),), (1, 3), True)
    assert Open(0, 1) not in homes.receive(2.0, 1, given)
    assert homes.routes[0] == 0
    assert Open(0, 1) in homes.set_members(3.0, [1, 3], 1)

    homes = region(3)
    homes.receive(1.0, 1, plan(1, Entry(0, 1, Phase.SETTLED, 2)))
    homes.receive(2.0, 1, given)
    assert Open(0, 1) in homes.receive(3.0, 1, Plan(TERM, 1, 2, 2, (), (1, 2, 3), True))  # it is not gone: it has begun anew

    homes = region(3)
    homes.set_members(1.0, [1, 2, 3, 4], 1)
    homes.receive(1.0, 1, plan(1, Entry(0, 1, Phase.SETTLED, 2)))
    homes.receive(2.0, 1, Plan(TERM, 1, 1, 2, (Entry(0, 2, Phase.SETTLED, 4),), (1, 3, 4), True))
    homes.set_members(3.0, [1, 2, 3], 1)  # the new home is gone first
    assert not any(isinstance(effect, Open) for effect in homes.set_members(4.0, [1, 3], 1))
    assert homes.routes[0] == 0


def test_what_waits_for_a_home_that_began_anew_is_too_late() -> None:
    """S2: its node may go at any time; what has gone to the new home may be handled by then. It is not so after a move."""
    regions = (1, 2, 3)
    for target, too_late in ((0, True), (2, False)):
        homes = region(3)
        homes.receive(1.0, 1, plan(1, Entry(0, 1, Phase.SETTLED, 2)))
        given = Plan(TERM, 1, 1, 2, (Entry(0, 2, Phase.SETTLED, 1, target),), regions, True)
        assert Open(0, 1) in homes.receive(2.0, 1, given)
        assert homes.too_late(0, 2) is too_late
        assert not homes.too_late(0, 1)
        assert not homes.too_late(1, 2)
        homes.set_members(3.0, [1, 3], 1)
        assert homes.too_late(0, 2)  # it was the home in an earlier life of this node, or all has come back already


def test_nothing_is_sent_to_a_home_before_it_is_known_as_a_member() -> None:
    """S2: what waited for it then would come after what is sent later."""
    homes = region(3)
    given = plan(1, Entry(0, 1, Phase.SETTLED, 4))
    assert not any(isinstance(effect, Open) for effect in homes.receive(1.0, 1, given))
    assert Open(0, 4) in homes.set_members(2.0, [1, 2, 3, 4], 1)


def test_a_type_that_has_ended_is_not_opened_afterwards() -> None:
    """S1: not even when it was about to be, as the last home's node went."""
    homes = region(3)
    homes.receive(1.0, 1, plan(2, Entry(0, 1, Phase.SETTLED, 2), Entry(1, 2, Phase.START, 0, 3)))
    homes.receive(2.0, 1, Plan(TERM, 1, 2, 3, (Entry(0, 3, Phase.START, 0, 3),), (1, 3), True))
    homes.receive(3.0, 1, Plan(TERM, 1, 3, 4, (Entry(0, 4, Phase.SETTLED, 3),), (1, 3), True))
    assert homes.takes(0)
    assert homes.routes[0] == 0
    homes.close(4.0)
    assert not any(isinstance(effect, Open) for effect in homes.set_members(5.0, [1, 3], 1))


def test_what_a_target_may_have_handled_is_not_handled_again() -> None:
    """S2: the coordinator names the target that is gone, for the owner may not know that yet."""
    three = [*ALL, Candidate(3, "c", True)]
    made = Coordinator(1, 1, "", LeastShards())
    made.set_members(0.0, three, unreachable=False)
    for uid in (1, 2, 3):
        made.receive(0.0, uid, Report(TERM, 1, 0, True, True, ((0, (*TERM, 0)),) if uid == 2 else ()))
    made.receive(1.0, 2, Report(TERM, 2, 9, True, False, ((0, (*TERM, 0)),)))
    made.receive(1.0, 3, Report(TERM, 2, 9, True, True))
    made.receive(1.0, 1, Report(TERM, 2, 9, True, False))
    made.tick(2.0)
    assert (made.entries[0].phase, made.entries[0].owner, made.entries[0].target) == (Phase.HOLD, 2, 3)
    made.set_members(3.0, ALL, unreachable=False)
    assert (made.entries[0].phase, made.entries[0].owner, made.entries[0].target) == (Phase.BACK, 2, 3)

    made = Coordinator(1, 1, "", LeastShards())
    made.set_members(0.0, ALL, unreachable=False)
    made.receive(0.0, 1, Report(TERM, 1, 0, True))
    made.receive(0.0, 2, Report(TERM, 1, 0, True, True, (), ((0, 3),)))
    assert (made.entries[0].phase, made.entries[0].owner, made.entries[0].target) == (Phase.BACK, 2, 3)


def test_all_hear_of_a_region_that_has_come_back() -> None:
    """S3: those that wait for news of it go on."""
    made = Coordinator(1, 2, "", LeastShards())
    made.set_members(0.0, [*ALL, Candidate(3, "c", True)], unreachable=False)
    for uid in (1, 2, 3):
        made.receive(0.0, uid, Report(TERM, 1, 0, True, uid < 3))
    assert made.missing == 0
    made.receive(1.0, 3, Hello((0, 0), 2))
    told = made.receive(2.0, 3, Report(TERM, 1, 0, True, False))
    assert [effect.uid for effect in told if isinstance(effect, Say) and isinstance(effect.word, Plan)] == [1, 2, 3]
