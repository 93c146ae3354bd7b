"""What always has to hold between nodes, as checks for the observer of a bench. Floor F6.

Each begins its name with the number that docs/reliability.md gives it. What was sent, asked and watched they are told by
the workload; all else they see by themselves. Those about members are in `casty_trio.testing.memberships`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

import trio

from casty_trio.model.events import DeadLetter, Event, LinkLost, NodeGone
from casty_trio.remote import RemoteNode
from casty_trio.testing.nodes import Change
from casty_trio.testing.observer import Invariant, Life

__all__ = [
    "AsksEnd",
    "Books",
    "Bounds",
    "Conservation",
    "Liveness",
    "Order",
    "WatchesEnd",
]

PEERS = "a peer's message for "
"""How the reason of a dead letter begins that came from another node."""

UNWINDING = 10.0
"""So many seconds an actor may end before its node has, when that leaves in order."""

LATE = 1e-6
"""How much later than its deadline an ask may end, in seconds: the error of a sum."""


class Order(Invariant):
    """Each sender's messages arrive at each recipient in the order they were sent, and none twice."""

    name = "I3 order"

    def __init__(self) -> None:
        self._last: dict[tuple[int, Hashable], int] = {}

    def handled(self, sender: int, recipient: Hashable, number: int, node: str) -> None:
        """A recipient handles a message of a sender's.

        Parameters:
            sender: the uid of the sender's node, or any number of its own.
            recipient: who handles it; another start of it is the same one.
            number: the message's, upwards from each sender to each recipient.
            node: where.
        """
        if self.observer.hears(node):
            last = self._last.get((sender, recipient), 0)
            if number <= last:
                self.fail(f"{recipient} handles number {number} of sender {sender} after number {last}", node)
            self._last[sender, recipient] = max(number, last)


@dataclass(frozen=True, slots=True)
class _Told:
    sender: Life
    target: str
    path: str
    at: float
    size: int


class Conservation(Invariant):
    """Each message ends handled, as a dead letter, in the memory of a process that was crashed, or on a connection that
    broke and was reported as `LinkLost`; none is lost without a word.

    Attributes:
        sent: how many were sent.
        ends: how many ended how.
    """

    name = "I5 conservation"

    def __init__(self) -> None:
        self.sent: int = 0
        self.ends: dict[str, int] = {"handled": 0, "dead letters": 0, "lost in crashes": 0, "lost on links": 0}
        self._due: dict[Hashable, _Told] = {}
        self._nameless: Counter[tuple[str, str]] = Counter()
        self._lost: dict[tuple[int, str], list[tuple[float, int]]] = {}  # when how many bytes, from whom to where
        self._crashes: list[tuple[str, float]] = []

    def told(self, stamp: Hashable, sender: Life, target: str, path: str, size: int = 0) -> None:
        """A message was told to an actor of another node.

        Parameters:
            stamp: says which; the message has it as its field ``stamp``.
            sender: who told it.
            target: the node of the actor.
            path: the actor's.
            size: how many bytes it is at least, as it is sent.
        """
        self.sent += 1
        self._due[stamp] = _Told(sender, target, path, trio.current_time(), size)

    def handled(self, stamp: Hashable, node: str) -> None:
        """A message was handled."""
        if self.observer.hears(node) and self._due.pop(stamp, None) is not None:
            self.ends["handled"] += 1

    def on_event(self, life: Life, event: Event) -> None:
        if isinstance(event, DeadLetter):
            if self._due.pop(_stamp_of(event.message), None) is not None:
                self.ends["dead letters"] += 1
            elif event.reason.startswith(PEERS):  # it was not decoded, for its actor had stopped
                self._nameless[life.node, event.reason.removeprefix(PEERS).partition(":")[0]] += 1
        elif isinstance(event, LinkLost) and event.unconfirmed:
            self._lost.setdefault((life.uid, event.node_id), []).append((trio.current_time(), event.unconfirmed))

    def on_change(self, node: str, change: Change) -> None:
        if change == "crashed":
            self._crashes.append((node, trio.current_time()))

    def finish(self) -> None:
        for stamp, told in self._due.items():
            if told.sender.crashed or any(when >= told.at and node == told.target for node, when in self._crashes):
                self.ends["lost in crashes"] += 1
            elif self._was_on_a_lost_link(told):
                self.ends["lost on links"] += 1
            elif self._nameless[told.target, told.path]:
                self._nameless[told.target, told.path] -= 1
                self.ends["dead letters"] += 1
            else:
                seen = f"{stamp!r}, sent to {told.target} at {told.at:.6f} s, was lost without a word"
                self.fail(seen, told.sender.node)
                return

    def _was_on_a_lost_link(self, told: _Told) -> bool:
        """Whether its sender was told later that at least so many bytes were lost, which nothing else takes."""
        losses = self._lost.get((told.sender.uid, told.target), [])
        for number, (when, left) in enumerate(losses):
            if when >= told.at and left >= told.size:
                losses[number] = (when, left - told.size)
                return True
        return False

    def report(self) -> Mapping[str, float]:
        return {"told": self.sent, **self.ends}


