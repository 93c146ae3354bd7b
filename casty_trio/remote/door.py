"""The door of a node: who may come in, how many at a time, and what one client may ask for. Floor F3.

A stranger costs a task, a socket and a place among the unauthenticated for as long as the handshake may take. When all of
those places are taken, the one that has been shaking hands longest gives way to the newest: silent strangers then keep out
nobody who is quick, and an honest peer is. What is refused is counted by name, and told in the log, once in a while.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from collections import Counter
from collections.abc import Callable, Generator, Hashable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import trio
from anyio.abc import ByteStream, SocketAttribute

from casty_trio.errors import HandshakeError, InsecureListenerError
from casty_trio.model.settings import AccessSettings
from casty_trio.model.statistics import AccessStatistics
from casty_trio.protocol.handshake import REFUSALS, Offer

if TYPE_CHECKING:
    from casty_trio.remote.peer import Peer

__all__ = ["Door", "Pace", "Quiet", "Visit", "check_listener"]

NAMED: Final = frozenset({*REFUSALS, "timeout", "crowded"})
"""The codes that are counted by name; a peer may refuse us with any other, and they count as one."""

ORDINARY: Final = frozenset({"crossing", "gone"})
"""Refusals that are counted and not logged: nodes dial each other at once, and some dial while they are leaving."""

QUIET: Final = 60.0
"""Seconds in which one thing is told once."""

TOLD_MOST: Final = 100
"""So many different things are told in that time; further ones are counted."""


KEPT: Final = 40
"""Characters by which two reasons count as one; numbers in them do not."""

DIGITS: Final = re.compile(r"\d+")


class Quiet:
    """Warnings that others cause: each is logged once a minute, and not too many kinds of them, whatever comes in.

    Args:
        log: where they go.
        now: the monotonic clock, in seconds.
    """

    def __init__(self, log: logging.Logger, now: Callable[[], float]) -> None:
        self._log = log
        self._now = now
        self._since = now()
        self._told: set[Hashable] = set()
        self._left_out = 0

    def warning(self, key: Hashable, text: str, *values: object) -> None:
        """Log a warning, unless one with this key was logged a short while ago."""
        now = self._now()
        if now - self._since >= QUIET:
            if self._left_out:
                self._log.warning("%d more warnings of kinds that were logged before are left out", self._left_out)
            self._since, self._left_out = now, 0
            self._told.clear()
        if key in self._told or len(self._told) >= TOLD_MOST:
            self._left_out += 1
            return
        self._told.add(key)
        self._log.warning(text, *values)


class Pace:
    """How fast one client may send: a second's worth at once, and then no faster than the rate.

    Args:
        rate: bytes per second.
        slowed: called whenever the client has to wait.
    """

    __slots__ = ("_at", "_level", "_rate", "_slowed")

    def __init__(self, rate: int, slowed: Callable[[], None]) -> None:
        self._rate = rate
        self._level = 0.0
        self._at = trio.current_time()
        self._slowed = slowed

    def __call__(self, size: int) -> float:
        """How long to wait, in seconds, before more is received, now that so many bytes were."""
        now = trio.current_time()
        self._level = max(0.0, self._level - (now - self._at) * self._rate) + size
        self._at = now
        if self._level <= self._rate:
            return 0.0
        self._slowed()
        return self._level / self._rate - 1.0


class Visit:
    """One connection that a peer opened, from the door on.

    Attributes:
        peer: the other node, once it was let in as the connection to it.
        dial: which of its dials this is.
        scope: cancelled when the visitor has to give way before it has shaken hands.
    """

    __slots__ = ("_door", "_inside", "address", "dial", "peer", "scope")

    def __init__(self, door: Door, address: str) -> None:
        self._door = door
        self._inside = False
        self.address: str = address
        self.peer: Peer | None = None
        self.dial: int = 0
        self.scope: trio.CancelScope = trio.CancelScope()

    def admit(self, peer: Offer) -> HandshakeError | None:
        """The refusal of a peer that has proved who it is, if there is no room for it."""
        refusal = self._door.admit(self)
        self._inside = refusal is None
        return refusal


class Door:
    """Counts who is there, and says who may come in.

    Args:
        settings: how many.
        name: the node's, for logs.
        quiet: where refusals are told.
    """

    def __init__(self, settings: AccessSettings, name: str, quiet: Quiet) -> None:
        self.settings = settings
        self.overloaded: int = 0
        self.slowed: int = 0
        self._name = name
        self._quiet = quiet
        self._strangers: dict[Visit, None] = {}  # the one that came first is first
        self._inside: dict[Visit, None] = {}
        self._accepted = 0
        self._refused: Counter[str] = Counter()

    @contextmanager
    def visit(self, stream: ByteStream) -> Generator[Visit, None, None]:
        """A fresh connection, while it lasts."""
        visit = Visit(self, address_of(stream))
        if len(self._strangers) >= self.settings.max_unauthenticated:
            oldest = next(iter(self._strangers))
            del self._strangers[oldest]
            oldest.scope.cancel()
        self._strangers[visit] = None
        try:
            yield visit
        finally:
            self._strangers.pop(visit, None)
            self._inside.pop(visit, None)

    def admit(self, visit: Visit) -> HandshakeError | None:
        """Let a peer in that has proved who it is, or say why not."""
        if len(self._inside) >= self.settings.max_connections:
            return HandshakeError("busy", "there are as many connections as there may be: try another node, or later")
        self._inside[visit] = None
        return None

    def came_in(self, visit: Visit) -> None:
        """The handshake is over."""
        self._strangers.pop(visit, None)
        self._accepted += 1

    def refused(self, visit: Visit, error: HandshakeError) -> None:
        """The handshake has failed, or was cut short."""
        code = error.code if error.code in NAMED else "other"
        self._refused[code] += 1
        if code in ORDINARY:
            return
        key = (code, visit.address, DIGITS.sub("", error.reason)[:KEPT])
        self._quiet.warning(key, "%s refused a connection from %s: %s", self._name, visit.address, error)

    def ask_refused(self) -> None:
        """A client has too many asks open for one more."""
        self.overloaded += 1

    def client_slowed(self) -> None:
        """A client has to wait, because it sends too fast."""
        self.slowed += 1

    def statistics(self) -> AccessStatistics:
        """Count what there is."""
        return AccessStatistics(
            connections=len(self._inside.keys() - self._strangers.keys()),
            handshaking=len(self._strangers),
            accepted=self._accepted,
            refused=dict(self._refused),
            overloaded=self.overloaded,
            slowed=self.slowed,
        )


def address_of(stream: ByteStream) -> str:
    """The host a connection comes from, for people; without the port, which is another one each time."""
    address: object = stream.extra(SocketAttribute.remote_address, "an unknown address")
    return str(address[0]) if isinstance(address, tuple) else str(address)


def check_listener(host: str, *, authenticated: bool, insecure: bool) -> None:
    """See that strangers can only reach a node that knows its peers.

    Raises:
        InsecureListenerError: they could reach this one.
    """
    if authenticated or insecure or host == "localhost":
        return
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise InsecureListenerError(
            f"listening on {host or 'every address'} would let anybody in who can reach it: give the node tls= or secret=, "
            "listen on a loopback address, or write insecure=True if the network itself is trusted"
        )
