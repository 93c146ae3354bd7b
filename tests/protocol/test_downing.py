"""Downing: what each strategy decides (C6), that sides agree and never both stay, and when it is time (C5)."""

import math
import random
from collections.abc import Collection, Iterable
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from casty_trio import SettingsError
from casty_trio.model.member import Member, MemberStatus
from casty_trio.protocol.downing import (
    Decision,
    DownAll,
    Downing,
    DowningStrategy,
    KeepLease,
    KeepMajority,
    KeepOldest,
    Situation,
    StaticQuorum,
    stable_after,
)

JOINING, WEAKLY_UP, UP = MemberStatus.JOINING, MemberStatus.WEAKLY_UP, MemberStatus.UP
LEAVING, EXITING, DOWN = MemberStatus.LEAVING, MemberStatus.EXITING, MemberStatus.DOWN


def member(uid: int, status: MemberStatus = UP, *roles: str, up: int | None = None) -> Member:
    """Uids, addresses and ages all have the same order here, unless a test says otherwise."""
    number = up if up is not None else uid if status >= UP else 0
    return Member(uid, "10.0.0.1", uid, f"node-{uid}", roles, status, number)


def members(*uids: int, **others: MemberStatus) -> tuple[Member, ...]:
    """Those that are up, and others: ``m4=LEAVING``."""
    return (*map(member, uids), *(member(int(name[1:]), status) for name, status in others.items()))


def seen(all_members: Iterable[Member], there: Collection[int], self_uid: int | None = None) -> Situation:
    """A clean cut, seen from the side that is left: all here accuse all there."""
    view = tuple(all_members)
    here = [each.uid for each in view if each.uid not in there and each.status < DOWN]
    pairs = sorted((one, other) for one in here for other in there)
    return Situation(self_uid or min(here, default=0), view, tuple(sorted(there)), tuple(pairs))


def observed(all_members: Iterable[Member], *pairs: tuple[int, int]) -> Situation:
    """Any observations at all."""
    return Situation(1, tuple(all_members), tuple(sorted({subject for _, subject in pairs})), tuple(sorted(pairs)))


async def acquire(name: str) -> bool:
    """Nobody calls it here."""
    raise AssertionError(name)


FIVE = members(1, 2, 3, 4, 5)

