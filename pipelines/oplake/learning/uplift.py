"""What showing something is worth: success where it was shown less success where it was withheld, within strata.

Strata are combined by the weights of Mantel and Haenszel. The interval is Klingenberg's: all differences that a test
with Sato's variance would not refuse, solved in closed form. Both hold where strata are many and small, which is what
goals and weeks with a tenth withheld are. Nothing here knows what a playbook is.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from oplake.learning.intervals import Z

SHUFFLES = 200  # for a floor
SEED = 7  # of the shuffles; fixed, so that the same units have the same floor


@dataclass(slots=True)
class Arm:
    """Units of a stratum that were treated alike, and their successes, of which each is in [0, 1]."""

    units: int = 0
    successes: float = 0.0
    squares: float = 0.0  # of the successes; the same as these where each is 0 or 1

    def add(self, success: float) -> None:
        """Count one unit."""
        self.units += 1
        self.successes += success
        self.squares += success * success


@dataclass(slots=True)
class Stratum:
    """Units that can be compared."""

    shown: Arm = field(default_factory=Arm)
    withheld: Arm = field(default_factory=Arm)

    def add(self, success: float, *, is_withheld: bool) -> None:
        """Count one unit."""
        (self.withheld if is_withheld else self.shown).add(success)


class Uplift(NamedTuple):
    """A difference of success rates, in [-1, 1], with its interval."""

    value: float
    low: float
    high: float


class Unit(NamedTuple):
    """One unit, for shuffling."""

    is_withheld: bool
    success: float


class Floor(NamedTuple):
    """How far uplifts are from 0, and how far they are when labels are shuffled within strata."""

    score: float  # mean absolute uplift
    floor: float  # the same, on average over the shuffles
    p: float  # how often a shuffle scores as much

    @property
    def margin(self) -> float:
        """By how much the score is above its floor."""
        return self.score - self.floor


def uplift(strata: Iterable[Stratum], *, z: float = Z) -> Uplift | None:
    """The difference of success rates over strata, with its interval; None where no stratum has units of both kinds.

    Of a stratum with n1 shown and n0 withheld units, their successes summing to y1 and y0, N = n1 + n0 and
    w = n1 n0 / N: value = sum(w (y1 / n1 - y0 / n0)) / sum(w). At a difference d its variance is (d P + Q) / sum(w)^2,
    P = sum((n1^2 y0 - n0^2 y1 + n1 n0 (n0 - n1) / 2) / N^2) and Q = sum((n0 s1 + n1 s0 - 2 y1 y0) / (2 N)
    + (n0 - n1) (n0 (s1 - y1) - n1 (s0 - y0)) / (2 N^2)), where s1 and s0 are the sums of their squares. The bounds are
    the solutions of (value - d)^2 = z^2 (d P + Q) / sum(w)^2. Strata of one kind carry nothing.

    Where successes are 0 or 1 they are their own squares, and this is Sato's variance and Klingenberg's interval. For
    successes in between, the squares say how much less they spread.

    Sums are rounded once, at their end, so that the order of the strata makes no difference.

    Args:
        strata: Units that can be compared, each stratum once.
        z: How many standard errors wide the interval is to either side; 95 % unless told otherwise.
    """
    told = [(each.shown, each.withheld) for each in strata if each.shown.units and each.withheld.units]
    if not told:
        return None
    weights, differences, slopes, levels = [], [], [], []
    for shown, withheld in told:
        n1, n0, y1, y0 = shown.units, withheld.units, shown.successes, withheld.successes
        s1, s0, n = shown.squares, withheld.squares, n1 + n0
        weights.append(n1 * n0 / n)
        differences.append((y1 * n0 - y0 * n1) / n)
        slopes.append((n1 * n1 * y0 - n0 * n0 * y1 + n1 * n0 * (n0 - n1) / 2) / (n * n))
        levels.append((n0 * s1 + n1 * s0 - 2 * y1 * y0) / (2 * n))
        levels.append((n0 - n1) * (n0 * (s1 - y1) - n1 * (s0 - y0)) / (2 * n * n))
    total = math.fsum(weights)
    value = math.fsum(differences) / total
    shift = z * z * math.fsum(slopes) / (2 * total * total)
    middle = value + shift
    # With a handful of units the variance at the value can come out below 0: the interval then reaches to the value.
    reach = math.sqrt(max(middle * middle - value * value + z * z * math.fsum(levels) / (total * total), 0.0))
    return Uplift(value, max(min(middle - reach, value), -1.0), min(max(middle + reach, value), 1.0))


def floor(treatments: Iterable[Mapping[Any, Sequence[Unit]]]) -> Floor | None:
    """How far the uplifts of treatments are from 0, held against the same units with labels shuffled within strata.

    The score is the mean of the absolute uplifts. Where nothing helps or harms, the shuffled units score as much.

    Args:
        treatments: Of each treatment its units by stratum.

    Returns:
        None where no treatment has a stratum with units of both kinds.
    """
    told = [[_Urn.of(units) for units in strata.values() if _is_mixed(units)] for strata in treatments]
    told = [urns for urns in told if urns]
    if not told:
        return None
    score = _score([[urn.real for urn in urns] for urns in told])
    dice = random.Random(SEED)  # noqa: S311  # no secret: the same floor each time is wanted
    shuffled = [_score([[urn.shuffled(dice) for urn in urns] for urns in told]) for _ in range(SHUFFLES)]
    as_high = sum(each >= score - 1e-12 for each in shuffled)
    return Floor(score, math.fsum(shuffled) / SHUFFLES, (1 + as_high) / (1 + SHUFFLES))


def counted(units: Iterable[Unit]) -> Stratum:
    """Units of one stratum, counted."""
    stratum = Stratum()
    for unit in units:
        stratum.add(unit.success, is_withheld=unit.is_withheld)
    return stratum


def _is_mixed(units: Sequence[Unit]) -> bool:
    return len({unit.is_withheld for unit in units}) > 1


class _Urn(NamedTuple):
    """The units of a stratum, to draw from."""

    successes: Sequence[float]
    real: Stratum

    @classmethod
    def of(cls, units: Sequence[Unit]) -> _Urn:
        return cls([unit.success for unit in units], counted(units))

    def shuffled(self, dice: random.Random) -> Stratum:
        """The same units, as many of them withheld, but others."""
        shown, withheld = self.real.shown, self.real.withheld
        drawn = Arm()
        for success in dice.sample(self.successes, withheld.units):
            drawn.add(success)
        rest = Arm(
            shown.units,
            shown.successes + withheld.successes - drawn.successes,
            shown.squares + withheld.squares - drawn.squares,
        )
        return Stratum(rest, drawn)


def _score(treatments: Sequence[Sequence[Stratum]]) -> float:
    values = [found.value for found in map(uplift, treatments) if found]
    return math.fsum(abs(value) for value in values) / len(values)
