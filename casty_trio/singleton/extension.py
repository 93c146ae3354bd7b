"""Singletons as a service of a cluster node. Floor F5: it knows the members, and carries words between the machines."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar, Final

import trio

from casty_trio.cluster import ClusteredActorSystem, Extension
from casty_trio.errors import LinkClosedError, LinkFullError, UnknownMessageTypeError, UsageError
from casty_trio.model.address import ActorAddress
from casty_trio.model.behavior import Behaviors
from casty_trio.model.kinds import Behavior, Singleton
from casty_trio.model.mailbox import Mailbox
from casty_trio.model.member import Member
from casty_trio.model.ref import ActorRef
from casty_trio.protocol import moving
from casty_trio.protocol.downing import stable_after
from casty_trio.protocol.frames import Kind
from casty_trio.protocol.singleton import HOLD_FOR
from casty_trio.remote import Connection, FrameHandler, of_node
from casty_trio.singleton.place import HURRY, Place
from casty_trio.singleton.ref import SingletonCell, SingletonRef

__all__ = ["Singletons"]

MARGIN: Final = 1.0
"""How much longer than its own limits the end of a singleton is waited for, in seconds."""


class Singletons(Extension):
    """The singletons that one node hosts, or sends to."""

    behavior: ClassVar[type[Behavior[Any]]] = Singleton
    seen_to: ClassVar[tuple[type[ActorRef[Any]], ...]] = (SingletonRef,)

    def __init__(self, system: ClusteredActorSystem) -> None:
        super().__init__(system)
        self._places: dict[str, Place] = {}
        self._members: dict[int, Member] = {}

    def frames(self) -> Mapping[int, FrameHandler]:
        return {Kind.SINGLETON: self._on_word}

    def spawn(self, behavior: Any, name: str | None, mailbox: Mailbox | None) -> ActorRef[Any]:
        singleton: Singleton[Any] = behavior  # the system looked
        if name is None:
            raise UsageError("a singleton needs a name: the other nodes spawn it under the same")
        self._register(singleton, name)
        cell = self.system.spawn_cell(Behaviors.receive(_unexpected), name, SingletonCell)
        place = self._place(name)
        assert isinstance(cell.ref, SingletonRef)  # SingletonCell makes no other
        cell.ref.bind(place)
        place.appear(cell, singleton, mailbox)
        return cell.ref

    def cluster_changed(self) -> None:
        state = self.system.cluster_state
        self._members = {member.uid: member for member in state.members}
        for place in self._places.values():
            self._tell_members(place)

    def node_downed(self) -> None:
        for place in self._places.values():
            place.let_go()

    def node_left(self) -> None:
        for place in self._places.values():
            place.let_go(f"{self.system.node_id} has left the cluster")

    @property
    def hosts_nothing(self) -> bool:
        return all(place.empty for place in self._places.values())

    async def freed(self) -> None:
        for place in self._places.values():
            await place.wait_empty()

    async def hand_over(self) -> None:
        for place in self._places.values():
            place.retire()
        settings = self.system.all_settings
        last = settings.actors.grace + settings.actors.hook_timeout + MARGIN
        with trio.move_on_after(HOLD_FOR + settings.singletons.stop_timeout + last):
            await self.freed()
        for place in self._places.values():
            place.let_go()
        with trio.move_on_after(HURRY + last):
            await self.freed()
        with trio.move_on_after(settings.singletons.lease_timeout + MARGIN):
            for place in self._places.values():
                await place.wait_released()
        with trio.move_on_after(2 * settings.singletons.retry):  # who is next has asked for it by then, if anybody is
            for place in self._places.values():
                await place.wait_handed_on()

    def member(self, uid: int) -> Member | None:
        """The member with that uid."""
        return self._members.get(uid)

    def say(self, uid: int, word: moving.Word) -> None:
        """Say something to another node, if it is connected; else it is said again."""
        member = self._members.get(uid)
        if member is None:
            return
        connection = self.system.peers.at(*member.address).connection
        if connection is not None and connection.link.peer.uid == uid:
            with suppress(LinkClosedError, LinkFullError):
                connection.link.write(Kind.SINGLETON, moving.pack(word))

    def ref_at(self, uid: int, name: str) -> ActorRef[Any] | None:
        """The singleton's ref on another node, which passes on what it is told, or keeps it; or that for what was left."""
        member = self._members.get(uid)
        if member is None:
            return None
        address = ActorAddress(self.system.name, f"/{name}", member.host, member.port, uid)
        return self.system.peers.ref(address, dial=True)

    def _place(self, name: str) -> Place:
        place = self._places.get(name)
        if place is None:
            place = self._places[name] = Place(self, name)
            self._tell_members(place)
        return place

    def _tell_members(self, place: Place) -> None:
        state = self.system.cluster_state
        settings = self.system.all_settings.cluster
        margin, stable = settings.removal_margin, settings.stable_after
        if margin == "auto":
            margin = stable_after(len(state.members)) if stable == "auto" else stable
        place.set_members(state.members, [member.uid for member in state.unreachable], margin)

    def _on_word(self, connection: Connection, body: memoryview) -> None:
        of_node(connection)
        word = moving.unpack(body)
        self._place(word.name).receive(connection.link.peer.uid, word)

    def _register(self, behavior: Singleton[Any], name: str) -> None:
        if not behavior.message_types and not self.system.has_messages:
            raise UnknownMessageTypeError(
                f"the behaviour of {name!r} does not tell which messages it handles: annotate its handler "
                "(def receive(ctx: ActorContext[Job], message: Job) -> Behavior[Job]), or give the system messages=[Job]"
            )
        self.system.codec.register(*behavior.message_types)


def _unexpected(_: object, message: object) -> None:
    raise UsageError(f"the parent of a singleton takes no messages of its own, least of all {message!r}")
