"""S6: whose calls of a store are due, when some of them fail."""

from __future__ import annotations

import math

from hypothesis import given, strategies as st

from casty_trio.protocol.turns import Turns


def turns(most: int = 1, beside: int = 1, slow: float = math.inf) -> Turns:
    return Turns(most, beside, slow, float)


def test_in_order_and_no_more_than_allowed() -> None:
    """Each shard has one call at a time; what comes meanwhile is due after it."""
    calls = turns(most=2)
    for shard in (3, 1, 2, 3):
        calls.add(shard)
    assert calls.take(0.0) == [3, 1]
    assert calls.take(0.0) == []
    calls.add(3)
    calls.done(1)
    assert calls.take(0.0) == [2]
    calls.done(2)
    assert calls.take(0.0) == []
    calls.done(3)
    assert calls.take(0.0) == [3]


def test_who_fails_waits_and_goes_beside() -> None:
    """Longer each time; the others go on at once, and it is as they when it works."""
    calls = turns()
    calls.add(1)
    calls.add(2)
    assert calls.take(0.0) == [1]
    calls.failed(1, 0.0)
    calls.add(1)  # more for it changes nothing
    assert calls.take(0.0) == [2]
    assert calls.next_wakeup == 1.0
    assert calls.take(1.0) == [1]  # while 2 is called
    assert calls.next_wakeup == math.inf
    calls.add(1)
    calls.failed(1, 1.0)
    assert calls.take(2.9) == []
    assert calls.take(3.0) == [1]
    calls.add(1)
    calls.done(1)
    assert calls.take(3.0) == []
    calls.done(2)
    assert calls.take(3.0) == [1]
    calls.done(1)
    assert calls.take(9.0) == []


def test_those_that_failed_wait_for_each_other() -> None:
    """So many are called beside the others."""
    calls = turns(most=3)
    for shard in (1, 2, 3):
        calls.add(shard)
    for shard in calls.take(0.0):
        calls.failed(shard, 0.0)
    assert calls.take(1.0) == [1]
    calls.failed(1, 1.0)
    assert calls.take(1.0) == [2]


def test_a_shard_that_goes_takes_nothing_along() -> None:
    """It has not failed, and is not due; the call that is on its way ends before the next."""
    calls = turns()
    calls.add(1)
    calls.take(0.0)
    calls.failed(1, 0.0)
    calls.drop(1)
    assert calls.take(9.0) == []
    calls.add(1)
    assert calls.take(9.0) == [1]
    calls.drop(1)
    calls.add(1)
    calls.add(2)
    assert calls.take(9.0) == []
    calls.done(1)
    assert calls.take(9.0) == [1]


def test_a_call_that_takes_long_is_not_waited_for() -> None:
    """It goes on beside the others, as long as there is room; then they wait."""
    calls = turns(slow=2.0)
    for shard in (1, 2, 3):
        calls.add(shard)
    assert calls.take(0.0) == [1]
    assert calls.next_wakeup == 2.0
    assert calls.take(1.9) == []
    assert calls.take(2.0) == [2]
    assert calls.next_wakeup == math.inf  # 2 cannot be put aside before 1 has ended
    assert calls.take(4.0) == []
    calls.done(1)
    assert calls.next_wakeup == 4.0
    assert calls.take(4.0) == [3]
    assert calls.next_wakeup == math.inf  # nobody waits
    calls.failed(2, 4.0)
    calls.done(3)
    assert calls.take(5.0) == [2]


STEPS = st.lists(st.tuples(st.sampled_from(["add", "take", "end"]), st.integers(0, 5)), max_size=60)


@given(STEPS, st.sets(st.integers(0, 5)))
def test_what_works_is_called(steps: list[tuple[str, int]], broken: set[int]) -> None:
    """Law: no shard twice at once, and no shard that works waits for those that do not."""
    calls, running, due, now = turns(2, 1), list[int](), set[int](), 0.0

    def end(shard: int) -> None:
        if shard in broken:
            calls.failed(shard, now)
        else:
            calls.done(shard)

    def take() -> None:
        taken = calls.take(now)
        assert not {*taken} & {*running}
        running.extend(taken)
        due.difference_update(taken)
        assert len(running) <= 3

    for step, shard in steps:
        now += 0.5
        if step == "add":
            calls.add(shard)
            due.add(shard)
        elif step == "take":
            take()
        elif running:
            end(running.pop(shard % len(running)))
    for _ in range(20):  # nothing is waited for but calls
        while running:
            end(running.pop())
        take()
    assert due <= broken
