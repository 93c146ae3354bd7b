"""How nodes watch each other: settings, and what is counted. Floor F1: frozen values. Times are seconds."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from casty_trio.model.checks import check_count, check_number, check_seconds

__all__ = ["DetectorSettings", "DetectorStatistics"]


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """How soon a silent node is accused, and how sure one has to be.

    With the defaults a crashed node is accused within 6 seconds. All nodes of a cluster should have the same.

    Attributes:
        heartbeat: how often each watched node is asked for a sign of life.
        monitored: how many nodes each node watches: the next ones on a ring that all compute alike.
        threshold: how unlikely a silence has to be: 8 is once in 10 ** 8, if answers come as they did so far.
        pause: how much longer an answer may take than answers did so far; covers collections of garbage and short hangs.
        deviation: the least standard deviation of the time between two answers, so that regular ones raise no false hopes.
        samples: how many such times are remembered of each watched node.
        probes: how many other nodes are asked to try as well, before a node is accused; 0 is none.
        probe_timeout: how long each of them tries. Who asked them waits twice as long for what they say.
        late_after: how late a node's own clockwork may be before it judges nobody until it has caught up; ``math.inf`` lets
            it judge however late it was, which is for tests of that alone.
        health_most: how many times ``pause`` and ``probe_timeout`` a node allows others when it has reason to doubt itself;
            1 is no doubt ever.
    """

    heartbeat: float = 1.0
    monitored: int = 5
    threshold: float = 8.0
    pause: float = 3.0
    deviation: float = 0.1
    samples: int = 200
    probes: int = 3
    probe_timeout: float = 0.5
    late_after: float = 0.5
    health_most: int = 8

    def __post_init__(self) -> None:
        for name in ("heartbeat", "deviation", "probe_timeout"):
            check_seconds(f"DetectorSettings.{name}", getattr(self, name), positive=True, finite=True)
        for name in ("monitored", "samples", "health_most"):
            check_count(f"DetectorSettings.{name}", getattr(self, name), 1)
        check_number("DetectorSettings.threshold", self.threshold, "a number from 0.1 to 1000", 0.1, 1000)
        check_seconds("DetectorSettings.pause", self.pause, finite=True)
        check_count("DetectorSettings.probes", self.probes, 0)
        check_seconds("DetectorSettings.late_after", self.late_after, positive=True)


class DetectorStatistics(msgspec.Struct, frozen=True):
    """A snapshot of what a node's watch over others counts.

    Attributes:
        watched: how many nodes are watched now.
        accused: how many of them are accused now.
        probing: about how many of them others are being asked now.
        helping: how many nodes are being tried now because others asked.
        health: how much this node doubts itself, from 0; ``health + 1`` times the usual patience with others.
        pings: how often others were asked for a sign of life.
        pongs: how many answers counted.
        heard: frames of any kind from other nodes.
        accusations: how often a node was accused.
        absolutions: how often one of them answered again.
        excuses: how often a silent node was reached by another one, or refuted what was said of it.
        missing: how many nodes were asked to try, and said nothing though nothing speaks against them.
        late: how often this node was late itself.
        latest: how late it was at worst, in seconds.
    """

    watched: int
    accused: int
    probing: int
    helping: int
    health: int
    pings: int
    pongs: int
    heard: int
    accusations: int
    absolutions: int
    excuses: int
    missing: int
    late: int
    latest: float
