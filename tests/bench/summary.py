"""The arithmetic: medians, spreads and ratios of what the rounds gave. Pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

__all__ = ["Ratio", "Spread", "ratio", "spread"]


@dataclass(frozen=True)
class Spread:
    """The middle and the ends of some figures."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Ratio:
    """How two series compare.

    Attributes:
        of_medians: the ratio of their medians.
        paired: the ratios of each round, in which both ran within seconds; what a drifting machine disturbs least.
    """

    of_medians: float
    paired: Spread


def spread(figures: Sequence[float]) -> Spread:
    """Median, least and greatest.

    Raises:
        ValueError: there are no figures.

    Example:
        >>> spread([3.0, 1.0, 2.0])
        Spread(median=2.0, low=1.0, high=3.0)
    """
    if not figures:
        raise ValueError("there are no figures")
    return Spread(median(figures), min(figures), max(figures))


def ratio(figures: Sequence[float], base: Sequence[float]) -> Ratio:
    """Compare with a base that was measured in the same rounds.

    Raises:
        ValueError: the rounds are not the same, or there are none.

    Example:
        >>> ratio([1.0, 2.0], [4.0, 4.0]).of_medians
        0.375
    """
    if len(figures) != len(base):
        raise ValueError(f"{len(figures)} rounds are compared with {len(base)}")
    pairs = [figure / other for figure, other in zip(figures, base, strict=True)]
    return Ratio(median(figures) / median(base), spread(pairs))
