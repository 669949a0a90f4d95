"""Everything that Dagster is told, put together in one place, with overrides for whatever a test has to swap.

Loading this looks at no table: the model files are read, or what is kept of them in a home that is there.
`defs` is what `[tool.dagster]` in pyproject.toml, `oplake ui` and `dagster dev` load.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import dagster as dg
from dagster._utils.warnings import disable_dagster_warnings

from oplake.lake.landed import LANDED, REDACTIONS, SEGMENTS, WATERMARK
from oplake.lake.ledger import ARRIVALS
from oplake.models.model import Models
from oplake.models.sql_assets import sql_assets
from oplake.orchestration.jobs import build_jobs
from oplake.orchestration.llm import LLM, llm_resource
from oplake.orchestration.partitions import daily
from oplake.orchestration.resources import LAKEHOUSE, Lakehouse, Watch, lakehouse_resource, utc_now
from oplake.orchestration.schedules import build_schedules
from oplake.orchestration.sensors import build_sensor, build_tail
from oplake.orchestration.work import SOURCES, our_models
from oplake.settings import Settings
from oplake.synthesis.tables import WRITTEN
from oplake_assets.lake import arrivals, segments, written_by_ingest
from oplake_assets.landed import landed
from oplake_assets.playbooks import limits
from oplake_assets.sessions import budgets, prices
from oplake_assets.synthesis import written


def build_definitions(
    settings: Settings | None = None,
    *,
    models: Models | None = None,
    resources: Mapping[str, Any] | None = None,
    clock: Callable[[], datetime] = utc_now,
    watch: Watch | None = None,
) -> dg.Definitions:
    """Assets, checks, jobs, schedules, sensors and resources.

    Args:
        settings: Where the lake is; by default those of the environment.
        models: In place of the model files.
        resources: Added to ours, or in their place.
        clock: What tells the time.
        watch: Is told of each table that is about to be made.
    """
    with disable_dagster_warnings():  # of what is marked as beta; the version of Dagster is locked
        return _definitions(settings or Settings(), models, resources or {}, clock, watch)


def _definitions(
    settings: Settings,
    models: Models | None,
    resources: Mapping[str, Any],
    clock: Callable[[], datetime],
    watch: Watch | None,
) -> dg.Definitions:
    models = our_models(settings) if models is None else models

    def lakehouse() -> Lakehouse:
        return Lakehouse(settings, clock) if watch is None else Lakehouse(settings, clock, watch)

    days = daily(settings.first_day)
    jobs = build_jobs(models)
    specs = {spec.name: spec for spec in [*SOURCES, *(model.spec for model in models)]}
    assets: list[dg.AssetsDefinition | dg.AssetSpec] = [
        *landed(LANDED.values(), days),
        segments(SEGMENTS),
        *written_by_ingest([REDACTIONS, WATERMARK], days),
        prices(),
        budgets(),
        limits(),
        *sql_assets(models, SOURCES, days),
        *(written(what, specs, days) for what in WRITTEN),
        arrivals(ARRIVALS, models),
    ]
    return dg.Definitions(
        assets=assets,
        jobs=[jobs.ingest, jobs.refresh, jobs.write, jobs.upkeep],
        schedules=[jobs.daily_upkeep, *build_schedules(jobs, settings.first_day, clock)],
        sensors=[
            build_sensor(settings, models, jobs, clock=clock),
            *([build_tail(settings, clock=clock)] if settings.tail else []),
        ],
        resources={LAKEHOUSE: lakehouse_resource(lakehouse), LLM: llm_resource(), **resources},
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The definitions of this environment."""
    return build_definitions()
