"""Which other nodes are alive: heartbeats to a few neighbours, and second opinions before an accusation. Floor F1, pure.

Only what answers counts: a `Pong` to one of our own pings is a round trip, and tells that the path works both ways. Other
frames of a peer do not feed its detector, nor do its pings: when what we send does not arrive (a cut in one direction), they
go on coming, and the node that hears them would take for healthy what cannot hear it. They do show how late *we* are.

Rules:

- An accusation comes after phi passed the threshold *and* every helper's own try failed, was nacked or timed out.
- A node that was itself late (its clockwork came more than ``late_after`` behind) judges nobody until it has caught up.
- A node whose helpers fall silent, though they answer its pings, doubts itself and grows patient; but not while nobody
  answers it at all: whoever may be cut off has to learn it in time, or it goes on with work that others have taken over.
- Silent neighbours do not count: for them further ones are watched, twice as many with each beat. So whatever is beyond a
  cut is accused, and downing can count, also where a node's whole neighbourhood is on the other side.
- An accused node is pinged until it answers or is no member: who accused it has to take that back.

A driver calls `tick` at `next_wakeup`, hands over what peers send, and performs the effects in their order.
"""

from __future__ import annotations

import math
import random
import zlib
from collections.abc import Sequence
from typing import Final

import msgspec

from casty_trio.model.detection import DetectorSettings, DetectorStatistics
from casty_trio.protocol.phi import PhiDetector
from casty_trio.protocol.watching import Asked, Help, Watch

__all__ = [
    "Absolve",
    "Accuse",
    "Effect",
    "Late",
    "Message",
    "Monitoring",
    "Ping",
    "Pong",
    "Probe",
    "ProbeAnswer",
    "Send",
    "ring_position",
]

MOST_HELP: Final = 64
"""So many peers are tried at a time because others asked; more than that is not answered."""

_COUNTED: Final = ("pings", "pongs", "heard", "accusations", "absolutions", "excuses", "missing", "late")


