"""Whom playbook entries were served to, and what came of it: units, first servings, outcomes, midnight."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sql.tiny_lake import DAY, LATER, PROJECT_MODELS, TinyLake, at, begun, completed, session_event, turn

pytestmark = pytest.mark.slow

ONE = timedelta(days=1)
NAMES = (
    "attribution.actions",
    "attribution.expectations",
    "attribution.success_scores",
    "sessions.turns",
    "sessions.session_days",
    "playbooks.uptake",
)


def serving(ts: datetime, *, withheld: bool = False, **fields: Any) -> dict[str, Any]:
    told = {"entry_id": "p", "entry_version": 3, "task_class": "t", "withheld": withheld}
    return {"kind": "playbook_served", "ts": ts} | told | fields


def op(session_id: str, ts: datetime, *, success: bool, **fields: Any) -> dict[str, Any]:
    told = {"endpoint": "e", "success": success, "task_class": "t", "session_id": session_id}
    return {"kind": "op", "ts": ts} | told | fields


def made(tiny: TinyLake, *, days: int = 4, watermark: datetime = LATER) -> list[dict[str, Any]]:
    tiny.build(*NAMES, start=DAY - ONE, stop=DAY + days * ONE, watermark=watermark)
    return tiny.ask("FROM playbooks.uptake ORDER BY day, entry_id, unit")


def told(row: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)


def test_an_action_counts_once_by_its_first_serving_with_its_score(tiny: TinyLake) -> None:
    tiny.land(
        begun("a", at(30), goal_id="g", expected_outcome={"x": 1, "y": 1}),
        completed("a", at(31), {"x": 1, "y": 2}),
        serving(at(30.2), withheld=False, action_id="a", session_id="s"),
        serving(at(30.1), withheld=True, action_id="a", session_id="s"),
        serving(at(30.3), withheld=True, action_id="a", entry_id="q", entry_version=4),
        serving(at(30.3), action_id="b"),  # never begun
    )
    rows = made(tiny)
    assert [told(row, "entry_id", "unit", "is_withheld", "is_mixed", "serving_count", "success") for row in rows] == [
        ("p", "action a", True, True, 2, 0.5),
        ("q", "action a", True, False, 1, 0.5),
    ]
    assert told(rows[0], "day", "week", "goal_id", "session_id", "entry_version", "outcome_kind", "task_class") == (
        DAY + ONE, DAY, "g", "s", 3, "action", "t",
    )  # fmt: skip


def test_an_open_action_has_no_row_and_a_timeout_has(tiny: TinyLake) -> None:
    tiny.land(begun("a", at(1), expected_outcome={"x": 1}), serving(at(1), action_id="a"))
    assert made(tiny, watermark=at(2)) == []
    assert [row["success"] for row in made(tiny)] == [0]


@pytest.mark.parametrize(
    ("hours", "counts"), [(23.8, False), (23.9, True), (24.5, True), (29.9, True), (30.1, False), (48, False)]
)
def test_servings_count_for_an_action_as_its_steps_do(tiny: TinyLake, hours: float, counts: bool) -> None:
    """The action begins at 23:57 and has until 05:57; five minutes before it are the difference of two clocks."""
    tiny.land(begun("a", at(23.95)), serving(at(hours), action_id="a"))
    assert [row["day"] for row in made(tiny)] == [DAY] * counts


def test_an_id_used_on_two_days_is_two_units(tiny: TinyLake) -> None:
    tiny.land(
        begun("a", at(1)), completed("a", at(2), {"error": "no"}), serving(at(1), action_id="a"),
        begun("a", at(25)), completed("a", at(26), {}), serving(at(25), action_id="a", withheld=True),
    )  # fmt: skip
    assert [told(row, "day", "is_withheld", "success") for row in made(tiny)] == [
        (DAY, False, 0.0),
        (DAY + ONE, True, 0.5),
    ]


def test_a_session_has_the_success_of_its_operations_after_the_serving(tiny: TinyLake) -> None:
    tiny.land(
        serving(at(10), session_id="s"),
        op("s", at(9.9), success=False),  # before it
        op("s", at(11), success=True),
        op("s", at(30), success=True),
        op("s", at(47.9), success=False),
        op("s", at(48.1), success=False),  # too late
        op("s", at(11), success=False, task_class="other"),
        op("s", at(11), success=False, source="overseer_correction"),
        op("other", at(11), success=False),
        session_event("s", at(12), "error"),
    )
    [row] = made(tiny)
    assert told(row, "unit", "action_id", "goal_id", "outcome_kind") == ("session s", None, None, "operations")
    assert row["success"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], None),
        ([("done", 12)], 1.0),
        ([("error", 12)], 0.0),
        ([("done", 12), ("escalation", 30)], 0.0),
        ([("error", 12), ("done", 30)], 1.0),
        ([("done", 12), ("turn", 13)], None),  # it was taken up again
        ([("done", 12), ("turn", 25)], None),
        ([("turn", 25), ("done", 26)], 1.0),
        ([("done", 49)], None),  # too late
    ],
)
def test_a_session_without_operations_has_the_ending_that_it_told(
    tiny: TinyLake, events: list[tuple[str, int]], expected: float | None
) -> None:
    tiny.land(serving(at(10), session_id="s", withheld=True))
    for kind, hour in events:
        tiny.land(turn("s", at(hour)) if kind == "turn" else session_event("s", at(hour), kind))
    rows = made(tiny)
    assert [told(row, "success", "outcome_kind", "is_withheld") for row in rows] == (
        [] if expected is None else [(expected, "ending", True)]
    )


def test_a_session_served_day_after_day_is_one_unit_until_a_day_without(tiny: TinyLake) -> None:
    """Counted on each day it would be many witnesses of one chance; for ever, a day would have to read all history."""
    for hours, withheld in ((1, True), (30, False), (50, True), (100, False)):
        tiny.land(serving(at(hours), session_id="s", withheld=withheld), op("s", at(hours + 1), success=True))
    rows = made(tiny, days=5)
    assert [told(row, "day", "is_withheld", "is_mixed", "serving_count") for row in rows] == [
        (DAY, True, True, 2),
        (DAY + 4 * ONE, False, False, 1),
    ]


def test_actions_and_sessions_of_one_name_are_two_units(tiny: TinyLake) -> None:
    tiny.land(begun("x", at(1)), serving(at(1), action_id="x"), serving(at(1), session_id="x"))
    tiny.land(op("x", at(2), success=True))
    assert [row["unit"] for row in made(tiny)] == ["action x", "session x"]


SERVINGS = st.lists(
    st.tuples(st.integers(0, 71), st.sampled_from("pq"), st.sampled_from("abc"), st.booleans(), st.booleans()),
    max_size=12,
)


@settings(max_examples=12, deadline=None)
@given(SERVINGS)
def test_day_by_day_units_are_those_of_a_slow_reference(found: list[tuple[int, str, str, bool, bool]]) -> None:
    """Built one day at a time, and held against a loop over all servings."""
    tiny = TinyLake(PROJECT_MODELS)
    tiny.land(*(begun(action_id, at(24 * day + 3)) for action_id in "abc" for day in range(3)))
    tiny.land(*(op(name, at(24 * day + 23.9), success=True) for name in "abc" for day in range(4)))
    tiny.land(
        *(
            serving(at(hour + number / 100), entry_id=entry, withheld=withheld, **{kind: name})
            for number, (hour, entry, name, withheld, is_action) in enumerate(found)
            for kind in (["action_id"] if is_action else ["session_id"])
        )
    )
    for number in range(-1, 5):
        tiny.build(*NAMES, start=DAY + number * ONE)
    expected: dict[tuple[date, str, str], bool] = {}
    last: dict[tuple[str, str], int] = {}
    timed = sorted((hour + number / 100, *rest) for number, (hour, *rest) in enumerate(found))
    for hour, entry, name, withheld, is_action in timed:
        day = int(hour // 24)
        if is_action:
            if 24 * day + 3 - 5 / 60 < hour <= 24 * day + 9:
                expected.setdefault((DAY + day * ONE, entry, f"action {name}"), withheld)
        else:
            is_first = last.get((entry, name), -9) < day - 1
            if is_first:
                expected[DAY + day * ONE, entry, f"session {name}"] = withheld
            last[entry, name] = day
    rows = tiny.ask("FROM playbooks.uptake")
    assert {(row["day"], row["entry_id"], row["unit"]): row["is_withheld"] for row in rows} == expected