def _stamp_of(message: object) -> Hashable:
    return getattr(message, "stamp", None)


class AsksEnd(Invariant):
    """Each ask ends by its deadline; one of a node that was paused, when the node goes on.

    Attributes:
        in_flight: how many are open on nodes that live.
        asked: how many were begun.
        answered: how many ended with a reply.
    """

    name = "I7 asks end"

    def __init__(self) -> None:
        self.asked: int = 0
        self.answered: int = 0
        self._open: dict[object, tuple[str, float]] = {}
        self._per_node: dict[str, int] = {}
        self._resumed: dict[str, float] = {}

    @property
    def in_flight(self) -> int:
        return len(self._open)

    def in_flight_of(self, node: str) -> int:
        """How many a node has open."""
        return self._per_node.get(node, 0)

    def begun(self, node: str, timeout: float) -> object:
        """An ask begins; returns what `ended` wants."""
        self.asked += 1
        ask = object()
        self._open[ask] = node, trio.current_time() + timeout
        self._per_node[node] = self._per_node.get(node, 0) + 1
        return ask

    def ended(self, ask: object, *, answered: bool) -> None:
        """An ask has ended; one of a node that was crashed is forgotten already."""
        opened = self._open.pop(ask, None)
        if opened is None:
            return
        node, deadline = opened
        self._per_node[node] -= 1
        self.answered += answered
        now = trio.current_time()
        if now > max(deadline, self._resumed.get(node, 0.0)) + LATE:
            self.fail(f"an ask ended {now - deadline:.6f} s after its deadline", node)

    def on_change(self, node: str, change: Change) -> None:
        if change == "resumed":
            self._resumed[node] = trio.current_time()
        elif change in ("crashed", "ended"):
            for ask in [ask for ask, opened in self._open.items() if opened[0] == node]:
                del self._open[ask]
            self._per_node[node] = 0

    def poll(self) -> None:
        now = trio.current_time()
        for node, deadline in self._open.values():
            if now > max(deadline, self._resumed.get(node, 0.0)) + LATE and not self.observer.nodes.host(node).paused:
                self.fail(f"an ask is open {now - deadline:.6f} s after its deadline", node)
                return

    def report(self) -> Mapping[str, float]:
        return {"asked": self.asked, "answered": self.answered}


@dataclass(slots=True, eq=False)
class _Watch:
    watcher: Life
    target: int
    actor: Hashable
    heard: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])


class WatchesEnd(Invariant):
    """Each watch of an actor hears once of its end, also when its node ended; and not while the actor lives and its node was
    not declared gone."""

    name = "I7 watches end"

    def __init__(self) -> None:
        self._watches: list[_Watch] = []
        self._gone: dict[int, set[int]] = {}
        self._ended: dict[Hashable, float] = {}

    def begun(self, watcher: Life, target: int, actor: Hashable = None) -> object:
        """A watch begins; returns what `heard` wants.

        Parameters:
            watcher: the start of the node that watches.
            target: the uid of the actor's node.
            actor: says which actor, if it may end before its node does; `ended` tells that it has.
        """
        watch = _Watch(watcher, target, actor)
        self._watches.append(watch)
        return watch

    def ended(self, actor: Hashable) -> None:
        """An actor ends."""
        self._ended[actor] = trio.current_time()

    def heard(self, watch: Any, why: str) -> None:
        """It hears of the end."""
        mine: _Watch = watch
        if mine.watcher.until < inf:
            return
        mine.heard.append((trio.current_time(), why))
        if len(mine.heard) > 1:
            self.fail(f"a watch of uid {mine.target} heard of its end twice: {mine.heard}", mine.watcher.node)

    def on_event(self, life: Life, event: Event) -> None:
        if isinstance(event, NodeGone):
            self._gone.setdefault(life.uid, set()).add(event.uid)

    def at_rest(self) -> None:
        for watch in self._watches:
            target = self.observer.lives.get(watch.target)
            if target is None or watch.watcher.until < inf:
                continue
            ended = min(target.until, self._ended.get(watch.actor, inf))
            if ended < trio.current_time() - UNWINDING and not watch.heard:
                self.fail(f"a watch never heard of the end of {self._name(watch, target)}", watch.watcher.node)
                return
            if watch.heard and not self._declared(watch) and ended > watch.heard[0][0] + UNWINDING:
                seen = f"a watch heard of the end of {self._name(watch, target)}, which lived: {watch.heard}"
                self.fail(seen, watch.watcher.node)
                return

    def report(self) -> Mapping[str, float]:
        return {"watches": len(self._watches), "ends heard": sum(len(watch.heard) for watch in self._watches)}

    def _name(self, watch: _Watch, target: Life) -> str:
        return f"{target.node}{'' if watch.actor is None else f' {watch.actor}'}"

    def _declared(self, watch: _Watch) -> bool:
        return watch.target in self._gone.get(watch.watcher.uid, ())


