"""`lake.daily_report`: one page for the team, from the figures of every schema."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Annotated, Any

from pydantic import BaseModel, Field

from oplake.settings import Settings
from oplake.synthesis.facts import Facts
from oplake.synthesis.writing import CHARTED, Evidence, Partition, Subject, Writing, whole_day, written_spec

WEEK = 7  # days before, which a day is held against
CHANGES = 5  # figures that differ most from their week; more than five changes are none
PATTERNS = 5
RATES = frozenset({"mean success score of actions", "success rate of operations"})
"""Figures that a day without any work has none of; all others are 0 then."""

WORTH_TELLING = 0.2  # of the mean day before; smaller changes are everyday


class LakeReport(BaseModel):
    """What is asked for."""

    summary: Annotated[str, Field(description="what happened")]
    changes: Annotated[list[str], Field(description="what changed against the week before")]
    costs: Annotated[str, Field(description="what it cost")]
    look_at: Annotated[list[str], Field(description="what somebody should look at")]


_FIGURES: Mapping[str, tuple[str, str]] = {
    "actions begun": ("attribution.actions", "SELECT day, count(*) AS value FROM attribution.actions GROUP BY day"),
    "mean success score of actions": (
        "attribution.success_scores",
        "SELECT day, round(avg(success_score), 3) AS value FROM attribution.success_scores GROUP BY day",
    ),
    "operations": (
        "operations.endpoint_days",
        "SELECT day, sum(op_count) AS value FROM operations.endpoint_days GROUP BY day",
    ),
    "success rate of operations": (
        "operations.endpoint_days",
        "SELECT day, round(sum(success_count) / sum(op_count), 3) AS value FROM operations.endpoint_days GROUP BY day",
    ),
    "failures": ("operations.error_patterns",
                 "SELECT day, sum(failure_count) AS value FROM operations.error_patterns GROUP BY day"),
    "sessions": (
        "sessions.session_days",  # those of authors, who write up the work of others, are none of that work
        "SELECT day, count(*) AS value FROM sessions.session_days WHERE session_id NOT IN "
        "(SELECT session_id FROM landed.session_events WHERE source = 'oplake.synthesis') GROUP BY day",
    ),
    "users seen": (
        "sessions.session_days",
        "SELECT day, count(DISTINCT user_id) AS value FROM sessions.session_days GROUP BY day",
    ),
    "notes of users": ("landed.notes", "SELECT day, count(*) AS value FROM landed.notes GROUP BY day"),
    "cost in US dollars": (
        "sessions.cost_days",
        "SELECT day, round(sum(cost_usd), 2) AS value FROM sessions.cost_days GROUP BY day",
    ),
    "turns whose cost nobody knows": (
        "sessions.cost_days",
        "SELECT day, sum(uncosted_turn_count) AS value FROM sessions.cost_days GROUP BY day",
    ),
    "cost of reports in US dollars": (
        "sessions.cost_days",  # authors ask as agents do, so that prices count where nothing says what was charged
        "SELECT day, round(sum(cost_usd), 4) AS value FROM sessions.cost_days "
        "WHERE agent_id IN (SELECT asset FROM landed.llm_calls) GROUP BY day",
    ),
    "playbook entries found": (
        "playbooks.entries",
        "SELECT created AS day, count(*) AS value FROM playbooks.entries GROUP BY created",
    ),
    "playbook entries retired": (
        "playbooks.entries",
        "SELECT retired_on AS day, count(*) AS value FROM playbooks.entries "
        "WHERE retired_on IS NOT NULL GROUP BY retired_on",
    ),
    "units of work shown playbook entries": (
        "playbooks.uptake",
        "SELECT day, count(DISTINCT unit) AS value FROM playbooks.uptake WHERE NOT is_withheld GROUP BY day",
    ),
    "secrets redacted": (
        "lake.redactions",
        "SELECT day, sum(count) AS value FROM lake.redactions GROUP BY day",
    ),
    "lines that could not be used": (
        "landed.rejects",
        "SELECT day, count(*) AS value FROM landed.rejects GROUP BY day",
    ),
}  # fmt: skip
"""What is told of a day: the table that it stands in, and its value by day."""

_LANDED = "SELECT min(day) AS day FROM lake.arrivals WHERE table_name LIKE 'landed.%' AND row_count > 0"
"""The lake's first day. Tables of figures are shown with the days of a week, and cannot tell."""

