"""How often a shard moves that an allocation strategy moves again and again."""

from __future__ import annotations

from hypothesis import given, strategies as st

from casty_trio.protocol.pacing import FORGIVEN, Pacing


def next_move(pacing: Pacing, since: float) -> float:
    """After how many tenths of a second shard 0 may move."""
    tenths = 0
    while not pacing.lets(since + tenths / 10, 0):
        tenths += 1
    return tenths / 10


def test_it_stays_twice_as_long_each_time() -> None:
    pacing, now, stays = Pacing(1.0, 60.0), 0.0, list[float]()
    for _ in range(9):
        stays.append(next_move(pacing, now))
        now += stays[-1]
        pacing.ended(now, 0, moved=True)
    assert stays == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


def test_what_has_stayed_long_begins_anew() -> None:
    pacing = Pacing(1.0, 60.0)
    for moment in range(5):
        pacing.ended(float(moment), 0, moved=True)
    pacing.ended(4 + FORGIVEN * 60.0, 0, moved=True)
    assert next_move(pacing, 4 + FORGIVEN * 60.0) == 1.0


def test_a_move_that_was_called_off_does_not_count() -> None:
    pacing = Pacing(1.0, 60.0)
    pacing.ended(0.0, 0, moved=False)
    assert pacing.lets(0.0, 0)


def test_other_hosts_other_moves() -> None:
    """After a change of those that may host, every shard may move at once; when they are the same, it is as before."""
    pacing = Pacing(1.0, 60.0)
    pacing.meet({1, 2})
    pacing.ended(0.0, 0, moved=True)
    pacing.meet({1, 2})
    assert not pacing.lets(0.5, 0)
    assert pacing.lets(0.5, 1)
    pacing.meet({1, 2, 3})
    assert pacing.lets(0.5, 0)


@given(st.floats(0.001, 1e6), st.floats(0.0, 1e6), st.integers(0, 3000))
def test_it_has_to_stay_so_long_at_most(least: float, most: float, times: int) -> None:
    pacing = Pacing(least, most)
    for _ in range(times):
        pacing.ended(0.0, 0, moved=True)
    assert pacing.lets(most, 0)
