"""What two nodes watch of each other, as each of them keeps it. Floor F3, no I/O.

Watches are state: they are told anew on each connection, before anything else, and answered at once when the actor is not
there. What has ended without a connection is kept until the other node asks again; what it does not ask for again is
forgotten with the next connection.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from casty_trio.actors.refs import LocalRef, Watcher
from casty_trio.errors import ActorFailedError, LinkClosedError, LinkFullError, MessageTooLargeError, NodeGoneError
from casty_trio.model.ref import ActorRef
from casty_trio.protocol import wire
from casty_trio.protocol.frames import Kind
from casty_trio.protocol.handshake import escaped

if TYPE_CHECKING:
    from casty_trio.remote.connection import Connection
    from casty_trio.remote.peer import Peer

__all__ = ["RemoteWatcher", "Target", "Watches"]

Key = tuple[str, int]
"""An actor as a WATCH names it: path and incarnation."""
Target = tuple[str, int, int]
"""The same, and which start of the node; 0 where any will do."""

FAILURE_LIMIT = 300


class RemoteWatcher:
    """On the node of an actor: the other node that watches it, for all watchers it has there.

    Attributes:
        key: the actor, as the other node names it.
        ref: the actor; None once it has ended.
        failure: what it failed with, if it did.
    """

    __slots__ = ("_watches", "failure", "key", "ref")

    def __init__(self, watches: Watches, key: Key, ref: LocalRef[Any] | None) -> None:
        self._watches = watches
        self.key: Key = key
        self.ref: LocalRef[Any] | None = ref
        self.failure: str | None = None

    def hear_end(self, ref: ActorRef[Any], failure: Exception | None) -> None:
        """As `Watcher.hear_end`."""
        self.ref = None
        self.failure = None if failure is None else f"{type(failure).__name__}: {failure}"[:FAILURE_LIMIT]
        self._watches.end(self)

    def forget(self) -> None:
        """The other node need not hear of it."""
        if self.ref is not None:
            self.ref.remove_watcher(self)


class Watch:
    """Whom of ours one actor there has for watchers, and with which refs; ``told`` is the start of the node that knows."""

    __slots__ = ("told", "watchers")

    def __init__(self) -> None:
        self.told: int = 0
        self.watchers: dict[Watcher, ActorRef[Any]] = {}


class Watches:
    """The watches between this node and one other."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._watching: dict[Target, Watch] = {}
        self._watched: dict[Key, RemoteWatcher] = {}
        self._former: dict[Key, RemoteWatcher] = {}  # of earlier connections, until asked for again
        self._owed: deque[tuple[int, bytes]] = deque()  # words that found no room

    @property
    def watching(self) -> int:
        """How many watches of ours there are."""
        return sum(len(watch.watchers) for watch in self._watching.values())

    @property
    def watched(self) -> int:
        """How many of our actors the other node watches."""
        return sum(watcher.ref is not None for watcher in (*self._watched.values(), *self._former.values()))

    def __bool__(self) -> bool:
        return bool(self._watching)

    def uids(self) -> set[int]:
        """Which starts of the node our watches are for."""
        return {target[2] for target in self._watching}

    # --- Ours ---------------------------------------------------------------------------------------------------------

    def watch(self, target: Target, ref: ActorRef[Any], watcher: Watcher) -> bool:
        """Let a watcher of ours hear of the end of an actor there; whether the first one does."""
        watch = self._watching.get(target)
        if watch is not None:
            watch.watchers[watcher] = ref
            return False
        self._watching[target] = watch = Watch()
        watch.watchers[watcher] = ref
        self._ask(target, watch)
        return True

    def unwatch(self, target: Target, watcher: Watcher) -> None:
        """It need not hear of it any more."""
        watch = self._watching.get(target)
        if watch is None or watch.watchers.pop(watcher, None) is None or watch.watchers:
            return
        del self._watching[target]
        if target[2] in (0, self._peer.uid):
            self._say(Kind.UNWATCH, wire.UnwatchFrame(*target[:2]))

    def on_terminated(self, body: memoryview) -> None:
        """An actor that ours watch has ended; what it told them before came before, on the same connection."""
        frame = wire.unpack(wire.TerminatedFrame, body)
        failure = None if frame.failure is None else ActorFailedError(escaped(frame.failure, FAILURE_LIMIT))
        for uid in dict.fromkeys((0, self._peer.uid)):
            self._tell((frame.path, frame.incarnation, uid), failure)

    def lose(self, uid: int, reason: str, *, every: bool) -> None:
        """That start of the node is gone; with ``every``, whatever is watched there is not waited for any more."""
        for target, watch in list(self._watching.items()):
            if every or uid == (target[2] or watch.told):
                self._tell(target, NodeGoneError(reason))

    def _tell(self, target: Target, failure: Exception | None) -> None:
        watch = self._watching.pop(target, None)
        if watch is not None:
            for watcher, ref in watch.watchers.items():
                watcher.hear_end(ref, failure)

    def _ask(self, target: Target, watch: Watch) -> None:
        if self._peer.connection is not None and target[2] in (0, self._peer.uid):
            watch.told = self._peer.uid
            self._say(Kind.WATCH, wire.WatchFrame(*target[:2]))

    # --- Theirs -------------------------------------------------------------------------------------------------------

    def on_watch(self, body: memoryview) -> None:
        """It wants to hear of the end of an actor of ours."""
        frame = wire.unpack(wire.WatchFrame, body)
        key = (frame.path, frame.incarnation)
        former = self._former.pop(key, None)
        if former is not None:
            self._watched[key] = former
            if former.ref is None:
                self.end(former)
        elif key not in self._watched:
            ref = self._peer.node.peers.find_local(*key)
            watcher = self._watched[key] = RemoteWatcher(self, key, ref)
            if ref is None:
                self.end(watcher)
            else:
                ref.add_watcher(watcher)

    def on_unwatch(self, body: memoryview) -> None:
        """It need not hear of it any more."""
        frame = wire.unpack(wire.UnwatchFrame, body)
        watcher = self._watched.pop((frame.path, frame.incarnation), None)
        if watcher is not None:
            watcher.forget()

    def end(self, watcher: RemoteWatcher) -> None:
        """An actor of ours that it watches has ended; without a connection it hears of that when it asks again."""
        if self._peer.connection is not None and self._watched.get(watcher.key) is watcher:
            del self._watched[watcher.key]
            self._say(Kind.TERMINATED, wire.TerminatedFrame(*watcher.key, watcher.failure))

    def forget_theirs(self) -> None:
        """The start of the node that watched ours is gone."""
        for watcher in (*self._watched.values(), *self._former.values()):
            watcher.forget()
        self._watched, self._former = {}, {}

    # --- Connections --------------------------------------------------------------------------------------------------

    def attach(self) -> None:
        """There is a new connection: tell everything anew."""
        for watcher in self._former.values():
            watcher.forget()
        self._former, self._watched = self._watched, {}
        for target, watch in self._watching.items():
            self._ask(target, watch)

    def detach(self, unsent: list[tuple[int, bytes]]) -> None:
        """The connection has ended, before these frames were written to it."""
        for kind, body in (*unsent, *self._owed):
            if kind == Kind.TERMINATED:
                frame = wire.unpack(wire.TerminatedFrame, body)
                key = (frame.path, frame.incarnation)
                if key not in self._watched:
                    self._watched[key] = watcher = RemoteWatcher(self, key, None)
                    watcher.failure = frame.failure
        self._owed.clear()

    def _say(self, kind: int, frame: Any) -> None:
        """These words are never dropped while there is a connection: what finds no room waits for it, in order."""
        peer, connection = self._peer, self._peer.connection
        if connection is None:
            return
        body = wire.pack(frame)
        if not self._owed:
            try:
                connection.link.write(kind, body)
            except LinkFullError:
                peer.node.start_service(partial(self._pay, connection), f"watches of {peer.node_id}")
            except LinkClosedError:
                self.detach([(kind, body)])  # it has just ended
                return
            except MessageTooLargeError:
                return  # the path is longer than whatever the other node can have
            else:
                return
        self._owed.append((kind, body))

    async def _pay(self, connection: Connection) -> None:
        with suppress(LinkClosedError):
            while self._owed and self._peer.connection is connection:
                await connection.link.send(*self._owed[0])
                if self._owed and self._peer.connection is connection:
                    self._owed.popleft()
