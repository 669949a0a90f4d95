"""`oplake write`: by hand, in this process, what the schedules of written tables do by themselves.

Days are written week by week: a week's reports tell of the plan that its Monday made, and that plan is made from the
reports of the week before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from oplake.lake.landed import SEGMENTS
from oplake.models.model import Models
from oplake.orchestration.errors import OrchestrationError
from oplake.orchestration.report import RunReport
from oplake.orchestration.work import open_lake, our_models
from oplake.settings import Settings
from oplake.synthesis.tables import WRITTEN, meta_plans
from oplake.synthesis.writing import Writing

if TYPE_CHECKING:
    import dagster as dg

    from oplake.orchestration.llm import Llm
    from oplake.orchestration.resources import Watch


@dataclass(frozen=True)
class Round:
    """Tables that one run writes, over the same days."""

    tables: tuple[str, ...]
    start: date
    stop: date


def write(
    settings: Settings,
    *,
    now: datetime,
    tables: Sequence[str] = (),
    days: tuple[date, date] | None = None,
    llm: Llm | None = None,
    instance: dg.DagsterInstance | None = None,
    models: Models | None = None,
    watch: Watch | None = None,
) -> RunReport:
    """Write what is due, or some days whether they are due or not; what is written already stays.

    Args:
        settings: The home.
        now: The present time, from which the clock of the runs goes on; days that are not over then are not written.
        tables: Only these; by default all that an author writes.
        days: First and last day; by default those that a schedule would write now.
        llm: Who writes, in place of what the settings say.
        instance: Dagster's records, instead of the home's own.
        models: In place of the model files.
        watch: Is told of each table that is about to be written.

    Raises:
        OrchestrationError: There is no such table, a day lies outside the days of the models, or nothing has been
            ingested yet.
        LakeError: What was written could not be published.
    """
    named = {what.name: what for what in WRITTEN}
    for table in tables:
        if table not in named:
            raise OrchestrationError(f"no author writes {table}; those that are written are {', '.join(named)}")
    chosen = [named[table] for table in tables] or list(WRITTEN)
    if days is not None and not settings.first_day <= days[0] <= days[1] <= now.date():
        raise OrchestrationError(
            f"{days[0]} to {days[1]} cannot be written: give a first and a last day from {settings.first_day} "
            f"(OPLAKE_FIRST_DAY) to today, {now.date()}"
        )
    lake = open_lake(settings)
    if not lake.exists(SEGMENTS.name):
        raise OrchestrationError(
            "there is nothing to write about yet: bring events in and `oplake run`; `oplake demo` shows how it works"
        )
    todo = rounds({what.name: _days(what, days, settings, now) for what in chosen})
    if not todo:
        return RunReport(())
    from oplake.orchestration.execution import carry_out_rounds  # Dagster takes a second to load

    return carry_out_rounds(
        settings,
        our_models(settings) if models is None else models,
        todo,
        only_due=days is None,
        lake=lake,
        now=now,
        llm=llm,
        instance=instance,
        watch=watch,
    )


def _days(what: Writing, days: tuple[date, date] | None, settings: Settings, now: datetime) -> list[date]:
    if days is None:
        return what.due_days(now, first=settings.first_day)
    every = [days[0] + timedelta(days=n) for n in range((days[1] - days[0]).days + 1)]
    return [day for day in every if any(partition.end <= now for partition in what.partitions(day))]


def rounds(days: Mapping[str, Sequence[date]]) -> list[Round]:
    """What to write in which order: week by week, in each the plans first.

    Args:
        days: The days of each table, in the order in which one day of all tables is written.
    """
    mondays = sorted({day - timedelta(days=day.weekday()) for its_days in days.values() for day in its_days})
    found = []
    for monday in mondays:
        together: dict[tuple[bool, date, date], list[str]] = {}
        for table, its_days in days.items():
            some = [day for day in its_days if monday <= day < monday + timedelta(days=7)]
            if some:
                is_later = table != meta_plans.WRITING.name
                together.setdefault((is_later, min(some), max(some)), []).append(table)
        found += [Round(tuple(together[each]), *each[1:]) for each in sorted(together)]
    return found
