"""S8 on the machine alone: at most one host in any order of events, and one in the end."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given, settings, strategies as st

from casty_trio.errors import ProtocolError
from casty_trio.model.member import Member, MemberStatus
from casty_trio.protocol import moving
from casty_trio.protocol.moving import Claim, Done, Flushed, Hold, Hosting, Who
from casty_trio.protocol.singleton import CHECK, HOLD_FOR, HandOn, Phase, Route, Say, Singleton, Start, Stop
from tests.protocol.singletons import MARGIN, World

NAME = "boss"


def member(uid: int, status: MemberStatus = MemberStatus.UP, roles: tuple[str, ...] = ()) -> Member:
    return Member(uid, "h", uid, f"n{uid}", roles, status, uid if status >= MemberStatus.UP else 0)


def members(*uids: int) -> list[Member]:
    return [member(uid) for uid in uids]


def host(*others: int) -> Singleton:
    """The machine of node 1, which hosts."""
    machine = Singleton(NAME, 1)
    machine.appear(0.0, None)
    assert machine.set_members(0.0, members(1, *others)) == [Start()]
    assert machine.started(0.0)[0] == Route(1)
    assert machine.phase is Phase.HOSTING
    return machine


def younger(uid: int = 3, *, older: int = 1) -> Singleton:
    """The machine of a younger node, which knows of no host."""
    machine = Singleton(NAME, uid)
    machine.appear(0.0, None)
    assert machine.set_members(0.0, members(older, uid)) == [Say(older, Claim(NAME, 1))]
    return machine


# --- All together ---------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**32), st.integers(1, 5))
@settings(max_examples=150, deadline=None)
def test_never_two_and_one_in_the_end(seed: int, count: int) -> None:  # noqa: C901, PLR0915 - a list of all that may be
    """S8: whatever is lost, late or said twice; whoever comes, goes, crashes or has it later."""
    rng = Random(seed)
    world = World(rng, count)
    appeared = set[int]()
    for _ in range(120):
        living = [uid for uid in sorted(world.nodes) if world.nodes[uid].alive and uid in world.members]
        if not living:
            break
        uid = rng.choice(living)
        other = rng.choice(sorted(world.nodes))
        step = rng.random()
        if step < 0.35:
            world.deliver()
        elif step < 0.55:
            world.act(uid)
        elif step < 0.70:
            world.hear(uid)
        elif step < 0.80:
            world.tick(rng.choice([0.1, 0.6, 1.1]))
        elif step < 0.86:
            if uid not in appeared:
                appeared.add(uid)
                world.do(uid, world.nodes[uid].machine.appear(world.now, None))
        elif step < 0.89:
            pair = frozenset((uid, other))
            for link in ((uid, other), (other, uid)):
                world.links.pop(link, None)
            if uid != other:
                world.broken ^= {pair}
        elif step < 0.92 and len(living) < 6:
            world.join()
        elif step < 0.95 and world.members[uid].status == MemberStatus.UP:
            world.set_status(uid, MemberStatus.LEAVING)
            world.hear(uid)
        elif step < 0.97:
            world.do(uid, world.nodes[uid].machine.retire(world.now))
        elif step < 0.985 and len(living) > 1:  # it crashes, and is removed after the margin
            world.nodes[uid].alive = False
            for link in [link for link in world.links if uid in link]:
                del world.links[link]
            world.set_status(uid, MemberStatus.DOWN)
            for each in living:
                if each != uid:
                    world.hear(each)
            del world.members[uid]
        elif world.members[uid].status == MemberStatus.LEAVING and not world.nodes[uid].runs:
            del world.members[uid]
            world.do(uid, world.nodes[uid].machine.set_members(world.now, (), (), MARGIN))
            world.act(uid)
    world.settle()
    able = [
        uid
        for uid, each in world.members.items()
        if each.status == MemberStatus.UP and uid in appeared and not world.nodes[uid].machine._retired
    ]
    assert world.hosts() == able[:1]
    for uid in world.members:
        if uid in appeared and able:
            assert world.nodes[uid].route == able[0]


# --- One after the other --------------------------------------------------------------------------------------------


def test_alone_it_is_quiet() -> None:
    """Nothing has to be said, now or later."""
    machine = host()
    assert machine.next_wakeup == math.inf
    assert machine.host == 1
    assert machine.tick(100.0) == []


def test_a_claim_is_said_again_until_it_is_answered() -> None:
    machine = younger()
    assert machine.phase is Phase.CLAIMING
    assert machine.tick(0.5) == []
    assert machine.tick(1.0) == [Say(1, Claim(NAME, 1))]
    assert machine.receive(1.5, 1, Done(NAME, 7)) == [], "of another claim"
    assert machine.receive(1.5, 2, Done(NAME, 1)) == [], "of nobody who is a member"
    assert machine.receive(1.5, 1, Done(NAME, 1, 6)) == [Start()]
    assert machine.started(2.0) == [Route(3), Say(1, Hosting(NAME, 7))]
    assert machine.next_wakeup == math.inf


def test_how_often_it_is_said_again() -> None:
    """L14: ``SingletonSettings.retry``."""
    machine = Singleton(NAME, 3, retry=5.0)
    machine.appear(0.0, None)
    machine.set_members(0.0, members(1, 3))
    assert machine.next_wakeup == 5.0


def test_a_move() -> None:
    """Hold, flush, stop, hand on, done; in this order."""
    machine = host(2, 3)
    now = 10.0
    effects = machine.retire(now)
    assert effects == [Route(0), Say(2, Hold(NAME, 1)), Say(3, Hold(NAME, 1))]
    assert machine.receive(now, 2, Claim(NAME, 5)) == []
    assert machine.receive(now, 2, Flushed(NAME, 0)) == [], "of another hold"
    assert machine.receive(now, 2, Flushed(NAME, 1)) == []
    assert machine.tick(now + 1) == [Say(3, Hold(NAME, 1))]
    assert machine.receive(now + 1, 3, Flushed(NAME, 1)) == [Stop()]
    assert machine.receive(now + 1, 3, Claim(NAME, 2)) == []
    assert machine.stopped(now + 2) == [HandOn(2), Say(2, Done(NAME, 5, 1)), HandOn(3), Say(3, Done(NAME, 2, 1))]
    assert machine.receive(now + 3, 2, Hosting(NAME, 2)) == [Route(2)]
    assert machine.next_wakeup == now + 3 + CHECK
    assert machine.tick(now + 3 + CHECK) == [Say(2, Who(NAME, sure=True))]


def test_who_does_not_answer_a_hold_is_not_waited_for() -> None:
    """Not for ever, and not at all when it cannot be reached."""
    machine = host(2, 3)
    machine.retire(10.0)
    assert machine.set_members(10.5, members(1, 2, 3), [2]) == []
    assert machine.tick(10.0 + HOLD_FOR) == [Stop()]
    machine = host(2)
    machine.set_members(9.0, members(1, 2), [2])
    assert machine.retire(10.0)[-1] == Stop()


def test_one_that_is_removed_is_not_waited_for() -> None:
    """Down, it has had its time; having left without a word, it gets as long."""
    down = [member(1, MemberStatus.DOWN), member(3)]
    machine = younger()
    assert machine.set_members(1.0, down) == []
    assert machine.set_members(2.0, members(3)) == [Start()]
    machine = younger()
    machine.set_members(1.0, [member(1, MemberStatus.LEAVING), member(3)])
    assert machine.set_members(2.0, members(3), (), MARGIN) == []
    assert machine.tick(2.0 + MARGIN - 0.1) == []
    assert machine.tick(2.0 + MARGIN) == [Start()]


def test_a_host_that_leaves_without_a_word() -> None:
    """S8: it is given time to stop as well."""
    machine = younger()
    assert machine.receive(0.5, 1, Hosting(NAME, 4)) == [Route(1)]
    assert machine.phase is Phase.IDLE
    assert machine.set_members(2.0, members(3), (), MARGIN) == [Route(0)]
    assert machine.tick(2.0 + MARGIN) == [Start()]
    assert machine.started(8.0) == [Route(3)]


def test_a_role() -> None:
    """S8: who has it not, is not asked and does not host."""
    machine = Singleton(NAME, 2)
    machine.appear(0.0, "worker")
    machine.set_members(0.0, [member(1), member(2)])
    assert machine.phase is Phase.IDLE
    assert machine.tick(1.0) == [], "there is nobody to be asked"
    machine.set_members(2.0, [member(1), member(2), member(3, roles=("worker",))])
    assert machine.tick(3.0) == [Say(3, Who(NAME))]
    worker = Singleton(NAME, 3)
    worker.appear(0.0, "worker")
    assert worker.set_members(0.0, [member(1), member(3, roles=("worker",))]) == [Start()]


def test_who_asks_hears_of_the_host() -> None:
    machine = host(2)
    assert machine.receive(1.0, 2, Who(NAME)) == [Say(2, Hosting(NAME, 1))]
    assert machine.receive(1.0, 2, Claim(NAME, 1)) == [Say(2, Hosting(NAME, 1))], "it is younger"
    other = younger()
    assert other.receive(1.0, 1, Who(NAME)) == []
    assert other.receive(1.0, 1, Who(NAME, sure=True)) == [Say(1, Hold(NAME, 0))]


def test_a_host_that_comes_back_is_asked_whether_it_still_is() -> None:
    machine = younger()
    machine.receive(0.5, 1, Hosting(NAME, 4))
    machine.set_members(1.0, members(1, 3), [1])
    assert machine.set_members(2.0, members(1, 3)) == [Say(1, Who(NAME, sure=True))]
    assert machine.receive(3.0, 1, Hold(NAME, 4)) == [Route(0), Say(1, Flushed(NAME, 4)), Say(1, Claim(NAME, 2))]


def test_a_claim_makes_one_ask_whether_the_host_still_is() -> None:
    """The word that it is not may have been lost."""
    machine = younger()
    machine.receive(0.5, 1, Hosting(NAME, 4))
    machine.set_members(1.0, members(1, 3, 4))
    assert machine.receive(2.0, 4, Claim(NAME, 1)) == [Say(1, Who(NAME, sure=True))]


def test_a_host_that_asks_is_none() -> None:
    """The word that it is not may have been lost."""
    machine = younger()
    machine.receive(0.5, 1, Hosting(NAME, 4))
    assert machine.receive(1.0, 1, Who(NAME)) == [Route(0), Say(1, Claim(NAME, 2))]


def test_new_members_hear_of_the_host() -> None:
    assert host(2).set_members(1.0, members(1, 2, 3)) == [Say(3, Hosting(NAME, 1))]


def test_a_later_host_is_believed() -> None:
    """The higher epoch; a word of a former host changes nothing."""
    machine = Singleton(NAME, 9)
    machine.set_members(0.0, members(1, 2, 9))
    assert machine.receive(1.0, 2, Hosting(NAME, 4)) == [Route(2)]
    assert machine.receive(1.0, 1, Hosting(NAME, 3)) == []
    assert machine.receive(1.0, 1, Hosting(NAME, 5)) == [Route(1)]
    assert machine.host == 1


def test_two_hosts_that_meet() -> None:
    """After a repair of what should not have been: the younger one lets go."""
    older = host(2)
    assert older.receive(1.0, 2, Hosting(NAME, 9)) == [Say(2, Hosting(NAME, 1))]
    machine = Singleton(NAME, 2)
    machine.appear(0.0, None)
    machine.set_members(0.0, members(2))
    machine.started(0.0)
    machine.set_members(0.5, members(1, 2))
    assert machine.receive(1.0, 1, Hosting(NAME, 1)) == [Route(0), Say(1, Hold(NAME, 1))]


def test_one_that_was_granted_is_asked() -> None:
    """S8: an older node that has it later asks whom it made room for."""
    machine = Singleton(NAME, 1)
    machine.set_members(0.0, members(1, 2))
    assert machine.receive(0.0, 2, Claim(NAME, 1)) == [HandOn(2), Say(2, Done(NAME, 1))]
    assert machine.appear(1.0, None) == [Say(2, Claim(NAME, 1))]
    assert machine.receive(1.0, 2, Claim(NAME, 2)) == [], "the older one is first"
    assert machine.receive(2.0, 2, Done(NAME, 1)) == [Start()]
    assert machine.receive(2.0, 2, Claim(NAME, 3)) == []


def test_a_start_is_given_up() -> None:
    """S8: when an older one claims it, or the node goes, before the actor runs."""
    machine = younger()
    assert machine.receive(1.0, 1, Done(NAME, 1)) == [Start()]
    assert machine.receive(1.0, 1, Claim(NAME, 1)) == [Stop()]
    assert machine.started(1.5) == []
    assert machine.stopped(2.0) == [HandOn(1), Say(1, Done(NAME, 1))]
    machine = younger()
    assert machine.receive(1.0, 1, Claim(NAME, 1)) == [HandOn(1), Say(1, Done(NAME, 1))]
    assert machine.phase is Phase.IDLE


def test_a_host_that_is_no_member_any_more() -> None:
    """C6: it stops in a hurry, whatever it is at."""
    machine = host(2)
    assert machine.set_members(1.0, ()) == [Route(0), Stop(hurry=True)]
    assert machine.stopped(2.0) == []
    machine = host(2)
    machine.retire(1.0)
    assert machine.set_members(1.5, ())[0] == Stop(hurry=True)


def test_a_flush_that_is_late() -> None:
    """It is one of another time."""
    machine = host(2)
    assert machine.receive(1.0, 2, Flushed(NAME, 1)) == []
    machine.retire(1.0)
    machine.receive(1.0, 2, Flushed(NAME, 1))
    assert machine.phase is Phase.STOPPING
    assert machine.receive(1.5, 2, Claim(NAME, 1)) == []
    assert machine.tick(9.0) == []


def test_a_claimer_that_does_not_want_it_any_more() -> None:
    machine = younger()
    machine.retire(1.0)
    assert machine.phase is Phase.IDLE
    assert machine.stopped(1.0) == []


WORDS = [Claim(NAME, 1), Done(NAME, 2), Hosting(NAME, 3), Hold(NAME, 4), Flushed(NAME, 5), Who(NAME), Who(NAME, sure=True)]
NO_WORDS = [b"", b"\xc1", moving.pack(Claim("", 1)), moving.pack(Claim(NAME, -1)), b"\x93\xa1c\xa1\xff\x01"]


@pytest.mark.parametrize("word", WORDS)
def test_words_travel(word: moving.Word) -> None:
    assert moving.unpack(moving.pack(word)) == word


@pytest.mark.parametrize("body", NO_WORDS)
def test_what_is_no_word(body: bytes) -> None:
    """W2: it ends the connection, by name."""
    with pytest.raises(ProtocolError, match="word on singletons"):
        moving.unpack(body)
