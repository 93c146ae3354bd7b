"""What a client sends through its contact: by a path or a topic, to whoever is registered for clients. Floor: client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from casty_trio.client.parts import ClientParts
from casty_trio.client.refs import WireRef
from casty_trio.model.address import ActorAddress, quote_name
from casty_trio.model.checks import check_flag, check_text
from casty_trio.model.pubsub import Topic
from casty_trio.model.ref import ActorRef
from casty_trio.protocol.frames import Kind
from casty_trio.protocol.publications import PUBLISH, RECEPTIONIST, SEND, SEND_LOCALLY, SEND_TO_ALL

if TYPE_CHECKING:
    from casty_trio.client.client import ClusterClient

__all__ = ["PathRef", "Sending"]

M = TypeVar("M")

_pack: Final = msgspec.msgpack.Encoder().encode


class PathRef(WireRef[Any]):
    """Whoever is registered for clients at a path, or has subscribed to a topic, when a message arrives."""

    __slots__ = ("_how", "_receptionist", "_target")

    def __init__(self, client: ClusterClient, how: int, receptionist: str, target: str) -> None:
        self.client = client
        self._how = how
        self._receptionist = receptionist
        self._target = target

    @property
    def address(self) -> ActorAddress:
        path = f"/$topics/{quote_name(self._target)}" if self._how == PUBLISH else self._target
        return ActorAddress(self.client.system_name, path)

    def frame(self, message: Any, ask: int, budget: float | None) -> tuple[int, bytes]:
        client = self.client
        name, body = client.codec.encode(message, client.inbound.write_ref)
        frame = (ask, budget, self._how, self._receptionist, self._target, name, msgspec.Raw(body))
        return Kind.SEND, _pack(frame)


class Sending(ClientParts):
    """The part of a client that sends by path and topic."""

    def service_ref(self, path: str, *, local_affinity: bool = False, receptionist: str = RECEPTIONIST) -> ActorRef[Any]:
        """A ref that takes messages for one of the actors that are registered for clients at a path; also to `ask`.

        Parameters:
            path: such as ``/greeter``, on whichever node.
            local_affinity: prefer the actor on the client's contact, if there is one; else any, at random.
            receptionist: the name of the receptionist that they are registered with.

        Raises:
            SettingsError: there can be no such path or receptionist.
            SystemClosedError: outside the block.

        Example:
            >>> # greeting: str = await client.ask(client.service_ref("/greeter"), lambda r: Greet("Ann", r))
        """
        check_flag("local_affinity", local_affinity)
        return self._to(SEND_LOCALLY if local_affinity else SEND, receptionist, _path(path))

    def send(self, path: str, message: Any, local_affinity: bool = False, *, receptionist: str = RECEPTIONIST) -> None:
        """Send a message to one of the actors that are registered for clients at a path; see `service_ref`.

        Where there is none, it is a dead letter on the contact. While there is no contact it is held, as all messages are.

        Raises:
            EncodeError: the message cannot be encoded.
        """
        self.service_ref(path, local_affinity=local_affinity, receptionist=receptionist).tell(message)

    def send_to_all(self, path: str, message: Any, *, receptionist: str = RECEPTIONIST) -> None:
        """Send a message to all actors that are registered for clients at a path; as `send`."""
        self._to(SEND_TO_ALL, receptionist, _path(path)).tell(message)

    def publish(self, topic: Topic[M] | str, message: M, *, receptionist: str = RECEPTIONIST) -> None:
        """Send a message to all actors that have subscribed for clients to a topic, and to one of each group; as `send`."""
        name = topic.name if isinstance(topic, Topic) else Topic[Any](topic).name
        self._to(PUBLISH, receptionist, name).tell(message)

    def _to(self, how: int, receptionist: str, target: str) -> ActorRef[Any]:
        check_text("receptionist", receptionist)
        self._check_open()
        client: Any = self  # a `ClusterClient`, as refs call it
        return PathRef(client, how, receptionist, target)


def _path(path: str) -> str:
    check_text("path", path)
    return "/" + path.strip("/")
