"""Settings: frozen values, checked when made. Floor F1. Sizes are bytes, times are seconds."""

from __future__ import annotations

from dataclasses import dataclass

from casty_trio.model.checks import check_count, check_number, check_seconds

__all__ = ["AccessSettings", "ActorSettings", "LinkSettings", "ShutdownSettings"]

LARGEST = 2**31
"""The largest frame, and the largest message, that two ends can agree on."""


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """One connection: how large, how much, how long.

    Attributes:
        max_frame: the largest frame on the wire, in bytes, 1024 or more; larger messages are split into several.
        max_message: the largest encoded message, in bytes, ``max_frame`` or more; a larger one is refused at its sender.
        queue: how many bytes, ``max_message`` or more, may wait to be written before `tell` overflows and `send` waits.
        handshake_timeout: how long a connection may take until it is ready, in seconds, from when it is dialled or accepted.
        close_timeout: how long closing may take to flush what is queued, in seconds.
        keep_alive: after how many seconds without a word from the peer it is asked for one, and asked again.
        dead_after: after how many such seconds the connection is given up, ``keep_alive`` or more; ``math.inf`` is never. It
            is asked at least once before, and how long the silence is, is known to within ``keep_alive``.
        gone_after: after how many seconds without a connection another node is declared gone, if somebody here waits for it.
    """

    max_frame: int = 64 * 1024
    max_message: int = 4 * 1024 * 1024
    queue: int = 8 * 1024 * 1024
    handshake_timeout: float = 5.0
    close_timeout: float = 1.0
    keep_alive: float = 2.0
    dead_after: float = 13.0
    gone_after: float = 30.0

    def __post_init__(self) -> None:
        check_count("LinkSettings.max_frame", self.max_frame, 1024, LARGEST)
        check_count("LinkSettings.max_message", self.max_message, self.max_frame, LARGEST)
        check_count("LinkSettings.queue", self.queue, self.max_message)
        check_seconds("LinkSettings.handshake_timeout", self.handshake_timeout, positive=True)
        check_seconds("LinkSettings.close_timeout", self.close_timeout, positive=True)
        check_seconds("LinkSettings.keep_alive", self.keep_alive, positive=True)
        check_number("LinkSettings.dead_after", self.dead_after, "seconds, keep_alive or more", self.keep_alive)
        check_seconds("LinkSettings.gone_after", self.gone_after, positive=True)


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
        for name in ("max_unauthenticated", "max_connections", "client_asks"):
            check_count(f"AccessSettings.{name}", getattr(self, name), 1)
        check_count("AccessSettings.client_rate", self.client_rate, LEAST_RATE)


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
        blocked_after: after how many seconds without a turn of the event loop it is told, by a thread, which actor holds it
            up; ``math.inf`` is never, and without a thread. Left out, it is 0.5 on a node, and never in a local system: a
            program with a second thread cannot fork safely, and one that is debugged stands still all the time.
    """

    batch: int = 64
    grace: float = 5.0
    hook_timeout: float = 1.0
    high_water: int = 10_000
    stash_capacity: int = 1_000
    logged_dead_letters: int = 10
    blocked_after: float | None = None

    def __post_init__(self) -> None:
        for name in ("batch", "high_water", "stash_capacity"):
            check_count(f"ActorSettings.{name}", getattr(self, name), 1)
        for name in ("grace", "hook_timeout"):
            check_seconds(f"ActorSettings.{name}", getattr(self, name))
        check_count("ActorSettings.logged_dead_letters", self.logged_dead_letters, 0)
        if self.blocked_after is not None:
            check_seconds("ActorSettings.blocked_after", self.blocked_after, positive=True)


@dataclass(frozen=True, slots=True)
class ShutdownSettings:
    """The end of a system: for how long the hooks of each phase may run, in seconds.

    In ``leave`` as much again goes to what the system itself does. For that, other phases have limits of their own:
    ``drain`` `ShardingSettings.leave_timeout`, ``actors`` `ActorSettings.grace` and ``hook_timeout``, ``connections``
    `LinkSettings.close_timeout`.

    Attributes:
        before_leave: while everything still runs.
        drain: work goes to other nodes.
        leave: the node leaves its cluster.
        actors: the actors stop.
        connections: peers are told goodbye.
    """

    before_leave: float = 5.0
    drain: float = 5.0
    leave: float = 10.0
    actors: float = 5.0
    connections: float = 5.0

    def __post_init__(self) -> None:
        for name in ("before_leave", "drain", "leave", "actors", "connections"):
            check_seconds(f"ShutdownSettings.{name}", getattr(self, name))
