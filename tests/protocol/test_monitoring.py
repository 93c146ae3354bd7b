"""The watch over other nodes: its traces, whom it watches, what it says of crashed, cut off and healthy ones (C5)."""

import itertools
import math
import random
from pathlib import Path

import pytest
from hypothesis import given, strategies as st
from msgspec.msgpack import Decoder, encode

from casty_trio import SettingsError
from casty_trio.model.detection import DetectorSettings
from casty_trio.protocol.monitoring import (
    MOST_HELP,
    Absolve,
    Accuse,
    Effect,
    Late,
    Message,
    Monitoring,
    Ping,
    Pong,
    Probe,
    ProbeAnswer,
    Send,
    ring_position,
)
from casty_trio.protocol.watching import REMEMBERED
from tests.protocol.detecting import Cluster
from tests.protocol.detector_hours import detection, partition, paused, quiet
from tests.protocol.traces import FOLDER, played

TRACES = sorted(FOLDER.glob("*.txt"))
UIDS = st.lists(st.integers(0, 2**63 - 1), unique=True, max_size=30)


def machine(*uids: int, **settings: float) -> Monitoring:
    """Node 1, which knows these, at time 0."""
    node = Monitoring(1, DetectorSettings(**settings), random.Random(1))  # type: ignore[arg-type]
    assert node.set_members(0.0, uids) == []
    return node


def pinged(effects: list[Effect]) -> dict[int, int]:
    """Whom, with which number."""
    return {each.uid: each.message.seq for each in effects if isinstance(each, Send) and isinstance(each.message, Ping)}


def beat(node: Monitoring, now: float, *answering: int) -> list[Effect]:
    """One beat, and the answers of these nodes right afterwards."""
    effects = node.tick(now)
    for uid, seq in pinged(effects).items():
        if uid in answering:
            effects += node.on_pong(now + 0.01, uid, seq)
    return effects


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_the_machine_does_what_its_traces_say(path: Path) -> None:
    """Each file in ``golden`` tells one story; python -m tests.protocol.traces writes them anew."""
    assert played(path.read_text()) == path.read_text()


def test_there_are_traces() -> None:
    """An empty folder would pass as well."""
    assert len(TRACES) >= 9


@given(uids=UIDS, rng=st.randoms(use_true_random=False), monitored=st.integers(1, 9))
def test_everybody_is_watched_by_the_nodes_before_it_on_the_ring(
    uids: list[int], rng: random.Random, monitored: int
) -> None:
    """All nodes compute the same ring, in whatever order they hear of each other; each watches the next ones."""
    settings, watchers = DetectorSettings(monitored=monitored), dict.fromkeys(uids, 0)
    ring = sorted(uids, key=ring_position)
    for at, uid in enumerate(ring):
        node = Monitoring(uid, settings, random.Random(1))
        node.set_members(0.0, rng.sample(uids, len(uids)))
        assert node.neighbours == tuple((ring[at + 1 :] + ring[:at])[:monitored])
        for other in node.neighbours:
            watchers[other] += 1
    assert set(watchers.values()) <= {min(monitored, len(uids) - 1)}


def test_messages_go_over_the_wire() -> None:
    """Each is a small array with a tag of its own, so one decoder knows them all."""
    decoder = Decoder(Message)
    for message in (Ping(1), Pong(2), Probe(2**63 - 1, 3), ProbeAnswer(4, 5, True)):
        assert decoder.decode(encode(message)) == message
        assert len(encode(message)) <= 13


def test_any_message_finds_its_way() -> None:
    """`on_message` is all that a driver needs."""
    node = machine(2, 3)
    seqs = pinged(node.tick(0.0))
    assert node.on_message(0.1, 2, Pong(seqs[2])) == []
    assert node.on_message(0.1, 2, Ping(9)) == [Send(2, Pong(9))]
    assert pinged(node.on_message(0.1, 2, Probe(3, 1))) == {3: 3}
    assert node.on_message(0.1, 2, ProbeAnswer(3, 1, True)) == []
    counts = node.statistics
    assert (counts.watched, counts.helping, counts.pings, counts.pongs) == (2, 1, 2, 1)