TABLE: dict[str, tuple[DowningStrategy, Situation, tuple[int, ...]]] = {
    # the larger side, the smaller side, and halves
    "majority": (KeepMajority(), seen(FIVE, {4, 5}), (4, 5)),
    "minority": (KeepMajority(), seen(FIVE, {1, 2, 3}), (4, 5)),
    "half with the lowest": (KeepMajority(), seen(members(1, 2, 3, 4), {3, 4}), (3, 4)),
    "half without it": (KeepMajority(), seen(members(1, 2, 3, 4), {1, 2}), (3, 4)),
    "one of two is lost": (KeepMajority(), seen(members(1, 2), {2}), (2,)),
    "the lower of two is lost": (KeepMajority(), seen(members(1, 2), {1}), (2,)),
    # who joins is not counted here, and goes with its side
    "joiners do not make a majority": (KeepMajority(), seen(members(1, 4, 5, m2=JOINING, m3=WEAKLY_UP), {4, 5}), (1, 2, 3)),
    "a side takes its joiners along": (KeepMajority(), seen(members(4, 5, 6, 8, m1=JOINING, m7=JOINING), {7, 8}), (7, 8)),
    # but they may be up over there, if somebody there could have admitted them
    "a joiner there may be up": (KeepMajority(), seen(members(2, 3, 4, m1=JOINING), {1, 4}), (2, 3)),
    "a weakly up one as well": (KeepMajority(), seen(members(2, 3, 4, m1=WEAKLY_UP), {1, 4}), (2, 3)),
    "a joiner that is alone is not": (KeepMajority(), seen(members(2, m1=JOINING), {1}), (1,)),
    # who is leaving may be gone in the view of others
    "a leaver here does not count": (KeepMajority(), seen(members(2, 4, m3=LEAVING, m1=UP), {1, 4}), (2, 3)),
    "a leaver there counts": (KeepMajority(), seen(members(2, 3, m1=LEAVING, m4=UP), {1, 4}), (2, 3)),
    "who is exiting is not counted": (KeepMajority(), seen(members(2, 3, 4, m1=EXITING), {1, 4}), (4,)),
    "who is down may not know it": (KeepMajority(), seen(members(1, 2, 3, 4, m5=DOWN), {3, 4, 5}), (1, 2)),
    "who is down here goes by itself": (KeepMajority(), seen(members(1, 2, 3, m4=DOWN), {3}), (3,)),
    "nobody is left that counts": (KeepMajority(), seen(members(m1=JOINING, m2=LEAVING), {2}), (1,)),
    # roles
    "the majority of a role": (
        KeepMajority(role="backend"),
        seen([member(1), member(2), member(3), member(4, UP, "backend")], {4}),
        (1, 2, 3),
    ),
    "nobody has the role": (KeepMajority("backend"), seen(FIVE, {5}), (1, 2, 3, 4)),
    # the oldest
    "the oldest is here": (KeepOldest(), seen(FIVE, {3, 4, 5}), (3, 4, 5)),
    "the oldest is there": (KeepOldest(), seen(FIVE, {1, 2}), (3, 4, 5)),
    "the oldest is alone here": (KeepOldest(), seen(FIVE, {2, 3, 4, 5}), (1,)),
    "the oldest is alone there": (KeepOldest(), seen(FIVE, {1}), (1,)),
    "alone, and may be": (KeepOldest(down_if_alone=False), seen(FIVE, {2, 3, 4, 5}), (2, 3, 4, 5)),
    "alone there, and may be": (KeepOldest(down_if_alone=False), seen(FIVE, {1}), (2, 3, 4, 5)),
    "the oldest of two": (KeepOldest(), seen(members(1, 2), {2}), (2,)),
    "the younger of two": (KeepOldest(), seen(members(1, 2), {1}), (2,)),
    "age is not address": (KeepOldest(), seen([member(1, up=3), member(2, up=2), member(3, up=1)], {3}), (3,)),
    "the oldest of a role": (
        KeepOldest("backend"),
        seen([member(1), member(2, UP, "backend"), member(3, UP, "backend"), member(4)], {1, 4}),
        (1, 4),
    ),
    "no oldest of the role": (KeepOldest("backend"), seen(FIVE, {5}), (1, 2, 3, 4)),
    "the oldest here is leaving": (KeepOldest(), seen(members(2, 3, 4, m1=LEAVING), {2, 3}), (1, 4)),
    "the oldest there is down": (KeepOldest(), seen(members(2, 3, 4, 5, m1=DOWN), {1, 5}), (2, 3, 4)),
    "a leaver is no company": (KeepOldest(), seen(members(1, 3, 4, m2=LEAVING), {3, 4}), (1, 2)),
    # a quorum
    "a quorum": (StaticQuorum(3), seen(FIVE, {4, 5}), (4, 5)),
    "no quorum": (StaticQuorum(3), seen(FIVE, {1, 2, 3}), (4, 5)),
    "fewer than a quorum on both sides": (StaticQuorum(4), seen(FIVE, {4, 5}), (1, 2, 3)),
    "both may be a quorum": (StaticQuorum(2), seen(FIVE, {4, 5}), (1, 2, 3)),
    "the others cannot be one": (StaticQuorum(2), seen(FIVE, {5}), (5,)),
    "a quorum of a role": (
        StaticQuorum(1, role="backend"),
        seen([member(1), member(2), member(3, UP, "backend")], {1, 2}),
        (1, 2),
    ),
    # all
    "all": (DownAll(), seen(members(1, 2, 3, m4=JOINING, m5=EXITING, m6=DOWN), {3}), (1, 2, 3, 4)),
    # some see each other in part only
    "two do not see each other": (KeepMajority(), observed(FIVE, (1, 2), (2, 1)), (1, 2)),
    "of three, one is left": (KeepMajority(), observed(members(1, 2, 3), (1, 2), (2, 1)), (1, 2)),
    "of three, one is left, by quorum": (StaticQuorum(2), observed(members(1, 2, 3), (1, 2), (2, 1)), (1, 2)),
    "of two, nobody is left": (KeepOldest(), observed(members(1, 2), (1, 2), (2, 1)), (1, 2)),
    "a circle": (KeepMajority(), observed(FIVE, (1, 2), (2, 3), (3, 1)), (1, 2, 3)),
    "and one crashed as well": (KeepMajority(), observed(FIVE, (1, 2), (2, 1), (3, 5), (4, 5)), (1, 2, 5)),
    "they accuse the crashed one too": (KeepMajority(), observed(FIVE, (1, 2), (2, 1), (1, 5), (3, 5)), (1, 2, 5)),
    "and a cut that this side loses": (
        KeepMajority(),
        observed(members(1, 2, 3, 4, 5, 6, 7), (1, 2), (2, 1), *((3, uid) for uid in (4, 5, 6, 7))),
        (1, 2, 3),
    ),
    "in part, but down": (KeepMajority(), observed(members(1, 3, 4, m2=DOWN), (1, 2), (2, 1), (1, 4)), (4,)),
    "what a lost one said last": (KeepMajority(), observed(FIVE, (5, 1), (1, 5), (2, 5), (3, 5)), (5,)),
    "seen by nobody who is named": (KeepMajority(), replace(seen(FIVE, {4}), observations=()), (4,)),
    "seen by who is down alone": (KeepMajority(), observed(members(1, 2, 3, m4=DOWN), (4, 1), (2, 3), (1, 3)), (3,)),
}


