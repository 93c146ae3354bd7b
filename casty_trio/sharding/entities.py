"""The entities of one sharded type on this node: how their actors start, go, and are followed by others. Floor F5.

An entity whose actor is to go is *held*: in its place in the routing table stands what keeps its mail, in order, until the
actor has ended. Its actor first handles what it has in its mailbox, then stops, or gets the type's stop message. What it
leaves and what was held meanwhile, with the reply slots of asks, goes to the entity's next actor; or, when its whole shard
leaves this node (`EntityFamily.stop_shard`), to whoever drains it.
"""

from __future__ import annotations

import math
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from casty_trio.actors.cell import Cell
from casty_trio.actors.context import Context
from casty_trio.actors.family import Family
from casty_trio.actors.finishing import Limit
from casty_trio.actors.mail import Adapted, Asked, Finish
from casty_trio.cluster.careful import CarefulCell, Host
from casty_trio.errors import SystemClosedError
from casty_trio.model.address import quote_name
from casty_trio.model.behavior import Behaviors
from casty_trio.model.entity import EntityInfo
from casty_trio.model.kinds import Sharded
from casty_trio.model.passivation import Passivation
from casty_trio.model.ref import ActorRef
from casty_trio.protocol.shards import shard_of
from casty_trio.sharding.holding import Drain, Held, Target, Unstored, put
from casty_trio.sharding.passivation import IdleWatch
from casty_trio.sharding.remembering import Remembering

if TYPE_CHECKING:
    from casty_trio.sharding.region import Region

__all__ = ["EntityCell", "EntityFamily"]


class EntityContext(Context[Any]):
    """What an entity's handler gets: it knows itself by type and id."""

    __slots__ = ()
    _cell: EntityCell

    @property
    def self(self) -> ActorRef[Any]:
        return self._cell.entities.region.entity_ref(self._cell.entity_id)

    @property
    def entity(self) -> EntityInfo:
        cell = self._cell
        return EntityInfo(cell.entities.region.shard_type, cell.entity_id, cell.shard, cell.fencing_token)

    def passivate(self) -> None:
        self._cell.entities.passivate(self._cell)


class EntityCell(CarefulCell):
    """The actor of one entity."""

    __slots__ = ("cancelled", "entity_id", "fencing_token", "held", "quiet", "ring", "sent_away", "shard", "uses")
    context_type: ClassVar[type[Context[Any]]] = EntityContext

    def __init__(self, family: EntityFamily, entity_id: str, name: str, shard: int) -> None:
        factory = family.behavior.factory
        behavior = Behaviors.setup(lambda _: factory(entity_id))  # in the entity's task: a factory that fails, fails alone
        super().__init__(family.region.cell.system, family, name, behavior, None)
        self.entity_id: str = entity_id
        self.host: Host = family.region.sharding.system
        self.shard: int = shard
        self.fencing_token: tuple[int, int] = family.region.fencing_token(shard)
        self.held: Held | None = None
        self.ring: dict[EntityCell, None] | None = None
        self.quiet: int = 0
        self.uses: int = 0
        self.sent_away: bool = False
        self.cancelled: bool = False

    def stop_by(self, stop_at: float) -> Family | None:
        self.sent_away = True
        return super().stop_by(stop_at)

    @property
    def entities(self) -> EntityFamily:
        """The entities that it is one of."""
        assert isinstance(self.parent, EntityFamily)  # entities have no other parent
        return self.parent

    @property
    def _in_vain(self) -> bool:
        """Whether it ends by itself before it has handled anything: the next actor would do so, too, and start another."""
        return not (self.handled or self.sent_away or self.cancelled or self.entities.drains(self.shard))

    async def _close(self, failure: Exception | None) -> Exception | None:
        self.cancelled = sys.exception() is not None  # it is on its way out, with what ends the task
        return await super()._close(failure)

    def _leave(self, item: object, failure: Exception | None = None) -> None:
        if self.held is None or self._in_vain:
            super()._leave(item, failure)
        else:
            self.ref.sent -= 1  # whoever gets it next counts it
            self.held.left.append(item)


