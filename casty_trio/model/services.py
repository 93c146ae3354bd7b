"""Services: actors that are found by what they are, wherever they run. Floor F1: values."""

from __future__ import annotations

from typing import Any, Generic, TypeAlias, TypeVar

import msgspec

from casty_trio.model.address import ActorAddress
from casty_trio.model.checks import check_given, check_text
from casty_trio.model.ref import ActorRef

__all__ = [
    "Deregister",
    "Find",
    "Listing",
    "ReceptionistMessage",
    "Register",
    "ServiceEntry",
    "ServiceInstance",
    "ServiceKey",
    "Subscribe",
    "Unsubscribe",
]

M = TypeVar("M")


class ServiceKey(msgspec.Struct, Generic[M], frozen=True, order=True):
    """The name of a service whose actors take messages of type ``M``; equal wherever the name is.

    Attributes:
        name: 1 to 255 characters.

    Example:
        >>> PAYMENT: ServiceKey[int] = ServiceKey("payment")
        >>> PAYMENT == ServiceKey("payment")
        True

    Raises:
        SettingsError: no service can have the name.
    """

    name: str

    def __post_init__(self) -> None:
        check_text("the name of a service", self.name)


class ServiceInstance(msgspec.Struct, Generic[M], frozen=True):
    """One actor of a service.

    Attributes:
        ref: the actor.
        node: host and port of the node it lives on; None in a system without a network.
    """

    ref: ActorRef[M]
    node: tuple[str, int] | None = None


class Listing(msgspec.Struct, Generic[M], frozen=True):
    """Who offers a service, as one node knows it.

    Attributes:
        key: the service.
        instances: its actors, sorted by node and path, each once.
    """

    key: ServiceKey[M]
    instances: tuple[ServiceInstance[M], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.instances)


class Register(msgspec.Struct, Generic[M], frozen=True):
    """To the receptionist: an actor of this system offers a service, until it stops or `Deregister`. Twice is once."""

    key: ServiceKey[M]
    ref: ActorRef[M]


class Deregister(msgspec.Struct, Generic[M], frozen=True):
    """To the receptionist: an actor of this system offers a service no more."""

    key: ServiceKey[M]
    ref: ActorRef[M]


class Find(msgspec.Struct, Generic[M], frozen=True):
    """To the receptionist: tell ``reply_to`` the present `Listing`."""

    key: ServiceKey[M]
    reply_to: ActorRef[Listing[M]]


class Subscribe(msgspec.Struct, Generic[M], frozen=True):
    """To the receptionist: tell ``reply_to`` the present `Listing`, and another one whenever it changes, until it stops.

    Where that is an actor of a client, until there is a change while the client is not connected to this node.
    """

    key: ServiceKey[M]
    reply_to: ActorRef[Listing[M]]


class Unsubscribe(msgspec.Struct, Generic[M], frozen=True):
    """To the receptionist: tell ``reply_to`` no more listings of a service."""

    key: ServiceKey[M]
    reply_to: ActorRef[Listing[M]]


ReceptionistMessage: TypeAlias = Register[Any] | Deregister[Any] | Find[Any] | Subscribe[Any] | Unsubscribe[Any]
"""What the receptionist takes."""


class ServiceEntry(msgspec.Struct, frozen=True, order=True):
    """An actor of a service, as `TopologySnapshot.registry` has it.

    Attributes:
        key: the name of the service.
        address: the actor's.
    """

    key: str
    address: ActorAddress

    @property
    def node(self) -> tuple[str, int] | None:
        """Host and port of the actor's node; None in a system without a network."""
        return node_of(self.address)

    @property
    def path(self) -> str:
        """The actor's place in the tree of its system."""
        return self.address.path


def node_of(address: ActorAddress) -> tuple[str, int] | None:
    """Host and port of an actor's node."""
    return None if address.host is None or address.port is None else (address.host, address.port)


def listing_of(key: ServiceKey[Any], refs: list[ActorRef[Any]]) -> Listing[Any]:
    """The listing of these actors."""
    by_place = sorted(((_place(ref.address), ref) for ref in refs), key=lambda each: each[0])
    return Listing(key, tuple(ServiceInstance(ref, node_of(ref.address)) for _, ref in by_place))


def _place(address: ActorAddress) -> tuple[str, int, str, int, int]:
    return address.host or "", address.port or 0, address.path, address.uid, address.incarnation


def check_key(value: object) -> None:
    """See that a value is the name of a service."""
    check_given("key", value, ServiceKey)
