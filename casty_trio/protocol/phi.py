"""How unlikely a peer's silence is: the phi accrual failure detector (Hayashibara et al., 2004). Floor F1, pure.

Phi is minus the decimal logarithm of the chance that an answer comes even later than now, if answers come as they did so
far: the times between them are taken as normal, and the normal distribution is approximated by a logistic one, as Akka does.
That has a closed inverse, so the moment at which phi passes the threshold is known beforehand, and nobody has to poll.

Rules: the window's sums are whole nanoseconds, so they are exact however long they run. What only the pause made acceptable
is no habit, and is not remembered: one long silence would make the detector slow for as long as the window remembers it.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

__all__ = ["PhiDetector", "phi_of"]

GUESSED: Final = 10
"""How many answers the first guess weighs: so few real ones that come unevenly do not make the detector slow."""

_LINEAR: Final = 1.5976
_CUBIC: Final = 0.070566
_NANO: Final = 10**9


def phi_of(elapsed: float, mean: float, deviation: float) -> float:
    """Phi after a silence, for answers with this mean and standard deviation; all in the same unit.

    Example:
        >>> [round(phi_of(elapsed, 1000, 100), 1) for elapsed in (0, 1000, 1200, 1400, 1600)]
        [0.0, 0.3, 1.6, 4.7, 10.8]
    """
    y = (elapsed - mean) / deviation
    z = y * (_LINEAR + _CUBIC * y * y)
    return (max(z, 0.0) + math.log1p(math.exp(-abs(z)))) / math.log(10)  # log(1 + e ** z), which never overflows


def _deviations(threshold: float) -> float:
    """How many standard deviations above the mean phi is at a threshold: the real root of the cubic in `phi_of`."""
    z = threshold * math.log(10) + math.log1p(-(10.0**-threshold))
    root = math.sqrt(_LINEAR / (3 * _CUBIC))
    return 2 * root * math.sinh(math.asinh(3 * z / (2 * _LINEAR * root)) / 3)


class PhiDetector:
    """Judges one peer by when its answers came.

    Args:
        interval: how many seconds are expected between two answers, before there were any.
        threshold: the phi from which on the peer is not available.
        pause: how many seconds later than usual an answer may come anyway.
        deviation: the least standard deviation of the time between two answers, in seconds.
        samples: how many of these times are remembered.

    Attributes:
        pause: as above; it may be changed at any time.

    Example:
        >>> detector = PhiDetector(1.0)
        >>> detector.heard(0.0)
        >>> detector.is_available(4.5), detector.is_available(4.6), round(detector.suspect_at(), 2)
        (True, False, 4.52)
    """

    __slots__ = ("_deviation", "_deviations", "_last", "_samples", "_squares", "_sum", "_unlike", "pause")

    def __init__(
        self,
        interval: float,
        *,
        threshold: float = 8.0,
        pause: float = 3.0,
        deviation: float = 0.1,
        samples: int = 200,
    ) -> None:
        self.pause: float = pause
        self._deviation = deviation
        self._deviations = _deviations(threshold)
        self._samples = deque[int](maxlen=samples)
        self._sum = 0
        self._squares = 0
        self._last: float | None = None
        self._unlike = True
        """Whether the time since the last answer, when it ends, tells nothing of the next one."""
        for _ in range(GUESSED):
            self._record(interval)

    @property
    def mean(self) -> float:
        """The mean of what is remembered, in seconds."""
        return self._sum / len(self._samples) / _NANO

    @property
    def spread(self) -> float:
        """The standard deviation of what is remembered, in seconds; never less than the least that was asked for."""
        count = len(self._samples)
        return max(self._deviation, math.sqrt(count * self._squares - self._sum * self._sum) / count / _NANO)

    def heard(self, now: float) -> None:
        """An answer came."""
        last, self._last = self._last, now
        if last is not None and not self._unlike and now < last + self.mean + self._deviations * self.spread:
            self._record(now - last)
        self._unlike = False

    def excuse(self, now: float) -> None:
        """Start the silence anew: the judge began to listen just now, or was late or paused, and could not hear."""
        self._last = now
        self._unlike = True

    def phi(self, now: float) -> float:
        """How unlikely the silence is; 0 before there was an answer."""
        if self._last is None:
            return 0.0
        return phi_of(now - self._last, self.mean + self.pause, self.spread)

    def is_available(self, now: float) -> bool:
        """Whether phi has not passed the threshold."""
        return now < self.suspect_at()

    def suspect_at(self) -> float:
        """When phi passes the threshold, if nothing is heard; infinity before there was an answer or an excuse."""
        if self._last is None:
            return math.inf
        return self._last + self.mean + self.pause + self._deviations * self.spread

    def _record(self, interval: float) -> None:
        sample = round(interval * _NANO)
        if len(self._samples) == self._samples.maxlen:
            oldest = self._samples[0]
            self._sum -= oldest
            self._squares -= oldest * oldest
        self._samples.append(sample)
        self._sum += sample
        self._squares += sample * sample