@pytest.mark.parametrize("name", TABLE)
def test_a_strategy_decides(name: str) -> None:
    """C6: each row is a strategy, a situation, and who goes down."""
    strategy, situation, down = TABLE[name]
    decision = strategy.decide(situation)
    assert decision.down == down, decision.why
    assert decision.why


def test_reasons_are_for_people() -> None:
    """Whoever reads a log the next morning wants to know who counted."""
    whys = {name: strategy.decide(situation).why for name, (strategy, situation, _) in TABLE.items()}
    assert whys["majority"] == "3 surely up here, 2 possibly up there: the others go"
    assert whys["half without it"] == "2 surely up here, 2 possibly up there, the lowest address is not: this side goes"
    assert whys["the oldest is alone here"] == "the oldest, node-1 at 10.0.0.1:1, is here and alone: this side goes"
    assert whys["the oldest is alone there"] == "the oldest, node-1 at 10.0.0.1:1, is not here but alone: the others go"
    assert whys["no quorum"] == "2 surely up here, 3 possibly up there, the quorum is 3: this side goes"


@pytest.mark.parametrize(
    ("there", "name", "delay"), [({4, 5}, "1", 0.0), ({1, 2}, "3", 0.0), ({1, 2, 3}, "4", 2.0), ({3, 4, 5}, "1", 2.0)]
)
def test_a_lease_is_asked_for_by_the_larger_side_first(there: set[int], name: str, delay: float) -> None:
    """C6: all nodes of a side in the same name; granted, the others go; refused, this side does."""
    decision = KeepLease(acquire).decide(seen(FIVE, there))
    here = tuple(sorted({1, 2, 3, 4, 5} - there))
    assert decision == Decision(tuple(sorted(there)), decision.why, name, delay, here)


def test_of_two_halves_the_one_with_the_lowest_address_asks_first() -> None:
    """As it would stay with the majority strategy."""
    four, strategy = members(1, 2, 3, 4), KeepLease(acquire, minority_delay=5.0)
    assert [strategy.decide(seen(four, there)).delay for there in ({3, 4}, {1, 2})] == [0.0, 5.0]
    assert KeepLease(acquire, role="backend").decide(seen(four, {4})).delay == 2.0


