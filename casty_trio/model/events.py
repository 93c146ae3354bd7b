"""What a system tells about itself, as typed values on its event stream. Floor F1."""

from __future__ import annotations

from typing import Any

import msgspec

from casty_trio.model.ref import ActorRef

__all__ = [
    "ActorFailed",
    "ActorRestarted",
    "ActorStarted",
    "ActorStopped",
    "DeadLetter",
    "Event",
    "Lagged",
    "LinkLost",
    "LoopBlocked",
    "MailboxHighWater",
    "NodeGone",
    "ShutdownHookFailed",
    "SpyEvent",
    "UnhandledMessage",
]


class Event(msgspec.Struct, frozen=True):
    """The base of every event; subscribing to it is subscribing to all."""


class ActorStarted(Event, frozen=True):
    """An actor's task runs, and its first behaviour is in place."""

    ref: ActorRef[Any]


class ActorStopped(Event, frozen=True):
    """An actor has ended; its name is free again.

    Attributes:
        ref: the actor.
        failure: the exception that ended it; None when it ended as it should.
    """

    ref: ActorRef[Any]
    failure: Exception | None = None


class ActorFailed(Event, frozen=True):
    """A handler, setup or hook of an actor raised.

    Attributes:
        ref: the actor.
        failure: what it raised.
    """

    ref: ActorRef[Any]
    failure: Exception


class ActorRestarted(Event, frozen=True):
    """An actor has begun again with its initial behaviour.

    Attributes:
        ref: the actor; still the same.
        failure: what made it restart.
    """

    ref: ActorRef[Any]
    failure: Exception


class UnhandledMessage(Event, frozen=True):
    """A handler returned `Behaviors.unhandled()`.

    Attributes:
        message: what it was given.
        ref: the actor.
    """

    message: object
    ref: ActorRef[Any]


class MailboxHighWater(Event, frozen=True):
    """More messages wait for an actor than ``ActorSettings.high_water``, or than twice as many as when this was last told.

    Attributes:
        ref: the actor.
        queued: how many wait.
    """

    ref: ActorRef[Any]
    queued: int


class LinkLost(Event, frozen=True):
    """A connection to another node has broken, or was ended by it.

    Attributes:
        node_id: the other node.
        host: where it is dialled.
        port: likewise.
        unconfirmed: bytes that were written to the connection and that nobody knows the fate of; at most so many.
        reason: why it ended, for people.
    """

    node_id: str
    host: str
    port: int
    unconfirmed: int
    reason: str


class LoopBlocked(Event, frozen=True):
    """Code that ran in the event loop did not come back for longer than ``ActorSettings.blocked_after``: nothing else ran.

    Attributes:
        seconds: for how long, at least.
        path: the actor whose code it was; empty if it was nobody's, or that of several one after the other.
        where: what it was at when it was noticed: the file, the line, and the function.
    """

    seconds: float
    path: str
    where: str


class NodeGone(Event, frozen=True):
    """Another node is not waited for any more. What watched its actors has heard so, and that start of it is never talked
    to again.

    Attributes:
        node_id: the other node.
        host: where it was dialled.
        port: likewise.
        uid: which start of it.
        reason: why, for people.
    """

    node_id: str
    host: str
    port: int
    uid: int
    reason: str


class ShutdownHookFailed(Event, frozen=True):
    """A hook that was given to `ActorSystem.on_shutdown` raised, or was cancelled because its time was over.

    Attributes:
        phase: in which phase of the system's end.
        hook: the name of the function.
        failure: what it raised; a `TimeoutError` when it was late.
    """

    phase: str
    hook: str
    failure: Exception


class SpyEvent(Event, frozen=True):
    """A message or signal that a spied actor is about to handle.

    Attributes:
        actor_path: whose it is.
        event: the message or signal.
        timestamp: when, in scheduler time (seconds).
    """

    actor_path: str
    event: object
    timestamp: float


class DeadLetter(Event, frozen=True):
    """A message that nobody will handle.

    Attributes:
        message: what was sent.
        recipient: to whom.
        reason: why not, in a few words.
    """

    message: object
    recipient: ActorRef[Any]
    reason: str


class Lagged(Event, frozen=True):
    """In the place of events that an iterator lost because it did not keep up.

    Attributes:
        count: how many are missing here.
    """

    count: int
