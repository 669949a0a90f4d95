"""How actions begin, end and count what happened in them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sql.tiny_lake import (
    DAY,
    MIDNIGHT,
    TinyLake,
    at,
    begun,
    by,
    completed,
    compute,
    landed_row,
    observation,
    step,
)

from oplake.models.model import Models

NEXT = DAY + timedelta(days=1)


def action(tiny: TinyLake, name: str = "a", day: date = DAY) -> dict[str, Any]:
    (row,) = tiny.ask(f"FROM attribution.actions WHERE action_id = '{name}' AND day = '{day}'")
    return row


def test_an_action_over_midnight_is_whole_on_the_day_it_began(tiny: TinyLake) -> None:
    tiny.land(
        begun("a", at(23.75)),
        step("a", at(23.9), 0),
        step("a", at(24.1), 1),
        observation("a", at(24.2)),
        completed("a", at(24.5), {"status": "completed", "n": 1}),
    )
    tiny.build("attribution.actions", start=DAY, stop=NEXT)
    row = action(tiny)
    assert (row["status"], row["step_count"], row["observation_count"]) == ("completed", 2, 1)
    assert row["duration_ms"] == 45 * 60 * 1000
    assert (row["late_events"], row["early_events"], row["beginning_count"]) == (0, 0, 1)
    assert tiny.ask(f"FROM attribution.actions WHERE day = '{NEXT}'") == []


def test_an_action_is_open_until_the_watermark_passes_six_hours(tiny: TinyLake) -> None:
    """The wall clock is tempting; then a rebuild of an old lake would find other timeouts than the day itself did."""
    tiny.land(begun("a", at(1)))
    tiny.build("attribution.actions", watermark=None)
    assert action(tiny)["status"] == "open"
    tiny.build("attribution.actions", watermark=at(7) - timedelta(microseconds=1))
    row = action(tiny)
    assert (row["status"], row["ended_at"], row["duration_ms"], row["outcome"]) == ("open", None, None, None)
    tiny.build("attribution.actions", watermark=at(7))
    row = action(tiny)
    assert (row["status"], row["ended_at"], row["outcome"]) == ("timeout", at(7), '{"status":"timeout"}')
    assert row["duration_ms"] == 6 * 3600 * 1000


def test_a_completion_after_six_hours_is_late_and_changes_nothing_else(tiny: TinyLake) -> None:
    tiny.land(begun("a", at(1)), begun("b", at(1)))
    tiny.build("attribution.actions")
    before = action(tiny, "a")
    tiny.land(completed("a", at(7, seconds=0.001), {"n": 1}))
    tiny.land(completed("b", at(7), {"n": 1}))
    tiny.build("attribution.actions")
    assert action(tiny, "a") == before | {"late_events": 1}
    assert action(tiny, "b")["status"] == "completed"  # six hours to the microsecond are in time


def test_of_two_completions_the_first_counts(tiny: TinyLake) -> None:
    tiny.land(
        begun("a", at(1)),
        completed("a", at(3), {"n": 2}),
        completed("a", at(2), {"n": 1}),
        completed("a", at(9), {"n": 3}),
    )
    tiny.build("attribution.actions")
    row = action(tiny)
    assert (row["outcome"], row["ended_at"], row["late_events"]) == ('{"n":1}', at(2), 2)


def test_a_late_first_completion_does_not_hide_one_in_time(tiny: TinyLake) -> None:
    tiny.land(completed("a", at(8), {"n": 2}), begun("a", at(1)), completed("a", at(2), {"n": 1}))
    tiny.build("attribution.actions")
    assert (action(tiny)["outcome"], action(tiny)["late_events"]) == ('{"n":1}', 1)


def test_steps_after_the_completion_count_and_are_late(tiny: TinyLake) -> None:
    """Leaving them out is tempting, and loses the decisive last steps when two machines' clocks differ by a second."""
    tiny.land(begun("a", at(1)), step("a", at(2), 0), completed("a", at(2, seconds=1)), step("a", at(2, seconds=2), 1))
    tiny.land(step("a", at(8), 2))
    tiny.build("attribution.actions", "attribution.steps")
    row = action(tiny)
    assert (row["step_count"], row["late_events"]) == (2, 2)
    assert [row["step_index"] for row in tiny.ask("FROM attribution.steps ORDER BY position")] == [0, 1]


def test_clocks_may_differ_by_five_minutes(tiny: TinyLake) -> None:
    tiny.land(begun("a", at(1)), step("a", at(1, seconds=-299), 0), step("a", at(1, seconds=-300), 1))
    tiny.land(completed("a", at(1, seconds=-10), {"n": 1}))
    tiny.build("attribution.actions", "attribution.steps")
    row = action(tiny)
    assert (row["step_count"], row["early_events"], row["outcome"]) == (1, 1, '{"n":1}')
    assert (row["ended_at"], row["duration_ms"]) == (at(1), 0)  # not before it began
    assert [row["step_index"] for row in tiny.ask("FROM attribution.steps")] == [0]


