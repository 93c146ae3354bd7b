"""What is wrong between the hosts of a bench, all of it at once. Floor F6.

Each disturbance worsens the conditions of some directions. Several may lie on one, and end in any order: what a direction
is like follows from those that are there now. How long it has been fair is known, to judge what nodes say of each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import permutations
from math import inf

import trio

from casty_trio.testing.network import Network
from casty_trio.testing.pipe import Conditions

__all__ = ["Disturbance", "Undo", "Way", "Weather"]

Way = tuple[str, str]
"""A direction: from the one host to the other."""

Undo = Callable[[], object]
"""Ends what was begun."""


@dataclass(frozen=True, slots=True, eq=False)
class Disturbance:
    """Something that is wrong with some ways.

    Parameters:
        ways: which.
        change: makes their conditions worse.
    """

    ways: frozenset[Way]
    change: Callable[[Conditions], Conditions]


class Weather:
    """The conditions between all hosts of a bench.

    Parameters:
        network: whose conditions they are.
        names: the hosts.
        fair: what they are like when nothing is wrong.
    """

    def __init__(self, network: Network, names: Iterable[str], fair: Conditions) -> None:
        self._network = network
        self._fair = fair
        self._ways = tuple(permutations(names, 2))
        self._now = dict.fromkeys(self._ways, fair)
        self._fair_since = dict.fromkeys(self._ways, 0.0)
        self._shut_since = dict.fromkeys(self._ways, inf)
        self._disturbances: dict[Disturbance, None] = {}
        network.set_conditions(fair)

    def __repr__(self) -> str:
        return f"<Weather with {len(self._disturbances)} disturbances>"

    def disturb(self, ways: Iterable[Way], change: Callable[[Conditions], Conditions]) -> Undo:
        """Begin a disturbance; what is returned ends it."""
        disturbance = Disturbance(frozenset(ways), change)
        self._disturbances[disturbance] = None
        self._apply()
        return lambda: self._end(disturbance)

    def clear(self) -> None:
        """End all of them, and take back the cuts that have not come yet."""
        self._disturbances.clear()
        self._network.mend()
        self._apply()

    def between(self, *sides: Iterable[str]) -> list[Way]:
        """All ways from one side to another."""
        groups = [set(side) for side in sides]
        return [
            (source, target)
            for source, target in self._ways
            if any(source in one and target in other for one, other in permutations(groups, 2))
        ]

    def into(self, name: str) -> list[Way]:
        """All ways to a host."""
        return [way for way in self._ways if way[1] == name]

    def open(self, source: str, target: str) -> bool:
        """Whether anything arrives."""
        return not self._now[source, target].stalled

    def fair_since(self, source: str, target: str) -> float:
        """Since when nothing is wrong with a way; infinity while something is."""
        return self._fair_since[source, target]

    def shut_since(self, source: str, target: str) -> float:
        """Since when nothing arrives on a way; infinity while something does."""
        return self._shut_since[source, target]

    def apart(self, *sides: Iterable[str]) -> float:
        """For how many seconds nothing has come from any of these sides to another; less than 0 while something does."""
        return trio.current_time() - max((self._shut_since[way] for way in self.between(*sides)), default=inf)

    def sides(self) -> list[list[str]]:
        """The hosts, in groups between which nothing arrives in either direction."""
        groups: list[list[str]] = []
        for name in dict.fromkeys(source for source, _ in self._ways):
            near = [group for group in groups if any(self.open(name, each) or self.open(each, name) for each in group)]
            groups = [group for group in groups if group not in near]
            groups.append([each for group in near for each in group] + [name])
        return groups

    def _end(self, disturbance: Disturbance) -> None:
        if self._disturbances.pop(disturbance, disturbance) is None:
            self._apply()

    def _apply(self) -> None:
        for way in self._ways:
            conditions = self._fair
            for disturbance in self._disturbances:
                if way in disturbance.ways:
                    conditions = disturbance.change(conditions)
            if conditions != self._now[way]:
                if conditions.stalled != self._now[way].stalled:
                    self._shut_since[way] = trio.current_time() if conditions.stalled else inf
                self._now[way] = conditions
                self._fair_since[way] = trio.current_time() if conditions == self._fair else inf
                self._network.set_conditions(conditions, one_way=way)