class Ping(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Asks for a sign of life; the number comes back."""

    seq: int


class Pong(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A sign of life: the answer to the ping of that number."""

    seq: int


class Probe(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """Asks the receiver to try whether it reaches the node ``target``."""

    target: int
    number: int


class ProbeAnswer(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """What became of a `Probe`: the target answered, or it did not in time."""

    target: int
    number: int
    alive: bool


Message = Ping | Pong | Probe | ProbeAnswer


class Send(msgspec.Struct, frozen=True):
    """Send a message to the node ``uid``. If it cannot be sent now, it is dropped; it is never kept for later."""

    uid: int
    message: Message


class Accuse(msgspec.Struct, frozen=True):
    """The node ``uid`` cannot be reached, from here and by those who were asked."""

    uid: int


class Absolve(msgspec.Struct, frozen=True):
    """The accused node ``uid`` answers again."""

    uid: int


class Late(msgspec.Struct, frozen=True):
    """This node was itself so many seconds late: it was paused, or something blocked it."""

    seconds: float


Effect = Send | Accuse | Absolve | Late


def ring_position(uid: int) -> tuple[int, int]:
    """Where a node stands on the ring. Part of the protocol: all versions have to compute the same.

    Example:
        >>> sorted([1, 2, 3, 4], key=ring_position)
        [1, 4, 2, 3]
    """
    return zlib.crc32(uid.to_bytes(8, "big")), uid


class Monitoring:
    """One node's watch over others.

    Args:
        self_uid: this node.
        settings: how it watches.
        rng: chooses whom to ask for a second opinion.

    Example:
        >>> monitoring = Monitoring(1, DetectorSettings(), random.Random(1))
        >>> monitoring.set_members(0.0, [2])
        []
        >>> monitoring.next_wakeup, monitoring.tick(0.0), monitoring.next_wakeup
        (0.0, [Send(uid=2, message=Ping(seq=1))], 1.0)
        >>> monitoring.on_message(0.1, 2, Pong(1))
        []
    """

    def __init__(self, self_uid: int, settings: DetectorSettings, rng: random.Random) -> None:
        self._self = self_uid
        self._settings = settings
        self._rng = rng
        self._known: frozenset[int] = frozenset()
        self._ring: tuple[int, ...] = ()
        self._reach = settings.monitored
        self._watches: dict[int, Watch] = {}
        self._helps: dict[int, Help] = {}
        self._beat = math.inf
        self._seq = 0
        self._number = 0
        self._health = 0
        self._alone = False
        """Whether nobody who is watched answers."""
        self._caught_up = True
        """Whether what was not answered since the last beat says something about others."""
        self._counts = dict.fromkeys(_COUNTED, 0)
        self._latest = 0.0

    @property
    def next_wakeup(self) -> float:
        """When `tick` has to be called; infinity while there is nobody to watch."""
        wakeup = self._beat
        for watch in self._watches.values():
            if watch.due < wakeup:
                wakeup = watch.due
        for job in self._helps.values():
            wakeup = min(wakeup, job.deadline)
        return wakeup

    @property
    def neighbours(self) -> tuple[int, ...]:
        """Who is watched because it comes next on the ring, nearest first."""
        return self._ring[: self._reach]

    @property
    def statistics(self) -> DetectorStatistics:
        """A snapshot of what is counted."""
        watches = self._watches.values()
        return DetectorStatistics(
            watched=len(watches),
            accused=sum(watch.accused for watch in watches),
            probing=sum(watch.asked is not None for watch in watches),
            helping=len(self._helps),
            health=self._health,
            latest=self._latest,
            **self._counts,
        )

    def set_members(self, now: float, uids: Sequence[int]) -> list[Effect]:
        """Say who else there is, in any order: everybody that may be watched, and asked for help."""
        effects = self._arrive(now)
        known = frozenset(uids) - {self._self}
        if known == self._known:
            return effects
        here = ring_position(self._self)
        self._known = known
        self._ring = tuple(sorted(known, key=lambda uid: (ring_position(uid) < here, ring_position(uid))))
        self._choose(now)
        if not self._watches:
            self._beat = math.inf
        elif self._beat == math.inf:
            self._beat = now
        return effects

    def tick(self, now: float) -> list[Effect]:
        """Time has passed: send heartbeats, and decide what is due."""
        effects = self._arrive(now)
        if now >= self._beat:
            effects += self._ping_all(now)
        for seq, job in [*self._helps.items()]:
            if now >= job.deadline:
                del self._helps[seq]
                effects.append(Send(job.asker, ProbeAnswer(job.target, job.number, False)))
        for watch in self._watches.values():
            if now >= watch.due:
                effects += self._convict(now, watch) if watch.asked else self._investigate(now, watch)
        return effects

    def on_message(self, now: float, sender: int, message: Message) -> list[Effect]:
        """Any of our messages came from a peer."""
        if isinstance(message, Ping):
            return self.on_ping(now, sender, message.seq)
        if isinstance(message, Pong):
            return self.on_pong(now, sender, message.seq)
        if isinstance(message, Probe):
            return self.on_probe(now, sender, message.target, message.number)
        return self.on_probe_answer(now, sender, message.target, message.number, message.alive)

    def heard(self, now: float, sender: int) -> list[Effect]:
        """A frame of any other kind came. It can show how late this node is; it says nothing of the path to its sender."""
        self._counts["heard"] += 1
        return self._arrive(now)

    def on_ping(self, now: float, sender: int, seq: int) -> list[Effect]:
        """A peer asks for a sign of life. Everybody gets one."""
        return [*self._arrive(now), Send(sender, Pong(seq))]

    def on_pong(self, now: float, sender: int, seq: int) -> list[Effect]:
        """A peer gave a sign of life, to us or to whom we help."""
        effects = self._arrive(now)
        job = self._helps.get(seq)
        if job is not None and job.target == sender:
            del self._helps[seq]
            effects.append(Send(job.asker, ProbeAnswer(job.target, job.number, True)))
        watch = self._watches.get(sender)
        if watch is None or not watch.pong(now, seq):
            return effects
        self._counts["pongs"] += 1
        if watch.accused:
            self._counts["absolutions"] += 1
            effects.append(Absolve(sender))
            self._release(watch)
        watch.plan(now)
        return effects

    def on_probe(self, now: float, asker: int, target: int, number: int) -> list[Effect]:
        """A peer asks us to try a node. Whom we do not know, we cannot reach; and only so many are tried at a time."""
        effects = self._arrive(now)
        if target == self._self or target not in self._known:
            effects.append(Send(asker, ProbeAnswer(target, number, target == self._self)))
        elif len(self._helps) < MOST_HELP:
            self._seq += 1
            self._helps[self._seq] = Help(asker, target, number, now + self._settings.probe_timeout)
            effects.append(Send(target, Ping(self._seq)))
        return effects

    def on_probe_answer(self, now: float, sender: int, target: int, number: int, alive: bool) -> list[Effect]:
        """A helper says what became of its try. One that reached the target excuses it for a pause."""
        effects = self._arrive(now)
        watch = self._watches.get(target)
        asked = watch.asked if watch is not None else None
        if watch is None or asked is None or asked.number != number or sender not in asked.silent:
            return effects
        if alive:
            self._counts["excuses"] += 1
            watch.fresh = max(watch.fresh, asked.at)
            watch.excuse(now, now + self._pause)
            return effects
        asked.silent.remove(sender)
        return effects if asked.silent else [*effects, *self._convict(now, watch)]

    def on_refuted(self, now: float, uid: int) -> list[Effect]:
        """A node has refuted what we said of it: it lives, though we cannot reach it. It is excused for a pause."""
        effects = self._arrive(now)
        watch = self._watches.get(uid)
        if watch is not None and watch.accused:
            self._counts["excuses"] += 1
            self._release(watch)
            watch.excuse(now, now + self._pause)
        return effects

    def out_of_touch(self, now: float, within: float) -> bool:
        """Whether half of those that are watched, or more, have answered nothing that was asked in so many seconds.

        Then it may be this node that others do not reach, and are about to remove. Of whom others have reached that is not
        to be feared, and who has only begun to be watched says nothing.
        """
        silent = sum(watch.fresh < now - within for watch in self._watches.values())
        heard = sum(watch.answered and watch.fresh >= now - within for watch in self._watches.values())
        return silent > 0 and silent >= heard

    def on_refuted_self(self) -> list[Effect]:
        """This node had to refute what others said of it: a reason to doubt itself."""
        self._doubt(-math.inf, 1)
        return []

    @property
    def _patience(self) -> int:
        return 1 if self._alone else self._health + 1

    @property
    def _pause(self) -> float:
        return self._settings.pause * self._patience

    def _choose(self, now: float) -> None:
        """Watch the neighbours, and whom we accused."""
        accused = [uid for uid, watch in self._watches.items() if watch.accused and uid in self._known]
        kept = dict.fromkeys((*self.neighbours, *accused))
        self._watches = {uid: self._watches.get(uid) or self._begin(now, uid) for uid in kept}

    def _begin(self, now: float, uid: int) -> Watch:
        settings = self._settings
        detector = PhiDetector(
            settings.heartbeat,
            threshold=settings.threshold,
            pause=self._pause,
            deviation=settings.deviation,
            samples=settings.samples,
        )
        watch = Watch(uid, detector, now)
        detector.excuse(now)
        watch.plan(now)
        return watch

    def _release(self, watch: Watch) -> None:
        """It is accused no more. Whoever is no neighbour was watched for that alone."""
        watch.accused = False
        if watch.uid not in self.neighbours:
            del self._watches[watch.uid]

    def _arrive(self, now: float) -> list[Effect]:
        """Whatever happens, see first how late this node is for what it had to do; if too late, it starts over."""
        late = now - self.next_wakeup
        if late <= self._settings.late_after:
            return []
        self._counts["late"] += 1
        self._latest = max(self._latest, late)
        until = now + self._settings.heartbeat + max((watch.trip for watch in self._watches.values()), default=0.0)
        for watch in self._watches.values():
            watch.detector.excuse(now)
            watch.excuse(now, until)
        self._helps.clear()  # what they did meanwhile we cannot tell, and saying nothing is no lie
        self._caught_up = False
        if self._watches:
            self._beat = now
        return [Late(late)]

    def _ping_all(self, now: float) -> list[Effect]:
        """A beat: see who answered the last one, and ask everybody that is watched."""
        if self._caught_up:
            self._take_stock(now)
        self._caught_up = True
        heartbeat = self._settings.heartbeat
        self._beat = self._beat + heartbeat if now < self._beat + heartbeat else now + heartbeat
        effects: list[Effect] = []
        for watch in self._watches.values():
            self._seq += 1
            watch.pings.append((self._seq, now))
            effects.append(Send(watch.uid, Ping(self._seq)))
        self._counts["pings"] += len(effects)
        return effects

    def _take_stock(self, now: float) -> None:
        """If all answered who are not accused, there is less to doubt; for those who did not, further ones are watched."""
        innocent = [watch for watch in self._watches.values() if not watch.accused]
        self._alone = all(watch.pings for watch in self._watches.values())
        well = innocent and all(watch.answered and not watch.pings for watch in innocent)
        self._doubt(now, -1 if well else 0)
        watched = self.neighbours
        silent = sum(bool(self._watches[uid].pings) for uid in watched)
        wanted = self._settings.monitored + silent
        if not silent:
            self._reach = self._settings.monitored
        elif len(watched) < wanted:
            self._reach = len(watched) + max(wanted - len(watched), silent)
        self._choose(now)

    def _doubt(self, now: float, change: int) -> None:
        """Doubt this node more or less, which is more or less patience with all."""
        self._health = min(max(self._health + change, 0), self._settings.health_most - 1)
        pause = self._pause
        for watch in self._watches.values():
            if watch.detector.pause != pause:
                watch.detector.pause = pause
                watch.plan(now)

    def _answering(self, uid: int) -> bool:
        """Whether a node is known to answer: it is watched, and owes no answer of the beat before."""
        watch = self._watches.get(uid)
        return watch is not None and watch.answered and not watch.accused and len(watch.pings) < 2

    def _investigate(self, now: float, watch: Watch) -> list[Effect]:
        """A peer is silent for too long: ask others, best who is known to answer. With nobody to ask, that is enough."""
        others = [uid for uid in self._ring if uid != watch.uid]
        good = [uid for uid in others if self._answering(uid)]
        unknown = [uid for uid in others if uid not in self._watches]
        most = self._settings.probes
        helpers = self._rng.sample(good, min(most, len(good)))
        helpers += self._rng.sample(unknown, min(most - len(helpers), len(unknown)))
        self._number += 1
        watch.asked = Asked(self._number, now, now + 2 * self._settings.probe_timeout * self._patience, helpers)
        watch.plan(now)
        if not helpers:
            return self._convict(now, watch)
        return [Send(uid, Probe(watch.uid, self._number)) for uid in helpers]

    def _convict(self, now: float, watch: Watch) -> list[Effect]:
        """Nobody reached the peer. Helpers that said nothing at all, though they answer us, are a reason for doubt."""
        silent = watch.asked.silent if watch.asked is not None else []
        missing = sum(map(self._answering, silent))
        watch.asked, watch.accused = None, True
        watch.plan(now)
        self._counts["missing"] += missing
        self._counts["accusations"] += 1
        self._doubt(now, missing)
        return [Accuse(watch.uid)]