def test_other_frames_are_counted_and_do_not_count() -> None:
    """A one-way cut: whoever hears a peer, but is not heard by it, accuses it all the same."""
    node = machine(2)
    said = list[Effect]()
    for step in range(60):
        said += node.heard(step / 10, 2)
        if node.next_wakeup <= step / 10:
            said += node.tick(step / 10)
    assert Accuse(2) in said
    assert node.statistics.heard == 60


def test_who_helps_is_bounded() -> None:
    """However often others ask: so many at a time, and what is too much is not answered."""
    node = machine(2, 3)
    node.tick(0.0)
    sent = [node.on_probe(0.1, 2, 3, number) for number in range(MOST_HELP + 10)]
    assert sum(map(len, sent)) == node.statistics.helping == MOST_HELP
    nacks = [each for each in node.tick(0.6) if isinstance(each, Send) and isinstance(each.message, ProbeAnswer)]
    assert len(nacks) == MOST_HELP
    assert node.statistics.helping == 0


def test_an_answer_to_an_ancient_ping_says_nothing() -> None:
    """It may have lain somewhere for long; only the last pings can be answered, and each once."""
    node = machine(2)
    seqs = [pinged(node.tick(float(step)))[2] for step in range(REMEMBERED + 2)]
    now = REMEMBERED + 1.5
    assert node.statistics.accused == 1
    assert node.on_pong(now, 2, seqs[1]) == []
    assert node.on_pong(now, 2, seqs[2]) == [Absolve(2)]
    assert node.on_pong(now, 2, seqs[2]) == []
    assert node.statistics.pongs == 1


def test_out_of_touch_is_who_gets_no_fresh_answers_of_half() -> None:
    """C6: what was asked longer ago is old, also when its answer has just come; nor do those count that never answered."""
    node = machine(2, 3, 4)
    seqs = dict[int, dict[int, int]]()
    for step in range(6):
        seqs[step] = pinged(node.tick(float(step)))
        node.on_pong(step + 0.1, 2, seqs[step][2])
        node.on_pong(step + 0.1, 3, seqs[step][3])
    assert not node.out_of_touch(5.9, 5.0), "one of three is silent"
    for step in range(6, 12):
        seqs[step] = pinged(node.tick(float(step)))
        node.on_pong(step + 0.1, 2, seqs[step][2])
    assert not node.out_of_touch(10.0, 5.0)
    assert node.out_of_touch(10.1, 5.0)
    node.on_pong(11.5, 3, seqs[6][3])
    assert node.out_of_touch(11.5, 5.0), "that was asked 5.5 s ago"
    node.on_pong(11.6, 3, seqs[8][3])
    assert not node.out_of_touch(11.6, 5.0)
    assert not machine().out_of_touch(100.0, 5.0), "nobody is watched"


def test_an_accused_node_that_is_removed_is_forgotten() -> None:
    """Nobody pings it any more, and nobody takes back what was said of it."""
    node = machine(2, 3)
    for step in range(7):
        beat(node, float(step), 3)
    node.tick(6.5)
    assert node.statistics.accused == 1
    node.set_members(6.6, [3])
    assert pinged(node.tick(7.0)).keys() == {3}
    assert node.statistics.accused == 0


def test_a_node_that_is_late_says_so_once() -> None:
    """C5: whichever input shows it first; the next one is in time again, and what others asked meanwhile is dropped."""
    for act in (
        lambda node: node.tick(10.0),
        lambda node: node.heard(10.0, 2),
        lambda node: node.on_ping(10.0, 2, 1),
        lambda node: node.on_pong(10.0, 2, 1),
        lambda node: node.on_probe(10.0, 2, 3, 1),
        lambda node: node.on_probe_answer(10.0, 2, 3, 1, False),
        lambda node: node.on_refuted(10.0, 2),
        lambda node: node.set_members(10.0, [2, 3, 4]),
    ):
        node = machine(2, 3)
        beat(node, 0.0, 2, 3)
        effects: list[Effect] = act(node)  # type: ignore[no-untyped-call]
        assert effects[0] == Late(9.0)
        assert not any(isinstance(each, Late) for each in [*node.heard(10.1, 2), *node.tick(10.2)])
        assert (node.statistics.late, node.statistics.latest) == (1, 9.0)


