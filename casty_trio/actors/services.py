"""The receptionist: who of this system offers which service, and who wants to know. Floor F2.

It is no task: what it is told is done at once, in the task of whoever tells it, so an actor is found as soon as it has been
registered. What other nodes have comes in from above, through `Beyond`; a system by itself has nothing there.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import trio
from trio.lowlevel import checkpoint

from casty_trio.actors.refs import AdapterRef, AskableRef, LocalRef, PassingRef, ReplySlot, WatchableRef
from casty_trio.errors import ActorStoppedError, CastyError, SystemClosedError, UsageError
from casty_trio.model.address import ActorAddress
from casty_trio.model.checks import check_given
from casty_trio.model.kinds import Behavior
from casty_trio.model.listings import ListingBuffer
from casty_trio.model.ref import ActorRef
from casty_trio.model.services import (
    Deregister,
    Find,
    Listing,
    ReceptionistMessage,
    Register,
    ServiceKey,
    Subscribe,
    Unsubscribe,
    check_key,
    listing_of,
)

if TYPE_CHECKING:
    from casty_trio.actors.cell import Cell
    from casty_trio.actors.system import ActorSystem

__all__ = ["Beyond", "ReceptionistRef", "Services"]

M = TypeVar("M")


class Beyond:
    """What the receptionist knows of other nodes, and tells them; this one knows of none."""

    def check(self, cell: Cell[Any], behavior: Behavior[Any], keys: Iterable[ServiceKey[Any]]) -> None:
        """See that an actor that is about to begin with a behaviour can be found under these keys."""

    def register(self, name: str, ref: LocalRef[Any]) -> None:
        """An actor of this node offers a service from now on.

        Raises:
            UsageError: there is no room for it.
        """

    def deregister(self, name: str, ref: LocalRef[Any]) -> None:
        """It offers it no more."""

    def refs(self, name: str) -> Iterable[ActorRef[Any]]:
        """The actors of other nodes that offer a service."""
        return ()


class Interest:
    """What one actor has to do with the receptionist: the services it offers, and the listings it gets."""

    __slots__ = ("offers", "wants")

    def __init__(self) -> None:
        self.offers: dict[str, None] = {}
        self.wants: dict[tuple[str, ActorRef[Any]], None] = {}


class Services:
    """The services of one system.

    Attributes:
        ref: what programs tell.
        beyond: what other nodes have.
    """

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self.ref: ReceptionistRef = ReceptionistRef(self, system)
        self.beyond: Beyond = Beyond()
        self._offered: dict[str, dict[LocalRef[Any], None]] = {}
        self._exposed: dict[tuple[str, int], LocalRef[Any]] = {}
        self._interests: dict[ActorRef[Any], Interest] = {}
        self._wanted: dict[str, dict[object, _Told]] = {}
        self._listings: dict[str, Listing[Any]] = {}
        self._iterations: dict[Listings[Any], None] = {}
        self._closed = False

    # --- What programs do ---------------------------------------------------------------------------------------------

    def handle(self, message: ReceptionistMessage) -> None:
        """Do what the receptionist is told.

        Raises:
            UsageError: it is nothing that a receptionist takes, or what it says cannot be.
            SettingsError: a key or a ref is none.
        """
        match message:
            case Register(key, ref):
                check_key(key)
                self.register(key.name, self._own(ref))
            case Deregister(key, ref):
                check_key(key)
                self.deregister(key.name, self._own(ref))
            case Find(key, reply_to):
                reply_to.tell(self.find(key))
            case Subscribe(key, reply_to):
                self.subscribe(key, reply_to)
            case Unsubscribe(key, reply_to):
                check_key(key)
                self.unsubscribe(key.name, reply_to)
            case _:
                raise UsageError(
                    f"a receptionist takes Register, Deregister, Find, Subscribe and Unsubscribe, not {message!r:.200}"
                )

    def find(self, key: ServiceKey[M]) -> Listing[M]:
        """Who offers a service now."""
        check_key(key)
        listing = self._listings.get(key.name)
        if listing is None:
            listing = listing_of(key, [*self._offered.get(key.name, ()), *self.beyond.refs(key.name)])
            if listing.instances:  # names that nobody offers are too many to be kept
                self._listings[key.name] = listing
        return listing

    def subscribe(self, key: ServiceKey[Any], reply_to: ActorRef[Any]) -> None:
        """Tell an actor the listing, and each change of it."""
        check_key(key)
        check_given("reply_to", reply_to, ActorRef)
        interest = self._watch(owner_of(reply_to))
        if interest is None:
            return
        interest.wants[key.name, reply_to] = None
        self._add(key, reply_to, ActorListener(reply_to))

    def unsubscribe(self, name: str, reply_to: ActorRef[Any]) -> None:
        """Tell it no more."""
        self._drop(name, reply_to)
        owner = owner_of(reply_to)
        interest = self._interests.get(owner)
        if interest is not None:
            interest.wants.pop((name, reply_to), None)
            self._unwatch(owner, interest)

    @asynccontextmanager
    async def iterate(self, key: ServiceKey[M], capacity: int) -> AsyncGenerator[AsyncIterator[Listing[M]]]:
        """The listing and its changes, for as long as the block lasts."""
        check_key(key)
        listings = Listings[M](capacity)
        if self._closed:
            raise SystemClosedError(f"{self._system.name} has stopped: there will be no more listings")
        self._iterations[listings] = None
        self._add(key, listings, listings)
        try:
            yield listings
        finally:
            self._iterations.pop(listings, None)
            self._drop(key.name, listings)
            listings.close()

    # --- Who offers what ----------------------------------------------------------------------------------------------

    def register(self, name: str, ref: LocalRef[Any]) -> None:
        """An actor of this system offers a service; one that has stopped does not."""
        offered = self._offered.get(name, {})
        if ref in offered or ref.cell.ended:
            return
        self.beyond.register(name, ref)
        self._offered.setdefault(name, offered)[ref] = None
        self._exposed[ref.path, ref.incarnation] = ref
        interest = self._watch(ref)
        assert interest is not None  # it has not ended
        interest.offers[name] = None
        self.changed((name,))

    def deregister(self, name: str, ref: LocalRef[Any]) -> None:
        """It offers it no more; without effect when it did not."""
        interest = self._interests.get(ref)
        if interest is None or interest.offers.pop(name, self) is self:
            return
        if not interest.offers:
            del self._exposed[ref.path, ref.incarnation]
        self._unwatch(ref, interest)
        self._withdraw(name, ref)

    def offer(self, cell: Cell[Any], keys: Iterable[ServiceKey[Any]]) -> None:
        """An actor is discoverable, now that it is there."""
        for key in keys:
            self.register(key.name, cell.ref)

    def exposed(self, path: str, incarnation: int) -> LocalRef[Any] | None:
        """The actor of that address, if it offers any service."""
        return self._exposed.get((path, incarnation))

    def offering(self, name: str) -> Iterable[LocalRef[Any]]:
        """This system's own actors that offer a service."""
        return self._offered.get(name, ())

    def offered(self) -> list[tuple[str, LocalRef[Any]]]:
        """All services of this system's own actors."""
        return [(name, ref) for name, offered in self._offered.items() for ref in offered]

    def hear_end(self, ref: ActorRef[Any], failure: Exception | None) -> None:
        """An actor that offers services or gets listings has ended."""
        interest = self._interests.pop(ref, None)
        if interest is None:
            return
        for name, subscriber in interest.wants:
            self._drop(name, subscriber)
        if interest.offers and isinstance(ref, LocalRef):
            del self._exposed[ref.path, ref.incarnation]
            for name in interest.offers:
                self._withdraw(name, ref)

    def _withdraw(self, name: str, ref: LocalRef[Any]) -> None:
        offered = self._offered[name]
        del offered[ref]
        if not offered:
            del self._offered[name]
        self.beyond.deregister(name, ref)
        self.changed((name,))

    # --- Who wants to know --------------------------------------------------------------------------------------------

    def changed(self, names: Iterable[str]) -> None:
        """There may be another listing of these services: tell whoever wants it, if there is."""
        for name in names:
            self._listings.pop(name, None)
            for subscriber, told in list(self._wanted.get(name, {}).items()):
                if is_gone(subscriber):
                    self.unsubscribe(name, cast("ActorRef[Any]", subscriber))
                else:
                    told.tell(self.find(told.key))

    def close(self) -> None:
        """The system has stopped: iterations end after what they have buffered."""
        self._closed = True
        for listings in list(self._iterations):
            listings.close()
        self._wanted.clear()

    def _add(self, key: ServiceKey[Any], subscriber: object, listener: Listener) -> None:
        """Somebody subscribes; who did before hears the present listing again."""
        told = self._wanted.setdefault(key.name, {})[subscriber] = _Told(key, listener)
        told.tell(self.find(key))

    def _drop(self, name: str, subscriber: object) -> None:
        subscribers = self._wanted.get(name, {})
        subscribers.pop(subscriber, None)
        if not subscribers:
            self._wanted.pop(name, None)

    def _watch(self, owner: ActorRef[Any]) -> Interest | None:
        """Hear of an actor's end; None when that has been."""
        interest = self._interests.get(owner)
        if interest is None:
            interest = self._interests[owner] = Interest()
            if isinstance(owner, WatchableRef) and owner.belongs_to(self._system):
                owner.add_watcher(self)
        return interest if owner in self._interests else None

    def _unwatch(self, owner: ActorRef[Any], interest: Interest) -> None:
        if interest.offers or interest.wants:
            return
        del self._interests[owner]
        if isinstance(owner, WatchableRef):
            owner.remove_watcher(self)

    def _own(self, ref: Any) -> LocalRef[Any]:
        if isinstance(ref, LocalRef) and ref.cell.system is self._system:
            own: LocalRef[Any] = ref.cell.ref
            return own
        raise UsageError(f"{ref!r} is not an actor of the system {self._system.name}: its own node registers an actor")


