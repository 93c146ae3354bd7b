"""What an actor hears of others besides messages. Floor F1."""

from __future__ import annotations

from typing import Any

import msgspec

from casty_trio.model.ref import ActorRef

__all__ = ["Signal", "Terminated"]


class Signal(msgspec.Struct, frozen=True):
    """The base of what ``on_signal`` gets."""


class Terminated(Signal, frozen=True):
    """An actor that was watched has ended. It comes after everything that actor told the watcher, and exactly once.

    Attributes:
        ref: the actor.
        failure: the exception that ended it; None when it ended as it should.
    """

    ref: ActorRef[Any]
    failure: Exception | None = None