def test_a_completion_by_a_slow_clock_counts_also_over_midnight(tiny: TinyLake) -> None:
    """Without the day before, an action of a few seconds after midnight would time out."""
    tiny.land(begun("a", at(seconds=30)), completed("a", at(seconds=-10), {"n": 1}))
    tiny.land(begun("b", at(seconds=30)), completed("b", at(seconds=-270), {"n": 1}))
    tiny.build("attribution.actions")
    row = action(tiny, "a")
    assert (row["status"], row["ended_at"], row["late_events"]) == ("completed", at(seconds=30), 0)
    assert action(tiny, "b")["status"] == "timeout"


def test_late_events_are_counted_to_the_end_of_the_next_day(tiny: TinyLake) -> None:
    """The header says so; to count those of a later day, every day would have to read two more."""
    tiny.land(begun("a", at(1)), completed("a", at(47.9)), completed("a", at(48)))
    tiny.build("attribution.actions", start=DAY, stop=NEXT)
    assert action(tiny)["late_events"] == 1


def test_of_two_beginnings_on_a_day_the_first_counts(tiny: TinyLake) -> None:
    tiny.land(begun("a", at(2), agent_id="second"), begun("a", at(1), agent_id="first"), step("a", at(3)))
    tiny.build("attribution.actions", "attribution.steps")
    row = action(tiny)
    assert (row["agent_id"], row["began_at"], row["beginning_count"], row["step_count"]) == ("first", at(1), 2, 1)
    assert len(tiny.ask("FROM attribution.steps")) == 1


def test_an_action_sent_again_after_midnight_is_still_one(tiny: TinyLake) -> None:
    """Starting anew at midnight ended the first action before it began, and counted the step in between nowhere."""
    tiny.land(
        begun("a", at(24, seconds=-120), agent_id="first"),
        step("a", at(24, seconds=-90), 0),
        begun("a", at(24, seconds=60), agent_id="second"),
        step("a", at(24, seconds=120), 1),
        completed("a", at(24, seconds=300), {"n": 1}),
    )
    tiny.build("attribution.actions", "attribution.steps", start=DAY, stop=NEXT)
    (row,) = tiny.ask("FROM attribution.actions")
    assert (row["day"], row["agent_id"], row["status"], row["duration_ms"]) == (DAY, "first", "completed", 420_000)
    assert (row["step_count"], row["beginning_count"], row["late_events"], row["early_events"]) == (2, 2, 0, 0)
    assert [step["day"] for step in tiny.ask("FROM attribution.steps")] == [DAY, DAY]


@pytest.mark.parametrize(
    ("ended", "again", "is_same"),
    [
        (None, 25, True),
        (None, 29 + 5 / 60, True),  # six hours after the first beginning, and the 5 minutes of clocks that differ
        (None, 29.1, False),
        (24.5, 24.4, True),
        (24.5, 24.5 + 5 / 60, True),
        (24.5, 24.6, False),
        (23.2, 24.2, False),
        (22.95, 24.2, False),  # completed by a clock that is slow: still a completion
    ],
)
def test_an_id_used_again_on_the_next_day_is_another_action_once_the_first_is_over(
    tiny: TinyLake, ended: float | None, again: float, is_same: bool
) -> None:
    """No step may belong to two actions or to none; taking every id used again for one would lose the second."""
    tiny.land(begun("a", at(23)), begun("a", at(again)), completed("a", at(again + 1), {"n": 2}))
    steps = [23.1, 23.99, 24.05, 24.3, 24.7, again - 0.01, again + 0.01]
    tiny.land(*(step("a", at(hour), index) for index, hour in enumerate(sorted(steps))))
    if ended is not None:
        tiny.land(completed("a", at(ended), {"n": 1}))
    tiny.build("attribution.actions", "attribution.steps", start=DAY, stop=NEXT)
    rows = {row["day"]: row for row in tiny.ask("FROM attribution.actions")}
    assert set(rows) == ({DAY} if is_same else {DAY, NEXT})
    assert rows[DAY]["beginning_count"] == (2 if is_same else 1)
    assert rows[DAY]["deadline_at"] >= rows[DAY]["began_at"]
    assert rows[DAY]["duration_ms"] >= 0
    counted = [row["step_index"] for row in tiny.ask("FROM attribution.steps")]
    assert len(set(counted)) == len(counted)
    late = sum(row["late_events"] + row["early_events"] for row in rows.values())
    assert len(counted) + late >= len(steps)
    if not is_same:
        assert (rows[NEXT]["status"], rows[NEXT]["outcome"]) == ("completed", '{"n":2}')


