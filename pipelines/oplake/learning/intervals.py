"""Intervals of shares, as every evaluation states them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

Z = 1.959963984540054  # of a 95 % interval


class Interval(NamedTuple):
    """A share or mean with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f}-{self.high:.3f})"


def wilson(values: Sequence[float]) -> Interval:
    """The mean of values in [0, 1] with the score interval of Wilson, as for so many successes."""
    return score_interval(sum(values), len(values))


def score_interval(successes: float, n: int) -> Interval:
    """The share of successes among n with the score interval of Wilson."""
    share = successes / n
    centre = share + Z * Z / (2 * n)
    margin = Z * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    return Interval(share, max((centre - margin) / (1 + Z * Z / n), 0.0), min((centre + margin) / (1 + Z * Z / n), 1.0))
