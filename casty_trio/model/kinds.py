"""The kinds of behaviours, as values: handlers, instructions, wrappers, and what spreads over a cluster. Floor F1.

`Behaviors` makes them and checks what they are made of; whoever runs them looks here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Generic, Literal, Protocol, TypeVar

import msgspec

from casty_trio.model.allocation import AllocationStrategy
from casty_trio.model.annotations import factory_message_types, handler_message_types
from casty_trio.model.context import ActorContext
from casty_trio.model.envelope import ShardEnvelope
from casty_trio.model.events import SpyEvent
from casty_trio.model.lease import Lease
from casty_trio.model.passivation import Passivation
from casty_trio.model.ref import ActorRef
from casty_trio.model.remembering import EntityStore
from casty_trio.model.services import ServiceKey
from casty_trio.model.signals import Signal
from casty_trio.model.strategies import SupervisionStrategy

__all__ = [
    "SAME",
    "STOPPED",
    "UNHANDLED",
    "Behavior",
    "BoundFactory",
    "Broadcasted",
    "Daemons",
    "Discoverable",
    "Factory",
    "Handler",
    "Hook",
    "Hooks",
    "Receive",
    "RestartHook",
    "Result",
    "Setup",
    "Sharded",
    "SignalHandler",
    "Singleton",
    "Special",
    "Spied",
    "Supervised",
    "WithLifecycle",
    "Wrapper",
    "behavior_message_types",
    "is_spread",
    "is_wrapped",
]

M = TypeVar("M")
M_co = TypeVar("M_co", covariant=True)
R_co = TypeVar("R_co", covariant=True)


class Behavior(msgspec.Struct, Generic[M], frozen=True, eq=False):
    """What an actor of messages ``M`` does next. Made by `Behaviors`; of no use by itself."""


Result = Behavior[M] | None
Handler = Callable[[ActorContext[M], M], Result[M] | Awaitable[Result[M]]]
SignalHandler = Callable[[ActorContext[M], Signal], Result[M] | Awaitable[Result[M]]]
Factory = Callable[[ActorContext[M]], Behavior[M] | Awaitable[Behavior[M]]]
Hook = Callable[[ActorContext[Any]], Awaitable[None] | None]
RestartHook = Callable[[ActorContext[Any], Exception], Awaitable[None] | None]


class BoundFactory(Protocol[R_co, M_co]):
    """``lambda r, uid=user: ...``, as a loop gives it to `ask`: mypy does not take it for a callable of one argument."""

    def __call__(self, reply_to: ActorRef[R_co], bound: Any = ..., /) -> M_co: ...


class Receive(Behavior[M], frozen=True, eq=False):
    """Handle each message with a function."""

    handler: Handler[M]
    on_signal: SignalHandler[M] | None = None


class Setup(Behavior[M], frozen=True, eq=False):
    """Make the first behaviour inside the actor, with its context at hand."""

    factory: Factory[M]


class Special(Behavior[Any], frozen=True, eq=False):
    """A behaviour that is an instruction to the runtime rather than a handler."""

    name: str

    def __repr__(self) -> str:
        return f"Behaviors.{self.name}()"


SAME = Special("same")
STOPPED = Special("stopped")
UNHANDLED = Special("unhandled")


class Wrapper(Behavior[M], frozen=True, eq=False):
    """A behaviour with something around it, which is taken off when an actor is spawned with it."""

    behavior: Behavior[M]


class Supervised(Wrapper[M], frozen=True, eq=False):
    """What becomes of the actor when it fails."""

    strategy: SupervisionStrategy


class Hooks(msgspec.Struct, frozen=True):
    """What runs at the turns of an actor's life."""

    pre_start: Hook | None = None
    post_stop: Hook | None = None
    pre_restart: RestartHook | None = None
    post_restart: Hook | None = None


class WithLifecycle(Wrapper[M], frozen=True, eq=False):
    """What runs when the actor starts, stops and restarts."""

    hooks: Hooks


class Spied(Wrapper[M], frozen=True, eq=False):
    """Who is told of every message the actor gets."""

    observer: ActorRef[SpyEvent]
    spy_children: bool


class Discoverable(Wrapper[M], frozen=True, eq=False):
    """Which service the actor offers."""

    key: ServiceKey[Any]


class Sharded(Behavior[ShardEnvelope[M]], Generic[M], frozen=True, eq=False):
    """One actor per entity id, spread over the cluster; only a `ClusteredActorSystem` can spawn it."""

    factory: Callable[[str], Behavior[Any]]
    num_shards: int
    message_types: tuple[Any, ...]
    role: str = ""
    proxy: bool = False
    allocation: AllocationStrategy | None = None
    extract_entity_id: Callable[[Any], str] | None = None
    extract_message: Callable[[Any], Any] | None = None
    passivation: Passivation | None = None
    stop_message: Any = None
    remember_entities: EntityStore | Literal[True] | None = None


class Daemons(Sharded[M], Generic[M], frozen=True, eq=False):
    """So many actors, each alive once in the cluster; only a `ClusteredActorSystem` can spawn it."""

    keep_alive: float = 10.0


class Broadcasted(Behavior[M], frozen=True, eq=False):
    """One actor on every node that spawns it, all of them told at once; only a `ClusteredActorSystem` can spawn it."""

    behavior: Behavior[M]
    message_types: tuple[Any, ...]


class Singleton(Behavior[M], frozen=True, eq=False):
    """One actor in the whole cluster; only a `ClusteredActorSystem` can spawn it."""

    behavior: Behavior[M]
    role: str | None
    stop_message: Any
    message_types: tuple[Any, ...]
    lease: Lease | None = None


def behavior_message_types(behavior: Behavior[Any]) -> tuple[Any, ...]:
    """The messages that a behaviour handles, as far as the annotations of its function tell; () when they do not."""
    while isinstance(behavior, Wrapper):
        behavior = behavior.behavior
    match behavior:
        case Receive(handler=handler):
            return handler_message_types(handler)
        case Setup(factory=factory):
            return factory_message_types(factory)
        case _:
            return ()


def is_spread(value: object) -> bool:
    """Whether it describes more than one actor, or one of a whole cluster."""
    return isinstance(value, (Sharded, Broadcasted, Singleton))


def is_wrapped(value: object) -> bool:
    """Whether a value is a behaviour with a wrapper; a plain answer, for checkers would narrow it to unknown messages."""
    return isinstance(value, Wrapper)
