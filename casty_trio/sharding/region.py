"""The region of one sharded type on this node: from an entity id to the actor. Floor F5.

Routing is synchronous: a message goes straight into the entity's mailbox, in the task of whoever sent it, or to where its
shard is, which `Routing` knows. The region is an actor, the parent of its entities, but no message to an entity passes
through its mailbox.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar, cast

from trio.lowlevel import checkpoint

from casty_trio.actors.cell import Cell
from casty_trio.actors.refs import AskableRef, LocalRef, ReplySlot
from casty_trio.errors import ActorStoppedError, AskError, SystemClosedError, UsageError
from casty_trio.model.address import ActorAddress, quote_name
from casty_trio.model.envelope import ShardEnvelope, is_envelope
from casty_trio.model.kinds import Sharded
from casty_trio.model.ref import ActorRef
from casty_trio.model.statistics import RegionState
from casty_trio.protocol.shards import shard_of
from casty_trio.sharding.entities import EntityFamily
from casty_trio.sharding.extracting import extract_of
from casty_trio.sharding.holding import Drain, Target
from casty_trio.sharding.routing import Mail, Routing

if TYPE_CHECKING:
    from casty_trio.sharding.extension import Sharding

__all__ = ["EntityRef", "Region", "RegionRef"]

M = TypeVar("M", contravariant=True)

DOWNED_GRACE: Final = 1.0
"""How long the handler of an entity may go on when its node was declared down, in seconds: less than the others wait before
they start it anew."""


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
        self._region.ended()

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

    family_type: ClassVar[type[EntityFamily]] = EntityFamily

    def __init__(self, sharding: Sharding, behavior: Sharded[Any], cell: Cell[Any]) -> None:
        self.sharding = sharding
        self.shard_type: str = cell.name
        self.num_shards: int = behavior.num_shards
        self.role: str = behavior.role
        self.cell = cell
        self.entities: EntityFamily = self.family_type(cell.path, self, behavior)
        self._refs = self.entities.refs
        self._find = self.entities.find
        self._touch = self.entities.touch
        self._extract = extract_of(cell.path, behavior)
        self._drained: dict[int, Drain] = {}
        self._closed = False
        self.routing: Routing = Routing(self, behavior)
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
        """Bring a caller's message to its entity, wherever that is."""
        if self.sharding.system.check_serialization:
            message = self.sharding.checked(message)
        try:
            ref = self._find(entity_id)
        except TypeError:  # it cannot be looked up at all, and is told so as any other that is no id
            ref = None
        if ref is None:
            self.routing.route(self.checked_id(entity_id), message, slot)
        elif slot is None:
            ref.tell(message)
        else:
            ref.tell_asked(message, slot)

    def deliver_from_node(self, entity_id: str, message: Any, slot: ReplySlot | None) -> None:
        """Take in what another node has sent here."""
        ref = self._find(entity_id)
        if ref is None:
            self.routing.arrive(entity_id, message, slot)
        elif slot is None:
            ref.tell(message)
        else:
            ref.tell_asked(message, slot)

    def deliver_from_client(self, entity_id: str, message: Any, slot: ReplySlot | None) -> None:
        """Bring what a client of this node has sent to its entity, wherever that is."""
        ref = self._find(entity_id)
        if ref is None:
            self.routing.pass_on(entity_id, message, slot)
        elif slot is None:
            ref.tell(message)
        else:
            ref.tell_asked(message, slot)

    def deliver(self, entity_id: str, message: object, slot: ReplySlot | None) -> None:
        """Put a message into the mailbox of an entity that lives here, and start the entity if it is not there."""
        ref = self._refs.get(entity_id)
        if ref is None:
            if self.stopping:
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

    # --- Shards that come and go --------------------------------------------------------------------------------------

    def fencing_token(self, shard: int) -> tuple[int, int]:
        """By which right this node has the shard."""
        epoch = self.routing.homes.epoch_of(shard)
        return (epoch[0], epoch[2]) if epoch is not None else (0, 0)

    def shard_of(self, entity_id: str) -> int:
        """The shard of an id."""
        return shard_of(entity_id, self.num_shards)

    def owns(self, shard: int) -> bool:
        """Whether entities of a shard may start here."""
        return self.routing.homes.takes(shard)

    def revive(self, entity_id: str) -> None:
        """Start an entity that is not there, without a message."""
        if entity_id not in self._refs:
            self._start(entity_id)

    def count(self, shard: int) -> int:
        """How many entities of a shard live here."""
        return self.entities.count(shard)

    def state(self) -> RegionState:
        """Which entities live here."""
        owned = sorted(self.routing.homes.owned)
        return RegionState(self.shard_type, {shard: self.entities.ids(shard) for shard in owned})

    @property
    def stopping(self) -> bool:
        """Whether no entity is to start here any more."""
        return self._closed or self.cell.stopping

    @property
    def empty(self) -> bool:
        """Whether no entity lives here."""
        return not self._refs

    def open_shard(self, shard: int) -> None:
        """Mail of this node for the shard may go to its entities here at once."""
        self.entities.open_shard(shard)

    def gained_shard(self, shard: int) -> None:
        """The shard lives here from now on, by a new right: whatever was remembered of it by an earlier one is past."""
        if self.entities.remembering is not None:
            self.entities.remembering.lost(shard)
            self.entities.remembering.gained(shard)

    def lost_shard(self, shard: int) -> None:
        """Another node has the shard."""
        if self.entities.remembering is not None:
            self.entities.remembering.lost(shard)

    def shut_shard(self, shard: int) -> None:
        """Mail of this node for the shard goes through `Routing`, which holds it."""
        self.entities.shut_shard(shard)

    def stop_shard(self, shard: int) -> bool:
        """Let the entities of a shard finish what they have, and stop: `Routing.shard_stopped` follows, if there are any.

        What they leave all the same is kept, in order, until `take_left`. Returns whether there are any.
        """
        drain = self._drained[shard] = self.entities.stop_shard(shard)
        return not drain.closed

    def cut_shard(self, shard: int) -> None:
        """Their time is over: have the entities of a shard stop after the message they handle."""
        self.entities.cut_shard(shard, self.cell.system.settings.grace)

    def left(self, shard: int) -> list[Mail]:
        """What the entities of a shard have left, in order; it is kept until `take_left`."""
        drain = self._drained.get(shard)
        return drain.left if drain is not None else []

    def take_left(self, shard: int) -> list[Mail]:
        """The same, and it is not kept any longer."""
        drain = self._drained.get(shard)
        if drain is None:
            return []
        if drain.closed:
            del self._drained[shard]
        left, drain.left = drain.left, []
        return left

    def shard_empty(self, shard: int) -> None:
        """The last entity of a shard is gone."""
        self.routing.shard_stopped(shard)

    def ended(self) -> None:
        """The type has ended here."""
        self.routing.close()
        if self.entities.remembering is not None:
            self.entities.remembering.stop()

    def stop_entities(self, *, at_once: bool = False) -> None:
        """Tell all entities to stop: this node may not have them any more.

        Parameters:
            at_once: whether they are soon started elsewhere, so that a handler gets no more than `DOWNED_GRACE`.
        """
        grace = self.cell.system.settings.grace
        reason = f"{self.sharding.system.node_id} is no member of the cluster any more"
        self.entities.stop_all(min(grace, DOWNED_GRACE) if at_once else grace, reason)

    def close(self) -> None:
        """As `stop_entities`, and for good: the node is about to leave, and the others do not wait for what would start now.

        The region may own shards until it has left, and mail for them may have been long on the way: nobody gets it.
        """
        self._closed = True
        self.stop_entities()

    def entity_ref(self, entity_id: str) -> ActorRef[Any]:
        """A ref to an entity, by type and id."""
        return EntityRef(self, entity_id)

    def _start(self, entity_id: str) -> Target:
        return self.entities.start(entity_id, self._name_of(entity_id))

    def checked_id(self, entity_id: Any) -> str:
        """An entity id, if it is one.

        Raises:
            UsageError: it is none.
        """
        self._name_of(entity_id)
        return entity_id  # type: ignore[no-any-return] # it is a text

    def _name_of(self, entity_id: Any) -> str:
        try:
            if isinstance(entity_id, str) and entity_id:
                return quote_name(entity_id)
        except UnicodeEncodeError:
            pass
        raise UsageError(f"{self.cell.path}: an entity id is a text that is not empty, not {entity_id!r}")

    def refuse(self, entity_id: str, message: object, slot: ReplySlot | None, reason: str | None = None) -> None:
        """A message will not be handled: the type ends here, if no other reason is given."""
        reason = reason or f"{self.shard_type} is stopping on {self.sharding.system.node_id}"
        self.lose(entity_id, message, slot, ActorStoppedError(reason))

    def lose(self, entity_id: str, message: object, slot: ReplySlot | None, error: Exception) -> None:
        """A message will not come to its entity."""
        if slot is not None:
            slot.fail(cast("AskError", error))  # or a `ShardCountError`, which says more
        self.cell.system.dead_letter(message, EntityRef(self, entity_id), str(error))
