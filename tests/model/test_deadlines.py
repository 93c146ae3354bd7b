"""The heap of deadlines: what is due, in order, without the dead, and never much larger than the living."""

import math

from hypothesis import given, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from casty_trio.model.deadlines import DeadlineHeap, Due


class Entry:
    """Something with a deadline."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.closed = False


@given(st.lists(st.integers(0, 5).map(float) | st.just(math.inf)), st.integers(0, 6))
def test_due_is_sorted_and_stable(deadlines: list[float], now: int) -> None:
    """L5: earliest first; equal deadlines in the order they were added."""
    heap: DeadlineHeap[Entry] = DeadlineHeap()
    entries = [Entry(deadline) for deadline in deadlines]
    for entry in entries:
        earlier = heap.earliest
        assert heap.add(entry.deadline, entry) == (entry.deadline < earlier or len(heap) == 1)
    assert heap.due(now) == sorted((entry for entry in entries if entry.deadline <= now), key=lambda entry: entry.deadline)
    assert heap.earliest > now
    assert heap.open == len(heap) == sum(deadline > now for deadline in deadlines)


def test_the_closed_are_left_out_and_let_go() -> None:
    """L5: 10 000 that were closed in time leave no growth; those that live are kept."""
    heap: DeadlineHeap[Entry] = DeadlineHeap()
    living = [Entry(5.0) for _ in range(10)]
    for entry in living:
        heap.add(entry.deadline, entry)
    for number in range(10_000):
        entry = Entry(10.0 + number)
        heap.add(entry.deadline, entry)
        entry.closed = True
        assert len(heap) <= 64 + 2 * 11 + 1
    assert heap.open == 10
    assert heap.due(4.0) == []
    assert heap.due(math.inf) == living
    assert (len(heap), heap.earliest) == (0, math.inf)


class Heap(RuleBasedStateMachine):
    """Against a plain list."""

    def __init__(self) -> None:
        super().__init__()
        self.heap: DeadlineHeap[Entry] = DeadlineHeap()
        self.entries: list[Entry] = []
        self.now = 0.0

    @rule(wait=st.integers(0, 9), many=st.sampled_from([1, 1, 80]))
    def add(self, wait: int, many: int) -> None:
        for _ in range(many):
            entry = Entry(self.now + wait)
            self.entries.append(entry)
            self.heap.add(entry.deadline, entry)

    @precondition(lambda self: self.entries)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        step = data.draw(st.integers(1, len(self.entries)))
        for entry in self.entries[::step]:
            entry.closed = True
        self.entries = [entry for entry in self.entries if not entry.closed]

    @rule(seconds=st.integers(0, 5))
    def pass_time(self, seconds: int) -> None:
        self.now += seconds
        due = sorted((entry for entry in self.entries if entry.deadline <= self.now), key=lambda entry: entry.deadline)
        assert self.heap.due(self.now) == due
        self.entries = [entry for entry in self.entries if entry.deadline > self.now]

    @invariant()
    def keeps_the_living(self) -> None:
        assert self.heap.open == len(self.entries)
        assert self.heap.earliest <= min((entry.deadline for entry in self.entries), default=math.inf)


TestHeap = Heap.TestCase


def test_what_one_closes_that_is_due_does_not_happen() -> None:
    """Two are taken out together, and the first calls the second off."""
    heap: DeadlineHeap[Due] = DeadlineHeap()
    done = list[str]()

    def call_off() -> None:
        second.closed = True
        done.append("first")

    second = Due(2.0, lambda: done.append("second"))
    heap.add(1.0, Due(1.0, call_off))
    heap.add(2.0, second)
    for due in heap.due(2.0):
        due.expire()
    assert done == ["first"]
