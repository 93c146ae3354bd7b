"""For how long the oldest message of an actor has been waiting. Floor F2: in bounds, so that sending costs nothing for it.

No message carries the time of its arrival. What is known instead, of messages numbered in the order in which they came:
since when the mailbox has not been empty, which an actor notes at the first turn that leaves mail behind; and, in *marks*,
when some of them arrived: one in a thousand, and the first after an actor got into something that may take long: a
coroutine handler, a back-off, its end. That first one is found without a test of its own, for `tell` looks at the count of
what was sent anyhow: the actor *arms* its ref by making that look come at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

if TYPE_CHECKING:
    from casty_trio.actors.cell import Cell
    from casty_trio.actors.post import Post

__all__ = ["age_of_oldest", "arm", "mark"]

MARKS = 32
"""How many arrivals an actor remembers; of more, every second one is forgotten."""


def arm(post: Post[Any]) -> None:
    """From here on its mail may have to wait: the next message is to be marked."""
    if post.since is None and post.queued > 0:
        post.since = trio.current_time()
        post.seen = post.ref.sent - post.apart
    post.ref.mask = 0


def mark(post: Post[Any]) -> None:
    """A message has been put into the mailbox just now; remember when."""
    number = post.ref.sent - post.apart
    if post.marks is None:
        post.marks = []
    marks = post.marks
    marks.append((number, trio.current_time()))
    oldest = number - post.queued + 1
    while len(marks) > 1 and marks[1][0] <= oldest:
        del marks[0]
    if len(marks) > MARKS:
        del marks[1:-1:2]


def age_of_oldest(cell: Cell[Any], now: float) -> tuple[float, float] | None:
    """The least and the greatest time, in seconds, for which the oldest message may have been waiting; None without any."""
    aside = cell.stashed_since
    least = greatest = 0.0 if aside is None else now - aside
    waiting = cell.queued - cell.stashed
    if waiting <= 0:
        return None if aside is None else (least, greatest)
    oldest = cell.ref.sent - cell.apart - waiting + 1
    marks = cell.marks or ()
    came_before = [when for number, when in marks if number >= oldest]
    came_after = [when for number, when in marks if number <= oldest]
    if cell.since is not None:
        came_after.append(cell.since)
        if oldest <= cell.seen:
            came_before.append(cell.since if cell.busy_since is None else cell.busy_since)
    if cell.has_front:  # what was put aside, and has come back, is not numbered, and is older
        came_before, came_after = [], [min(came_after, default=now)]
    least = max(least, now - min(came_before, default=now))
    greatest = max(greatest, now - max(came_after, default=now))
    return least, max(least, greatest)
