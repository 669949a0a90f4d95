"""The jobs: take in what has landed, make stale days again, write reports, keep the house in order; and the schedule of
the last.

No `from __future__ import annotations` here: Dagster reads the annotations of ops.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import dagster as dg

from oplake.given import GIVEN
from oplake.models.model import Model
from oplake.orchestration.partitions import keys_of
from oplake.orchestration.resources import Lakehouse
from oplake.synthesis.tables import WRITTEN

INGEST, REFRESH, WRITE, UPKEEP = "ingest", "refresh", "write", "upkeep"
SEGMENTS = "lake.segments"
UPKEEP_CRON = "30 3 * * *"  # UTC; between the end of a day and 06:15, when its actions are closed


QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Run configuration that keeps Dagster's log of every event off the terminal; the UI has it."""


@dataclass(frozen=True)
class Jobs:
    """Our jobs. Each ends with the publication of what it wrote: the resource `lakehouse` sees to it."""

    ingest: Any
    refresh: Any
    write: Any
    upkeep: dg.JobDefinition
    daily_upkeep: dg.ScheduleDefinition


def build_jobs(models: Iterable[Model]) -> Jobs:
    """The jobs over these models."""
    upkeep = _upkeep_job()
    return Jobs(
        ingest=dg.define_asset_job(
            INGEST,
            selection=dg.AssetSelection.assets(*keys_of([SEGMENTS])),
            description="Takes in what has landed.",
            config=QUIET,
        ),
        refresh=dg.define_asset_job(
            REFRESH,
            selection=dg.AssetSelection.assets(*keys_of(spec.name for spec in GIVEN), *keys_of(m.name for m in models)),
            description="Makes stale days of models again.",
            config=QUIET,
        ),
        write=dg.define_asset_job(
            WRITE,
            selection=dg.AssetSelection.assets(*keys_of(what.name for what in WRITTEN)),
            description="Writes reports, plans and analyses.",
            config=QUIET,
        ),
        upkeep=upkeep,
        daily_upkeep=dg.ScheduleDefinition(
            name="daily_upkeep",
            job=upkeep,
            cron_schedule=UPKEEP_CRON,
            execution_timezone="UTC",
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description="Keeps the lake small and checked, every night.",
        ),
    )


def _upkeep_job() -> dg.JobDefinition:
    @dg.op(description="Compacts and vacuums tables, checks the archive, purges old runs, publishes fresh views.")
    def keep_in_order(context: dg.OpExecutionContext, lakehouse: dg.ResourceParam[Lakehouse]) -> None:
        from oplake.orchestration.purge import purge  # SQLite's storage takes a while to load

        report = lakehouse.upkeep()
        purged = purge(context.instance, before=lakehouse.clock() - lakehouse.settings.runs_kept)
        context.log.info(
            f"compacted {report.compacted}, vacuumed {report.vacuumed}, archived {len(report.archived)} segments, "
            f"removed {report.expired}, which was only kept so long, "
            f"purged {purged} old runs of Dagster"
        )
        problems = [f"{damage.path}: {damage.problem}" for damage in report.damages]
        problems += [f"{table}: {why}" for table, why in report.failures.items()]
        if problems:
            raise dg.Failure("\n".join(problems), allow_retries=False)

    @dg.job(
        name=UPKEEP, description="Keeps the lake small and checked.", executor_def=dg.in_process_executor, config=QUIET
    )
    def upkeep() -> None:
        keep_in_order()

    return upkeep