class EntityFamily(Family):
    """The entities of a region, by name for look-ups and by id for routing.

    Attributes:
        refs: who takes the mail of an entity, by its id; only of those that live, or are held.
        remembering: what is stored of them, where they are remembered.
        find: the same, of those to which mail of this node may go at once; the entity counts as used.
    """

    __slots__ = (
        "_direct",
        "_drains",
        "_idle",
        "_limit",
        "_pending",
        "_recent",
        "_shards",
        "behavior",
        "find",
        "refs",
        "region",
        "remembering",
    )

    def __init__(self, path: str, region: Region, behavior: Sharded[Any]) -> None:
        super().__init__(path)
        self.region: Region = region
        self.behavior: Sharded[Any] = behavior
        self.refs: dict[str, Target] = {}
        self._direct: dict[str, Target] = {}
        self._pending: dict[int, dict[str, Held]] = {}
        store = region.sharding.keeping.store(region) if behavior.remember_entities is True else behavior.remember_entities
        self.remembering: Remembering | None = None if store is None else Remembering(region, store)
        self._shards: dict[int, dict[str, EntityCell]] = {}
        self._drains: dict[int, Drain] = {}
        wanted = behavior.passivation if behavior.passivation is not None else Passivation(math.inf)
        self._limit = wanted.limit
        self._recent: OrderedDict[str, EntityCell] = OrderedDict()
        self.find: Callable[[str], Target | None] = self._direct.get if wanted.limit == math.inf else self._find
        watched = wanted.idle < math.inf
        self._idle = IdleWatch(region.cell.system, wanted.idle, self.passivate) if watched else None

    @property
    def touch(self) -> Callable[[str], None] | None:
        """What has to be called with the id when a living entity gets a message; None where nobody wants to know."""
        return self._touch if self._limit < math.inf else None

    def start(self, entity_id: str, name: str) -> Target:
        """Start an entity's task; while its shard is drained, what comes back keeps its mail instead.

        Raises:
            SystemClosedError: it is too late for that.
        """
        if self.closing:
            raise SystemClosedError(f"{self.path} is stopping: no entity is started in it")
        shard = shard_of(entity_id, self.behavior.num_shards)
        if (drain := self._drains.get(shard)) is not None:
            self.refs[entity_id] = held = drain.hold(entity_id)
            return held
        if self.remembering is not None and not self.remembering.knows(shard, entity_id):
            held = Unstored(self.region.routing, entity_id)
            if self.region.routing.has_room:  # else it refuses what it is about to get
                self.remembering.remember(shard, entity_id)  # and then it may start
                self.refs[entity_id] = self._pending.setdefault(shard, {})[entity_id] = held
            return held
        cell = EntityCell(self, entity_id, name, shard)
        self.add(cell)
        self.refs[entity_id] = cell.ref
        if self.region.routing.is_here(shard):
            self._direct[entity_id] = cell.ref
        self._shards.setdefault(shard, {})[entity_id] = cell
        self._watch(cell)
        return cell.ref

    def remembered(self, shard: int, entity_ids: Iterable[str]) -> None:
        """These are stored: those whose mail waits for that start."""
        pending = self._pending.get(shard, {})
        for entity_id in entity_ids:
            held = pending.pop(entity_id, None)
            if held is not None:
                del self.refs[entity_id]
                self._follow(entity_id, quote_name(entity_id), held)
        if not pending:
            self._pending.pop(shard, None)

    def passivate(self, cell: EntityCell) -> None:
        """Have an entity's actor go when it has handled what it has; without effect when it goes already."""
        if cell.held is not None or cell.stopping:
            return
        message, timeout = self.behavior.stop_message, cell.system.all_settings.entities.stop_timeout
        finish = Finish() if message is None else Finish(message)
        self._hold(cell, None if message is None else Limit(cell, finish, timeout))
        cell.ref.put(finish)

    def count(self, shard: int) -> int:
        """How many entities of a shard live here."""
        return len(self._shards.get(shard, ()))

    def ids(self, shard: int) -> tuple[str, ...]:
        """Which they are, sorted."""
        return tuple(sorted(self._shards.get(shard, ())))

    def open_shard(self, shard: int) -> None:
        """Mail of this node for the shard may go to its entities here at once."""
        for entity_id in self._shards.get(shard, ()):
            self._direct[entity_id] = self.refs[entity_id]

    def shut_shard(self, shard: int) -> None:
        """It may not any more."""
        for entity_id in self._shards.get(shard, ()):
            self._direct.pop(entity_id, None)

    def cut_shard(self, shard: int, grace: float) -> None:
        """Have the entities of a shard stop after the message they handle; what is held for others goes to nobody here."""
        if shard not in self._drains:
            self.refuse_pending(shard, "its shard has gone")
        for cell in list(self._shards.get(shard, {}).values()):
            if cell.held is not None and shard not in self._drains:
                cell.held.refused = f"{cell.path} does not live here any more"
            cell.stop(grace)

    def drains(self, shard: int) -> bool:
        """Whether what the entities of a shard leave goes to another node."""
        return shard in self._drains

    def _hold(self, cell: EntityCell, limit: Limit | None) -> None:
        cell.held = held = Held(cell, limit)
        self.refs[cell.entity_id] = held
        if cell.entity_id in self._direct:
            self._direct[cell.entity_id] = held
        self._unwatch(cell)

    def stop_shard(self, shard: int, deadline: float = math.inf, on_done: Callable[[Drain], None] | None = None) -> Drain:
        """Let the entities of a shard finish what they have accepted, and stop them; nothing is lost.

        From now on until it is done no entity of the shard starts here. Mail that comes all the same is kept, behind what
        its entity left. Calling it again for the shard, while it is drained, gives the same drain.

        Parameters:
            shard: which.
            deadline: when those that have not finished are stopped at once, in scheduler time.
            on_done: called when all have ended, with the drain; at once when there are none.
        """
        if (known := self._drains.get(shard)) is not None:
            return known
        cells = self._shards.get(shard, {})
        drain = self._drains[shard] = Drain(cells, deadline, on_done)
        drain.late.update(self._pending.pop(shard, {}))
        for cell in list(cells.values()):
            self.passivate(cell)
            if cell.held is None:  # it stops by itself; what it leaves is not lost
                self._hold(cell, None)
        if cells:
            self.region.cell.system.watch_deadline(drain)
        else:
            self._drained(shard)
        return drain

    def stop_all(self, grace: float, reason: str) -> None:
        """Have all actors stop now, within ``grace`` seconds; what is held becomes dead letters."""
        self._direct.clear()
        for shard in list(self._pending):
            self.refuse_pending(shard, reason)
        for target in list(self.refs.values()):
            if isinstance(target, Held):
                target.refused = reason
            if target.cell is not None:
                target.cell.stop(grace)

    def forget(self, cell: Cell[Any]) -> None:
        super().forget(cell)
        assert isinstance(cell, EntityCell)  # entities only
        entity_id, held = cell.entity_id, cell.held
        del self.refs[entity_id]
        self._direct.pop(entity_id, None)
        self._unwatch(cell)
        living = self._shards[cell.shard]
        del living[entity_id]
        if held is not None:
            if held.limit is not None:
                held.limit.closed = True
            self._hand_on(cell, held)
        if self.remembering is not None and entity_id not in self.refs:
            self._remember_end(cell)
        if not living and cell.shard in self._drains:
            self._drained(cell.shard)
        if not living:
            del self._shards[cell.shard]
            self.region.shard_empty(cell.shard)

    def _hand_on(self, cell: EntityCell, held: Held) -> None:
        """An actor has ended; what it has not handled goes to who is next."""
        drain = self._drains.get(cell.shard)
        if drain is not None and held.refused is None:
            drain.add(cell.entity_id, [item for item in held.take() if not self._is_lost(cell, item)])
        else:
            self._follow(cell.entity_id, cell.name, held)

    def _follow(self, entity_id: str, name: str, held: Held) -> None:
        """Start an actor for mail that was held, if there is any."""
        items = held.take()
        if not items:
            return
        try:
            if held.refused is None:
                target = self.start(entity_id, name)
                for item in items:
                    put(target, item)
                return
        except SystemClosedError:
            pass
        self._refuse(entity_id, items, held.refused)

    def refuse_pending(self, shard: int, reason: str) -> None:
        """What waits until its entity is stored goes to nobody."""
        for entity_id, held in self._pending.pop(shard, {}).items():
            self.refs.pop(entity_id, None)
            self._refuse(entity_id, held.take(), reason)

    def _remember_end(self, cell: EntityCell) -> None:
        """An entity has ended, and no other follows now: by its own wish, by a failure, or because it was told to."""
        assert self.remembering is not None  # the caller has looked
        if cell.shard in self._drains or self.closing or cell.cancelled:
            return
        if cell.held is not None and cell.held.refused is None:
            self.remembering.forget(cell.shard, cell.entity_id)
        elif cell.epitaph is not None:
            self.remembering.failed(cell.entity_id)
        elif not cell.sent_away:
            self.remembering.forget(cell.shard, cell.entity_id)

    def _refuse(self, entity_id: str, items: list[Any], reason: str | None) -> None:
        for item in items:
            message, slot = (item.message, item.slot) if type(item) is Asked else (item, None)
            self.region.refuse(entity_id, message, slot, reason)

    def _is_lost(self, cell: EntityCell, item: Any) -> bool:
        """What came through an adapter is made a message by the actor that made the adapter, and by no other node."""
        message = item.message if type(item) is Asked else item
        if type(message) is not Adapted:
            return False
        slot = item.slot if type(item) is Asked else None
        self.region.refuse(cell.entity_id, message.message, slot, "it came through an adapter of an actor that has moved")
        return True

    def _drained(self, shard: int) -> None:
        drain = self._drains.pop(shard)
        for entity_id, held in drain.late.items():
            del self.refs[entity_id]
            if held.refused is None:
                drain.add(entity_id, held.take())
            else:
                self._refuse(entity_id, held.take(), held.refused)
        drain.finish()

    def _watch(self, cell: EntityCell) -> None:
        if self._idle is not None:
            self._idle.add(cell)
        if self._limit < math.inf:
            self._recent[cell.entity_id] = cell
            if len(self._recent) > self._limit:
                self.passivate(next(iter(self._recent.values())))

    def _unwatch(self, cell: EntityCell) -> None:
        if self._idle is not None:
            self._idle.remove(cell)
        if self._recent.get(cell.entity_id) is cell:
            del self._recent[cell.entity_id]

    def _find(self, entity_id: str) -> Target | None:
        target = self._direct.get(entity_id)
        if target is not None:
            self._touch(entity_id)
        return target

    def _touch(self, entity_id: str) -> None:
        if entity_id in self._recent:
            self._recent.move_to_end(entity_id)