class ReceptionistRef(AskableRef[Any]):
    """What programs tell the receptionist by; see `ActorSystem.receptionist`."""

    __slots__ = ("_services", "_system")

    def __init__(self, services: Services, system: ActorSystem) -> None:
        self._services = services
        self._system = system

    @property
    def address(self) -> ActorAddress:
        return self._system.address_of("/$receptionist", 0)

    def tell(self, message: Any) -> None:
        if self._system.running:
            self._services.handle(message)
        else:
            self._system.dead_letter(message, self, "the system has stopped")

    def tell_asked(self, message: Any, slot: ReplySlot) -> None:
        if not self._system.running:
            slot.fail(ActorStoppedError(f"{self.path}: the system has stopped"))
        self.tell(message)

    async def send(self, message: Any) -> None:
        await checkpoint()
        self.tell(message)


class Listener:
    """Who gets listings."""

    def tell(self, listing: Listing[Any]) -> None:
        """There is another one."""


class ActorListener(Listener):
    """An actor that gets listings."""

    def __init__(self, ref: ActorRef[Any]) -> None:
        self._ref = ref

    def tell(self, listing: Listing[Any]) -> None:
        with suppress(CastyError):  # such as a mailbox that rejects: the loss is counted
            self._ref.tell(listing)


class _Told:
    """What a subscriber was told last, for nothing is told twice."""

    __slots__ = ("_last", "_listener", "key")

    def __init__(self, key: ServiceKey[Any], listener: Listener) -> None:
        self.key: ServiceKey[Any] = key
        self._listener = listener
        self._last: Listing[Any] | None = None

    def tell(self, listing: Listing[Any]) -> None:
        if listing != self._last:
            self._last = listing
            self._listener.tell(listing)


