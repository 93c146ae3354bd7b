"""What a node tells its clients of services. Floor F1: typed values, strictly decoded.

A client is told all there is, and then what changes. Each word names the version it is based on, and makes the next one; a
large one comes in parts, which hold together from the last. Base 0 is nothing: what the client knew is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from casty_trio.model.address import ActorAddress
from casty_trio.model.services import ServiceEntry
from casty_trio.protocol.buckets import LONGEST_NAME, LONGEST_PATH
from casty_trio.protocol.unpacking import Unpacker, unpacker

__all__ = ["MOST_SERVICES", "PART", "ServiceRow", "ServicesFrame", "frames_of", "pack", "row_of", "unpack"]

MOST_SERVICES: Final = 1_000_000
"""So many services a client knows at most."""

PART: Final = 256 * 1024
"""About so many bytes are told in one part, where messages may be as large."""


class ServiceRow(msgspec.Struct, frozen=True, array_like=True, order=True):
    """An actor that offers a service."""

    key: Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME)]
    host: Annotated[str, Meta(max_length=255)]
    port: Annotated[int, Meta(ge=1, le=65_535)]
    uid: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    path: Annotated[str, Meta(min_length=1, max_length=LONGEST_PATH)]
    incarnation: Annotated[int, Meta(ge=1, le=2**63 - 1)]

    def entry(self, system: str) -> ServiceEntry:
        """The same, as programs see it."""
        return ServiceEntry(self.key, ActorAddress(system, self.path, self.host, self.port, self.uid, self.incarnation))


class ServicesFrame(msgspec.Struct, frozen=True, array_like=True):
    """What has become of the services.

    Attributes:
        base: what it is based on; 0 where it begins anew.
        version: what it makes of that.
        more: whether another part of the same follows.
        added: services that there are from now on.
        removed: services that there are no more.
    """

    base: Annotated[int, Meta(ge=0, le=2**62)]
    version: Annotated[int, Meta(ge=1, le=2**62)]
    more: bool
    added: tuple[ServiceRow, ...]
    removed: tuple[ServiceRow, ...]


pack: Final = msgspec.msgpack.Encoder().encode
unpack: Final[Unpacker[ServicesFrame]] = unpacker(ServicesFrame, "what a node tells of services")
"""Decode what a node tells of services; raises `ProtocolError` where it is nothing of that kind."""


def row_of(entry: ServiceEntry) -> ServiceRow:
    """A service, as it is written."""
    address = entry.address
    return ServiceRow(entry.key, address.host or "", address.port or 0, address.uid, address.path, address.incarnation)


def frames_of(
    base: int, version: int, added: Iterable[ServiceEntry], removed: Iterable[ServiceEntry] = (), *, part: int = PART
) -> list[bytes]:
    """The bodies that tell of a change, in order, each of about ``part`` bytes at most."""
    parts = list(_parts(((True, row_of(entry)) for entry in added), part))
    parts += _parts(((False, row_of(entry)) for entry in removed), part)
    parts = parts or [[]]
    last = len(parts) - 1
    return [
        pack(
            ServicesFrame(
                base,
                version,
                number < last,
                tuple(row for is_new, row in rows if is_new),
                tuple(row for is_new, row in rows if not is_new),
            )
        )
        for number, rows in enumerate(parts)
    ]


def _parts(rows: Iterable[tuple[bool, ServiceRow]], most: int) -> Iterator[list[tuple[bool, ServiceRow]]]:
    part: list[tuple[bool, ServiceRow]] = []
    size = 0
    for is_new, row in rows:
        part.append((is_new, row))
        size += 4 * (len(row.key) + len(row.host) + len(row.path)) + 32
        if size >= most:
            yield part
            part, size = [], 0
    if part:
        yield part