_PATTERNS = """
SELECT day, kind, template, failure_count, week_before_count, is_new
FROM operations.error_patterns
WHERE day = $day
ORDER BY failure_count DESC, kind, template
LIMIT $patterns
"""

_BREACHES = """
SELECT scope, name, limit_usd, round(spent_usd, 2) AS spent_usd
FROM sessions.budget_breaches
WHERE day = $day
ORDER BY scope, name
"""

_LEFT_OUT = """
WITH every AS (
    SELECT 'users.meta_evaluations' AS name, day, user_id, status FROM users.meta_evaluations
    UNION ALL
    SELECT 'users.daily_reports' AS name, day, user_id, status FROM users.daily_reports
    UNION ALL
    SELECT 'users.meta_plans' AS name, day, user_id, status FROM users.meta_plans
)

SELECT name, count(DISTINCT user_id) AS users
FROM every
WHERE day = $day AND (status LIKE 'skipped%' OR status = 'failed')
GROUP BY name
ORDER BY name
"""


def subjects(facts: Facts, partition: Partition, settings: Settings) -> list[Subject]:
    """The lake as a whole: one row a day, none where nothing happened."""
    day = partition.day
    figures, series = _figures(facts, day, settings.first_day)
    if not any(figure["value"] for figure in figures):
        return []
    patterns = [
        {"id": f"e{n}", **{name: row[name] for name in row if name != "day"}}
        for n, row in enumerate(facts.rows(_PATTERNS, day=day, patterns=PATTERNS), 1)
    ]
    breaches = [
        {"id": f"b{n}", **row, "limit_usd": float(row["limit_usd"]), "spent_usd": float(row["spent_usd"])}
        for n, row in enumerate(facts.rows(_BREACHES, day=day), 1)
    ]
    left_out = [{"id": f"u{n}", **row} for n, row in enumerate(facts.rows(_LEFT_OUT, day=day), 1)]
    evidence = [Evidence(each["id"], _FIGURES[each["name"]][0], (day.isoformat(),)) for each in figures]
    evidence += [
        Evidence(each["id"], "operations.error_patterns", (day.isoformat(), each["kind"], each["template"]))
        for each in patterns
    ]
    evidence += [
        Evidence(each["id"], "sessions.budget_breaches", (day.isoformat(), each["scope"], each["name"] or ""))
        for each in breaches
    ]
    evidence += [Evidence(each["id"], each["name"], (day.isoformat(),)) for each in left_out]
    known = {
        "day": day.isoformat(),
        "figures": figures,
        "error_patterns": patterns,
        "budget_breaches": breaches,
        "left_out_users": left_out,
        "days_compared": WEEK,
        CHARTED: series,
    }
    return [
        Subject(
            key={}, facts=known, plain=_plain(figures, patterns, breaches, left_out), evidence=tuple(evidence), weight=1
        )
    ]


