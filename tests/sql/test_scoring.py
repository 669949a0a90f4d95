"""Expectations and success scores against `oplake.scores`, over any JSON."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.sql.tiny_lake import DAY, TinyLake, at, begun, by, completed, compute

from oplake import scores
from oplake.models.model import Models

pytestmark = pytest.mark.slow

KEYS = st.one_of(
    st.sampled_from(
        ["", "a", "a.b", "$", "$.a", '"', 'a"b', "é", "\u0000", "status", "error", "a/b", "~", "[0]", "\\", "'"]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
)
NUMBERS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-3, 3),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 0.05, 0.95, 1.0, 1.05, 1.1, 1.1000001, 1e308, -1e308, 5e-324, 2**53 + 1, 9.5, 10.5]),
)
BOUNDARIES = [(1.1, 1), (7.7, 7), (0.55, 0.5), (0.45, 0.5), (0.35, 0.3), (-1.1, -1), (1.1000001, 1), (1.1 + 5e-11, 1)]
"""What is met, and what is just beyond: doubles are off by a little there."""
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    NUMBERS,
    st.sampled_from(["", "0", "1", "true", "null", "error", "timeout", "é", '"']),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=5
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=4)


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """An outcome and what was expected of it, which share keys and often values: alone, they would never meet."""
    expected = draw(OBJECTS)
    outcome = draw(OBJECTS)
    for key, value in expected.items():
        how = draw(st.sampled_from(["same", "near", "other", "nothing"]))
        if how == "same":
            outcome[key] = _shuffled(draw, value)
        elif how == "near" and isinstance(value, (int, float)) and not isinstance(value, bool):
            outcome[key] = float(value) * draw(st.sampled_from([0.89, 0.899, 0.9, 1.0, 1.1, 1.101, 1.11])) + draw(
                st.sampled_from([0.0, 0.05, -0.05, 0.051])
            )
            if abs(outcome[key]) == float("inf"):
                outcome[key] = value
        elif how == "other":
            outcome[key] = draw(VALUES)
    return outcome, expected


def _shuffled(draw: st.DrawFn, value: Any) -> Any:
    """The same JSON with the keys of its objects in another order."""
    if isinstance(value, dict):
        keys = draw(st.permutations(list(value)))
        return {key: _shuffled(draw, value[key]) for key in keys}
    if isinstance(value, list):
        return [_shuffled(draw, each) for each in value]
    return value


def text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.lists(cases(), min_size=1, max_size=8))
@example([({"a": True}, {"a": 1}), ({"a": 1}, {"a": True}), ({"a": 1.0}, {"a": 1}), ({"a": "1"}, {"a": 1})])
@example(
    [({"error": False}, {}), ({"error": -0.0}, {}), ({"error": []}, {}), ({"error": {}}, {}), ({"error": "0"}, {})]
)
@example([({"error": "false"}, {}), ({"error": [0]}, {}), ({"error": 0.5}, {}), ({"status": ["error"]}, {})])
@example([({"status": "error"}, {"status": "error"}), ({"status": "timeout"}, {}), ({"a": None}, {"a": None})])
@example(
    [({"a": {"x": 1, "y": 2}}, {"a": {"y": 2, "x": 1}}), ({"a": [1, 2]}, {"a": [2, 1]}), ({"a": [1]}, {"a": [1.0]})]
)
@example([({"a": actual}, {"a": expected}) for actual, expected in BOUNDARIES])
def test_sql_scores_like_the_reference(
    models: Models, given_cases: list[tuple[dict[str, Any], dict[str, Any]]]
) -> None:
    actions = [
        {
            "day": DAY,
            "action_id": str(number),
            "status": "timeout" if outcome.get("status") == "timeout" else "completed",
            "outcome": text(outcome),
            "expected_outcome": text(expected),
        }
        for number, (outcome, expected) in enumerate(given_cases)
    ]
    tables: dict[str, Any] = {"attribution.actions": actions}
    tables["attribution.expectations"] = compute(models["attribution.expectations"], tables)
    rows = by(compute(models["attribution.success_scores"], tables), "action_id")
    assert len(rows) == len(given_cases)
    for number, (outcome, expected) in enumerate(given_cases):
        keys = {row["key"]: row for row in tables["attribution.expectations"] if row["action_id"] == str(number)}
        assert set(keys) == set(expected)
        for key, value in expected.items():
            assert keys[key]["is_met"] == scores.is_met(outcome.get(key), value), (outcome, expected, key)
        score = rows[str(number)]["success_score"]
        assert score == pytest.approx(scores.success_score(outcome, expected)), (outcome, expected)


def test_the_boundary_is_met_in_sql_too(models: Models) -> None:
    """A plain `<=` looks right and is not: 1.1 - 1 is 0.10000000000000009."""
    actions = [
        {
            "day": DAY,
            "action_id": str(number),
            "status": "completed",
            "outcome": text({"k": actual}),
            "expected_outcome": text({"k": expected}),
        }
        for number, (actual, expected) in enumerate(BOUNDARIES)
    ]
    rows = by(compute(models["attribution.expectations"], {"attribution.actions": actions}), "action_id")
    found = [rows[str(number)]["is_met"] for number in range(len(BOUNDARIES))]
    assert found == [scores.is_met(actual, expected) for actual, expected in BOUNDARIES]
    assert found == [True] * 6 + [False] + [True]


def test_a_true_is_no_one(models: Models) -> None:
    """Casting JSON to DOUBLE is tempting; DuckDB casts `true` to 1.0, and every boolean would meet the number 1."""
    actions = [
        {"day": DAY, "action_id": "a", "status": "completed", "outcome": '{"k":true}', "expected_outcome": '{"k":1}'}
    ]
    (row,) = compute(models["attribution.expectations"], {"attribution.actions": actions})
    assert row["is_met"] is False


def test_open_actions_are_not_judged_and_evicted_ones_are(tiny: TinyLake) -> None:
    tiny.land(
        begun("open", at(12), expected_outcome={"a": 1}),
        begun("evicted", at(12), expected_outcome={"a": 1, "status": "evicted"}),
        completed("evicted", at(13), {"status": "evicted", "reason": "max_open_actions"}),
        begun("timeout", at(1)),
    )
    tiny.build(watermark=at(14))
    rows = by(tiny.ask("SELECT * FROM attribution.success_scores"), "action_id")
    assert {name: row["success_score"] for name, row in rows.items()} == {"evicted": 0.5, "timeout": 0.2}
    assert {row["action_id"] for row in tiny.ask("SELECT action_id FROM attribution.expectations")} == {"evicted"}
    assert {row["prompt_id"] for row in tiny.ask("SELECT prompt_id FROM attribution.interactions")} == {
        "evicted",
        "timeout",
    }
