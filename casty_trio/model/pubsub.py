"""Publish and subscribe: messages to whoever wants them, wherever they live. Floor F1: values and a contract."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

import msgspec

from casty_trio.model.checks import check_text
from casty_trio.model.ref import ActorRef

__all__ = ["ClientReceptionist", "Delivery", "PubSub", "Topic"]

M = TypeVar("M")


class Topic(msgspec.Struct, Generic[M], frozen=True, order=True):
    """A topic for messages of type ``M``, by its name; equal wherever the name is.

    Attributes:
        name: 1 to 255 characters.

    Example:
        >>> NEWS: Topic[str] = Topic("news")
        >>> NEWS == Topic("news")
        True

    Raises:
        SettingsError: no topic can have the name.
    """

    name: str

    def __post_init__(self) -> None:
        check_text("the name of a topic", self.name)


class Delivery(msgspec.Struct, frozen=True):
    """What became of a publication, as far as the nodes have said so in time.

    Attributes:
        copies: how many were sent: one for each subscriber, and one for each group.
        delivered: how many of them a node has put into the mailbox of a living subscriber.
    """

    copies: int
    delivered: int

    @property
    def complete(self) -> bool:
        """Whether there were any, and all were delivered."""
        return 0 < self.copies == self.delivered


class PubSub(ABC):
    """The topics of a cluster, and the actors that are reached by their path alone; `ClusteredActorSystem.pubsub`.

    Who has subscribed where, all nodes know; a message goes straight from where it is published to each that gets it.
    What is published before a node has heard of a subscription does not reach that subscriber.
    """

    __slots__ = ()

    @abstractmethod
    def subscribe(self, topic: Topic[M] | str, ref: ActorRef[M], *, group: str | None = None) -> None:
        """Give an actor of this node what is published to a topic, until it stops or `unsubscribe`. Twice is once.

        Parameters:
            topic: which.
            ref: the actor, or an adapter of it.
            group: of all subscribers in one group, wherever they live, one gets each message.

        Raises:
            UsageError: it is not an actor of this node, or there is no room for more.
            SettingsError: no topic or group can have the name.
        """

    @abstractmethod
    def unsubscribe(self, topic: Topic[M] | str, ref: ActorRef[M], *, group: str | None = None) -> None:
        """Give it no more; without effect when it had not subscribed."""

    @abstractmethod
    def publish(self, topic: Topic[M] | str, message: M) -> int:
        """Send a message once to each subscriber of a topic, and to one of each group, in the order of this sender's calls.

        Returns:
            How many copies were sent; when there is nobody, none, and the message is a dead letter.

        Raises:
            EncodeError: it cannot be sent to other nodes; then it was sent to nobody.
        """

    @abstractmethod
    async def publish_confirmed(self, topic: Topic[M] | str, message: M, *, timeout: float = 5.0) -> Delivery:
        """As `publish`, and wait until the nodes of all who get it say that they have it in their mailboxes.

        Parameters:
            topic: which.
            message: what.
            timeout: how long to wait for that, in seconds; what is not said by then counts as not delivered, as does what a
                node can say no more, for the connection to it has ended.

        Raises:
            EncodeError: as `publish`.
            SettingsError: the timeout is negative, or no number.
        """

    @abstractmethod
    def put(self, ref: ActorRef[Any]) -> None:
        """Let an actor of this node be reached by its path from every node, until it stops or `remove`.

        Raises:
            UsageError: it is not an actor of this node, or there is no room for more.
        """

    @abstractmethod
    def remove(self, ref: ActorRef[Any]) -> None:
        """Let it be reached so no longer; without effect when it was not."""

    @abstractmethod
    def send(self, path: str, message: Any, *, local_affinity: bool = False) -> bool:
        """Send a message to one of the actors that were `put` at a path, whichever node it is on.

        Parameters:
            path: such as ``/service``.
            message: what.
            local_affinity: take the one of this node, where there is one; else any, at random.

        Returns:
            Whether there was one; else the message is a dead letter.

        Raises:
            EncodeError: it cannot be sent to another node.
        """

    @abstractmethod
    def send_to_all(self, path: str, message: Any, *, exclude_self: bool = False) -> int:
        """Send a message to all actors that were `put` at a path.

        Parameters:
            path: such as ``/service``.
            message: what.
            exclude_self: leave out the one of this node.

        Returns:
            How many copies were sent; when there is nobody, none, and the message is a dead letter.

        Raises:
            EncodeError: it cannot be sent to other nodes; then it was sent to nobody.
        """

    @abstractmethod
    def topics(self) -> tuple[str, ...]:
        """The names of all topics that anybody has subscribed to, sorted."""

    @abstractmethod
    def count_subscribers(self, topic: Topic[Any] | str) -> int:
        """How many have subscribed to a topic, on all nodes, as far as this one knows; each of a group counts."""


class ClientReceptionist(ABC):
    """What clients may reach by a path or a topic; `ClusteredActorSystem.client_receptionist`.

    A client sends to its contact, and that passes the message on to whoever is registered with the receptionist of that
    name, on any node. So a contact has to know the types of what it passes on. Actors that are not registered here cannot
    be reached so, whatever they have subscribed to inside of the cluster.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def name(self) -> str:
        """The receptionist's name."""

    @abstractmethod
    def register_service(self, ref: ActorRef[Any]) -> None:
        """Let clients reach an actor of this node by its path, until it stops or `unregister_service`.

        Raises:
            UsageError: it is not an actor of this node, or there is no room for more.
            SettingsError: its path is too long.
        """

    @abstractmethod
    def unregister_service(self, ref: ActorRef[Any]) -> None:
        """Let them reach it no longer; without effect when they could not."""

    @abstractmethod
    def register_subscriber(self, topic: Topic[M] | str, ref: ActorRef[M], *, group: str | None = None) -> None:
        """Give an actor of this node what clients publish to a topic, until it stops or `unregister_subscriber`.

        Raises:
            UsageError: it is not an actor of this node, or there is no room for more.
            SettingsError: the names of topic and receptionist are too long together.
        """

    @abstractmethod
    def unregister_subscriber(self, topic: Topic[M] | str, ref: ActorRef[M], *, group: str | None = None) -> None:
        """Give it no more; without effect when it had not subscribed."""