def test_who_sees_in_part_only_does_not_ask_for_a_lease() -> None:
    """It goes in any case; and where all are so, nobody asks."""
    decision = KeepLease(acquire).decide(observed(members(1, 2, 3), (1, 2), (2, 1)))
    assert (decision.down, decision.ask_lease, decision.otherwise) == ((1, 2), "3", (1, 2, 3))
    nobody = KeepLease(acquire).decide(observed(members(1, 2), (1, 2), (2, 1)))
    assert (nobody.down, nobody.ask_lease) == ((1, 2), "")


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: KeepMajority(role=5), "KeepMajority.role"),  # type: ignore[arg-type]
        (lambda: KeepOldest(role=5), "KeepOldest.role"),  # type: ignore[arg-type]
        (lambda: KeepOldest(down_if_alone=1), "KeepOldest.down_if_alone"),  # type: ignore[arg-type]
        (lambda: StaticQuorum(0), "StaticQuorum.size"),
        (lambda: StaticQuorum(1, role=5), "StaticQuorum.role"),  # type: ignore[arg-type]
        (lambda: KeepLease(None), "KeepLease.acquire"),  # type: ignore[arg-type]
        (lambda: KeepLease(acquire, role=5), "KeepLease.role"),  # type: ignore[arg-type]
        (lambda: KeepLease(acquire, minority_delay=math.inf), "KeepLease.minority_delay"),
        (lambda: Downing(KeepMajority), "strategy"),  # type: ignore[arg-type]
        (lambda: Downing(None, 0), "stable_after"),
    ],
)
def test_what_cannot_be_is_refused(make: object, name: str) -> None:
    """L14: by name, when it is made."""
    assert callable(make)
    with pytest.raises(SettingsError, match=name):
        make()


# --- laws ----------------------------------------------------------------------------------------

STATUSES = st.sampled_from([UP, UP, UP, UP, JOINING, WEAKLY_UP, LEAVING, EXITING, DOWN])
VOTING: list[DowningStrategy] = [
    KeepMajority(),
    KeepMajority("backend"),
    KeepOldest(),
    KeepOldest("backend"),
    KeepOldest(down_if_alone=False),
    StaticQuorum(1),
    StaticQuorum(2),
    StaticQuorum(4),
]


@st.composite
def clusters(draw: st.DrawFn, least: int = 1) -> tuple[Member, ...]:
    """Any members at all: addresses, ages and uids in orders of their own."""
    count = draw(st.integers(least, 9))
    uids = draw(st.lists(st.integers(0, 2**63 - 1), min_size=count, max_size=count, unique=True))
    ports, ages = draw(st.permutations(range(count))), draw(st.permutations(range(1, count + 1)))
    found = []
    for uid, port, age in zip(uids, ports, ages, strict=True):
        status = draw(STATUSES)
        roles = ("backend",) if draw(st.booleans()) else ()
        found.append(Member(uid, "10.0.0.1", port, f"node-{port}", roles, status, age if status >= UP else 0))
    return tuple(found)


def moved_on(data: st.DataObject, view: tuple[Member, ...], side: Collection[int]) -> tuple[Member, ...]:
    """A view in which things have happened of which others have not heard: all that may before a cut is known.

    A leader admits who joins and lets go who leaves, which takes one on this side; members begin to leave; and members that
    others still count are down, as a side knows that has just decided about an earlier cut. (Members that this side itself
    has declared down are no law's business: they hear of it at once.)
    """
    draw = data.draw
    number = max((each.up_number for each in view), default=0)
    leads = any(each.uid in side and each.status in (UP, LEAVING, EXITING) for each in view)
    found = []
    for each in view:
        now = each
        if leads and each.status in (JOINING, WEAKLY_UP) and draw(st.booleans()):
            number += 1
            now = changed(each, status=UP, up_number=number)
        elif leads and each.status is LEAVING and draw(st.booleans()):
            now = changed(each, status=EXITING)
        elif leads and each.status is EXITING and draw(st.booleans()):
            continue
        elif each.status is UP and draw(st.integers(0, 5)) == 0:
            now = changed(each, status=LEAVING if each.uid in side or draw(st.booleans()) else DOWN)
        found.append(now)
    return tuple(found)


