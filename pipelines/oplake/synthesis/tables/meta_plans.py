"""`users.meta_plans`: every Monday, what to do with each user in the month ahead, stage by stage."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import BaseModel, Field

from oplake.lake.spec import Column
from oplake.settings import Settings
from oplake.synthesis.cites import without_cites
from oplake.synthesis.facts import Facts
from oplake.synthesis.figures import shortened
from oplake.synthesis.writing import SETTLED, Evidence, Partition, Subject, Writing, midnight, written_spec

REPORTS, FEWEST = 7, 2  # daily reports that a plan is made of: the last ones, and how many there must be
REPORT_CHARS = 3_000  # of all of them together
STAGE_DAYS, EXPIRY_DAYS = 7, 14
STAGES = 4  # of seven days: a month
STANDS = timedelta(days=62)  # a plan is for a month; one that is twice as old says nothing any more
OUTLIVED = timedelta(minutes=30)  # after the reports of Sunday, which are written when that day has settled


class Stage(BaseModel):
    """A part of a plan."""

    name: Annotated[str, Field(description="what it is about")]
    expected_days: Annotated[int, Field(ge=1, le=31, description="days that it should take")] = STAGE_DAYS
    expiration_days: Annotated[int, Field(ge=1, le=62, description="days after which it is given up")] = EXPIRY_DAYS
    sub_goals: Annotated[list[str], Field(description="what is to be reached in it")] = []
    failure_strategy: Annotated[str, Field(description="what to do when it expires")] = "reevaluate"


class ReviewParams(BaseModel):
    """When to look at a plan again."""

    review_every_days: Annotated[int, Field(ge=1, le=31, description="days between reviews")] = 7
    escalate_when: Annotated[Literal["never", "declining", "volatile"], Field(description="trajectory to act on")] = (
        "declining"
    )


class MetaPlan(BaseModel):
    """What is asked for."""

    stages: Annotated[list[Stage], Field(min_length=1, max_length=8, description="the stages, one after the other")]
    monthly_objective: Annotated[str, Field(description="what should be so in a month")]
    review_params: Annotated[ReviewParams, Field(description="when to look at it again")] = ReviewParams()
    reached_stages: Annotated[
        list[str], Field(description="names of stages of the earlier plan that the reports show as reached")
    ] = []


def weeks(day: date) -> Sequence[Partition]:
    """On a Monday the week before it, else nothing."""
    if day.weekday():
        return []
    return [Partition(day.isoformat(), day, midnight(day - timedelta(days=7)), midnight(day))]


_REPORTS = """
SELECT user_id, day, partition, summary, progress, friction_points, recommended_adjustments, trajectory
FROM users.daily_reports
WHERE status = 'ok' AND day BETWEEN $day - 7 AND $day - 1
ORDER BY user_id, day
"""

_EARLIER = """
SELECT user_id, day, partition, monthly_objective, stages, version
FROM users.meta_plans
WHERE status = 'ok' AND day < $day
QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY day DESC) = 1
"""


def subjects(facts: Facts, partition: Partition, settings: Settings) -> list[Subject]:
    """The users with two reports or more in the week before; stubs are none."""
    reports: dict[str, list[dict[str, Any]]] = {}
    for row in facts.rows(_REPORTS, day=partition.day):
        reports.setdefault(row["user_id"], []).append(row)
    earlier = {row["user_id"]: row for row in facts.rows(_EARLIER, day=partition.day)}
    return [
        _subject(user, mine[-REPORTS:], earlier.get(user), partition)
        for user, mine in reports.items()
        if len(mine) >= FEWEST
    ]


def _subject(user: str, reports: list[dict[str, Any]], earlier: dict[str, Any] | None, partition: Partition) -> Subject:
    evidence = [Evidence(f"r{n}", "users.daily_reports", (row["partition"], user)) for n, row in enumerate(reports, 1)]
    each_chars = REPORT_CHARS // len(reports)  # all of them are heard, also when the first one is long
    told = [
        {"id": f"r{n}", "day": row["day"].isoformat(), "text": shortened(_text(row), each_chars)}
        for n, row in enumerate(reports, 1)
    ]
    plan = None
    if earlier is not None and partition.day - earlier["day"] <= STANDS:
        evidence.append(Evidence("p1", "users.meta_plans", (earlier["partition"], user)))
        plan = {
            "id": "p1",
            "since": earlier["partition"],
            "objective": earlier["monthly_objective"],
            "stages": earlier["stages"],
        }
    found = [
        (without_cites(point), f"r{n}")
        for n, row in reversed(list(enumerate(reports, 1)))
        for point in row["friction_points"] or []
    ]
    points = list(dict(reversed(found)).items())[::-1]  # the latest report that names it is its evidence
    return Subject(
        key={"user_id": user},
        facts={
            "day": partition.day.isoformat(),
            "reports": told,
            "plan": plan,
            "stage_days": STAGE_DAYS,
            "expiry_days": EXPIRY_DAYS,
        },
        plain=_plain(points),
        fixed={"version": (earlier["version"] if earlier else 0) + 1, "last_updated": partition.day},
        evidence=tuple(evidence),
        weight=len(reports),
    )


def _plain(points: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """A stage for each friction point, for the author without a model."""
    stages = [
        {"name": point, "sub_goals": [f"This is said no more: {point} [{cite}]"]} for point, cite in points[:STAGES]
    ]
    objective = "No report names these friction points any more." if stages else "All stays as it is."
    return {"stages": stages or [{"name": "go on as before"}], "monthly_objective": objective}


def _text(row: dict[str, Any]) -> str:
    parts = [row["summary"], row["progress"], *(row["friction_points"] or []), *(row["recommended_adjustments"] or [])]
    return f"({row['trajectory']}) " + " ".join(without_cites(part) for part in dict.fromkeys(parts) if part)


WRITING = Writing(
    spec=written_spec(
        "users.meta_plans",
        "What to do with a user in the month ahead, planned every Monday from at least two reports of the week "
        "before.\n\nEarlier plans stay, as versions. What became of their stages is in users.plan_stages.",
        key=[Column("user_id", pa.string(), "the user", is_nullable=False)],
        fixed=[
            Column("version", pa.int64(), "number of the user's plan, from 1", is_nullable=False),
            Column("last_updated", pa.date32(), "the day on which it was planned", is_nullable=False),
        ],
        schema=MetaPlan,
    ),
    schema=MetaPlan,
    prompt="meta_plans",
    tier="pro",
    max_tokens=1024,
    partitions=weeks,
    subjects=subjects,
    reads={"users.daily_reports": (-7, -1)},
    earlier={"users.meta_plans": None},  # all of them: the number of a plan counts those of long ago, too
    cap=lambda settings: settings.meta_plans_most,
    settled=SETTLED + OUTLIVED,
)
