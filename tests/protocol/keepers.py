"""An owner of a shard and those that keep its ids, without Trio: words on the way, and chance from a seed."""

from __future__ import annotations

import random
from math import inf

from casty_trio.protocol.keeper import Keeper
from casty_trio.protocol.keeping import Ask, Kept, Note, Told, Word
from casty_trio.protocol.teller import Say, Teller

RETRY = 1.0
IDS = "abcdefghij"


class Net:
    """One owner of a shard and its keepers, who lose nothing unless told so.

    Attributes:
        now: the time.
        owner: who has the shard.
        keepers: who keeps its ids.
        wire: what is on the way: from and to whom; the owner is 0.
        said: all that the owner has said.
    """

    def __init__(self, *uids: int, most: int = 1_000) -> None:
        self.now = 0.0
        self.most = most
        self.keepers: dict[int, Keeper] = {}
        self.wire: list[tuple[int, int, Word]] = []
        self.said: list[Say] = []
        self.owner = Teller(RETRY)
        self.token = 1
        self.replace(*uids)
        self.owner.claim(0, (1, 1))
        self.run()
        assert self.owner.begin(0)

    def replace(self, *uids: int) -> None:
        """These keep the ids from now on; who is new has nothing."""
        self.keepers = {uid: self.keepers.get(uid) or Keeper(self.most) for uid in uids}
        self.owner.set_members(uids, uids)

    def say(self) -> list[Say]:
        """What the owner says now."""
        said = self.owner.flush(self.now)
        self.said += said
        self.wire += [(0, each.uid, each.word) for each in said]
        return said

    def deliver(self, place: int = 0) -> None:
        """Let a word arrive."""
        source, target, word = self.wire.pop(place)
        if target == 0:
            assert isinstance(word, Told | Kept)
            self.owner.receive(source, word)
        elif target in self.keepers:
            assert isinstance(word, Ask | Note)
            self.wire.append((target, 0, self.keepers[target].receive(word)))

    def run(self) -> None:
        """Let everything arrive, until nothing is said any more."""
        for _ in range(10_000):
            self.say()
            if not self.wire:
                break
            self.deliver()
        assert not self.wire

    def ids(self, uid: int) -> list[str]:
        """What a keeper has."""
        return sorted(self.keepers[uid].ids(0))

    def crash(self, *left: int) -> bool:
        """The owner is gone, and so are the keepers but for these; a new one begins."""
        self.wire = [each for each in self.wire if each[1] != 0]
        self.token += 1
        self.owner = Teller(RETRY)
        self.keepers = {uid: keeper for uid, keeper in self.keepers.items() if uid in left}
        self.owner.set_members(left, left)
        self.owner.claim(0, (1, self.token))
        return self.finish()

    def finish(self) -> bool:
        """Have the claim answered."""
        while not self.owner.claimed(0):
            self.now += RETRY
            self.say()
            while self.wire and not self.owner.claimed(0):
                self.deliver()
        return self.owner.begin(0)


class Truth:
    """What has to be remembered: who was started, or stopped, and whether that is settled."""

    def __init__(self) -> None:
        self.sure: dict[str, bool] = {}
        self.open: dict[str, tuple[int, bool]] = {}

    def change(self, version: int, started: list[str], stopped: list[str]) -> None:
        for each, lives in [*((each, False) for each in stopped), *((each, True) for each in started)]:
            self.sure.pop(each, None)
            self.open[each] = version, lives

    def settle(self, net: Net) -> None:
        for each, (version, lives) in list(self.open.items()):
            if net.owner.settled(0, version):
                del self.open[each]
                self.sure[each] = lives


class Life:
    """Owners and keepers come and go, and anything may happen to what they say.

    What is settled has to be known to each next owner, as long as one keeper stays that had it.
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.net = Net(1, 2, 3)
        self.net.run()
        self.truth = Truth()
        self.good = {1, 2, 3}  # who has all that is settled
        self.fresh = 4

    def run(self) -> None:
        """Live for a while, and then let everything arrive."""
        steps = [self.change, self.say, self.deliver, self.deliver, self.lose, self.replace, self.crash]
        for _ in range(self.rng.randrange(60)):
            self.rng.choices(steps, [3, 2, 3, 1, 1, 1, 0.3])[0]()
            self.truth.settle(self.net)
            if self.net.owner.settled(0, self.net.owner.change(0, [], [])):
                self.good = set(self.net.keepers)
        self.end()

    def change(self) -> None:
        ids = self.rng.sample(IDS, 4)
        started, stopped = ids[: self.rng.randrange(4)], ids[3:]
        self.truth.change(self.net.owner.change(0, started, stopped), started, stopped)

    def say(self) -> None:
        self.net.now += self.rng.choice([0.0, RETRY])
        self.net.say()

    def deliver(self) -> None:
        """Out of order, and some words twice."""
        wire = self.net.wire
        if wire:
            place = self.rng.randrange(len(wire))
            if self.rng.random() < 0.2:
                wire.append(wire[place])
            self.net.deliver(place)

    def lose(self) -> None:
        if self.net.wire:
            self.net.wire.pop(self.rng.randrange(len(self.net.wire)))

    def replace(self) -> None:
        """A keeper is gone, and another one follows."""
        gone = self.rng.choice(sorted(self.net.keepers))
        if self.good - {gone}:
            self.good.discard(gone)
            self.net.replace(*sorted({*self.net.keepers, self.fresh} - {gone}))
            self.fresh += 1

    def crash(self) -> None:
        """The owner is gone, and some of the keepers."""
        net, one = self.net, self.rng.choice(sorted(self.good))
        left = sorted({one, *(uid for uid in net.keepers if self.rng.random() < 0.5)})
        assert net.crash(*left)
        found = set(net.owner.ids(0))
        assert all((each in found) is lives for each, lives in self.truth.sure.items())
        self.truth = Truth()
        self.truth.change(net.owner.change(0, [], []), sorted(found), sorted(set(IDS) - found))
        self.good &= set(left)
        net.replace(*left, *range(self.fresh, self.fresh + 3 - len(left)))
        self.fresh += 3 - len(left)

    def end(self) -> None:
        net = self.net
        net.now += RETRY
        net.run()
        net.owner.change(0, ["last"], [])  # it ends what an earlier owner has begun to tell
        net.run()
        assert net.owner.due == inf
        for uid, keeper in net.keepers.items():
            assert set(keeper.ids(0)) == set(net.owner.ids(0)), uid
            assert keeper.count == len(keeper.ids(0))
