"""Chances of shuffled outcomes: against counting every shuffle, and against drawing them where there are too many."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations, product
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oplake.learning import shuffles
from oplake.learning.shuffles import MANY, NEGLIGIBLE, Seen, chance_of_as_many, chance_within


@given(*[st.integers(0, 12)] * 4)
def test_the_chance_is_the_tail_of_the_hypergeometric(hits: int, misses: int, other_hits: int, others: int) -> None:
    runs_, other_runs, drawn = hits + misses, other_hits + others, hits + other_hits
    ways = sum(comb(runs_, k) * comb(other_runs, drawn - k) for k in range(hits, min(runs_, drawn) + 1))
    exact = Fraction(ways, comb(runs_ + other_runs, drawn))
    assert chance_of_as_many(hits, runs_, other_hits, other_runs) == pytest.approx(float(exact), rel=1e-9)


def by_counting(strata: Sequence[Seen]) -> Fraction:
    """Of all ways to give each stratum's runs as many outcomes as it has, the share with as many hits."""
    hits_of_shuffles = []
    for seen in strata:
        has_pattern = [True] * (seen.hits + seen.other_hits)
        has_pattern += [False] * (seen.runs + seen.other_runs - len(has_pattern))
        hits_of_shuffles.append([sum(chosen) for chosen in combinations(has_pattern, seen.runs)])
    real, found = sum(seen.hits for seen in strata), [sum(each) for each in product(*hits_of_shuffles)]
    return Fraction(sum(each >= real for each in found), len(found))


@st.composite
def seen(draw: st.DrawFn) -> Seen:
    """A stratum of up to six runs."""
    runs_, other_runs = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    return Seen(draw(st.integers(0, runs_)), runs_, draw(st.integers(0, other_runs)), other_runs)


@given(st.lists(seen(), max_size=3), st.integers(1, 100))
def test_within_strata_it_is_the_share_of_all_shuffles_within_them(strata: list[Seen], looked_at: int) -> None:
    expected = min(1, by_counting(strata) * looked_at)
    assert chance_within(strata, looked_at=looked_at) == pytest.approx(float(expected), rel=1e-9)


@given(st.lists(seen(), max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_strata_makes_no_difference(strata: list[Seen], dice: random.Random) -> None:
    shuffled = list(strata)
    dice.shuffle(shuffled)
    assert chance_within(shuffled) == chance_within(strata)


@given(*[st.integers(0, 12)] * 4)
def test_one_stratum_is_the_plain_tail(hits: int, misses: int, other_hits: int, others: int) -> None:
    only = Seen(hits, hits + misses, other_hits, other_hits + others)
    assert chance_within([only]) == pytest.approx(chance_of_as_many(*only), rel=1e-9)


def test_easy_goals_and_hard_ones_that_are_done_otherwise_tell_nothing() -> None:
    """Over all runs, 9 of 10 successes and 1 of 10 failures have the pattern; within a goal, as many as without it."""
    easy, hard = Seen(9, 9, 1, 1), Seen(0, 1, 0, 9)
    assert chance_of_as_many(9, 10, 1, 10) < 0.001
    assert chance_within([easy, hard]) == 1


@pytest.mark.parametrize("share", [0.5, 0.55, 0.6, 0.75])
def test_bounds_of_many_strata_hold_and_change_nothing_that_counts(
    share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They spare sums of which it is known that they come to 1 or nearly 0."""
    dice, strata = random.Random(1), []
    for _ in range(MANY + 50):
        hits = sum(dice.random() < share for _ in range(8))
        strata.append(Seen(hits, 8, 8 - hits, 8))
    quick = {looked_at: chance_within(strata, looked_at=looked_at) for looked_at in (1, 10, 1000)}
    monkeypatch.setattr(shuffles, "_at_least", lambda *_: 0.0)
    monkeypatch.setattr(shuffles, "_at_most", lambda *_: 1.0)
    for looked_at, found in quick.items():
        exact = chance_within(strata, looked_at=looked_at)
        assert exact <= found * (1 + 1e-9)
        assert found == pytest.approx(exact, rel=1e-9) or found < NEGLIGIBLE


def test_of_many_strata_it_is_what_drawing_finds() -> None:
    dice = random.Random(2)
    strata = [Seen(dice.randint(0, 3), 3, dice.randint(0, 2), 4) for _ in range(40)]
    real = sum(each.hits for each in strata)
    urns = [([True] * (each.hits + each.other_hits) + [False] * 7)[:7] for each in strata]
    drawn = [sum(sum(dice.sample(urn, 3)) for urn in urns) for _ in range(2_000)]
    share = sum(each >= real for each in drawn) / len(drawn)
    assert chance_within(strata) == pytest.approx(share, abs=3 * math.sqrt(share * (1 - share) / 2_000) + 0.002)
