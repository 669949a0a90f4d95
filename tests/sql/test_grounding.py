"""Where statements and reports disagree, against a slow reference."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sql.tiny_lake import DAY, TinyLake, at, begun, compute, observation, step

from oplake.models.sql_file import Models
from oplake.scores import is_met

VALUES = st.sampled_from([None, True, False, 0, 1, 1.0, 1.04, 10, 10.9, "1", "x", [1], {"a": 1, "b": 2}])
OBJECTS = st.dictionaries(st.sampled_from(["a", "b.c", '"', ""]), VALUES, max_size=3)
TIMED = st.lists(st.tuples(st.integers(0, 5), OBJECTS), max_size=4)


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