HALF_MINUTES = st.integers(-180, 180) | st.integers(-3000, 6000)
"""Times around a midnight, in half minutes: close to it, where rules meet, and anywhere in the two days."""


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    st.lists(HALF_MINUTES, min_size=1, max_size=4),
    st.lists(HALF_MINUTES, max_size=3),
    st.lists(HALF_MINUTES, max_size=6),
)
def test_however_often_an_id_is_used_no_step_is_in_two_actions_or_in_none(
    models: Models, beginnings: list[int], completions: list[int], steps: list[int]
) -> None:
    """Each day must also come out the same alone as with the others: it may not see further than its window."""
    landed = {
        "landed.actions_begun": landed_rows(begun, beginnings),
        "landed.actions_completed": landed_rows(completed, completions),
        "landed.steps": landed_rows(step, steps),
    }
    model, days = models["attribution.actions"], [DAY + timedelta(days=number) for number in range(4)]
    rows = {row["day"]: row for row in compute(model, landed, stop=days[-1])}
    assert all(row["began_at"] <= row["ended_at"] <= row["deadline_at"] for row in rows.values())

    of_actions = compute(models["attribution.steps"], landed | {"attribution.actions": rows.values()}, stop=days[-1])
    assert len({row["event_id"] for row in of_actions}) == len(of_actions)
    assert len(of_actions) == sum(row["step_count"] for row in rows.values())
    seen = [row for row in landed["landed.steps"] if {row["day"], row["day"] - timedelta(days=1)} & set(rows)]
    told = sum(row["late_events"] + row["early_events"] for row in rows.values())
    assert len(of_actions) + told >= len(seen)

    for day in days:
        near = {
            name: [row for row in there if days_apart(row["day"], day) in range(low, high + 1)]
            for name, there in landed.items()
            for low, high in [model.window_of(name)]
        }
        assert compute(model, near, start=day) == ([rows[day]] if day in rows else [])


def landed_rows(kind: Callable[..., dict[str, Any]], half_minutes: list[int]) -> list[dict[str, Any]]:
    """An event of the action `a` at each of these times around the second midnight."""
    return [
        landed_row(kind("a", at(24, seconds=30 * time)), f"{kind.__name__}{number}")
        for number, time in enumerate(half_minutes)
    ]


def days_apart(one: date, other: date) -> int:
    return (one - other).days


def test_an_id_used_every_day_has_no_late_events_of_tomorrow(tiny: TinyLake) -> None:
    for day in (0, 24):
        tiny.land(begun("a", at(day + 10)), step("a", at(day + 11)), completed("a", at(day + 12)))
    tiny.build("attribution.actions", start=DAY, stop=NEXT)
    for day in (DAY, NEXT):
        row = action(tiny, day=day)
        assert (row["step_count"], row["late_events"]) == (1, 0)


def test_a_clock_that_is_off_is_replaced_by_the_receipt(tiny: TinyLake) -> None:
    """By its own clock the action would stay open for a year."""
    ahead = timedelta(days=365)
    for kind in (begun, step, completed):
        happened = at(1 if kind is begun else 2)
        tiny.land(kind("a", happened + ahead, received_at=happened, ts_suspect=True))
    tiny.build("attribution.actions", "attribution.steps")
    row = action(tiny)
    assert (row["status"], row["began_at"], row["duration_ms"], row["step_count"]) == ("completed", at(1), 3_600_000, 1)
    assert tiny.ask("FROM attribution.steps")[0]["happened_at"] == at(2)


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        ({}, "completed"),
        ({"status": "error"}, "completed"),
        ({"status": "evicted"}, "evicted"),
        ({"status": "timeout"}, "timeout"),
        ({"status": ["timeout"]}, "completed"),
        ({"status": None}, "completed"),
        ({"data": {"status": "timeout"}}, "completed"),
    ],
)
def test_the_status_is_what_the_outcome_says(tiny: TinyLake, outcome: dict[str, Any], status: str) -> None:
    tiny.land(begun("a", at(1)), completed("a", at(2), outcome))
    tiny.build("attribution.actions")
    assert action(tiny)["status"] == status


def test_empty_goal_and_parent_are_none(tiny: TinyLake) -> None:
    tiny.land(begun("a", at(1), goal_id="", parent_action_id=""))
    tiny.build("attribution.actions", "attribution.action_trees")
    row = action(tiny)
    assert (row["goal_id"], row["parent_action_id"]) == (None, None)
    assert tiny.ask("FROM attribution.action_trees")[0]["is_parent_missing"] is False


def test_events_without_an_action_make_none(tiny: TinyLake) -> None:
    tiny.land(step("ghost", at(1)), observation("ghost", at(1)), completed("ghost", at(2)))
    tiny.build()
    assert not any(tiny.ask(f"FROM {model.name}") for model in tiny.models)


def test_observations_keep_the_order_of_time(tiny: TinyLake) -> None:
    tiny.land(begun("a", at(1)), observation("a", at(3), data={"n": 2}), observation("a", at(2), data={"n": 1}))
    tiny.land(observation("a", at(8), data={"n": 3}))
    tiny.build("attribution.actions", "attribution.observations")
    rows = by(tiny.ask("FROM attribution.observations"), "position")
    assert [rows[position]["data"] for position in sorted(rows)] == ['{"n":1}', '{"n":2}']
    assert MIDNIGHT < rows[0]["happened_at"] < rows[1]["happened_at"]