def changed(each: Member, status: MemberStatus, up_number: int | None = None) -> Member:
    number = each.up_number if up_number is None else up_number
    return Member(each.uid, each.host, each.port, each.node_id, each.roles, status, number)


def survivors(strategy: DowningStrategy, view: tuple[Member, ...], side: Collection[int]) -> set[int]:
    """Who of a side is up after it has decided, if it had to."""
    there = {each.uid for each in view} - {*side}
    situation = seen(view, there)
    up = {each.uid for each in view if each.uid in side and each.status in (UP, LEAVING)}
    return up - {*strategy.decide(situation).down}


@given(st.data())
def test_at_most_one_side_of_a_cut_stays(data: st.DataObject) -> None:
    """C6: however many sides there are, and whatever one of them has done of which the others have not heard."""
    view = data.draw(clusters(least=2))
    uids = [each.uid for each in view]
    sides: dict[int, list[int]] = {}
    for uid in uids:
        sides.setdefault(data.draw(st.integers(0, 2)), []).append(uid)
    if len(sides) < 2:
        return
    ahead = data.draw(st.sampled_from(sorted(sides)))
    later = moved_on(data, view, sides[ahead])
    size = sum(each.status < DOWN for each in view) // 2 + 1
    for strategy in [*VOTING, StaticQuorum(size)]:
        left = [survivors(strategy, later if side == ahead else view, uids) for side, uids in sides.items()]
        assert sum(map(bool, left)) <= 1, (strategy, left)


