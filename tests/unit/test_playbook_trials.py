"""Trials of uplift and lifecycle: what they promise holds in simulated worlds, and fails where it should."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from oplake.learning.intervals import Z
from oplake.learning.lifecycle import fold
from oplake.learning.playbook_eval import (
    COVERAGE_COLUMNS,
    FLOOR_COLUMNS,
    LOOKS_COLUMNS,
    SAFETY_COLUMNS,
    coverage_rows,
    evaluate,
    floor_rows,
    looks_rows,
    page,
    safety_rows,
)
from oplake.learning.playbook_trials import (
    CASES,
    PROPOSALS,
    UNITS,
    Case,
    Fates,
    coverage,
    false_retirements,
    fates,
    in_upper_half,
    planted_exposures,
    planted_floors,
)
from oplake.learning.uplift import Floor
from oplake.simulate.dice import Dice

CONSERVATIVE = {"20 controls, rare success"}  # one success among the controls: no interval says anything there
BY_NAME = {case.name: case for case in CASES}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_intervals_hold_the_truth_in_93_to_97_of_100_worlds(case: Case) -> None:
    """600 worlds tell a coverage to within 1.8 %, which is granted; the page has 2,000."""
    found = coverage(case, worlds=600)
    assert found.covered.high >= 0.93
    assert found.covered.low <= 0.97 or case.name in CONSERVATIVE


def test_a_plain_interval_does_not() -> None:
    """The negative control: difference of two rates, give or take 1.96 standard errors, with the same 40 controls."""
    dice = Dice("plain interval")
    covered = 0
    for _ in range(2_000):
        shown, withheld = (sum(dice.chance(0.05) for _ in range(n)) for n in (360, 40))
        rates = shown / 360, withheld / 40
        margin = Z * math.sqrt(sum(p * (1 - p) / n for p, n in zip(rates, (360, 40), strict=True)))
        covered += abs(rates[0] - rates[1]) <= margin
    assert covered / 2_000 < 0.9
    one = BY_NAME["one stratum"]._replace(low=0.05, high=0.05, effect=0.0)
    assert coverage(one, worlds=500).covered.high > 0.95


@pytest.mark.slow
def test_looks_on_a_schedule_retire_little_that_does_no_harm_and_weekly_ones_do() -> None:
    found = false_retirements(entries=150)
    assert found.by_schedule.low < 0.025
    assert found.by_schedule.value <= 0.05
    assert found.by_week.low > 0.05


@pytest.fixture(scope="module")
def told() -> dict[tuple[str, int, str], Fates]:
    found = [*fates("at random", worlds=4), *fates("not offered", worlds=4)]
    return {(each.design, each.units, each.kind): each for each in found}


@pytest.mark.slow
@pytest.mark.xdist_group("planted entries")
def test_the_safety_bar_holds_within_4000_units(told: dict[tuple[str, int, str], Fates]) -> None:
    harmful, helpful, neutral = (told["at random", UNITS[-1], kind] for kind in ("harmful", "helpful", "neutral"))
    assert harmful.entries == helpful.entries == neutral.entries == 32
    assert harmful.for_harm.value >= 0.95
    assert helpful.retired.value <= 0.05
    assert neutral.upper_half.value <= 0.05
    assert neutral.for_harm.value <= 0.05
    assert helpful.active.value >= 0.9
    assert abs(helpful.measured - helpful.planted) < 0.03


@pytest.mark.slow
@pytest.mark.xdist_group("planted entries")
def test_who_is_retired_was_proven_to_harm_as_long_as_evidence_stands(told: dict[tuple[str, int, str], Fates]) -> None:
    """Proposed on the first day alone, harmful entries are let go after 180 days, and would pass for caught."""
    assert all(each.retired == each.for_harm for each in told.values())
    forgotten = {(each.units, each.kind): each for each in fates("at random", worlds=2, evidence_lasts=False)}
    assert forgotten[3_000, "neutral"].retired.value > forgotten[3_000, "neutral"].for_harm.value


@pytest.mark.slow
def test_what_helps_is_not_let_go_where_there_is_little_work() -> None:
    """Three actions a day: after 180 days there are comparisons enough for a sign of the estimate, and it is noise."""
    found = {
        (each.units, each.kind): each for each in fates("at random", worlds=3, actions_a_day=3, evidence_lasts=False)
    }
    assert found[1_000, "helpful"].retired.value <= 0.1
    assert found[4_000, "harmful"].retired.value >= 0.9


@pytest.mark.slow
@pytest.mark.xdist_group("planted entries")
def test_without_chance_deciding_the_same_pipeline_is_fooled(told: dict[tuple[str, int, str], Fates]) -> None:
    harmful, helpful = (told["not offered", UNITS[-1], kind] for kind in ("harmful", "helpful"))
    assert harmful.retired.high < 0.6
    assert harmful.upper_half.low > 0.1
    assert helpful.active.high < 0.3
    assert abs(helpful.measured) < 0.05


def test_a_book_is_the_same_each_time_and_counts_to_its_end() -> None:
    two_entries = 2 * UNITS[-1]
    drawn = list(islice(planted_exposures(3, "at random"), two_entries))
    assert drawn[:50] == list(islice(planted_exposures(3, "at random"), 50))
    assert [nth for nth, _ in drawn] == [*range(1, UNITS[-1] + 1)] * 2
    assert 0.08 < sum(each.is_withheld for _, each in drawn) / len(drawn) < 0.12


def test_the_upper_half_is_of_those_that_live() -> None:
    [some] = fold([next(iter(PROPOSALS.values()))], [], until=next(iter(PROPOSALS.values())).day)
    ranked = [replace(some, rank=rank) for rank in (1, 2, 3, None)]
    assert in_upper_half(ranked) == [True, False, False, False]
    assert in_upper_half([*ranked[:2], replace(some, task_class="other", rank=1)]) == [True, False, True]


@pytest.mark.slow
def test_the_page_has_a_row_for_everything() -> None:
    own = {"refund": Floor(0.1, 0.04, 0.005)}
    shares: list[float] = []
    found = evaluate(own, worlds=1, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    text = page(found)
    for columns, rows in (
        (SAFETY_COLUMNS, safety_rows(found)),
        (COVERAGE_COLUMNS, coverage_rows(found)),
        (LOOKS_COLUMNS, looks_rows(found)),
        (FLOOR_COLUMNS, floor_rows(found)),
    ):
        assert {len(row) for row in rows} == {len(columns)}
        assert all("| " + " | ".join(row) + " |" in text for row in rows)
    assert len(safety_rows(found)) == 2 * len(UNITS) * 3
    assert "| refund | 0.100 | 0.040 | +0.060 | 0.005 |" in text


@pytest.mark.slow
def test_planted_entries_are_above_their_floor_and_those_that_do_nothing_are_not() -> None:
    found = planted_floors()
    assert found["planted"].p == 1 / 201
    assert found["planted, neutral ones"].p > 0.05


def test_the_readme_claims_what_the_benchmark_page_says() -> None:
    """Both are written by hand or by another run; a figure that moves on one has to move on the other."""
    root = Path(__file__).parents[2]
    lines = (root / "docs" / "methods" / "playbook-benchmark.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    fates = {tuple(row[:3]): dict(zip(SAFETY_COLUMNS, row, strict=True)) for row in rows if len(row) == 10}
    covered = [float(row[5].split()[0]) for row in rows if row[0] in BY_NAME and row[0] not in CONSERVATIVE]
    readme = " ".join((root / "README.md").read_text().split())
    harmful, helpful, neutral = (fates["at random", "4,000", kind] for kind in ("harmful", "helpful", "neutral"))
    assert (harmful["entries"], harmful["for harm"]) == ("128", "0.977 (0.933-0.992)")  # of 128: 125
    assert "125 of 128 harmful ones are proven to harm and retired (95 %: 93.3-99.2 %)" in readme
    assert fates["at random", "3,000", "harmful"]["for harm"].startswith("0.953")
    assert "122 of them within 3,000" in readme
    assert all(each["retired"] == each["for harm"] for key, each in fates.items() if key[0] == "at random")
    assert helpful["retired"] == "0.000 (0.000-0.029)"
    assert "0 of 128 helpful ones (at most 3 %)" in readme
    assert neutral["in the upper half"].startswith("0.000")
    assert len(covered) == len(BY_NAME) - 1
    assert f"in {100 * min(covered):.1f} to {100 * max(covered):.1f} % of worlds" in readme
    fooled = fates["not offered", "4,000", "harmful"]["retired"]
    assert f"{100 * float(fooled.split()[0]):.0f} % of the harmful ones are retired after 4,000 units" in readme
