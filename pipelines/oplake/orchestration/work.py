"""What there is to do right now. The sensor and `oplake run` both ask here, so that they do the same.

Nothing here writes to the lake, or loads Dagster: to find that there is nothing to do is quick.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

import duckdb

from oplake.given import GIVEN, Given, given_tables
from oplake.lake.landed import INGESTED, SEGMENTS
from oplake.lake.ledger import ARRIVALS, Ledger, read_ledger
from oplake.lake.retention import read_kept_from
from oplake.lake.tables import Lake
from oplake.landing.segments import segments
from oplake.models.kept import kept_models
from oplake.models.model import Models, sql_folder
from oplake.orchestration.report import LeftOut
from oplake.orchestration.staleness import Refresh, is_due, last_day, stale
from oplake.settings import Settings
from oplake.synthesis.tables import WRITTEN

SOURCES = (*INGESTED, ARRIVALS, *GIVEN, *(what.spec for what in WRITTEN))
"""The tables that models may read besides each other."""

KEPT = "models"
"""Folder below DAGSTER_HOME with the models as they were read; a cache."""


def open_lake(settings: Settings) -> Lake:
    """The lake of a home."""
    return Lake(settings.lake, retention=settings.vacuum_after)


def our_models(settings: Settings) -> Models:
    """The models of the checkout, or of the wheel; as they were read is kept beside Dagster's records.

    Where there is no home yet nothing is kept: looking makes no folder.

    Raises:
        ModelFileError: A model file is wrong.
    """
    keep = settings.dagster_home / KEPT if settings.home.is_dir() else None
    return kept_models(sql_folder(), SOURCES, keep)


@dataclass(frozen=True)
class Work:
    """What there is to do: `must_ingest` comes first, for what is stale is known only after it."""

    must_ingest: bool
    refreshes: tuple[Refresh, ...]

    def __bool__(self) -> bool:
        return self.must_ingest or bool(self.refreshes)


def find_work(settings: Settings, models: Models, *, now: datetime, lake: Lake | None = None) -> Work:
    """What there is to do in a home.

    An ingest is due when something has landed since the last one, or when a day has settled by the clock but the
    watermark, which only an ingest moves, does not know it yet. When something has landed nobody looks for what is
    stale: the ingest will change that.
    """
    lake = lake or open_lake(settings)
    if has_news(settings, lake):
        return Work(must_ingest=True, refreshes=())
    ledger = read_ledger(lake)
    return Work(
        must_ingest=is_due(models, ledger, now=now),
        refreshes=tuple(find_stale(settings, models, ledger, now=now)),
    )


def has_news(settings: Settings, lake: Lake) -> bool:
    """Whether a segment holds bytes that no ingest has taken in, or the lake stands empty beside an archive."""
    if not lake.exists(SEGMENTS.name):
        return any(segment.size for segment in segments(settings.landing)) or settings.archive.is_dir()
    with duckdb.connect(config={"threads": 1}) as connection:
        taken_in = connection.sql(lake.relation_sql(SEGMENTS.name))
        ends = dict(taken_in.aggregate("segment, max(end_offset)", "segment").fetchall())
    return any(segment.size > ends.get(segment.name, 0) for segment in segments(settings.landing))


def find_stale(
    settings: Settings,
    models: Models,
    ledger: Ledger,
    *,
    now: datetime,
    everything: bool = False,
    since: date | None = None,
    repriced: tuple[date, date] | None = None,
) -> list[Refresh]:
    """What has to be made again, upstream first, from the first day of the models to tomorrow.

    In a lake with nothing in it that is nothing, though there are prices.
    """
    given = given_to(settings, models) if ledger.latest(SEGMENTS.name) else []
    return stale(
        [*given, *models],
        ledger,
        first_day=settings.first_day,
        last_day=last_day(now),
        everything=everything,
        since=since,
        repriced=repriced,
        kept_from=read_kept_from(settings.landing),
    )


def given_to(settings: Settings, models: Models) -> list[Given]:
    """The given tables that some model reads."""
    read = {name for model in models for name in model.dependencies}
    return [given for given in given_tables(settings) if given.name in read]


def left_out(settings: Settings, models: Models, *, now: datetime, lake: Lake) -> tuple[LeftOut | None, LeftOut | None]:
    """The events that models would read if `find_stale` looked at their days: those too early, and those too late."""
    read = {table for model in models if model.partition is not None for table in model.dependencies}
    per_day: Counter[date] = Counter()
    for spec in INGESTED:
        if spec.partition_by_day and spec.name in read and lake.exists(spec.name):
            per_day.update(lake.rows_per_day(spec.name))
    last = last_day(now)
    early = {day: count for day, count in per_day.items() if day < settings.first_day}
    late = {day: count for day, count in per_day.items() if day > last}
    return _left_out(early), _left_out(late)


def _left_out(per_day: Mapping[date, int]) -> LeftOut | None:
    return LeftOut(sum(per_day.values()), min(per_day), max(per_day)) if per_day else None
