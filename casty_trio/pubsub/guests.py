"""The receptionist for clients: what they may reach by a path or a topic, and who they are. Floor F5.

What is registered for clients stands in the node's topics under names of its own, so it is known on every node and apart
from what the cluster publishes within. A client's contact picks who gets its message; replies come back through the contact.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from casty_trio.actors.refs import AskableRef
from casty_trio.errors import (
    DecodeError,
    EncodeError,
    MailboxFullError,
    ProtocolError,
    RequestRefusedError,
    UnknownActorError,
)
from casty_trio.model.checks import check_given, check_text
from casty_trio.model.cluster_events import ClusterClientUnreachable, ClusterClientUp
from casty_trio.model.events import Event
from casty_trio.model.pubsub import ClientReceptionist, Topic
from casty_trio.model.ref import ActorRef
from casty_trio.protocol import publications
from casty_trio.protocol.handshake import escaped
from casty_trio.protocol.publications import PUBLISH, SEND_LOCALLY, SEND_TO_ALL, SendFrame
from casty_trio.pubsub.targets import Copies
from casty_trio.remote import REFUSED, Connection, RemoteSlot

if TYPE_CHECKING:
    from casty_trio.pubsub.extension import Topics

__all__ = ["OWN", "GuestReceptionist", "Guests"]

OWN: Final = "$"
"""How the names of topics begin that programs cannot give."""


class GuestReceptionist(ClientReceptionist):
    """What clients may reach under one name."""

    def __init__(self, topics: Topics, name: str) -> None:
        self._topics = topics
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    def register_service(self, ref: ActorRef[Any]) -> None:
        check_given("ref", ref, ActorRef)
        self._topics.subscribe_key(_key(self._name, ref.path, topic=False), ref)

    def unregister_service(self, ref: ActorRef[Any]) -> None:
        check_given("ref", ref, ActorRef)
        self._topics.unsubscribe_key(_key(self._name, ref.path, topic=False), ref)

    def register_subscriber(self, topic: Topic[Any] | str, ref: ActorRef[Any], *, group: str | None = None) -> None:
        self._topics.subscribe_key(_key(self._name, _name(topic), topic=True), ref, group)

    def unregister_subscriber(self, topic: Topic[Any] | str, ref: ActorRef[Any], *, group: str | None = None) -> None:
        self._topics.unsubscribe_key(_key(self._name, _name(topic), topic=True), ref, group)


class Guests:
    """The clients of one node, and what they may reach."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._receptionists: dict[str, GuestReceptionist] = {}
        self._clients: dict[Connection, tuple[str, int, str, int]] = {}

    def receptionist(self, name: str) -> GuestReceptionist:
        """The receptionist of a name."""
        check_text("the name of a receptionist", name)
        found = self._receptionists.get(name)
        if found is None:
            found = self._receptionists[name] = GuestReceptionist(self._topics, name)
        return found

    # --- Who they are -------------------------------------------------------------------------------------------------

    def subscribed(self, connection: Connection) -> None:
        """A client has this node for its contact."""
        peer = connection.link.peer
        self._clients[connection] = who = (peer.node_id, peer.uid, peer.host, peer.port)
        self._topics.system.publish(ClusterClientUp, *who)

    def ended(self, connection: Connection) -> None:
        """A connection has ended."""
        who = self._clients.pop(connection, None)
        if who is not None:
            self._topics.system.publish(ClusterClientUnreachable, *who)

    def present(self) -> Iterable[Event]:
        """The clients there are."""
        return [ClusterClientUp(*who) for who in self._clients.values()]

    # --- What they send -----------------------------------------------------------------------------------------------

    def on_send(self, connection: Connection, body: memoryview) -> None:
        """A client's message to a path or a topic.

        Raises:
            ProtocolError: it is none, or a node says it.
        """
        if connection.peer is not None:
            raise ProtocolError("a node has no business with that kind of frame")
        frame, system = publications.unpack_send(body), self._topics.system
        slot = connection.open_slot(frame.ask, frame.budget) if frame.ask else None
        here, there = self._recipients(frame)
        if not here and not there:
            what = "nobody has subscribed for clients to the topic" if frame.how == PUBLISH else "nothing is exposed at"
            system.refuse(slot, UnknownActorError(f"{what} {escaped(frame.target)}"), frame.target)
            return
        message = system.decode(connection, frame.name, frame.body, slot, frame.target)
        if message is REFUSED:
            return
        try:
            if slot is not None and len(here) + len(there) == 1:
                self._ask(message, slot, here, there)
            else:
                self._topics.deliver(message, here, there, frame.target, "")
        except (EncodeError, DecodeError) as error:  # it is too large for another node, say
            system.refuse(slot, RequestRefusedError(str(error)), frame.target)

    def _recipients(self, frame: SendFrame) -> Copies:
        key = _joined(frame.receptionist, frame.target, topic=frame.how == PUBLISH)
        if frame.how == PUBLISH:
            return self._topics.copies(key)
        targets = self._topics.of_topic(key)
        if frame.how == SEND_TO_ALL:
            return targets.split()
        return self._topics.one(targets, local_affinity=frame.how == SEND_LOCALLY)

    def _ask(self, message: Any, slot: RemoteSlot, here: Iterable[Any], there: Iterable[Any]) -> None:
        """Pass an ask on to the one who gets it; its end is the asker's."""
        system = self._topics.system
        refs: list[Any] = [*here, *(system.peers.ref(address, dial=True) for address in there)]
        for ref in refs:
            asked: AskableRef[Any] = ref  # an actor of this node, an adapter, or an actor of another
            try:
                asked.tell_asked(message, slot)
            except MailboxFullError as error:
                slot.fail(error)


def _name(topic: Topic[Any] | str) -> str:
    return topic.name if isinstance(topic, Topic) else Topic[Any](topic).name


def _key(receptionist: str, target: str, *, topic: bool) -> str:
    key = _joined(receptionist, target, topic=topic)
    check_text("what clients are to reach", key)
    return key


def _joined(receptionist: str, target: str, *, topic: bool) -> str:
    """What stands in the topics for something that clients reach; no two things have one name."""
    return f"{OWN}{len(receptionist)}{'t' if topic else 'p'}{receptionist}{target}"
