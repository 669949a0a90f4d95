"""What `oplake eval blame` works out of trials: intervals, the choice that knows nothing of the goal, the page."""

from __future__ import annotations

import random

import pytest

from oplake.learning.blame_eval import (
    ALL,
    BLAME,
    Evaluation,
    Floor,
    Trial,
    choose,
    page,
    published,
    resampled,
    results,
)
from oplake.learning.intervals import wilson


def trial(number: int, method: str, rank: int, *, evidence: str = "labels", kind: str = "t") -> Trial:
    simplicity = ["position", "position_actor", "position_decision", "contrast", "famas"].index(method)
    return Trial(
        f"{kind}{number}",
        kind,
        f"g{number}",
        method,
        evidence,
        simplicity,
        float(rank == 1),
        float(rank <= 3),
        1 / rank,
        float(rank == 1),
    )


def test_the_interval_of_shares_is_wilsons() -> None:
    """23 of 60, by the formula as Wilson (1927) has it."""
    found = wilson([1.0] * 23 + [0.0] * 37)
    assert (round(found.value, 3), round(found.low, 3), round(found.high, 3)) == (0.383, 0.271, 0.510)
    assert (wilson([0.0] * 5).low, wilson([1.0] * 5).high) == (0.0, pytest.approx(1.0))


def test_the_bootstrap_keeps_goals_whole_and_covers() -> None:
    """Ten equal trials of a goal are one piece of news, not ten; and 95 % intervals hold about 95 of 100 means."""
    one_each = resampled([(str(n), float(n % 2)) for n in range(40)])
    ten_each = resampled([(str(n % 40), float(n % 2)) for n in range(400)])
    assert ten_each == pytest.approx(one_each)
    dice = random.Random(1)
    covered = 0
    for _ in range(60):
        found = resampled([(str(n), dice.random()) for n in range(40)])
        covered += found.low <= 0.5 <= found.high
    assert covered >= 52


def test_the_simplest_method_speaks_unless_another_is_clearly_better() -> None:
    near = [trial(n, "position", 2) for n in range(50)] + [trial(n, "position_actor", 2 - (n == 0)) for n in range(50)]
    assert choose(near, "position") == "position"
    far = [trial(n, "position", 2) for n in range(50)] + [trial(n, "position_actor", 1) for n in range(50)]
    assert choose(far, "position") == "position_actor"
    assert choose(far[:9] + far[50:59], "position") == "position"


def test_a_goal_has_no_say_in_how_it_is_judged() -> None:
    """`position_actor` is better by 0.5 / 20 = 0.025 for the goal that it finds alone, and by nothing without that."""
    trials = [trial(n, "position", 2) for n in range(20)]
    trials += [trial(n, "position_actor", 1 if n == 0 else 2) for n in range(20)]
    assert choose(trials, "position") == "position_actor"
    [first] = [each for each in published(trials) if each.goal_id == "g0"]
    assert first.top_1 == 0


def test_contrast_goes_before_priors_where_a_goal_has_it() -> None:
    trials = [trial(n, "position", 1) for n in range(12)]
    trials += [trial(n, "contrast", 3, evidence="runs") for n in range(2)]
    found = published(trials)
    assert [each.reciprocal_rank for each in found] == [1 / 3] * 2 + [1.0] * 10
    assert len(found) == 12


def test_results_are_by_class_and_over_all_with_paired_differences() -> None:
    trials = [trial(n, "position", 1 + n % 2, kind=kind) for kind in "tu" for n in range(12)]
    trials += [trial(n, "position_decision", 1, kind=kind) for kind in "tu" for n in range(12)]
    found = {(each.action_type, each.method): each for each in results(trials)}
    assert {name for name, _ in found} == {"t", "u", ALL}
    assert found[ALL, BLAME].top_1.value == 1
    assert found[ALL, BLAME].actions == 24
    behind = found[ALL, "position"].behind
    assert behind is not None
    assert behind.value == 0.5
    assert 0 < behind.low < 0.5 < behind.high < 1


def test_the_page_says_so_where_there_is_nothing() -> None:
    assert "There are no labels." in page(Evaluation((), ()))
    floor = Floor("contrast", "a|b", 60, 0.27, 0.16, 0.11, 0.005, "above")
    untested = Floor("prior", "b", 0, None, None, None, None, "untested")
    text = page(Evaluation(tuple(results([trial(n, "position", 1) for n in range(3)])), (floor, untested)))
    assert "| t | blame | 3 | 1.000 (0.4" in text
    assert r"| contrast | a\|b | 60 | 0.270 | 0.160 | +0.110 | 0.005 | above |" in text
    assert "| prior | b | 0 |  |  |  |  | untested |" in text
