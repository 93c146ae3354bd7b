"""Where the mail of one sharded type goes from this node, and how its shards come and go. Floor F5.

It drives the pure machine `Homes`: what comes in is fed to it in the task that read it, and what it wants is done at once.
Mail for a shard without a known home waits here, bounded. Everything is synchronous.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from casty_trio.errors import (
    ActorStoppedError,
    AskError,
    EncodeError,
    LinkClosedError,
    LinkFullError,
    MailboxFullError,
    MessageTooLargeError,
    ShardCountError,
    UnknownActorError,
)
from casty_trio.model.shard_events import HandOffAdvanced, ShardHomeChanged
from casty_trio.model.statistics import ShardingStatistics
from casty_trio.protocol import homes as placing, homing, wire
from casty_trio.protocol.frames import Kind
from casty_trio.protocol.homes import Homes, Source
from casty_trio.protocol.rivals import in_words
from casty_trio.protocol.shards import shard_of
from casty_trio.remote import budget_of

if TYPE_CHECKING:
    from casty_trio.actors.refs import ReplySlot
    from casty_trio.model.kinds import Sharded
    from casty_trio.remote import Peer
    from casty_trio.sharding.region import Region

__all__ = ["Mail", "Routing"]

Mail: TypeAlias = "tuple[str, Any, ReplySlot | None]"
"""The id of the entity, the message, and who waits for a reply."""

LOST: Final = "it was handed to a node that is gone, and may have been handled there"
OVERTAKEN: Final = "it waited for a home that is gone, and later messages may have been handled elsewhere since"


class Routing:
    """The routes of one type on this node."""

    def __init__(self, region: Region, behavior: Sharded[Any]) -> None:
        self._region = region
        self._sharding = region.sharding
        self._system = region.sharding.system
        self._settings = self._system.all_settings.sharding
        self.num_shards: int = behavior.num_shards
        self.role: str = behavior.role
        self.behavior: Sharded[Any] = behavior
        self._may_host = not behavior.proxy and (not self.role or self.role in self._system.self_node.roles)
        self._me = 0
        self.homes: Homes = Homes(0, self.num_shards)
        self._coordinator = 0
        self._told: list[int] = [0] * self.num_shards  # where shards were last, for events
        self._parked: dict[int, deque[Mail]] = {}
        self._waiting = self._unstored = self._dropped = self._sent = self._strays = 0
        self._coming: dict[int, tuple[homing.Epoch, list[Mail | None]]] = {}
        self._steps: dict[tuple[int, str], homing.Epoch] = {}  # of moves, as told last
        self._drains: dict[int, float] = {}  # until when the entities of a shard may go on
        self._refusal: AskError | ShardCountError | None = None
        self._leaving = self._closed = False
        self._todo: deque[placing.Effect] = deque()
        self._feeding = False

    # --- Mail ---------------------------------------------------------------------------------------------------------

    def is_here(self, shard: int) -> bool:
        """Whether mail of this node for the shard goes to entities here."""
        return self._me != 0 and self.homes.routes[shard] == self._me

    def route(self, entity_id: str, message: Any, slot: ReplySlot | None) -> None:
        """Bring mail of this node, or of a client, on its way.

        Raises:
            EncodeError: it goes to another node, and cannot be encoded.
        """
        region = self._region
        if self._refusal is not None:
            self._lose((entity_id, message, slot), self._refusal)
        elif region.cell.stopping:
            region.refuse(entity_id, message, slot)
        else:
            self._deliver(shard_of(entity_id, self.num_shards), (entity_id, message, slot))

    def arrive(self, entity_id: str, message: Any, slot: ReplySlot | None) -> None:
        """Mail of another node, which holds this one for the entity's home."""
        if self.homes.takes(shard_of(entity_id, self.num_shards)):
            self._region.deliver(entity_id, message, slot)
        else:  # the type has ended here since: what comes late would come out of order
            self._strays += 1
            self._lose((entity_id, message, slot), ActorStoppedError(f"its shard is not on {self._system.node_id} any more"))

    def pass_on(self, entity_id: str, message: Any, slot: ReplySlot | None) -> None:
        """As `route`, for what has come from elsewhere: there is nobody here to raise to."""
        try:
            self.route(entity_id, message, slot)
        except EncodeError as error:
            self._lose((entity_id, message, slot), AskError(str(error)))

    def _deliver(self, shard: int, mail: Mail) -> None:
        where = self.homes.routes[shard]
        if not where:
            self._park(shard, mail)
        elif where == self._me:
            self._region.deliver(*mail)
        else:
            self._send(where, mail)

    def _park(self, shard: int, mail: Mail) -> None:
        if not self.has_room:
            self._drop(mail, "shards without a home")
            return
        self._parked.setdefault(shard, deque()).append(mail)
        self._waiting += 1
        if self.role and not self._coordinator:
            self._sharding.see_role(self._region.shard_type, self.role)

    @property
    def has_room(self) -> bool:
        """Whether one more message may wait on this node."""
        return self._waiting + self._unstored < self._settings.buffer

    def _drop(self, mail: Mail, what: str) -> None:
        self._dropped += 1
        held = self._waiting + self._unstored
        self._lose(mail, MailboxFullError(f"{held} messages wait for {what}: there is no room"))

    def admit(self, mail: Mail) -> bool:
        """Whether there is room for mail of an entity that is not stored yet; it is counted, or refused."""
        if self.has_room:
            self._unstored += 1
            return True
        self._drop(mail, "entities that are not stored yet")
        return False

    def dismiss(self, count: int) -> None:
        """So much of it does not wait any more."""
        self._unstored -= count

    def take_back(self, mails: Iterable[tuple[int, Mail]]) -> None:
        """Hold messages again that waited for a home which is gone: ahead of what has come since, in their order.

        Parameters:
            mails: each with the uid of that home.
        """
        if self._refusal is not None:
            for _, mail in mails:
                self._lose(mail, self._refusal)
            return
        since, self._parked, self._waiting = self._parked, {}, 0
        for uid, mail in mails:
            shard = shard_of(mail[0], self.num_shards)
            if self.homes.too_late(shard, uid):
                self._lose(mail, ActorStoppedError(OVERTAKEN))
            else:
                self._park(shard, mail)
        for shard, parked in since.items():
            for mail in parked:
                self._park(shard, mail)
        for shard in list(self._parked):
            if self.homes.routes[shard]:  # to a home that is gone nothing is sent: it is held again
                self._release(shard)

    def _release(self, shard: int) -> None:
        """Let go what was held for a shard, in order; it may have to be held again."""
        parked = self._parked.pop(shard, None)
        if parked is None:
            return
        self._waiting -= len(parked)
        for mail in parked:
            if mail[2] is not None and mail[2].closed:
                continue  # nobody waits for it any more
            try:
                self._deliver(shard, mail)
            except EncodeError as error:
                self._lose(mail, AskError(str(error)))

    def _send(self, uid: int, mail: Mail) -> None:
        """Send mail to the node that has the shard."""
        entity_id, message, slot = mail
        peer = self._sharding.peer_of(uid)
        if peer is None or (peer.uid != uid and peer.why_gone(uid) is not None):  # it will have another home
            self._park(shard_of(entity_id, self.num_shards), mail)
            return
        number = peer.open_ask(slot) if slot is not None else 0
        name, body = self._system.codec.encode(message, peer.write_ref)
        budget = budget_of(slot, self._system.clock()) if slot is not None else None
        if slot is not None:
            peer.asks[number] = slot
        try:
            packed = wire.pack_entity(number, budget, self._region.shard_type, self.num_shards, entity_id, name, body)
            peer.write(Kind.ENTITY, packed, uid, number)
            self._sent += 1
        except (LinkFullError, LinkClosedError) as error:
            peer.asks.pop(number, None)
            failed = MailboxFullError if isinstance(error, LinkFullError) else UnknownActorError
            self._lose(mail, failed(f"its home cannot be reached now: {error}"))
        except BaseException:
            peer.asks.pop(number, None)
            raise

    def _lose(self, mail: Mail, error: Exception) -> None:
        entity_id, message, slot = mail
        self._region.lose(entity_id, message, slot, error)

    def refusal(self) -> Exception | None:
        """Why nothing is taken here, if so."""
        return self._refusal

    # --- Members and their words --------------------------------------------------------------------------------------

    @property
    def waits(self) -> bool:
        """Whether mail waits, and the type has a role."""
        return bool(self.role and self._waiting)

    def members_changed(self, now: float, uids: Iterable[int], coordinator: int, eldest: int) -> None:
        """The members are these. The eldest is asked where no coordinator is: it may have the type in another shape."""
        self._coordinator = coordinator
        if self._me != self._system.uid:
            self._begin()
        self._feed(self.homes.set_members(now, uids, coordinator or eldest))

    def _begin(self) -> None:
        """The node is another member from now on, or one at last."""
        self._me = self._system.uid
        hosts = self._may_host and not self._leaving and self._region.empty  # entities of an earlier life end first
        self.homes = Homes(self._me, self.num_shards, self.role, hosts=hosts, retry=self._settings.retry)
        if self._closed:
            self._feed(self.homes.close(self._sharding.now()))

    def succeed(self, former: Routing) -> None:
        """The type has been spawned again: go on with what its last region knew, if it is the same."""
        if (former.num_shards, former.role) == (self.num_shards, self.role) and former._me == self._system.uid:
            self._me, self.homes, self._coordinator = former._me, former.homes, former._coordinator
            self._told = former._told
            self._feed(self.homes.reopen(self._sharding.now(), hosts=self._may_host))

    def hear(self, now: float, sender: int, word: homing.Word) -> None:
        """A coordinator says something."""
        self._feed(self.homes.receive(now, sender, word))

    def on_marker(self, now: float, sender: int, marker: homing.Marker) -> None:
        """Another node has sent all that it sends here for a shard."""
        if marker.shard < self.num_shards:
            self._feed(self.homes.marker(now, sender, marker.shard, marker.epoch))

    def on_leftover(self, leftover: homing.Leftover, message: Any, slot: ReplySlot | None, *, refused: bool) -> None:
        """The old owner of a shard sends what it had accepted."""
        epoch, mails = self._coming.get(leftover.shard, (leftover.epoch, []))
        if leftover.index == 0 or epoch != leftover.epoch:
            mails = []
        if leftover.index == len(mails):
            mails.append(None if refused else (leftover.entity_id, message, slot))
            self._coming[leftover.shard] = leftover.epoch, mails

    def on_handover(self, now: float, sender: int, handover: homing.Handover) -> None:
        """The old owner of a shard has let go of it; it says so again when something of it was lost."""
        epoch, mails = self._coming.get(handover.shard, (handover.epoch, []))
        complete = not handover.count or (epoch == handover.epoch and len(mails) == handover.count)
        if handover.shard < self.num_shards and complete:
            self._feed(self.homes.handover(now, sender, handover.shard, handover.epoch))

    @property
    def next_wakeup(self) -> float:
        """When `tick` is due."""
        return min(self.homes.next_wakeup, min(self._drains.values(), default=math.inf))

    def tick(self, now: float) -> None:
        """Say again what was not answered; end entities whose time is over."""
        for shard, until in list(self._drains.items()):
            if now >= until:
                self._drains[shard] = math.inf
                self._region.cut_shard(shard)
        self._feed(self.homes.tick(now))

    # --- What is to be done -------------------------------------------------------------------------------------------

    def _feed(self, effects: Iterable[placing.Effect]) -> None:
        """Do what the machine wants; what follows from that comes after it."""
        self._todo.extend(effects)
        if self._feeding:
            return
        self._feeding = True
        try:
            while self._todo:
                self._perform(self._todo.popleft())
        finally:
            self._feeding = False
        self._sharding.wake()

    def _perform(self, effect: placing.Effect) -> None:  # noqa: C901 - one case for each effect
        region = self._region
        match effect:
            case placing.Say(uid, word):
                self._sharding.say(uid, region.shard_type, word)
            case placing.Mark(uid, shard, epoch):
                self._write(uid, Kind.MARKER, homing.Marker(region.shard_type, shard, epoch))
                self._tell_step(shard, "held", epoch)
            case placing.Hold(shard):
                region.shut_shard(shard)
            case placing.Open(shard, uid):
                self._open(shard, uid)
            case placing.Gain(shard, epoch, source):
                self._gain(shard, source)
                if source == Source.SENT:
                    self._tell_step(shard, "started", epoch)
            case placing.Drain(shard):
                self._system.publish(HandOffAdvanced, region.shard_type, shard, "flushed")
                self._drain(shard)
            case placing.Hand(shard, uid, epoch):
                self._tell_step(shard, "stopped", epoch)
                self._hand(shard, uid, epoch)
            case placing.Forget(shard):
                region.take_left(shard)
                region.lost_shard(shard)
            case placing.Drop(shard):
                region.cut_shard(shard)
                region.lost_shard(shard)
            case placing.Refused(reason):
                self._refuse(reason)

    def _tell_step(self, shard: int, step: str, epoch: homing.Epoch) -> None:
        """Tell how far a move has come, once; what is done again says nothing new."""
        if self._steps.get((shard, step)) != epoch:
            self._steps[shard, step] = epoch
            self._system.publish(HandOffAdvanced, self._region.shard_type, shard, step)

    def _open(self, shard: int, uid: int) -> None:
        if uid == self._me:
            self._region.open_shard(shard)
        if self._told[shard] != uid:
            self._told[shard] = uid
            self._system.publish(ShardHomeChanged, self._region.shard_type, shard, self._sharding.member(uid))
        self._coming.pop(shard, None)
        self._release(shard)
        self._sharding.moved()

    def _gain(self, shard: int, source: int) -> None:
        """The shard lives here from now on; first comes what its last home had accepted."""
        left = self._region.take_left(shard)
        self._region.gained_shard(shard)
        if source == Source.SENT:
            for mail in self._coming.pop(shard, ((0, 0, 0), []))[1]:
                if mail is not None:
                    self._region.deliver(*mail)
        for mail in left:
            if source == Source.KEPT:
                self._region.deliver(*mail)
            else:
                self._lose(mail, ActorStoppedError(LOST))

    def _drain(self, shard: int) -> None:
        if self._region.stop_shard(shard):
            self._drains[shard] = self._sharding.now() + self._settings.drain_timeout
        else:
            self.shard_stopped(shard)

    def shard_stopped(self, shard: int) -> None:
        """No entity of the shard lives here any more."""
        self._drains.pop(shard, None)
        now = self._sharding.now()
        self._feed(self.homes.drained(now, shard))
        if self._may_host and not self._leaving and not self.homes.hosts and self._region.empty:
            self._feed(self.homes.set_hosts(now, hosts=True))

    def _hand(self, shard: int, uid: int, epoch: homing.Epoch) -> None:
        """Send on what was left of a shard, and that there is no more. What is lost on the way is sent again."""
        peer, name = self._sharding.peer_of(uid), self._region.shard_type
        left = [mail for mail in self._region.left(shard) if mail[2] is None or not mail[2].closed]
        if peer is None or peer.connection is None or peer.uid != uid:
            return
        count = 0
        for mail in left:
            with suppress(EncodeError, MessageTooLargeError):
                if not self._write(uid, Kind.LEFTOVER, self._leftover(peer, shard, epoch, count, mail)):
                    return
                count += 1
        self._write(uid, Kind.HANDOVER, homing.Handover(name, shard, epoch, count))

    def _leftover(self, peer: Peer, shard: int, epoch: homing.Epoch, index: int, mail: Mail) -> homing.Leftover:
        entity_id, message, slot = mail
        number, budget = 0, None
        if slot is not None:
            if slot.carrier is peer:  # it was sent before
                peer.asks.pop(slot.carried, None)
            number = peer.open_ask(slot)
            budget = budget_of(slot, self._system.clock())
        name, body = self._system.codec.encode(message, peer.write_ref)
        if slot is not None:
            peer.asks[number] = slot
        raw = homing.raw(body)
        return homing.Leftover(self._region.shard_type, shard, epoch, index, number, budget, entity_id, name, raw)

    def _write(self, uid: int, kind: int, frame: Any) -> bool:
        """Write behind the messages on the connection to a member, if there is one; else it is said again."""
        peer = self._sharding.peer_of(uid)
        if peer is None or peer.connection is None or peer.uid != uid:
            return False
        try:
            peer.connection.link.write(kind, homing.pack(frame))
        except (LinkClosedError, LinkFullError):
            return False
        return True

    # --- The end ------------------------------------------------------------------------------------------------------

    def _refuse(self, reason: str) -> None:
        """The others want nothing of this type here."""
        if self._refusal is None:
            name = self._region.shard_type
            shape = in_words(self.num_shards, self.role)
            self._system.log.error("%s cannot take part in %r with %s: %s", self._system.node_id, name, shape, reason)
            self._end(ShardCountError(f"{name!r} has {shape} on {self._system.node_id}; {reason}"))

    def _end(self, refusal: AskError | ShardCountError) -> None:
        self._refusal = refusal
        self._region.stop_entities()
        parked, self._parked, self._waiting = self._parked, {}, 0
        for mails in parked.values():
            for mail in mails:
                self._lose(mail, refusal)

    def close(self) -> None:
        """The type has ended here, and all its entities."""
        self._closed = True
        self._feed(self.homes.close(self._sharding.now()))
        self._end(ActorStoppedError(f"{self._region.shard_type} is stopping on {self._system.node_id}"))
        self._sharding.moved()
        self._sharding.wake()

    def node_left(self, reason: str) -> None:
        """The node is no member any more, and will be none again."""
        self._end(ActorStoppedError(reason))
        self._may_host = False
        self._forget()

    def node_downed(self) -> None:
        """This start of the node is no member any more: others will soon host what it has."""
        self._region.stop_entities(at_once=True)
        self._forget()

    def _forget(self) -> None:
        """Nothing is hosted, and no home is known."""
        self._me = 0
        self.homes = Homes(0, self.num_shards, hosts=False)
        self._drains.clear()
        self._coming.clear()

    @property
    def leaving(self) -> bool:
        """Whether this node gives its shards away, for it leaves."""
        return self._leaving

    def give_up_hosting(self) -> None:
        """The node leaves: have the shards move away."""
        self._leaving = True
        self._feed(self.homes.set_hosts(self._sharding.now(), hosts=False))

    def relieved(self, *, alone: bool) -> bool:
        """Whether the node may leave, as far as this type goes; ``alone`` when no other member could host its shards."""
        if self._closed or self._refusal is not None or alone or not self._me or self.homes.nobody_hosts:
            return True
        return not self._waiting and (not self._may_host or self.homes.free_to_go)

    # --- What programs ask --------------------------------------------------------------------------------------------

    def places(self, places: Mapping[int, int]) -> tuple[int, ...]:
        """For each shard the place of its home among the members; -1 where it is not known."""
        return tuple(places.get(uid, -1) for uid in self.homes.routes)

    def statistics(self) -> ShardingStatistics:
        """Count what there is."""
        coordinator = self._sharding.member(self._coordinator)
        hosted = {shard: self._region.count(shard) for shard in sorted(self.homes.owned)}
        return ShardingStatistics(
            self._region.shard_type,
            self.num_shards,
            coordinator.node_id if coordinator is not None else "",
            hosted,
            sum(hosted.values()),
            sum(not uid for uid in self.homes.routes),
            self._waiting + self._unstored,
            self._dropped,
            self._sent,
            self._strays,
            self._sharding.keeping.kept(self._region.shard_type),
            self._sharding.keeping.unremembered(self._region.shard_type),
        )
