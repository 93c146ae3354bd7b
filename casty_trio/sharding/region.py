"""The region of one sharded type on this node: from an entity id to the actor. Floor F5.

Routing is synchronous: a message goes straight into the entity's mailbox, in the task of whoever sent it, or to where its
shard is, which `Routing` knows. The region is an actor, the parent of its entities, but no message to an entity passes
through its mailbox.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar, cast
from urllib.parse import unquote

from trio.lowlevel import checkpoint

from casty_trio.actors.cell import Cell
from casty_trio.actors.context import Context
from casty_trio.actors.family import Family
from casty_trio.actors.mail import Adapted, Asked, Notice
from casty_trio.actors.post import STOP
from casty_trio.actors.refs import AskableRef, LocalRef, ReplySlot
from casty_trio.errors import ActorStoppedError, AskError, SystemClosedError, UsageError
from casty_trio.model.address import ActorAddress, quote_name
from casty_trio.model.behavior import Behaviors, Sharded
from casty_trio.model.envelope import ShardEnvelope, is_envelope
from casty_trio.model.ref import ActorRef
from casty_trio.model.signals import Signal
from casty_trio.protocol.shards import shard_of
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


class EntityContext(Context[Any]):
    """What an entity's handler gets: it knows itself by type and id."""

    __slots__ = ()

    @property
    def self(self) -> ActorRef[Any]:
        family = self._cell.parent
        assert isinstance(family, EntityFamily)  # entities have no other parent
        return EntityRef(family.region, unquote(self._cell.name))


class Drained(Signal, frozen=True):
    """Stands behind the mail that an entity is still to handle: there it stops."""


DRAINED = Drained()


class EntityCell(Cell[Any]):
    """The actor of one entity."""

    __slots__ = ()
    context_type: ClassVar[type[Context[Any]]] = EntityContext

    def _handle_special(self, item: object) -> Any:
        if type(item) is Notice and item.signal is DRAINED:
            return STOP
        return super()._handle_special(item)

    def _leave(self, item: object, failure: Exception | None = None) -> None:
        family = self.parent
        assert isinstance(family, EntityFamily)  # entities have no other parent
        if type(item) is Adapted or not family.keeps(self.name, item):
            super()._leave(item, failure)
        else:
            self.ref.sent -= 1  # as if it had never come here: it goes to the entity's next home


