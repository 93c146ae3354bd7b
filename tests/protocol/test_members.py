"""C1: merging what two nodes know of the members commutes, associates, is idempotent, and makes nothing new of the old."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, strategies as st

from casty_trio.model.member import Member, MemberStatus
from casty_trio.protocol import members as module
from casty_trio.protocol.members import (
    MEMBERS_MOST,
    REMEMBERED,
    Opinion,
    Seen,
    View,
    accused,
    converged,
    digest,
    fingerprint,
    leader,
    malformed,
    merge,
    observations,
    unreachable,
)

UIDS = st.integers(1, 6)
ALIVE = st.sampled_from([status for status in MemberStatus if status != MemberStatus.REMOVED])
PAIRS = st.tuples(UIDS, st.integers(0, 3))


def a_member(uid: int, status: MemberStatus = MemberStatus.UP, number: int = 0, counter: int = 0) -> Member:
    return Member(uid, "host", 1_000 + uid, f"node-{uid}", (), status, number, counter)


@st.composite
def views(draw: st.DrawFn) -> View:
    """Whatever a node may know of six others."""
    removed = draw(st.dictionaries(UIDS, st.integers(1, 5), max_size=3))
    uids = sorted(set(draw(st.lists(UIDS, max_size=6))) - set(removed))
    members = tuple(a_member(uid, draw(ALIVE), draw(st.integers(0, 3)), draw(st.integers(0, 3))) for uid in uids)
    opinions = tuple(
        Opinion(uid, draw(st.integers(0, 3)), tuple(sorted(draw(st.lists(PAIRS, max_size=3)))))
        for uid in uids
        if draw(st.booleans())
    )
    seen = tuple(Seen(uid, draw(st.integers(0, 3)), draw(st.integers(0, 3))) for uid in uids if draw(st.booleans()))
    return View(7, members, tuple(sorted(removed.items())), opinions, seen, draw(st.integers(0, 2)))


@given(views(), views(), views())
def test_c1_merging_commutes_associates_and_is_idempotent(a: View, b: View, c: View) -> None:
    assert merge(a, b) == merge(b, a)
    assert merge(merge(a, b), c) == merge(a, merge(b, c))
    assert merge(a, a) is a


@given(views(), views())
def test_c1_what_is_known_already_makes_no_new_view(a: View, b: View) -> None:
    together = merge(a, b)
    assert merge(together, b) is together
    assert merge(together, a) is together


@given(views(), views())
def test_c1_equal_views_have_equal_bytes_and_digests(a: View, b: View) -> None:
    one, other = merge(a, b), merge(b, a)
    assert msgspec.msgpack.encode(one) == msgspec.msgpack.encode(other)
    assert (digest(one), fingerprint(one)) == (digest(other), fingerprint(other))


@given(views(), views())
def test_c4_who_was_removed_never_returns(a: View, b: View) -> None:
    together = merge(a, b)
    gone = {uid for view in (a, b) for uid, _ in view.removed}
    assert gone.isdisjoint(member.uid for member in together.members)
    assert malformed(together) is None


@given(views(), views())
def test_statuses_and_counters_only_rise_and_the_lower_up_number_stays(a: View, b: View) -> None:
    together = merge(a, b)
    for view in (a, b):
        for member in view.members:
            merged = together.member(member.uid)
            if merged is not None:
                assert merged.status >= member.status
                assert merged.counter >= member.counter
                assert not member.up_number or 0 < merged.up_number <= member.up_number


def test_views_of_two_clusters_never_merge() -> None:
    with pytest.raises(ValueError, match="never merge"):
        merge(View(1), View(2))


def test_a_member_that_two_nodes_describe_differently_is_the_same_for_both() -> None:
    one, other = View(1, (a_member(1),)), View(1, (msgspec.structs.replace(a_member(1), node_id="zebra"),))
    assert merge(one, other) == merge(other, one)


def test_only_the_latest_removals_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2)
    view = View(1, tuple(a_member(uid) for uid in range(1, 5)))
    for uid in (3, 1, 2):
        view = view.without([uid])
    assert view.removed == ((1, 2), (2, 3))
    assert [member.uid for member in view.members] == [4]


def test_a_status_never_falls_and_who_is_no_member_gets_none() -> None:
    view = View(1, (a_member(1, MemberStatus.LEAVING),))
    assert view.with_status(1, MemberStatus.UP) is view
    assert view.with_status(9, MemberStatus.DOWN) is view


def test_saying_the_same_again_is_no_new_word() -> None:
    view = View(1, (a_member(1), a_member(2))).with_opinion(1, [(2, 0)]).with_seen(2, 5)
    assert view.with_opinion(1, [(2, 0)]) is view
    assert view.with_seen(2, 5) is view
    assert view.with_opinion(1, []).opinion(1) == Opinion(1, 2)
    assert view.with_seen(2, 6).seen == (Seen(2, 2, 6),)


def test_who_refutes_is_reachable_and_who_is_down_is_not_believed() -> None:
    view = View(1, (a_member(1), a_member(2), a_member(3, MemberStatus.DOWN)))
    view = view.with_opinion(1, [(2, 0)]).with_opinion(3, [(1, 0)])
    assert observations(view) == ((1, 2),)
    assert unreachable(view) == (2,)
    assert (accused(view, 2), accused(view, 1)) == (0, None)
    refuted = view.with_member(a_member(2, counter=1))
    assert unreachable(refuted) == ()


def test_the_leader_is_the_lowest_address_of_those_up_that_are_reached() -> None:
    view = View(1, (a_member(1, MemberStatus.JOINING), a_member(2), a_member(3, MemberStatus.LEAVING)))
    assert leader(view, 3) == a_member(2)
    silent = view.with_opinion(3, [(2, 0)])
    assert leader(silent, 3) == a_member(3, MemberStatus.LEAVING)
    assert leader(silent, 2) == a_member(2), "whoever says what, a node reaches itself"
    assert leader(View(1, (a_member(1, MemberStatus.JOINING),)), 1) is not None
    assert leader(View(1), 1) is None


def test_a_view_is_agreed_on_when_all_who_count_have_seen_it_and_nobody_is_silent() -> None:
    view = View(1, (a_member(1), a_member(2, MemberStatus.LEAVING), a_member(3, MemberStatus.JOINING)))
    assert not converged(view)
    view = view.with_seen(1, digest(view)).with_seen(2, digest(view))
    assert converged(view)
    silent = view.with_opinion(1, [(3, 0)])
    assert not converged(silent.with_seen(1, digest(silent)).with_seen(2, digest(silent)))
    gone = silent.with_status(3, MemberStatus.DOWN)
    assert converged(gone.with_seen(1, digest(gone)).with_seen(2, digest(gone)))


@pytest.mark.parametrize(
    ("view", "problem"),
    [
        (View(1, (a_member(2), a_member(1))), "sorted"),
        (View(1, (a_member(1), a_member(1))), "sorted"),
        (View(1, (), (), (Opinion(1, 1),)), "no member"),
        (View(1, (), (), (), (Seen(1, 1, 1),)), "no member"),
        (View(1, (a_member(1),), ((1, 1),)), "removed"),
        (View(1, (a_member(1, MemberStatus.REMOVED),)), "status"),
        (View(0, (a_member(1),)), "least"),
        (View(1, tuple(map(a_member, range(1, MEMBERS_MOST + 2)))), "more than"),
        (View(1, (), tuple((uid, 1) for uid in range(1, REMEMBERED + 2))), "more than"),
        (View(1, (a_member(0),)), "least"),
    ],
)
def test_a_view_that_contradicts_itself_is_told_from_a_good_one(view: View, problem: str) -> None:
    found = malformed(view)
    assert found is not None
    assert problem in found
