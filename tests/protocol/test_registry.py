"""What is registered where: all nodes agree in the end, whatever is lost, doubled or late (R1)."""

from __future__ import annotations

import random
from math import inf

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from casty_trio.errors import ProtocolError
from casty_trio.protocol import buckets, registry
from casty_trio.protocol.buckets import LONGEST_PATH, MOST_ENTRIES, MOST_TEXT, Delta, Entry, Full, Status, Want, Word
from casty_trio.protocol.registry import Changed, Effect, Registry, Say

ONE, TWO, THREE = 11, 22, 33


def entry(key: str, number: int = 1, group: str = "") -> Entry:
    return Entry(key, f"/{number}", number, group)


def node(uid: int, *others: int) -> Registry:
    machine = Registry(uid, 1.0)
    machine.set_members(0.0, (uid, *others))
    return machine


def said(effects: list[Effect]) -> list[tuple[int, Word]]:
    return [(effect.uid, effect.word) for effect in effects if isinstance(effect, Say)]


def found(machine: Registry, key: str) -> list[tuple[int, Entry]]:
    return sorted(machine.found(key))


# --- One node ---------------------------------------------------------------------------------------------------------


def test_what_changes_is_told_to_all_as_one_delta() -> None:
    one = node(ONE, THREE, TWO)
    assert not one.dirty
    assert one.flush() == []
    assert one.add(entry("a"))
    assert not one.add(entry("a"))
    assert one.add(entry("b", 2))
    assert one.remove(entry("b", 2))
    assert not one.remove(entry("b", 2))
    delta = Delta(0, 3, (entry("a"),), ())
    assert one.flush() == [Say(TWO, delta), Say(THREE, delta)]
    assert one.own == (entry("a"),)
    one.remove(entry("a"))
    one.add(entry("a"))
    assert one.flush() == [Say(TWO, Delta(3, 5, (), ())), Say(THREE, Delta(3, 5, (), ()))]
    assert one.versions() == ((ONE, 5),)


def test_a_delta_changes_what_it_is_based_on_and_else_the_whole_is_asked_for() -> None:
    one = node(ONE, TWO)
    assert one.receive(TWO, Delta(0, 2, (entry("a"), entry("b", 2)), ())) == [Changed(("a", "b"))]
    assert one.receive(TWO, Delta(0, 2, (entry("a"), entry("b", 2)), ())) == []
    assert one.receive(TWO, Delta(2, 3, (entry("a"),), (entry("b", 2), entry("c", 3)))) == [Changed(("b",))]
    assert one.receive(TWO, Delta(4, 5, (entry("d"),), ())) == [Say(TWO, Want((TWO,)))]
    assert one.receive(TWO, Full(TWO, 5, (entry("d"), entry("a")))) == [Changed(("d",))]
    assert one.receive(TWO, Full(TWO, 5, ())) == [], "of one version there is one content"
    assert one.receive(TWO, Full(TWO, 4, ())) == []
    assert one.names() == ("a", "d")
    assert found(one, "d") == [(TWO, entry("d"))]


def test_who_is_no_member_says_nothing_and_takes_its_own_along() -> None:
    one = node(ONE, TWO)
    assert one.receive(THREE, Full(THREE, 1, (entry("a"),))) == []
    assert one.receive(TWO, Full(THREE, 1, (entry("a"),))) == []
    assert one.receive(TWO, Full(ONE, 1, (entry("a"),))) == [], "nobody else writes this node's"
    one.receive(TWO, Full(TWO, 1, (entry("a"), entry("b"))))
    one.receive(TWO, Status(((TWO, 1),), whole=True))
    assert one.set_members(1.0, (ONE, TWO, THREE)) == []
    one.receive(THREE, Full(THREE, 1, (entry("a"), entry("a", 2))))
    assert one.set_members(1.0, (ONE, THREE)) == [Changed(("a", "b"))]
    assert found(one, "a") == [(THREE, entry("a")), (THREE, entry("a", 2))]
    assert one.set_members(1.0, ()) == [Changed(("a",))]
    assert one.names() == ()
    assert one.next_wakeup == inf


def test_a_new_member_and_a_new_connection_hear_of_the_version() -> None:
    one = node(ONE, TWO)
    assert one.connected(TWO) == [], "it has nothing to tell"
    one.add(entry("a"))
    hello = Status(((ONE, 1),), whole=False)
    assert one.connected(TWO) == [Say(TWO, hello)]
    assert one.connected(THREE) == []
    assert one.set_members(0.0, (ONE, TWO, THREE)) == [Say(THREE, hello)]
    three = node(THREE, ONE)
    assert three.receive(ONE, hello) == [Say(ONE, Want((ONE,)))]
    assert one.receive(THREE, Want((ONE, ONE, 99))) == [Say(THREE, Full(ONE, 1, (entry("a"),)))]
    assert three.receive(ONE, Full(ONE, 1, (entry("a"),))) == [Changed(("a",))]
    assert three.receive(ONE, hello) == []


