"""`users.daily_reports`: how the day went with each user, from what evaluations and notes of it say."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

import pyarrow as pa
from pydantic import BaseModel, Field

from oplake.lake.spec import Column
from oplake.settings import Settings
from oplake.synthesis.cites import recited, without_cites
from oplake.synthesis.facts import Facts
from oplake.synthesis.figures import shortened
from oplake.synthesis.tables.meta_evaluations import FRESH
from oplake.synthesis.tables.meta_plans import STANDS
from oplake.synthesis.tables.standing import READS, Trajectory, standings
from oplake.synthesis.tables.tone import complaints, requests
from oplake.synthesis.writing import Evidence, Partition, Subject, Writing, whole_day, written_spec
from oplake.words import counted

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
WHERE status = 'ok' AND window_start + INTERVAL 6 HOUR BETWEEN $oldest AND $stop
QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY window_start DESC) = 1
ORDER BY user_id
"""

_NOTES = """
WITH told AS (
    SELECT
        user_id,
        event_id,
        note,
        CASE WHEN ts_suspect THEN received_at ELSE ts END AS happened_at
    FROM landed.notes
    WHERE day = $day
)

SELECT
    user_id,
    event_id,
    note,
    count(*) OVER (PARTITION BY user_id) AS note_count
FROM told
QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY happened_at DESC, event_id DESC) <= $shown
ORDER BY user_id, happened_at, event_id
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
    """The users with an evaluation or notes; those of the last seven days without either get a stub.

    A stub says in numbers what its user did; only who did nothing on the day was not there.
    """
    day = partition.day
    evaluations = {
        row["user_id"]: row for row in facts.rows(_EVALUATIONS, stop=partition.end, oldest=partition.end - FRESH)
    }
    notes: dict[str, list[dict[str, Any]]] = {}
    for row in facts.rows(_NOTES, day=day, shown=SHOWN):
        notes.setdefault(row["user_id"], []).append({**row, "note": shortened(row["note"], NOTE_CHARS)})
    plans = {row["user_id"]: row for row in facts.rows(_PLANS, day=day)}
    standing = standings(facts, day)
    seen = {row["user_id"] for row in facts.rows(_SEEN, day=day)}
    return [
        _subject(user, day, evaluations.get(user), notes.get(user, []), plans.get(user), standing.get(user))
        for user in sorted(seen | evaluations.keys())
    ]


def _subject(
    user: str,
    day: date,
    evaluation: dict[str, Any] | None,
    notes: list[dict[str, Any]],
    earlier: dict[str, Any] | None,
    standing: dict[str, Any] | None,
) -> Subject:
    if evaluation is None and not notes:
        return _stub(user, day, standing)
    evidence: list[Evidence] = []
    plan = _plan(earlier, evidence)
    told = _notes(notes, evidence) if evaluation is None else _evaluation(evaluation, evidence)
    return Subject(
        key={"user_id": user},
        facts={
            "day": day.isoformat(),
            "standing": standing,
            "plan": plan,
            "told": told,
            "is_from_notes": evaluation is None,
        },
        plain={
            "trajectory": standing["trajectory"] if standing else "stable",
            "progress": _progress(plan),
            **_points(evaluation, notes),
        },
        fixed={"from_notes": evaluation is None},
        evidence=tuple(evidence),
        weight=min(notes[0]["note_count"], READ) if evaluation is None else evaluation["note_count"],
    )


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


def _stub(user: str, day: date, standing: dict[str, Any] | None) -> Subject:
    sessions, turns = (standing["sessions"], standing["turns"]) if standing else (0, 0)
    worked = f"{counted(sessions, 'session')} and {counted(turns, 'turn')}, and no note."
    fields = DailyReport(
        summary=worked if sessions else NO_INTERACTION,
        friction_points=[],
        recommended_adjustments=[],
        trajectory=standing["trajectory"] if standing else "stable",
        inactivity_flag=not sessions,
    )
    return Subject(
        key={"user_id": user},
        facts={"day": day.isoformat(), "standing": standing},
        plain=fields.model_dump(),
        fixed={"from_notes": False},
        is_stub=True,
    )


WRITING = Writing(
    spec=written_spec(
        "users.daily_reports",
        "How a day went with each user who was seen in the last seven.\n\nIt builds on the user's latest evaluation if "
        "that is not older than 48 hours, else on notes of the day (from_notes); a user without either has a stub, "
        "which nobody was asked for. It says how many sessions and turns there were, or that there was no interaction.",
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
    earlier={"users.meta_plans": (-STANDS.days, 0)},
    cap=lambda settings: settings.daily_reports_most,
)  # fmt: skip
