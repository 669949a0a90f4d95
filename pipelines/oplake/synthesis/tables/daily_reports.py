"""`users.daily_reports`: how the day went with each user, from what evaluations and notes of it say."""

from __future__ import annotations

from typing import Annotated, Any

import pyarrow as pa
from pydantic import BaseModel, Field

from oplake.lake.spec import Column
from oplake.settings import Settings
from oplake.synthesis.cites import recited, without_cites
from oplake.synthesis.facts import Facts
from oplake.synthesis.tables.meta_evaluations import FRESH
from oplake.synthesis.tables.standing import READS, Trajectory, standings
from oplake.synthesis.tables.tone import complaints, requests
from oplake.synthesis.writing import Evidence, Partition, Subject, Writing, whole_day, written_spec

READ, SHOWN, NOTE_CHARS = 200, 20, 100  # notes of a user without evaluation: counted, shown, and how much of each
NO_INTERACTION = "No interaction detected."


class DailyReport(BaseModel):
    """What is asked for."""

    summary: Annotated[str, Field(description="how the day went")]
    progress: Annotated[str, Field(description="how far the user's plan has come; empty without a plan")] = ""
    friction_points: Annotated[list[str], Field(description="what got in the user's way")]
    recommended_adjustments: Annotated[list[str], Field(description="what should be done differently from now on")]
    trajectory: Annotated[Trajectory, Field(description="improving, stable, declining or volatile")]
    inactivity_flag: Annotated[bool, Field(description="whether the user was not there")] = False


_EVALUATIONS = """
SELECT user_id, partition, consensus, friction_points, approach_adjustments, trajectory, note_count
FROM users.meta_evaluations
WHERE status = 'ok' AND window_start + INTERVAL 6 HOUR <= $stop AND window_start + INTERVAL 6 HOUR > $oldest
QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY window_start DESC) = 1
ORDER BY user_id
"""

_NOTES = """
SELECT
    user_id,
    event_id,
    CASE WHEN length(note) > $chars THEN left(note, $chars - 1) || '…' ELSE note END AS note,
    count(*) OVER (PARTITION BY user_id) AS note_count
FROM landed.notes
WHERE day = $day
QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY ts DESC, event_id DESC) <= $shown
ORDER BY user_id, ts, event_id
"""

_PLANS = """
SELECT user_id, partition, monthly_objective, stages
FROM users.meta_plans
WHERE status = 'ok' AND day <= $day
QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY day DESC) = 1
"""

_SEEN = """
SELECT DISTINCT user_id FROM landed.notes WHERE day BETWEEN $day - 6 AND $day
UNION
SELECT DISTINCT user_id FROM sessions.session_days WHERE user_id IS NOT NULL AND day BETWEEN $day - 6 AND $day
ORDER BY user_id
"""


def subjects(facts: Facts, partition: Partition, settings: Settings) -> list[Subject]:
    """The users with an evaluation or notes; those of the last seven days without either get a stub."""
    day = partition.day
    evaluations = {
        row["user_id"]: row for row in facts.rows(_EVALUATIONS, stop=partition.end, oldest=partition.end - FRESH)
    }
    notes: dict[str, list[dict[str, Any]]] = {}
    for row in facts.rows(_NOTES, day=day, chars=NOTE_CHARS, shown=SHOWN):
        notes.setdefault(row["user_id"], []).append(row)
    plans = {row["user_id"]: row for row in facts.rows(_PLANS, day=day)}
    standing = standings(facts, day)
    seen = {row["user_id"] for row in facts.rows(_SEEN, day=day)}
    made = []
    for user in sorted(seen | evaluations.keys()):
        known = {"day": day.isoformat(), "standing": standing.get(user)}
        plain = {"trajectory": standing.get(user, {}).get("trajectory", "stable")}
        evidence: list[Evidence] = []
        plan = _plan(plans.get(user), evidence)
        told = _evaluation(evaluations[user], evidence) if user in evaluations else []
        if user not in evaluations:
            told = _notes(notes.get(user, []), evidence)
        if not told:
            made.append(_stub(user))
            continue
        made.append(
            Subject(
                key={"user_id": user},
                facts=known | {"plan": plan, "told": told, "is_from_notes": user not in evaluations},
                plain=plain | {"progress": _progress(plan)} | _points(evaluations.get(user), notes.get(user, [])),
                fixed={"from_notes": user not in evaluations},
                evidence=tuple(evidence),
                weight=evaluations[user]["note_count"]
                if user in evaluations
                else min(notes[user][0]["note_count"], READ),
            )
        )
    return made