def test_members_are_compared_with_in_turn() -> None:
    one = node(TWO, ONE, THREE)
    assert one.next_wakeup == 1.0
    assert one.tick(0.5) == []
    assert one.tick(1.0) == [], "nobody knows of anything"
    one.add(entry("a"))
    told = [said(one.tick(float(second))) for second in range(2, 5)]
    status = Status(((TWO, 1),), whole=True)
    assert told == [[(THREE, status)], [(ONE, status)], [(THREE, status)]]


def test_who_compares_gets_what_it_lacks_and_is_asked_for_what_it_has() -> None:
    one = node(ONE, TWO, THREE)
    one.add(entry("a"))
    one.receive(THREE, Full(THREE, 4, (entry("c"),)))
    assert one.receive(TWO, Status(((TWO, 3), (THREE, 2)), whole=True)) == [
        Say(TWO, Full(ONE, 1, (entry("a"),))),
        Say(TWO, Full(THREE, 4, (entry("c"),))),
        Say(TWO, Want((TWO,))),
    ]
    one.receive(TWO, Full(TWO, 9, ()))
    status = Status(((ONE, 1), (THREE, 4)), whole=True)
    assert one.receive(TWO, status) == [], "it knows its own best"


def test_a_false_version_of_this_nodes_own_is_outdone() -> None:
    one = node(ONE, TWO)
    one.add(entry("a"))
    assert one.receive(TWO, Status(((ONE, 7),), whole=False)) == []
    assert one.versions() == ((ONE, 8),)
    assert said(one.flush()) == [(TWO, Delta(0, 8, (entry("a"),), ()))]
    one.receive(TWO, Status(((ONE, registry.LAST_VERSION),), whole=False))
    assert one.versions() == ((ONE, 8),), "above that there is none"


