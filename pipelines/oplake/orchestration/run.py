"""`oplake run`: by hand, in this process, what the daemon does by itself.

Read on in the files that are followed, ingest, find what is stale, make it: one Dagster run per range of days, in the
project's own Dagster records, so that the UI shows the runs. A run that fails leaves its days stale; the rest goes on,
and the next call takes them up again.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from typing import TYPE_CHECKING

from oplake.landing.errors import LandingError
from oplake.landing.tail import TailReport, tail
from oplake.models.model import Models
from oplake.orchestration.errors import OrchestrationError
from oplake.orchestration.report import RunReport
from oplake.orchestration.staleness import last_day
from oplake.orchestration.work import find_work, left_out, open_lake, our_models
from oplake.settings import Settings

if TYPE_CHECKING:
    import dagster as dg

    from oplake.orchestration.resources import Watch


def run(
    settings: Settings,
    *,
    now: datetime,
    everything: bool = False,
    day: date | None = None,
    since: date | None = None,
    repriced: tuple[date, date] | None = None,
    instance: dg.DagsterInstance | None = None,
    models: Models | None = None,
    watch: Watch | None = None,
) -> RunReport:
    """Do what there is to do in a home, here and now; first of all, read on in the files that it follows.

    Args:
        settings: The home.
        now: The present time; ingest stamps it, and tomorrow's day is the last one made.
        everything: Make every day again that has input, stale or not.
        day: Make this day of every model again, stale or not, and no other.
        since: Make the days from this one on again that have input, stale or not.
        repriced: First and last day for which to compute costs again, with the prices of the moment.
        instance: Dagster's records, instead of the home's own.
        models: In place of the model files.
        watch: Is told of each table that is about to be made.

    Raises:
        OrchestrationError: A day is none that models are made for.
        ModelFileError: A model file is wrong.
        LakeError: What was made could not be published.
    """
    for asked in (*([day] if day else []), *([since] if since else []), *(repriced or [])):
        if not settings.first_day <= asked <= last_day(now):
            raise OrchestrationError(
                f"{asked} cannot be made: models have days from {settings.first_day} (OPLAKE_FIRST_DAY) to "
                f"{last_day(now)}"
            )
    if repriced and repriced[0] > repriced[1]:
        raise OrchestrationError(f"the first day, {repriced[0]}, is after the last, {repriced[1]}")
    models = our_models(settings) if models is None else models
    tailed = _tailed(settings, now) if settings.tail else None
    lake = open_lake(settings)
    work = find_work(settings, models, now=now, lake=lake)
    report = RunReport(())
    if work or everything or day or since or repriced:
        from oplake.orchestration.execution import carry_out  # Dagster takes a second to load: only when there is work

        report = carry_out(
            settings,
            models,
            work,
            lake=lake,
            now=now,
            everything=everything,
            day=day,
            since=since,
            repriced=repriced,
            instance=instance,
            watch=watch,
        )
    early, late = left_out(settings, models, now=now, lake=lake)
    return replace(report, tailed=tailed, too_early=early, too_late=late)


def _tailed(settings: Settings, now: datetime) -> TailReport:
    """Read on in the files that are followed; what is wrong with that is told, and the rest is done all the same."""
    try:
        return tail(settings, now)
    except LandingError as error:
        return TailReport(problems={str(settings.cursors): f"does not lead on: {error}"})