def _evaluation(row: dict[str, Any], evidence: list[Evidence]) -> list[dict[str, str]]:
    evidence.append(Evidence("m1", "users.meta_evaluations", (row["partition"], row["user_id"])))
    said = [row["consensus"], *row["friction_points"], *row["approach_adjustments"]]
    return [{"id": "m1", "text": without_cites(text)} for text in said if text]


def _notes(rows: list[dict[str, Any]], evidence: list[Evidence]) -> list[dict[str, str]]:
    evidence += [Evidence(f"n{n}", "landed.notes", (row["event_id"],)) for n, row in enumerate(rows, 1)]
    return [{"id": f"n{n}", "text": row["note"]} for n, row in enumerate(rows, 1)]


def _plan(row: dict[str, Any] | None, evidence: list[Evidence]) -> dict[str, Any] | None:
    if row is None:
        return None
    evidence.append(Evidence("p1", "users.meta_plans", (row["partition"], row["user_id"])))
    return {"id": "p1", "since": row["partition"], "objective": row["monthly_objective"], "stages": row["stages"]}


def _progress(plan: dict[str, Any] | None) -> str:
    if plan is None or not plan["stages"]:
        return ""
    return f"Since {plan['since']} the plan is at its stages {', '.join(each['name'] for each in plan['stages'])} [p1]."


def _points(evaluation: dict[str, Any] | None, notes: list[dict[str, Any]]) -> dict[str, list[str]]:
    """What got in the way and what to do, for the author without a model: from the evaluation, else from the notes."""
    if evaluation is None:
        texts = [f"{row['note']} [n{n}]" for n, row in enumerate(notes, 1)]
        return {"friction_points": complaints(texts), "recommended_adjustments": requests(texts)}
    return {
        "friction_points": [recited(text, "m1") for text in evaluation["friction_points"]],
        "recommended_adjustments": [recited(text, "m1") for text in evaluation["approach_adjustments"]],
    }


def _stub(user: str) -> Subject:
    fields = DailyReport(
        summary=NO_INTERACTION,
        friction_points=[],
        recommended_adjustments=[],
        trajectory="stable",
        inactivity_flag=True,
    )
    return Subject(
        key={"user_id": user}, facts={}, plain=fields.model_dump(), fixed={"from_notes": False}, is_stub=True
    )


WRITING = Writing(
    spec=written_spec(
        "users.daily_reports",
        "How a day went with each user who was seen in the last seven.\n\nIt builds on the user's latest evaluation if "
        "that is not older than 48 hours, else on notes of the day (from_notes); a user without either has a stub, "
        "which nobody was asked for.",
        key=[Column("user_id", pa.string(), "the user", is_nullable=False)],
        fixed=[
            Column("from_notes", pa.bool_(), "whether it was written from notes, for want of an evaluation",
                   is_nullable=False)
        ],
        schema=DailyReport,
    ),
    schema=DailyReport,
    prompt="daily_reports",
    tier="pro",
    max_tokens=1024,
    partitions=whole_day,
    subjects=subjects,
    reads={"landed.notes": (-6, 0), "users.meta_evaluations": (-2, 0), **READS},
    earlier={"users.meta_plans": (-62, 0)},  # a plan is for a month; one that is twice as old says nothing any more
    cap=lambda settings: settings.daily_reports_most,
)  # fmt: skip
