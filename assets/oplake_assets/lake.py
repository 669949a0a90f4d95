"""The tables `lake.*`: what the lakehouse knows of itself.

`segments` takes in what has landed and so writes `landed.*`, too; the end of every run writes `arrivals`. How either is
done stands in `oplake.lake`. What is told of the intake is shown in the group `landed`, before the models, so that the
graph of groups runs one way.

No `from __future__ import annotations` here: Dagster reads the annotations of the functions that it calls.
"""

from collections.abc import Iterable
from datetime import date
from typing import Any

import dagster as dg

from oplake.lake.tables import TableSpec
from oplake.models.model import Model
from oplake.models.sql_assets import OWNER, row_counts, table_metadata
from oplake.orchestration.partitions import key_of
from oplake.orchestration.resources import Lakehouse
from oplake.orchestration.staleness import last_day

GROUP, INTAKE = "lake", "landed"
KINDS = {"python", "deltalake"}
SEGMENTS, REDACTIONS, WATERMARK = "lake.segments", "lake.redactions", "lake.watermark"


def segments(table: TableSpec) -> dg.AssetsDefinition:
    """The asset that takes in what has landed. It tells of each table and day that it touched."""

    @dg.asset(
        key=key_of(SEGMENTS),
        description=table.description,
        group_name=INTAKE,
        kinds=KINDS,
        owners=[OWNER],
        metadata=table_metadata(table),
    )
    def ingest(context: dg.AssetExecutionContext, lakehouse: dg.ResourceParam[Lakehouse]) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows it bare
        report = lakehouse.ingest()
        for name, added in report.touched.items():
            for day, counts in _partitions(lakehouse, name, added).items():
                metadata: dict[str, Any] = counts | {"rows_added": added[day]}
                context.log_event(dg.AssetMaterialization(key_of(name), partition=day.isoformat(), metadata=metadata))
        touched = {day for added in report.touched.values() for day in added}
        for day, counts in _partitions(lakehouse, REDACTIONS, touched).items():
            if counts["dagster/partition_row_count"]:
                context.log_event(
                    dg.AssetMaterialization(key_of(REDACTIONS), partition=day.isoformat(), metadata=counts)
                )
        if report.watermark is not None:
            metadata = {"dagster/row_count": 1, "watermark": dg.MetadataValue.timestamp(report.watermark)}
            context.log_event(dg.AssetMaterialization(key_of(WATERMARK), metadata=metadata))
        metadata = {
            "dagster/row_count": lakehouse.lake.size(SEGMENTS).row_count,
            "events": report.events,
            "duplicates": report.duplicates,
            "rejects": report.rejects,
            "bytes": report.bytes,
        }
        return dg.MaterializeResult(metadata=metadata)

    return ingest


def _partitions(lakehouse: Lakehouse, name: str, days: Iterable[date]) -> dict[date, dict[str, int]]:
    """Those of some days that are partitions, for Dagster knows no other, each with the rows of it and of the table."""
    first, last = lakehouse.settings.first_day, last_day(lakehouse.clock())
    rows = lakehouse.lake.rows_per_day(name)
    return {day: row_counts(rows.get(day, 0), sum(rows.values())) for day in sorted(days) if first <= day <= last}


def arrivals(table: TableSpec, models: Iterable[Model]) -> dg.AssetSpec:
    """The record of every commit, which the end of each run brings up to date; drawn behind the last of the models."""
    every = list(models)
    read = {name for model in every for name in model.dependencies}
    last = [model.name for model in every if model.name not in read]
    return dg.AssetSpec(
        key_of(table.name),
        deps=[key_of(name) for name in last or [SEGMENTS]],
        description=table.description,
        group_name=GROUP,
        kinds=KINDS,
        owners=[OWNER],
        metadata=table_metadata(table),
    )


def written_by_ingest(tables: Iterable[TableSpec], days: dg.DailyPartitionsDefinition) -> list[dg.AssetSpec]:
    """The other tables of `lake` that `segments` writes."""
    return [
        dg.AssetSpec(
            key_of(table.name),
            deps=[key_of(SEGMENTS)],
            description=table.description,
            group_name=INTAKE,
            kinds=KINDS,
            owners=[OWNER],
            metadata=table_metadata(table),
            partitions_def=days if table.partition_by_day else None,
        )
        for table in tables
    ]