def test_no_bucket_is_larger_than_it_may_be() -> None:
    one = node(ONE, TWO)
    many = [Entry("k", f"/{number}", number) for number in range(1, MOST_ENTRIES + 1)]
    assert one.receive(TWO, Delta(0, 1, tuple(many), ())) == [Changed(("k",))]
    with pytest.raises(ProtocolError, match="more than 20000 entries"):
        one.receive(TWO, Delta(1, 2, (entry("x"),), ()))
    assert len(found(one, "k")) == MOST_ENTRIES
    assert one.receive(TWO, Delta(1, 2, (entry("x"),), (many[0],))) == [Changed(("k", "x"))]
    size = Entry("k" * 255, "/" + "ü" * 2_000, 1).size
    large = [Entry("k" * 255, "/" + "ü" * 2_000, number) for number in range(1, MOST_TEXT // size + 1)]
    more = Entry("k" * 255, "/" + "ü" * 2_000, 9_999)
    assert one.receive(TWO, Full(TWO, 3, tuple(large)))
    with pytest.raises(ProtocolError, match="1048576 bytes of text"):
        one.receive(TWO, Full(TWO, 4, (*large, more)))
    assert len(found(one, "k" * 255)) == len(large)
    two = node(TWO)
    for each in large:
        two.add(each)
    assert two.has_room(entry("a"))
    assert not two.has_room(more)
    assert not two.has_room(Entry("a", "/" + "x" * LONGEST_PATH, 1))
    with pytest.raises(ProtocolError):
        two.add(more)
    two.remove(large[0])
    assert two.has_room(more)


@pytest.mark.parametrize(
    "word",
    [
        Full(7, 3, (entry("a", 1, "g"),)),
        Delta(1, 2, (entry("a"),), (entry("b"),)),
        Status(((7, 3), (8, 1)), whole=True),
        Want((7, 8)),
    ],
)
def test_words_come_back(word: Word) -> None:
    assert buckets.unpack(buckets.pack(word)) == word


@pytest.mark.parametrize(
    "word",
    [
        Full(0, 3, ()),
        Full(7, -1, ()),
        Full(7, 2**62 + 1, ()),
        Full(7, 1, (Entry("a" * 256, "/a", 1),)),
        Full(7, 1, (Entry("a", "", 1),)),
        Full(7, 1, (Entry("a", "/" + "a" * LONGEST_PATH, 1),)),
        Full(7, 1, (Entry("a", "/a", 0),)),
        Full(7, 1, (entry("a"),) * (MOST_ENTRIES + 1)),
        Want(tuple(range(1, 10_002))),
    ],
)
def test_words_that_are_too_much_are_none(word: Word) -> None:
    with pytest.raises(ProtocolError, match="malformed"):
        buckets.unpack(buckets.pack(word))


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x90", b"\x92\x03\x90", b"\x93\x09\x01\x01"])
def test_bytes_that_are_no_word(body: bytes) -> None:
    with pytest.raises(ProtocolError, match="malformed"):
        buckets.unpack(body)


# --- Many nodes -------------------------------------------------------------------------------------------------------


class World:
    """Nodes with a network that loses and delays, but keeps the order between two of them."""

    def __init__(self, rng: random.Random, count: int) -> None:
        self.rng = rng
        self.now = 0.0
        self.nodes = {uid: Registry(uid, 1.0) for uid in range(1, count + 1)}
        self.links: dict[tuple[int, int], list[bytes]] = {}
        self.cut: set[frozenset[int]] = set()
        self.numbers = 0

    def perform(self, uid: int, effects: list[Effect]) -> None:
        for to, word in said(effects):
            self.links.setdefault((uid, to), []).append(buckets.pack(word))

    def step(self) -> None:
        """Anything may happen."""
        uid = self.rng.choice(sorted(self.nodes))
        machine = self.nodes[uid]
        match self.rng.randint(0, 9):
            case 0 | 1:
                self.numbers += 1
                machine.add(entry(self.rng.choice("abc"), self.numbers))
            case 2:
                if machine.own:
                    machine.remove(self.rng.choice(machine.own))
            case 3 | 4:
                self.perform(uid, machine.flush())
            case 5:
                self.tick()
            case 6:
                self.perform(uid, machine.set_members(self.now, self.rng.sample(sorted(self.nodes), k=2)))
            case 7:
                other = self.rng.choice(sorted(self.nodes))
                self.links.pop((uid, other), None)  # a connection breaks, and there is another one
                self.perform(uid, machine.connected(other))
            case 8 if len(self.nodes) > 2 and self.rng.random() < 0.2:
                self.nodes[max(self.nodes) + 1] = Registry(max(self.nodes) + 1, 1.0)
                del self.nodes[uid]
            case _:
                self.deliver(self.rng.random() < 0.2)

    def tick(self) -> None:
        self.now += 0.5
        for uid, machine in sorted(self.nodes.items()):
            self.perform(uid, machine.tick(self.now))

    def deliver(self, lose: bool = False) -> bool:
        waiting = sorted(link for link, words in self.links.items() if words)
        if not waiting:
            return False
        sender, to = link = self.rng.choice(waiting)
        body = self.links[link].pop(0)
        if not lose and to in self.nodes and frozenset(link) not in self.cut:
            self.perform(to, self.nodes[to].receive(sender, buckets.unpack(body)))
        return True

    def settle(self, rounds: int) -> None:
        """Nothing is lost any more, and all know who the members are."""
        for uid, machine in self.nodes.items():
            self.perform(uid, machine.set_members(self.now, self.nodes))
        for _ in range(rounds):
            for uid, machine in self.nodes.items():
                self.perform(uid, machine.flush())
            self.now += 0.5
            self.tick()
            while self.deliver():
                pass

    def check(self) -> None:
        """R1: each node knows exactly what is registered on each other."""
        for uid, machine in self.nodes.items():
            known = {key: found(machine, key) for key in machine.names()}
            expected: dict[str, list[tuple[int, Entry]]] = {}
            for other, owner in sorted(self.nodes.items()):
                for each in owner.own:
                    if other != uid:
                        expected.setdefault(each.key, []).append((other, each))
            assert known == {key: sorted(entries) for key, entries in expected.items()}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.integers(2, 5))
def test_in_the_end_all_know_the_same(seed: int, count: int) -> None:
    """R1: whatever was lost, doubled or late, and whoever has joined or gone meanwhile."""
    world = World(random.Random(seed), count)
    for _ in range(200):
        world.step()
    world.settle(rounds=2 * len(world.nodes))
    world.check()
    versions = [machine.versions() for machine in world.nodes.values()]
    world.settle(rounds=5)
    assert [machine.versions() for machine in world.nodes.values()] == versions, "idle nodes make no new versions"
    assert len(set(versions)) == 1


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32))
def test_two_that_do_not_hear_each_other_learn_by_a_third(seed: int) -> None:
    """R1."""
    world = World(random.Random(seed), 4)
    world.cut.add(frozenset((1, 2)))
    for _ in range(100):
        world.step()
    if not {1, 2} <= set(world.nodes):
        return
    world.settle(rounds=3 * len(world.nodes))
    world.check()
