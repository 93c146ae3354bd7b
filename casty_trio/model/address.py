"""Addresses of actors: who, on which node, in which incarnation. Floor F1: pure values.

A path names a place in the tree of actors; an *incarnation* names the one actor that lived there; a *uid* names the one
start of its node. So a restarted actor, and an actor on a restarted node, are other actors at the same place.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import quote, unquote

import msgspec

from casty_trio.errors import InvalidNameError
from casty_trio.model.checks import refuse

__all__ = ["ActorAddress", "AddressMap", "address_map_of", "check_name", "place_of", "quote_name"]

AddressMap = Callable[[str, int], tuple[str, int]]
"""Turns the host and port of a node into those to dial."""

SCHEME = "casty"
_NAME = re.compile(r"[A-Za-z0-9_.~:@$+=,;!*'()&%-]{1,255}")
_URI = re.compile(
    r"casty://(?P<system>[^/@]+)(?:@(?P<host>\[[^\]]+\]|[^/:]+):(?P<port>\d+))?(?P<path>/[^#]*)?"
    r"(?:#(?P<uid>\d+)\.(?P<incarnation>\d+))?"
)


def check_name(name: str, what: str = "actor") -> str:
    """Return ``name`` if a path can carry it.

    Raises:
        InvalidNameError: it is empty, longer than 255 characters, ``.``, ``..``, or holds a slash, a blank or a control.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in (".", ".."):
        raise InvalidNameError(
            f"{name!r} is no {what} name: use 1 to 255 letters, digits or any of _.~:@$+=,;!*'()&%- (no slash, no blank)"
        )
    return name


def quote_name(text: str) -> str:
    """Any text as one segment of a path; `urllib.parse.unquote` gives it back."""
    return quote(text, safe="_.~:@$+=,;!*'()&-")


class ActorAddress(msgspec.Struct, frozen=True, order=True):
    """Where an actor lives, and which one it is.

    Attributes:
        system: the name of its actor system.
        path: its place in the tree, such as ``/team/worker-0``.
        host: the advertised host of its node; None in a system without a network.
        port: the advertised port of its node; None in a system without a network.
        uid: the start of that node; 0 where any will do.
        incarnation: the one actor at that path; 0 where any will do (an entity, which may move).

    Example:
        >>> ActorAddress("shop", "/cart", "10.0.0.1", 25520).uri
        'casty://shop@10.0.0.1:25520/cart'
    """

    system: str
    path: str
    host: str | None = None
    port: int | None = None
    uid: int = 0
    incarnation: int = 0

    @property
    def uri(self) -> str:
        """The address as text, without uid and incarnation."""
        if self.host is None:
            return f"{SCHEME}://{self.system}{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{SCHEME}://{self.system}@{host}:{self.port}{self.path}"

    @property
    def name(self) -> str:
        """The last segment of the path, as it was given."""
        return unquote(self.path.rsplit("/", 1)[-1])

    @classmethod
    def parse(cls, uri: str) -> ActorAddress:
        """Read `uri` back; ``#uid.incarnation`` at its end is optional.

        Raises:
            InvalidNameError: it is not such an address.
        """
        match = _URI.fullmatch(uri)
        if match is None:
            raise InvalidNameError(
                f"{uri!r} is no actor address: write casty://system@host:port/path or casty://system/path"
            )
        host, port = match["host"], match["port"]
        return cls(
            match["system"],
            match["path"] or "/",
            host.strip("[]") if host is not None else None,
            int(port) if port is not None else None,
            int(match["uid"] or 0),
            int(match["incarnation"] or 0),
        )

    def __str__(self) -> str:
        return self.uri


def place_of(host: str, port: int) -> str:
    """A host and a port as people read them.

    Example:
        >>> place_of("10.0.0.1", 25520), place_of("::1", 25520)
        ('10.0.0.1:25520', '[::1]:25520')
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def address_map_of(address_map: AddressMap | None) -> AddressMap:
    """The ``address_map`` a program has given; without one, nodes are dialled where they say they are.

    Where a program's function fails, or gives no host and port, the node cannot be reached: a `ConnectionError` says why.

    Raises:
        SettingsError: it is no function.

    Example:
        >>> address_map_of(None)("10.0.0.1", 25520)
        ('10.0.0.1', 25520)
    """
    if address_map is None:
        return _as_it_is
    if not callable(address_map):
        refuse("address_map", address_map, "a function of host and port")
    return partial(_mapped, address_map)


def _mapped(address_map: Callable[[str, int], Any], host: str, port: int) -> tuple[str, int]:
    """What a program's function says, which must not end who dials."""
    try:
        found = address_map(host, port)
    except Exception as error:
        where = place_of(host, port)
        raise ConnectionError(f"the address_map failed for {where}: {type(error).__name__}: {error}") from error
    match found:
        case (str(there), int(its_port)) if there and 0 < its_port < 65_536:
            return there, its_port
        case _:
            where = place_of(host, port)
            raise ConnectionError(f"the address_map gave {found!r:.100} for {where}, which is no host and port")


def _as_it_is(host: str, port: int) -> tuple[str, int]:
    return host, port
