"""A whole cluster of barrier machines without Trio: queues that can be cut, views that lag, and a record of who got what."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from casty_trio.protocol import rounds
from casty_trio.protocol.barrier import AGAIN, Barriers, Effect, GiveUp, Refuse, Release, Say


@dataclass
class Party:
    """Somebody at a barrier; ``fate`` is empty as long as it waits."""

    barrier: str
    n: int
    node: int
    fate: str = ""


@dataclass
class World:
    """Nodes by uid; the lower, the older.

    Attributes:
        views: every view there has been: the members, and the oldest that is up.
        seen: which of them each living node has come to.
    """

    count: int
    now: float = 0.0
    nodes: dict[int, Barriers] = field(default_factory=dict[int, Barriers])
    views: list[tuple[tuple[int, ...], int]] = field(default_factory=list[tuple[tuple[int, ...], int]])
    seen: dict[int, int] = field(default_factory=dict[int, int])
    queues: dict[tuple[int, int], deque[bytes]] = field(default_factory=dict[tuple[int, int], deque[bytes]])
    parties: dict[int, Party] = field(default_factory=dict[int, Party])
    late: set[int] = field(default_factory=set[int])  # their time was over, and they were bound
    leaving: set[int] = field(default_factory=set[int])
    crashed: set[int] = field(default_factory=set[int])  # and not removed yet

    def __post_init__(self) -> None:
        self.views.append((tuple(range(1, self.count + 1)), 1))
        for uid in self.views[0][0]:
            self._start(uid)

    def _start(self, uid: int) -> None:
        self.nodes[uid] = Barriers(uid)
        self.seen[uid] = len(self.views) - 1
        self.do(uid, self.nodes[uid].set_members(self.now, *self.views[-1]))

    # --- What happens -------------------------------------------------------------------------------------------------

    def do(self, uid: int, effects: list[Effect]) -> None:
        """Do what a node's machine wants."""
        for effect in effects:
            match effect:
                case Say(to, word):
                    assert to != uid
                    known = self.views[self.seen[uid]][0]
                    if to in self.nodes and to in known:
                        self.queues.setdefault((uid, to), deque()).append(rounds.pack(word))
                case Release(party):
                    self._end(party, uid, "released")
                case GiveUp(party):
                    assert party in self.late
                    self._end(party, uid, "gave up")
                case Refuse(party, expected):
                    assert expected != self.parties[party].n
                    self._end(party, uid, "refused")
        self.check_safety()

    def _end(self, party: int, uid: int, fate: str) -> None:
        assert self.parties[party].node == uid
        assert self.parties[party].fate == "", "nobody is released twice, nor after it gave up"
        self.parties[party].fate = fate

    def arrive(self, uid: int, barrier: str, n: int) -> int:
        party = len(self.parties) + 1
        self.parties[party] = Party(barrier, n, uid)
        self.do(uid, self.nodes[uid].arrive(self.now, party, barrier, n))
        return party

    def give_up(self, party: int) -> None:
        """Its time is over."""
        uid = self.parties[party].node
        withdrawn, effects = self.nodes[uid].withdraw(self.now, party)
        if withdrawn:
            self._end(party, uid, "gave up")
        else:
            self.late.add(party)
        self.do(uid, effects)

    def abandon(self, party: int) -> None:
        """It is cancelled."""
        uid = self.parties[party].node
        self._end(party, uid, "cancelled")
        self.do(uid, self.nodes[uid].abandon(self.now, party))

    def deliver(self, way: tuple[int, int]) -> None:
        """The next message on a way."""
        queue = self.queues[way]
        body = queue.popleft()
        if not queue:
            del self.queues[way]
        sender, uid = way
        if sender in self.views[self.seen[uid]][0]:
            self.do(uid, self.nodes[uid].receive(self.now, sender, rounds.unpack(body)))

    def cut(self, a: int, b: int) -> None:
        """A connection breaks: what is on its way is lost."""
        self.queues.pop((a, b), None)
        self.queues.pop((b, a), None)

    def tick(self, seconds: float = AGAIN) -> None:
        self.now += seconds
        for uid, machine in list(self.nodes.items()):
            self.do(uid, machine.tick(self.now))

    def crash(self, uid: int) -> None:
        """It is gone, and nobody knows yet."""
        self._stop(uid)
        self.crashed.add(uid)

    def _stop(self, uid: int) -> None:
        del self.nodes[uid], self.seen[uid]
        for way in [way for way in self.queues if uid in way]:
            del self.queues[way]
        for party in self.parties.values():
            if party.node == uid and party.fate != "released":
                party.fate = "crashed"

    def remove(self, uid: int) -> None:
        """It is no member any more, as nodes come to know."""
        self.crashed.discard(uid)
        self._new_view(tuple(each for each in self.views[-1][0] if each != uid))

    def leave(self, uid: int) -> None:
        """It wants to go; it is the host no more."""
        self.leaving.add(uid)
        self._new_view(self.views[-1][0])

    def exit(self, uid: int) -> None:
        """It has left."""
        self._stop(uid)
        self.remove(uid)

    def join(self, uid: int) -> None:
        self._new_view((*self.views[-1][0], uid))
        self._start(uid)

    def _new_view(self, members: tuple[int, ...]) -> None:
        up = [uid for uid in members if uid not in self.leaving]
        self.views.append((members, min(up or members, default=0)))

    def look(self, uid: int) -> None:
        """A node comes to know the next view."""
        if self.seen[uid] < len(self.views) - 1:
            self.seen[uid] += 1
            for way in [way for way in self.queues if uid in way]:
                if not set(way) <= {*self.views[self.seen[uid]][0]}:
                    del self.queues[way]
            self.do(uid, self.nodes[uid].set_members(self.now, *self.views[self.seen[uid]]))

    def settle(self) -> None:
        """No more faults: everybody hears of everything."""
        for uid in sorted(self.crashed):
            self.remove(uid)
        for _ in range(12):
            for uid in list(self.nodes):
                while self.seen[uid] < len(self.views) - 1:
                    self.look(uid)
            self.flush()
            self.tick()
            self.flush()

    def flush(self) -> None:
        for _ in range(10_000):
            if not self.queues:
                return
            self.deliver(next(iter(self.queues)))
        raise AssertionError("they never come to an end")

    # --- What has to hold ---------------------------------------------------------------------------------------------

    def at(self, barrier: str, *fates: str) -> list[Party]:
        return [each for each in self.parties.values() if each.barrier == barrier and (not fates or each.fate in fates)]

    def check_safety(self) -> None:
        """Nobody goes on unless so many have come."""
        for barrier in dict.fromkeys(party.barrier for party in self.parties.values()):
            released = len(self.at(barrier, "released"))
            n = self.at(barrier)[0].n
            came = len(self.at(barrier)) - len(self.at(barrier, "gave up", "refused"))
            assert -(-released // n) * n <= came, f"{released} of {came} were released at {barrier}, of {n}"

    def check_settled(self, *once: str) -> None:
        """All go on, or none; ``once`` names barriers to which only one round of parties came."""
        for barrier in dict.fromkeys(party.barrier for party in self.parties.values()):
            n = self.at(barrier)[0].n
            waiting = self.at(barrier, "")
            assert not [number for number in self.late if not self.parties[number].fate]
            assert len(waiting) < n, f"{len(waiting)} wait at {barrier} for {n}"
            if barrier in once and self.at(barrier, "released"):
                assert not waiting, f"some have gone on at {barrier}, and {len(waiting)} wait"
                assert not self.at(barrier, "gave up"), f"some have gone on at {barrier}, and some gave up"
        for machine in self.nodes.values():
            assert not machine._bound
            assert not machine._opened
            assert machine._deciding.idle
            assert machine.idle == (not machine._waiting)
