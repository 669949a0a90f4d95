"""The rule of success, case by case as the documentation states it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oplake.scores import is_met, success_score

pytestmark = pytest.mark.slow

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=5,
)


@pytest.mark.parametrize("error", ["boom", 1, True, ["x"], {"code": 500}, "0", " "])
def test_an_error_scores_nothing_whatever_was_met(error: Any) -> None:
    assert success_score({"error": error, "reward": 1.0}, {"reward": 1.0}) == 0.0


@pytest.mark.parametrize("error", [None, False, 0, 0.0, "", [], {}])
def test_an_empty_error_is_no_error(error: Any) -> None:
    assert success_score({"error": error, "reward": 1.0}, {"reward": 1.0}) == 1.0


def test_status_error_scores_nothing() -> None:
    assert success_score({"status": "error", "reward": 1.0}, {"reward": 1.0}) == 0.0


def test_without_expectations_the_score_is_neutral_and_lower_after_a_timeout() -> None:
    assert success_score({}, {}) == 0.5
    assert success_score({"status": "evicted"}, {}) == 0.5
    assert success_score({"status": "timeout"}, {}) == 0.2


def test_a_timeout_with_expectations_scores_what_it_met() -> None:
    assert success_score({"status": "timeout", "a": 1}, {"a": 1, "b": 2}) == 0.5


def test_missing_and_null_keys_are_unmet() -> None:
    assert success_score({"a": None}, {"a": None, "b": 1}) == 0.0


@pytest.mark.parametrize(
    ("actual", "expected", "met"),
    [
        (0.95, 1.0, True),
        (0.89, 1.0, False),
        (0.05, 0.0, True),
        (0.06, 0.0, False),
        (109, 100, True),
        (111, 100, False),
        (-91, -100, True),
        (1, 1.0, True),
        (True, 1, False),
        (1, True, False),
        (1.0, True, False),
        (True, True, True),
        (False, 0, False),
        ("1", 1, False),
        ("done", "done", True),
        ("Done", "done", False),
        ({"a": 1, "b": [1, 2]}, {"b": [1, 2], "a": 1}, True),
        ({"a": [2, 1]}, {"a": [1, 2]}, False),
        ([1, 2], [2, 1], False),
        ("[1]", [1], False),
    ],
)
def test_values_meet_as_documented(actual: Any, expected: Any, met: bool) -> None:
    assert is_met(actual, expected) is met


@pytest.mark.parametrize(
    ("actual", "expected"), [(1.1, 1), (7.7, 7), (3.3, 3), (0.55, 0.5), (0.45, 0.5), (0.35, 0.3), (-1.1, -1), (0.05, 0)]
)
def test_the_boundary_is_met_though_doubles_are_off_by_a_little(actual: float, expected: float) -> None:
    """A plain `<=` looks right and is not: 1.1 - 1 is 0.10000000000000009."""
    assert is_met(actual, expected)
    assert not is_met(actual + (actual - expected) * 1e-6, expected)


@settings(max_examples=50)
@given(st.dictionaries(st.text(max_size=5), JSON, max_size=5), st.dictionaries(st.text(max_size=5), JSON, max_size=5))
def test_a_score_is_a_share(outcome: dict[str, Any], expected: dict[str, Any]) -> None:
    assert 0.0 <= success_score(outcome, expected) <= 1.0


@settings(max_examples=50)
@given(st.dictionaries(st.text(min_size=7, max_size=9), JSON.filter(lambda value: value is not None), min_size=1))
def test_an_outcome_exactly_as_expected_scores_one(expected: dict[str, Any]) -> None:
    assert success_score(expected, expected) == 1.0
