"""What is registered on which node, as a service of a node. Floor F4: drives the pure machine; services and topics share it.

What comes in is fed to the machine in the task that read it. What changes here is told to the others in a task of its own,
at once, so that many changes in one step are one word.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from casty_trio.actors.clockwork import Clockwork
from casty_trio.errors import LinkClosedError, LinkFullError, MessageTooLargeError
from casty_trio.model.address import ActorAddress
from casty_trio.model.member import Member, MemberStatus
from casty_trio.protocol import buckets
from casty_trio.protocol.buckets import Entry
from casty_trio.protocol.registry import Changed, Effect, Registry, Say
from casty_trio.remote import of_node

if TYPE_CHECKING:
    from casty_trio.cluster.system import ClusteredActorSystem
    from casty_trio.remote import Connection

__all__ = ["RegistryService"]

SETTLE: Final = 0.05
"""After so many seconds, at the earliest, it is told again that something has changed: what follows costs more."""


class RegistryService:
    """One registry of a node.

    Parameters:
        system: the node.
        kind: of which kind its frames are.
        interval: how often it compares what it knows with another member, in seconds.
        changed: called at once with the keys under which something has changed on other nodes.
        settled: called after one change or more, here or there, in a task of its own; many changes are told together.
    """

    def __init__(
        self,
        system: ClusteredActorSystem,
        kind: int,
        interval: float,
        changed: Callable[[tuple[str, ...]], None],
        settled: Callable[[], None],
    ) -> None:
        self._system = system
        self._kind = kind
        self._interval = interval
        self._changed = changed
        self._settled = settled
        self._stale = False
        self._unsettled = False
        self._settle_at = -math.inf
        self._machine = Registry(system.uid, interval)
        self._members: dict[int, Member] = {}
        self._clockwork = Clockwork(self._now, self._due, self._tick)

    async def run(self) -> None:
        """Tell the others what has changed, and compare with them when it is time."""
        await self._clockwork.run()

    # --- What is registered -------------------------------------------------------------------------------------------

    def has_room(self, entry: Entry) -> bool:
        """Whether one more can be registered here."""
        return self._machine.has_room(entry)

    def add(self, entry: Entry) -> None:
        """Register an actor of this node."""
        if self._machine.add(entry):
            self._note()

    def remove(self, entry: Entry) -> None:
        """Forget an actor of this node."""
        if self._machine.remove(entry):
            self._note()

    def found(self, key: str) -> Iterator[tuple[Entry, ActorAddress]]:
        """What is registered under a key on other members, in no order."""
        for uid, entry in self._machine.found(key):
            member = self._members[uid]
            yield entry, ActorAddress(self._system.name, entry.path, member.host, member.port, uid, entry.incarnation)

    def has(self, address: ActorAddress) -> bool:
        """Whether an actor of another member is registered under any key."""
        return self._machine.has(address.uid, address.path, address.incarnation)

    def names(self) -> tuple[str, ...]:
        """The keys under which something is registered on other members, sorted."""
        return self._machine.names()

    # --- The cluster --------------------------------------------------------------------------------------------------

    def cluster_changed(self) -> None:
        """Something is new about the members: those that go for good have nothing registered any more."""
        self._begin_anew()
        members = {m.uid: m for m in self._system.members if m.status < MemberStatus.EXITING and m.uid != self._system.uid}
        same = members.keys() == self._members.keys()
        self._members = members
        if not same:
            self._perform(self._machine.set_members(self._now(), members))

    def peer_connected(self, uid: int) -> None:
        """There is a new connection to a node."""
        self._perform(self._machine.connected(uid))

    def on_frame(self, connection: Connection, body: memoryview) -> None:
        """What another node says.

        Raises:
            ProtocolError: it is nothing of that kind, or too much of it, or a client says it.
        """
        of_node(connection)
        word = buckets.unpack(body)
        self._perform(self._machine.receive(connection.link.peer.uid, word))

    def _begin_anew(self) -> None:
        """If this node is another member from now on: what is registered here still is, and of others nothing is known."""
        old = self._machine
        if old.uid == self._system.uid:
            return
        self._perform(old.set_members(self._now(), ()))
        self._members = {}
        self._machine = Registry(self._system.uid, self._interval)
        for entry in old.own:
            self._machine.add(entry)
        self._note()

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Say(uid, word):
                    self._say(uid, buckets.pack(word))
                case Changed(keys):
                    self._changed(keys)
                    self._note()
        self._clockwork.wake()

    def _say(self, uid: int, body: bytes) -> None:
        """Say something, if there is a connection; what is not said now comes when they compare."""
        member = self._members.get(uid)
        peer = self._system.peers.known(*member.address) if member is not None else None
        connection = peer.connection if peer is not None else None
        if connection is None or connection.link.peer.uid != uid:
            return
        try:
            with suppress(LinkClosedError, LinkFullError):
                connection.link.write(self._kind, body)
        except MessageTooLargeError as error:
            text = "%s cannot tell the others what is registered on it: %s"
            self._system.quiet.warning(("registry", self._kind), text, self._system.node_id, error)

    def _note(self) -> None:
        """Something has changed: let the task see to it."""
        self._stale = True
        self._clockwork.wake()

    def _tick(self) -> None:
        if self._stale:
            self._stale, self._unsettled = False, True
            self._perform(self._machine.flush())
        if self._unsettled and self._now() >= self._settle_at:
            self._unsettled, self._settle_at = False, self._now() + SETTLE
            self._settled()
        self._perform(self._machine.tick(self._now()))

    def _now(self) -> float:
        return self._system.env.now()

    def _due(self) -> float:
        if self._stale:
            return -math.inf
        return min(self._machine.next_wakeup, self._settle_at if self._unsettled else math.inf)
