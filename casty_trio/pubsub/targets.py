"""Who gets a message: subscribers here and there, and one of each group. Floor F5, pure."""

from __future__ import annotations

import random
from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from casty_trio.model.address import ActorAddress
from casty_trio.protocol.buckets import Entry
from casty_trio.pubsub.subscribers import Subscriber

__all__ = ["Copies", "Target", "Targets", "one_of"]

Target: TypeAlias = Subscriber | ActorAddress
"""An actor of this node, or the address of one of another."""

Copies: TypeAlias = tuple[list[Subscriber], list[ActorAddress]]
"""Who gets a copy: of this node, and of others."""


@dataclass(slots=True)
class Targets:
    """All that have subscribed to one topic, or stand at one path, in an order that is the same for the same ones.

    Attributes:
        all: those of no group.
        groups: the others, by their group.
    """

    all: list[Target] = field(default_factory=list[Any])
    groups: dict[str, list[Target]] = field(default_factory=dict[str, Any])

    def __bool__(self) -> bool:
        return bool(self.all or self.groups)

    @classmethod
    def among(cls, here: dict[Entry, Subscriber], there: Iterable[tuple[Entry, ActorAddress]]) -> Targets:
        """Those of one topic."""
        targets = cls()
        for entry, target in _sorted(here, there):
            (targets.groups.setdefault(entry.group, []) if entry.group else targets.all).append(target)
        return targets

    @classmethod
    def by_path(cls, here: dict[Entry, Subscriber], there: Iterable[tuple[Entry, ActorAddress]]) -> dict[str, Targets]:
        """Those at each path."""
        paths: dict[str, Targets] = {}
        for entry, target in _sorted(here, there):
            paths.setdefault(entry.path, cls()).all.append(target)
        return paths

    def split(self) -> Copies:
        """Those of no group: of this node, and of others."""
        here: list[Subscriber] = []
        there: list[ActorAddress] = []
        for target in self.all:
            if isinstance(target, ActorAddress):
                there.append(target)
            else:
                here.append(target)
        return here, there

    def copies(self, rng: random.Random, silent: Set[int]) -> Copies:
        """Who gets a copy of a publication; of a group, one whose node can be reached, if there is one."""
        here, there = self.split()
        for _, members in sorted(self.groups.items()):
            one_here, one_there = one_of(members, rng, silent)
            here += one_here
            there += one_there
        return here, there


def one_of(targets: list[Target], rng: random.Random, silent: Set[int]) -> Copies:
    """One of several, at random; on a node that is not silent, if there is one."""
    reached = [each for each in targets if not isinstance(each, ActorAddress) or each.uid not in silent]
    target = rng.choice(reached or targets)
    return ([], [target]) if isinstance(target, ActorAddress) else ([target], [])


def _sorted(here: dict[Entry, Subscriber], there: Iterable[tuple[Entry, ActorAddress]]) -> Iterable[tuple[Entry, Target]]:
    yield from sorted(here.items(), key=lambda each: each[0])
    yield from sorted(there)
