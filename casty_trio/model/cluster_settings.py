"""The settings of a cluster's membership. Floor F1: values, checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from casty_trio.model.checks import LONGEST_TIME, check_number, check_seconds

__all__ = ["ClusterSettings"]


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """How a node talks about membership, and how patient it is.

    Attributes:
        gossip_interval: how often a node tells another one what it knows, in seconds.
        gossip_interval_changing: the same while something changes, and for ``changing_for`` seconds after.
        changing_for: see there.
        weakly_up_after: after how many seconds without agreement nodes that join are let work all the same, as *weakly up*;
            ``math.inf`` is never.
        exit_after: how long the leader waits for an exiting member to have seen that it goes, in seconds.
        stable_after: for how many seconds nothing may change before it is decided who of the unreachable is down; ``"auto"``
            goes by the size of the cluster: 3 s up to 10 members, 5 up to 20, 8 up to 50, 12 up to 100, 20 up to 1 000.
        removal_margin: for how many seconds a member that is down is kept, so that what it hosts has stopped by its own
            clock; ``"auto"`` is as long as ``stable_after``.
        contact_interval: how often seeds and former members that are no members are asked which cluster they are in, in
            seconds.
    """

    gossip_interval: float = 1.0
    gossip_interval_changing: float = 0.2
    changing_for: float = 5.0
    weakly_up_after: float = 7.0
    exit_after: float = 3.0
    stable_after: float | Literal["auto"] = "auto"
    removal_margin: float | Literal["auto"] = "auto"
    contact_interval: float = 2.0

    def __post_init__(self) -> None:
        for name in ("gossip_interval", "gossip_interval_changing", "exit_after", "contact_interval"):
            check_seconds(f"ClusterSettings.{name}", getattr(self, name), positive=True, finite=True)
        check_seconds("ClusterSettings.changing_for", self.changing_for, finite=True)
        check_seconds("ClusterSettings.weakly_up_after", self.weakly_up_after)
        for name in ("stable_after", "removal_margin"):
            if getattr(self, name) != "auto":
                check_number(
                    f"ClusterSettings.{name}", getattr(self, name), "seconds, 0 or more, or 'auto'", 0, LONGEST_TIME
                )
