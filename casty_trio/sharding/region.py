"""The region of one sharded type on this node: from an entity id to the actor. Floor F5.

Routing is synchronous: a message goes straight into the entity's mailbox, in the task of whoever sent it. The region is an
actor, the parent of its entities, but no message to an entity passes through its mailbox.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from trio.lowlevel import checkpoint

from casty_trio.actors.cell import Cell
from casty_trio.actors.refs import AskableRef, LocalRef, ReplySlot
from casty_trio.errors import ActorStoppedError, SystemClosedError, UsageError
from casty_trio.model.address import ActorAddress, quote_name
from casty_trio.model.behavior import Sharded
from casty_trio.model.envelope import ShardEnvelope, is_envelope
from casty_trio.model.ref import ActorRef
from casty_trio.sharding.entities import EntityFamily, Target
from casty_trio.sharding.extracting import extract_of

if TYPE_CHECKING:
    from casty_trio.sharding.extension import Sharding

__all__ = ["EntityRef", "Region", "RegionRef"]

M = TypeVar("M", contravariant=True)


class EntityRef(AskableRef[M]):
    """A ref to an entity by type and id: good while the entity, or its whole type, stops, starts again, or moves."""

    __slots__ = ("_region", "entity_id")

    def __init__(self, region: Region, entity_id: str) -> None:
        self._region = region
        self.entity_id: str = entity_id

    @property
    def address(self) -> ActorAddress:
        region = self._region
        return ActorAddress(region.cell.system.name, f"/{region.shard_type}/{quote_name(self.entity_id)}")

    @property
    def shard_type(self) -> str:
        """The name of the entity's type."""
        return self._region.shard_type

    def tell(self, message: M) -> None:
        self._home().deliver_local(self.entity_id, message, None)

    async def send(self, message: M) -> None:
        await checkpoint()
        self.tell(message)

    def tell_asked(self, message: M, slot: ReplySlot) -> None:
        self._home().deliver_local(self.entity_id, message, slot)

    def _home(self) -> Region:
        if self._region.cell.ended:  # its type may have been spawned again
            self._region = self._region.sharding.successor(self._region)
        return self._region


class RegionRef(LocalRef[ShardEnvelope[M]]):
    """The ref that `spawn` gives for a sharded type; it takes envelopes, and hands their messages to entities."""

    __slots__ = ("_region",)

    def bind(self, region: Region) -> None:
        """Tell the ref whose it is."""
        self._region = region

    def region_ended(self) -> None:
        """The type is gone from this node: its clients have to know."""
        self._region.sharding.system.state_changed()

    def tell(self, message: ShardEnvelope[M]) -> None:
        self._region.deliver_envelope(message, None)

    async def send(self, message: ShardEnvelope[M]) -> None:
        await checkpoint()
        self.tell(message)

    def tell_asked(self, message: ShardEnvelope[M], slot: ReplySlot) -> None:
        self._region.deliver_envelope(message, slot)


class RegionCell(Cell[Any]):
    """The actor that is the parent of a type's entities."""

    __slots__ = ()
    ref_type: ClassVar[type[LocalRef[Any]]] = RegionRef

    def _end(self, failure: Exception | None) -> None:
        super()._end(failure)
        ref: Any = self.ref  # this kind of cell makes a RegionRef
        ref.region_ended()


class Region:
    """One sharded type on this node."""

    def __init__(self, sharding: Sharding, behavior: Sharded[Any], cell: Cell[Any]) -> None:
        self.sharding = sharding
        self.shard_type: str = cell.name
        self.num_shards: int = behavior.num_shards
        self.cell = cell
        self.entities: EntityFamily = EntityFamily(cell.path, self, behavior)
        self._refs = self.entities.refs
        self._touch = self.entities.touch
        self._extract = extract_of(cell.path, behavior)
        cell.children = self.entities
        self.entities.start_beside(cell.parent)

    def deliver_envelope(self, envelope: Any, slot: ReplySlot | None) -> None:
        """Hand a local caller's message to its entity."""
        if is_envelope(envelope):
            self.deliver_local(envelope.entity_id, envelope.message, slot)
        else:
            entity_id, message = self._extract(envelope)
            self.deliver_local(entity_id, message, slot)

    def deliver_local(self, entity_id: str, message: Any, slot: ReplySlot | None) -> None:
        """As `deliver`, for a caller on this node."""
        if self.sharding.system.check_serialization:
            message = self.sharding.checked(message)
        self.deliver(entity_id, message, slot)

    def deliver(self, entity_id: str, message: object, slot: ReplySlot | None) -> None:
        """Put a message into an entity's mailbox, and start the entity if it is not there."""
        ref = self._refs.get(entity_id)
        if ref is None:
            if self.cell.stopping:
                self.refuse(entity_id, message, slot)
                return
            try:
                ref = self._start(entity_id)
            except SystemClosedError:  # the block was cancelled, and connections outlive its actors
                self.refuse(entity_id, message, slot)
                return
        elif self._touch is not None:
            self._touch(entity_id)
        if slot is None:
            ref.tell(message)
        else:
            ref.tell_asked(message, slot)

    def stop_entities(self) -> None:
        """Tell all entities to stop: this start of the node may not have them any more."""
        self.entities.stop_all(f"{self.sharding.system.node_id} is no member of the cluster any more")

    def entity_ref(self, entity_id: str) -> ActorRef[Any]:
        """A ref to an entity, by type and id."""
        return EntityRef(self, entity_id)

    def _start(self, entity_id: str) -> Target:
        return self.entities.start(entity_id, self._name_of(entity_id))

    def _name_of(self, entity_id: Any) -> str:
        try:
            if isinstance(entity_id, str) and entity_id:
                return quote_name(entity_id)
        except UnicodeEncodeError:
            pass
        raise UsageError(f"{self.cell.path}: an entity id is a text that is not empty, not {entity_id!r}")

    def refuse(self, entity_id: str, message: object, slot: ReplySlot | None, reason: str | None = None) -> None:
        """A message will not be handled: the type stops on this node, if no other reason is given."""
        reason = reason or f"{self.shard_type} is stopping on {self.sharding.system.node_id}"
        if slot is not None:
            slot.fail(ActorStoppedError(reason))
        self.cell.system.dead_letter(message, EntityRef(self, entity_id), reason)
