"""Remembered ids without a store: this node keeps those of others, and others those of its own shards. Floor F5.

The coordinator of a type and the next-oldest members of its role keep the ids, in memory. Whoever has a shard uses them
through a `ReplicatedStore`, as it would use a program's store. All that is said to a node in one turn goes together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio

from casty_trio.actors.clockwork import Clockwork
from casty_trio.errors import LinkClosedError, LinkFullError, MessageTooLargeError, StaleOwnerError
from casty_trio.model.member import Member, MemberStatus
from casty_trio.model.remembering import EntityStore, ShardClaim
from casty_trio.model.shard_events import RememberingFull
from casty_trio.protocol import keeping
from casty_trio.protocol.frames import Kind
from casty_trio.protocol.keeper import Keeper
from casty_trio.protocol.keeping import Ask, Note, Word
from casty_trio.protocol.teller import Teller
from casty_trio.remote import Connection, of_node

if TYPE_CHECKING:
    from casty_trio.sharding.extension import Sharding
    from casty_trio.sharding.region import Region

__all__ = ["Keeping", "ReplicatedStore"]

KEEPERS: Final = 3
"""So many members keep the ids of a type."""

SOURCES_MOST: Final = 16
"""So many members are asked what they have kept, those that are leaving included."""

TOGETHER: Final = 16
"""So many words go in one frame."""


class ReplicatedStore(EntityStore):
    """The ids of one type's entities, as this node has them from those that keep them, and tells them.

    Parameters:
        keeping: whose it is.
        region: the type.
    """

    def __init__(self, keeping: Keeping, region: Region) -> None:
        self._keeping = keeping
        self.shard_type: str = region.shard_type
        self.num_shards: int = region.num_shards
        self.role: str = region.role
        self._system = region.sharding.system
        self._timeout = self._system.all_settings.entities.keeper_timeout
        self._changed = trio.Event()
        self._full = False
        self.teller: Teller = Teller(self._system.all_settings.sharding.retry)

    async def claim(self, claim: ShardClaim) -> Collection[str]:
        teller, shard = self.teller, claim.shard
        if not teller.has(shard, claim.token):
            teller.claim(shard, claim.token)
            if not await self._claimed(teller, shard):
                text = "shard %d of %r begins without what a member may remember that does not answer"
                self._system.quiet.warning(("claim", self.shard_type), text, shard, self.shard_type)
            if teller is not self.teller or not teller.begin(shard):
                raise self._stale(claim)
            self._keeping.wake()
        return teller.ids(shard)

    async def update(self, claim: ShardClaim, started: Collection[str], stopped: Collection[str]) -> None:
        shard = claim.shard
        if not self.teller.has(shard, claim.token):
            await self.claim(claim)
        version = self.teller.change(shard, started, stopped)
        if not await self._wait(lambda: self.teller.settled(shard, version)):
            self.teller.go_on(shard, version)
        self.see_room(shard)
        if shard in self.teller.stale:
            raise self._stale(claim)

    def release(self, shard: int) -> None:
        """The shard is another's from now on."""
        self.teller.release(shard)
        self.changed()

    def changed(self) -> None:
        """Somebody has answered, or is not waited for any more."""
        self._changed.set()
        self._changed = trio.Event()

    def see_room(self, shard: int) -> None:
        """Tell, once, when there are more ids than are kept."""
        if self.teller.unremembered and not self._full:
            self._full = True
            most = self._system.all_settings.entities.remembered_most
            text = "%r has more than %d entities to remember, or ids of more than %d characters: these are not remembered"
            self._system.log.warning(text, self.shard_type, most, keeping.LONGEST_ID)
            self._system.publish(RememberingFull, self.shard_type, shard, most)

    def forget(self) -> None:
        """The node is no member any more."""
        self.teller = Teller(self._system.all_settings.sharding.retry)
        self.changed()

    async def _wait(self, done: Callable[[], bool]) -> bool:
        """Wait for answers, as long as keepers are waited for; whether they have come."""
        self._keeping.wake()
        await trio.lowlevel.checkpoint()
        with trio.move_on_after(self._timeout):
            while not done():
                await self._changed.wait()
            return True
        return False

    async def _claimed(self, teller: Teller, shard: int) -> bool:
        """Wait until all have told what they have of a shard, however much, or one has told nothing more for too long."""
        told = 0
        while not await self._wait(lambda: teller.claimed(shard)):
            before, told = told, teller.told(shard)
            if told <= before:
                return False
        return True

    def _stale(self, claim: ShardClaim) -> StaleOwnerError:
        return StaleOwnerError(f"shard {claim.shard} of {self.shard_type!r} belongs to a later owner than {claim.token}")


