"""Clusters of membership machines: how they form, grow, shrink and agree. No Trio, no sockets: messages and a clock."""

from __future__ import annotations

import math
from typing import Literal

import pytest
from hypothesis import given, settings, strategies as st
from msgspec.structs import replace

from casty_trio.model.cluster_settings import ClusterSettings
from casty_trio.model.member import Member, MemberStatus
from casty_trio.protocol import gossip, membership as module
from casty_trio.protocol.effects import Effect, Ended, Refused, Send, Sender
from casty_trio.protocol.members import View
from casty_trio.protocol.membership import Membership
from tests.protocol.machines import Machines, Node, address

SEED = st.integers(0, 2**32 - 1)
SEED_LISTS = st.sampled_from(["one", "two", "mesh", "half"])


def cluster(seed: int, size: int, **keywords: float) -> Machines:
    """A cluster that has formed."""
    net = Machines(seed, **keywords)  # type: ignore[arg-type] # delay and loss have two types
    for number in range(1, size + 1):
        net.start(number, [1] if number > 1 else [])
    assert net.run(30, lambda: net.agreed(*range(1, size + 1)))
    return net


def test_a_node_without_seeds_founds_a_cluster_at_once() -> None:
    net = Machines(1)
    node = net.start(1)
    assert net.run(0.0, lambda: net.agreed(1))
    assert node.view is not None
    assert node.view.members[0].up_number == 1


