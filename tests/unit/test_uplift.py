"""Uplift against a slow reference, against known truths, and its floor where there is nothing to find."""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oplake.learning.uplift import SHUFFLES, Stratum, Unit, Z, counted, floor, uplift


@st.composite
def strata(draw: st.DrawFn) -> list[Stratum]:
    """Strata as they come: of one kind or of both, empty ones too, with successes in tenths."""
    made = []
    for _ in range(draw(st.integers(1, 8))):
        shown, withheld = draw(st.integers(0, 30)), draw(st.integers(0, 6))
        y1, y0 = draw(st.integers(0, 10 * shown)), draw(st.integers(0, 10 * withheld))
        made.append(Stratum(shown, y1 / 10, withheld, y0 / 10))
    return made


def slow(told: Sequence[Stratum], z: float) -> tuple[float, float, float] | None:
    """The same as it is defined: rates in fractions, and bounds by trying differences until the test refuses one."""
    mixed = [
        (Fraction(s.shown), Fraction(s.withheld), Fraction(s.shown_successes), Fraction(s.withheld_successes))
        for s in told
        if s.shown and s.withheld
    ]
    if not mixed:
        return None
    total = sum(n1 * n0 / (n1 + n0) for n1, n0, _, _ in mixed)
    value = sum(n1 * n0 / (n1 + n0) * (y1 / n1 - y0 / n0) for n1, n0, y1, y0 in mixed) / total
    p = sum((n1**2 * y0 - n0**2 * y1 + n1 * n0 * (n0 - n1) / 2) / (n1 + n0) ** 2 for n1, n0, y1, y0 in mixed)
    q = sum((y1 * (n0 - y0) + y0 * (n1 - y1)) / (2 * (n1 + n0)) for n1, n0, y1, y0 in mixed)

    def is_refused(d: Fraction) -> bool:
        return (value - d) ** 2 > Fraction(z) ** 2 * (d * p + q) / total**2

    bounds = []
    for end in (Fraction(-4), Fraction(4)):
        inside, outside = value, end
        for _ in range(60):
            middle = (inside + outside) / 2
            inside, outside = (inside, middle) if is_refused(middle) else (middle, outside)
        bounds.append(min(max(float(inside), -1.0), 1.0))
    return float(value), *bounds


@given(strata(), st.sampled_from([1.0, Z, 2.92]))
@example([Stratum(3, 3.0, 2, 0.0)], Z)  # all against nothing: the bounds end at what a difference can be
@example([Stratum(9, 9.0, 1, 1.0)], Z)
@example([Stratum(9, 0.0, 0, 0.0), Stratum(0, 0.0, 4, 1.0)], Z)
def test_uplift_is_what_the_slow_reference_finds(told: list[Stratum], z: float) -> None:
    found, expected = uplift(told, z=z), slow(told, z)
    if expected is None:
        assert found is None
        return
    assert found is not None
    assert found == pytest.approx(expected, abs=1e-7)
    assert -1 <= found.low <= found.value <= found.high <= 1


@given(strata(), st.randoms(use_true_random=False))
def test_the_order_of_strata_and_what_carries_nothing_make_no_difference(
    told: list[Stratum], dice: random.Random
) -> None:
    """A plain sum() differs in its last digit with the order, and with it tables that should be the same."""
    mixed = [each for each in told if each.shown and each.withheld]
    dice.shuffle(mixed)
    assert uplift(mixed) == uplift(told)


@given(strata())
def test_shown_and_withheld_exchanged_make_it_negative(told: list[Stratum]) -> None:
    other = [Stratum(s.withheld, s.withheld_successes, s.shown, s.shown_successes) for s in told]
    one, two = uplift(told), uplift(other)
    if one is None or two is None:
        assert one == two
        return
    assert two == pytest.approx((-one.value, -one.high, -one.low), abs=1e-9)


def test_the_worked_example_of_the_page() -> None:
    found = uplift([Stratum(9, 7.0, 1, 0.0), Stratum(18, 12.0, 2, 1.0), Stratum(5, 5.0, 0, 0.0)])
    assert found is not None
    assert [round(each, 3) for each in found] == [0.37, -0.339, 0.838]


def test_pooling_without_strata_is_fooled() -> None:
    """Simpson: worth nothing within either goal, and yet 0.64 apart when the goals are thrown together."""
    easy, hard = Stratum(90, 81.0, 10, 9.0), Stratum(10, 1.0, 90, 9.0)
    pooled = uplift([Stratum(100, 82.0, 100, 18.0)])
    within = uplift([easy, hard])
    assert pooled is not None
    assert within is not None
    assert (round(pooled.value, 2), within.value) == (0.64, 0.0)
    assert within.low < 0 < within.high


def planted(effect: float, seed: int, *, treatments: int = 12) -> list[dict[str, list[Unit]]]:
    """Treatments worth so much on a dozen goals, and as little as they can be worth to one another."""
    dice = random.Random(seed)
    return [
        {
            str(goal): [
                Unit(is_withheld, float(dice.random() < 0.4 + goal / 40 + effect * (not is_withheld)))
                for is_withheld in (dice.random() < 0.3 for _ in range(20))
            ]
            for goal in range(12)
        }
        for _ in range(treatments)
    ]


def test_the_floor_is_the_score_of_what_is_worth_nothing() -> None:
    """p is below 0.05 once in twenty where there is nothing to find; of 40 worlds more than 6 would be no chance."""
    found = [floor(planted(0.0, seed, treatments=3)) for seed in range(40)]
    assert sum(each is not None and each.p < 0.05 for each in found) <= 6
    helping = floor(planted(0.15, 1))
    assert helping is not None
    assert helping.p == 1 / (1 + SHUFFLES)
    assert helping.score == pytest.approx(0.15, abs=0.03)
    assert helping.margin == helping.score - helping.floor > 0.08


def test_shuffling_keeps_strata_and_what_is_in_them() -> None:
    """Shuffled over strata, goals that are easy and withheld less often would look like an effect."""
    easy = [Unit(n == 0, 1.0) for n in range(10)]
    hard = [Unit(n > 0, 0.0) for n in range(10)]
    found = floor([{"easy": easy, "hard": hard}])
    assert found is not None
    assert (found.score, found.floor, found.p) == (0.0, 0.0, 1.0)


def test_without_comparison_there_is_no_floor() -> None:
    assert floor([{"g": [Unit(False, 1.0)]}, {}]) is None
    assert counted([Unit(False, 0.5), Unit(True, 1.0), Unit(False, 1.0)]) == Stratum(2, 1.5, 1, 1.0)