def _figures(facts: Facts, day: date, first_day: date) -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    """The day's figures with the mean of the days before, and all of these days for charts.

    Args:
        facts: What the lake has of the day and of those before.
        day: The day that is told of.
        first_day: Before this one there are no models.
    """
    found = {
        name: {row["day"]: float(row["value"]) for row in facts.rows(query) if row["value"] is not None}
        for name, (_, query) in _FIGURES.items()
    }
    # Before the first day of the lake nothing was counted, which is not to say that there was nothing.
    landed = [row["day"] for row in facts.rows(_LANDED) if row["day"]]
    begun = max(first_day, min([*landed, *(each for values in found.values() for each in values)], default=day))
    days = [day - timedelta(days=n) for n in range(WEEK, -1, -1)]
    nothing = {each: 0.0 for each in days if each >= begun}
    figures: list[dict[str, Any]] = []
    series: dict[str, list[dict[str, Any]]] = {}
    for name, known in found.items():
        values = known if name in RATES else nothing | known
        if day not in values:
            continue
        before = [values[each] for each in days[:-1] if each in values]
        figures.append(
            {
                "id": f"s{len(figures) + 1}",
                "name": name,
                "value": _number(values[day]),
                "week_mean": _number(round(sum(before) / len(before), 3)) if before else None,
                "days_before": len(before),
            }
        )
        series[name] = [{"day": each.isoformat(), "value": _number(values[each])} for each in days if each in values]
    return figures, series


def _number(value: float) -> float | int:
    return int(value) if value == int(value) else value


def _plain(
    figures: Sequence[Mapping[str, Any]],
    patterns: Sequence[Mapping[str, Any]],
    breaches: Sequence[Mapping[str, Any]],
    left_out: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The page in measured sentences."""
    of = {figure["name"]: figure for figure in figures}

    def said(name: str) -> str:
        figure = of[name]
        return f"{name} {figure['value']:,} [{figure['id']}]"

    def against(figure: Mapping[str, Any]) -> str:
        return f"{figure['name']}: {figure['value']:,}, on the mean day before {figure['week_mean']:,} [{figure['id']}]"

    moved = [figure for figure in figures if figure["week_mean"] is not None and _change(figure) >= WORTH_TELLING]
    look_at = [
        f"“{each['template']}” failed {each['failure_count']} times"
        + (", and is new" if each["is_new"] else _before(each["week_before_count"]))
        + f" [{each['id']}]"
        for each in patterns
    ]
    look_at += [
        f"{each['name'] or each['scope']} spent {each['spent_usd']} of {each['limit_usd']} US dollars [{each['id']}]"
        for each in breaches
    ]
    look_at += [f"{each['name']} leaves out {each['users']} users [{each['id']}]" for each in left_out]
    names = ("actions begun", "mean success score of actions", "operations", "success rate of operations", "sessions")
    return {
        "summary": f"The day in figures: {', '.join(said(name) for name in names if name in of)}.",
        "changes": [against(figure) for figure in sorted(moved, key=_change, reverse=True)[:CHANGES]],
        "costs": f"In all: {said('cost in US dollars')}; {said('turns whose cost nobody knows')}.",
        "look_at": look_at,
    }


def _before(count: int) -> str:
    return f", {count} times in the week before" if count else ""


def _change(figure: Mapping[str, Any]) -> float:
    """How far a figure is from the mean day before, as a share of that; what comes up from nothing is the farthest."""
    apart: float = abs(figure["value"] - figure["week_mean"])
    return apart / figure["week_mean"] if figure["week_mean"] else math.inf if apart else 0.0


WRITING = Writing(
    spec=written_spec(
        "lake.daily_report",
        "The day on one page, for the team: what happened, what changed against the week before, what it cost, and "
        "what to look at.",
        key=[],
        schema=LakeReport,
    ),
    schema=LakeReport,
    prompt="lake_report",
    tier="pro",
    max_tokens=1024,
    partitions=whole_day,
    subjects=subjects,
    reads={
        **{table: (-WEEK, 0) for table, _ in _FIGURES.values()},
        "playbooks.entries": None,
        "landed.llm_calls": (-WEEK, 0),
        "landed.session_events": (-WEEK, 0),
        "sessions.budget_breaches": (0, 0),
        "users.meta_evaluations": (0, 0),
        "users.daily_reports": (0, 0),
        "users.meta_plans": (0, 0),
    },
    earlier={"lake.arrivals": None},
    max_turns=6,
)