def test_a_node_without_others_may_sleep() -> None:
    """Also when it was late for the last thing that somebody had asked of it."""
    node = machine(2, 3)
    node.tick(0.0)
    node.on_probe(0.1, 2, 3, 1)
    node.set_members(0.2, [])
    assert node.next_wakeup == 0.6
    assert node.tick(5.0) == [Late(4.4)]
    assert node.next_wakeup == math.inf


def test_the_guard_can_be_turned_off() -> None:
    """C5: then the very first tick after a pause asks about others, which is what the guard is there for."""
    node = machine(2, 3, late_after=math.inf)
    beat(node, 0.0, 2, 3)
    assert any(isinstance(each, Send) and isinstance(each.message, Probe) for each in node.tick(10.0))
    assert any(isinstance(each, Accuse) for each in node.tick(11.0))


def test_a_slow_answer_keeps_a_late_node_quiet_for_longer() -> None:
    """C5: it waits an interval and a round trip, also where the detector would be quicker."""
    node = machine(2, pause=0, deviation=0.001)
    (seq,) = pinged(node.tick(0.0)).values()
    node.on_pong(0.9, 2, seq)
    assert node.tick(5.0)[0] == Late(4.0)
    assert node.tick(6.8) != [Late(0.8)]
    silent = machine(2, pause=0, deviation=0.001, late_after=9.0)
    silent.tick(0.0)
    assert Accuse(2) in silent.tick(1.2)


def test_doubt_is_bounded() -> None:
    """Nobody is patient for ever, and nobody less than patient."""
    node = machine(2, health_most=3)
    for _ in range(9):
        assert node.on_refuted_self() == []
    assert node.statistics.health == 2
    for step in range(9):
        beat(node, float(step), 2)
    assert node.statistics.health == 0


def test_patience_that_ends_is_not_lateness() -> None:
    """Nobody answers any more, so doubt does not count: who was silent for long is due now, not some seconds ago."""
    node = machine(2, 3)
    for _ in range(2):
        node.on_refuted_self()
    for step in range(7):
        beat(node, float(step), 3)
    assert node.statistics.health == 2
    assert not any(isinstance(each, Accuse) for each in beat(node, 7.0))
    assert [each for each in beat(node, 8.0) if not isinstance(each, Send)] == [Accuse(2)]


def test_doubt_does_not_count_while_nobody_answers() -> None:
    """C6: who may be cut off learns it as fast as with no doubt at all."""
    node = machine(2, 3)
    beat(node, 0.0, 2, 3)
    for _ in range(7):
        node.on_refuted_self()
    said = [each for step in range(1, 7) for each in [*beat(node, float(step)), *node.tick(step + 0.6)]]
    assert {each.uid for each in said if isinstance(each, Accuse)} == {2, 3}


def test_no_probes_are_none() -> None:
    """With ``probes=0`` silence is enough."""
    node = machine(2, 3, probes=0)
    said = [each for step in range(6) for each in beat(node, float(step), 3)]
    assert Accuse(2) in said
    assert not any(isinstance(each, Send) and isinstance(each.message, Probe) for each in said)


def test_the_numbers_of_a_cluster_add_up() -> None:
    """What one node counts, others did."""
    cluster = Cluster(4, 1)
    cluster.run(60)
    counts = [node.statistics for node in cluster.nodes.values()]
    assert 4 * 3 * 58 <= sum(each.pongs for each in counts) <= sum(each.pings for each in counts) <= 4 * 3 * 61


@pytest.mark.parametrize(
    ("name", "bad"),
    [(name, bad) for name in DetectorSettings.__slots__ for bad in (-1, math.nan, "1", True, None)],
)
def test_settings_are_checked(name: str, bad: object) -> None:
    """L14: by name."""
    with pytest.raises(SettingsError, match=rf"DetectorSettings\.{name} must be"):
        DetectorSettings(**{name: bad})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "bad"),
    [("threshold", 1001), ("threshold", 0), ("pause", math.inf), ("health_most", 0), ("monitored", 0), ("heartbeat", 0)],
)
def test_settings_have_bounds(name: str, bad: float) -> None:
    """L14: what could not work is refused."""
    with pytest.raises(SettingsError, match=rf"DetectorSettings\.{name}"):
        DetectorSettings(**{name: bad})  # type: ignore[arg-type]


