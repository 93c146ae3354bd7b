"""Sharding as a service of a cluster node: its types, and the frames that carry messages to entities. Floor F5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from casty_trio.cluster import ClusteredActorSystem, Extension
from casty_trio.errors import ShardCountError, UnknownActorError, UnknownMessageTypeError, UsageError
from casty_trio.model.behavior import Behavior, Behaviors, Sharded
from casty_trio.model.mailbox import Mailbox
from casty_trio.model.ref import ActorRef
from casty_trio.protocol import refs, wire
from casty_trio.protocol.frames import Kind
from casty_trio.remote import REFUSED, Connection, FrameHandler
from casty_trio.sharding.region import EntityRef, Region, RegionCell, RegionRef

__all__ = ["Sharding"]

NAME_LIMIT = 255
"""No sharded type has a longer name; what a peer writes instead is cut."""


class Sharding(Extension):
    """The sharded types of one node."""

    behavior: ClassVar[type[Behavior[Any]]] = Sharded
    seen_to: ClassVar[tuple[type[ActorRef[Any]], ...]] = (RegionRef,)

    def __init__(self, system: ClusteredActorSystem) -> None:
        super().__init__(system)
        self._regions: dict[str, Region] = {}

    def frames(self) -> Mapping[int, FrameHandler]:
        return {Kind.ENTITY: self._on_entity}

    def spawn(self, behavior: Any, name: str | None, mailbox: Mailbox | None) -> ActorRef[Any]:
        sharded: Sharded[Any] = behavior  # the system looked
        if mailbox is not None:
            raise UsageError(f"{type(sharded).__name__}: entities have mailboxes of their own; leave mailbox= out")
        if name is None:
            raise UsageError("a sharded type needs a name: clients and other nodes call it by that")
        self._register(sharded, name)
        cell = self.system.spawn_cell(Behaviors.receive(_unexpected), name, RegionCell)
        region = Region(self, sharded, cell)
        assert isinstance(cell.ref, RegionRef)  # RegionCell makes no other
        cell.ref.bind(region)
        self._regions[name] = region
        self.system.state_changed()
        return cell.ref

    def shard_types(self) -> tuple[wire.ShardTypeState, ...]:
        here = self.system.place  # every node has all the shards of its types
        return tuple(
            wire.ShardTypeState(name, region.num_shards, (here,) * region.num_shards)
            for name, region in sorted(self._living().items())
        )

    def resolve_entity(self, shard_type: str, entity_id: str) -> ActorRef[Any] | None:
        region = self._regions.get(shard_type)
        return EntityRef(region, entity_id) if region is not None else None

    def write_ref(self, ref: ActorRef[Any]) -> tuple[int, bytes] | None:
        return refs.pack_entity(ref.shard_type, ref.entity_id) if isinstance(ref, EntityRef) else None

    def node_downed(self) -> None:
        for region in self._living().values():
            region.stop_entities()

    def successor(self, region: Region) -> Region:
        """The region that a type has now."""
        return self._regions.get(region.shard_type, region)

    def checked(self, message: Any) -> Any:
        """A message as it would arrive from another node."""
        return self.system.checked.copy(message)

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
        if region is None or region.num_shards != frame.num_shards or not frame.entity_id:
            problem = self._problem(region, frame)
            self.system.tell_refused(connection, frame.shard_type, frame.shard_type, problem)
            self.system.refuse(slot, problem, frame.shard_type)
            return
        message = self.system.decode(connection, frame.name, frame.body, slot, frame.shard_type)
        if message is not REFUSED:
            region.deliver(frame.entity_id, message, slot)

    def _problem(self, region: Region | None, frame: wire.EntityFrame) -> Exception:
        if region is None:
            return UnknownActorError(f"{self.system.node_id} has no sharded type {frame.shard_type[:NAME_LIMIT]!r}")
        if not frame.entity_id:
            return UnknownActorError("an entity id is a text that is not empty")
        return ShardCountError(
            f"{frame.shard_type!r} has {region.num_shards} shards on {self.system.node_id}, "
            f"and {frame.num_shards} at the sender"
        )


def _unexpected(_: object, message: object) -> None:
    raise UsageError(f"a region takes no messages of its own, least of all {message!r}")
