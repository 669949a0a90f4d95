"""What becomes of the stages of plans, against a reference that says it stage by stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sql.tiny_lake import DAY, PROJECT_MODELS, compute
from tests.written_rows import written_row

pytestmark = pytest.mark.slow

MODEL = PROJECT_MODELS["users.plan_stages"]
Row = Mapping[str, Any]


def planned(week: int, *stages: tuple[str, int, int], user: str = "ann", **columns: Any) -> dict[str, Any]:
    """A plan of a Monday; stages are a name, the days they should take, and those after which they expire."""
    made = [
        {"name": name, "expected_days": days, "expiration_days": expiry, "sub_goals": [], "failure_strategy": "r"}
        for name, days, expiry in stages
    ]
    columns = {"stages": made, "reached_stages": [], "version": week + 1, **columns}
    return written_row("users.meta_plans", DAY + timedelta(days=7 * week), user_id=user, **columns)


def stages(plans: Sequence[Row], told_until: date | None = None) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    reports = [] if told_until is None else [{"day": told_until, "user_id": "x"}]
    found = compute(MODEL, {"users.meta_plans": plans, "users.daily_reports": reports})
    made = {(row["user_id"], row["planned_on"], row["position"]): (row["ending"], row["ended_on"]) for row in found}
    assert len(made) == len(found)
    return made


def test_reached_expired_replaced_or_going_on() -> None:
    plans = [
        planned(0, ("a", 7, 7), ("b", 7, 14), ("c", 7, 14)),
        planned(1, ("b", 7, 14), reached_stages=["b", "no stage of it"]),
        planned(1, ("z", 7, 14), user="bob", status="failed"),
    ]
    monday = DAY + timedelta(days=7)
    assert stages(plans) == {
        ("ann", DAY, 0): ("expired", monday),  # on the very day on which the next plan was made
        ("ann", DAY, 1): ("reached", monday),
        ("ann", DAY, 2): ("replaced", monday),
        ("ann", monday, 0): (None, None),
    }
    assert stages(plans, told_until=monday + timedelta(days=13))["ann", monday, 0] == (None, None)
    expired = monday + timedelta(days=14)
    assert stages(plans, told_until=expired)["ann", monday, 0] == ("expired", expired)


def test_without_plans_there_are_no_stages() -> None:
    assert stages([]) == {}


STAGE = st.tuples(st.sampled_from("abc"), st.integers(1, 31), st.integers(1, 62))
PLAN = st.tuples(st.lists(STAGE, min_size=1, max_size=8), st.lists(st.sampled_from("abcd"), max_size=2), st.booleans())


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.integers(0, 9), PLAN, max_size=5), st.none() | st.integers(0, 120))
def test_endings_are_those_of_the_reference(drawn: dict[int, Any], told: int | None) -> None:
    plans = [
        planned(week, *its, reached_stages=reached, status="ok" if is_ok else "raw")
        for week, (its, reached, is_ok) in sorted(drawn.items())
    ]
    last = None if told is None else DAY + timedelta(days=told)
    assert stages(plans, last) == endings([plan for plan in plans if plan["status"] == "ok"], last)


def endings(plans: Sequence[Row], last: date | None) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """The slow reference."""
    made: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for plan, following in zip(plans, [*plans, None][1:], strict=True):
        begins = plan["day"]
        for position, stage in enumerate(plan["stages"]):
            expires = begins + timedelta(days=stage["expiration_days"])
            ending, ended = None, None
            horizon = following["day"] if following else last
            if following and stage["name"] in following["reached_stages"]:
                ending, ended = "reached", following["day"]
            elif horizon is not None and expires <= horizon:
                ending, ended = "expired", expires
            elif following:
                ending, ended = "replaced", following["day"]
            made["ann", plan["day"], position] = (ending, ended)
            begins += timedelta(days=stage["expected_days"])
    return made
