"""Bugs that are planted on purpose, each of which the bench has to find: so what it holds nodes against is sharp enough.

    python -m tests.sim.planted                        (runs seeds from 0 on, until each bug is found; about two minutes)
    python -m tests.sim.planted --write docs/reliability.md

A bug is a change of one function, or of a setting, while a run lasts; where the function is gone, planting it fails. For
each one a seed is known that finds it soon: `test_planted` runs those.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar
from unittest.mock import patch

from msgspec.structs import replace

from casty_trio import DetectorSettings, Settings
from casty_trio.model.member import Member
from casty_trio.protocol import members, membership
from casty_trio.protocol.forming import Forming
from casty_trio.protocol.members import Opinion, Seen, View
from casty_trio.testing import Swarm, run_plan
from casty_trio.testing.__main__ import silence
from casty_trio.testing.clustered import clustered
from casty_trio.testing.errors import InvariantError

MOST: Final = 1_000
"""So many seeds are tried for each bug."""

BEGIN: Final = "<!-- planted bugs: written by `nox -s planted` -->"
END: Final = "<!-- end of planted bugs -->"

R = TypeVar("R", Member, Opinion, Seen)


@dataclass(frozen=True)
class Bug:
    """One way to break what members promise each other.

    Attributes:
        name: what it is called.
        what: what is different.
        seed: one that finds it soon.
        invariant: what finds it there.
        plant: a block in which the bug is there.
        settings: further arguments of each node.
    """

    name: str
    what: str
    seed: int
    invariant: str
    plant: Callable[[], AbstractContextManager[object]] = nullcontext
    settings: Mapping[str, Any] = field(default_factory=dict)

    def run(self, seed: int) -> InvariantError | None:
        """Run a seed with the bug; what does not hold then."""
        setup = partial(clustered, **self.settings)
        try:
            with self.plant():
                run_plan(setup, Swarm().plan(seed))
        except InvariantError as error:
            return error
        return None


def _without(view: View, uids: Iterable[int]) -> View:
    """`View.without`, but nobody remembers who was removed."""
    gone = set(uids)

    def kept(rows: tuple[R, ...]) -> tuple[R, ...]:
        return tuple(row for row in rows if row.uid not in gone)

    return replace(view, members=kept(view.members), opinions=kept(view.opinions), seen=kept(view.seen))


PLANTED: Final = (
    Bug(
        "no refutation",
        "a node does not see that it is accused",
        seed=0,
        invariant="C2, C4, C5 members",
        plant=partial(patch.object, membership, "accused", lambda view, uid: None),
    ),
    Bug(
        "last write wins",
        "of two states of a member the one that was heard last counts, so statuses may fall",
        seed=0,
        invariant="C2, C4, C5 members",
        plant=partial(patch.object, members, "_merge_members", lambda one, other: other),
    ),
    Bug(
        "no tombstones",
        "who was removed is not remembered, so it may return",
        seed=0,
        invariant="C2, C4, C5 members",
        plant=partial(patch.object, View, "without", _without),
    ),
    Bug(
        "no guard",
        "a node that was late itself judges others all the same",
        seed=15,
        invariant="I9 accuracy",
        settings={"settings": Settings(detector=DetectorSettings(late_after=math.inf))},
    ),
    Bug(
        "self-declared",
        "a node takes itself for a majority: it founds a cluster as soon as it starts",
        seed=0,
        invariant="C2, C4, C5 members",
        plant=partial(patch.object, Forming, "_is_majority", lambda self, others: True),
    ),
    Bug(
        "no downing",
        "nobody is ever declared down",
        seed=2,
        invariant="C6 one side",
        settings={"downing": None},
    ),
)


class Found(NamedTuple):
    """What a search came to."""

    bug: Bug
    seed: int
    error: InvariantError


def search(bug: Bug, seeds: Iterable[int]) -> Found | None:
    """The first of these seeds that finds a bug."""
    for seed in seeds:
        error = bug.run(seed)
        if error is not None:
            return Found(bug, seed, error)
    return None


def table(found: Iterable[Found]) -> Iterator[str]:
    """The lines of a Markdown table."""
    yield "| Planted | What is different | Found by seed | Because of | At |"
    yield "| --- | --- | --- | --- | --- |"
    for bug, seed, error in found:
        yield f"| {bug.name} | {bug.what} | {seed} | {error.invariant} | {error.at:.1f} s |"


def write(page: Path, lines: Iterable[str]) -> None:
    """Put lines between the marks on a page, in the place of what is there."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no place for the table: {BEGIN} ... {END}")
    page.write_text("\n\n".join([before + begin, "\n".join(lines), end + after]), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Look for a seed for each bug."""
    options = _parse(arguments)
    with silence():
        return _find(options)


def _find(options: argparse.Namespace) -> int:
    found: list[Found] = []
    for bug in PLANTED:
        first = search(bug, range(options.first, options.first + options.most))
        if first is None:
            print(f"{bug.name}: {options.most} seeds do not find it", flush=True)
        else:
            found.append(first)
            print(f"{bug.name}: seed {first.seed}: {first.error}", flush=True)
    if len(found) < len(PLANTED):
        return 1
    if options.write is not None:
        write(options.write, table(found))
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.sim.planted", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--most", type=int, default=MOST, help="how many seeds are tried for each bug")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="a page that shall have the table, between its marks")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
