"""Sharding as a service of a cluster node: its types, what nodes say about shards, and messages to entities. Floor F5."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar, Final

import trio

from casty_trio.actors.clockwork import Clockwork
from casty_trio.cluster import ClusteredActorSystem, Extension
from casty_trio.errors import (
    LinkClosedError,
    LinkFullError,
    ShardCountError,
    UnknownActorError,
    UnknownMessageTypeError,
    UsageError,
)
from casty_trio.link.held import Held
from casty_trio.model.behavior import Behaviors
from casty_trio.model.kinds import Behavior, Daemons, Sharded
from casty_trio.model.mailbox import Mailbox
from casty_trio.model.member import Member, MemberStatus
from casty_trio.model.ref import ActorRef
from casty_trio.model.statistics import RegionState, ShardingStatistics
from casty_trio.protocol import homing, refs, wire
from casty_trio.protocol.coordinator import Candidate
from casty_trio.protocol.frames import Kind
from casty_trio.remote import REFUSED, Connection, FrameHandler, Peer, of_node, read_back
from casty_trio.sharding.coordination import Coordination
from casty_trio.sharding.daemons import DaemonCell, DaemonRef, DaemonRegion
from casty_trio.sharding.keeping import Keeping
from casty_trio.sharding.region import EntityRef, Region, RegionCell, RegionRef
from casty_trio.sharding.routing import Mail

__all__ = ["Sharding"]

NAME_LIMIT = 255
"""No sharded type has a longer name; what a peer writes instead is cut."""

FRAME_MARGIN: Final = 64

MARGIN: Final = 1.0
"""How much longer than their own limits the last entities of a node that leaves are waited for, in seconds."""


class Sharding(Extension):
    """The sharded types of one node, and the coordinators of those that it coordinates."""

    behavior: ClassVar[type[Behavior[Any]]] = Sharded
    seen_to: ClassVar[tuple[type[ActorRef[Any]], ...]] = (RegionRef, DaemonRef)

    def __init__(self, system: ClusteredActorSystem) -> None:
        super().__init__(system)
        self._regions: dict[str, Region] = {}
        self._coordinations: dict[str, Coordination] = {}
        self._members: dict[int, Member] = {}
        self._said: deque[tuple[str, homing.Word]] = deque()  # to this node itself
        self._listening = self._running = self._has_moved = False
        self._clockwork = Clockwork(self.now, self._due, self._tick)
        self._changed = trio.Event()
        self._terms: dict[str, homing.Term] = {}  # the highest that were heard of types that are not here
        self._without: dict[str, None] = {}  # types of which was told that no member has their role
        self.keeping: Keeping = Keeping(self)

    # --- What the system asks -----------------------------------------------------------------------------------------

    def frames(self) -> Mapping[int, FrameHandler]:
        return {
            Kind.ENTITY: self._on_entity,
            Kind.SHARDS: self._on_word,
            Kind.PLACEMENT: self._on_word,
            Kind.MARKER: self._on_marker,
            Kind.LEFTOVER: self._on_leftover,
            Kind.HANDOVER: self._on_handover,
            Kind.KEEPING: self.keeping.on_frame,
        }

    def spawn(self, behavior: Any, name: str | None, mailbox: Mailbox | None) -> ActorRef[Any]:
        sharded: Sharded[Any] = behavior  # the system looked
        if mailbox is not None:
            raise UsageError(f"{type(sharded).__name__}: entities have mailboxes of their own; leave mailbox= out")
        if name is None:
            raise UsageError("a sharded type needs a name: clients and other nodes call it by that")
        self._register(sharded, name)
        daemons = sharded if isinstance(sharded, Daemons) else None
        cell = self.system.spawn_cell(Behaviors.receive(_unexpected), name, DaemonCell if daemons else RegionCell)
        region = DaemonRegion(self, daemons, cell) if daemons else Region(self, sharded, cell)
        assert isinstance(cell.ref, RegionRef)  # RegionCell makes no other
        cell.ref.bind(region)
        former = self._regions.get(name)
        self._regions[name] = region
        if former is not None:
            region.routing.succeed(former.routing)
        self._run_service()
        self._place(region)
        self._listen()
        self.system.state_changed()
        return cell.ref

    def shard_types(self) -> tuple[wire.ShardTypeState, ...]:
        members = self.system.members
        places = {member.uid: place for place, member in enumerate(members)}
        return tuple(
            wire.ShardTypeState(name, region.num_shards, region.routing.places(places))
            for name, region in sorted(self._living().items())
        )

    def resolve_entity(self, shard_type: str, entity_id: str) -> ActorRef[Any] | None:
        region = self._regions.get(shard_type)
        return EntityRef(region, region.checked_id(entity_id)) if region is not None else None

    def sharding_statistics(self, shard_type: str) -> ShardingStatistics | None:
        region = self._living().get(shard_type)
        return region.routing.statistics() if region is not None else None

    def region_state(self, shard_type: str) -> RegionState | None:
        region = self._living().get(shard_type)
        return region.state() if region is not None else None

    def write_ref(self, ref: ActorRef[Any]) -> tuple[int, bytes] | None:
        return refs.pack_entity(ref.shard_type, ref.entity_id) if isinstance(ref, EntityRef) else None

    def take_back(self, peer: Peer, lost: list[Held]) -> list[Held]:
        rest, living, mails = list[Held](), self._living(), dict[str, list[tuple[int, Mail]]]()
        for held in lost:
            frame = wire.unpack_entity(held.body) if held.kind == Kind.ENTITY else None
            read = read_back(peer, frame) if frame is not None and frame.shard_type in living else None
            if frame is None or read is None:
                rest.append(held)
            else:
                mails.setdefault(frame.shard_type, []).append((held.uid, (frame.entity_id, *read)))
        for name, returned in mails.items():
            living[name].routing.take_back(returned)
        return rest

    def cluster_changed(self) -> None:
        members = self.system.members
        if all(member.uid != self.system.uid for member in members):
            if self._members and self.system.joins_another:
                self.node_downed()  # its members have these shards
            return  # it is none yet, or none any more
        self._members = {member.uid: member for member in sorted(members, key=lambda member: member.age)}
        self.keeping.members_changed(self._members)
        for name, coordination in list(self._coordinations.items()):
            if self._oldest(coordination.role) != self.system.uid:
                del self._coordinations[name]
            else:
                self._tell_members(coordination)
        for region in self._regions.values():
            self._place(region)
        self._listen()

    def node_downed(self) -> None:
        self._forget_members()
        for region in self._living().values():
            region.routing.node_downed()

    def node_left(self) -> None:
        self._forget_members()
        for region in self._living().values():
            region.routing.node_left(f"{self.system.node_id} has left the cluster")

    def _forget_members(self) -> None:
        self._members = {}
        self._coordinations.clear()
        self._said.clear()
        self._terms.clear()
        self.keeping.forget()

    @property
    def hosts_nothing(self) -> bool:
        return all(region.empty for region in self._living().values())

    async def freed(self) -> None:
        await self._changed.wait()

    async def hand_over(self) -> None:
        """Give this node's shards to others, as far as there are any; their entities stop at the deadline."""
        routings = [region.routing for region in self._living().values()]
        for routing in routings:
            routing.give_up_hosting()
        self._listen()
        with trio.move_on_after(self.system.all_settings.sharding.leave_timeout):
            while not all(routing.relieved(alone=self._alone(routing.role)) for routing in routings):
                await self._changed.wait()
        await self._stop_what_is_left()

    async def _stop_what_is_left(self) -> None:
        """Have entities end before others can start them: these will, when this node is gone."""
        left = [region for region in self._living().values() if not self._alone(region.routing.role)]
        for region in left:
            region.close()
        settings = self.system.settings
        with trio.move_on_after(settings.grace + settings.hook_timeout + MARGIN):
            while not all(region.empty or region.cell.ended for region in left):
                await self._changed.wait()

    # --- What regions and coordinators ask ----------------------------------------------------------------------------

    def now(self) -> float:
        """The time that deadlines go by."""
        return self.system.env.now()

    def successor(self, region: Region) -> Region:
        """The region that a type has now."""
        return self._regions.get(region.shard_type, region)

    def checked(self, message: Any) -> Any:
        """A message as it would arrive from another node."""
        return self.system.checked.copy(message)

    def member(self, uid: int) -> Member | None:
        """The member of that uid, as far as it is known."""
        return self._members.get(uid)

    def peer_of(self, uid: int) -> Peer | None:
        """The connection to a member, or what waits for one."""
        member = self._members.get(uid)
        return self.system.peers.at(*member.address) if member is not None and uid != self.system.uid else None

    def say(self, uid: int, shard_type: str, word: homing.Word) -> None:
        """Tell a node something, if there is a connection; what is not said now is said again. This node hears it soon."""
        if uid == self.system.uid:
            self._said.append((shard_type, word))
            return
        peer = self.peer_of(uid)
        connection = peer.connection if peer is not None else None
        if connection is None or connection.link.peer.uid != uid:
            return
        body = homing.pack(homing.Typed(shard_type, word))
        with suppress(LinkClosedError, LinkFullError):
            if len(body) + FRAME_MARGIN < connection.link.session.max_frame:
                connection.link.write_control(Kind.SHARDS, body)
            else:
                connection.link.write(Kind.PLACEMENT, body)

    def moved(self) -> None:
        """A shard has another home: clients have to know, when all that happens now has happened."""
        self._has_moved = True

    def wake(self) -> None:
        """Something has happened."""
        self._changed.set()
        self._changed = trio.Event()
        self._listen()
        self._clockwork.wake()

    # --- Members ------------------------------------------------------------------------------------------------------

    def _oldest(self, role: str) -> int:
        """Who coordinates the types of a role."""
        for uid, member in self._members.items():
            if member.status == MemberStatus.UP and (not role or role in member.roles):
                return uid
        return 0

    def _alone(self, role: str) -> bool:
        """Whether no other member could host shards of the role's types."""
        me = self.system.uid
        up = [m for m in self._members.values() if m.status == MemberStatus.UP and m.uid != me]
        return not any(not role or role in member.roles for member in up)

    def _place(self, region: Region) -> None:
        if self._members:
            role = region.routing.role
            region.routing.members_changed(self.now(), self._members, self._oldest(role), self._oldest(""))
            if region.routing.waits:
                self.see_role(region.shard_type, role)

    def see_role(self, name: str, role: str) -> None:
        """Mail of a type waits: tell, once, when that is because no member has its role."""
        if self._members and name not in self._without and not any(role in each.roles for each in self._members.values()):
            self._without[name] = None
            self.system.log.warning("no member has the role %r of %r: its messages wait until one has it", role, name)

    def _tell_members(self, coordination: Coordination) -> None:
        state, role = self.system.cluster_state, coordination.role
        candidates = [
            Candidate(uid, member.node_id, member.status == MemberStatus.UP and (not role or role in member.roles))
            for uid, member in self._members.items()
        ]
        gone = any(member.status == MemberStatus.DOWN for member in state.members)
        coordination.members_changed(self.now(), candidates, unreachable=gone or bool(state.unreachable))

    # --- Words --------------------------------------------------------------------------------------------------------

    def _on_word(self, connection: Connection, body: memoryview) -> None:
        of_node(connection)
        typed = homing.unpack(body)
        self._hear(connection.link.peer.uid, typed.shard_type, typed.word)
        self._listen()

    def _listen(self) -> None:
        """Hear what this node has said to itself; then tell who has to know what has become of it."""
        if self._listening:
            return
        self._listening = True
        try:
            while self._said:
                self._hear(self.system.uid, *self._said.popleft())
        finally:
            self._listening = False
        if self._has_moved:
            self._has_moved = False
            self.system.state_changed()

    def _hear(self, sender: int, name: str, word: homing.Word) -> None:
        if isinstance(word, homing.Hello | homing.Report | homing.Answer):
            coordination = self._coordinations.get(name)
            if isinstance(word, homing.Hello) and (coordination is None or coordination.outlived_by(word)):
                made = self._coordinate(name, word, coordination.term if coordination is not None else 0)
                coordination = made or coordination
            if coordination is not None:
                coordination.hear(self.now(), sender, word)
            return
        if isinstance(word, homing.Query) and not self._makes_way(sender, name, word):
            return
        region = self._regions.get(name)
        if region is not None:
            region.routing.hear(self.now(), sender, word)
        elif isinstance(word, homing.Query):
            self._terms[name] = max(self._terms.get(name, word.term), word.term)
            self.say(sender, name, homing.Report(self._terms[name]))

    def _makes_way(self, sender: int, name: str, query: homing.Query) -> bool:
        """Whether another coordinator is answered: not while this node has one of another shape, so that one decides."""
        coordination = self._coordinations.get(name)
        if coordination is None or coordination.shape == (query.num_shards, query.role):
            return True
        if coordination.gives_way(query):
            del self._coordinations[name]
            return True
        hello = coordination.hello()
        if hello is not None:
            self.say(sender, name, hello)
        return False

    def drop(self, name: str, coordination: Coordination) -> None:
        """A coordinator has given way to one of another shape."""
        if self._coordinations.get(name) is coordination:
            del self._coordinations[name]

    def _coordinate(self, name: str, hello: homing.Hello, former: int) -> Coordination | None:
        """Coordinate a type from now on, if this node is the one that does."""
        if self._oldest(hello.role) != self.system.uid or not hello.num_shards:
            return None
        region = self._living().get(name)
        known = region is not None and (region.num_shards, region.routing.role) == (hello.num_shards, hello.role)
        allocation = region.routing.behavior.allocation if region is not None and known else None
        own = max(region.routing.homes.term if region is not None else (0, 0), self._terms.get(name, (0, 0)))[0]
        after = max(own, hello.term[0], former)
        made = self._coordinations[name] = Coordination(self, name, hello.num_shards, hello.role, allocation, after)
        self._run_service()
        self._tell_members(made)
        return made

    def _on_marker(self, connection: Connection, body: memoryview) -> None:
        of_node(connection)
        marker = homing.unpack_marker(body)
        region = self._regions.get(marker.shard_type)
        if region is not None:
            region.routing.on_marker(self.now(), connection.link.peer.uid, marker)

    def _on_leftover(self, connection: Connection, body: memoryview) -> None:
        of_node(connection)
        frame = homing.unpack_leftover(body)
        slot = connection.open_slot(frame.ask, frame.budget) if frame.ask else None
        region = self._regions.get(frame.shard_type)
        message = self.system.decode(connection, frame.name, frame.body, slot, frame.shard_type)
        if region is not None:
            region.routing.on_leftover(frame, message, slot, refused=message is REFUSED)

    def _on_handover(self, connection: Connection, body: memoryview) -> None:
        of_node(connection)
        handover = homing.unpack_handover(body)
        region = self._regions.get(handover.shard_type)
        if region is not None:
            region.routing.on_handover(self.now(), connection.link.peer.uid, handover)

    # --- Time ---------------------------------------------------------------------------------------------------------

    def _run_service(self) -> None:
        if not self._running:
            self._running = True
            self.system.start_service(self._clockwork.run, "sharding")

    def _due(self) -> float:
        due = [region.routing.next_wakeup for region in self._regions.values()]
        due += [coordination.next_wakeup for coordination in self._coordinations.values()]
        return min(due, default=math.inf)

    def _tick(self) -> None:
        now = self.now()
        for region in list(self._regions.values()):
            if region.routing.next_wakeup <= now:
                region.routing.tick(now)
        for coordination in list(self._coordinations.values()):
            if coordination.next_wakeup <= now:
                coordination.tick(now)
        self._listen()

    # --- Types and messages -------------------------------------------------------------------------------------------

    def _living(self) -> dict[str, Region]:
        return {name: region for name, region in self._regions.items() if not region.cell.ended}

    def _register(self, behavior: Sharded[Any], name: str) -> None:
        if not behavior.message_types and not self.system.has_messages:
            raise UnknownMessageTypeError(
                f"the factory of {name!r} does not tell which messages its entities handle: annotate it "
                "(def cart(entity_id: str) -> Behavior[CartMessage]), or give the system messages=[CartMessage]"
            )
        self.system.codec.register(*behavior.message_types)

    def _on_entity(self, connection: Connection, body: memoryview) -> None:
        frame = wire.unpack_entity(body)
        slot = connection.open_slot(frame.ask, frame.budget) if frame.ask else None
        region = self._regions.get(frame.shard_type)
        problem = self._problem(region, frame)
        if region is None or problem is not None:
            assert problem is not None  # without a region there is one
            self.system.tell_refused(connection, frame.shard_type, frame.shard_type, problem)
            self.system.refuse(slot, problem, frame.shard_type)
            return
        message = self.system.decode(connection, frame.name, frame.body, slot, frame.shard_type)
        if message is REFUSED:
            return
        if connection.peer is not None:
            region.deliver_from_node(frame.entity_id, message, slot)
        else:
            region.deliver_from_client(frame.entity_id, message, slot)

    def _problem(self, region: Region | None, frame: wire.EntityFrame) -> Exception | None:
        if region is None:
            return UnknownActorError(f"{self.system.node_id} has no sharded type {frame.shard_type[:NAME_LIMIT]!r}")
        if not frame.entity_id:
            return UnknownActorError("an entity id is a text that is not empty")
        if region.num_shards != frame.num_shards:
            return ShardCountError(
                f"{frame.shard_type!r} has {region.num_shards} shards on {self.system.node_id}, "
                f"and {frame.num_shards} at the sender"
            )
        return region.routing.refusal()


def _unexpected(_: object, message: object) -> None:
    raise UsageError(f"a region takes no messages of its own, least of all {message!r}")
