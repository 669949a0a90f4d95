"""Uplift against a slow reference, against known truths, and its floor where there is nothing to find."""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oplake.learning.intervals import Z
from oplake.learning.uplift import SHUFFLES, Arm, Stratum, Unit, counted, floor, uplift


def binary(n1: int, y1: int, n0: int, y0: int) -> Stratum:
    """A stratum of so many shown and withheld units, of which so many succeeded and the others did not."""
    return Stratum(Arm(n1, y1, y1), Arm(n0, y0, y0))


Units = Sequence[Unit]
SUCCESSES = st.sampled_from([0.0, 0.0, 1.0, 1.0, 0.5, 0.2])
STRATA = st.lists(st.lists(st.builds(Unit, st.booleans(), SUCCESSES), max_size=14), max_size=7)


def slow(told: Sequence[Units], z: float) -> tuple[float, float, float] | None:
    """The same as it is defined: unit by unit in fractions, and bounds by trying differences until one is refused."""
    told = [stratum for stratum in told if len({unit.is_withheld for unit in stratum}) == 2]
    if not told:
        return None
    total, summed, p, q = Fraction(0), Fraction(0), Fraction(0), Fraction(0)
    for stratum in told:
        shown = [Fraction(unit.success) for unit in stratum if not unit.is_withheld]
        withheld = [Fraction(unit.success) for unit in stratum if unit.is_withheld]
        n1, n0, n = len(shown), len(withheld), len(stratum)
        r1, r0 = sum(shown) / n1, sum(withheld) / n0
        weight = Fraction(n1 * n0, n)
        total += weight
        summed += weight * (r1 - r0)
        p += weight * (n1 * r0 - n0 * r1 + Fraction(n0 - n1) / 2) / n
        q += sum((one - other) ** 2 for one in shown for other in withheld) / (2 * n)
        partial1, partial0 = (sum(y * (1 - y) for y in arm) / len(arm) for arm in (shown, withheld))
        q -= weight * (n0 - n1) * (partial1 - partial0) / (2 * n)
    value = summed / total
    if (
        value * p + q < 0
    ):  # a handful of units, for which there is no variance; such an interval is not held to anything
        return float(value), *uplift(map(counted, told), z=z)[1:]

    def is_refused(d: Fraction) -> bool:
        return (value - d) ** 2 > Fraction(z) ** 2 * (d * p + q) / total**2

    bounds = []
    for end in (Fraction(-9), Fraction(9)):
        inside, outside = value, end
        for _ in range(60):
            middle = (inside + outside) / 2
            inside, outside = (inside, middle) if is_refused(middle) else (middle, outside)
        bounds.append(min(max(float(inside), -1.0), 1.0))
    return float(value), *bounds


@given(STRATA, st.sampled_from([1.0, Z, 2.92]))
@example([[Unit(False, 1.0), Unit(False, 1.0), Unit(True, 0.0)]], Z)  # the bounds end at what a difference can be
@example([[Unit(False, 0.5), Unit(True, 0.5)]], Z)
@example([[Unit(False, 0.0), Unit(False, 1.0)], [Unit(True, 1.0)]], Z)
def test_uplift_is_what_the_slow_reference_finds(told: list[list[Unit]], z: float) -> None:
    found, expected = uplift(map(counted, told), z=z), slow(told, z)
    if expected is None:
        assert found is None
        return
    assert found is not None
    assert found == pytest.approx(expected, abs=1e-7)
    assert -1 <= found.low <= found.value <= found.high <= 1


@given(STRATA, st.randoms(use_true_random=False))
def test_the_order_of_strata_and_what_carries_nothing_make_no_difference(
    units: list[list[Unit]], dice: random.Random
) -> None:
    """A plain sum() differs in its last digit with the order, and with it tables that should be the same."""
    told = [counted(stratum) for stratum in units]
    mixed = [each for each in told if each.shown.units and each.withheld.units]
    dice.shuffle(mixed)
    assert uplift(mixed) == uplift(told)


@given(STRATA)
def test_shown_and_withheld_exchanged_make_it_negative(units: list[list[Unit]]) -> None:
    one = uplift(map(counted, units))
    two = uplift(counted(Unit(not unit.is_withheld, unit.success) for unit in stratum) for stratum in units)
    if one is None or two is None:
        assert one == two
        return
    assert two == pytest.approx((-one.value, -one.high, -one.low), abs=1e-9)


def test_the_worked_example_of_the_page() -> None:
    found = uplift([binary(9, 7, 1, 0), binary(18, 12, 2, 1), binary(5, 5, 0, 0)])
    assert found is not None
    assert [round(each, 3) for each in found] == [0.37, -0.339, 0.838]


def test_pooling_without_strata_is_fooled() -> None:
    """Simpson: worth nothing within either goal, and yet 0.64 apart when the goals are thrown together."""
    easy, hard = binary(90, 81, 10, 9), binary(10, 1, 90, 9)
    pooled = uplift([binary(100, 82, 100, 18)])
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


@pytest.mark.slow
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
    assert counted([Unit(False, 0.5), Unit(True, 1.0), Unit(False, 1.0)]) == Stratum(
        Arm(2, 1.5, 1.25), Arm(1, 1.0, 1.0)
    )