def test_nobody_is_accused_in_an_hour_without_a_fault() -> None:
    """C5: with a delay of up to 200 ms for every frame."""
    result = quiet(1, 5, 1)
    assert (result.accusations, result.late, result.missing) == (0, 0, 0)
    assert result.messages > 100_000


@pytest.mark.long
@pytest.mark.timeout(600)
def test_nobody_is_accused_in_a_hundred_hours_without_a_fault() -> None:
    """C5: as above, but for long; python -m tests.protocol.detector_hours does it with more nodes."""
    result = quiet(100, 2, 2)
    assert (result.accusations, result.late, result.missing) == (0, 0, 0)
    assert result.messages > 1_400_000


@pytest.mark.long
def test_a_crash_is_known_within_six_seconds() -> None:
    """By everybody who watches the node, failed second opinions and all; and nobody else is accused."""
    times = sorted(itertools.chain.from_iterable(map(detection, range(200))))
    print(f"worst of {len(times)}: {times[-1]:.2f} s")
    assert times[-1] <= 6.0


@pytest.mark.long
@pytest.mark.slow
def test_both_sides_of_a_cut_accuse_all_of_the_other() -> None:
    """C6: also those whose neighbours are all on their own side, or one counts too many on one's own; within ten seconds."""
    assert max(itertools.chain.from_iterable(map(partition, range(60)))) <= 10.0


@pytest.mark.long
def test_a_paused_judge_accuses_nobody() -> None:
    """C5: pauses of 0.5 to 30 seconds; clockwork first or frames first when it wakes."""
    made = [paused(seed) for seed in range(200)]
    assert sum(accusations for accusations, _ in made) == 0
    assert sum(late for _, late in made) > 200


@pytest.mark.long
def test_of_crashes_cuts_and_pauses_some_seeds_are_tried_always() -> None:
    """C5: as above, in a second."""
    assert max(itertools.chain.from_iterable(map(detection, range(300, 315)))) <= 6.0
    assert max(itertools.chain.from_iterable(map(partition, range(300, 310)))) <= 10.0
    assert sum(paused(seed)[0] for seed in range(300, 315)) == 0


def test_a_cut_that_heals_leaves_no_accusation() -> None:
    """C3: whoever accused takes it back."""
    for seed in range(20):
        cluster = Cluster(7, seed)
        cluster.run(5)
        cluster.cut |= {pair for one in (1, 2, 3) for other in (4, 5, 6, 7) for pair in ((one, other), (other, one))}
        cluster.run(20)
        cluster.cut.clear()
        cluster.run(30)
        assert [node.statistics.accused for node in cluster.nodes.values()] == [0] * 7
        assert {node.statistics.watched for node in cluster.nodes.values()} == {5}


@pytest.mark.parametrize("seconds", [0.25, 2.0])
def test_probe_timeout(seconds: float) -> None:
    """L14: who was asked to try gives the target so long."""
    helper = Monitoring(1, DetectorSettings(probe_timeout=seconds, heartbeat=60.0), random.Random(1))
    helper.set_members(0.0, [2, 3])
    helper.tick(0.0)
    helper.on_message(0.5, 2, Probe(3, 7))
    assert helper.next_wakeup == 0.5 + seconds
    assert Send(2, ProbeAnswer(3, 7, alive=False)) in helper.tick(0.5 + seconds)


def test_an_old_answer_does_not_age_whom_another_node_has_reached() -> None:
    """C6: what was asked last counts, whoever brought the answer."""
    node = machine(2, 3)
    old = pinged(node.tick(0.0))[2]
    now, probes = 0.0, list[Probe]()
    while not probes:
        now = node.next_wakeup
        effects = node.tick(now)
        for uid, seq in pinged(effects).items():
            if uid == 3:
                node.on_pong(now, 3, seq)
        probes = [each.message for each in effects if isinstance(each, Send) and isinstance(each.message, Probe)]
    node.on_message(now, 3, ProbeAnswer(2, probes[0].number, True))
    assert not node.out_of_touch(now, 2.0)
    node.on_pong(now, 2, old)
    assert not node.out_of_touch(now, 2.0)