@given(st.data())
def test_without_anything_under_way_a_majority_stays(data: st.DataObject) -> None:
    """C6: the law above would hold as well if nobody ever stayed."""
    count = data.draw(st.integers(2, 12))
    there = data.draw(st.sets(st.integers(1, count), min_size=1, max_size=count - 1))
    view = members(*range(1, count + 1))
    here = {*range(1, count + 1)} - there
    left = [survivors(KeepMajority(), view, side) for side in (here, there)]
    assert sorted(map(len, left)) == [0, max(len(here), len(there))]
    assert sum(map(bool, (survivors(KeepOldest(), view, side) for side in (here, there)))) == 1
    quorum = StaticQuorum(count // 2 + 1)
    assert sum(map(bool, (survivors(quorum, view, side) for side in (here, there)))) == (len(here) != len(there))


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    """Any view with any observations in it."""
    view = draw(clusters())
    uids = [each.uid for each in view]
    pairs = draw(st.sets(st.tuples(st.sampled_from(uids), st.sampled_from(uids)), max_size=12))
    clean = sorted(pair for pair in pairs if pair[0] != pair[1])
    return Situation(uids[0], view, tuple(sorted({subject for _, subject in clean})), tuple(clean))


@pytest.mark.long
@given(situation=situations(), rng=st.randoms(use_true_random=False))
def test_all_who_share_a_view_decide_alike(situation: Situation, rng: random.Random) -> None:
    """C6: whoever decides, and in whatever order the members stand; and only members that are not going anyway go down."""
    uids = [each.uid for each in situation.members]
    downable = {each.uid for each in situation.members if each.status < EXITING}
    for strategy in [*VOTING, DownAll(), KeepLease(acquire)]:
        decision = strategy.decide(situation)
        for uid in rng.sample(uids, min(2, len(uids))):
            view = tuple(rng.sample(situation.members, len(uids)))
            assert strategy.decide(replace(situation, self_uid=uid, members=view)) == decision
        assert {*decision.down, *decision.otherwise} <= downable
        assert list(decision.down) == sorted(decision.down)


@given(situation=situations())
def test_who_goes_says_nothing_of_those_it_cannot_see(situation: Situation) -> None:
    """C6: when the network heals, the word of a side that went must not end the one that stays."""
    for strategy in VOTING:
        down = {*strategy.decide(situation).down}
        reachable = {each.uid for each in situation.members if each.status < EXITING} - {*situation.unreachable}
        if reachable & down:
            assert reachable <= down
            lost = {uid for uid in situation.unreachable if all(subject != uid for _, subject in situation.observations)}
            assert not lost & down


# --- timing --------------------------------------------------------------------------------------


def ready(downing: Downing, *there: int, now: float = 0.0, view: tuple[Member, ...] = FIVE) -> Downing:
    downing.observe(now, seen(view, {*there}))
    return downing


@pytest.mark.parametrize(
    ("count", "seconds"),
    [(2, 3), (10, 3), (11, 5), (20, 5), (50, 8), (51, 12), (100, 12), (101, 20), (1000, 20), (1001, 30)],
)
def test_larger_clusters_wait_longer(count: int, seconds: float) -> None:
    """C6: the table that the documents show."""
    assert stable_after(count) == seconds
    downing = ready(Downing(KeepMajority()), 1, view=members(*range(1, count + 1)))
    assert downing.next_wakeup == seconds


def test_it_decides_once_after_the_view_was_the_same_for_long_enough() -> None:
    """C6: not before, and not again until the view changes."""
    downing = ready(Downing(KeepMajority()), 4, 5)
    assert downing.tick(2.999) is None
    decision = downing.tick(3.0)
    assert decision is not None
    assert decision.down == (4, 5)
    assert downing.next_wakeup == math.inf
    assert downing.tick(100.0) is None
    ready(downing, 4, 5, now=101.0)
    assert downing.tick(200.0) is None
    ready(downing, 3, 4, 5, now=201.0)
    assert downing.next_wakeup == 204.0
    assert downing.tick(204.0) is not None


def test_a_change_starts_the_time_anew() -> None:
    """C6: of who is unreachable, of who is a member, of who sees in part only; news that change nothing do not."""
    downing = ready(Downing(KeepMajority()), 5)
    ready(downing, 4, 5, now=1.0)
    assert downing.next_wakeup == 4.0
    ready(downing, 4, 5, now=2.0)
    assert downing.next_wakeup == 4.0
    ready(downing, 4, 5, now=2.5, view=members(1, 2, 4, 5, m3=LEAVING))
    assert downing.next_wakeup == 5.5
    downing.observe(3.0, observed(FIVE, (1, 4), (1, 5), (2, 4), (2, 5), (5, 2)))
    assert downing.next_wakeup == 6.0


def test_who_goes_by_what_it_sees_waits_anew_for_a_third_only() -> None:
    """C6: one side of a cut may notice at once, the other bit by bit; it has to be gone before the other takes over."""
    downing = ready(Downing(KeepMajority()), 3, view=members(1, 2, 3))
    ready(downing, 2, 3, now=2.9, view=members(1, 2, 3))
    assert downing.next_wakeup == pytest.approx(3.9)
    ready(downing, 3, now=3.0, view=members(1, 2, 3))
    assert downing.next_wakeup == 6.0, "it would stay again"
    ready(downing, 2, 3, now=3.5, view=members(1, 2, 3))
    decision = downing.tick(downing.next_wakeup)
    assert decision is not None
    assert decision.down == (1,)
    early = ready(Downing(KeepMajority()), 2, 3, view=members(1, 2, 3))
    assert early.next_wakeup == 3.0


def test_joiners_that_can_be_reached_do_not_put_a_decision_off() -> None:
    """C6: a crashed node goes down though others join all the time."""
    downing = ready(Downing(KeepMajority()), 5)
    for step in range(1, 6):
        ready(downing, 5, now=step / 2, view=(*FIVE, *(member(5 + uid, JOINING) for uid in range(1, step + 1))))
    assert downing.next_wakeup == 3.0


@pytest.mark.parametrize("view", [members(1, 2, m3=DOWN), members(1, 2, m3=EXITING)])
def test_who_is_going_needs_no_decision(view: tuple[Member, ...]) -> None:
    """It is removed anyway, unreachable or not."""
    assert ready(Downing(KeepMajority()), 3, view=view).next_wakeup == math.inf


def test_who_is_back_in_time_stays() -> None:
    """C6: nothing is left to decide."""
    downing = ready(Downing(KeepMajority()), 5)
    ready(downing, now=2.9)
    assert downing.next_wakeup == math.inf
    assert downing.tick(3.0) is None
    ready(downing, 5, now=10.0)
    assert downing.next_wakeup == 13.0


@pytest.mark.parametrize("status", [EXITING, DOWN, None])
def test_who_goes_itself_decides_nothing(status: MemberStatus | None) -> None:
    """Nor does a node that is no member yet."""
    view = members(2, 3, 4) if status is None else members(2, 3, 4, m1=status)
    downing = Downing(KeepMajority())
    downing.observe(0.0, replace(seen(view, {4}), self_uid=1))
    assert downing.next_wakeup == math.inf


def test_none_never_downs_anybody() -> None:
    """For those who want to decide by hand."""
    downing = ready(Downing(None), 2, 3, 4, 5)
    assert downing.next_wakeup == math.inf
    assert downing.tick(1e9) is None


def test_a_view_that_never_rests_ends_in_all_going() -> None:
    """C6: who is unreachable changes for the stable time and three quarters of it, four seconds at least."""
    downing = Downing(KeepMajority())
    for step in range(14):
        assert downing.next_wakeup > step / 2
        ready(downing, 4 + step % 2, now=step / 2)
    assert downing.next_wakeup == 7.0
    decision = downing.tick(7.0)
    assert decision is not None
    assert decision.down == (1, 2, 3, 4, 5)
    assert "7.0 s" in decision.why


def test_a_long_stable_time_is_exceeded_by_three_quarters() -> None:
    """As Akka does."""
    downing = Downing(KeepMajority(), stable_after=8.0)
    for step in range(30):
        ready(downing, 4 + step % 2, now=step / 2)
    assert downing.next_wakeup == 14.0


def test_two_changes_are_not_unrest() -> None:
    """Two nodes that fail one after the other do not end the rest, nor does a third one long after a decision."""
    downing = ready(Downing(KeepMajority()), 5)
    ready(downing, 4, 5, now=2.9)
    ready(downing, 4, 5, now=5.8, view=members(1, 2, 4, 5, m3=LEAVING))
    assert downing.tick(7.5) is None
    assert downing.tick(8.8) is not None
    ready(downing, 2, 4, 5, now=9.0)
    assert downing.next_wakeup == 12.0


def test_who_comes_back_is_no_unrest() -> None:
    """C5: one node is cut off, another is paused meanwhile: the five that hear each other all the time go on."""
    downing = ready(Downing(KeepMajority()), 5)
    ready(downing, 4, 5, now=2.5)
    ready(downing, 5, now=4.5)
    assert downing.next_wakeup == 7.5
    decision = downing.tick(7.5)
    assert decision is not None
    assert decision.down == (5,)


def test_an_excused_node_waits_anew() -> None:
    """C5: it was late itself: by the clock it is time, but it hears the news first."""
    downing = ready(Downing(KeepMajority()), 4, 5)
    downing.excuse(60.0)
    assert downing.tick(60.0) is None
    assert downing.next_wakeup == 63.0
    ready(downing, now=60.5)
    assert downing.tick(63.0) is None


def test_a_node_that_is_not_excused_decides_at_its_first_tick() -> None:
    """C6: whoever wakes late, and has no excuse, is past its time and decides before anything else."""
    assert ready(Downing(KeepMajority()), 1, 2, 3).tick(60.0) is not None


def test_an_own_strategy() -> None:
    """It decides in its turn, and may decide that nobody goes."""

    class Wait(DowningStrategy):
        def decide(self, situation: Situation) -> Decision:
            return Decision((), f"{len(situation.unreachable)} unreachable: wait")

    assert ready(Downing(Wait(), stable_after=1.5), 5).tick(1.5) == Decision((), "1 unreachable: wait")
