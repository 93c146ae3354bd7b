"""Another node as this one sees it: the connection to it, what waits for one, and what is owed to it. Floor F3.

Rules: one connection at a time, and a newer one replaces the older: that one is closed, and what came in on it and was not
read yet never is, so order survives. What was written to a connection that broke is reported and never written again; what
was still queued goes out on the next one, before anything newer. Watches are state: they are told again on each connection,
and answered at once when the actor is not there. Everything here is synchronous; `Dialer` has the task.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Set
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from casty_trio.actors.refs import LocalRef, ReplySlot, Watcher
from casty_trio.errors import (
    ActorFailedError,
    AskError,
    DecodeError,
    HandshakeError,
    LinkClosedError,
    LinkFullError,
    MessageTooLargeError,
    NodeGoneError,
    OutcomeUnknownError,
    ReplyDecodeError,
)
from casty_trio.model.events import LinkLost
from casty_trio.model.ref import ActorRef
from casty_trio.protocol import refs, wire
from casty_trio.protocol.frames import Kind
from casty_trio.protocol.handshake import Dial, Offer, escaped
from casty_trio.remote.held import Held, HeldMessages

if TYPE_CHECKING:
    from casty_trio.remote.connection import Connection
    from casty_trio.remote.node import RemoteNode

__all__ = ["Peer", "RemoteWatcher", "Target"]

Key = tuple[str, int]
"""An actor as a WATCH names it: path and incarnation."""
Target = tuple[str, int, int]
"""The same, and which start of the node; 0 where any will do."""

FAILURE_LIMIT = 300


class RemoteWatcher:
    """On the node of an actor: the other node that watches it, for all watchers it has there."""

    __slots__ = ("_key", "_peer", "ref")

    def __init__(self, peer: Peer, key: Key, ref: LocalRef[Any]) -> None:
        self._peer = peer
        self._key = key
        self.ref: LocalRef[Any] = ref

    def hear_end(self, ref: ActorRef[Any], failure: Exception | None) -> None:
        """As `Watcher.hear_end`."""
        self._peer.tell_terminated(self._key, failure)


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
        watching: whom our actors watch there, and who does.
        watched: whom of our actors it watches.
    """

    def __init__(self, node: RemoteNode, host: str, port: int) -> None:
        self.node = node
        self.host: str = host
        self.port: int = port
        self.uid: int = 0
        self.node_id: str = f"{host}:{port}"
        self.connection: Connection | None = None
        self.held: HeldMessages = HeldMessages(node.link_settings.queue)
        self.asks: dict[int, ReplySlot] = {}
        self.watching: dict[Target, dict[Watcher, ActorRef[Any]]] = {}
        self.watched: dict[Key, RemoteWatcher] = {}
        self.changed: trio.Event = trio.Event()
        self.dials: int = 0
        self._asked = 0
        self._asking: ReplySlot | None = None
        self._seen = (0, 0)  # the start of it that was let in last, and the number of its dial
        self._confirming = 0  # the start of it that our dial has reached and not yet become a connection with
        self._admitted = 0  # its dials that were let in and are no connection yet
        self._owed: deque[tuple[int, bytes]] = deque()  # words about watches that found no room

    def __repr__(self) -> str:
        return f"<Peer {self.node_id} at {self.host}:{self.port}>"

    @property
    def needed(self) -> bool:
        """Whether somebody here waits for a connection."""
        return bool(self.held or self.watching)

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
        if held.uid in self.node.peers.gone:
            raise LinkClosedError(f"{self.node_id} was declared gone: {self.node.peers.gone[held.uid]}")
        if self.node.leaving:
            raise LinkClosedError(f"{self.node.node_id} leaves")
        most = self.node.link_settings.max_message
        if len(held.body) > most:
            raise MessageTooLargeError(f"a message of {len(held.body)} bytes exceeds the limit of {most} bytes")
        if not self.held.fits(held):
            raise LinkFullError(f"{self.held.size} bytes wait for a connection to {self.node_id}")
        self.held.add(held)
        if len(self.held) == 1:
            self.poke()

    def _flush(self, connection: Connection) -> None:
        """Send what waited, in order, before anything new."""
        for held in self.held.take(self.uid):
            try:
                connection.link.write(held.kind, held.body)
            except (LinkFullError, LinkClosedError, MessageTooLargeError) as error:
                self.drop(held, str(error))

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

    def on_reply(self, connection: Connection, body: memoryview) -> None:
        """A reply to an ask of ours."""
        frame = wire.unpack_reply(body)
        slot = self.asks.pop(frame.ask, None)
        if slot is None:
            self.node.dead_letter(frame, self.node.dead_letters, f"a late or second reply of {self.node_id}")
            return
        try:
            value = self.node.codec.decode(frame.name, frame.body, connection.read_ref)
        except DecodeError as error:
            failed = ReplyDecodeError(f"a reply of {self.node_id} cannot be decoded: {error}")
            failed.__cause__ = error
            slot.fail(failed)
        else:
            slot.tell(value)

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
            return refs.pack_reply(self._asked)
        slot: Any = ref
        if self.connection is not None and getattr(slot, "connection", None) is self.connection:  # it comes home
            return refs.pack_home(slot.number)
        return self.node.write_ref(ref)

    # --- Watches ------------------------------------------------------------------------------------------------------

    def watch(self, target: Target, ref: ActorRef[Any], watcher: Watcher) -> None:
        """Let a watcher of ours hear of the end of an actor there."""
        watchers = self.watching.setdefault(target, {})
        watchers[watcher] = ref
        if len(watchers) == 1:
            self._say_watch(target)
            self.poke()

    def unwatch(self, target: Target, watcher: Watcher) -> None:
        """It need not hear of it any more."""
        watchers = self.watching.get(target)
        if watchers is None or watchers.pop(watcher, None) is None:
            return
        if not watchers:
            del self.watching[target]
            if target[2] in (0, self.uid):
                self._say(Kind.UNWATCH, wire.UnwatchFrame(*target[:2]))

    def _say_watch(self, target: Target) -> None:
        if target[2] in (0, self.uid):
            self._say(Kind.WATCH, wire.WatchFrame(*target[:2]))

    def on_watch(self, body: memoryview) -> None:
        """It wants to hear of the end of an actor of ours."""
        frame = wire.unpack(wire.WatchFrame, body)
        key = (frame.path, frame.incarnation)
        ref = self.node.peers.find_local(*key)
        if ref is None:
            self.tell_terminated(key, None)
        elif key not in self.watched:
            self.watched[key] = watcher = RemoteWatcher(self, key, ref)
            ref.add_watcher(watcher)

    def on_unwatch(self, body: memoryview) -> None:
        """It need not hear of it any more."""
        frame = wire.unpack(wire.UnwatchFrame, body)
        watcher = self.watched.pop((frame.path, frame.incarnation), None)
        if watcher is not None:
            watcher.ref.remove_watcher(watcher)

    def on_terminated(self, body: memoryview) -> None:
        """An actor that ours watch has ended; what it told them before came before, on the same connection."""
        frame = wire.unpack(wire.TerminatedFrame, body)
        failure = None if frame.failure is None else ActorFailedError(escaped(frame.failure, FAILURE_LIMIT))
        for uid in (0, self.uid):
            for watcher, ref in self.watching.pop((frame.path, frame.incarnation, uid), {}).items():
                watcher.hear_end(ref, failure)

    def tell_terminated(self, key: Key, failure: Exception | None) -> None:
        """Tell it that an actor of ours has ended. Without a connection it asks again on the next one."""
        self.watched.pop(key, None)
        text = None if failure is None else f"{type(failure).__name__}: {failure}"[:FAILURE_LIMIT]
        self._say(Kind.TERMINATED, wire.TerminatedFrame(*key, text))

    def _say(self, kind: int, frame: Any) -> None:
        """Words about watches are never dropped while there is a connection: what finds no room waits for it, in order."""
        connection = self.connection
        if connection is None:
            return
        body = wire.pack(frame)
        if not self._owed:
            try:
                connection.link.write(kind, body)
            except LinkClosedError:
                return
            except LinkFullError:
                self.node.start_service(partial(self._pay, connection), f"watches of {self.node_id}")
            else:
                return
        self._owed.append((kind, body))

    async def _pay(self, connection: Connection) -> None:
        with suppress(LinkClosedError):
            while self._owed and self.connection is connection:
                await connection.link.send(*self._owed[0])
                if self._owed and self.connection is connection:
                    self._owed.popleft()

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
        connected = self.connection is not None and self.connection.link.peer.uid == offer.uid
        if connected or self._admitted:
            return HandshakeError("crossing", f"{self.node_id} was quicker, and is connected")
        self._confirming = offer.uid
        return None

    def dial_over(self) -> None:
        """Our dial has become the connection, or nothing."""
        self._confirming = 0

    def admit_accepted(self, offer: Offer) -> HandshakeError | None:
        """Whether the node's dial is to become the connection. Both ends decide alike, by what they know of each other."""
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

    def attach(self, connection: Connection) -> None:
        """There is a connection."""
        peer = connection.link.peer
        old = self.connection
        if old is not None:
            old.retire("replaced by a newer connection")
            self.detach(old, "replaced by a newer connection")
        if self.uid and self.uid != peer.uid:
            self.node.peers.declare_gone(self, f"{peer.node_id} has started anew")
        self.uid, self.node_id, self.connection = peer.uid, connection.link.peer_name, connection
        self._owed.clear()
        for target in self.watching:
            self._say_watch(target)
        self._flush(connection)
        self.poke()

    def detach(self, connection: Connection, reason: str) -> None:
        """The connection has ended."""
        if self.connection is not connection:
            return
        self.connection = None
        unsent = [self._unsent(kind, bytes(body)) for kind, body in connection.link.take_unsent()]
        self.held.put_first([held for held in unsent if held is not None])
        kept = {held.ask for held in self.held}
        where = f"the connection to {self.node_id} ended before a reply came: {reason}"
        self._lose_asks(kept, where)
        lost = connection.link.unconfirmed
        self.node.publish(LinkLost, self.node_id, self.host, self.port, lost, reason)
        self.poke()

    def _unsent(self, kind: int, body: bytes) -> Held | None:
        if kind != Kind.ACTOR:
            return None  # replies belong to the connection, and watches are told anew
        return Held(kind, body, self.uid, wire.unpack(wire.ActorFrame, body).ask)

    def _lose_asks(self, kept: Set[int], reason: str) -> None:
        for number, slot in list(self.asks.items()):
            if number not in kept:
                del self.asks[number]
                slot.fail(OutcomeUnknownError(reason))

    def lose_all(self, uid: int, reason: str) -> None:
        """That start of the node is gone: end whatever concerns it; with uid 0, whatever waits for any start."""
        for held in self.held.clear():
            if held.uid in (0, uid) or not uid:
                self.drop(held, f"{self.node_id}: {reason}")
            else:
                self.held.add(held)
        self._lose_asks({held.ask for held in self.held}, f"{self.node_id}: {reason}")
        for target in [target for target in self.watching if not uid or target[2] in (0, uid)]:
            for watcher, ref in self.watching.pop(target).items():
                watcher.hear_end(ref, NodeGoneError(f"{self.node_id}: {reason}"))
        watched, self.watched = self.watched, {}
        for other in watched.values():
            other.ref.remove_watcher(other)
