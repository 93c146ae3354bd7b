"""Ids that are remembered without a store: the owner of a shard and those that keep its ids (S6)."""

from __future__ import annotations

import random
from math import inf

import pytest
from hypothesis import given, settings, strategies as st

from casty_trio.errors import ProtocolError
from casty_trio.protocol import keeping, teller
from casty_trio.protocol.keeper import Keeper
from casty_trio.protocol.keeping import LONGEST_ID, NONE, Ask, Keep, Kept, Note, Stamp, Told, Word
from casty_trio.protocol.teller import Say, Teller
from tests.protocol.keepers import RETRY, Life, Net

ONE, TWO, THREE, FOUR = 11, 22, 33, 44


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three short ids in a word."""
    monkeypatch.setattr(keeping, "CHUNK", 3)


def changed(net: Net, started: str = "", stopped: str = "") -> int:
    return net.owner.change(0, list(started), list(stopped))


# --- One owner --------------------------------------------------------------------------------------------------------


def test_changes_are_told_to_all_keepers_as_one_word() -> None:
    """S6: and who has them says so; nothing more is said then."""
    net = Net(ONE, TWO, THREE)
    net.run()
    assert net.owner.due == inf
    net.said.clear()
    changed(net, "ab")
    version = changed(net, "c", "a")
    assert not net.owner.settled(0, version)
    assert net.owner.due == -inf
    said = net.say()
    assert [each.uid for each in said] == [ONE, TWO, THREE]
    assert [each.word for each in said] == [Note(0, (1, 1, 1), (1, 1, 5), ("b", "c"), ("a",))] * 3
    assert net.owner.due == RETRY
    net.run()
    assert net.owner.settled(0, version)
    assert net.ids(ONE) == net.ids(TWO) == net.ids(THREE) == ["b", "c"]
    assert net.keepers[ONE].stamp(0) == (1, 1, 5)
    assert len(net.said) == 3
    assert changed(net, "b", "x") == 5
    assert net.say() == []
    assert net.owner.ids(0) == ("b", "c")
    assert net.owner.has(0, (1, 1))
    assert not net.owner.has(0, (1, 2))
    assert not net.owner.has(1, (1, 1))


def test_one_word_is_on_the_way_and_is_said_again() -> None:
    """S6: until it is answered; what has changed meanwhile goes with it, or comes after it."""
    net = Net(ONE)
    net.run()
    changed(net, "a")
    [first] = net.say()
    net.wire.clear()
    changed(net, "b")
    assert net.say() == []
    net.now = RETRY
    [again] = net.say()
    assert again.word == Note(0, (1, 1, 1), (1, 1, 3), ("a", "b"))
    assert isinstance(first.word, Note)
    net.keepers[ONE].receive(first.word)  # it had come, and its answer was lost
    net.run()
    assert net.ids(ONE) == ["a", "b"]


@pytest.mark.usefixtures("small")
def test_everything_is_told_in_parts_and_counts_when_the_last_has_come() -> None:
    """S6: what is there already stays meanwhile, and who asks gets that; or the parts, when there is nothing else."""
    net = Net(ONE)
    changed(net, "abcdefg")
    net.run()
    net.replace(ONE, TWO)
    assert not net.owner.settled(0, 1)
    net.say()
    net.deliver()
    keeper = net.keepers[TWO]
    assert keeper.ids(0) == ()
    assert keeper.receive(Ask(0, (1, 1))) == Told(0, (1, 1), (1, 1, 4), whole=False, start=0, ids=("a", "b", "c"))
    version = changed(net, "h", "ag")
    net.run()
    assert net.owner.settled(0, version)
    assert net.ids(TWO) == net.ids(ONE) == list("bcdefh")
    assert keeper.count == 6
    told = keeper.receive(Ask(0, (1, 1), 2))
    assert isinstance(told, Told)
    assert (told.whole, told.start, len(told.ids), told.more) == (True, 2, 3, True)


def test_a_keeper_that_is_behind_is_not_waited_for() -> None:
    """S6: until it has caught up."""
    net = Net(ONE, TWO)
    net.run()
    version = changed(net, "a")
    net.say()
    net.deliver()
    net.deliver(1)
    assert not net.owner.settled(0, version)
    net.owner.go_on(0, version)
    net.owner.go_on(7, version)
    assert net.owner.settled(0, version)
    net.run()
    changed(net, "b")
    assert not net.owner.settled(0, version + 1)
    net.replace(ONE)
    net.run()
    assert net.owner.settled(0, version + 1)
    net.owner.go_on(0, version + 2)
    net.replace(TWO)
    net.run()
    assert net.ids(TWO) == ["a", "b"]


def test_only_so_many_words_are_on_the_way() -> None:
    net = Net(ONE)
    for shard in range(1, teller.WINDOW + 5):
        net.owner.claim(shard, (1, 1))
        assert not net.owner.claimed(shard)
    net.run()
    for shard in range(1, teller.WINDOW + 5):
        net.owner.begin(shard)
    said = net.say()
    assert len(said) == teller.WINDOW
    assert net.owner.due == RETRY
    net.run()
    assert all(net.keepers[ONE].stamp(shard) == (1, 1, 1) for shard in range(teller.WINDOW + 5))


def test_what_is_too_long_is_not_told() -> None:
    net = Net(ONE)
    net.owner.change(0, ["x" * LONGEST_ID, "y" * (LONGEST_ID + 1)], [])
    net.owner.change(0, [], ["y" * (LONGEST_ID + 1)])
    net.run()
    assert net.owner.unremembered == 1
    assert net.ids(ONE) == ["x" * LONGEST_ID]


def test_there_is_room_for_so_many() -> None:
    """S6: further ones are counted, once for all keepers; who has gone makes room."""
    net = Net(ONE, TWO, most=3)
    changed(net, "abcde")
    net.run()
    assert net.ids(ONE) == net.ids(TWO) == ["a", "b", "c"]
    assert net.owner.unremembered == 2
    changed(net, "f", "ab")
    net.run()
    assert net.ids(ONE) == ["c", "f"]
    assert net.keepers[ONE].count == 2
    assert net.owner.unremembered == 2
    net.replace(THREE)
    net.run()
    assert net.ids(THREE) == ["c", "d", "e"]
    assert net.owner.unremembered == 2


@pytest.mark.usefixtures("small")
def test_what_comes_takes_the_place_of_what_is_there() -> None:
    """S6: there is room for both."""
    net = Net(ONE, most=7)
    changed(net, "abcdefg")
    net.run()
    assert net.crash(ONE)
    net.owner = Teller(RETRY)
    net.owner.set_members([ONE], [])
    net.owner.claim(0, (2, 1))
    assert net.owner.begin(0)  # nobody was asked
    changed(net, "abcdefg")
    net.run()
    assert net.ids(ONE) == list("abcdefg")
    assert net.owner.unremembered == 0
    assert net.keepers[ONE].count == 7


# --- One after the other ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small")
def test_a_new_owner_asks_and_goes_on() -> None:
    """S6: it gets everything, in parts, and tells those nothing that have the same; the others everything."""
    net = Net(ONE, TWO)
    changed(net, "abcdefgh")
    net.run()
    net.said.clear()
    assert net.crash(ONE, TWO)
    assert sorted(net.owner.ids(0)) == list("abcdefgh")
    assert {type(each.word) for each in net.said} == {Ask}
    assert net.say() == []
    net.replace(ONE, TWO, THREE)
    changed(net, "", "a")
    net.run()
    for uid in (ONE, TWO, THREE):
        assert net.ids(uid) == list("bcdefgh")
        assert net.keepers[uid].stamp(0)[:2] == (1, 2)
    assert [each.word for each in net.said if each.uid == ONE and isinstance(each.word, Note)] == [
        Note(0, (1, 1, 9), (1, 2, 10), (), ("a",))
    ]


def test_the_latest_stamp_holds() -> None:
    """S6: so who is forgotten does not come back by a keeper that was not told."""
    net = Net(ONE, TWO)
    changed(net, "ab")
    net.run()
    changed(net, "c", "a")
    net.say()
    net.deliver(1)  # to the second; the first does not hear of it
    net.wire.clear()
    assert net.crash(ONE, TWO)
    assert sorted(net.owner.ids(0)) == ["b", "c"]
    net.run()
    assert net.ids(ONE) == net.ids(TWO) == ["b", "c"]


def test_who_does_not_answer_is_not_waited_for_without_end() -> None:
    """S6: `begin` goes on with what has come; and who is gone is not waited for at all."""
    net = Net(ONE, TWO, THREE)
    changed(net, "ab")
    net.run()
    after = Teller(RETRY)
    after.set_members([ONE, TWO, THREE], [ONE, TWO, THREE])
    after.claim(0, (1, 2))
    said = after.flush(0.0)
    assert said == [Say(uid, Ask(0, (1, 2))) for uid in (ONE, TWO, THREE)]
    assert after.flush(0.5) == []
    assert after.due == RETRY
    assert len(after.flush(RETRY)) == 3
    answer = net.keepers[ONE].receive(Ask(0, (1, 2)))
    after.receive(ONE, answer)
    after.receive(ONE, answer)
    after.receive(TWO, Told(1, (1, 2), NONE, whole=False, start=0))
    assert not after.claimed(0)
    after.set_members([ONE, TWO], [ONE, TWO])
    assert not after.claimed(0)
    assert after.begin(0)
    assert after.ids(0) == ("a", "b")
    assert [each.uid for each in after.flush(2.0)] == [TWO]


def test_parts_that_are_lost_or_come_twice() -> None:
    after = Teller(RETRY)
    after.set_members([ONE], [ONE])
    after.claim(0, (5, 1))
    after.receive(ONE, Told(0, (5, 1), (4, 1, 9), whole=True, start=0, ids=("a", "b"), more=True))
    assert after.flush(0.0) == [Say(ONE, Ask(0, (5, 1), 2))]
    after.receive(ONE, Told(0, (5, 1), (4, 1, 9), whole=True, start=1, ids=("b",), more=True))
    assert after.flush(0.5) == []
    after.receive(ONE, Told(0, (5, 1), (4, 2, 1), whole=True, start=2, ids=("x",), more=True))  # it has others by now
    assert after.flush(RETRY) == [Say(ONE, Ask(0, (5, 1)))]
    after.receive(ONE, Told(0, (5, 1), (4, 2, 1), whole=True, start=0, ids=("x",)))
    assert after.claimed(0)
    assert after.begin(0)
    assert after.ids(0) == ("x",)


def test_what_has_come_in_part_is_better_than_nothing() -> None:
    """S6: but whoever has told all is believed, be it earlier."""
    part = Told(0, (5, 1), (4, 1, 9), whole=True, start=0, ids=("a", "b"), more=True)
    for others, expected in ((0, ("a", "b")), (1, ("x",))):
        after = Teller(RETRY)
        after.set_members([ONE, TWO, THREE], [ONE, TWO, THREE])
        assert after.told(0) == 0
        after.claim(0, (5, 1))
        after.receive(ONE, part)
        if others:
            after.receive(TWO, Told(0, (5, 1), (4, 1, 8), whole=True, start=0, ids=("x",)))
        assert after.told(0) == 2
        assert after.begin(0)
        assert after.ids(0) == expected
        assert {each.uid for each in after.flush(0.0)} == ({ONE, THREE} if others else {ONE, TWO, THREE})


def test_a_former_owner_is_told_so() -> None:
    """S1: by any keeper, whatever it says."""
    net = Net(ONE)
    changed(net, "a")
    net.run()
    former, net.owner = net.owner, Teller(RETRY)
    net.owner.set_members([ONE], [ONE])
    net.owner.claim(0, (2, 1))
    net.run()
    assert net.owner.begin(0)
    net.owner, later = former, net.owner
    version = changed(net, "b")
    net.run()
    assert 0 in net.owner.stale
    assert net.owner.settled(0, version)
    assert net.owner.ids(0) == ()
    assert net.ids(ONE) == ["a"]
    net.owner.receive(ONE, Kept(0, (2, 1), NONE))  # nothing is told any more
    net.owner.claim(0, (1, 2))
    net.run()
    assert net.owner.claimed(0)
    assert not net.owner.begin(0)
    net.owner.release(0)
    assert net.owner.stale == {}
    assert not net.owner.begin(0)
    assert later.ids(0) == ("a",)


def test_the_same_owner_claims_again() -> None:
    """S6: after all that it had was let go of; its later stamps are greater."""
    net = Net(ONE, TWO)
    changed(net, "abc")
    net.run()
    changed(net, "", "ab")
    net.say()
    net.deliver()
    net.wire.clear()
    net.owner.claim(0, (1, 1))
    net.finish()
    assert net.owner.ids(0) == ("c",)
    net.run()
    assert net.ids(ONE) == net.ids(TWO) == ["c"]
    assert net.keepers[ONE].stamp(0) == (1, 1, 6)
    assert net.keepers[TWO].stamp(0) == (1, 1, 8)
    assert net.owner.settled(0, 8)


@pytest.mark.usefixtures("small")
def test_a_keeper_that_returns_is_mended() -> None:
    """S6: with more than the owner could take back: it is told everything."""
    net = Net(ONE, TWO)
    changed(net, "abcdefgh")
    net.run()
    former = net.keepers[TWO]
    net.replace(ONE)
    changed(net, "xy", "ab")
    changed(net, "zb", "c")
    net.run()
    net.keepers[TWO] = former
    net.replace(ONE, TWO)
    net.run()
    assert net.ids(ONE) == net.ids(TWO) == sorted("bdefghxyz")


@pytest.mark.usefixtures("small")
def test_a_part_that_comes_twice_takes_a_keeper_back() -> None:
    """S6: who has gone since is still known to have gone."""
    net = Net(ONE)
    changed(net, "abcdefg")
    net.run()
    net.replace(ONE, TWO)
    net.say()
    [part] = net.wire
    net.deliver()
    net.deliver()
    changed(net, "", "a")
    changed(net, "hijk")
    for _ in range(2):
        net.say()
        while net.wire:
            net.deliver()
    assert net.keepers[TWO].stamp(0) == NONE
    net.wire = [part]
    net.deliver()
    net.run()
    assert net.ids(TWO) == net.ids(ONE) == list("bcdefghijk")


def test_keepers_that_differ_by_the_same_stamp() -> None:
    """S6: what came in parts may; all that either has lives, and both come to have it."""
    net = Net(ONE, TWO)
    net.run()
    net.keepers[ONE].receive(Note(0, (1, 1, 1), (1, 1, 6), ("a", "b"), more=True))
    net.keepers[TWO].receive(Note(0, (1, 1, 1), (1, 1, 6), ("b",), more=True))
    assert net.crash(ONE, TWO)
    assert sorted(net.owner.ids(0)) == ["a", "b"]
    net.run()
    assert net.ids(ONE) == net.ids(TWO) == ["a", "b"]


def test_nobody_hears_who_is_none_of_the_keepers() -> None:
    net = Net(ONE)
    net.owner.receive(TWO, Kept(0, (1, 1), (1, 1, 1)))
    net.owner.receive(ONE, Kept(3, (1, 1), (1, 1, 1)))
    assert net.owner.ids(3) == ()
    assert net.owner.claimed(3)
    net.run()


def test_a_keeper_that_has_not_answered_is_told_everything() -> None:
    """S6: what it has may differ, by the same stamp."""
    net = Net(ONE, TWO)
    changed(net, "abc")
    net.run()
    after = net.owner = Teller(RETRY)
    after.set_members([ONE, TWO], [ONE, TWO])
    after.claim(0, (1, 2))
    net.say()
    net.deliver()
    net.deliver(1)
    net.wire.clear()
    after.begin(0)
    after.receive(TWO, Kept(0, (1, 2), (1, 1, 4)))
    changed(net, "", "a")
    assert [each.uid for each in net.say()] == [ONE, TWO]
    assert [each.word.base for each in net.said[-2:] if isinstance(each.word, Note)] == [(1, 1, 4), NONE]
    net.run()
    assert net.ids(TWO) == ["b", "c"]


# --- A keeper ---------------------------------------------------------------------------------------------------------


def test_who_keeps_nothing() -> None:
    keeper = Keeper(10)
    assert keeper.ids(3) == ()
    assert keeper.stamp(3) == NONE
    assert keeper.receive(Ask(3, (2, 1))) == Told(3, (2, 1), NONE, whole=False, start=0)
    assert keeper.receive(Note(3, (1, 9, 4), (2, 1, 5), ("a",))) == Kept(3, (2, 1), NONE)
    assert keeper.receive(Note(3, NONE, (1, 9, 5), ("a",))) == Kept(3, (2, 1), NONE)
    assert keeper.count == 0


def test_what_was_told_before_changes_nothing() -> None:
    """S6: also what begins everything anew."""
    keeper = Keeper(10)
    parts = [
        Note(0, NONE, (1, 1, 2), ("a", "b"), more=True, whole=3),
        Note(0, (1, 1, 2), (1, 1, 3), ("c",), whole=3),
        Note(0, (1, 1, 3), (1, 1, 4), (), ("a",)),
    ]
    assert keeper.receive(parts[0]) == Kept(0, (1, 1), NONE, (1, 1, 2), 3)
    assert keeper.count == 2
    for part in (parts[0], parts[1], parts[0], parts[2], *parts):
        keeper.receive(part)
    assert keeper.ids(0) == ("b", "c")
    assert keeper.receive(parts[1]) == Kept(0, (1, 1), (1, 1, 4), (1, 1, 2), 3)
    assert keeper.receive(Note(0, (1, 1, 4), (1, 1, 4), ("x",), more=True)) == Kept(0, (1, 1), (1, 1, 4), (1, 1, 2), 3)
    keeper.receive(Note(0, NONE, (1, 2, 1), ("x",), more=True, whole=2))
    keeper.receive(Note(0, (1, 2, 1), (1, 2, 2), ("z",), more=True, whole=1))
    keeper.receive(Note(0, (1, 1, 4), (1, 2, 2), ("z",), whole=2))
    assert keeper.ids(0) == ("b", "c")
    keeper.receive(Note(0, (1, 1, 4), (1, 2, 3), ("y",)))  # what has come so far is not needed any more
    assert keeper.ids(0) == ("b", "c", "y")


SHORT = st.text("abcde", min_size=1, max_size=1)
STAMPS = st.tuples(st.integers(1, 2), st.just(1), st.integers(1, 6))
NOTES = st.builds(
    Note,
    st.just(0),
    st.just(NONE) | STAMPS,
    STAMPS,
    st.lists(SHORT, max_size=3, unique=True).map(tuple),
    st.lists(SHORT, max_size=2, unique=True).map(tuple),
    st.booleans(),
    st.integers(0, 1),
)


@given(st.lists(NOTES, max_size=20), st.integers(1, 4))
def test_a_keeper_takes_each_note_once_and_never_goes_back(notes: list[Note], most: int) -> None:
    """S6: whatever comes, in whatever order: twice is as once, stamps only rise; and there is never too much."""
    keeper = Keeper(most)
    last: Stamp = NONE
    for note in notes:
        answer = keeper.receive(note)
        ids, stamp = keeper.ids(0), keeper.stamp(0)
        assert stamp >= last
        if stamp == last and isinstance(answer, Kept) and answer.coming == NONE:
            assert keeper.receive(note) == answer
            assert (keeper.ids(0), keeper.stamp(0)) == (ids, stamp)
        assert len(ids) <= keeper.count <= most
        last = stamp


# --- All together -----------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4))
def test_what_is_settled_outlives_all_but_one(seed: int, chunk: int) -> None:
    """S6: whatever is lost, doubled or late, and whoever is gone, as long as one of those stays that had it.

    What the owner was told is settled is there for the next one, however it was; and in the end all keepers have the same.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keeping, "CHUNK", chunk)
        Life(random.Random(seed)).run()


