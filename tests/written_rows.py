"""Rows of tables that authors write, for tests of what reads them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from oplake.synthesis.tables import WRITTEN, meta_plans
from oplake.synthesis.write import as_row

NAMED = {what.name: what for what in WRITTEN}
EXAMPLE_DAY = date(2026, 1, 5)


def written_row(table: str, day: date, **columns: Any) -> dict[str, Any]:
    """A row with status ok; columns that are left out are empty."""
    what = NAMED[table]
    partition = {"day": day, "partition": day.isoformat(), "status": "ok", "author": "extractive"}
    written_at = datetime.combine(day, time(8), UTC)
    return as_row(what.spec, {**partition, "written_at": written_at, **columns})


def example_rows() -> Mapping[str, list[dict[str, Any]]]:
    """The plans and reports of the worked questions: ann's plan of Monday 5 January, that of the 12th, and reports."""
    stages = [
        {"name": "answer with the date she asked for", "expected_days": 7, "expiration_days": 14},
        {"name": "fewer redone figures", "expected_days": 7, "expiration_days": 14},
    ]
    filled = [meta_plans.Stage.model_validate(each).model_dump() for each in stages]
    later = [meta_plans.Stage(name="fewer redone figures").model_dump()]
    monday = EXAMPLE_DAY + timedelta(days=7)
    return {
        "users.meta_plans": [
            written_row("users.meta_plans", EXAMPLE_DAY, user_id="ann", version=1, stages=filled,
                        monthly_objective="ann need not say things twice", last_updated=EXAMPLE_DAY),
            written_row("users.meta_plans", monday, user_id="ann", version=2, stages=later, last_updated=monday,
                        monthly_objective="ann need not say things twice", reached_stages=[filled[0]["name"]]),
        ],
        "users.daily_reports": [written_row("users.daily_reports", monday, user_id="ann", summary="All went well.")],
    }  # fmt: skip
