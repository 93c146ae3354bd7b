"""From a behaviour with its wrappers to what a runtime needs to run it. Floor F1: no tasks; nodes and clients share it.

Wrappers are collected when an actor is spawned, so their nesting order never matters, they are never on the per-message
path, and they survive every change of behaviour and every restart. Those that a `setup` or a handler returns later stand
inside of these: the latest hooks and observers take the place of the ones returned before, the first strategies stay, for
they count. So what is returned anew with every message does not pile up.
"""

from __future__ import annotations

from typing import Any

import msgspec

from casty_trio.model.kinds import Behavior, Discoverable, Hooks, Spied, Supervised, WithLifecycle, Wrapper
from casty_trio.model.ref import ActorRef
from casty_trio.model.services import ServiceKey
from casty_trio.model.strategies import SupervisionStrategy

__all__ = ["PLAIN", "Blueprint", "afresh", "collect", "collect_later"]


class Blueprint(msgspec.Struct, frozen=True, eq=False):
    """What an actor is made from.

    Attributes:
        strategies: who decides about its failures, from the inside out; each may escalate to the next.
        hooks: what runs when it starts, stops and restarts, from the outside in.
        observers: who is told of every message it gets.
        spied_children: which of them are told of its children's messages too.
        services: what it offers.
        spawned: what it was spawned with, when wrappers came later.
        fixed: whether the strategies are complete, for the actor has begun before.
    """

    strategies: tuple[SupervisionStrategy, ...] = ()
    hooks: tuple[Hooks, ...] = ()
    observers: tuple[ActorRef[Any], ...] = ()
    spied_children: tuple[ActorRef[Any], ...] = ()
    spawned: Blueprint | None = None
    fixed: bool = False
    services: tuple[ServiceKey[Any], ...] = ()


PLAIN = Blueprint()
"""An actor without wrappers."""


def collect(behavior: Behavior[Any], known: Blueprint = PLAIN) -> tuple[Behavior[Any], Blueprint]:
    """Take a behaviour out of its wrappers, and add what they say to what is known."""
    if not isinstance(behavior, Wrapper):
        return behavior, known
    strategies, hooks = list[SupervisionStrategy](), list(known.hooks)
    observers, children, services = list(known.observers), list(known.spied_children), list(known.services)
    while isinstance(behavior, Wrapper):
        match behavior:
            case Supervised(strategy=strategy):
                if strategy not in known.strategies and strategy not in strategies:
                    strategies.insert(0, strategy)  # met from the outside in, kept from the inside out
            case WithLifecycle(hooks=more):
                _add(hooks, more)
            case Spied(observer=observer, spy_children=spy_children):
                _add(observers, observer)
                if spy_children:
                    _add(children, observer)
            case Discoverable(key=key):
                _add(services, key)
            case _:
                raise TypeError(f"{behavior!r} is a wrapper of a kind that nobody knows")
        behavior = behavior.behavior
    blueprint = Blueprint(
        (*strategies, *known.strategies),
        tuple(hooks),
        tuple(observers),
        tuple(children),
        known.spawned,
        services=tuple(services),
    )
    return behavior, blueprint


def collect_later(behavior: Behavior[Any], known: Blueprint, beginning: bool) -> tuple[Behavior[Any], Blueprint]:
    """The same for what a `setup` or a handler returned; ``beginning`` as long as there is no behaviour yet."""
    spawned = known.spawned or known
    behavior, found = collect(behavior, known if beginning else spawned)
    counting = known.fixed or not (beginning or known.strategies == spawned.strategies)
    strategies = known.strategies if counting else found.strategies
    return behavior, Blueprint(
        strategies, found.hooks, found.observers, found.spied_children, spawned, known.fixed, found.services
    )


def afresh(known: Blueprint) -> Blueprint:
    """What a restart begins with: as spawned, but for the strategies, which count on."""
    base = known.spawned
    if base is None:
        return known
    return Blueprint(known.strategies, base.hooks, base.observers, base.spied_children, base, True, base.services)


def _add(to: list[Any], value: object) -> None:
    if value not in to:
        to.append(value)