# --- Bytes ------------------------------------------------------------------------------------------------------------


def test_words_as_bytes() -> None:
    words: tuple[Word, ...] = (
        Ask(1, (2, 3), 4),
        Told(1, (2, 3), (2, 3, 4), whole=True, start=0, ids=("a",), more=True),
        Note(1, NONE, (2, 3, 4), ("a",), ("b",), more=True),
        Kept(1, (2, 3), (2, 3, 4), NONE, 5),
    )
    frame = Keep("cart", 10, words)
    assert keeping.unpack(keeping.pack(frame)) == frame
    wrong = [
        b"",
        b"\xc1",
        keeping.pack(Keep("", 10, ())),
        keeping.pack(Keep("cart", 0, ())),
        keeping.pack(Keep("cart", 10, (Ask(70_000, (1, 1)),))),
        keeping.pack(Keep("cart", 10, (Ask(0, (-1, 1)),))),
        keeping.pack(Keep("cart", 10, (Note(0, NONE, (1, 1, 1), ("",)),))),
        keeping.pack(Keep("cart", 10, (Note(0, NONE, (1, 1, 1), ("x" * (LONGEST_ID + 1),)),))),
    ]
    for body in wrong:
        with pytest.raises(ProtocolError, match="a word on remembered entities is malformed"):
            keeping.unpack(body)