class EntityFamily(Family):
    """The entities of a region: by name for look-ups, by id for routing, and by shard for moves.

    Attributes:
        refs: the refs of all entities that live, by id.
        open: of those, the ones to which mail of this node may go at once.
        shards: the ids of those that live, by shard.
        left: what entities of a shard that drains have not handled, by shard; in order.
    """

    __slots__ = ("left", "open", "refs", "region", "shards")

    def __init__(self, path: str, region: Region) -> None:
        super().__init__(path)
        self.region: Region = region
        self.refs: dict[str, LocalRef[Any]] = {}
        self.open: dict[str, LocalRef[Any]] = {}
        self.shards: dict[int, dict[str, None]] = {}
        self.left: dict[int, list[Mail]] = {}

    def add_entity(self, cell: Cell[Any], entity_id: str, shard: int) -> LocalRef[Any]:
        """Start an entity's task."""
        self.add(cell)
        self.refs[entity_id] = cell.ref
        self.shards.setdefault(shard, {})[entity_id] = None
        return cell.ref

    def keeps(self, name: str, item: Any) -> bool:
        """Whether a message that an entity leaves goes on to the next home of its shard."""
        entity_id = unquote(name)
        left = self.left.get(shard_of(entity_id, self.region.num_shards))
        if left is None:
            return False
        asked = type(item) is Asked
        if asked and (item.slot.closed or type(item.message) is Adapted):
            return False
        left.append((entity_id, item.message, item.slot) if asked else (entity_id, item, None))
        return True

    def forget(self, cell: Cell[Any]) -> None:
        entity_id = unquote(cell.name)
        if self.refs.pop(entity_id, None) is not None:
            self.open.pop(entity_id, None)
            shard = shard_of(entity_id, self.region.num_shards)
            live = self.shards[shard]
            del live[entity_id]
            if not live:
                del self.shards[shard]
        super().forget(cell)
        self.region.entity_ended(shard_of(entity_id, self.region.num_shards))


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

    def __init__(self, sharding: Sharding, behavior: Sharded[Any], cell: Cell[Any]) -> None:
        self.sharding = sharding
        self.shard_type: str = cell.name
        self.num_shards: int = behavior.num_shards
        self.cell = cell
        self._factory = behavior.factory
        self._entities = EntityFamily(cell.path, self)
        self._refs = self._entities.refs
        self._open = self._entities.open
        self.routing: Routing = Routing(self, behavior)
        cell.children = self._entities
        self._entities.start_beside(cell.parent)

    def deliver_envelope(self, envelope: Any, slot: ReplySlot | None) -> None:
        """Hand a local caller's message to its entity."""
        if not is_envelope(envelope):
            raise UsageError(f"{self.cell.path} takes ShardEnvelope(entity_id, message), not {type(envelope).__name__}")
        self.deliver_local(envelope.entity_id, envelope.message, slot)

    def deliver_local(self, entity_id: str, message: Any, slot: ReplySlot | None) -> None:
        """Bring a caller's message to its entity, wherever that is."""
        if self.sharding.system.check_serialization:
            message = self.sharding.checked(message)
        ref = self._open.get(entity_id)
        if ref is None:
            self.routing.route(self.checked_id(entity_id), message, slot)
        elif slot is None:
            ref.tell(message)
        else:
            ref.tell_asked(message, slot)

    def deliver_from_node(self, entity_id: str, message: Any, slot: ReplySlot | None) -> None:
        """Take in what another node has sent here."""
        ref = self._open.get(entity_id)
        if ref is None:
            self.routing.arrive(entity_id, message, slot)
        elif slot is None:
            ref.tell(message)
        else:
            ref.tell_asked(message, slot)

    def deliver_from_client(self, entity_id: str, message: Any, slot: ReplySlot | None) -> None:
        """Bring what a client of this node has sent to its entity, wherever that is."""
        ref = self._open.get(entity_id)
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
            if self.cell.stopping:
                self.refuse(entity_id, message, slot)
                return
            try:
                ref = self._start(entity_id)
            except SystemClosedError:  # the block was cancelled, and connections outlive its actors
                self.refuse(entity_id, message, slot)
                return
        if slot is None:
            ref.tell(message)
        else:
            ref.tell_asked(message, slot)

    # --- Shards that come and go --------------------------------------------------------------------------------------

    def count(self, shard: int) -> int:
        """How many entities of a shard live here."""
        return len(self._entities.shards.get(shard, ()))

    @property
    def empty(self) -> bool:
        """Whether no entity lives here."""
        return not self._refs

    def open_shard(self, shard: int) -> None:
        """Mail of this node for the shard may go to its entities here at once."""
        for entity_id in self._entities.shards.get(shard, ()):
            self._open[entity_id] = self._refs[entity_id]

    def shut_shard(self, shard: int) -> None:
        """Mail of this node for the shard goes through `Routing`, which holds it."""
        for entity_id in self._entities.shards.get(shard, ()):
            self._open.pop(entity_id, None)

    def stop_shard(self, shard: int) -> bool:
        """Let the entities of a shard finish what they have, and stop: `Routing.shard_stopped` follows, if there are any.

        What they leave all the same is kept, in order, until `take_left`. Returns whether there are any.
        """
        self._entities.left[shard] = []
        live = self._entities.shards.get(shard, {})
        for entity_id in live:
            self._refs[entity_id].put(Notice(DRAINED))
        return bool(live)

    def cut_shard(self, shard: int) -> None:
        """Their time is over: have the entities of a shard stop after the message they handle."""
        for entity_id in list(self._entities.shards.get(shard, ())):
            self._refs[entity_id].cell.stop(self.cell.system.settings.grace)

    def left(self, shard: int) -> list[Mail]:
        """What the entities of a shard have left, in order; it is kept until `take_left`."""
        return self._entities.left.get(shard, [])

    def take_left(self, shard: int) -> list[Mail]:
        """The same, and it is not kept any longer."""
        return self._entities.left.pop(shard, [])

    def entity_ended(self, shard: int) -> None:
        """An entity is gone."""
        if shard not in self._entities.shards:
            self.routing.shard_stopped(shard)

    def ended(self) -> None:
        """The type has ended here."""
        self.routing.close()

    def stop_entities(self, *, at_once: bool = False) -> None:
        """Tell all entities to stop: this node may not have them any more.

        Parameters:
            at_once: whether they are soon started elsewhere, so that a handler gets no more than `DOWNED_GRACE`.
        """
        grace = self.cell.system.settings.grace
        self._open.clear()
        for ref in list(self._refs.values()):
            ref.cell.stop(min(grace, DOWNED_GRACE) if at_once else grace)

    def _start(self, entity_id: str) -> LocalRef[Any]:
        name = self._name_of(entity_id)
        factory = self._factory
        behavior = Behaviors.setup(lambda _: factory(entity_id))  # in the entity's task: a factory that fails, fails alone
        cell = EntityCell(self.cell.system, self._entities, name, behavior, None)
        shard = shard_of(entity_id, self.num_shards)
        ref = self._entities.add_entity(cell, entity_id, shard)
        if self.routing.is_here(shard):
            self._open[entity_id] = ref
        return ref

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

    def refuse(self, entity_id: str, message: object, slot: ReplySlot | None) -> None:
        """The type ends here."""
        reason = f"{self.shard_type} is stopping on {self.sharding.system.node_id}"
        self.lose(entity_id, message, slot, ActorStoppedError(reason))

    def lose(self, entity_id: str, message: object, slot: ReplySlot | None, error: Exception) -> None:
        """A message will not come to its entity."""
        if slot is not None:
            slot.fail(cast("AskError", error))  # or a `ShardCountError`, which says more
        self.cell.system.dead_letter(message, EntityRef(self, entity_id), str(error))
