"""Seeded chance that falls alike on every machine and every supported Python.

Only `random()` and `getrandbits()` of the Mersenne Twister are used, whose output is fixed, and `+ - * /`, whose
results IEEE 754 fixes. Not `gauss`, `exp` or `log`: their last digit depends on the C library. Not `hash()`, not the
order of a set. What is drawn, and how often, is decided elsewhere.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

TAIL = 0.025  # the longest draw of `skewed` is 1 / (2 * TAIL) = 20 times the typical one


class Dice:
    """A stream of chance that is fixed by its key."""

    def __init__(self, *key: object) -> None:
        stream = random.Random("/".join(map(str, key)))  # noqa: S311 - a simulation wants seeded chance, not secrecy
        self.unit = stream.random
        self.bits = stream.getrandbits

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self.unit() < probability

    def between(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self.unit() * (high - low + 1))

    def pick(self, items: Sequence[T]) -> T:
        """One of the items, all alike."""
        return items[int(self.unit() * len(items))]

    def weighted(self, items: Sequence[tuple[T, float]]) -> T:
        """One of the items, in proportion to the weights beside them."""
        rest = self.unit() * sum(weight for _, weight in items)
        for item, weight in items:
            rest -= weight
            if rest < 0:
                return item
        return items[-1][0]

    def skewed(self, typical: int) -> int:
        """A whole number as waiting times are: half are below `typical`, few are many times as long."""
        return int(typical / (2 * max(1 - self.unit(), TAIL)))

    def uuid7(self, at_us: int) -> str:
        """A UUIDv7 of the given time (microseconds since 1970), as a client would have made it then."""
        text = f"{at_us // 1000:012x}7{self.bits(12):03x}{8 + self.bits(2):x}{self.bits(60):015x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def letters(self, alphabet: str, count: int) -> str:
        """A word of `count` letters."""
        return "".join(self.pick(alphabet) for _ in range(count))
