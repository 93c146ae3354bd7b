"""The coordinator of one sharded type, where this node has it. Floor F5: drives the pure machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from casty_trio.model.allocation import AllocationStrategy, LeastShards
from casty_trio.model.shard_events import HandOffFinished, HandOffStarted, TakeOverAdvanced
from casty_trio.model.words import in_code
from casty_trio.protocol import coordinator as coordinating, homing
from casty_trio.protocol.coordinator import Candidate, Coordinator, Timing
from casty_trio.protocol.homes import Say

if TYPE_CHECKING:
    from casty_trio.model.sharding_settings import ShardingSettings
    from casty_trio.sharding.extension import Sharding

__all__ = ["Coordination", "timing_of"]


class Coordination:
    """The coordinator of a type.

    Parameters:
        sharding: whose it is.
        shard_type: the name of the type.
        num_shards: into how many shards its ids are hashed.
        role: the role that hosts have; "" for any.
        allocation: who gets what; None for the default.
        after: the highest term that is known here.
    """

    def __init__(
        self,
        sharding: Sharding,
        shard_type: str,
        num_shards: int,
        role: str,
        allocation: AllocationStrategy | None,
        after: int,
    ) -> None:
        self._sharding = sharding
        self._name = shard_type
        self.role: str = role
        self.shape: tuple[int, str] = num_shards, role
        system = sharding.system
        timing = timing_of(system.all_settings.sharding)
        self._machine = Coordinator(system.uid, num_shards, role, allocation or LeastShards(), timing, after)
        self._told: tuple[int, int] = (0, 0)  # the term, and how many were missing, when that was last told; -1 for decided

    @property
    def next_wakeup(self) -> float:
        """When `tick` is due."""
        return self._machine.next_wakeup

    def members_changed(self, now: float, members: Sequence[Candidate], *, unreachable: bool) -> None:
        """The members are these, sorted by age."""
        self._perform(self._machine.set_members(now, members, unreachable=unreachable))

    def hear(self, now: float, sender: int, word: homing.Word) -> None:
        """A member says something."""
        self._perform(self._machine.receive(now, sender, word))

    def outlived_by(self, hello: homing.Hello) -> bool:
        """Whether the type is there in another shape, or begins so again because nobody has it any more."""
        there = hello.incumbent and not self._machine.active
        return (self._machine.deserted or there) and self.shape != (hello.num_shards, hello.role)

    def gives_way(self, query: homing.Query) -> bool:
        """Whether the coordinator of another shape goes before this one, that has not begun; so both decide alike."""
        machine = self._machine
        return machine.deserted or (not machine.backed and (query.role, query.num_shards) < (self.role, self.shape[0]))

    def hello(self) -> homing.Hello | None:
        """What the coordinator of another shape is told: nothing, while this one is not in use; it asks again."""
        return homing.Hello(self._machine.term, *self.shape, incumbent=True) if self._machine.backed else None

    @property
    def term(self) -> int:
        """The number of its term."""
        return self._machine.term[0]

    def tick(self, now: float) -> None:
        """Do what is due."""
        self._perform(self._machine.tick(now))

    def _tell_how_far(self) -> None:
        """Tell of a take-over that has come further."""
        machine, told = self._machine, self._told
        now = self._told = self.term, -1 if machine.active else machine.missing
        if now[0] != told[0]:
            self._publish("asks")
        elif now[1] < told[1] and not machine.active:
            self._publish("hears")
        if machine.active and told != now:
            self._publish("decides")

    def _publish(self, step: str) -> None:
        self._sharding.system.publish(TakeOverAdvanced, self._name, step, self.term, self._machine.missing)

    def _perform(self, effects: Iterable[coordinating.Effect]) -> None:
        sharding, system = self._sharding, self._sharding.system
        for effect in effects:
            match effect:
                case Say(uid, word):
                    sharding.say(uid, self._name, word)
                case coordinating.Began(shard, owner, target):
                    source, goal = sharding.member(owner), sharding.member(target)
                    system.publish(HandOffStarted, self._name, shard, source, goal)
                case coordinating.Ended(shard, owner, target, seconds):
                    moved = owner == target
                    system.publish(HandOffFinished, self._name, shard, sharding.member(owner), moved, seconds)
                    if not moved:
                        why = "its owner or its target is gone, or it took too long"
                        system.log.warning("shard %d of %r has not moved: %s", shard, self._name, why)
                case coordinating.Failed(error):
                    system.quiet.warning(
                        ("allocation", self._name), "the allocation of %r failed: %s", self._name, in_code(error)
                    )
        if self._machine.yielded:
            sharding.drop(self._name, self)
        self._tell_how_far()
        sharding.wake()


def timing_of(settings: ShardingSettings) -> Timing:
    """How patient a coordinator is, by the settings."""
    return Timing(settings.retry, settings.hand_off_timeout, settings.rebalance_interval, settings.longest_stay)
