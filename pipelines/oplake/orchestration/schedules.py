"""When authors write: every six hours, every day, every Monday. Each time all days that are still due are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime

import dagster as dg

from oplake.orchestration.jobs import QUIET, Jobs
from oplake.orchestration.llm import ONLY_DUE
from oplake.orchestration.partitions import keys_of, range_tags
from oplake.synthesis.tables import (
    WRITTEN,
    daily_reports,
    error_analyses,
    lake_report,
    meta_evaluations,
    meta_plans,
    wordings,
)
from oplake.synthesis.writing import Writing

CRONS: dict[str, tuple[str, Sequence[Writing], str]] = {
    "six_hourly_evaluations": (
        "25 */6 * * *",  # UTC; a window's notes are in the lake 20 minutes after its end
        [meta_evaluations.WRITING],
        "Evaluates the notes of the last six hours, and windows of the last two days that wait.",
    ),
    "daily_reports": (
        "35 6 * * *",  # UTC; the actions of the day before are closed at 06:15
        [daily_reports.WRITING, error_analyses.WRITING, wordings.WRITING, lake_report.WRITING],
        "Writes reports and error analyses of the day before, and of the week before that wait; words the playbook.",
    ),
    "weekly_plans": (
        "5 7 * * 1",  # UTC; after the reports of Sunday
        [meta_plans.WRITING],
        "Plans the month ahead for each user, from the reports of the week before.",
    ),
    "late_plans": (
        "5 7 * * 0,2-6",
        [meta_plans.WRITING],
        "Makes the plans of this week's Monday that could not be made then.",
    ),
}
"""Schedules: when, what, and what for."""

assert {what.name for _, several, _ in CRONS.values() for what in several} == {what.name for what in WRITTEN}


def build_schedules(jobs: Jobs, first_day: date, clock: Callable[[], datetime]) -> list[dg.ScheduleDefinition]:
    """The schedules of all written tables."""
    return [
        _schedule(name, cron, several, text, jobs, first_day, clock) for name, (cron, several, text) in CRONS.items()
    ]


def _schedule(
    name: str,
    cron: str,
    several: Sequence[Writing],
    text: str,
    jobs: Jobs,
    first_day: date,
    clock: Callable[[], datetime],
) -> dg.ScheduleDefinition:
    def due(_: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        days = sorted({day for what in several for day in what.due_days(clock(), first=first_day)})
        if not days:
            return dg.SkipReason("no day is due")
        return dg.RunRequest(
            asset_selection=keys_of(what.name for what in several),
            run_config=QUIET,
            tags={**range_tags(days[0], days[-1]), **ONLY_DUE},
        )

    return dg.ScheduleDefinition(
        name=name,
        job=jobs.write,
        cron_schedule=cron,
        execution_fn=due,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=text,
    )
