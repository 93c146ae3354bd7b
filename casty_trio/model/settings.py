"""Settings: frozen values, checked when made. Floor F1. Sizes are bytes, times are seconds."""

from __future__ import annotations

from dataclasses import dataclass

from casty_trio.errors import SettingsError

__all__ = ["AccessSettings", "ActorSettings", "LinkSettings"]


def _positive(owner: object, *names: str) -> None:
    for name in names:
        value = getattr(owner, name)
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
        _positive(self, "max_frame", "max_message", "queue", "handshake_timeout", "close_timeout")
        if self.max_frame < 1024:
            raise SettingsError(f"LinkSettings.max_frame must be at least 1024 bytes, not {self.max_frame}")
        if self.max_message < self.max_frame:
            raise SettingsError("LinkSettings.max_message must not be smaller than max_frame")
        if self.queue < self.max_message:
            raise SettingsError("LinkSettings.queue must not be smaller than max_message")


LEAST_RATE = 64 * 1024
"""A client may send so many bytes a second at least: one frame of the usual size."""


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """A node's door: how many may come in, and what one client may ask of it. No limit is per address.

    Attributes:
        max_unauthenticated: how many connections may shake hands at a time; one more, and the oldest of them gives way.
        max_connections: how many connections may be open after their handshake; further peers are refused as ``busy``.
        client_asks: how many asks of one client may be open; further ones fail with `OverloadedError`.
        client_rate: how many bytes a second one client may send; a second's worth may come at once, and what is more waits.
    """

    max_unauthenticated: int = 64
    max_connections: int = 4_096
    client_asks: int = 10_000
    client_rate: int = 64 * 1024 * 1024

    def __post_init__(self) -> None:
        _positive(self, "max_unauthenticated", "max_connections", "client_asks", "client_rate")
        if self.client_rate < LEAST_RATE:
            raise SettingsError(f"AccessSettings.client_rate must be at least {LEAST_RATE} bytes, not {self.client_rate}")


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
        for name in ("grace", "hook_timeout", "logged_dead_letters"):
            if not getattr(self, name) >= 0:
                raise SettingsError(f"ActorSettings.{name} must not be negative, but is {getattr(self, name)!r}")
