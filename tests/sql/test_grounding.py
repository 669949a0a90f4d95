"""Where statements and reports disagree, against a slow reference."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sql.tiny_lake import DAY, TinyLake, at, begun, compute, observation, step

from oplake.models.model import Models
from oplake.scores import is_met

pytestmark = pytest.mark.slow

VALUES = st.sampled_from([None, True, False, 0, 1, 1.0, 1.04, 10, 10.9, "1", "x", [1], {"a": 1, "b": 2}])
OBJECTS = st.dictionaries(st.sampled_from(["a", "b.c", '"', ""]), VALUES, max_size=3)
TIMED = st.lists(st.tuples(st.integers(0, 5), OBJECTS), max_size=6)


def reference(steps: list[tuple[int, Any]], reports: list[tuple[int, Any]]) -> set[tuple[int, str, int, bool]]:
    """Step, key, report and whether the report was there first, of every disagreement."""
    found = set()
    for position, (stated_at, state) in enumerate(steps):
        for key, stated in state.items():
            said = [(at, index, data[key]) for index, (at, data) in enumerate(reports) if data.get(key) is not None]
            before = [report for report in said if report[0] <= stated_at]
            if stated is None or not said:
                continue
            _, index, reported = before[-1] if before else said[0]
            if not is_met(stated, reported):
                found.add((position, key, index, bool(before)))
    return found


@settings(max_examples=60, deadline=None)
@given(TIMED, TIMED)
def test_disagreements_are_those_of_the_reference(
    models: Models, steps: list[tuple[int, Any]], reports: list[tuple[int, Any]]
) -> None:
    reports = sorted(reports, key=lambda report: report[0])  # positions follow time
    tables = {
        "attribution.steps": [
            _row(number, when) | {"state": _json(value)} for number, (when, value) in enumerate(steps)
        ],
        "attribution.observations": [
            _row(number, when) | {"data": _json(value)} for number, (when, value) in enumerate(reports)
        ],
    }
    rows = compute(models["attribution.grounding"], tables)
    got = {(row["position"], row["key"], row["observation_position"], row["was_reported_before"]) for row in rows}
    assert len(got) == len(rows)
    assert got == reference(steps, reports)


def _row(number: int, when: int) -> dict[str, Any]:
    return {"day": DAY, "action_id": "a", "position": number, "happened_at": at(1, seconds=when)}


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def test_the_worked_example_of_the_header(tiny: TinyLake) -> None:
    tiny.land(begun("a", at(1)), observation("a", at(2), data={"stock": 3}), step("a", at(3), state={"stock": 12}))
    tiny.build()
    (row,) = tiny.ask("FROM attribution.grounding")
    assert (row["key"], row["stated"], row["reported"], row["was_reported_before"]) == ("stock", "12", "3", True)


@pytest.mark.parametrize(
    ("stated", "reported", "is_agreed"),
    [(1.1, 1.0, True), (0.9, 1.0, True), (110, 100, True), (3.3, 3.0, True), (-1.1, -1.0, True), (1.101, 1.0, False)],
)
def test_ten_per_cent_are_met_also_when_floats_round(
    models: Models, stated: float, reported: float, *, is_agreed: bool
) -> None:
    """1.1 - 1.0 is a little more than 0.1 in floats; a bare `<=` would call it a disagreement."""
    tables = {
        "attribution.steps": [_row(0, 1) | {"state": _json({"x": stated})}],
        "attribution.observations": [_row(0, 0) | {"data": _json({"x": reported})}],
    }
    assert bool(compute(models["attribution.grounding"], tables)) is not is_agreed


def test_many_statements_and_reports_of_one_key_are_not_paired_each_with_each(models: Models) -> None:
    """A join on the key alone makes 4 million rows of these 2000 and 2000, and the planner may choose it unasked."""
    count, keys = 2000, {f"k{number}": number for number in range(5)}
    tables = {
        "attribution.steps": [_row(number, 2 * number) | {"state": _json(keys)} for number in range(count)],
        "attribution.observations": [_row(number, 2 * number + 1) | {"data": _json(keys)} for number in range(count)],
    }
    model = models["attribution.grounding"]
    assert compute(model, tables) == []
    explained = replace(model, sql=f"EXPLAIN (ANALYZE, FORMAT JSON) {model.sql}")
    ((_, plan),) = (row.values() for row in compute(explained, tables))
    rows = [int(count) for count in re.findall(r'"intermediate_rows":\s*(\d+)', plan)]
    assert count * len(keys) <= max(rows) <= 4 * count * len(keys)
