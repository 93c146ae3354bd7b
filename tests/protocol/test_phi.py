"""The phi accrual detector: the values of its formula, what it remembers, and that it knows when it will suspect (C5)."""

import math
import random
import statistics

import pytest
from hypothesis import given, strategies as st

from casty_trio.protocol.phi import GUESSED, PhiDetector, phi_of

TIMES = st.floats(0.001, 1_000)
GAPS = st.lists(st.floats(0.0, 3.0), max_size=40)
THRESHOLDS = st.floats(0.1, 300)


def beating(gaps: list[float], threshold: float = 8.0, pause: float = 3.0) -> tuple[PhiDetector, float]:
    """A detector that heard answers so far apart, and when the last one came."""
    detector, now = PhiDetector(1.0, threshold=threshold, pause=pause), 100.0
    detector.heard(now)
    for gap in gaps:
        now += gap
        detector.heard(now)
    return detector, now


@pytest.mark.parametrize(
    ("elapsed", "phi", "within"),
    [(0, 0, 0.01), (500, 0, 0.1), (1000, 0.3, 0.02), (1200, 1.6, 0.1), (1400, 4.7, 0.1), (1600, 10.8, 0.1)],
)
def test_phi_has_the_known_values(elapsed: float, phi: float, within: float) -> None:
    """Those that the formula has elsewhere, for a mean of 1000 and a deviation of 100."""
    assert phi_of(elapsed, 1000, 100) == pytest.approx(phi, abs=within)


@given(y=st.floats(-7.5, 7.5))
def test_phi_is_what_the_formula_says(y: float) -> None:
    """As it is written in the papers, wherever that can be computed."""
    e = math.exp(-y * (1.5976 + 0.070566 * y * y))
    tail = e / (1 + e) if y > 0 else 1 - 1 / (1 + e)
    assert phi_of(1000 + 100 * y, 1000, 100) == pytest.approx(-math.log10(tail), rel=1e-6, abs=1e-9)


@given(silence=st.floats(0, 1e200), more=st.floats(0, 1e200), mean=TIMES, deviation=TIMES)
def test_phi_never_falls_in_silence(silence: float, more: float, mean: float, deviation: float) -> None:
    """However long it is: infinity is the most, not an error."""
    assert 0 <= phi_of(silence, mean, deviation) <= phi_of(silence + more, mean, deviation)


@given(gaps=GAPS, threshold=THRESHOLDS, pause=st.floats(0, 100))
def test_the_moment_of_suspicion_is_known_beforehand(gaps: list[float], threshold: float, pause: float) -> None:
    """Phi is the threshold at `suspect_at`, less before, more after; and `is_available` says the same."""
    detector, last = beating(gaps, threshold, pause)
    moment = detector.suspect_at()
    assert detector.phi(moment) == pytest.approx(threshold, rel=1e-6)
    assert moment > last
    early, late = moment - 1e-3, moment + 1e-3
    assert detector.phi(early) < threshold < detector.phi(late)
    assert detector.is_available(early)
    assert not detector.is_available(late)


def test_before_the_first_answer_nobody_is_suspected() -> None:
    """There is no silence before something was expected."""
    detector = PhiDetector(1.0)
    assert detector.phi(1e9) == 0.0
    assert detector.is_available(1e9)
    assert detector.suspect_at() == math.inf


def test_regular_answers_one_missed_and_regular_again() -> None:
    """Available, not available beyond the threshold, and available with the next answer."""
    detector, last = beating([1.0] * 10)
    assert detector.is_available(last + 1 + 3)
    assert not detector.is_available(last + 1 + 3 + 0.53)
    detector.heard(last + 60)
    assert detector.is_available(last + 61)
    assert detector.suspect_at() == pytest.approx(last + 60 + 4.522, abs=0.001)


@pytest.mark.parametrize("silence", [2.0, 4.0, 60.0])
def test_a_long_silence_is_not_remembered(silence: float) -> None:
    """Neither one that ended an unavailable phase, nor one that only the pause made acceptable."""
    detector, last = beating([1.0] * 10)
    detector.heard(last + silence)
    assert (detector.mean, detector.spread) == (1.0, 0.1)


def test_an_excuse_starts_the_silence_anew() -> None:
    """C5: and what it interrupted is not remembered, though it was short."""
    detector, last = beating([1.0] * 10)
    detector.excuse(last + 0.4)
    assert detector.suspect_at() == pytest.approx(last + 0.4 + 4.522, abs=0.001)
    detector.heard(last + 0.5)
    assert detector.mean == 1.0
    detector.heard(last + 1.4)
    assert detector.mean < 1.0


def test_the_first_answer_after_an_excuse_alone_is_no_interval() -> None:
    """Whoever begins to listen excuses once: the time to the first answer is not one between two."""
    detector = PhiDetector(1.0)
    detector.excuse(10.0)
    assert detector.suspect_at() == pytest.approx(14.522, abs=0.001)
    detector.heard(10.2)
    assert detector.mean == 1.0


def test_more_pause_is_more_patience() -> None:
    """The pause may change while the peer is judged."""
    detector, _ = beating([1.0])
    before = detector.suspect_at()
    detector.pause = 6.0
    assert detector.suspect_at() == pytest.approx(before + 3.0)


def test_few_uneven_answers_do_not_make_it_slow() -> None:
    """The guess weighs enough that the first answers, however they come, move the suspicion by little."""
    detector, last = beating([1.4, 0.6])
    assert detector.suspect_at() - last < 5.1


@pytest.mark.parametrize("size", [1, 3, GUESSED, 50])
def test_mean_and_deviation_are_those_of_the_window(size: int) -> None:
    """Also after 10 000 answers: what the sums hold is exact, so nothing drifts."""
    rng = random.Random(size)
    gaps = [rng.choice([0.9, 1.1, 1.2]) + rng.random() / 10 for _ in range(10_000)]
    detector, now = PhiDetector(1.0, threshold=1000, deviation=0.05, samples=size), 0.0
    detector.heard(now)
    for gap in gaps:
        now += gap
        detector.heard(now)
    window = gaps[-size:]
    assert detector.mean == pytest.approx(statistics.fmean(window), rel=1e-6)
    assert detector.spread == pytest.approx(max(0.05, statistics.pstdev(window)), rel=1e-6)


@given(gaps=st.lists(st.floats(0.9, 1.1), min_size=1, max_size=300), size=st.integers(1, 200))
def test_the_window_is_bounded(gaps: list[float], size: int) -> None:
    """Only the newest count, and never more than were asked for."""
    detector = PhiDetector(1.0, samples=size)
    detector.heard(0.0)
    now, kept = 0.0, [1.0] * GUESSED
    for gap in gaps:
        detector.heard(now + gap)
        kept.append((now + gap) - now)
        now += gap
    assert detector.mean == pytest.approx(statistics.fmean(kept[-size:]), rel=1e-8)
    assert detector.spread == pytest.approx(max(0.1, statistics.pstdev(kept[-size:])), rel=1e-6)
