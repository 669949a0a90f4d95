"""How often outcomes shuffled among runs would do as much as was seen, worked out instead of drawn.

Shuffled among the runs of a stratum, the successes that a pattern gets are hypergeometric; over several strata, among
which nothing is shuffled, they are the sum of as many independent ones. Nothing here knows what runs or patterns are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate
from operator import mul
from typing import NamedTuple

UNSEEN = 1e-20  # chances below are left out of a sum: they would not be seen in any that is published
NEGLIGIBLE = 1e-10  # a bound below that says as much as the chance itself, which is rounded when it is compared
MANY = 200  # strata from which on a bound is looked at first: exact sums take a tenth of a second there
BERRY_ESSEEN = 0.56  # by how much a sum of independent yes and no is off from a normal one, times its deviation


class Seen(NamedTuple):
    """Runs of one stratum: `hits` of the `runs` of an outcome have a pattern, and `other_hits` of the others."""

    hits: int
    runs: int
    other_hits: int
    other_runs: int


class _Urn(NamedTuple):
    """A stratum as it is shuffled: `runs` have the outcome, and as many of all are drawn as have the pattern."""

    runs: int
    other_runs: int
    drawn: int

    @property
    def least(self) -> int:
        return max(0, self.drawn - self.other_runs)

    @property
    def most(self) -> int:
        return min(self.runs, self.drawn)

    @property
    def mean(self) -> float:
        return self.drawn * self.runs / (self.runs + self.other_runs)

    @property
    def variance(self) -> float:
        total = self.runs + self.other_runs
        return self.mean * self.other_runs * (total - self.drawn) / (total * (total - 1))


def chance_of_as_many(hits: int, runs: int, other_hits: int, other_runs: int) -> float:
    """How often outcomes shuffled among all runs leave at least `hits` of those that have a pattern to its own outcome:
    the upper tail of the hypergeometric distribution."""
    urn = _Urn(runs, other_runs, hits + other_hits)
    return min(1.0, math.fsum(_chances(urn)[max(0, hits - urn.least) :]))


def chance_within(strata: Iterable[Seen], *, looked_at: int = 1) -> float:
    """How often outcomes shuffled within each stratum leave at least as many hits to their outcome, over all of them.

    Strata in which a shuffle changes nothing, such as those of one outcome, say nothing. Where there is none that does,
    the chance is 1.

    Args:
        strata: What was seen in each.
        looked_at: Patterns that were looked at: by as much the chance is multiplied, up to 1 (Bonferroni).
    """
    urns, hits = [], 0
    for seen in strata:
        urn = _Urn(seen.runs, seen.other_runs, seen.hits + seen.other_hits)
        if urn.least < urn.most:
            urns.append(urn)
            hits += seen.hits - urn.least
    if not urns:
        return 1.0
    mean = math.fsum(urn.mean - urn.least for urn in urns)
    variance = math.fsum(urn.variance for urn in urns)
    if looked_at * _at_least(hits, mean, variance) >= 1:
        return 1.0
    bound = looked_at * _at_most(hits, mean, variance)
    if len(urns) > MANY and bound < NEGLIGIBLE:
        return bound
    each = [_chances(urn) for urn in sorted(urns)]  # in one order, so that sums are rounded alike however strata came
    one, other = _summed(each[::2]), _summed(each[1::2])  # two short ones, of whose sum no more than the tail is needed
    tails = list(accumulate(reversed(other.chances)))[::-1]
    tail = math.fsum(
        chance * tails[max(0, rest)]
        for number, chance in enumerate(one.chances, start=one.first)
        if (rest := hits - number - other.first) < len(tails)
    )
    return min(1.0, looked_at * tail)


@lru_cache(maxsize=10_000)
def _chances(urn: _Urn) -> Sequence[float]:
    """How often an urn gives each number of hits, from the least that it can give."""
    whole = _log_choose(urn.runs + urn.other_runs, urn.drawn)
    return [
        math.exp(_log_choose(urn.runs, hits) + _log_choose(urn.other_runs, urn.drawn - hits) - whole)
        for hits in range(urn.least, urn.most + 1)
    ]


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


class _Sum(NamedTuple):
    """How a sum is distributed: the chances of `first`, `first + 1` and so on."""

    first: int
    chances: Sequence[float]


def _summed(each: Iterable[Sequence[float]]) -> _Sum:
    """The sum of independent numbers from 0 on."""
    first, total = 0, [1.0]
    for chances in each:
        long, short = (total, chances) if len(total) >= len(chances) else (chances, total)
        beside, width, turned = [0.0] * (len(short) - 1), len(short), short[::-1]
        padded = [*beside, *long, *beside]
        total = [sum(map(mul, padded[at : at + width], turned)) for at in range(len(long) + width - 1)]
        while total[-1] < UNSEEN:
            total.pop()
        unseen = next(number for number, chance in enumerate(total) if chance >= UNSEEN)
        first, total = first + unseen, total[unseen:]
    return _Sum(first, total)


def _at_least(hits: int, mean: float, variance: float) -> float:
    """What the chance of as many hits is at least. A hypergeometric number is a sum of independent yes and no (Vatutin
    and Mikhailov 1982), and so is a sum of them, which is close to a normal one."""
    deviation = math.sqrt(variance)
    return math.erfc((hits - 1 - mean) / (deviation * math.sqrt(2))) / 2 - BERRY_ESSEEN / deviation


def _at_most(hits: int, mean: float, variance: float) -> float:
    """What it is at most: the inequality of Bernstein, which holds of such sums too."""
    above = hits - mean
    return math.exp(-above * above / (2 * (variance + above / 3))) if above > 0 else 1.0
