"""Settings: frozen values, checked when made. Floor F1. Sizes are bytes, times are seconds."""

from __future__ import annotations

from dataclasses import dataclass

from casty_trio.errors import SettingsError
from casty_trio.model.durations import check_number, check_seconds

__all__ = ["ActorSettings", "LinkSettings"]


def _positive(owner: object, *names: str) -> None:
    for name in names:
        value = getattr(owner, name)
        check_number(value, f"{type(owner).__name__}.{name}")
        if not value > 0:
            raise SettingsError(f"{type(owner).__name__}.{name} must be greater than 0, not {value!r}")


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """One connection: how large, how much, how long.

    Attributes:
        max_frame: the largest frame on the wire, in bytes; larger messages are split into several.
        max_message: the largest encoded message, in bytes; a larger one is refused at its sender.
        queue: how many bytes may wait to be written before `tell` overflows and `send` waits.
        handshake_timeout: how long a connection may take from open to ready, in seconds.
        close_timeout: how long closing may take to flush what is queued, in seconds.
    """

    max_frame: int = 64 * 1024
    max_message: int = 4 * 1024 * 1024
    queue: int = 8 * 1024 * 1024
    handshake_timeout: float = 5.0
    close_timeout: float = 1.0

    def __post_init__(self) -> None:
        _positive(self, "max_frame", "max_message", "queue")
        for name in ("handshake_timeout", "close_timeout"):
            check_seconds(getattr(self, name), f"LinkSettings.{name}", above=True)
        if self.max_frame < 1024:
            raise SettingsError(f"LinkSettings.max_frame must be at least 1024 bytes, not {self.max_frame}")
        if self.max_message < self.max_frame:
            raise SettingsError("LinkSettings.max_message must not be smaller than max_frame")
        if self.queue < self.max_message:
            raise SettingsError("LinkSettings.queue must not be smaller than max_message")


@dataclass(frozen=True, slots=True)
class ActorSettings:
    """One system's actors: how long things may take, and how much may wait.

    Attributes:
        batch: how many messages an actor handles before other tasks get a turn.
        grace: how long the handler of an actor that is told to stop may go on before it is cancelled, in seconds.
        hook_timeout: how long a ``post_stop`` hook may take before it is cancelled, in seconds.
        high_water: how many waiting messages of an unbounded mailbox are an event.
        stash_capacity: how many messages an actor may put aside.
        logged_dead_letters: how many dead letters are logged; further ones are counted and published only.
    """

    batch: int = 64
    grace: float = 5.0
    hook_timeout: float = 1.0
    high_water: int = 10_000
    stash_capacity: int = 1_000
    logged_dead_letters: int = 10

    def __post_init__(self) -> None:
        _positive(self, "batch", "high_water", "stash_capacity")
        for name in ("grace", "hook_timeout"):
            check_seconds(getattr(self, name), f"ActorSettings.{name}")
        check_number(self.logged_dead_letters, "ActorSettings.logged_dead_letters")
        if not self.logged_dead_letters >= 0:
            raise SettingsError(
                f"ActorSettings.logged_dead_letters must not be negative, but is {self.logged_dead_letters!r}"
            )
