"""Another node as this one sees it: the connection to it, what waits for one, and what is owed to it. Floor F3.

Rules: one connection at a time, and a newer one replaces the older: that one is closed, and what came in on it and was not
read yet never is, so order survives. What was written to a connection that broke is reported and never written again; what
was still queued goes out on the next one, before anything newer. Everything here is synchronous; `Dialer` has the task.
"""

from __future__ import annotations

import math
from collections.abc import Set
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import trio

from casty_trio.actors.refs import ReplySlot, Watcher
from casty_trio.errors import (
    AskError,
    DecodeError,
    HandshakeError,
    LinkClosedError,
    LinkFullError,
    MessageTooLargeError,
    OutcomeUnknownError,
    ProtocolError,
    ReplyDecodeError,
)
from casty_trio.link.held import Held, HeldMessages
from casty_trio.model.events import LinkLost
from casty_trio.model.ref import ActorRef
from casty_trio.protocol import refs, wire
from casty_trio.protocol.frames import Kind
from casty_trio.protocol.handshake import Dial, Offer
from casty_trio.remote.watches import Target, Watches

if TYPE_CHECKING:
    from casty_trio.remote.connection import Connection
    from casty_trio.remote.node import RemoteNode

__all__ = ["Peer", "budget_of", "on_reply"]

SENT_AGAIN = frozenset({Kind.ACTOR, Kind.ENTITY})
"""What was queued on a connection that has ended, and goes out on the next one."""

STALE_MOST = 64
"""So many earlier starts of a node are remembered, of those that nobody here ever was connected with."""


def budget_of(slot: ReplySlot, now: float) -> float | None:
    """How long somebody waits from now on, as it is written; None for as long as it takes."""
    left = slot.deadline - now
    return None if left == math.inf else left if left > 0 else 0.0


