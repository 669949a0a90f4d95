"""Frequent closed sub-sequences: what many sequences have in common, in its order, gaps allowed.

A pattern occurs in a sequence that has its items in its order, with anything between. Its support is the weight of the
sequences in which it occurs; it is closed when no longer pattern that contains it has the same support, so that closed
patterns say all that can be said in the fewest words. The search is BIDE of Wang and Han (2004): patterns grow at
their end, one that could have an item more everywhere is not closed, and a branch in which every pattern could is not
entered. Nothing here knows what the items mean.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from typing import TypeAlias

Items: TypeAlias = tuple[str, ...]

MOST_BRANCHES = 500  # of the search: a second or two in the worst case
STEEPER = 1.5  # by which the least support grows when they do not do


@dataclass(frozen=True)
class Pattern:
    """A closed sub-sequence and the weight of the sequences in which it occurs."""

    items: Items
    support: int


@dataclass(frozen=True)
class Mined:
    """Every closed pattern whose support is at least `least`, which is what was asked for or more."""

    patterns: tuple[Pattern, ...]
    least: int


def occurs_in(pattern: Sequence[str], sequence: Sequence[str]) -> bool:
    """Whether a sequence has the items of a pattern in its order."""
    rest = iter(sequence)
    return all(item in rest for item in pattern)


def sub_sequences(items: Items, *, most: int) -> Iterator[Items]:
    """The different sub-sequences of items, itself among them, the longest first; at most so many."""
    every = (each for size in range(len(items), 0, -1) for each in combinations(items, size))
    return iter(dict.fromkeys(islice(every, most)))


def closed_sequences(weighed: Sequence[tuple[Items, int]], *, least: int, branches: int = MOST_BRANCHES) -> Mined:
    """The closed patterns of a support of at least `least`, the best supported first, of equal ones the longer.

    Where the search takes more branches than it may, it begins again with a higher least support, and says so: what it
    returns is always complete for the support that it names.

    Args:
        weighed: Sequences with their weights, which are above 0.
        least: The least support, above 0.
        branches: How many patterns may be grown further.
    """
    while True:
        search = _Search(weighed, least, branches)
        found = list(search.run())
        if search.is_done:
            found.sort(key=lambda pattern: (-pattern.support, -len(pattern.items), pattern.items))
            return Mined(tuple(found), least)
        least = math.ceil(least * STEEPER) + 1


Places: TypeAlias = dict[int, tuple[int, ...]]
"""Of the sequences in which a pattern occurs, by their number: where its items are met first, from the left."""


class _Search:
    """One search; `is_done` is false when it stopped because it had no more branches."""

    def __init__(self, weighed: Sequence[tuple[Items, int]], least: int, branches: int) -> None:
        self._sequences = [items for items, _ in weighed]
        self._weights = [weight for _, weight in weighed]
        self._least = least
        self._left = branches
        self.is_done = True

    def run(self) -> Iterator[Pattern]:
        every: Places = dict.fromkeys(range(len(self._sequences)), ())
        yield from self._grow((), every)

    def _grow(self, prefix: Items, places: Places) -> Iterator[Pattern]:
        support = sum(self._weights[number] for number in places)
        longer = self._next_items(places)
        could_go_on = any(weight == support for _, weight in longer.values())
        if prefix and not could_go_on and not self._could_have_one_more(prefix, places):
            yield Pattern(prefix, support)
        for item in sorted(longer):
            grown, weight = longer[item]
            if weight < self._least:
                continue
            if self._is_closed_to_the_left((*prefix, item), grown):
                continue
            if not self._left:
                self.is_done = False
                return
            self._left -= 1
            yield from self._grow((*prefix, item), grown)

    def _next_items(self, places: Places) -> dict[str, tuple[Places, int]]:
        """For each item that follows, the places of the pattern that it makes, and its support."""
        found: dict[str, Places] = defaultdict(dict)
        for number, where in places.items():
            sequence = self._sequences[number]
            for position in range(where[-1] + 1 if where else 0, len(sequence)):
                found[sequence[position]].setdefault(number, (*where, position))
        return {item: (at, sum(self._weights[number] for number in at)) for item, at in found.items()}

    def _could_have_one_more(self, pattern: Items, places: Places) -> bool:
        """Whether some item could stand before or within the pattern in every sequence in which it occurs."""
        lasts = {
            number: _from_the_right(pattern, self._sequences[number], len(self._sequences[number])) for number in places
        }
        return self._share_an_item(pattern, places, lasts)

    def _is_closed_to_the_left(self, pattern: Items, places: Places) -> bool:
        """Whether an item could be put in before where the pattern is first complete, in every sequence: then it could
        in whatever the pattern grows into, and nothing of that is closed."""
        lasts = {
            number: _from_the_right(pattern, self._sequences[number], where[-1] + 1) for number, where in places.items()
        }
        return self._share_an_item(pattern, places, lasts)

    def _share_an_item(self, pattern: Items, places: Places, lasts: dict[int, list[int]]) -> bool:
        for nth in range(len(pattern)):
            shared: set[str] | None = None
            for number, where in places.items():
                between = self._sequences[number][where[nth - 1] + 1 if nth else 0 : lasts[number][nth]]
                shared = set(between) if shared is None else shared.intersection(between)
                if not shared:
                    break
            if shared:
                return True
        return False


def _from_the_right(pattern: Items, sequence: Items, end: int) -> list[int]:
    """Where the items of a pattern are in what comes before `end`, each as far to the right as it can be."""
    places = [0] * len(pattern)
    position = end
    for nth in range(len(pattern) - 1, -1, -1):
        position -= 1
        while sequence[position] != pattern[nth]:
            position -= 1
        places[nth] = position
    return places
