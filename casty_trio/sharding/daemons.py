"""Sharded daemons: a fixed number of workers, each alive exactly once in the cluster. Floor F5.

They are the entities of a type with a shard for each, so whatever holds for entities and their shards holds for them. What
is more: the node to which a shard is given starts its worker without a message, and starts it again when it has ended. That
node alone has to know, so nothing is said over the network to keep workers alive.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from casty_trio.actors.cell import Cell
from casty_trio.actors.refs import LocalRef, ReplySlot
from casty_trio.errors import SystemClosedError, UnknownActorError
from casty_trio.model.checks import check_count
from casty_trio.model.daemons import DaemonsRef, index_of
from casty_trio.model.kinds import Daemons
from casty_trio.model.ref import ActorRef
from casty_trio.protocol.shards import daemon_id
from casty_trio.sharding.entities import EntityCell, EntityFamily
from casty_trio.sharding.region import EntityRef, Region, RegionCell, RegionRef
from casty_trio.sharding.restarts import Restarts

if TYPE_CHECKING:
    from casty_trio.sharding.extension import Sharding

__all__ = ["DaemonCell", "DaemonRef", "DaemonRegion"]

M = TypeVar("M", contravariant=True)


class DaemonRef(RegionRef[M], DaemonsRef[M]):
    """The ref that `spawn` gives for daemons."""

    __slots__ = ()

    @property
    def count(self) -> int:
        return self._region.num_shards

    def worker(self, index: int) -> ActorRef[M]:
        region = self._region
        check_count("the index of a worker", index, 0, region.num_shards - 1)
        assert isinstance(region, DaemonRegion)  # DaemonCell is spawned for no other
        return EntityRef(region, region.id_of(index))


class DaemonCell(RegionCell):
    """The actor that is the parent of the workers on one node."""

    __slots__ = ()
    ref_type: ClassVar[type[LocalRef[Any]]] = DaemonRef


class DaemonFamily(EntityFamily):
    """The workers on one node."""

    __slots__ = ()

    def forget(self, cell: Cell[Any]) -> None:
        super().forget(cell)
        assert isinstance(cell, EntityCell)  # workers only
        assert isinstance(self.region, DaemonRegion)  # that made this family
        if cell.entity_id not in self.refs:
            self.region.worker_ended(cell.shard, failed=cell.epitaph is not None)


class DaemonRegion(Region):
    """The workers of one name, on one node."""

    family_type: ClassVar[type[EntityFamily]] = DaemonFamily

    def __init__(self, sharding: Sharding, behavior: Daemons[Any], cell: Cell[Any]) -> None:
        self._pause = behavior.keep_alive
        self._ids: dict[int, str] = {}
        self._restarts = Restarts(sharding.system, self.keep_alive)
        super().__init__(sharding, behavior, cell)

    def id_of(self, index: int) -> str:
        """The entity id of a worker."""
        found = self._ids.get(index)
        if found is None:
            found = self._ids[index] = daemon_id(index, self.num_shards)
        return found

    def deliver(self, entity_id: str, message: object, slot: ReplySlot | None) -> None:
        if entity_id in self._refs or self._is_worker(entity_id):
            super().deliver(entity_id, message, slot)
            return
        name, count = self.shard_type, self.num_shards
        reason = f"{name!r} has no worker {entity_id!r:.100}: daemon_id(index, {count}) gives the ids of its {count} workers"
        self.lose(entity_id, message, slot, UnknownActorError(reason))

    def _is_worker(self, entity_id: str) -> bool:
        try:
            index = index_of(entity_id)
        except ValueError:
            return False
        return 0 <= index < self.num_shards and entity_id == self.id_of(index)

    def open_shard(self, shard: int) -> None:
        super().open_shard(shard)
        self.keep_alive(shard)

    def keep_alive(self, shard: int) -> None:
        """Start the worker of a shard, if it is to live here and does not."""
        routing = self.routing
        going = self.cell.stopping or routing.leaving or routing.refusal() is not None
        if self.sharding.system.running and not going and routing.is_here(shard):
            with suppress(SystemClosedError):
                self.revive(self.id_of(shard))

    def worker_ended(self, shard: int, *, failed: bool) -> None:
        """A worker is gone, and no message has started it again; where it has gone to another node, that starts it."""
        if not self.cell.stopping and self.routing.is_here(shard):
            if failed:
                self._restarts.failed(shard)
            else:
                self._restarts.start_later(shard, self._pause)
