"""Broadcasts as a service of a cluster node. Floor F5.

What is spawned is a plain actor at ``/name`` on each node. The others reach it as they reach any remote actor, so the order
per sender holds, and no node has to know on which others it was spawned.
"""

from __future__ import annotations

from typing import Any, ClassVar

from casty_trio.actors.refs import AskableRef
from casty_trio.broadcasting.ref import EveryRef
from casty_trio.cluster import Extension
from casty_trio.errors import UnknownMessageTypeError, UsageError
from casty_trio.model.address import ActorAddress
from casty_trio.model.kinds import Behavior, Broadcasted
from casty_trio.model.mailbox import Mailbox
from casty_trio.model.member import Member, MemberStatus
from casty_trio.model.ref import ActorRef
from casty_trio.protocol import refs

__all__ = ["Broadcasting"]


class Broadcasting(Extension):
    """The behaviours of one node that others of their name reach together."""

    behavior: ClassVar[type[Behavior[Any]]] = Broadcasted

    def spawn(self, behavior: Any, name: str | None, mailbox: Mailbox | None) -> ActorRef[Any]:
        broadcasted: Broadcasted[Any] = behavior  # the system looked
        if name is None:
            raise UsageError("a broadcasted behaviour needs a name: the other nodes spawn it under the same")
        self._register(broadcasted, name)
        self.system.spawn(broadcasted.behavior, name, mailbox=mailbox)
        return EveryRef(self, name)

    def resolve_broadcast(self, name: str) -> ActorRef[Any] | None:
        return EveryRef(self, name)

    def write_ref(self, ref: ActorRef[Any]) -> tuple[int, bytes] | None:
        return refs.pack_broadcast(ref.name) if isinstance(ref, EveryRef) else None

    def members_up(self) -> tuple[Member, ...]:
        """The members that get what is sent now."""
        return tuple(member for member in self.system.members if member.status == MemberStatus.UP)

    def actor_of(self, member: Member, name: str) -> AskableRef[Any]:
        """The actor of a member, whether it is there or not."""
        path = f"/{name}"
        system = self.system
        here = member.uid == system.uid
        ref = system.lookup(path) if here else None
        if ref is None:
            address = ActorAddress(system.name, path, member.host, member.port, member.uid)
            ref = system.peers.ref(address, dial=not here)
        assert isinstance(ref, AskableRef)  # what is found at a path, and whatever is remote
        return ref

    def _register(self, behavior: Broadcasted[Any], name: str) -> None:
        if not behavior.message_types and not self.system.has_messages:
            raise UnknownMessageTypeError(
                f"the behaviour of {name!r} does not tell which messages it handles: annotate its handler "
                "(def receive(ctx: ActorContext[News], message: News) -> Behavior[News]), or give the system messages=[News]"
            )
        self.system.codec.register(*behavior.message_types)