class Books(Invariant):
    """In each system, what was sent is handled, dead or queued."""

    name = "L4 books"

    def poll(self) -> None:
        for life in self.observer.living():
            counts = life.system.statistics()
            if counts.sent != counts.handled + counts.dead + counts.queued:
                self.fail(f"the counts do not add up: {counts}", life.node)

    def at_rest(self) -> None:
        self.poll()


class Bounds(Invariant):
    """No queue is longer than it may be.

    Parameters:
        mailboxes: how many messages may wait in all mailboxes of a node together.

    Attributes:
        peaks: the most that was seen of each.
    """

    name = "I16 bounds"

    def __init__(self, mailboxes: int = 10_000) -> None:
        self.peaks: dict[str, float] = {"mailboxes": 0, "link bytes": 0, "asks": 0}
        self._mailboxes = mailboxes

    def poll(self) -> None:
        for life in self.observer.living():
            counts = life.system.statistics()
            self._check(life, "mailboxes", counts.queued, self._mailboxes)
            self.peaks["asks"] = max(self.peaks["asks"], counts.asks)
            if isinstance(life.system, RemoteNode):
                settings = life.system.link_settings
                for peer in life.system.peer_statistics():
                    # What comes back from a broken connection is kept before what was held meanwhile.
                    most = 2 * settings.queue + settings.max_message
                    self._check(life, "link bytes", peer.held_bytes + peer.queued_bytes, most)

    def _check(self, life: Life, what: str, value: float, most: float) -> None:
        self.peaks[what] = max(self.peaks[what], value)
        if value > most:
            self.fail(f"{what}: {value:g} wait, and at most {most:g} may", life.node)

    def report(self) -> Mapping[str, float]:
        return {f"peak {what}": value for what, value in self.peaks.items()}


class Liveness(Invariant):
    """Some time after the last fault each node has had an answer from each other.

    Parameters:
        within: how many seconds after the last fault.

    Attributes:
        worst: how many seconds it took; infinity when it did not come about.
    """

    name = "I18 liveness"

    def __init__(self, within: float) -> None:
        self.worst: float = inf
        self._within = within
        self._missing: set[tuple[str, str]] | None = None

    def answered(self, node: str, by: str, asked_at: float) -> None:
        """A node has an answer from another to what it asked then."""
        if asked_at < self.observer.healed_at or not self.observer.hears(node):
            return
        if self._missing is None:
            names = self.observer.nodes.names
            self._missing = {(one, other) for one in names for other in names if one != other}
        self._missing.discard((node, by))
        if not self._missing and self.worst == inf:
            self.worst = trio.current_time() - self.observer.healed_at

    def poll(self) -> None:
        seconds = trio.current_time() - self.observer.healed_at
        if seconds > self._within and self.worst == inf:
            self._complain(seconds)

    def at_rest(self) -> None:
        if self.worst == inf:
            self._complain(trio.current_time() - self.observer.healed_at)

    def _complain(self, seconds: float) -> None:
        missing = (
            "anybody" if self._missing is None else ", ".join(f"{one} from {two}" for one, two in sorted(self._missing))
        )
        self.fail(f"{seconds:.0f} s after the last fault no answer has come to {missing}")

    def report(self) -> Mapping[str, float]:
        return {"liveness": self.worst}
