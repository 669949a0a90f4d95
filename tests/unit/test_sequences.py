"""Closed sub-sequences against a search that tries everything."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oplake.learning.sequences import Items, closed_sequences, occurs_in, sub_sequences

WEIGHED = st.lists(st.tuples(st.lists(st.sampled_from("abcd"), max_size=6).map(tuple), st.integers(1, 3)), max_size=7)


def every_closed_pattern(weighed: list[tuple[Items, int]], least: int) -> dict[Items, int]:
    """By trying every sub-sequence of every sequence, and every item at every place of each."""
    parts = {
        tuple(items[place] for place in places)
        for items, _ in weighed
        for length in range(1, len(items) + 1)
        for places in combinations(range(len(items)), length)
    }

    def support(pattern: Items) -> int:
        return sum(weight for items, weight in weighed if occurs_in(pattern, items))

    return {
        part: support(part)
        for part in parts
        if support(part) >= least
        and all(
            support((*part[:place], item, *part[place:])) < support(part)
            for place in range(len(part) + 1)
            for item in "abcd"
        )
    }


@given(WEIGHED, st.integers(1, 4))
def test_what_is_mined_is_every_closed_pattern_and_nothing_else(weighed: list[tuple[Items, int]], least: int) -> None:
    mined = closed_sequences(weighed, least=least, branches=100_000)
    assert {pattern.items: pattern.support for pattern in mined.patterns} == every_closed_pattern(weighed, least)
    assert mined.least == least


@given(WEIGHED, st.integers(1, 3), st.integers(0, 12))
def test_with_few_branches_it_is_complete_for_the_support_that_it_names(
    weighed: list[tuple[Items, int]], least: int, branches: int
) -> None:
    """Stopping where the branches end would return whatever the alphabet puts first."""
    mined = closed_sequences(weighed, least=least, branches=branches)
    assert mined.least >= least
    assert {pattern.items: pattern.support for pattern in mined.patterns} == every_closed_pattern(weighed, mined.least)


@given(st.permutations([("a", "b", "c"), ("b", "c", "a"), ("a", "c"), ("c", "b", "a", "c"), ("b",)]))
def test_the_order_of_the_sequences_makes_no_difference(sequences: list[Items]) -> None:
    weighed = [(items, len(items)) for items in sequences]
    assert closed_sequences(weighed, least=2) == closed_sequences(sorted(weighed), least=2)


@pytest.mark.parametrize("length", [5, 40])
def test_one_long_path_that_all_share_takes_no_more_branches_than_it_has_steps(length: int) -> None:
    """A miner that lists all frequent patterns first would look at 2^40 of them."""
    path = tuple(f"step {number}" for number in range(length))
    mined = closed_sequences([(path, 9)], least=3, branches=length)
    assert [(pattern.items, pattern.support) for pattern in mined.patterns] == [(path, 9)]
    assert mined.least == 3


def test_an_example_to_check_by_hand() -> None:
    mined = closed_sequences([(("look", "ask", "pay"), 2), (("look", "pay"), 1), (("ask", "look"), 1)], least=2)
    assert [(pattern.items, pattern.support) for pattern in mined.patterns] == [
        (("look",), 4),
        (("look", "pay"), 3),
        (("ask",), 3),
        (("look", "ask", "pay"), 2),
    ]


@given(st.lists(st.sampled_from("abc"), max_size=7).map(tuple), st.integers(1, 200))
def test_parts_are_all_sub_sequences_once_the_longest_first(items: Items, most: int) -> None:
    every = {part for size in range(1, len(items) + 1) for part in combinations(items, size)}
    parts = list(sub_sequences(items, most=200))
    assert set(parts) == every
    assert len(parts) == len(every)
    assert [len(part) for part in parts] == sorted(map(len, parts), reverse=True)
    assert list(sub_sequences(items, most=most)) == parts[: len(list(sub_sequences(items, most=most)))]