class Peer:
    """One other node, at one address.

    Attributes:
        host: where it is dialled.
        port: likewise.
        uid: the start of it that we are, or were last, connected with; 0 before the first time.
        node_id: its name, once known.
        connection: the connection, while there is one.
        held: what waits for one.
        asks: our asks it has not answered, by their number.
        watches: whom our actors watch there, and whom of ours it watches.
        wanted: whether there is to be a connection although nothing waits for one.
        member: whether it belongs to our cluster, which then decides when it is gone.
    """

    def __init__(self, node: RemoteNode, host: str, port: int) -> None:
        self.node = node
        self.host: str = host
        self.port: int = port
        self.uid: int = 0
        self.node_id: str = f"{host}:{port}"
        self.connection: Connection | None = None
        limits = node.link_settings
        self.held: HeldMessages = HeldMessages(limits.queue, largest=limits.max_message)
        self.asks: dict[int, ReplySlot] = {}
        self.watches: Watches = Watches(self)
        self.changed: trio.Event = trio.Event()
        self.dials: int = 0
        self.wanted: bool = False
        self.member: bool = False
        self._asked = 0
        self._asking: ReplySlot | None = None
        self._seen = (0, 0)  # the start of it that was let in last, and the number of its dial
        self._confirming = 0  # the start of it that our dial has reached and not yet become a connection with
        self._admitted = 0  # its dials that were let in and are no connection yet
        self._stale: dict[int, str] = {}  # earlier starts of it, that we never were connected with
        self._strange = False  # something waits for another start of it than we are connected with

    def __repr__(self) -> str:
        return f"<Peer {self.node_id} at {self.host}:{self.port}>"

    @property
    def needed(self) -> bool:
        """Whether somebody here waits for a connection, or for another one than there is."""
        return self._strange if self.connection is not None else self.wanted or self.awaited

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for a connection who may be told that there will be none."""
        return self._strange or bool(self.held or self.watches)

    def stay(self, *, wanted: bool, member: bool) -> None:
        """Keep a connection to it, or do not; as one to a member, or just in case."""
        if (wanted, member) != (self.wanted, self.member):
            self.wanted, self.member = wanted, member
            self.poke()

    def poke(self) -> None:
        """Wake everybody who waits for a change."""
        self.changed.set()
        self.changed = trio.Event()

    # --- Messages that go there ---------------------------------------------------------------------------------------

    def write(self, kind: int, body: bytes, uid: int, ask: int = 0) -> None:
        """Queue a message for an actor there, or hold it until there is a connection with that start of the node.

        Raises:
            LinkFullError: there is no room.
            LinkClosedError: this node leaves, or that start of the other is gone.
            MessageTooLargeError: nobody there would take it.
        """
        connection = self.connection
        if connection is not None and (uid == self.uid or not uid):
            try:
                connection.link.write(kind, body)
            except LinkClosedError:  # it has just ended
                pass
            else:
                return
        self._hold(Held(kind, body, uid, ask))

    async def send(self, kind: int, body: bytes, uid: int) -> None:
        """As `write`, but wait for room.

        Raises:
            LinkClosedError: as `write`, also meanwhile.
            MessageTooLargeError: as `write`.
        """
        while True:
            connection = self.connection
            if connection is not None and (uid == self.uid or not uid):
                try:
                    await connection.link.send(kind, body)
                except LinkClosedError:
                    await trio.lowlevel.checkpoint()
                    if self.connection is connection:
                        await self.changed.wait()
                else:
                    return
                continue
            try:
                self._hold(Held(kind, body, uid, 0))
            except LinkFullError:
                await self.changed.wait()
            else:
                await trio.lowlevel.checkpoint()
                return

    def _hold(self, held: Held) -> None:
        why = self.why_gone(held.uid)
        if why is not None:
            raise LinkClosedError(why)
        if self.node.leaving:
            raise LinkClosedError(f"{self.node.node_id} leaves")
        self.held.check(held.body)
        if not self.held.fits(held):
            raise LinkFullError(f"{self.held.size} bytes wait for a connection to {self.node_id}")
        self.held.add(held)
        self._want(held.uid, first=len(self.held) == 1)

    def _want(self, uid: int, *, first: bool) -> None:
        """Something more waits; the dialer has to know of the first, and of what the connection there is does not serve."""
        strange = self.connection is not None and uid not in (0, self.uid)
        if strange and not self._strange:
            self._strange = True
            self.poke()
        elif first:
            self.poke()

    def why_gone(self, uid: int) -> str | None:
        """Why nobody talks to that start of the node any more, if so."""
        if uid in self.node.peers.gone:
            return f"{self.node_id} was declared gone: {self.node.peers.gone[uid]}"
        return self._stale.get(uid)

    def _flush(self, connection: Connection) -> None:
        """Send what waited, in order, before anything new."""
        for held in self.held.take(self.uid):
            try:
                connection.link.write(held.kind, self._renewed(held) if held.ask else held.body)
            except (LinkFullError, LinkClosedError, MessageTooLargeError) as error:
                self.drop(held, str(error))

    def _renewed(self, held: Held) -> bytes:
        """The message of an ask, with what is left of the asker's time by now."""
        budget = budget_of(self.asks[held.ask], self.node.clock())
        return wire.with_budget(held.kind, held.body, budget)

    def drop(self, held: Held, reason: str) -> None:
        """A message that waited will never be written."""
        slot = self.asks.pop(held.ask, None)
        if slot is not None:
            slot.fail(AskError(reason))
        self.node.peers.drop(self, held, reason)

    # --- Asks ---------------------------------------------------------------------------------------------------------

    def open_ask(self, slot: ReplySlot) -> int:
        """The number of an ask that goes there; while its message is encoded, `write_ref` knows the slot by it."""
        self._asked = number = self._asked + 1
        slot.carrier, slot.carried = self, number
        self._asking = slot
        return number

    def own_slot(self, number: int) -> ActorRef[Any]:
        """A reply ref of ours that comes back."""
        slot = self.asks.get(number)
        return slot if slot is not None else self.node.peers.nobody(f"/$asks/{number}")

    def give_up(self, slot: ReplySlot) -> None:
        """Nobody waits for the reply any more: an ask that still waits here is removed, of another the node is told."""
        number = slot.carried
        if self.asks.pop(number, None) is None or self.held.remove_ask(number):
            return
        if self.connection is not None:
            with suppress(LinkClosedError, LinkFullError):  # it hears of it when the connection ends, or at the deadline
                self.connection.link.write_control(Kind.CANCEL, wire.pack(wire.CancelFrame(number)))

    def on_nack(self, body: memoryview) -> None:
        """An ask of ours will not be answered."""
        nack = wire.unpack(wire.NackFrame, body)
        slot = self.asks.pop(nack.ask, None)
        if slot is not None:
            error = wire.nack_error(nack)
            slot.fail(error if isinstance(error, AskError) else AskError(str(error)))

    def write_ref(self, ref: ActorRef[Any]) -> tuple[int, bytes]:
        """A ref as it is written to this node."""
        if ref is self._asking:
            return refs.REPLY, self._asked.to_bytes(8, "big")
        slot: Any = ref
        if self.connection is not None and getattr(slot, "connection", None) is self.connection:  # it comes home
            return refs.pack_home(slot.number)
        return self.node.write_ref(ref)

    # --- Watches ------------------------------------------------------------------------------------------------------

    def watch(self, target: Target, ref: ActorRef[Any], watcher: Watcher) -> None:
        """Let a watcher of ours hear of the end of an actor there."""
        if self.watches.watch(target, ref, watcher):
            self._want(target[2], first=self.connection is None)

    # --- Connections --------------------------------------------------------------------------------------------------

    def next_dial(self) -> Dial:
        """What we say of our next dial."""
        self.dials += 1
        return Dial(self.dials, *self._seen)

    def admit_dialled(self, offer: Offer) -> HandshakeError | None:
        """Whether our dial, which has reached a node, is to become the connection."""
        gone = self.node.peers.refusal_of(offer)
        if gone is not None:
            return gone
        if (offer.host, offer.port) != (self.host, self.port):
            where = f"{offer.host}:{offer.port}"
            return HandshakeError("address", f"the node that answers at {self.host}:{self.port} is to be reached at {where}")
        connected = self.connection is not None and self.connection.link.peer.uid == offer.uid
        if connected:
            self.end_strangers()
        if connected or self._admitted:
            return HandshakeError("crossing", f"{self.node_id} was quicker, and is connected")
        self._confirming = offer.uid
        return None

    def dial_over(self) -> None:
        """Our dial has become the connection, or nothing."""
        self._confirming = 0

    def admit_accepted(self, offer: Offer) -> HandshakeError | None:
        """Whether the node's dial is to become the connection. Both ends decide alike, by what they know of each other."""
        if offer.uid == self._seen[0] and offer.dial <= self._seen[1]:
            return HandshakeError("crossing", "a later dial of yours was let in")
        if self._confirming == offer.uid and self.node.uid < offer.uid:
            return HandshakeError("crossing", "we dialled at the same time, and of two nodes the lower uid's dial is kept")
        connection = self.connection
        if connection is not None and connection.link.peer.uid == offer.uid and connection.dial:
            knows = offer.seen_uid == self.node.uid and offer.seen >= connection.dial
            if not knows:  # it dialled before it heard of the connection we have
                return HandshakeError("crossing", "there is a connection that was made while you dialled")
        self._seen = (offer.uid, offer.dial)
        self._admitted += 1
        return None

    def accept_over(self) -> None:
        """A dial that was let in has become the connection, or nothing."""
        self._admitted -= 1

    def attach(self, connection: Connection) -> str | None:
        """There is a connection; why it cannot be used, if that is so."""
        peer = connection.link.peer
        if peer.uid in self.node.peers.gone:
            return f"{self.node_id} was declared gone: {self.node.peers.gone[peer.uid]}"
        if not connection.dial and (peer.uid, connection.their_dial) != self._seen:
            return "a later dial of yours was let in"
        self._end("replaced by a newer connection")
        if self.uid and self.uid != peer.uid:
            self.node.peers.declare_gone(self, f"{connection.link.peer_name} has started anew", every=False)
        self.uid, self.node_id, self.connection = peer.uid, connection.link.peer_name, connection
        self._stale.pop(peer.uid, None)
        self.end_strangers()
        self.watches.attach()
        self._flush(connection)
        self.poke()
        return None

    def detach(self, connection: Connection, reason: str) -> None:
        """The connection has ended."""
        if self.connection is not connection:
            return
        self.connection = None
        unsent = [(kind, bytes(body)) for kind, body in connection.link.take_unsent()]
        self.held.put_first([held for kind, body in unsent if kind in SENT_AGAIN and (held := self._unsent(kind, body))])
        self.watches.detach(unsent)
        kept = {held.ask for held in self.held}
        self._lose_asks(kept, f"the connection to {self.node_id} ended before a reply came: {reason}")
        self.node.publish(LinkLost, self.node_id, self.host, self.port, connection.link.unconfirmed, reason)
        self.poke()

    def let_go(self, reason: str) -> None:
        """End the connection, if there is one, after what was said on it; nothing that it brings means anything now."""
        self._end(reason, flush=True)

    def _end(self, reason: str, *, flush: bool = False) -> None:
        """Let go of the connection, if there is one; nothing that it brings from now on means anything."""
        connection = self.connection
        if connection is not None:
            if flush:
                connection.turn_away(reason)
            else:
                connection.retire(reason)
            self.detach(connection, reason)

    def _unsent(self, kind: int, body: bytes) -> Held | None:
        """A message to send on the next connection; nobody waits for one whose ask was given up."""
        frame = wire.unpack_entity(body) if kind == Kind.ENTITY else wire.unpack_actor(body)
        if frame.ask and frame.ask not in self.asks:
            return None
        fixed = isinstance(frame, wire.EntityFrame) or frame.incarnation or frame.uid
        return Held(kind, body, self.uid if fixed else 0, frame.ask)

    def _lose_asks(self, kept: Set[int], reason: str) -> None:
        for number, slot in list(self.asks.items()):
            if number not in kept:
                del self.asks[number]
                slot.fail(OutcomeUnknownError(reason))

    def end_strangers(self) -> None:
        """Whatever is for another start of the node is for an earlier one: this one answers, or is all there is."""
        self._strange = False
        uids = {held.uid for held in self.held} | self.watches.uids()
        for uid in sorted(uids - {0, self.uid}):
            reason = self._stale[uid] = f"{self.node_id}: another start of it lives there"
            if len(self._stale) > STALE_MOST:
                del self._stale[next(iter(self._stale))]
            self.lose(uid, reason)

    def end(self, uid: int, reason: str, *, every: bool, flush: bool = False) -> None:
        """That start of the node is gone: end whatever concerns it.

        Parameters:
            uid: which.
            reason: why, for people.
            every: whether whatever waits for any start of it waits in vain, too.
            flush: whether it still gets what was said to it.
        """
        self._end(reason, flush=flush)
        self.uid = 0
        self._strange = False
        self.lose(uid, f"{self.node_id}: {reason}", every=every)
        self.watches.forget_theirs()
        self.poke()

    def lose(self, uid: int, reason: str, *, every: bool = False) -> None:
        """Whatever waits for that start of the node waits in vain; with ``every``, whatever waits for any."""
        lost: list[Held] = []
        for held in self.held.clear():
            if every or held.uid == uid:
                lost.append(held)
            else:
                self.held.add(held)
        for held in self.node.take_back(self, lost):
            self.drop(held, reason)
        self.watches.lose(uid, reason, every=every)

    def close(self, reason: str) -> None:
        """The node has left: what still waits is lost."""
        for held in self.held.clear():
            self.drop(held, reason)


def on_reply(connection: Connection, body: memoryview) -> None:
    """A reply to an ask of ours. The handler of its kind itself, for it runs once per ask.

    Raises:
        ProtocolError: the body is malformed, or it comes from a client, which nobody asks.
    """
    peer = connection.peer
    if peer is None:
        raise ProtocolError("a client has no business with that kind of frame")
    frame = wire.unpack_reply(body)
    slot = peer.asks.pop(frame.ask, None)
    if slot is None:
        peer.node.dead_letter(frame, peer.node.dead_letters, f"a late or second reply of {peer.node_id}")
        return
    slot.carrier = None  # the asker's end is no news to the other node
    try:
        value = peer.node.codec.decode(frame.name, frame.body, connection.read_ref)
    except DecodeError as error:
        failed = ReplyDecodeError(f"a reply of {peer.node_id} cannot be decoded: {error}")
        failed.__cause__ = error
        slot.fail(failed)
    else:
        slot.tell(value)
