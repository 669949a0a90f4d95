"""Positions and credits against slow references, and their sums for actions of any length."""

from __future__ import annotations

from math import fsum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sql.tiny_lake import DAY, TinyLake, at, begun, by, compute, step

from oplake.models.model import Models


def credits_of(confidences: list[float]) -> list[float]:
    """The formula as it is told: later and surer steps weigh more, and the weights are shares of their sum."""
    last = len(confidences) - 1
    weights = [0.9 ** (last - i) * (0.5 + 0.5 * confidence) for i, confidence in enumerate(confidences)]
    total = fsum(weights)
    return [weight / total for weight in weights]


def credit_rows(models: Models, actions: dict[str, list[float]]) -> dict[str, list[dict[str, Any]]]:
    steps = [
        {"day": DAY, "action_id": name, "position": position, "confidence": confidence}
        for name, confidences in actions.items()
        for position, confidence in enumerate(confidences)
    ]
    closed = [{"day": DAY, "action_id": name, "status": "completed"} for name in actions]
    tables = {"attribution.steps": steps, "attribution.actions": closed}
    rows = sorted(compute(models["attribution.step_credits"], tables), key=lambda row: row["position"])
    return {name: [row for row in rows if row["action_id"] == name] for name in actions}


CONFIDENCE = st.floats(0, 1) | st.sampled_from([0.0, 0.5, 1.0])


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(st.text("abc", min_size=1, max_size=3), st.lists(CONFIDENCE, min_size=1, max_size=60), max_size=5)
)
def test_credit_is_the_formula(models: Models, actions: dict[str, list[float]]) -> None:
    for name, rows in credit_rows(models, actions).items():
        expected = credits_of(actions[name])
        assert [row["position"] for row in rows] == list(range(len(expected)))
        assert [row["credit"] for row in rows] == pytest.approx(expected, rel=1e-9)
        assert [row["credit_rounded"] for row in rows] == pytest.approx(expected, abs=0.5001e-4)


@pytest.mark.parametrize("length", [1, 2, 1000, 5999, 6000, 6001, 6700, 20_000])
def test_credit_sums_to_one_however_long_the_action(models: Models, length: int) -> None:
    """0.9^-i overflows near i = 6,700; the plain formula would give NaN for every step of such an action."""
    confidences = [(number * 7 % 11) / 10 for number in range(length)]
    other = [0.5, 0.5]
    rows = credit_rows(models, {"long": confidences, "short": other})
    got = [row["credit"] for row in rows["long"]]
    assert fsum(got) == pytest.approx(1, abs=1e-9)
    assert got == pytest.approx(credits_of(confidences), rel=1e-9, abs=1e-300)
    assert [row["credit"] for row in rows["short"]] == pytest.approx(credits_of(other))


def test_a_long_action_that_is_open_earns_nothing_yet(models: Models) -> None:
    """Long actions are weighed in a branch of their own; it has to leave the open ones out as well."""
    steps = [{"day": DAY, "action_id": "a", "position": position, "confidence": 0.5} for position in range(6500)]
    tables = {"attribution.steps": steps, "attribution.actions": [{"day": DAY, "action_id": "a", "status": "open"}]}
    assert compute(models["attribution.step_credits"], tables) == []


def test_the_worked_example_of_the_header(models: Models) -> None:
    rows = credit_rows(models, {"a": [0.0, 1.0]})["a"]
    assert [row["credit_rounded"] for row in rows] == [0.3103, 0.6897]


def test_an_id_used_on_two_days_has_credit_on_each(tiny: TinyLake) -> None:
    """Summing by action_id alone would share one outcome between two actions when two days are made in one run."""
    for day in (0, 24):
        tiny.land(begun("daily", at(day + 10)), step("daily", at(day + 11)))
    tiny.build(stop=at(24).date())
    rows = tiny.ask("SELECT day, credit FROM attribution.step_credits ORDER BY day")
    assert [(row["day"], row["credit"]) for row in rows] == [(DAY, 1.0), (at(24).date(), 1.0)]


def test_open_actions_earn_nothing_yet(tiny: TinyLake) -> None:
    tiny.land(begun("open", at(12)), step("open", at(13)), begun("done", at(1)), step("done", at(2)))
    tiny.build(watermark=at(14))
    assert {row["action_id"] for row in tiny.ask("FROM attribution.steps")} == {"open", "done"}
    assert {row["action_id"] for row in tiny.ask("FROM attribution.step_credits")} == {"done"}


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 3), st.integers(0, 99)), max_size=25, unique_by=lambda it: it[2]
    )
)
def test_positions_are_dense_and_keep_the_order(models: Models, given_steps: list[tuple[int, int, int]]) -> None:
    """Gaps close and duplicates part, by index, then time, then event; nothing is lost and nothing swaps."""
    rows = [
        {
            "day": DAY,
            "action_id": "a",
            "step_index": index,
            "ts": at(1, seconds=second),
            "received_at": at(1, seconds=second),
            "ts_suspect": False,
            "event_id": f"{number:02d}",
        }
        for index, second, number in given_steps
    ]
    action = {"day": DAY, "action_id": "a", "began_at": at(1), "deadline_at": at(7)}
    got = compute(models["attribution.steps"], {"attribution.actions": [action], "landed.steps": rows})
    expected = [
        row["event_id"] for row in sorted(rows, key=lambda row: (row["step_index"], row["ts"], row["event_id"]))
    ]
    assert [row["event_id"] for row in sorted(got, key=lambda row: row["position"])] == expected
    assert sorted(row["position"] for row in got) == list(range(len(rows)))


def test_steps_of_an_action_over_midnight_are_numbered_together(tiny: TinyLake) -> None:
    tiny.land(begun("a", at(23.5)), step("a", at(23.9), 0), step("a", at(24.1), 1), step("a", at(24.2), 2))
    tiny.build()
    rows = by(tiny.ask("FROM attribution.steps"), "position")
    assert [rows[position]["step_index"] for position in range(3)] == [0, 1, 2]
    assert {row["day"] for row in rows.values()} == {DAY}