@settings(max_examples=60, deadline=None)
@given(
    SEED,
    st.integers(2, 6),
    st.sampled_from(["one", "two", "mesh", "half"]),
    st.sampled_from([0.0, 0.05, 0.37, 3.0]),
    st.data(),
)
def test_c2_nodes_with_the_same_seeds_form_one_cluster(
    seed: int, size: int, kind: str, stagger: float, data: st.DataObject
) -> None:
    net = Machines(seed, delay=(0.001, 0.05))
    everybody = range(1, size + 1)
    seeds = {"one": [1], "two": [1, 2], "mesh": [*everybody], "half": [*everybody][: size // 2 + 1]}[kind]
    order = data.draw(st.permutations(list(everybody)))
    clusters: set[int] = set()

    def watch(node: Node, _: Effect) -> None:
        if node.view is not None:
            clusters.add(node.view.cluster)

    net.watch = watch
    for place, number in enumerate(order):
        net.start_at(place * stagger, number, seeds)
    assert net.run(stagger * size + 20, lambda: net.agreed(*everybody))
    assert len(clusters) == 1, "nobody was ever in another cluster"
    assert len(net.leaders()) == 1


@pytest.mark.long
@pytest.mark.parametrize("stagger", [0.05, 1.0])
@pytest.mark.parametrize("kind", [5, 3])
def test_c2_claims_that_cross_hold_nobody_up_for_longer_than_a_grant_lasts(kind: int, stagger: float) -> None:
    """Who answers only after a claim has begun is asked as well, and has the vote that is missing."""
    took: list[float] = []
    for seed in range(100):
        net = Machines(seed)
        for number in (2, 4, 1, 5, 3):
            net.start_at(net.rng.uniform(0, stagger), number, range(1, kind + 1))
        assert net.run(stagger + 3, lambda net=net: net.agreed(1, 2, 3, 4, 5))  # type: ignore[misc] # all of them
        took.append(net.now)
    assert sorted(took)[90] < stagger + 0.5, "nearly always there is nothing to wait for"


@pytest.mark.parametrize("seed", range(20))
def test_c2_when_messages_are_lost_the_nodes_end_in_one_cluster(seed: int) -> None:
    net = Machines(seed, delay=(0.001, 0.2), loss=0.3)
    for number in (3, 1, 4, 2, 5):
        net.start_at(0.1 * number, number, [1, 2, 3])
    assert net.run(120, lambda: net.agreed(1, 2, 3, 4, 5))


def test_silence_is_no_answer() -> None:
    """C2: a node that reaches no majority of its seeds founds nothing."""
    net = Machines(1)
    node = net.start(1, [1, 2, 3])
    net.run(60)
    assert node.view is None


def test_a_contact_that_is_in_no_cluster_has_no_say() -> None:
    """C2: only seeds are counted when a cluster is to be founded."""
    net = Machines(1)
    nodes = [net.start(1, [8, 9], contacts=[2]), net.start(2, [8, 9], contacts=[1])]
    net.run(60)
    assert [node.view for node in nodes] == [None, None]


def test_a_lower_address_that_reaches_no_majority_holds_nobody_up() -> None:
    net = Machines(2)
    net.cut([1], [3, 4, 5])
    for number in range(1, 6):
        net.start(number, [1, 2, 3, 4, 5])
    assert net.run(20, lambda: net.agreed(1, 2, 3, 4, 5)), "it joins through the node that it reaches"


@pytest.mark.parametrize("seed", range(5))
def test_c1_an_idle_cluster_makes_no_new_versions(seed: int) -> None:
    net = cluster(seed, 5)
    net.run(10)
    versions = [node.membership.version for node in net.nodes.values()]
    net.run(3600)
    assert [node.membership.version for node in net.nodes.values()] == versions


def test_up_numbers_tell_the_order_and_are_given_once() -> None:
    net = cluster(3, 5)
    view = net.nodes[address(1)].view
    assert view is not None
    assert sorted(member.up_number for member in view.members) == [1, 2, 3, 4, 5]
    assert min(view.members, key=lambda member: member.age).address == address(1)


def test_c8_a_leaving_node_is_seen_to_leave_and_is_never_down() -> None:
    net = cluster(4, 4)
    seen: list[MemberStatus] = []
    leaver = net.nodes[address(2)]

    def watch(node: Node, _: Effect) -> None:
        member = node.view.member(leaver.uid) if node.view is not None and node.address == address(4) else None
        if member is not None and member.status not in seen:
            seen.append(member.status)

    net.watch = watch
    net.feed(2, lambda membership, now: membership.leave(now))
    assert net.run(5, lambda: leaver.ended is not None)
    assert leaver.ended is not None
    assert leaver.ended.left
    net.crash(2)
    assert net.run(5, lambda: net.agreed(1, 3, 4))
    assert seen == [MemberStatus.LEAVING, MemberStatus.EXITING]


def test_the_last_node_leaves_at_once() -> None:
    net = cluster(5, 1)
    net.feed(1, lambda membership, now: membership.leave(now))
    ended = net.nodes[address(1)].ended
    assert ended is not None
    assert ended.left


def test_all_leave_together() -> None:
    net = cluster(6, 3)
    nodes = list(net.nodes.values())
    for number in (1, 2, 3):
        net.feed(number, lambda membership, now: membership.leave(now))
    assert net.run(5, lambda: all(node.ended is not None for node in nodes))
    assert all(node.ended is not None and node.ended.left for node in nodes)


def test_a_node_that_leaves_before_it_is_in_a_cluster_is_done() -> None:
    net = Machines(7)
    net.start(2, [1])
    net.feed(2, lambda membership, now: membership.leave(now))
    assert net.nodes[address(2)].ended == Ended(True, "it had not joined")


def test_a_wrong_accusation_is_refuted() -> None:
    """C5: who is said to be unreachable, and hears of it, is not for long."""
    net = cluster(8, 3)
    accused = net.nodes[address(3)].uid
    net.feed(2, lambda membership, now: membership.accuse(now, accused))
    assert not net.agreed(1, 2, 3)
    assert net.run(5, lambda: net.agreed(1, 2, 3))
    view = net.nodes[address(1)].view
    assert view is not None
    member = view.member(accused)
    assert member is not None
    assert member.counter == 1


def test_nobody_moves_while_somebody_is_unreachable_and_who_is_down_is_removed_after_the_margin() -> None:
    net = cluster(9, 3)
    gone = net.nodes[address(3)].uid
    net.crash(3)
    net.feed(1, lambda membership, now: membership.accuse(now, gone))
    net.start(4, [1])
    net.run(6)
    assert net.nodes[address(4)].status() == MemberStatus.JOINING
    assert net.run(3, lambda: net.nodes[address(4)].status() == MemberStatus.WEAKLY_UP)
    net.feed(1, lambda membership, now: membership.down(now, [gone], "it is silent"))
    net.run(2.5)
    view = net.nodes[address(2)].view
    assert view is not None
    member = view.member(gone)
    assert member is not None
    assert member.status == MemberStatus.DOWN
    assert net.nodes[address(4)].status() == MemberStatus.UP
    assert net.run(3, lambda: net.agreed(1, 2, 4))


def test_c4_a_removed_node_that_wakes_hears_of_it_and_ends() -> None:
    net = cluster(10, 3)
    sleeper = net.nodes[address(3)]
    net.cut([3], [1, 2])
    net.feed(1, lambda membership, now: membership.accuse(now, sleeper.uid))
    net.feed(1, lambda membership, now: membership.down(now, [sleeper.uid], "it is silent"))
    assert net.run(10, lambda: net.agreed(1, 2))
    net.heal()
    assert net.run(5, lambda: sleeper.ended is not None)
    assert sleeper.ended is not None
    assert not sleeper.ended.left


@pytest.mark.parametrize("seed", range(5))
def test_c4_a_node_that_is_started_again_on_its_address_is_another_member(seed: int) -> None:
    net = cluster(20 + seed, 3)
    old = net.nodes[address(2)].uid
    net.crash(2)
    net.start(2, [1])
    assert net.run(5, lambda: net.agreed(1, 2, 3)), "the old one is replaced at once: its process is over"
    view = net.nodes[address(1)].view
    assert view is not None
    assert view.was_removed(old)
    assert net.nodes[address(2)].uid != old


def test_a_first_node_that_is_started_again_finds_the_cluster_it_was_in() -> None:
    """C2: it founds one of its own, for it has no seeds; still alone when it meets the other, it joins that."""
    net = cluster(30, 3)
    old = net.nodes[address(1)].uid
    net.crash(1)
    net.start(1, [])
    net.feed(2, lambda membership, now: membership.accuse(now, old))
    assert net.run(20, lambda: net.agreed(1, 2, 3))


def test_a_founder_that_hosts_what_others_host_too_makes_room() -> None:
    """S1: it does not join with what it runs, still alone as it is, but ends, and comes back as another start."""
    net = cluster(30, 3)
    old = net.nodes[address(1)].uid
    net.crash(1)
    net.start(1, [])
    founder = net.nodes[address(1)]
    founder.membership.hosting = True
    net.feed(2, lambda membership, now: membership.accuse(now, old))
    assert net.run(20, lambda: founder.ended is not None)
    assert founder.ended is not None
    assert founder.ended.moves


@pytest.mark.parametrize("seed", range(5))
def test_two_clusters_that_meet_become_one(seed: int) -> None:
    net = Machines(seed)
    for number, seeds in ((1, []), (2, [1]), (3, [1]), (4, []), (5, [4])):
        net.start(number, seeds)
    assert net.run(20, lambda: net.agreed(1, 2, 3) and net.agreed(4, 5))
    small = [net.nodes[address(number)] for number in (4, 5)]
    net.feed(1, lambda membership, now: membership.set_seeds([address(4)]) or [])  # type: ignore[func-returns-value]
    assert net.run(20, lambda: all(node.ended is not None for node in small))
    for node in small:
        assert node.ended is not None
        assert not node.ended.left
        net.crash(node.address[1] - 1_000)
        net.start(node.address[1] - 1_000, [], contacts=[1])
        net.nodes[node.address].membership.set_seeds([address(1)])
    assert net.run(20, lambda: net.agreed(1, 2, 3, 4, 5))


def test_a_node_id_belongs_to_one_address() -> None:
    net = cluster(40, 2)
    net.start(3, [1], node_id="node-2")
    net.run(5)
    assert net.nodes[address(3)].view is None
    net.feed(2, lambda membership, now: membership.leave(now))
    assert net.run(20, lambda: net.nodes[address(3)].status() == MemberStatus.UP)


@pytest.mark.long
def test_fifty_nodes_agree() -> None:
    net = Machines(50, delay=(0.001, 0.01))
    for number in range(1, 51):
        net.start(number, [1, 2, 3], settings=ClusterSettings())
    assert net.run(60, lambda: net.agreed(*range(1, 51)))


def lines(net: Machines, kind: type) -> list[float]:
    """When messages of a kind were sent from now on."""
    moments: list[float] = []

    def watch(_: Node, effect: Effect) -> None:
        if isinstance(effect, Send) and isinstance(effect.message, kind):
            moments.append(net.now)

    net.watch = watch
    return moments


def test_gossip_interval_and_gossip_interval_changing() -> None:
    """L14: gossip is quick for ``changing_for`` seconds after a change, and slow then."""
    net = Machines(60)
    patience = ClusterSettings(gossip_interval=2.0, gossip_interval_changing=0.5, changing_for=3.0)
    net.start(1, settings=patience)
    net.start(2, [1], settings=patience)
    assert net.run(10, lambda: net.agreed(1, 2))
    net.run(20)
    sent = lines(net, gossip.Status)
    net.run(20)
    assert len(sent) in range(18, 23), "two nodes, each every two seconds"
    sent.clear()
    uid = net.nodes[address(2)].uid
    net.feed(1, lambda membership, now: membership.accuse(now, uid))
    net.run(3)
    assert len(sent) > 8, "each every half second"


def test_exit_after() -> None:
    """L14: the leader waits so long for a leaver that does not answer, and no longer."""
    net = Machines(61)
    for number in (1, 2, 3):
        net.start(number, [1] if number > 1 else [], settings=ClusterSettings(exit_after=8.0))
    assert net.run(10, lambda: net.agreed(1, 2, 3))
    net.feed(3, lambda membership, now: membership.leave(now))
    exiting = net.nodes[address(3)]
    assert net.run(5, lambda: _status(net, 1, exiting.uid) == MemberStatus.EXITING)
    net.crash(3)
    net.run(7)
    assert _status(net, 1, exiting.uid) == MemberStatus.EXITING
    assert net.run(3, lambda: net.agreed(1, 2))


Span = float | Literal["auto"]
MARGINS: list[tuple[Span, Span, float]] = [("auto", 2.0, 2.0), (6.0, 2.0, 6.0), (0.0, "auto", 0.0), ("auto", "auto", 3.0)]


@pytest.mark.parametrize(("margin", "stable", "seconds"), MARGINS)
def test_removal_margin_and_stable_after(margin: Span, stable: Span, seconds: float) -> None:
    """L14: who is down is removed after the margin, which is as long as ``stable_after`` when it is not given."""
    net = Machines(62)
    for number in (1, 2, 3):
        patience = ClusterSettings(removal_margin=margin, stable_after=stable)
        net.start(number, [1] if number > 1 else [], settings=patience)
    assert net.run(10, lambda: net.agreed(1, 2, 3))
    gone = net.nodes[address(3)].uid
    net.crash(3)
    begun = net.now
    net.feed(1, lambda membership, now: membership.down(now, [gone], "it is silent"))
    assert net.run(10, lambda: net.agreed(1, 2))
    assert seconds <= net.now - begun < seconds + 1.5


def test_contact_interval() -> None:
    """L14: seeds that are no members are asked so often."""
    net = Machines(63)
    net.start(1, settings=ClusterSettings(contact_interval=5.0))
    assert net.run(0.0, lambda: net.agreed(1))
    net.feed(1, lambda membership, now: membership.set_seeds([address(9)]) or [])  # type: ignore[func-returns-value]
    sent = lines(net, gossip.Survey)
    net.run(60)
    assert len(sent) == 12


def test_no_weakly_up_without_end() -> None:
    """L14: ``weakly_up_after`` may be infinite."""
    net = Machines(64)
    for number in (1, 2):
        net.start(number, [1] if number > 1 else [], settings=ClusterSettings(weakly_up_after=math.inf))
    assert net.run(10, lambda: net.agreed(1, 2))
    gone = net.nodes[address(2)].uid
    net.crash(2)
    net.feed(1, lambda membership, now: membership.accuse(now, gone))
    net.start(3, [1])
    net.run(60)
    assert net.nodes[address(3)].status() == MemberStatus.JOINING


def _status(net: Machines, number: int, uid: int) -> MemberStatus | None:
    view = net.nodes[address(number)].view
    member = view.member(uid) if view is not None else None
    return member.status if member is not None else None


# --- What is said at the wrong time, or by the wrong one ------------------------------------------------------------------

STRANGER = Sender(77, ("10.0.0.9", 9))


def test_nobody_is_judged_before_there_is_a_cluster_or_after_the_end() -> None:
    net = Machines(70)
    machine = net.start(1, [2, 3]).membership
    ended = cluster(71, 1).nodes[address(1)].membership
    ended.leave(100.0)
    for each in (machine, ended):
        assert each.accuse(200.0, 5) == each.absolve(200.0, 5) == each.down(200.0, [5], "why") == []
    assert ended.leave(201.0) == ended.depart() == ended.tick(201.0) == ended.connected(201.0, STRANGER) == []
    assert ended.receive(201.0, STRANGER, gossip.Survey(0, 0)) == []
    assert ended.next_wakeup == math.inf


def test_only_members_that_others_can_miss_are_accused() -> None:
    net = cluster(72, 2)
    machine, other = net.nodes[address(1)].membership, net.nodes[address(2)]
    assert machine.accuse(net.now, machine.me.uid) == machine.accuse(net.now, 12345) == []
    assert machine.absolve(net.now, other.uid) == []
    machine.down(net.now, [other.uid], "it is silent")
    assert machine.accuse(net.now, other.uid) == []


def test_departing_waits_for_nobody() -> None:
    net = cluster(73, 2)
    machine = net.nodes[address(2)].membership
    told = [effect.message for effect in machine.depart() if isinstance(effect, Send)]
    assert machine.ended
    [state] = told
    assert isinstance(state, gossip.State)
    assert [member.status for member in state.view.members if member.uid == machine.me.uid] == [MemberStatus.EXITING]
    assert Machines(74).start(2, [1]).membership.depart() == [Ended(True, "it had not joined")]


def test_a_new_way_to_a_node_is_used_at_once() -> None:
    net = cluster(75, 2)
    machine, waiting = net.nodes[address(1)].membership, Machines(76).start(2, [1]).membership
    assert machine.connected(net.now, STRANGER) == [], "a stranger is nobody's business"
    assert machine.connected(net.now, Sender(net.nodes[address(2)].uid, address(2))) == []
    [greeting] = machine.connected(net.now, Sender(88, address(2)))
    assert isinstance(greeting, Send)
    assert isinstance(greeting.message, gossip.Status)
    assert waiting.connected(0.5, Sender(99, address(1))) == [Send(address(1), 0, gossip.Survey(0, 0))]
    assert waiting.connected(0.5, STRANGER) == []


def test_a_cluster_has_room_for_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEMBERS_MOST", 2)
    net = cluster(77, 2)
    net.start(3, [1])
    refused: list[str] = []

    def watch(_: Node, effect: Effect) -> None:
        if isinstance(effect, Refused):
            refused.append(effect.reason)

    net.watch = watch
    net.run(10)
    assert net.nodes[address(3)].view is None
    assert refused
    assert "takes no more" in refused[0]


def test_only_so_many_former_members_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED_MOST", 3)
    net = cluster(78, 1)
    machine = net.nodes[address(1)].membership
    for number in range(2, 9):
        member = Member(number, *address(number), f"node-{number}")
        machine.receive(net.now, Sender(number, member.address), gossip.Join(member))
        machine.receive(net.now, Sender(number, member.address), gossip.Foreign(*address(number + 100)))
    assert [place for place in machine.addresses if place[1] > 1_050] == [address(107), address(108)]


def test_a_node_joins_for_itself_only() -> None:
    machine = cluster(79, 1).nodes[address(1)].membership
    [answer] = machine.receive(50.0, STRANGER, gossip.Join(Member(5, *address(5), "node-5")))
    assert isinstance(answer, Send)
    assert isinstance(answer.message, gossip.JoinRefused)


def test_words_of_another_cluster_are_answered_with_a_question() -> None:
    machine = cluster(80, 1).nodes[address(1)].membership
    assert machine.view is not None
    for word in (gossip.Status(3, 1), gossip.State(View(3))):
        [answer] = machine.receive(50.0, STRANGER, word)
        assert isinstance(answer, Send)
        assert answer.message == gossip.Survey(machine.view.cluster, 1)


def test_words_for_members_mean_nothing_to_a_node_without_a_cluster() -> None:
    machine = Machines(81).start(1, [2, 3]).membership
    member = Member(5, *address(5), "node-5")
    for word in (gossip.Status(3, 1), gossip.State(View(3)), gossip.Join(member), gossip.Foreign("h", 1)):
        assert machine.receive(1.0, STRANGER, word) == []


def test_a_late_answer_to_a_claim_means_nothing_in_a_cluster() -> None:
    machine = cluster(82, 1).nodes[address(1)].membership
    assert machine.view is not None
    assert machine.receive(50.0, STRANGER, gossip.ClaimAnswer(1, granted=True)) == []
    assert machine.receive(50.0, STRANGER, gossip.JoinRefused("no")) == []
    [answer] = machine.receive(50.0, STRANGER, gossip.Claim(1))
    assert isinstance(answer, Send)
    assert answer.message == gossip.SurveyAnswer(machine.view.cluster, 1)


def test_who_was_removed_meanwhile_is_not_let_in_but_told() -> None:
    net = cluster(83, 2)
    machine, gone = net.nodes[address(1)].membership, net.nodes[address(2)]
    machine.down(net.now, [gone.uid], "it is silent")
    assert machine.view is not None
    machine.view = machine.view.without([gone.uid])
    waiting = Membership(gone.membership.me, [address(1)], [], ClusterSettings(), net.rng, net.now)
    [answer] = machine.receive(net.now, Sender(gone.uid, gone.address), gossip.Join(waiting.me))
    assert isinstance(answer, Send)
    [end] = waiting.receive(net.now, Sender(machine.me.uid, machine.me.address), answer.message)
    assert isinstance(end, Ended)
    assert not end.left


@pytest.mark.parametrize("mine_is_larger", [True, False])
def test_c6_of_two_parts_that_have_removed_each_other_one_goes(mine_is_larger: bool) -> None:
    """It cannot come to that with a majority; with a strategy of one's own, or by hand, it can."""
    net = cluster(84, 3)
    one, two, three = (net.nodes[address(number)] for number in (1, 2, 3))
    machine = one.membership
    assert machine.view is not None
    view = machine.view
    mine = view.without([two.uid] if mine_is_larger else [two.uid, three.uid])
    theirs = view.without([one.uid, three.uid] if mine_is_larger else [one.uid])
    machine.view = mine
    effects = machine.receive(net.now, Sender(two.uid, two.address), gossip.State(theirs))
    assert any(isinstance(effect, Ended) for effect in effects) is not mine_is_larger
    assert any(isinstance(effect, Send) for effect in effects) is mine_is_larger


def test_who_leaves_a_cluster_that_makes_room_for_another_has_left() -> None:
    """What it has asked for has come about: it is not to raise, or to join again."""
    machine = cluster(85, 3).nodes[address(3)].membership
    assert machine.view is not None
    machine.leave(50.0)
    view = replace(machine.view, gives_way=77)
    effects = machine.receive(50.0, Sender(1, address(1)), gossip.State(view))
    assert [effect.left for effect in effects if isinstance(effect, Ended)] == [True]


def test_c2_who_does_not_know_yet_whom_to_ask_founds_nothing() -> None:
    me = Member(1, *address(1), "node-1")
    machine = Membership(me, None, [], ClusterSettings(), Machines(86).rng, 0.0)
    assert machine.tick(0.0) == machine.tick(100.0) == []
    machine.set_seeds([address(1)])
    machine.tick(101.0)
    assert machine.view is not None
    assert machine.view.members[0].status == MemberStatus.UP


def test_who_has_left_is_not_looked_for() -> None:
    net = cluster(85, 3)
    net.feed(3, lambda membership, now: membership.leave(now))
    assert net.run(5, lambda: net.nodes[address(3)].ended is not None)
    net.crash(3)
    assert net.run(10, lambda: net.agreed(1, 2))
    assert net.nodes[address(1)].membership.addresses == (address(2),)
