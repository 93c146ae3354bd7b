"""The settings of sharding. Floor F1: values, checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass

from casty_trio.model.checks import check_count, check_seconds, refuse

__all__ = ["ShardingSettings"]


@dataclass(frozen=True, slots=True)
class ShardingSettings:
    """How shards move, and what waits meanwhile.

    Attributes:
        retry: after how many seconds nodes say again what was not answered.
        hand_off_timeout: a shard that takes more seconds to move stays where it is, unless it has moved by then.
        drain_timeout: how long the entities of a shard that moves may take over what they had accepted, in seconds; what
            is left goes on to the new owner. It is less than ``hand_off_timeout``, or busy shards would never move.
        leave_timeout: how long a node that leaves waits for its shards to have moved, in seconds; then their entities stop.
        rebalance_interval: how often it is looked whether shards are to move, and how long after a change, in seconds.
        longest_stay: a shard that its allocation strategy moves again and again, while the nodes are the same, stays twice
            as long each time before it moves again, from ``rebalance_interval`` up to so many seconds; 0 for no longer.
        buffer: how many messages of one type a node holds while it is not known where they are to go, or until their
            entities are stored, where these are remembered; further ones are dead letters.
    """

    retry: float = 0.5
    hand_off_timeout: float = 15.0
    drain_timeout: float = 5.0
    leave_timeout: float = 10.0
    rebalance_interval: float = 1.0
    longest_stay: float = 60.0
    buffer: int = 10_000

    def __post_init__(self) -> None:
        for name in ("retry", "hand_off_timeout", "rebalance_interval"):
            check_seconds(f"ShardingSettings.{name}", getattr(self, name), positive=True, finite=True)
        for name in ("drain_timeout", "leave_timeout", "longest_stay"):
            check_seconds(f"ShardingSettings.{name}", getattr(self, name), finite=True)
        check_count("ShardingSettings.buffer", self.buffer, 1)
        if self.drain_timeout >= self.hand_off_timeout:
            refuse("ShardingSettings.drain_timeout", self.drain_timeout, "seconds, less than hand_off_timeout")
