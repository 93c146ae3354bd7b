"""The entities of a type that are to live again wherever their shard goes. Floor F5: one task per type, and a store.

Where the program gives no store, `keeping` has one, and what follows is the same.

An entity is stored before its actor starts, so none that has handled anything is forgotten by a crash. One that passivates,
or stops by itself, is forgotten; one that fails starts again after a while. A shard that comes here is claimed in the store,
and the entities that are in it are started, so many a second.

A shard whose call has failed, or has taken too long, is called again after a while; the others do not wait for it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection
from typing import TYPE_CHECKING

import trio

from casty_trio.errors import StaleOwnerError, SystemClosedError
from casty_trio.model.envelope import is_entity_id
from casty_trio.model.remembering import EntityStore, ShardClaim
from casty_trio.model.strategies import Backoff
from casty_trio.model.words import in_words
from casty_trio.protocol.turns import Turns
from casty_trio.sharding.keeping import ReplicatedStore
from casty_trio.sharding.restarts import Restarts

if TYPE_CHECKING:
    from casty_trio.sharding.region import Region

__all__ = ["Remembering"]

TICK = 0.1
"""How often some of the entities of a new shard are started, in seconds."""

PATIENCE = Backoff(initial=1.0, maximum=10.0)
"""After how many seconds a store that failed for a shard is asked again."""

AT_ONCE = 64
"""Of so many shards ids are told, or asked for, at a time, where the nodes keep them; a program's store is called once at a
time."""

BESIDE = 8
"""Of so many shards that have failed, or take long, it is called beside that."""

SLOW = 1.0
"""After how many seconds the other shards do not wait for a call."""


class Remembering:
    """What one node remembers of a type.

    Attributes:
        closed: whether no revival is due; for the system's deadlines.
        deadline: when the next is; likewise.
    """

    def __init__(self, region: Region, store: EntityStore) -> None:
        self._region = region
        self._system = region.sharding.system
        self._settings = self._system.all_settings.entities
        self._store = store
        self._replicated = store if isinstance(store, ReplicatedStore) else None
        replicated = self._replicated is not None
        self._limit = math.inf if replicated else self._settings.store_timeout  # keepers have limits of their own
        rng = self._system.env.rng
        self._turns = Turns(
            AT_ONCE if replicated else 1, BESIDE, math.inf if replicated else SLOW, lambda times: PATIENCE.delay(times, rng)
        )
        self._known: dict[int, dict[str, None]] = {}
        self._changes: dict[int, dict[str, bool]] = {}
        self._claims: dict[int, None] = {}
        self._reviving: deque[tuple[int, str]] = deque()
        self._restarts = Restarts(self._system, self.revive)
        self._work = trio.Event()
        self.closed: bool = True
        self.deadline: float = 0.0
        self._system.start_service(self._run, f"what {region.shard_type} remembers")

    # --- What happens -------------------------------------------------------------------------------------------------

    def gained(self, shard: int) -> None:
        """A shard lives here from now on."""
        self._claims[shard] = None
        self._add(shard)

    def stop(self) -> None:
        """The type has ended here."""
        self._work.set()

    def lost(self, shard: int) -> None:
        """It does not any more."""
        for entity_id in self._known.pop(shard, ()):
            self._restarts.forget(entity_id)
        self._changes.pop(shard, None)
        self._claims.pop(shard, None)
        self._turns.drop(shard)
        if self._replicated is not None:
            self._replicated.release(shard)

    def knows(self, shard: int, entity_id: str) -> bool:
        """Whether an entity is stored, so that it may start."""
        return entity_id in self._known.get(shard, ())

    def remember(self, shard: int, entity_id: str) -> None:
        """An entity wants to start: `EntityFamily.remembered` follows."""
        self._change(shard, entity_id, lives=True)

    def forget(self, shard: int, entity_id: str) -> None:
        """An entity has gone by its own wish, or because nobody needs it."""
        self._known.get(shard, {}).pop(entity_id, None)
        self._restarts.forget(entity_id)
        self._change(shard, entity_id, lives=False)

    def failed(self, entity_id: str) -> None:
        """An entity has failed: it starts again, after longer and longer, unless a message starts it before."""
        self._restarts.failed(entity_id)

    def revive(self, entity_id: str) -> None:
        """Start an entity that is remembered, if it may live here and does not."""
        region = self._region
        shard = region.shard_of(entity_id)
        if self._system.running and self.knows(shard, entity_id) and region.owns(shard) and not region.stopping:
            region.revive(entity_id)

    # --- The store ----------------------------------------------------------------------------------------------------

    def _change(self, shard: int, entity_id: str, *, lives: bool) -> None:
        self._changes.setdefault(shard, {})[entity_id] = lives
        self._add(shard)

    def _add(self, shard: int) -> None:
        self._turns.add(shard)
        self._work.set()

    async def _run(self) -> None:
        async with trio.open_nursery() as nursery:
            while not self._region.cell.ended:
                for shard in self._turns.take(trio.current_time()):
                    nursery.start_soon(self._call, shard)
                with trio.move_on_at(self._turns.next_wakeup):
                    await self._work.wait()
                self._work = trio.Event()

    async def _call(self, shard: int) -> None:
        """Call the store for a shard, and see what is next for it."""
        problem = await self._ask(shard) if self._region.owns(shard) else None
        if problem is not None:
            self._system.log.warning("the store of %s, for shard %d: %s", self._region.shard_type, shard, problem)
            self._turns.failed(shard, trio.current_time())
        else:
            self._turns.done(shard)
            if not self._region.owns(shard):
                self.lost(shard)
            elif shard in self._claims or shard in self._changes:
                self._turns.add(shard)
        self._work.set()

    async def _ask(self, shard: int) -> str | None:
        """Ask what is stored, first, or store what has changed: why it has to be done again, if it has."""
        right, scope = self._right(shard), trio.move_on_after(self._limit)
        try:
            with scope:
                if shard in self._claims:
                    await self._claim(shard, right)
                elif shard in self._changes:
                    await self._write(shard, right)
        except StaleOwnerError as error:
            if not self._region.owns(shard) or self._right(shard) == right:  # else it has come back since, by a later right
                self._refuse(shard, error)
                self.lost(shard)
        except Exception as error:  # noqa: BLE001 - whatever the program's own store raises, it is asked again
            return in_words(error)
        return f"no answer within {self._limit:g} seconds" if scope.cancelled_caught else None

    def _refuse(self, shard: int, error: StaleOwnerError) -> None:
        """The store has a later owner of a shard: nothing that waits to be stored in it will be."""
        name = self._region.shard_type
        self._system.log.warning("%s: %s", name, in_words(error))
        if self._region.owns(shard):
            self._region.entities.refuse_pending(shard, f"shard {shard} of {name} has a later owner in the store: {error}")

    async def _claim(self, shard: int, right: ShardClaim) -> None:
        found = self._read(await self._store.claim(right))
        if self._region.owns(shard) and self._right(shard) == right:
            self._claims.pop(shard, None)
            known = self._known.setdefault(shard, {})
            changes = self._changes.get(shard, {})
            fresh = [each for each in found if changes.get(each, True)]
            known.update(dict.fromkeys(fresh))
            self._reviving.extend((shard, each) for each in fresh)
            if self.closed and self._reviving:
                self.closed = False
                self._wait()

    async def _write(self, shard: int, right: ShardClaim) -> None:
        changes = self._changes.get(shard, {})
        started = tuple(each for each, lives in changes.items() if lives)
        stopped = tuple(each for each, lives in changes.items() if not lives)
        batch = dict(changes)
        await self._store.update(right, started, stopped)
        if not self._region.owns(shard) or self._right(shard) != right:
            return  # it has come back since, and nothing is stored by that right
        now = self._changes.get(shard, {})
        for each, lives in batch.items():
            if now.get(each) is lives:
                del now[each]
        if not now:
            self._changes.pop(shard, None)
        self._known.setdefault(shard, {}).update(dict.fromkeys(started))
        self._region.entities.remembered(shard, started)

    def _read(self, found: Collection[str]) -> list[str]:
        """What the program's own store gives, which may fail while it is read: then nothing is taken for claimed.

        Raises:
            TypeError: it is one text, whose characters are no ids.
        """
        if isinstance(found, str):
            raise TypeError(f"claim gave a text, {found!r:.200}, in the place of a collection of ids")
        return [each for each in found if self._is_id(each)]

    def _is_id(self, found: object) -> bool:
        """Whether what the program's own store gives is an entity id; what is none is told, and left out."""
        if is_entity_id(found):
            return True
        name = self._region.shard_type
        text = "the store of %s: claim gave %.200r, which is left out: an entity id is a text that is not empty"
        self._system.quiet.warning(("store", name), text, name, found)
        return False

    def _right(self, shard: int) -> ShardClaim:
        region = self._region
        cluster = self._system.cluster_state.cluster
        return ShardClaim(region.shard_type, shard, region.num_shards, cluster, region.fencing_token(shard))

    # --- Revival ------------------------------------------------------------------------------------------------------

    def expire(self) -> None:
        """Start some more."""
        most = max(1, int(self._settings.revive_rate * TICK)) if self._settings.revive_rate < math.inf else math.inf
        while self._reviving and most > 0:
            most -= 1
            try:
                self.revive(self._reviving.popleft()[1])
            except SystemClosedError:
                self._reviving.clear()
        self.closed = not self._reviving
        if not self.closed:
            self._wait()

    def _wait(self) -> None:
        self.deadline = trio.current_time() + TICK
        self._system.watch_deadline(self)
