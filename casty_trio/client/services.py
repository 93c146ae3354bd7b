"""The services of the cluster, as a client was told of them. Floor: client, on anyio."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from anyio.lowlevel import checkpoint

from casty_trio.client.refs import ClientRef
from casty_trio.errors import ProtocolError, SystemClosedError
from casty_trio.link.parking import Parking, parking_class
from casty_trio.model.listings import ListingBuffer
from casty_trio.model.services import Listing, ServiceEntry, ServiceKey, check_key, listing_of
from casty_trio.protocol import listings
from casty_trio.protocol.listings import MOST_SERVICES, ServicesFrame

if TYPE_CHECKING:
    from casty_trio.client.client import ClusterClient

__all__ = ["ClientServices"]

M = TypeVar("M")


class ClientListings(AsyncIterator[Listing[M]], Generic[M]):
    """One iteration over the listings of a service."""

    def __init__(self, key: ServiceKey[M], capacity: int) -> None:
        self.key: ServiceKey[M] = key
        self._buffer = ListingBuffer[M](capacity)
        self._parking: Parking = parking_class()()
        self._closed = False

    def put(self, listing: Listing[M]) -> None:
        """There is another one; or the same again, which is none."""
        self._buffer.put(listing)
        self._parking.unpark()

    def close(self) -> None:
        """There will be no more."""
        self._closed = True
        self._parking.unpark()

    async def __anext__(self) -> Listing[M]:
        await checkpoint()
        while not self._buffer:
            if self._closed:
                raise StopAsyncIteration
            await self._parking.park()
        return self._buffer.take()


class ClientServices:
    """Which actors offer what."""

    def __init__(self, client: ClusterClient) -> None:
        self._client = client
        self._version = 0
        self._by_key: dict[str, dict[ServiceEntry, None]] = {}
        self._count = 0
        self._parts: list[ServicesFrame] = []
        self._iterations: dict[ClientListings[Any], None] = {}
        self._registry: tuple[ServiceEntry, ...] | None = ()
        self._closed = False

    @property
    def registry(self) -> tuple[ServiceEntry, ...]:
        """All of them, sorted."""
        if self._registry is None:
            self._registry = tuple(sorted(entry for entries in self._by_key.values() for entry in entries))
        return self._registry

    def find(self, key: ServiceKey[M]) -> Listing[M]:
        """The actors of a service, as they were told last."""
        check_key(key)
        return listing_of(key, [ClientRef(self._client, entry.address) for entry in self._by_key.get(key.name, ())])

    @asynccontextmanager
    async def iterate(self, key: ServiceKey[M], capacity: int) -> AsyncGenerator[AsyncIterator[Listing[M]]]:
        """The listing and its changes, for as long as the block lasts."""
        check_key(key)
        iteration = ClientListings[M](key, capacity)
        if self._closed:
            raise SystemClosedError("the client has left its block: there will be no more listings")
        self._iterations[iteration] = None
        iteration.put(self.find(key))
        try:
            yield iteration
        finally:
            self._iterations.pop(iteration, None)
            iteration.close()

    def close(self) -> None:
        """The client has left its block: iterations end after what they have buffered."""
        self._closed = True
        for iteration in list(self._iterations):
            iteration.close()

    def on_frame(self, body: memoryview) -> None:
        """What a node tells of services.

        Raises:
            ProtocolError: it is nothing of that kind, or does not follow from what it told before.
        """
        frame = listings.unpack(body)
        if self._parts and frame.version != self._parts[0].version:
            self._parts.clear()  # the link was full before the last of them: they are told anew, as they are now
        self._parts.append(frame)
        if frame.more:
            self._check_size(sum(1 + len(part.added) + len(part.removed) for part in self._parts))
            return
        parts, self._parts = self._parts, []
        self._take(frame, parts)

    def disconnected(self) -> None:
        """The connection has ended, maybe between the parts of something; the next one begins anew."""
        self._version = 0
        self._parts.clear()

    def _take(self, frame: ServicesFrame, parts: list[ServicesFrame]) -> None:
        if frame.base not in (0, self._version) or any(part.base != frame.base for part in parts):
            raise ProtocolError(f"services are told from version {frame.base} on, and {self._version} is known")
        name = self._client.system_name
        before = {} if frame.base else self._by_key
        if not frame.base:
            self._by_key, self._count = {}, 0
        changed = dict.fromkeys(before)
        for part in parts:
            for row in part.removed:
                self._remove(row.entry(name), changed)
            for row in part.added:
                self._add(row.entry(name), changed)
        self._check_size(self._count)
        self._version = frame.version
        self._registry = None
        for iteration in list(self._iterations):
            if iteration.key.name in changed:
                iteration.put(self.find(iteration.key))

    def _add(self, entry: ServiceEntry, changed: dict[str, None]) -> None:
        entries = self._by_key.setdefault(entry.key, {})
        self._count += entry not in entries
        entries[entry] = None
        changed[entry.key] = None

    def _remove(self, entry: ServiceEntry, changed: dict[str, None]) -> None:
        entries = self._by_key.get(entry.key, {})
        if entry in entries:
            del entries[entry]
            self._count -= 1
            changed[entry.key] = None
        if not entries:
            self._by_key.pop(entry.key, None)

    def _check_size(self, count: int) -> None:
        if count > MOST_SERVICES:
            raise ProtocolError(f"more than {MOST_SERVICES} services are told")