class Listings(Listener, AsyncIterator[Listing[M]], Generic[M]):
    """One iteration."""

    def __init__(self, capacity: int) -> None:
        self._buffer = ListingBuffer[M](capacity)
        self._idle = trio.lowlevel.ParkingLot()
        self._closed = False

    def __repr__(self) -> str:
        return f"<listings: {len(self._buffer)} wait>"

    def tell(self, listing: Listing[M]) -> None:
        self._buffer.put(listing)
        self._idle.unpark()

    def close(self) -> None:
        """There will be no more."""
        self._closed = True
        self._idle.unpark_all()

    async def __anext__(self) -> Listing[M]:
        await checkpoint()
        while not self._buffer:
            if self._closed:
                raise StopAsyncIteration
            await self._idle.park()
        return self._buffer.take()


def is_gone(subscriber: Any) -> bool:
    """Whether nobody takes what a subscriber would be told, where its end is not heard of."""
    passing: bool = isinstance(subscriber, PassingRef | ReplySlot)
    return passing and bool(subscriber.closed)


def owner_of(ref: ActorRef[Any]) -> ActorRef[Any]:
    """The actor that a ref belongs to: an adapter ends with its actor."""
    if isinstance(ref, AdapterRef | LocalRef):
        own: ActorRef[Any] = ref.cell.ref
        return own
    return ref