class Keeping:
    """What one node keeps of remembered ids, and what it has told others of its own."""

    def __init__(self, sharding: Sharding) -> None:
        self._sharding = sharding
        self._system = sharding.system
        self._keepers: dict[str, tuple[int, Keeper]] = {}
        self._stores: dict[str, ReplicatedStore] = {}
        self._members: Mapping[int, Member] = {}
        self._out: dict[int, dict[tuple[str, int], list[Word]]] = {}
        self._running = False
        self._clockwork = Clockwork(sharding.now, self._due, self._flush)

    def store(self, region: Region) -> ReplicatedStore:
        """What a region remembers its entities in."""
        store = self._stores[region.shard_type] = ReplicatedStore(self, region)
        self._introduce(store)
        self._run_service()
        return store

    def kept(self, shard_type: str) -> int:
        """How many ids of a type this node keeps."""
        known = self._keepers.get(shard_type)
        return known[1].count if known is not None else 0

    def unremembered(self, shard_type: str) -> int:
        """How many ids of this node's entities of a type are not remembered."""
        store = self._stores.get(shard_type)
        return store.teller.unremembered if store is not None else 0

    def members_changed(self, members: Mapping[int, Member]) -> None:
        """The members are these, sorted by age."""
        self._members = members
        for store in self._stores.values():
            self._introduce(store)
        self.wake()

    def forget(self) -> None:
        """The node is no member any more: what it knew others will have changed when it is one again."""
        self._members = {}
        self._keepers.clear()
        self._out.clear()
        for store in self._stores.values():
            store.forget()

    def on_frame(self, connection: Connection, body: memoryview) -> None:
        """What another node says.

        Raises:
            ProtocolError: it is nothing of that kind, or a client says it.
        """
        of_node(connection)
        frame = keeping.unpack(body)
        sender = connection.link.peer.uid
        if sender in self._members:
            self._hear(sender, (frame.shard_type, frame.num_shards), frame.words)

    def wake(self) -> None:
        """There may be something to say, when all that happens now has happened."""
        self._clockwork.wake()

    # --- Who keeps ----------------------------------------------------------------------------------------------------

    def _introduce(self, store: ReplicatedStore) -> None:
        """Tell a store who keeps its ids, and who may have kept them before: who leaves was older than who follows."""
        keepers, sources = list[int](), list[int]()
        for uid, member in self._members.items():
            if len(keepers) == KEEPERS or len(sources) == SOURCES_MOST:
                break
            if not store.role or store.role in member.roles:
                if member.status == MemberStatus.UP:
                    keepers.append(uid)
                if MemberStatus.UP <= member.status <= MemberStatus.EXITING:
                    sources.append(uid)
        store.teller.set_members(keepers, sources)
        store.changed()

    # --- Words --------------------------------------------------------------------------------------------------------

    def _hear(self, sender: int, shape: tuple[str, int], words: Collection[Word]) -> None:
        for word in words:
            if isinstance(word, Ask | Note):
                self._say(sender, shape, self._keeper(*shape).receive(word))
            else:
                store = self._stores.get(shape[0])
                if store is not None and store.num_shards == shape[1]:
                    store.teller.receive(sender, word)
                    store.see_room(word.shard)
        for store in self._stores.values():
            store.changed()
        self._run_service()
        self.wake()

    def _keeper(self, shard_type: str, num_shards: int) -> Keeper:
        """What this node keeps of a type; when that begins again with another number of shards, nothing of before."""
        known = self._keepers.get(shard_type)
        if known is None or known[0] != num_shards:
            known = self._keepers[shard_type] = num_shards, Keeper(self._system.all_settings.entities.remembered_most)
        return known[1]

    def _say(self, uid: int, shape: tuple[str, int], word: Word) -> None:
        self._out.setdefault(uid, {}).setdefault(shape, []).append(word)

    def _flush(self) -> None:
        """Say all there is to say."""
        now = self._sharding.now()
        for name, store in self._stores.items():
            for said in store.teller.flush(now):
                self._say(said.uid, (name, store.num_shards), said.word)
        out, self._out = self._out, {}
        for uid, shapes in out.items():
            for shape, words in shapes.items():
                if uid == self._system.uid:
                    self._hear(uid, shape, words)
                else:
                    for first in range(0, len(words), TOGETHER):
                        self._send(uid, shape, words[first : first + TOGETHER])

    def _send(self, uid: int, shape: tuple[str, int], words: list[Word]) -> None:
        """Send words, if there is a connection; what is not said now is said again, but for what fits into no message."""
        peer = self._sharding.peer_of(uid)
        connection = peer.connection if peer is not None else None
        if connection is None or connection.link.peer.uid != uid:
            return
        try:
            with suppress(LinkClosedError, LinkFullError):
                connection.link.write(Kind.KEEPING, keeping.pack(keeping.Keep(*shape, tuple(words))))
        except MessageTooLargeError as error:
            if len(words) > 1:
                for word in words:
                    self._send(uid, shape, [word])
            else:
                text = "what %r remembers cannot be told: %s"
                self._system.quiet.warning(("keeping", shape[0]), text, shape[0], error)

    # --- Time ---------------------------------------------------------------------------------------------------------

    def _run_service(self) -> None:
        if not self._running:
            self._running = True
            self._system.start_service(self._clockwork.run, "remembered ids")

    def _due(self) -> float:
        return -math.inf if self._out else min((store.teller.due for store in self._stores.values()), default=math.inf)
